/* Local workers: processes, each behind a Runtime API of its own on 127.0.0.1.
 *
 * A worker is a process, the port on which it finds its Runtime API
 * (runtime_api.h), the connections that it has made to that (link.h) and one
 * pipe for its output. Only its own processes are let in (peer.h). All of it
 * runs on one lp__loop and reports through its queue. There are two kinds.
 *
 * Workers of pools run our agent (process.h), which has one connection, keeps a
 * page on its progress (progress.h) and ends when that connection does. For
 * each, in this order:
 *
 *   OUTPUT, RESPONSE, ERROR, INIT_ERROR, TIMEOUT    in any number and mix; what
 *                                     a task wrote comes before its RESPONSE
 *   EXIT                              exactly one, the last of this id
 *
 * or, of one that was started apart, NOT_STARTED alone, with an errno in code.
 * Then nothing of its invocation has begun.
 *
 * Every invocation ends in exactly one of RESPONSE, ERROR, INIT_ERROR, TIMEOUT
 * or, with none of these before it, EXIT or NOT_STARTED. When it ended in
 * TIMEOUT or EXIT, the latter carries what became of its tasks (`unfinished` in
 * loop.h): nothing of one that did not reach the worker has begun. What a
 * worker started in its process group ends with it. Workers end when the host
 * does, also by SIGKILL, as long as the agent watches its lifeline.
 *
 * Workers of functions run any runtime in a sandbox (sandbox.h), which may have
 * 16 connections, new ones at any time, also by its children. Beside the events
 * above there are:
 *
 *   READY                       it has asked for an event and there is none: it
 *                               is initialised, or free again. When the outcome
 *                               before has not been taken yet, that has `ready`
 *                               set instead.
 *   STREAM, CHUNK, STREAM_END   a streamed response, which is an outcome like
 *                               any other when it ends
 *
 * Their time is limited until they are free again, so TIMEOUT may also follow
 * an outcome.
 *
 * The environment of a pool's worker is what Lambda documents, as far as it
 * makes sense here, LAMBDAPOOL_LIFELINE and LAMBDAPOOL_PROGRESS (see process.h)
 * and what the configuration adds; its working directory is the host's. That of
 * a function is what the configuration says and AWS_LAMBDA_RUNTIME_API. There
 * is nothing of the host's in it. */
#ifndef LP_WORKER_H
#define LP_WORKER_H

#include "intake.h"
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
  int nice;   /* how nice it is to other processes, beyond this one, 0 to 19;
               * default 0. Not for functions. */
  bool apart; /* start it on a thread of the set's own: lp__worker_start does
               * not wait for it, and when that fails there is NOT_STARTED.
               * Default false. Not for functions. */
  lp__check received; /* a thread of the set's own receives and checks its
                       * answers: they are in memory, in blocks, when the loop
                       * looks. One check for the whole set. Default NULL: no
                       * thread. Not for functions. */
  const struct lp__sandbox *lambda; /* a function's surroundings; then `agent`
                                     * is a path in these, and memory and
                                     * handler mean nothing. Default NULL: a
                                     * worker of a pool */
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
 * (-ENOENT and the like are about the agent). One that starts apart may be
 * given its invocation at once, and be killed. */
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
 * page says: *begun is any number, *finished no larger one. None of it has
 * begun while the worker is being started. False when there is no such worker.
 */
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

/* Ends the task that a worker runs, if that is Lua code: the worker answers as
 * when the task's time is up, and lives on. The tasks behind it are to be taken
 * back before. False when it has no invocation, is ending, or is in a sandbox,
 * which nobody can tell. */
bool lp__worker_stop(struct lp__workers *workers, int64_t id);

/* Kills a worker and everything in its process group. No event but OUTPUT and
 * EXIT is queued afterwards. False when there is no such worker. */
bool lp__worker_kill(struct lp__workers *workers, int64_t id);

#endif
