/* A program that has a Lua of its own, of any version, and lambdapool. Both are
 * used in turns, and inside of each other. Prints, for each of them, what Lua
 * it is, then what tasks have returned, summed up by its own Lua.
 *
 * Arguments: which of the two is closed first, "own" or "pool"; options of the
 * pool, as JSON. */
#include <lambdapool.h>
#include <lauxlib.h>
#include <lualib.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int run_beside(int argc, char **argv);

enum { TASKS = 20 };

static void check(int truth, const char *what, const char *why) {
  if (truth)
    return;
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

/* What `code` returns in the program's own Lua: a string or a number. */
static const char *own(lua_State *L, const char *code) {
  lua_settop(L, 0);
  check(luaL_loadstring(L, code) == 0 && lua_pcall(L, 0, 1, 0) == 0, code,
        lua_tostring(L, -1));
  return lua_tostring(L, -1);
}

/* For Lua code of the pool: calls the program's own Lua. */
static int call_own(lp_host *host, struct lp_call *call, void *data) {
  const char *text = own(data, call->args[0].bytes);
  (void)host;
  call->results[0] = lp_string(text, strlen(text));
  call->result_count = 1;
  return LP_OK;
}

static void on_end(lp_host *host, const struct lp_result *result, void *data) {
  lua_State *L = data;
  (void)host;
  check(result->kind == LP_DONE, "task", result->message);
  lua_getglobal(L, "add");
  lua_pushnumber(L, (lua_Number)result->values[0].integer);
  check(lua_pcall(L, 1, 0, 0) == 0, "add", lua_tostring(L, -1));
}

/* For the program's own Lua: does what the pool has to do. */
static int poll_pool(lua_State *L) {
  lp_host *host = lua_touserdata(L, lua_upvalueindex(1));
  check(lp_wait(host, 0, 1000) != LP_ELUA, "lp_wait", lp_error(host));
  lua_gc(L, LUA_GCCOLLECT, 0);
  return 0;
}

static lp_host *open_pool(const char *options, lua_State *L) {
  struct lp_config config;
  lp_host *host;
  int status;
  lp_config_init(&config, sizeof config);
  config.workers = 2;
  config.options = options;
  status = lp_open(&config, &host);
  check(status == LP_OK, "lp_open", lp_error(host));
  check(lp_register(host, "own", call_own, L) == LP_OK, "lp_register",
        lp_error(host));
  return host;
}

/* Runs code in the pool's Lua that calls the other one. */
static void print_versions(lp_host *host) {
  struct lp_task task;
  const struct lp_result *result;
  lp_task_init(&task, sizeof task);
  task.source =
      "assert(pcall(string.rep) == false and 7 // 2 == 3)\n"
      "return _VERSION .. ', ' .. math.type(1 << 62) .. ' beside ' .. \n"
      "  own 'return _VERSION .. (jit and \", LuaJIT\" or \"\")'";
  check(lp_run(host, &task, &result) == LP_OK, "lp_run", lp_error(host));
  printf("%s\n", result->values[0].bytes);
}

static void submit(lp_host *host, lua_State *L) {
  struct lp_task task;
  struct lp_value n;
  int i;
  lp_task_init(&task, sizeof task);
  task.source = "local n = ... return n // 1 + #require('cjson').encode({})";
  task.args = &n;
  task.count = 1;
  task.on_end = on_end;
  task.data = L;
  for (i = 1; i <= TASKS; i++) {
    n = lp_integer(i);
    check(lp_submit(host, &task, NULL) == LP_OK, "lp_submit", lp_error(host));
  }
}

int run_beside(int argc, char **argv) {
  lua_State *L = luaL_newstate();
  lp_host *host;
  luaL_openlibs(L);
  own(L, "sum, ended = 0, 0\n"
         "function add(n) sum, ended = sum + n, ended + 1 end return ''");
  host = open_pool(argc > 2 ? argv[2] : NULL, L);
  print_versions(host);
  submit(host, L);
  lua_pushlightuserdata(L, host);
  lua_pushcclosure(L, poll_pool, 1);
  lua_setglobal(L, "poll");
  own(L, "while ended < 20 do poll() end return ''");
  printf("%s\n", own(L, "return string.format('%d', sum)"));
  if (argc > 1 && strcmp(argv[1], "own") == 0) {
    lua_close(L);
    check(lp_close(host) == LP_OK, "lp_close", "");
  } else {
    check(lp_close(host) == LP_OK, "lp_close", "");
    check(strcmp(own(L, "return ended"), "20") == 0, "own", "");
    lua_close(L);
  }
  return 0;
}

#ifndef PLUGIN
int main(int argc, char **argv) {
  return run_beside(argc, argv);
}
#endif
