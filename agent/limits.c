/* Memory and time limits of Lua code.  See limits.h. */
#define _GNU_SOURCE /* gettid */
#include "limits.h"

#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "allocation.h"
#include "host/coroutine.h"

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

/* The C library does not name this field of struct sigevent everywhere. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define SIGNAL      SIGVTALRM
#define MIB         ((size_t)1024 * 1024)
#define RESERVE     (16 * MIB)
#define NANOSECONDS 1000000000
#define TICK        (NANOSECONDS / 100)
#define INSIST      (NANOSECONDS / 100)

/* Whose task ends when the host says so. */
static struct lp__limits *volatile stoppable;

struct lp__limits {
  size_t used;
  size_t peak;
  size_t ceiling;
  size_t refused; /* a size that failed once: it is asked for again */
  timer_t timer;
  int has_timer;
  uint64_t timeout_ms;
  char where[LUA_IDSIZE + 16];
  int is_foreign; /* it was a C library that memory did not suffice for */

  /* Shared with the signal handler. It runs in the same thread, so volatile
   * is enough. `deadline` and `armed` are times of CLOCK_MONOTONIC in ns, 0
   * for none; the timer's signal can only come while `armed` is not 0. */
  struct lp__running running;  /* hooked once the task's time is up */
  volatile uint64_t deadline;  /* of the task */
  volatile uint64_t armed;     /* when the timer will fire */
  volatile sig_atomic_t fired; /* the hook has raised its error */
};

/* --- where --------------------------------------------------------------- */

/* Notes where the innermost Lua function of `L` is; a coroutine that is being
 * closed has none and changes nothing. This is called from the
 * allocator while Lua is in the middle of an instruction, which its manual
 * does not allow. It is safe in Lua 5.4.4, which is linked statically:
 * lua_getstack and lua_getinfo with "Sl" only read the call chain and the
 * saved program counter, which are consistent whenever Lua allocates, and
 * neither allocates nor raises. A few instructions (a table constructor)
 * allocate without saving the counter first: then it is that of the last one
 * before them that did. */
static void note_where(struct lp__limits *limits, lua_State *L) {
  lua_Debug ar;
  int level;
  for (level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline > 0) {
      snprintf(limits->where, sizeof limits->where, "%s:%d", ar.short_src,
               ar.currentline);
      return;
    }
  }
}

/* --- memory -------------------------------------------------------------- */

/* After a failure Lua collects garbage and asks for the same again, and only a
 * second failure is the end. But luaL_Buffer does not try again: without a
 * better place a first one counts, too. */
static void *refuse(struct lp__limits *limits, size_t size) {
  int again = limits->refused == size;
  if (limits->running.thread && (again || limits->where[0] == '\0'))
    note_where(limits, limits->running.thread);
  limits->refused = again ? 0 : size;
  return NULL;
}

void *lp__limits_alloc(void *argument, void *block, size_t old_size,
                       size_t size) {
  struct lp__limits *limits = argument;
  size_t old = block ? old_size : 0; /* else it is the kind of object */
  void *moved;
  if (size == 0) {
    free(block);
    limits->used -= old;
    return NULL;
  }
  if (size > old && size - old > limits->ceiling - limits->used)
    return refuse(limits, size);
  if ((moved = lp__allocation_realloc(block, size)) == NULL) {
    if (size <= old)
      return block; /* Lua relies on it that shrinking does not fail */
    return refuse(limits, size);
  }
  if (size > old)
    limits->refused = 0;
  limits->used += size - old;
  if (limits->used > limits->peak)
    limits->peak = limits->used;
  return moved;
}

size_t lp__limits_memory(const struct lp__limits *limits) {
  return limits->used;
}

size_t lp__limits_peak(const struct lp__limits *limits) {
  return limits->peak;
}

void lp__limits_reset_peak(struct lp__limits *limits) {
  limits->peak = limits->used;
}

void lp__limits_process(size_t memory_mb) {
  struct rlimit limit;
  if (UNDER_ASAN || memory_mb == 0 || getrlimit(RLIMIT_DATA, &limit) != 0)
    return;
  limit.rlim_cur = memory_mb * MIB;
  setrlimit(RLIMIT_DATA, &limit);
}

/* --- time ---------------------------------------------------------------- */

static uint64_t read_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

/* Raises an error at every instruction. It is Lua's own memory error, because
 * that one calls no message handler: a handler would run inside this hook,
 * where hooks are off, and could go on for ever. What the task hears does not
 * matter, for none of its code runs any more. A hook that was left on a
 * coroutine of an earlier task removes itself. */
static void on_instruction(lua_State *L, lua_Debug *ar) {
  struct lp__limits *limits = lp__limits_of(L);
  (void)ar;
  if (!limits->running.hooked) {
    lua_sethook(L, NULL, 0, 0);
    return;
  }
  if (!limits->fired)
    note_where(limits, L);
  limits->fired = 1;
  lua_pushliteral(L, "not enough memory");
  lua_error(L);
}

/* Arms the timer for `time`; 0: never. Async-signal-safe. */
static void arm(struct lp__limits *limits, uint64_t time) {
  struct itimerspec spec;
  memset(&spec, 0, sizeof spec);
  spec.it_value.tv_sec = (time_t)(time / NANOSECONDS);
  spec.it_value.tv_nsec = (long)(time % NANOSECONDS);
  limits->armed = time;
  timer_settime(limits->timer, TIMER_ABSTIME, &spec, NULL);
}

