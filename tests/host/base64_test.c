/*
 * Base64 in pieces and back, and every way of not being base64; each test once
 * by tables alone and once with vector instructions.
 *
 * Every buffer has exactly the size it must have, and ends where its
 * allocation ends: AddressSanitizer sees one byte too far.
 */
#include "host/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define ALPHABET                                                               \
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

enum { LONGEST = 300, TEXT = 100 };

/* An allocation, in which `at` has room for the size asked for and is not
 * aligned. */
struct block {
  unsigned char *allocated;
  unsigned char *at;
};

static struct block new_block(const void *content, size_t size, size_t shift) {
  struct block b;
  b.allocated = malloc(shift + size + (shift + size == 0));
  assert_non_null(b.allocated);
  b.at = b.allocated + shift;
  if (content && size)
    memcpy(b.at, content, size);
  return b;
}

static unsigned next_random(void) {
  static uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)(state >> 33);
}

static void fill(unsigned char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++)
    bytes[i] = (unsigned char)next_random();
}

/* The reference, bit by bit. */
static size_t naive_encode(char *out, const unsigned char *in, size_t size) {
  size_t n = 0;
  for (size_t bit = 0; bit < size * 8; bit += 6) {
    unsigned value = 0;
    for (size_t b = bit; b < bit + 6; b++)
      value = value << 1 | (b < size * 8 ? in[b / 8] >> (7 - b % 8) & 1u : 0);
    out[n++] = ALPHABET[value];
  }
  while (n % 4)
    out[n++] = '=';
  return n;
}

/* What `bytes` are in base64, encoded in pieces of up to `step` bytes. */
static void check_encode(const unsigned char *bytes, size_t size, size_t step,
                         const char *expected, size_t expected_size) {
  struct lp__base64 encoder = {{0}, 0};
  struct block out = new_block(NULL, lp__base64_size(size), step % 7);
  char *end = (char *)out.at;
  for (size_t done = 0; done < size;) {
    size_t piece = step < size ? next_random() % (step + 1) : size;
    if (piece > size - done)
      piece = size - done;
    struct block in = new_block(bytes + done, piece, done % 5);
    end = lp__base64_encode(&encoder, end, in.at, piece);
    free(in.allocated);
    done += piece;
    assert_int_equal(end - (char *)out.at, done / 3 * 4);
  }
  end = lp__base64_finish(&encoder, end);
  assert_int_equal(end - (char *)out.at, expected_size);
  assert_memory_equal(out.at, expected, expected_size);
  free(out.allocated);
}

/* Decodes into the `*out` it makes. */
static int decode(const char *text, size_t size, struct block *out,
                  size_t *written) {
  struct block in = new_block(text, size, size / 4 % 5);
  *out = new_block(NULL, size / 4 * 3, size / 4 % 3);
  int result = lp__base64_decode(out->at, (const char *)in.at, size, written);
  free(in.allocated);
  return result;
}

static void check_decode(const char *text, size_t size,
                         const unsigned char *expected, size_t expected_size) {
  struct block out;
  size_t written;
  assert_int_equal(decode(text, size, &out, &written), 0);
  assert_int_equal(written, expected_size);
  assert_memory_equal(out.at, expected, expected_size);
  free(out.allocated);
}

static void check_refused(const char *text, size_t size) {
  struct block out;
  size_t written;
  if (decode(text, size, &out, &written) != -1)
    fail_msg("accepted: %.*s", (int)size, text);
  free(out.allocated);
}

static void refuse(const char *text) {
  check_refused(text, strlen(text));
}

/* RFC 4648, section 10. */
static void test_vectors(void **state) {
  static const char *const vectors[][2] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
    const unsigned char *bytes = (const unsigned char *)vectors[i][0];
    const char *text = vectors[i][1];
    size_t size = strlen(vectors[i][0]);
    check_encode(bytes, size, size, text, strlen(text));
    check_decode(text, strlen(text), bytes, size);
  }
}

static void test_lengths(void **state) {
  unsigned char bytes[LONGEST];
  char text[LONGEST * 2];
  (void)state;
  for (size_t size = 0; size <= LONGEST; size++) {
    fill(bytes, size);
    size_t text_size = naive_encode(text, bytes, size);
    assert_int_equal(text_size, lp__base64_size(size));
    check_encode(bytes, size, size, text, text_size);
    check_decode(text, text_size, bytes, size);
  }
}

static void test_any_cut(void **state) {
  unsigned char bytes[LONGEST];
  char text[LONGEST * 2];
  (void)state;
  for (size_t round = 0; round < 3000; round++) {
    size_t size = next_random() % (LONGEST + 1);
    fill(bytes, size);
    size_t text_size = naive_encode(text, bytes, size);
    check_encode(bytes, size, 1 + round % 120, text, text_size);
  }
}

