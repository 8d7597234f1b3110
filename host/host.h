/*
 * What the files of the embedding layer share: lambdapool.h is its interface.
 *
 *   host.c           lp_open and lp_close
 *   host_config.c    struct lp_config, checked
 *   host_call.c      every call of the user's begins and ends here: who may
 *                    call, whose memory it is, protected calls, errors
 *   host_tasks.c     the tasks that are open or have results, without Lua
 *   host_values.c    values to Lua and back
 *   host_submit.c    lp_submit, lp_cancel, lp_state, lp_stats
 *   host_poll.c      lp_poll, lp_wait, lp_next, lp_fd, lp_wake
 *   host_run.c       lp_run, lp_command
 *   host_register.c  functions of the user's for Lua
 *   host_log.c       what is printed, and warnings
 *   host_guards.c    what Lua code may not do to the process
 *   lib_embed.c      what lua/lambdapool/embed.lua calls
 */
#ifndef LP__HOST_H
#define LP__HOST_H

#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "collect.h"
#include "coroutine.h"
#include "heap.h"
#include "host_tasks.h"
#include "lambdapool.h"
#include "loop.h"
#include "memory.h"

/* Functions of lambdapool.embed, kept in the registry. */
enum lp__embedded {
  LP__EMBED_OPEN,
  LP__EMBED_CHUNK,
  LP__EMBED_PREPARE,
  LP__EMBED_SUBMIT,
  LP__EMBED_CANCEL,
  LP__EMBED_STATE,
  LP__EMBED_STATS,
  LP__EMBED_STEP,
  LP__EMBED_REST,
  LP__EMBED_HOLD,
  LP__EMBED_DESCRIPTOR,
  LP__EMBED_RESET,
  LP__EMBEDDED
};

/* Warnings that the user has not been told of: texts, each with its zero. */
struct lp__warnings {
  bool on, goes_on; /* they are wanted; the last one is not complete */
  char *bytes;
  size_t size;
};

struct lp_host {
  struct lp__memory memory; /* where all of it is allocated */
  lua_State *L;             /* the main coroutine */
  lua_State *running_state; /* the coroutine to use: the one that has called the
                             * user's code, or the main one */
  struct lp__heap *heap;    /* of L */
  struct lp__running running;
  int require, config;        /* references in the registry */
  int embedded[LP__EMBEDDED]; /* the same; 0 before the first use */
  struct lp__collector collector;
  uint64_t piece_ns;               /* what a longer piece of work takes */
  _Atomic(struct lp__loop *) loop; /* NULL before the first use */

  pid_t process;                /* that has opened it: no child of its own */
  _Atomic(const void *) inside; /* the thread that calls, or NULL */
  bool in_callback;             /* it is in the user's code */
  bool is_open;                 /* or it can only tell its error */
  bool commanding;              /* lp_command runs */
  bool damaged;                 /* an error has left the executor as it was */
  bool must_reset;              /* the executor in Lua is to be given up */
  atomic_bool woken;            /* lp_wake, for lp_wait */

  struct lp__tasks tasks;
  struct lp__ended lent; /* what lp_next and lp_run have given last */

  lp_log log;
  void *log_data;
  struct lp__warnings warnings;

  int code;    /* what an error in Lua means */
  char *error; /* the last one, or NULL */
  const char *static_error;
};

/* --- host_call.c --------------------------------------------------------- */

/* Where a function may be called. */
enum lp__where { LP__ANYWHERE, LP__OUTSIDE_OF_CALLBACKS, LP__CLOSING };

/* What a call puts back at its end. */
struct lp__call {
  struct lp__memory *memory;
  bool nested;
};

/* A call of the user's begins: LP_OK; or LP_EINVAL without a host, LP_EBUSY. */
int lp__enter(lp_host *host, struct lp__call *call, enum lp__where where);

/* It ends. Returns `result`. */
int lp__leave(lp_host *host, const struct lp__call *call, int result);

/* What the user's code, called from Lua in `L` or from C with NULL, replaces.
 */
struct lp__callback {
  lua_State *L;
  bool nested;
};

void lp__callback_begin(lp_host *host, struct lp__callback *callback,
                        lua_State *L);
void lp__callback_end(lp_host *host, const struct lp__callback *callback);

/* Notes what was wrong, and returns `code`. */
int lp__fail(lp_host *host, int code, const char *message);

/* Calls f(argument, a light userdata) in Lua, protected. LP_OK; or what went
 * wrong, noted. */
