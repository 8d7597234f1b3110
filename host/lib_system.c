/*
 * The Lua module "lambdapool.system": what the library asks of the operating
 * system and Lua's standard libraries do not offer. No decisions here.
 *
 *   system.version          the version of lambdapool, "0.1.0"
 *   system.monotonic()      seconds, a float, from a clock that never jumps
 *   system.now()            milliseconds since 1970, an integer
 *   system.cpus()           processors that this process may run on
 *   system.executable()     absolute path of the running program, or
 *                           nil, message, errno
 *   system.isatty(fd)       true when the descriptor is a terminal
 *   system.columns(fd)      width of the terminal; nil when it is none, or
 *                           does not say
 *   system.executable_file(path)  true when path can be run as a program
 *   system.raise_descriptors()    for servers: as many open files as the
 *                           system lets this process have; how many that is
 *   system.umask(mask)      the permissions that new files do not get; returns
 *                           what it was
 *   system.can_isolate()    true when processes can be started in sandboxes
 *                           (sandbox.h); found out by trying, the first time
 *   system.catch_interrupts(f[, terminations])    for programs, not for
 *                           libraries: the next Ctrl-C, or SIGTERM if
 *                           `terminations` is true, ends waits early and
 *                           calls f() in the Lua code that runs, unless
 *                           system.interrupted() takes it before; the one
 *                           after it kills the process. With nil the next one
 *                           kills. true, or nil, message, errno
 *   system.insist(f)        calls f() in every step of Lua code, in whatever
 *                           coroutine, but for lambdapool's own; until nil
 *   system.guest            true in a Lua of somebody else's, which has none of
 *                           catch_interrupts and insist
 *   system.await_input(fd)  waits until there is something to read, or an
 *                           interrupt is pending, also one that came before
 *   system.interrupted()    true once for each of them that was caught, and
 *                           whether it was SIGTERM
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "coroutine.h"
#include "interrupt.h"
#include "lambdapool.h"
#include "libs.h"
#include "own.h"
#include "sandbox.h"

/* What the hook calls is kept under these: once for an interrupt, or in every
 * step. */
static const char on_interrupt = 0;
static const char on_step = 0;

#define GUARD "lambdapool.system.Interrupts"

static int system_monotonic(lua_State *L) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)now.tv_nsec / 1e9);
  return 1;
}

static int system_now(lua_State *L) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  lua_pushinteger(L, (lua_Integer)now.tv_sec * 1000 + now.tv_nsec / 1000000);
  return 1;
}

/* The affinity mask says what a container or taskset leaves us; machines too
 * large for the fixed-size mask fall back to the processors online. */
static int system_cpus(lua_State *L) {
  cpu_set_t set;
  long count;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    count = CPU_COUNT(&set);
  else
    count = sysconf(_SC_NPROCESSORS_ONLN);
  lua_pushinteger(L, count > 0 ? count : 1);
  return 1;
}

static int system_executable(lua_State *L) {
  char path[PATH_MAX];
  ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  if (size < 0)
    return luaL_fileresult(L, 0, "/proc/self/exe");
  lua_pushlstring(L, path, (size_t)size);
  return 1;
}

static int system_isatty(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

static int system_columns(lua_State *L) {
  struct winsize size;
  int fd = (int)luaL_checkinteger(L, 1);
  if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
    return 0;
  lua_pushinteger(L, size.ws_col);
  return 1;
}

static int system_executable_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct stat status;
  lua_pushboolean(L, stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
                         access(path, X_OK) == 0);
  return 1;
}

/* The answer is the first upvalue. */
static int system_can_isolate(lua_State *L) {
  if (lua_isnil(L, lua_upvalueindex(1))) {
    lua_pushboolean(L, lp__sandbox_probe());
    lua_replace(L, lua_upvalueindex(1));
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  return 1;
}

static int system_raise_descriptors(lua_State *L) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
    return luaL_fileresult(L, 0, NULL);
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
    return luaL_fileresult(L, 0, NULL);
  lua_pushinteger(L, (lua_Integer)limit.rlim_cur);
  return 1;
}

static int system_umask(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)umask((mode_t)luaL_checkinteger(L, 1)));
  return 1;
}

/* --- interrupts ---------------------------------------------------------- */

/* Our own Lua code is left to finish what it does, so that its tables are
 * never half changed: it looks for interrupts itself where it waits. */
static int is_own_code(lua_State *L, lua_Debug *ar) {
  static const char own[] = "@lambdapool/";
  lua_getinfo(L, "S", ar);
  return strncmp(ar->source, own, sizeof own - 1) == 0;
}

/* [-0, +1, -] */
static bool push_function(lua_State *L, const char *key) {
  return lp__own_get(L, key) == LUA_TFUNCTION;
}

/* A coroutine has the hook without need when its creator had it, or was left
 * while it had it: then it goes. */
