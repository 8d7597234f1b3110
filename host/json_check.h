/*
 * Whether bytes are a JSON text (RFC 8259), without making anything of them.
 * AWS Lambda refuses events that are not, with the words of its parser
 * (Jackson), which clients show to people: these are the same.
 *
 * Nothing is allocated and nothing recurses. More than 1000 arrays and objects
 * inside each other are refused, as Jackson does. \u escapes may be halves of
 * surrogate pairs, and names may repeat: both are JSON.
 */
#ifndef LP__JSON_CHECK_H
#define LP__JSON_CHECK_H

#include <stddef.h>

struct lp__json_problem {
  size_t offset;     /* of the byte that is wrong */
  char message[400]; /* UTF-8, one line */
};

/* What may stand in strings. */
enum lp__json_bytes { LP__JSON_UTF8, LP__JSON_ANY_BYTES };

/* LP_OK, or LP_EINVAL and what is wrong. */
int lp__json_check(const char *text, size_t size, enum lp__json_bytes bytes,
                   struct lp__json_problem *problem);

#endif
