/* One connection of an HTTP server, and the request that is on it.
 *
 *   READING --request--> WAITING --answer--> FLUSHING --all sent--> READING
 *      '--refused----------------------------->'       '--> LINGERING
 *
 * A connection that ends while the client may still be sending lingers: what
 * comes is thrown away for a while, because closing at once would reset it and
 * take the answer from the client. */
#ifndef LP_HTTP_CONNECTION_H
#define LP_HTTP_CONNECTION_H

#include "http_answer.h"
#include "http_reader.h"
#include "loop.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { LP__SCRATCH = 64 * 1024 };

union lp__address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

struct lp__http_server {
  struct lp__loop *loop;
  int64_t id;
  struct lp__http_config config;
  int fd; /* of the listener; -1 while it is closed */
  uv_poll_t listener;
  uv_timer_t tick;
  bool deaf;   /* too many open files: the next tick listens again */
  int handles; /* open ones, those of connections included */
  struct lp__connection *connections;
  unsigned count;
  uint64_t buffered;
  uint16_t port;
  struct lp__date date;
  struct lp__bytes head; /* of the answer that is being made */
  char scratch[LP__SCRATCH];
};

enum lp__phase {
  LP__READING,
  LP__WAITING,
  LP__FLUSHING,
  LP__LINGERING,
  LP__CLOSED
};

/* What a struct lp__request belongs to. */
struct lp__exchange {
  struct lp__request request;        /* first: one pointer is the other */
  struct lp__connection *connection; /* NULL once it has a complete answer, or
                                      * nobody waits for it any more */
  union lp__address address;
  char *body;     /* owned */
  unsigned holds; /* see lp__request_hold */
  bool begun, chunks, no_body;
  bool undrained; /* DRAINED is due */
};

struct lp__connection {
  struct lp__http_server *server;
  struct lp__connection *previous, *next;
  int fd;
  uv_poll_t poll;
  int watched; /* events of uv_poll_start */
  enum lp__phase phase;
  uint64_t deadline; /* uv_now; 0 is never */
  struct lp__reader reader;
  struct lp__exchange *exchange; /* while WAITING */
  struct lp__bytes ahead;        /* received before its turn */
  struct lp__bytes unsent;
  uint64_t counted; /* what of the server's `buffered` is ours */
  union lp__address address;
  bool hung_up; /* the client has sent all it will; some may be unread */
  bool ended;   /* and all of that has been read */
  bool keeps;   /* another request may follow the current one */
  bool behind;  /* more of what was refused may be coming */
};

/* Takes over the socket, or closes it when memory is short. `refused`: only to
 * be told that there are too many. */
void lp__connection_open(struct lp__http_server *server, int fd,
                         const union lp__address *address, bool refused);

/* Closes it at once. */
void lp__connection_close(struct lp__connection *connection);

/* Sends the pieces, or keeps what cannot be sent now. Closes the connection
 * when that fails. */
struct iovec;
void lp__connection_put(struct lp__connection *connection, struct iovec *pieces,
                        size_t count);

/* The answer is complete: the request leaves the connection, which turns to the
 * next one as soon as all is sent. */
void lp__connection_answered(struct lp__connection *connection);

/* Brings the server's count of buffered bytes up to date. */
void lp__connection_count(struct lp__connection *connection);

/* Ends what has waited too long; called now and then. */
void lp__connections_check(struct lp__http_server *server);

/* A handle of the server has closed; the last one frees it. */
void lp__http_server_released(struct lp__http_server *server);

#endif