static void hook(lua_State *L, lua_Debug *ar) {
  bool insists = push_function(L, &on_step);
  if ((insists || lp__interrupt_pending()) && is_own_code(L, ar))
    return;
  if (!insists) {
    lp__running_unhook(lp__running_of(L));
    lua_sethook(L, NULL, 0, 0);
  }
  if (insists || (lp__interrupt_pending() && push_function(L, &on_interrupt)))
    lua_call(L, 0, 0);
}

/* Runs in the signal handler, in the thread that has caught. */
static void set_hook(void *running) {
  lp__running_hook(running);
}

/* The hook has nothing more to do for interrupts. Called before they are
 * forgotten, for the next one may come at any time. */
static void remove_hook(lua_State *L) {
  if (!push_function(L, &on_step))
    lp__running_unhook(lp__running_of(L));
  lua_pop(L, 1);
}

/* The guard goes with the state, and the handler must not reach for it then. */
static int guard_gc(lua_State *L) {
  lp__interrupt_release(lp__running_of(L));
  return 0;
}

/* Once for each state.  [-0, +0, m] */
static void set_guard(lua_State *L) {
  if (!lp__own_metatable(L, GUARD)) { /* meta */
    lua_pop(L, 1);
    return;
  }
  lua_pushcfunction(L, guard_gc);
  lua_setfield(L, -2, "__gc");
  lua_newuserdatauv(L, 0, 0); /* meta guard */
  lua_pushvalue(L, -2);
  lua_setmetatable(L, -2);
  lua_setfield(L, -2, "guard"); /* meta */
  lua_pop(L, 1);
}

static int system_catch_interrupts(lua_State *L) {
  struct lp__running *running = lp__running_of(L);
  int status = 0;
  int terminations = lua_toboolean(L, 2);
  lua_settop(L, 1);
  if (!lua_isnil(L, 1))
    luaL_checktype(L, 1, LUA_TFUNCTION);
  set_guard(L);
  lp__own_set(L, &on_interrupt);
  remove_hook(L);
  if (push_function(L, &on_interrupt))
    status = lp__interrupt_catch(set_hook, running);
  else
    lp__interrupt_release(running);
  if (terminations && status == 0)
    lp__interrupt_catch_termination();
  errno = -status;
  return luaL_fileresult(L, status == 0, NULL);
}

static int system_insist(lua_State *L) {
  lua_settop(L, 1);
  if (!lua_isnil(L, 1))
    luaL_checktype(L, 1, LUA_TFUNCTION);
  lp__own_set(L, &on_step);
  remove_hook(L);
  if (push_function(L, &on_step) || lp__interrupt_pending())
    lp__running_hook(lp__running_of(L));
  return 0;
}

static int system_await_input(lua_State *L) {
  struct pollfd files[] = {
      {.fd = (int)luaL_checkinteger(L, 1), .events = POLLIN},
      {.fd = lp__interrupt_fd(), .events = POLLIN}, /* -1 is left out */
  };
  while (poll(files, 2, -1) < 0 && errno == EINTR)
    ;
  return 0;
}

static int system_interrupted(lua_State *L) {
  remove_hook(L);
  lua_pushboolean(L, lp__interrupt_take());
  lua_pushboolean(L, lp__interrupt_signal() == SIGTERM);
  return 2;
}

static const luaL_Reg functions[] = {
    {"monotonic", system_monotonic},
    {"now", system_now},
    {"cpus", system_cpus},
    {"executable", system_executable},
    {"isatty", system_isatty},
    {"columns", system_columns},
    {"executable_file", system_executable_file},
    {"raise_descriptors", system_raise_descriptors},
    {"umask", system_umask},
    {NULL, NULL},
};

static const luaL_Reg interrupts[] = {
    {"catch_interrupts", system_catch_interrupts},
    {"insist", system_insist},
    {"await_input", system_await_input},
    {"interrupted", system_interrupted},
    {NULL, NULL},
};

/* In a state of somebody else's nothing is caught. */
static int never_interrupted(lua_State *L) {
  lua_pushboolean(L, 0);
  return 1;
}

static void add_interrupts(lua_State *L) {
  if (lp__own_is_guest(L)) {
    lua_pushcfunction(L, never_interrupted);
    lua_setfield(L, -2, "interrupted");
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "guest");
  } else {
    lp__running_of(L)->hook = hook;
    luaL_setfuncs(L, interrupts, 0);
  }
}

int luaopen_lambdapool_system(lua_State *L) {
  luaL_newlib(L, functions);
  add_interrupts(L);
  lua_pushnil(L);
  lua_pushcclosure(L, system_can_isolate, 1);
  lua_setfield(L, -2, "can_isolate");
  lua_pushliteral(L, LP_VERSION);
  lua_setfield(L, -2, "version");
  return 1;
}
