/* An HTTP/1.1 server on an lp__loop: it listens, reads and checks requests,
 * queues each one as an event once all of it is there, and sends the answer
 * that its owner gives when it likes. What the requests mean is not its
 * business.
 *
 * A connection has one request at a time: those that a client sends ahead are
 * read when the one before is answered. What is not HTTP is answered here with
 * a 4xx or 5xx status and {"message":"..."}, and the connection is closed.
 * Everything that grows has a limit, everything that waits a time:
 *
 *   400 what is not HTTP/1.x, a body with two lengths, no Host
 *   408 headers or body that do not come      413 only as `problem`, below
 *   431 headers beyond header_bytes           501 CONNECT
 *   503 too many connections, or bodies beyond buffered_bytes */
#ifndef LP_HTTP_SERVER_H
#define LP_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One line of a header; both texts end with a zero besides. */
struct lp__field {
  const char *name;
  const char *value;
  size_t name_size, value_size;
};

/* What was received. In Lua, a userdata with the metatable LP__REQUEST whose
 * block begins with a pointer to it: `struct lp__request **`, never NULL. */
struct lp__request {
  const char *method; /* upper case */
  const char *target; /* from the first '/', as on the wire; or "*" */
  size_t target_size;
  size_t path_size; /* the part of it before '?', or all */
  /* Names in lower case; values without space around. In order. */
  const struct lp__field *fields;
  size_t field_count;
  const char
      *body; /* until the answer is complete, then NULL; may have zeros */
  size_t body_size;
  const char *problem; /* NULL, or "body_too_large": then it has no body */
};

#define LP__REQUEST "lambdapool.Request"

struct lp__http_config {
  const char *host;        /* an address or a name; default "127.0.0.1" */
  uint16_t port;           /* default 0: any that is free */
  size_t header_bytes;     /* of a request; default 64 KB, at most that */
  uint64_t body_bytes;     /* of a request; default 70,167,211 */
  uint64_t buffered_bytes; /* bodies being received or kept and answers that
                            * wait, of all connections; default 512 MB */
  unsigned connections;    /* at the same time; default 4096 */
  uint64_t header_ms;      /* until the headers are there; default 10 s */
  uint64_t body_ms;        /* without a byte of a body or an answer; 60 s */
  uint64_t idle_ms;        /* between two requests; default 120 s */
};

/* Fills in the defaults. */
void lp__http_config_init(struct lp__http_config *config);

struct lp__loop;
struct lp__http_server;

/* Starts to listen on `loop`, which it borrows. Its events carry `id`, those
 * of requests the request in `object`:
 *   LP__EVENT_REQUEST   it is complete, or has a problem
 *   LP__EVENT_DRAINED   what lp__request_write left unsent has been sent
 * 0 or a negative errno; of a host that is not found, -ENXIO. */
int lp__http_server_open(struct lp__http_server **out, struct lp__loop *loop,
                         int64_t id, const struct lp__http_config *config);

/* The port it listens on. */
uint16_t lp__http_server_port(const struct lp__http_server *server);

/* Closes the listener and every connection. Requests that are held stay
 * readable; answers to them lead nowhere. NULL is fine. */
void lp__http_server_close(struct lp__http_server *server);

/* Requests are counted: an event holds its own while it is in the queue. When
 * nobody holds a request that has no complete answer, its connection is
 * closed. */
void lp__request_hold(struct lp__request *request);
void lp__request_release(struct lp__request *request);

/* Whether a header may be sent: a token, and a value of one line. */
bool lp__field_ok(const struct lp__field *field);

/* Answers. Copies what cannot be sent at once. Content-Length, Date,
 * Connection and Transfer-Encoding are written here, and left out of `fields`
 * where they occur. A status of 204 or 304 and HEAD have no body. `status` is
 * 200 to 599. An answer to who has gone is dropped; false only when the request
 * has an answer. */
bool lp__request_respond(struct lp__request *request, int status,
                         const struct lp__field *fields, size_t field_count,
                         const char *body, size_t body_size);

/* Begins an answer whose length is not known: chunks, or, for HTTP/1.0, until
 * the connection ends. False as above. */
bool lp__request_begin(struct lp__request *request, int status,
                       const struct lp__field *fields, size_t field_count);

/* Sends more of a body. The number of bytes of the answer that are waiting
 * until the client reads; when it is not 0, DRAINED follows. */
size_t lp__request_write(struct lp__request *request, const char *bytes,
                         size_t size);

/* Ends an answer that was begun: in order, or so that the client can tell that
 * it is not all. */
void lp__request_finish(struct lp__request *request);
void lp__request_abort(struct lp__request *request);

/* Whether nobody waits for the answer any more, as far as can be told. */
bool lp__request_gone(const struct lp__request *request);

enum { LP__ADDRESS_SIZE = 64 };

/* Writes the numeric address of the client; returns its port. */
uint16_t lp__request_address(const struct lp__request *request,
                             char address[LP__ADDRESS_SIZE]);

#endif