/* The time of the task is up, or the host says so, whose signal comes at any
 * time. The timer stays armed when a task ends, which saves two system calls
 * for each: it may have been armed for an earlier task, and is armed again for
 * the one that runs now, if any. The task may be inside debug.sethook right
 * now, so the hook is set again until the task ends. */
static void on_signal(int number, siginfo_t *info, void *context) {
  struct lp__limits *limits = info->si_value.sival_ptr;
  uint64_t now;
  (void)number, (void)context;
  if (info->si_code == SI_TKILL)
    limits = stoppable;
  else if (info->si_code != SI_TIMER)
    return;
  else
    limits->armed = 0;
  if (limits == NULL || limits->deadline == 0)
    return;
  if (info->si_code == SI_TKILL)
    limits->deadline = 1;
  now = read_clock();
  if (now < limits->deadline) {
    arm(limits, limits->deadline);
    return;
  }
  lp__running_hook(&limits->running);
  arm(limits, now + INSIST);
}

/* Creates the timer at the first task that needs one: it takes time that a
 * cold start does not have. The signal goes to this thread only, for the
 * handler changes what this thread's Lua does. */
static int ensure_timer(struct lp__limits *limits) {
  struct sigaction action;
  struct sigevent event;
  sigset_t signals;
  if (limits->has_timer)
    return 1;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGNAL, &action, NULL);
  sigemptyset(&signals);
  sigaddset(&signals, SIGNAL);
  pthread_sigmask(SIG_UNBLOCK, &signals, NULL); /* masks are inherited */
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGNAL;
  event.sigev_value.sival_ptr = limits;
  event.sigev_notify_thread_id = gettid();
  limits->has_timer =
      timer_create(CLOCK_MONOTONIC, &event, &limits->timer) == 0;
  if (limits->has_timer)
    stoppable = limits;
  return limits->has_timer;
}

/* --- tasks --------------------------------------------------------------- */

/* The coarse clock is up to a tick behind; a tick is added, so that no task
 * ends early. */
void lp__limits_begin(struct lp__limits *limits, lua_State *L,
                      uint64_t timeout_ms, uint64_t now_ns) {
  uint64_t deadline;
  limits->running.thread = L;
  limits->running.hooked = 0;
  limits->where[0] = '\0';
  limits->is_foreign = 0;
  lp__allocation_forget();
  limits->fired = 0;
  limits->timeout_ms = timeout_ms;
  if (timeout_ms == 0 || timeout_ms > INT64_MAX / NANOSECONDS ||
      !ensure_timer(limits))
    return;
  deadline = now_ns + TICK + timeout_ms * (NANOSECONDS / 1000);
  limits->deadline = deadline;
  if (limits->armed == 0 || limits->armed > deadline)
    arm(limits, deadline);
}

/* Memory is exhausted, too, when an allocation has failed and the error is
 * what user code made of Lua's own ("job.lua:3: not enough memory"), as
 * assert(coroutine.resume(co)) does. A message handler may have put the
 * message into a table, as its first element. */
static int is_out_of_memory(const struct lp__limits *limits, lua_State *L,
                            int status) {
  static const char message[] = "not enough memory";
  const size_t length = sizeof message - 1;
  size_t size = 0;
  const char *text;
  if (status == LUA_ERRMEM)
    return 1;
  if (limits->where[0] == '\0')
    return 0;
  if (lua_type(L, -1) == LUA_TTABLE)
    lua_rawgeti(L, -1, 1);
  else
    lua_pushvalue(L, -1);
  text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
  lua_pop(L, 1); /* it is still in the table, or on the stack */
  return size >= length && memcmp(text + size - length, message, length) == 0;
}

enum lp__limits_end lp__limits_end(struct lp__limits *limits, lua_State *L,
                                   int status) {
  int fired = limits->fired;
  limits->deadline = 0; /* from here on the handler sets no hook */
  limits->running.hooked = limits->fired = 0;
  limits->running.thread = L;
  if (lua_gethook(L))
    lua_sethook(L, NULL, 0, 0);
  if (fired)
    return LP__LIMITS_TIMEOUT;
  if (status == LUA_OK)
    return LP__LIMITS_OK;
  if (is_out_of_memory(limits, L, status))
    return LP__LIMITS_OUT_OF_MEMORY;
  limits->is_foreign = atomic_load(lp__allocation_note()) != 0;
  return limits->is_foreign ? LP__LIMITS_OUT_OF_MEMORY : LP__LIMITS_ERROR;
}

const char *lp__limits_where(const struct lp__limits *limits) {
  return limits->is_foreign ? NULL : limits->where;
}

uint64_t lp__limits_timeout(const struct lp__limits *limits) {
  return limits->timeout_ms;
}

/* --- life ---------------------------------------------------------------- */

struct lp__limits *lp__limits_of(lua_State *L) {
  void *limits;
  lua_getallocf(L, &limits);
  return limits;
}

struct lp__running *lp__limits_running(struct lp__limits *limits) {
  return &limits->running;
}

struct lp__limits *lp__limits_open(size_t memory_mb) {
  struct lp__limits *limits = calloc(1, sizeof *limits);
  size_t memory = memory_mb * MIB;
  if (limits == NULL)
    return NULL;
  limits->running.hook = on_instruction;
  if (memory == 0)
    limits->ceiling = SIZE_MAX;
  else
    limits->ceiling = memory > 2 * RESERVE ? memory - RESERVE : memory / 2;
  return limits;
}

void lp__limits_close(struct lp__limits *limits) {
  if (limits == NULL)
    return;
  if (stoppable == limits)
    stoppable = NULL;
  if (limits->has_timer)
    timer_delete(limits->timer);
  free(limits);
}
