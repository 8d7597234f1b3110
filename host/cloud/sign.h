/*
 * Signing requests with AWS's Signature Version 4, in a header or in the query.
 *
 * A signer has the memory for it, which it uses again and again, and keeps the
 * keys that it has derived: signing a request of 1 KB costs little more than
 * its hashes. What is signed goes over the wire as it was given here; the
 * canonical form is made by canonical.h.
 */
#ifndef LP__SIGN_H
#define LP__SIGN_H

#include "sigv4.h"

/* What to sign with, and how. Borrowed for the call. */
struct lp__signing {
  struct lp__span access_key, secret;
  struct lp__span token; /* of temporary credentials; .at NULL: none */
  struct lp__span region, service;
  struct lp__span payload; /* stands for the body; .at NULL: its hash does */
  int64_t time;            /* seconds since 1970, of the years 1970 to 9999 */
  int expires;             /* seconds that a signed query is good for */
  bool path_as_is;         /* as in struct lp__canonical_rules */
  bool with_dots;
  bool hide_payload; /* header: no x-amz-content-sha256 */
  bool hide_token;   /* the token is sent, but not signed */
};

/* What has to be sent besides. Until the signer signs again. */
struct lp__signed {
  const char *timestamp;    /* 16 characters: x-amz-date */
  struct lp__span payload;  /* x-amz-content-sha256 */
  struct lp__span text;     /* authorization; or all of the query */
  struct lp__span repeated; /* a name that two fields have; .at NULL: none */
};

/* One thread at a time. */
struct lp__signer;

/* NULL without memory. */
struct lp__signer *lp__signer_new(void);
void lp__signer_free(struct lp__signer *signer);

/* Whether a field with this name, in any case, is left unsigned: it belongs to
 * one connection, or proxies may change it. */
bool lp__sign_ignores(struct lp__span name);

/* Signs all fields of `request`, whose names may have any case, with those that
 * this adds: x-amz-date, x-amz-content-sha256 and x-amz-security-token, which
 * `request` must not have.  0, or -1 without memory. */
int lp__sign_headers(struct lp__signer *signer,
                     const struct lp__request *request,
                     const struct lp__signing *how, struct lp__signed *result);

/* Signs all fields of `request` and its query, to which it adds. 0, or -1
 * without memory. */
int lp__sign_query(struct lp__signer *signer, const struct lp__request *request,
                   const struct lp__signing *how, struct lp__signed *result);

#endif
