/* What the files of workers share and nobody else sees: worker.c uses
 * them, worker_start.c starts them, worker_talk.c listens to them, worker_end.c
 * ends them. */
#ifndef LP_WORKER_PRIVATE_H
#define LP_WORKER_PRIVATE_H

#include "lines.h"
#include "intake.h"
#include "link.h"
#include "process.h"
#include "runtime_api.h"
#include "starter.h"
#include "worker.h"

enum {
  /* How long a process may live on after its connection has ended, so that its
   * own exit status is seen and not that of our SIGKILL. */
  LP__GRACE_MS = 1000,
  LP__OUTPUT_READ = 64 * 1024 /* what a pipe holds */
};

struct lp__workers {
  struct lp__loop *loop;
  struct lp__worker **items; /* by ascending id */
  size_t count, room;
  int64_t last_id;
  uint64_t invocations;
  struct lp__starter *starter;   /* NULL until it is needed */
  size_t starting;               /* workers that it has */
  struct lp__receiver *receiver; /* the same */
  /* What callbacks read into; used only within one of them. Two, because the
   * output is read while a request is being parsed. */
  char request[LP__LINK_READ], text[LP__OUTPUT_READ];
};

struct lp__worker {
  struct lp__workers *workers;
  int64_t id;
  bool lambda;   /* any runtime may be behind it, see worker.h */
  bool isolated; /* its process is no runtime, but its ancestor */
  struct lp__process process;
  struct lp__progress *progress; /* of the invocation, or of the last one; NULL
                                  * when `lambda` */
  struct lp__api api;
  struct lp__link_owner owner;
  struct lp__link *links;
  struct lp__lines lines;
  struct lp__event *exit; /* made beforehand: it must not fail */
  int listener_fd;        /* -1 when closed */
  bool starting;          /* elsewhere: there is no process yet */
  bool ending;            /* no more outcomes; `exit` follows */
  bool unread;            /* it ended before it had read all that was sent */
  uv_poll_t listener, output, end;
  struct lp__turn read_output;
  uv_timer_t timer;           /* of the invocation, or of the grace */
  uint64_t kill_ms, since_ns; /* the invocation's limit, and its begin */
  uint32_t limit;             /* the last task that was not taken back */
  uv_timer_t reaper;          /* in place of `end` where there is no pidfd */
  int handles;                /* open ones */
};

/* --- worker.c ------------------------------------------------------------ */

/* Calls `callback` when `fd` is readable. 0 or a negative errno. */
int lp__worker_watch(struct lp__worker *worker, uv_poll_t *poll, int fd,
                     uv_poll_cb callback);

/* Closes a handle unless it was never opened or is closing already. */
void lp__worker_close_handle(void *handle);

/* Puts a worker into its set. 0 or a negative errno. */
int lp__worker_add(struct lp__worker *worker);

/* Takes a worker out of its set. */
void lp__worker_forget(struct lp__worker *worker);

/* Closes everything. The worker is freed when libuv lets go of the handles. */
void lp__worker_release(struct lp__worker *worker);

/* --- worker_start.c ------------------------------------------------------ */

/* Kills, reaps and forgets a worker without an event. */
void lp__worker_abandon(struct lp__worker *worker);

/* Those that are being started have started then, or never will. */
void lp__worker_stop_starting(struct lp__workers *workers);

/* --- worker_talk.c ------------------------------------------------------- */

/* Prepares what is behind the connections to come, for which a thread receives
 * when there is a check. 0 or a negative errno. */
int lp__worker_prepare_talk(struct lp__worker *worker, lp__check check);

/* Opens a port to listen at, -1 when it fails. 0 or a negative errno. By any
 * thread. */
int lp__worker_open_port(int *fd, unsigned *port);

/* Watches the port and the output. 0 or a negative errno. */
int lp__worker_watch_talk(struct lp__worker *worker);

/* Closes the port and all connections. */
void lp__worker_hang_up(struct lp__worker *worker);

/* Takes in what has arrived on every connection. False when the deadline of the
 * loop has passed and there may be more. */
bool lp__worker_receive(struct lp__worker *worker);

/* The same without what a receiver has not received. */
void lp__worker_look(struct lp__worker *worker);

/* The same when nothing else will arrive: a response that was being streamed
 * ends here, once there is no more. */
bool lp__worker_receive_last(struct lp__worker *worker);

/* Stops and goes on reading a streamed response. */
void lp__worker_set_paused(struct lp__worker *worker, bool paused);

/* Hands the invocation to whom has waited longest, if anybody waits. */
void lp__worker_hand_over(struct lp__worker *worker);

/* Everything that was written until now becomes lines, the last one too,
 * whatever the deadline of the loop is. */
void lp__worker_flush_output(struct lp__worker *worker);

/* --- worker_end.c -------------------------------------------------------- */

/* The first reason is the one to tell. */
void lp__worker_end(struct lp__worker *worker, const char *reason);

/* The only connection of a worker of a pool is gone; normally the process is
 * about to be gone too. */
void lp__worker_lost(struct lp__worker *worker, const struct lp__link *link,
                     int error);

/* It could not start, and has to end now. */
void lp__worker_start_failed(struct lp__worker *worker);

/* Limits the time of the invocation, from now on; 0: not at all. */
void lp__worker_limit_time(struct lp__worker *worker, uint64_t ms);

/* Makes the timer, before anything else: it is not used up to now. */
void lp__worker_open_timer(struct lp__worker *worker);

/* Watches for the end of the process. 0 or a negative errno. */
int lp__worker_watch_end(struct lp__worker *worker);

#endif