int lp__protected(lp_host *host, lua_CFunction f, void *argument);

/* For Lua: what the error value at index 1 says, as the program lua has it. */
int lp__describe(lua_State *L);

/* In what lp__protected calls: raises an error that has this code.
 * [-0, +0, e] */
int lp__raise(lua_State *L, lp_host *host, int code, const char *format, ...);

/* Pushes a function of lambdapool.embed, which is loaded at the first use.
 * [-0, +1, e] */
void lp__push_embedded(lua_State *L, lp_host *host, enum lp__embedded which);

/* Whether that is loaded. */
bool lp__is_embedded(const lp_host *host);

/* --- host_poll.c --------------------------------------------------------- */

/* Opens the loop at the first use. LP_OK; or what went wrong, noted. */
int lp__open_loop(lp_host *host);

/* The executor cannot be relied on any more: all tasks that are open have
 * ended. `why` is static. */
void lp__give_up(lp_host *host, const char *why);

/* Like lp__protected, for what changes the executor, which is given up when
 * memory runs out in it, or when it is damaged in another way. */
int lp__protected_change(lp_host *host, lua_CFunction f, void *argument);

/* Has another executor when one was given up. To be called before it is used.
 */
int lp__recover(lp_host *host);

/* --- host_config.c ------------------------------------------------------- */

/* Limits of time, in milliseconds: with any clock's time they can be added up.
 */
#define LP__LONGEST_MS 1000000000000

/* Fills in what the user has not given; `config` may be NULL. False when it is
 * not one of lp_config_init. */
bool lp__config_complete(struct lp_config *whole,
                         const struct lp_config *config);

/* The same for tasks, of which there must be one. */
bool lp__task_complete(struct lp_task *whole, const struct lp_task *task);

/* LP_OK; or LP_EINVAL, noted. */
int lp__config_check(lp_host *host, const struct lp_config *config);

/* Tells Lua of it: config.path and the options of the executor.
 * [-0, +0, e] */
void lp__config_apply(lua_State *L, lp_host *host,
                      const struct lp_config *config);

/* --- host_values.c ------------------------------------------------------- */

/* Pushes a value of the user's. `what` and `number` name it in errors.
 * [-0, +1, e] */
void lp__value_push(lua_State *L, const struct lp_value *value,
                    const char *what, int number);

/* Says in `values` what the `count` values from the index `first` on are; those
 * that have no type of their own are replaced on the stack by strings, to which
 * `values` points.  [-0, +0, e] */
void lp__values_fill(lua_State *L, int first, int count,
                     struct lp_value *values);

/* Takes the message and the traceback, strings, and the `count` values at the
 * top of the stack into a result; `json` says which of them are texts in JSON:
 * the first one if its bit 0 is set. Those that lend their bytes (lent.h) give
 * them up to it. What it holds is to be released when this raises, too.
 * [-(count + 2), +0, e] */
void lp__values_keep(lua_State *L, int count, lua_Integer json,
                     struct lp__ended *ended);

/* The result is not used any more: what it holds is given back now. */
void lp__values_release(lp_host *host, struct lp__ended *ended);

/* --- host_submit.c ------------------------------------------------------- */

/* Checks a task of the user's, which `whole` becomes. LP_OK or LP_EINVAL,
 * noted.
 */
int lp__task_check(lp_host *host, const struct lp_task *task,
                   struct lp_task *whole);

/* Pushes the function of a task and its arguments; returns how many these
 * are.  [-0, +n, e] */
int lp__task_push(lua_State *L, lp_host *host, const struct lp_task *task);

/* --- host_log.c ---------------------------------------------------------- */

/* Gives a text to the user, line by line.  [-0, +0, m] */
void lp__log(lua_State *L, lp_host *host, enum lp_log_level level,
             const char *text, size_t size);

/* Gives the warnings to the user that have come meanwhile. */
void lp__log_warnings(lp_host *host);

/* Puts in place the user's print and warnings.  [-0, +0, e] */
void lp__log_install(lua_State *L, lp_host *host);

/* --- host_guards.c ------------------------------------------------------- */

/* Replaces what would harm the process: os.exit, C modules.  [-0, +0, e] */
void lp__guards_install(lua_State *L, lp_host *host);

/* --- lib_embed.c --------------------------------------------------------- */

/* Makes "lambdapool.embed.native" available to require.  [-0, +0, e] */
void lp__embed_install(lua_State *L, lp_host *host);

#endif
