#include "sha256.h"

#include <openssl/crypto.h>
#include <string.h>

void lp__sha256(unsigned char out[LP__SHA256_SIZE], const void *bytes,
                size_t size) {
  SHA256_CTX state;
  SHA256_Init(&state);
  SHA256_Update(&state, bytes, size);
  SHA256_Final(out, &state);
}

/* Begins a digest with the key, each byte of it changed by `mask`. */
static void begin_masked(SHA256_CTX *state, const unsigned char *block,
                         unsigned char mask) {
  unsigned char masked[SHA256_CBLOCK];
  for (size_t i = 0; i < sizeof masked; i++)
    masked[i] = block[i] ^ mask;
  SHA256_Init(state);
  SHA256_Update(state, masked, sizeof masked);
  OPENSSL_cleanse(masked, sizeof masked);
}

void lp__hmac_prepare(struct lp__hmac_key *key, const void *bytes,
                      size_t size) {
  unsigned char block[SHA256_CBLOCK] = {0};
  if (size > sizeof block)
    lp__sha256(block, bytes, size);
  else if (size > 0)
    memcpy(block, bytes, size);
  begin_masked(&key->inner, block, 0x36);
  begin_masked(&key->outer, block, 0x5c);
  OPENSSL_cleanse(block, sizeof block);
}

void lp__hmac(unsigned char out[LP__SHA256_SIZE],
              const struct lp__hmac_key *key, const void *bytes, size_t size) {
  SHA256_CTX state = key->inner;
  SHA256_Update(&state, bytes, size);
  SHA256_Final(out, &state);
  state = key->outer;
  SHA256_Update(&state, out, LP__SHA256_SIZE);
  SHA256_Final(out, &state);
}

void lp__sha256_hex(char *out, const unsigned char digest[LP__SHA256_SIZE]) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < LP__SHA256_SIZE; i++) {
    *out++ = digits[digest[i] >> 4];
    *out++ = digits[digest[i] & 15];
  }
}
