/*
 * Limits around Lua code: memory and time, without killing the process.
 *
 * Memory: an allocator for lua_newstate that counts, and fails beyond a
 * ceiling. Lua then collects garbage, tries again, and raises "not enough
 * memory". Where that happened is noted, because Lua's own message cannot
 * tell.
 *
 * Time: a timer sends a signal when a task's time is up, and only then is a
 * debug hook set that raises an error in whatever Lua function runs. Until
 * then Lua runs at full speed. From then on the hook fires at every
 * instruction in every coroutine, so a loop around pcall cannot swallow the
 * error. What it cannot interrupt is a C function that does not return (the
 * caller's own deadline ends those), a finalizer, and a coroutine that a C
 * module resumes.
 *
 *   struct lp__limits *limits = lp__limits_open(memory);
 *   lua_State *L = lua_newstate(lp__limits_alloc, limits);
 *   lp__coroutine_open(L, lp__limits_running(limits));
 *   for each task:
 *     lp__limits_begin(limits, L, timeout_ms, now_ns);
 *     status = lua_pcall(L, ...);
 *     end = lp__limits_end(limits, L, status);
 *
 * The same signal, sent to the thread by somebody else (tgkill), says that the
 * task's time is up now: that is how the host stops one (process.h).
 *
 * The limits of a state live in its allocator's argument. They belong to the
 * thread that opened them; the signal, SIGVTALRM, is sent to that thread.
 */
#ifndef LP__LIMITS_H
#define LP__LIMITS_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

struct lp__limits;
struct lp__running; /* coroutine.h */

enum lp__limits_end {
  LP__LIMITS_OK,
  LP__LIMITS_ERROR,
  LP__LIMITS_TIMEOUT,
  LP__LIMITS_OUT_OF_MEMORY
};

/* Opens limits for a process that may use `memory_mb` MiB in all, 0 for any
 * amount. A reserve of 16 MiB (half of it all when that is less) is kept for
 * what is not Lua: the program, its libraries, the event and its growth.
 * Lua gets the rest. Returns NULL when memory is exhausted; the last to be
 * closed, with lp__limits_close. */
struct lp__limits *lp__limits_open(size_t memory_mb);

/* Makes the allocations of C libraries fail, too, beyond `memory_mb` MiB, by
 * RLIMIT_DATA. Child processes inherit the limit, each for itself. Does
 * nothing under AddressSanitizer, which reserves terabytes. */
void lp__limits_process(size_t memory_mb);

/* The allocator: a lua_Alloc whose argument is the limits. */
void *lp__limits_alloc(void *limits, void *block, size_t old_size, size_t size);

/* The limits of the state that `L` belongs to. */
struct lp__limits *lp__limits_of(lua_State *L);

/* What the coroutine library of the state shall note, for the hook. */
struct lp__running *lp__limits_running(struct lp__limits *limits);

/* A task starts on L, the main coroutine, at `now_ns` by
 * CLOCK_MONOTONIC_COARSE. `timeout_ms`: how long it may run; 0: any time. */
void lp__limits_begin(struct lp__limits *limits, lua_State *L,
                      uint64_t timeout_ms, uint64_t now_ns);

/* The task has ended with `status`, of lua_pcall; when that is an error, its
 * value is at the top of L. Returns what happened and makes the state usable
 * again. An error that user code has caught is no
 * error; but a timeout is one whatever the code made of it. */
enum lp__limits_end lp__limits_end(struct lp__limits *limits, lua_State *L,
                                   int status);

/* After a timeout or out of memory: "file:line" of the Lua function in which
 * it happened, or ""; NULL when an allocation of a C library has failed in the
 * task (see allocation.h), which ended in whatever error the library made of
 * it. Valid until the next lp__limits_begin. */
const char *lp__limits_where(const struct lp__limits *limits);

/* The time that the task was given, in ms; 0: any. */
uint64_t lp__limits_timeout(const struct lp__limits *limits);

/* Bytes that Lua uses now, and at most since lp__limits_reset_peak. */
size_t lp__limits_memory(const struct lp__limits *limits);
size_t lp__limits_peak(const struct lp__limits *limits);
void lp__limits_reset_peak(struct lp__limits *limits);

/* Frees the limits; after lua_close. NULL is fine. */
void lp__limits_close(struct lp__limits *limits);

#endif
