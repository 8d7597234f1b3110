/* The Lambda Runtime API as one worker sees it: the server's side of one
 * keep-alive HTTP/1.1 connection, without the socket.
 *
 * Received bytes go in, answers come out, and the end of each invocation is
 * reported to `outcome`. The state machine and the answers are those of AWS:
 *
 *   Started --/next--> Ready --event--> Running --/response|/error-->
 * ResponseSent | ^------------------/next-----------------------'
 *      '--/init/error--> InitError
 *
 *   GET  /2018-06-01/runtime/invocation/next           waits for an invocation
 *   POST /2018-06-01/runtime/invocation/ID/response    202, 400, 403, 413
 *   POST /2018-06-01/runtime/invocation/ID/error       202, 400, 403, 413
 *   POST /2018-06-01/runtime/init/error                202, 403, 413
 *   GET  /2018-06-01/ping                              200 "pong"
 *
 * Anything else is a 404. A second /next while an invocation runs hands the
 * same event over again, as AWS's emulator does. Streamed responses are not
 * offered: the only response mode is the buffered one.
 *
 * Large bodies are received in place: lp__endpoint_space says where the next
 * bytes should be read to, and a posted body is passed on in the memory it was
 * read into. Every size is limited; hostile bytes lead to a negative result
 * and never to anything else. */
#ifndef LP_ENDPOINT_H
#define LP_ENDPOINT_H

#include <http_parser.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
  LP__REQUEST_ID_SIZE = 65,
  LP__BODY_MAX = 6 * 1024 * 1024 + 100 /* of a response, as on Lambda */
};

struct lp__invocation {
  const char *event; /* JSON text */
  size_t event_size;
  uint64_t deadline_ms; /* Unix time, in milliseconds */
  char request_id[LP__REQUEST_ID_SIZE];
};

enum lp__outcome { LP__RESPONSE, LP__ERROR, LP__INIT_ERROR };

/* Receives how an invocation (or the initialisation) ended. Takes `body`
 * (malloc, NULL when empty); borrows `type`, the posted error type or "". */
typedef void lp__outcome_sink(void *context, enum lp__outcome outcome,
                              char *body, size_t size, const char *type);

enum lp__endpoint_state {
  LP__STARTED,
  LP__READY, /* a /next waits for its answer */
  LP__RUNNING,
  LP__RESPONSE_SENT,
  LP__INIT_FAILED
};

/* A request while it arrives. */
struct lp__endpoint_request {
  char url[192], field[64], value[96]; /* "" once too long */
  size_t url_size, field_size, value_size;
  char type[96];
  bool in_value, expects, streams, headers_done, complete, too_large;
  char *body; /* owned */
  size_t body_size, body_room;
  uint64_t missing; /* bytes of a body of known length still to come */
};

struct lp__endpoint {
  lp__outcome_sink *outcome;
  void *context;
  http_parser parser;
  enum lp__endpoint_state state;
  int failure;
  bool pending; /* the invocation has no outcome yet */
  struct lp__invocation invocation;
  struct lp__endpoint_request request;
  char answer[2048];
  size_t answer_size, answer_sent;
  const char *event; /* what follows the answer, borrowed */
  size_t event_size;
};

/* Makes an endpoint in the state Started. */
void lp__endpoint_init(struct lp__endpoint *endpoint, lp__outcome_sink *outcome,
                       void *context);

/* Frees what it holds. */
void lp__endpoint_free(struct lp__endpoint *endpoint);

/* True when `id` can be a request id: 1 to 64 letters, digits, - _ or . */
bool lp__request_id_ok(const char *id);

/* Queues an invocation; it is handed over at once when the worker waits.
 * Borrows the event until the outcome is reported or the endpoint is freed.
 * 0, -EBUSY when one has no outcome yet, or -EPIPE after an init error. */
int lp__endpoint_invoke(struct lp__endpoint *endpoint,
                        const struct lp__invocation *invocation);

/* Where to put received bytes, and in *size how many at most: inside a body of
 * known length, or else `scratch`. */
char *lp__endpoint_space(const struct lp__endpoint *endpoint, char *scratch,
                         size_t scratch_size, size_t *size);

/* Processes received bytes, wherever they are. 0, -EPROTO when they are not
 * what a client of the Runtime API sends, or -ENOMEM; then the connection must
 * be closed. */
int lp__endpoint_receive(struct lp__endpoint *endpoint, const char *bytes,
                         size_t size);

/* What is to be sent now: the number of pieces, 0 to 2. Send all of it before
 * receiving more. */
int lp__endpoint_output(const struct lp__endpoint *endpoint,
                        struct iovec pieces[2]);

/* The first `size` bytes of that have been sent. */
void lp__endpoint_sent(struct lp__endpoint *endpoint, size_t size);

#endif
