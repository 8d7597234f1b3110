/*
 * Base64 (RFC 4648, section 4), fast enough to be no bottleneck.
 *
 * Processors with AVX2, found out at run time, do several gigabytes a second;
 * all others go by tables.  No allocation, no locale, no whitespace.
 */
#ifndef LP__BASE64_H
#define LP__BASE64_H

#include <stddef.h>

/* Encodes in pieces: up to two bytes wait for the rest of their group. */
struct lp__base64 {
  unsigned char waiting[2];
  unsigned count;
};

/* The size of `n` bytes in base64, padding included. */
static inline size_t lp__base64_size(size_t n) {
  return (n + 2) / 3 * 4;
}

/* Encodes `size` more bytes to `out`.  Returns the end of what was written,
 * at most lp__base64_size of all bytes so far in total. */
char *lp__base64_encode(struct lp__base64 *encoder, char *out,
                        const void *bytes, size_t size);

/* Writes what is waiting, padded.  Returns the end. */
char *lp__base64_finish(struct lp__base64 *encoder, char *out);

/* Decodes `size` characters to `out`, which has room for size / 4 * 3 bytes.
 * Padding is required, and the bits that belong to no byte must be zero.
 * Returns 0 and sets *written, or -1 when the text is not base64; what `out`
 * holds is then unspecified. */
int lp__base64_decode(void *out, const char *text, size_t size,
                      size_t *written);

/* For tests, while no other thread is here: with 0, tables only, otherwise
 * vector instructions (the default) where there are any.  Returns 1 when they
 * are now in use, else 0.  The results are the same. */
int lp__base64_use_simd(int on);

#endif
