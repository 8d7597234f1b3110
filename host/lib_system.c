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
 *   system.executable_file(path)  true when path can be run as a program
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <sched.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lambdapool.h"
#include "libs.h"

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

static int system_executable_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct stat status;
  lua_pushboolean(L, stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
                         access(path, X_OK) == 0);
  return 1;
}

static const luaL_Reg functions[] = {
    {"monotonic", system_monotonic},
    {"now", system_now},
    {"cpus", system_cpus},
    {"executable", system_executable},
    {"isatty", system_isatty},
    {"executable_file", system_executable_file},
    {NULL, NULL},
};

int luaopen_lambdapool_system(lua_State *L) {
  luaL_newlib(L, functions);
  lua_pushliteral(L, LP_VERSION);
  lua_setfield(L, -2, "version");
  return 1;
}
