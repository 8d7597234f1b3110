/* Local workers: agent processes, each behind a Runtime API endpoint of its
 * own on 127.0.0.1.
 *
 * A worker is a process (process.h), the page on which it keeps its progress
 * (progress.h), a listener that accepts one connection of that process and no
 * other (peer.h) and then closes, the endpoint behind it (endpoint.h), and one
 * pipe for its output. All of it runs on one lp__loop and reports through its
 * queue. For each worker, in this order:
 *
 *   OUTPUT, RESPONSE, ERROR, INIT_ERROR, TIMEOUT    in any number and mix; what
 *                                     a task wrote comes before its RESPONSE
 *   EXIT                              exactly one, the last of this id
 *
 * Every invocation ends in exactly one of RESPONSE, ERROR, INIT_ERROR, TIMEOUT
 * or, with none of these before it, EXIT. When it ended in TIMEOUT or EXIT, the
 * latter carries what became of its tasks (`unfinished` in loop.h): nothing of
 * one that did not reach the worker has begun. What a worker started in its
 * process group ends with it. Workers end when the host does, also by SIGKILL,
 * as long as the agent watches its lifeline.
 *
 * The environment of a worker is what Lambda documents, as far as it makes
 * sense here, LAMBDAPOOL_LIFELINE and LAMBDAPOOL_PROGRESS (see process.h) and
 * what the configuration adds; nothing of the host's. Its working directory is
 * the host's. */
#ifndef LP_WORKER_H
#define LP_WORKER_H

#include "loop.h"
#include "runtime_api.h"

#include <stdbool.h>
#include <stdint.h>

struct lp__workers;
struct lp__sandbox;

struct lp__worker_config {
  const char *agent;   /* the program; must be set */
  int memory;          /* MB, told to the agent; default 128 */
  const char *handler; /* _HANDLER; default "lambdapool" */
  char *const *env;    /* more "NAME=value", NULL at the end; default none.
                        * They replace those of the same name. */
  const struct lp__sandbox *lambda; /* default NULL: a worker of a pool */
};

/* Fills in the defaults. */
void lp__worker_config_init(struct lp__worker_config *config);

/* False for the names that only the host may give to a worker. */
bool lp__worker_env_ok(const char *name);

/* Makes an empty set of workers on `loop`, which it borrows; 0 or a negative
 * errno. */
int lp__workers_open(struct lp__workers **out, struct lp__loop *loop);

/* Kills and reaps every worker and frees the set. Events that are queued
 * already stay queued; no others come. NULL is fine. */
void lp__workers_close(struct lp__workers *workers);

/* Starts a worker. Its id, positive and never used again, or a negative errno
 * (-ENOENT and the like are about the agent). */
int64_t lp__worker_start(struct lp__workers *workers,
                         const struct lp__worker_config *config);

/* Gives a worker its next invocation, also before it has asked for one; an
 * empty request_id is filled in. Borrows the event until the invocation has
 * ended. When it has neither answered nor begun a task for `kill_ms` (0: never)
 * the worker is killed with a TIMEOUT event. 0, -ESRCH when there is no such
 * worker or it is ending, -EBUSY when it has an invocation. */
int lp__worker_invoke(struct lp__workers *workers, int64_t id,
                      const struct lp__invocation *invocation,
                      uint64_t kill_ms);

/* How far the worker is with its invocation, or came with its last one, as its
 * page says: *begun is any number, *finished no larger one. False when there is
 * no such worker. */
bool lp__worker_progress(struct lp__workers *workers, int64_t id,
                         uint32_t *begun, uint32_t *finished);

/* Takes back the tasks beyond `n`, for good: those that are beyond *begun as
 * well will certainly not begin. False, and nothing is taken back, when the
 * worker has no invocation, is ending, or does not keep its page (it may not
 * have got that far). */
bool lp__worker_cut(struct lp__workers *workers, int64_t id, uint32_t n,
                    uint32_t *begun);

/* Stops and goes on reading the response that a function streams. False when
 * there is no such worker. */
bool lp__worker_pause(struct lp__workers *workers, int64_t id, bool paused);

/* The resident bytes of all processes of a worker, now and at most (added up,
 * so that together they may never have had that many). False when that cannot
 * be found out. */
bool lp__worker_memory(const struct lp__workers *workers, int64_t id,
                       uint64_t *now, uint64_t *peak);

/* Kills a worker and everything in its process group. No event but OUTPUT and
 * EXIT is queued afterwards. False when there is no such worker. */
bool lp__worker_kill(struct lp__workers *workers, int64_t id);

#endif
