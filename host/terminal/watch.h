/* A terminal on the loop: an event when there is something to read, or when the
 * size of the screen has changed. */
#ifndef LP_TERMINAL_WATCH_H
#define LP_TERMINAL_WATCH_H

#include "loop_port.h"

#include <stdbool.h>

struct lp__watch;

/* Gets ready to watch `fd`, which stays as it is: it may be shared with other
 * programs, and is not made non-blocking. `port` is borrowed as long as the
 * watch is open. 0 or a negative errno. */
int lp__watch_open(struct lp__watch **out, const struct lp__loop_port *port,
                   int64_t id, int fd);

/* One LP__EVENT_TRANSFER with the id comes, as soon as there is a reason; there
 * is never more than one on the way. Until it comes, the loop has something to
 * wait for. */
void lp__watch_start(struct lp__watch *watch);

/* The event need not come any more. One that is in the queue still does. */
void lp__watch_stop(struct lp__watch *watch);

/* Whether the size has changed since it was asked last. */
bool lp__watch_resized(struct lp__watch *watch);

/* Ends it. NULL is fine. */
void lp__watch_close(struct lp__watch *watch);

#endif
