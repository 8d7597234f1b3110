/*
 * AWS Signature Version 4: who signed a request, and whether they did.
 *
 * In three steps, because what comes between them is not decided here:
 * lp__sigv4_parse reads what the client claims, lp__sigv4_check whether that
 * can be true now, and lp__sigv4_verify, with the secret of the claimed key,
 * whether it is. A request says it in its Authorization header, or, presigned,
 * in parameters of its query.
 *
 * The same calculation signs: see sign.h.
 *
 * Comparisons with what is secret take the same time whatever is equal.
 */
#ifndef LP__SIGV4_H
#define LP__SIGV4_H

#include <stdbool.h>
#include <stdint.h>

#include "canonical.h"
#include "sha256.h"

enum lp__sigv4_problem {
  LP__SIGV4_OK,
  LP__SIGV4_MISSING,     /* it is not signed */
  LP__SIGV4_MALFORMED,   /* something of a signature is not there, or wrong */
  LP__SIGV4_UNKNOWN_KEY, /* for callers: nothing here says so */
  LP__SIGV4_MISMATCH,
  LP__SIGV4_EXPIRED, /* signed more than five minutes ago */
  LP__SIGV4_EARLY,   /* will be signed in more than five minutes */
  LP__SIGV4_PAYLOAD, /* x-amz-content-sha256 is not what the body has */
  LP__SIGV4_EXPIRED_URL,
  LP__SIGV4_NO_MEMORY
};

/* What a request says about its signature. Borrows from the request and, when
 * presigned, from the struct lp__sigv4 until it parses again. */
struct lp__sigv4_claim {
  bool presigned;
  struct lp__span access_key, date, region, service, terminator;
  struct lp__span scope; /* date/region/service/terminator */
  struct lp__span names; /* of the signed fields */
  struct lp__span signature;
  struct lp__span token; /* of temporary credentials; .at NULL when none */
  char timestamp[17];    /* "20150830T123600Z" */
  int64_t time;          /* the same, in seconds since 1970 */
  int64_t expires;       /* of a presigned one: seconds from then on */
};

/* Working memory and the signing keys of late. One thread at a time. */
struct lp__sigv4;

/* NULL without memory. */
struct lp__sigv4 *lp__sigv4_new(void);
void lp__sigv4_free(struct lp__sigv4 *sigv4);

/* What AWS says about the last problem of this one. Until the next call. */
const char *lp__sigv4_message(const struct lp__sigv4 *sigv4);

/* MISSING and MALFORMED are possible. */
enum lp__sigv4_problem lp__sigv4_parse(struct lp__sigv4 *sigv4,
                                       const struct lp__request *request,
                                       struct lp__sigv4_claim *claim);

/* `now` is in seconds since 1970.  EXPIRED, EARLY, EXPIRED_URL, and MISMATCH
 * for a scope that cannot be right. */
enum lp__sigv4_problem lp__sigv4_check(struct lp__sigv4 *sigv4,
                                       const struct lp__sigv4_claim *claim,
                                       int64_t now);

/* MISMATCH and PAYLOAD are possible.  What is not presigned must have signed
 * its body. */
enum lp__sigv4_problem lp__sigv4_verify(struct lp__sigv4 *sigv4,
                                        const struct lp__request *request,
                                        const struct lp__sigv4_claim *claim,
                                        struct lp__span secret);

/* Writes the signature of `request`, 64 hex digits, for what `claim` says of
 * scope, timestamp, region, service and date.  0, or -1 without memory. */
int lp__sigv4_calculate(struct lp__sigv4 *sigv4,
                        const struct lp__request *request,
                        const struct lp__sigv4_claim *claim,
                        const struct lp__canonical_rules *rules,
                        struct lp__span secret, char signature[LP__SHA256_HEX]);

/* Whether `names` is a list of signed fields: lower case, each name greater
 * than the one before, at most 256. */
bool lp__sigv4_names_ok(struct lp__span names);

/* Reads "20150830T123600Z" as seconds since 1970.  False when it is none. */
bool lp__sigv4_time(struct lp__span text, int64_t *seconds);

#endif
