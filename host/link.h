/* One connection of a worker: its socket on the loop, and the endpoint that
 * speaks on it. */
#ifndef LP_LINK_H
#define LP_LINK_H

#include "endpoint.h"
#include "intake.h"
#include "loop.h"

#include <stdbool.h>
#include <stdint.h>

/* A request is read in such pieces: small ones come in one read, of large ones
 * little is copied. */
enum { LP__LINK_READ = 16 * 1024 };

struct lp__link;

/* What the owner of links lends them and is told. In each of these it may
 * close links, this one too. */
struct lp__link_owner {
  struct lp__loop *loop;
  char *scratch; /* LP__LINK_READ bytes; used only within one callback */
  struct lp__receiver *receiver; /* receives for the links; NULL: they do */
  /* The other end has closed, or all is sent after which the connection was to
   * end (`error` 0), or it broke (an errno). */
  void (*lost)(void *context, struct lp__link *link, int error);
  /* -EPROTO: what came is not a request; -ENOMEM. */
  void (*failed)(void *context, struct lp__link *link, int status);
  void *context;
  uint64_t turns; /* counts what was received */
};

struct lp__link {
  struct lp__link *next; /* for the owner */
  struct lp__link_owner *owner;
  uint64_t turn; /* the owner's count when something came last */
  struct lp__endpoint endpoint;
  struct lp__intake *intake; /* NULL without a receiver */
  size_t usual;              /* bytes of an answer, about */
  int fd;                    /* -1 when closed */
  bool writing;              /* waits until an answer can be sent */
  bool paused;               /* does not read */
  int handles;               /* open ones */
  struct lp__turn go_on;
  uv_poll_t poll;
  uv_timer_t hold; /* for what is held back */
};

/* Makes a link of a connected socket. Takes the socket, also when it fails;
 * borrows the rest until it is closed. 0 or a negative errno. */
int lp__link_open(struct lp__link **out, int fd, struct lp__api *api,
                  struct lp__link_owner *owner);

/* Ends the connection. The memory stays until libuv lets go of it, and its
 * fields may still be read in this callback. May be called twice. */
void lp__link_close(struct lp__link *link);

/* Takes in what has arrived, a limited amount. False when there may be more and
 * the deadline of the loop has passed; it goes on by itself then. */
bool lp__link_receive(struct lp__link *link);

/* The same, but with a receiver only what that has received: cheap, where it is
 * enough that nothing goes unnoticed for long. */
bool lp__link_look(struct lp__link *link);

/* Sends what the endpoint has to say, as far as the socket takes it, and beyond
 * the first piece as far as the deadline allows; the rest follows, and nothing
 * is received meanwhile. */
void lp__link_send(struct lp__link *link);

/* Stops and goes on reading. */
void lp__link_pause(struct lp__link *link, bool paused);

#endif
