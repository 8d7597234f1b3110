/*
 * SHA-256 and HMAC-SHA-256, for what is done several times for each request.
 *
 * OpenSSL's newer interface looks its algorithms up and allocates on every
 * call, which costs more than to digest a request does. So these are on its
 * older one, where the state of a digest is a plain structure that can be
 * copied.
 */
#ifndef LP__SHA256_H
#define LP__SHA256_H

#define OPENSSL_API_COMPAT 0x10100000L
#include <openssl/sha.h>
#include <stddef.h>

enum { LP__SHA256_SIZE = 32, LP__SHA256_HEX = 64 };

/* A key, ready for any number of messages. */
struct lp__hmac_key {
  SHA256_CTX inner, outer;
};

void lp__sha256(unsigned char out[LP__SHA256_SIZE], const void *bytes,
                size_t size);

void lp__hmac_prepare(struct lp__hmac_key *key, const void *bytes, size_t size);

void lp__hmac(unsigned char out[LP__SHA256_SIZE],
              const struct lp__hmac_key *key, const void *bytes, size_t size);

/* Writes a digest as 64 lower case digits, without a zero at the end. */
void lp__sha256_hex(char *out, const unsigned char digest[LP__SHA256_SIZE]);

#endif
