#include "signing_keys.h"

#include <openssl/crypto.h>
#include <stdbool.h>
#include <string.h>

/* Replaces `key` by the one that it makes of `bytes`. */
static void next_key(struct lp__hmac_key *key, const void *bytes, size_t size) {
  unsigned char digest[LP__SHA256_SIZE];
  lp__hmac(digest, key, bytes, size);
  lp__hmac_prepare(key, digest, sizeof digest);
  OPENSSL_cleanse(digest, sizeof digest);
}

/* The first key is "AWS4" and the secret; HMAC shortens what is longer than a
 * block, and so has to see both as one. */
static void first_key(struct lp__hmac_key *key, struct lp__span secret) {
  char bytes[SHA256_CBLOCK] = "AWS4";
  SHA256_CTX state;
  size_t size = 4 + secret.size;
  if (size <= sizeof bytes) {
    memcpy(bytes + 4, secret.at, secret.size);
  } else {
    SHA256_Init(&state);
    SHA256_Update(&state, bytes, 4);
    SHA256_Update(&state, secret.at, secret.size);
    SHA256_Final((unsigned char *)bytes, &state);
    size = LP__SHA256_SIZE;
  }
  lp__hmac_prepare(key, bytes, size);
  OPENSSL_cleanse(bytes, sizeof bytes);
}

static void derive(struct lp__hmac_key *key, struct lp__span secret,
                   struct lp__span date, struct lp__span region,
                   struct lp__span service) {
  first_key(key, secret);
  next_key(key, date.at, date.size);
  next_key(key, region.at, region.size);
  next_key(key, service.at, service.size);
  next_key(key, "aws4_request", 12);
}

static size_t add(char *out, size_t size, struct lp__span span) {
  memcpy(out + size, span.at, span.size);
  out[size + span.size] = '\0';
  return size + span.size + 1;
}

/* FNV-1a, for which of the places it is. */
static size_t place_of(const char *bytes, size_t size) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < size; i++)
    hash = (hash ^ (unsigned char)bytes[i]) * 16777619u;
  return (hash ^ hash >> 16) % LP__SIGNING_KEYS;
}

/* Whether the key is of these four. */
static bool is_kept(const struct lp__signing_key *kept, struct lp__span secret,
                    struct lp__span date, struct lp__span region,
                    struct lp__span service) {
  const char *at = kept->origin;
  const struct lp__span parts[] = {date, region, service};
  if (kept->size != secret.size + date.size + region.size + service.size + 4)
    return false;
  int other = CRYPTO_memcmp(at, secret.at, secret.size) | at[secret.size];
  at += secret.size + 1;
  for (size_t i = 0; i < 3; i++) {
    other |= memcmp(at, parts[i].at, parts[i].size) | at[parts[i].size];
    at += parts[i].size + 1;
  }
  return other == 0;
}

const struct lp__hmac_key *lp__signing_key(struct lp__signing_keys *keys,
                                           struct lp__span secret,
                                           struct lp__span date,
                                           struct lp__span region,
                                           struct lp__span service) {
  char origin[sizeof keys->kept->origin];
  size_t size = 0;
  if (is_kept(&keys->kept[keys->last], secret, date, region, service))
    return &keys->kept[keys->last].key;
  if (secret.size + date.size + region.size + service.size + 4 >
      sizeof origin) {
    derive(&keys->other, secret, date, region, service);
    return &keys->other;
  }
  size = add(origin, size, secret);
  size = add(origin, size, date);
  size = add(origin, size, region);
  size = add(origin, size, service);
  keys->last = place_of(origin, size);
  struct lp__signing_key *place = &keys->kept[keys->last];
  if (place->size != size || CRYPTO_memcmp(place->origin, origin, size)) {
    derive(&place->key, secret, date, region, service);
    memcpy(place->origin, origin, size);
    place->size = size;
  }
  OPENSSL_cleanse(origin, sizeof origin);
  return &place->key;
}
