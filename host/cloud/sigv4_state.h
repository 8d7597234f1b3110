/* What sigv4.c and sigv4_claim.c share. */
#ifndef LP__SIGV4_STATE_H
#define LP__SIGV4_STATE_H

#include "sigv4.h"
#include "signing_keys.h"

#define LP__SIGV4_SKEW 300 /* seconds that clocks may differ */

struct lp__sigv4 {
  struct lp__canonical canonical;
  struct lp__text to_sign;
  struct lp__text decoded; /* the parameters of a presigned request */
  struct lp__signing_keys keys;
  char *message; /* NULL: none */
};

/* Keeps the message.  Returns `problem`, or NO_MEMORY. */
enum lp__sigv4_problem lp__sigv4_say(struct lp__sigv4 *sigv4,
                                     enum lp__sigv4_problem problem,
                                     const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The value of the first field with this name, or .at is NULL. */
struct lp__span lp__sigv4_field(const struct lp__request *request,
                                const char *name);

#endif
