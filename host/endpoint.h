/* One connection to the Lambda Runtime API: the server's side of a keep-alive
 * HTTP/1.1 connection, without the socket.
 *
 * Received bytes go in, answers come out, and what was asked for is done to the
 * `lp__api` behind it (runtime_api.h), which several connections may share:
 *
 *   GET  /2018-06-01/runtime/invocation/next           waits for an invocation
 *   POST /2018-06-01/runtime/invocation/ID/response    202, 400, 403, 413
 *   POST /2018-06-01/runtime/invocation/ID/error       202, 400, 403, 413
 *   POST /2018-06-01/runtime/init/error                202, 403, 413
 *   GET  /2018-06-01/ping                              200 "pong"
 *
 * Anything else is a 404. A response with the mode "streaming" is passed on as
 * it comes, of any size; its trailers may tell an error, of what http-parser
 * takes for one (80 KB).
 *
 * Large bodies are received in place: lp__endpoint_space says where the next
 * bytes should be read to, or the endpoint knows the block in which everything
 * is received; a posted body is passed on in the memory it was read into. Every
 * size is limited; hostile bytes lead to a negative result
 * and never to anything else. */
#ifndef LP_ENDPOINT_H
#define LP_ENDPOINT_H

#include "runtime_api.h"

#include <http_parser.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
  LP__BODY_MAX = 6 * 1024 * 1024 + 100, /* of a response, as on Lambda */
  LP__ENDPOINT_PIECES = 3
};

/* A request while it arrives. */
struct lp__endpoint_request {
  char url[192], field[64], value[128]; /* "" once too long */
  size_t url_size, field_size, value_size;
  char type[128], mode[128], content_type[128];
  bool in_value, expects, has_mode, headers_done, complete, too_large, closes;
  bool streams;         /* its body is a streamed response that has begun */
  bool in_place;        /* it stays in the block of the endpoint */
  struct lp__body body; /* of a streamed response, the error in its trailer */
  size_t body_room;     /* where it is memory of its own */
  uint64_t missing;     /* bytes of a body of known length still to come */
};

struct lp__endpoint {
  struct lp__api *api;
  struct lp__block *block; /* what is received is in it, one behind the other,
                            * and bodies of known length stay there; borrowed.
                            * NULL: it is anywhere */
  const char *whole;       /* a body in it that has been checked; or NULL */
  size_t whole_size;
  http_parser parser;
  int failure;
  bool waits;  /* for an invocation: the answer to /next */
  bool closes; /* the connection ends with what there is to send now */
  struct lp__endpoint_request request;
  char answer[2048];
  size_t answer_size, answer_sent;
  struct iovec rest[2]; /* what follows the answer, borrowed: header lines
                         * and the event */
};

/* Makes one for a new connection. Borrows the API. */
void lp__endpoint_init(struct lp__endpoint *endpoint, struct lp__api *api);

/* The connection has ended: so has a response that was being streamed. */
void lp__endpoint_ended(struct lp__endpoint *endpoint);

/* Frees what it holds; may be called twice. */
void lp__endpoint_free(struct lp__endpoint *endpoint);

/* Answers the /next that waits here with the API's invocation. Borrows that
 * until it is sent or has its outcome. */
void lp__endpoint_hand_over(struct lp__endpoint *endpoint);

/* Whether it still has to send parts of an invocation. */
bool lp__endpoint_hands_over(const struct lp__endpoint *endpoint);

/* Where to put received bytes, and in *size how many at most: inside a body of
 * known length, or else `scratch`. */
char *lp__endpoint_space(const struct lp__endpoint *endpoint, char *scratch,
                         size_t scratch_size, size_t *size);

/* Processes received bytes, wherever they are. 0, -EPROTO when they are not
 * what a client of the Runtime API sends, or -ENOMEM; then the connection must
 * be closed. */
int lp__endpoint_receive(struct lp__endpoint *endpoint, const char *bytes,
                         size_t size);

/* A body that stays in the block and has not come as a whole: its first byte,
 * NULL as long as there is none, how many there are and in *missing how many
 * are still to come, which is 0 when there is no such body. */
char *lp__endpoint_begun(const struct lp__endpoint *endpoint, size_t *size,
                         size_t *missing);

/* That body is elsewhere now: in `block`, from `bytes` on. */
void lp__endpoint_moved(struct lp__endpoint *endpoint, struct lp__block *block,
                        char *bytes);

/* Whether a request has begun to arrive, or its answer is still to come. */
bool lp__endpoint_busy(const struct lp__endpoint *endpoint);

/* What is to be sent now: the number of pieces, none when there is nothing.
 * Send all of it before receiving more. */
int lp__endpoint_output(const struct lp__endpoint *endpoint,
                        struct iovec pieces[LP__ENDPOINT_PIECES]);

/* The first `size` bytes of that have been sent. */
void lp__endpoint_sent(struct lp__endpoint *endpoint, size_t size);

#endif
