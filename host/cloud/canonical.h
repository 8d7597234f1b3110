/*
 * The canonical form of a request, which AWS's Signature Version 4 signs:
 *
 *   METHOD \n path \n query \n name:value \n ... \n\n signed names \n hash
 *
 * Everything is taken as it is on the wire. What a client may write in several
 * ways is written in one: the path without "." and "..", every byte of it
 * encoded again (a %3A becomes %253A), except for S3, whose path stays as it
 * is; parameters decoded, encoded and sorted; the signed fields with runs of
 * white space made one space, those of one name joined with ",".
 */
#ifndef LP__CANONICAL_H
#define LP__CANONICAL_H

#include <stdbool.h>
#include <stddef.h>

#include "http_server.h"

/* Bytes that somebody else owns. */
struct lp__span {
  const char *at;
  size_t size;
};

/* Whether `span` holds exactly `text`. */
bool lp__span_is(struct lp__span span, const char *text);

/* Whether all of it is printable ASCII, without a space. */
bool lp__span_is_plain(struct lp__span span);

/* Bytes of ours; zeroed at first. */
struct lp__text {
  char *at;
  size_t size, capacity;
};

/* Makes room for `capacity` bytes in all.  0, or -1 without memory. */
int lp__text_reserve(struct lp__text *text, size_t capacity);

struct lp__canonical {
  struct lp__text text;      /* the result */
  struct lp__text encoded;   /* of each parameter, one after the other */
  struct lp__text positions; /* where in `encoded` they are */
};

void lp__canonical_free(struct lp__canonical *canonical);

struct lp__canonical_rules {
  bool path_as_is;         /* S3: it is not encoded again */
  bool with_dots;          /* S3: nor are "//", "/./" and "/../" resolved */
  bool without_signature;  /* leave out X-Amz-Signature of the query */
  struct lp__span names;   /* of the signed fields: "a;b", lower case, sorted,
                            * each once */
  struct lp__span payload; /* the hash of the body, or what stands for it */
};

/* Writes it to canonical->text.  0, or -1 without memory. */
int lp__canonical_write(struct lp__canonical *canonical,
                        const struct lp__request *request,
                        const struct lp__canonical_rules *rules);

/* The query of a request, without "?"; empty when there is none. */
struct lp__span lp__request_query(const struct lp__request *request);

/* Takes what is before the next `separator` off the front of `rest`.  False
 * when nothing is left. */
bool lp__span_next(struct lp__span *rest, char separator,
                   struct lp__span *piece);

/* Undoes %XX and makes "+" a space.  Writes at most span.size bytes to `out`
 * and returns the end. */
char *lp__query_decode(char *out, struct lp__span span);

/* Writes every byte as it stands in a canonical form: itself, or %XX; at most
 * 3 * span.size. Returns the end. */
char *lp__span_encode(char *out, struct lp__span span);

#endif
