/* The bytes of an HTTP answer: a growing text, and the head that goes first. */
#ifndef LP_HTTP_ANSWER_H
#define LP_HTTP_ANSWER_H

#include "http_server.h"

#include <time.h>

/* Bytes that are added at the end and taken from the front. All zero at first;
 * once memory was short, `failed` stays true and nothing is added. */
struct lp__bytes {
  char *data;
  size_t start, end, room;
  bool failed;
};

void lp__bytes_add(struct lp__bytes *bytes, const void *data, size_t size);

/* The first `size` of them are not needed any more. Idle connections are many:
 * none keeps memory for what it may have to send one day. */
void lp__bytes_take(struct lp__bytes *bytes, size_t size);

size_t lp__bytes_size(const struct lp__bytes *bytes);

/* Frees them; they are empty then. */
void lp__bytes_free(struct lp__bytes *bytes);

/* How the end of a body is told. */
enum lp__framing { LP__LENGTH, LP__CHUNKS, LP__UNTIL_END, LP__NO_BODY };

struct lp__answer {
  int status;
  enum lp__framing framing;
  size_t length; /* for LP__LENGTH */
  bool keep;     /* the connection, for another request */
  bool old;      /* of a request in HTTP/1.0 */
  const struct lp__field *fields;
  size_t field_count;
};

/* The time as HTTP writes it; made anew once a second. */
struct lp__date {
  time_t time;
  char text[32];
};

/* Adds the head of an answer. */
void lp__answer_head(struct lp__bytes *bytes, const struct lp__answer *answer,
                     struct lp__date *date);

#endif
