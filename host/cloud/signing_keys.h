/*
 * Signing keys of Signature Version 4. One is made from the secret key, a day,
 * a region and a service by four HMACs; the last ones are kept, because a
 * server meets the same few all day.
 */
#ifndef LP__SIGNING_KEYS_H
#define LP__SIGNING_KEYS_H

#include "canonical.h"
#include "sha256.h"

enum { LP__SIGNING_KEYS = 64 };

struct lp__signing_keys {
  struct lp__signing_key {
    size_t size;      /* of `origin`; 0: none is kept here */
    char origin[256]; /* secret, date, region and service, a zero behind each */
    struct lp__hmac_key key;
  } kept[LP__SIGNING_KEYS];
  size_t last;               /* which of them was asked for last */
  struct lp__hmac_key other; /* of what is too long to be kept */
};

/* The key for HMACs with these four.  Until the next call. */
const struct lp__hmac_key *lp__signing_key(struct lp__signing_keys *keys,
                                           struct lp__span secret,
                                           struct lp__span date,
                                           struct lp__span region,
                                           struct lp__span service);

#endif