/* Every number at every place of a block. */
static void test_every_number(void **state) {
  unsigned char bytes[64 * 3];
  char text[64 * 4];
  (void)state;
  for (unsigned shift = 0; shift < 64; shift++) {
    for (unsigned i = 0; i < 64; i++) {
      unsigned a = (i + shift) % 64, b = (i * 5 + shift) % 64;
      uint32_t group = a << 18 | b << 12 | (63 - a) << 6 | (63 - b);
      bytes[i * 3] = (unsigned char)(group >> 16);
      bytes[i * 3 + 1] = (unsigned char)(group >> 8);
      bytes[i * 3 + 2] = (unsigned char)group;
      text[i * 4] = ALPHABET[a];
      text[i * 4 + 1] = ALPHABET[b];
      text[i * 4 + 2] = ALPHABET[63 - a];
      text[i * 4 + 3] = ALPHABET[63 - b];
    }
    check_encode(bytes, sizeof bytes, sizeof bytes, text, sizeof text);
    check_decode(text, sizeof text, bytes, sizeof bytes);
  }
}

/* A text is refused or right, whatever byte stands at whatever place. */
static void test_every_byte_everywhere(void **state) {
  unsigned char bytes[TEXT / 4 * 3];
  char text[TEXT];
  (void)state;
  memset(text, '9', sizeof text); /* not zero in its last bits */
  for (size_t at = 0; at < TEXT; at++) {
    for (int c = 0; c < 256; c++) {
      text[at] = (char)c;
      if (c == 0 || !strchr(ALPHABET, c)) {
        check_refused(text, sizeof text);
        continue;
      }
      struct block out;
      size_t written;
      char again[TEXT];
      assert_int_equal(decode(text, sizeof text, &out, &written), 0);
      assert_int_equal(written, sizeof bytes);
      assert_int_equal(naive_encode(again, out.at, written), sizeof text);
      assert_memory_equal(again, text, sizeof text);
      free(out.allocated);
    }
    text[at] = '9';
  }
}

/* `tail` after `size` characters of the alphabet. */
static void refuse_after(size_t size, const char *tail) {
  char text[TEXT + 8];
  memset(text, 'A', size);
  memcpy(text + size, tail, strlen(tail));
  check_refused(text, size + strlen(tail));
}

static void test_padding(void **state) {
  static const char *const tails[] = {
      "=",    "==",    "===",   "====",     "A",        "AA",
      "AAA",  "AA=",   "A===",  "A=A=",     "A==A",     "=AAA",
      "==AA", "AA=A",  "AAA==", "AA===",    "AAA=A",    "AAA=AAAA",
      "AA\n", "AAAA ", "\nAAA", "AA==AAAA", "AAAA====", "AAA=\n",
  };
  (void)state;
  for (size_t size = 0; size <= TEXT; size += 4)
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
      refuse_after(size, tails[i]);
  refuse("Zg");
  refuse("Zm9vYg=");
  refuse("Zm9vYg===");
}

/* The bits of the last character that belong to no byte must be zero. */
static void test_last_bits(void **state) {
  static const unsigned char zeros[TEXT] = {0};
  (void)state;
  for (size_t size = 0; size <= TEXT; size += 4) {
    for (unsigned value = 1; value < 64; value++) {
      char one[] = {'A', ALPHABET[value], '=', '=', 0};
      char two[] = {'A', 'A', ALPHABET[value], '=', 0};
      if (value % 16)
        refuse_after(size, one);
      if (value % 4)
        refuse_after(size, two);
    }
    char text[TEXT + 4];
    memset(text, 'A', sizeof text);
    text[size + 3] = '=';
    check_decode(text, size + 4, zeros, size / 4 * 3 + 2);
    text[size + 2] = '=';
    check_decode(text, size + 4, zeros, size / 4 * 3 + 1);
  }
}

static void test_megabytes(void **state) {
  size_t size = 3000001, text_size = lp__base64_size(size);
  unsigned char *bytes = malloc(size);
  char *text = malloc(text_size);
  (void)state;
  assert_non_null(bytes);
  assert_non_null(text);
  fill(bytes, size);
  assert_int_equal(naive_encode(text, bytes, size), text_size);
  check_encode(bytes, size, size, text, text_size);
  check_encode(bytes, size, 100000, text, text_size);
  check_decode(text, text_size, bytes, size);
  text[text_size / 2] = '-';
  check_refused(text, text_size);
  free(text);
  free(bytes);
}

/* The other tests would pass as well if vectors were never used. */
static void test_switch(void **state) {
  (void)state;
  assert_int_equal(lp__base64_use_simd(0), 0);
#if defined(__x86_64__)
  assert_int_equal(lp__base64_use_simd(1), __builtin_cpu_supports("avx2") != 0);
#else
  assert_int_equal(lp__base64_use_simd(1), 0);
#endif
  if (!lp__base64_use_simd(1))
    skip();
}

static int by_tables(void **state) {
  (void)state;
  lp__base64_use_simd(0);
  return 0;
}

static int with_vectors(void **state) {
  (void)state;
  lp__base64_use_simd(1);
  return 0;
}

#define BOTH(test)                                                             \
  {#test " by tables", test, by_tables, NULL, NULL}, {                         \
#test " with vectors", test, with_vectors, NULL, NULL                      \
  }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_switch),
      BOTH(test_vectors),
      BOTH(test_lengths),
      BOTH(test_any_cut),
      BOTH(test_every_number),
      BOTH(test_every_byte_everywhere),
      BOTH(test_padding),
      BOTH(test_last_bits),
      BOTH(test_megabytes),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
