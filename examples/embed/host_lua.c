/*
 * A program with a Lua 5.4 of its own, whose scripts say `require "lambdapool"`
 * and whose loop pumps it: sixty times a second it calls the function that the
 * script has returned, and between frames it sleeps until the pool has
 * something to do. All that it knows of lambdapool are two Lua functions. Needs
 * no account: the workers are local processes.
 *
 *   cc host_lua.c -o host_lua $(pkg-config --cflags --libs lua5.4)
 *   ./host_lua host_lua.lua
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FRAME_US (1000000 / 60)

static int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* Pushes the function `name` of the module.  [-0, +1, e] */
static void push_pool_function(lua_State *L, const char *name) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "lambdapool");
  lua_call(L, 1, 1);         /* module */
  lua_getfield(L, -1, name); /* module function */
  lua_remove(L, -2);         /* function */
}

/* Sleeps until `time`. Whenever the descriptor is readable the pool takes in
 * what there is, without waiting for anything.  [-0, +0, e] */
static void sleep_and_pump(lua_State *L, int descriptor, int64_t time) {
  struct pollfd item = {.fd = descriptor, .events = POLLIN};
  int64_t left;
  while ((left = time - now_us()) > 0) {
    if (poll(&item, 1, (int)((left + 999) / 1000)) <= 0)
      continue;
    push_pool_function(L, "poll");
    lua_pushinteger(L, 0);
    lua_call(L, 1, 0);
  }
}

/* Calls frame(number), which is on the top; whether it wants another one.
 * [-0, +0, e] */
static int draw_frame(lua_State *L, lua_Integer number) {
  int more;
  lua_pushvalue(L, -1);
  lua_pushinteger(L, number);
  lua_call(L, 1, 1);
  more = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return more;
}

/* Everything that may raise an error. Its argument is the script's name. */
static int run(lua_State *L) {
  const char *script = lua_touserdata(L, 1);
  int64_t start = now_us();
  lua_Integer number;
  int descriptor;
  luaL_openlibs(L);
  push_pool_function(L, "descriptor");
  lua_call(L, 0, 1);
  descriptor = (int)lua_tointeger(L, -1);

  if (luaL_loadfile(L, script) != LUA_OK)
    return lua_error(L);
  lua_call(L, 0, 1); /* frame */
  for (number = 1; draw_frame(L, number); number++)
    sleep_and_pump(L, descriptor, start + number * FRAME_US);
  return 0;
}

/* Makes an error object of any kind a string. */
static int describe(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

int main(int argc, char **argv) {
  lua_State *L;
  int status;
  if (argc != 2) {
    fputs("usage: host_lua SCRIPT\n", stderr);
    return 2;
  }
  L = luaL_newstate();
  if (L == NULL)
    return 1;
  lua_pushcfunction(L, describe);
  lua_pushcfunction(L, run);
  lua_pushlightuserdata(L, argv[1]);
  status = lua_pcall(L, 1, 0, 1);
  if (status != LUA_OK)
    fprintf(stderr, "host_lua: %s\n", lua_tostring(L, -1));
  lua_close(L);
  return status != LUA_OK;
}
