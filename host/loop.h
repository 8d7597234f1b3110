/* The event loop of one host: one libuv loop and the queue of what happened.
 *
 * Mechanism (worker.c and what follows it) watches descriptors and timers on
 * the libuv loop and pushes finished events; the owner takes them one by one
 * when it likes. Nothing calls up into the owner, so it may raise, wait or
 * start more work between two events. One thread at a time, but for
 * lp__loop_wake; no signal handlers, no threads.
 *
 * Somebody else's loop can drive this one: lp__loop_fd is for their poll, the
 * owner says with lp__loop_call_at when it wants its next turn, and
 * lp__loop_set_deadline keeps a turn short. */
#ifndef LP_LOOP_H
#define LP_LOOP_H

#include "block.h"
#include "progress.h"

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/queue.h>
#include <uv.h>

enum lp__event_kind {
  LP__EVENT_RESPONSE,    /* bytes: what the worker posted */
  LP__EVENT_ERROR,       /* bytes: the error as JSON; type */
  LP__EVENT_INIT_ERROR,  /* bytes: the error as JSON; type */
  LP__EVENT_TIMEOUT,     /* the host's own limit passed; exit follows */
  LP__EVENT_OUTPUT,      /* bytes: one line, without its newline */
  LP__EVENT_EXIT,        /* code, signal, reason, unfinished; the last event of
                          * its id */
  LP__EVENT_NOT_STARTED, /* code: an errno; in place of EXIT */
  LP__EVENT_READY,       /* a runtime asks for an invocation */
  LP__EVENT_STREAM,      /* bytes: the content type of a streamed response */
  LP__EVENT_CHUNK,       /* bytes: more of it */
  LP__EVENT_STREAM_END,  /* type and bytes, when it ended in an error */
  LP__EVENT_REQUEST,     /* object: a request of a server, see http_server.h */
  LP__EVENT_DRAINED,     /* object: the same; what was unsent has been sent */
  LP__EVENT_TRANSFER     /* a transfer has news; whoever sends has them */
};

enum { LP__ERROR_TYPE_SIZE = 64 };

struct lp__event {
  struct lp__event *next;
  enum lp__event_kind kind;
  int64_t id;  /* of the worker, or, below 0, of the server or who sends */
  char *bytes; /* owned (memory.h), or NULL; of OUTPUT inside of `lines` */
  size_t size;
  struct lp__block *block; /* held: `bytes` are inside of that; or NULL */
  bool is_whole;           /* these have been checked, see intake.h */
  char *lines;       /* owned: this line and those that follow in the queue */
  size_t room, rest; /* of these: bytes allocated; bytes after this line */
  char type[LP__ERROR_TYPE_SIZE]; /* error type, "" when there is none */
  int code;           /* exit code, -1 when a signal ended it; an errno */
  int signal;         /* signal that ended it, or 0 */
  const char *reason; /* static text: why the host ended it, or NULL */
  bool unfinished;    /* an invocation had no outcome: how far it came is in
                       * `progress`, the records that are kept in `bytes` */
  bool ready;         /* the worker has asked for the next event with this */
  struct lp__progress_report progress;
  void *object; /* held; given back with `release`, unless it is NULL */
  void (*release)(void *object);
};

/* An event with every field zero but these two; NULL when memory is short.
 * Returned owned. */
struct lp__event *lp__event_new(enum lp__event_kind kind, int64_t id);

/* Adds a line, without its newline and any in it, behind those of an event of
 * the kind OUTPUT; lp__loop_drop goes on to it. Many short lines would be many
 * events. False when the event has enough, or memory is short. */
bool lp__event_add_line(struct lp__event *event, const char *text, size_t size);

/* Frees an event that is not in a queue, its bytes and its hold of `object`. */
void lp__event_free(struct lp__event *event);

struct lp__loop;

/* Makes a loop; 0 or a negative errno. */
int lp__loop_open(struct lp__loop **out);

/* Makes a loop of libuv's alone, for a thread of ours: what is allocated for it
 * is not from the host's memory. 0 or a negative errno. */
int lp__loop_init_apart(uv_loop_t *uv);

/* Frees the loop and the events nobody took. Everything that was started on
 * it must have been closed before. NULL is fine. */
void lp__loop_close(struct lp__loop *loop);

