/*
 * An incremental parser for HTTP/1.1 responses that owns its memory.
 *
 * It knows nothing of sockets: the caller asks where the next bytes should
 * go, reads them there and says how many came. A body of known length is so
 * received where it stays, without a copy. Buffers live as long as the parser
 * and are used again by the next response: a warm client allocates nothing.
 *
 *   lp__http_begin(http);
 *   state = lp__http_resume(http);
 *   while (state == LP__HTTP_MORE) {
 *     lp__http_space(http, &at, &size);
 *     n = read(fd, at, size);
 *     state = n > 0 ? lp__http_received(http, n) : lp__http_end(http);
 *   }
 *
 * The input is not trusted. Header and body have ceilings, and memory grows
 * only as bytes arrive (at most to twice their number): a forged length
 * allocates nothing. What the protocol forbids and what would be ambiguous
 * (two different lengths, folded header lines) is an error, never a guess.
 *
 * A parser belongs to one thread at a time.
 */
#ifndef LP__HTTP_H
#define LP__HTTP_H

#include <stddef.h>

/* The status line and all headers of a response; also the trailers. */
#define LP__HTTP_HEAD_MAX 32768

enum lp__http_state {
  LP__HTTP_MORE = 0,     /* the response is not complete yet */
  LP__HTTP_DONE = 1,     /* it is; status, headers and body are valid */
  LP__HTTP_BAD = -1,     /* this is not an HTTP/1.1 response */
  LP__HTTP_LARGE = -2,   /* a ceiling was exceeded */
  LP__HTTP_MEMORY = -3,  /* memory is exhausted */
  LP__HTTP_PARTIAL = -4, /* the connection ended inside the response */
  LP__HTTP_NOTHING = -5  /* the connection ended before its first byte */
};

struct lp__http {
  /* Valid after LP__HTTP_DONE, until the next lp__http_begin. */
  int status;     /* 200 */
  int keep_alive; /* the connection can carry another response */
  char *body;     /* body_size bytes; may be NULL when there are none */
  size_t body_size;

  /* Set by the caller, 0 after lp__http_init: several requests were sent, and
   * the answer to the next one may follow in the same bytes. It is kept for
   * the next lp__http_begin; otherwise such bytes end the connection. */
  int pipelined;

  /* Private. */
  size_t body_max;      /* ceiling of the body */
  size_t body_capacity; /* of `body` */
  size_t body_received; /* bytes in `body`; chunks are decoded in place */
  size_t left;          /* of the body or of the current chunk */
  size_t head_size;     /* bytes of the head, with its empty line */
  size_t head_received; /* bytes in `head` */
  size_t head_scanned;  /* bytes in which no empty line was found */
  size_t framing;       /* bytes of chunk sizes and trailers */
  size_t next_at;       /* where in `head` the next response begins, */
  size_t next_size;     /* as far as it has come */
  int part;             /* what comes next: see http.c */
  char head[LP__HTTP_HEAD_MAX];
};

/* Makes `http` ready for lp__http_begin; bodies may have at most `body_max`
 * bytes. Allocates nothing. */
void lp__http_init(struct lp__http *http, size_t body_max);

/* Frees the buffers. May be called twice. */
void lp__http_free(struct lp__http *http);

/* Starts a new response. What an earlier one left behind is dropped, but for
 * the beginning of this one that came with it: see `pipelined`. */
void lp__http_begin(struct lp__http *http);

/* Parses what has already come of the new response; any number of times. */
int lp__http_resume(struct lp__http *http);

/* The connection is a new one: nothing is left of another response. */
void lp__http_forget(struct lp__http *http);

/* Where to put the next bytes, and how many fit (at least one). Returns
 * LP__HTTP_MORE, or LP__HTTP_MEMORY. Valid until lp__http_received. */
int lp__http_space(struct lp__http *http, char **at, size_t *size);

/* `size` bytes, at most the space that was offered, have been put there. */
int lp__http_received(struct lp__http *http, size_t size);

/* The connection has ended: completes a body that lasts until then. Returns
 * LP__HTTP_DONE, LP__HTTP_NOTHING or LP__HTTP_PARTIAL. */
int lp__http_end(struct lp__http *http);

/* The value of the first header of this name, whatever its case, without the
 * spaces around it, ended by a zero byte; NULL when there is none or it is
 * empty. Borrowed until the next lp__http_begin. */
const char *lp__http_header(const struct lp__http *http, const char *name);

/* What an enum lp__http_state means, for messages. */
const char *lp__http_message(int state);

#endif