/* The libuv loop, to put handles on; it lives as long as `loop`. */
uv_loop_t *lp__loop_uv(struct lp__loop *loop);

/* Puts an event at the end of the queue. Takes it. */
void lp__loop_push(struct lp__loop *loop, struct lp__event *event);

/* The event at the end of the queue, to be added to, or NULL when the queue is
 * empty. */
struct lp__event *lp__loop_last(struct lp__loop *loop);

/* Counts what can still produce events (+1 when it starts, -1 when its last
 * event is queued), so that waiting without limit ends when nothing is left. */
void lp__loop_count(struct lp__loop *loop, int change);

/* The same for what comes from far away, which takes so long that waiting for
 * it need not begin with a moment of looking. */
void lp__loop_count_far(struct lp__loop *loop, int change);

/* To be called after a handle was started or changed: libuv tells the kernel
 * only in its next round, and until then lp__loop_fd would miss what it watches
 * for. */
void lp__loop_watches_more(struct lp__loop *loop);

/* The first queued event, or NULL. Runs the loop only when the queue is empty,
 * for at most `timeout_ms`: 0 never blocks, a negative one waits until there
 * is an event or nothing is alive. While an interrupt is pending (interrupt.h)
 * it does not wait, and lp__loop_wake ends a wait. The event stays in the
 * queue, borrowed, until lp__loop_drop. */
const struct lp__event *lp__loop_next(struct lp__loop *loop,
                                      int64_t timeout_ms);

/* Removes and frees the event that lp__loop_next returned, or makes it that of
 * its next line. */
void lp__loop_drop(struct lp__loop *loop);

/* How many events there were that are dropped. */
uint64_t lp__loop_dropped(const struct lp__loop *loop);

/* --- short turns --------------------------------------------------------- */

/* Where something came to be in the way of a deadline: what goes on there is
 * the first thing to be done next time. All zero, but for `run` and `context`,
 * is none. */
struct lp__turn {
  TAILQ_ENTRY(lp__turn) place;
  bool waits;
  void (*run)(void *context);
  void *context;
};

/* What can be put off is put off when it is `ns` of uv_hrtime, 0: never. Until
 * then, and once in every look even after that, lp__loop_admits. */
void lp__loop_set_deadline(struct lp__loop *loop, uint64_t ns);

/* Whether a callback may take in one more piece of what it has found, of at
 * most lp__loop_piece bytes. When it may not, turn->run(turn->context) is
 * called when there is time again, in the order in which this was asked. */
bool lp__loop_admits(struct lp__loop *loop, struct lp__turn *turn);

/* LP__LOOP_PIECE while there is a deadline, without one any number. */
size_t lp__loop_piece(const struct lp__loop *loop);

enum { LP__LOOP_PIECE = 64 * 1024 };

/* Forgets it. Whoever has asked for turns does so before they are freed. */
void lp__loop_forget(struct lp__loop *loop, struct lp__turn *turn);

/* --- other loops --------------------------------------------------------- */

/* A descriptor to put in somebody else's poll, or a negative errno; always the
 * same one, not to be read. It is readable when a look would find something,
 * from the time that lp__loop_call_at has named, and after lp__loop_wake. */
int lp__loop_fd(struct lp__loop *loop);

/* The owner says when it wants to be called, to look or to do what it has put
 * off: at `ns` of uv_hrtime, 0: at once, UINT64_MAX: not before something
 * happens. To be called again before anybody waits at the descriptor, since
 * once it is time it stays so, and since what was started or has become due
 * meanwhile is found out here. Timers and events of this loop itself are taken
 * care of. */
void lp__loop_call_at(struct lp__loop *loop, uint64_t ns);

/* Whether there is nothing to do: a look would find nothing, and the owner's
 * time has not come. Much cheaper than to look. */
bool lp__loop_rests(const struct lp__loop *loop);

/* Ends the wait that is going on in lp__loop_next, makes the descriptor
 * readable until the next look, and lp__loop_take_wake say so. By any thread,
 * and by a signal handler, while the loop is open. */
void lp__loop_wake(struct lp__loop *loop);

/* Whether it was woken since this was asked last, as far as the looks since
 * then have found. */
bool lp__loop_take_wake(struct lp__loop *loop);

#endif
