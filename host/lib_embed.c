/*
 * The Lua module "lambdapool.embed.native": how lua/lambdapool/embed.lua tells
 * the host of its tasks.
 *
 *   native.config            a table: what struct lp_config says
 *   native.finish(id, kind, attempts, message, traceback, json, ...)
 *                            the task has ended; the rest are its results, of
 *                            which `json` tells, bit by bit, which are JSON.
 *                            Raises nothing: what cannot be handed out makes
 *                            the task a lost one
 *   native.output(text)      a task has printed this
 *   native.notice(text)      something to say to the user
 *   native.damaged()         the executor is at its end
 *   native.is_command()      whether lp_command runs, which has the terminal
 */
#include <lauxlib.h>

#include <string.h>

#include "host.h"
#include "lent.h"
#include "own_modules.h"

static lp_host *host_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

static enum lp_kind kind_of(const char *name) {
  static const char *const names[] = {
      [LP_DONE] = "done",           [LP_ERROR] = "error",
      [LP_TIMEOUT] = "timeout",     [LP_OUT_OF_MEMORY] = "out_of_memory",
      [LP_CRASHED] = "crashed",     [LP_THROTTLED] = "throttled",
      [LP_LOST] = "lost",           [LP_TOO_LARGE] = "too_large",
      [LP_CANCELLED] = "cancelled",
  };
  for (int i = 0; name != NULL && i <= LP_CANCELLED; i++)
    if (strcmp(names[i], name) == 0)
      return (enum lp_kind)i;
  return LP_LOST;
}

/* keep(ended, message, traceback, json, ...) */
static int keep(lua_State *L) {
  lua_Integer json = lua_tointeger(L, 4);
  lua_remove(L, 4);
  lp__values_keep(L, lua_gettop(L) - 3, json, lua_touserdata(L, 1));
  return 0;
}

/* keep_reason(ended, error) */
static int keep_reason(lua_State *L) {
  luaL_tolstring(L, 2, NULL);
  lua_pushliteral(L, "");
  lp__values_keep(L, 0, 0, lua_touserdata(L, 1));
  return 0;
}

/* What the task has returned cannot be had; the error on top says why.
 * [-1, +0, -] */
static void lose(lua_State *L, struct lp__ended *ended) {
  lp__ended_free(ended);
  ended->result.kind = LP_LOST;
  ended->result.message = "there was not enough memory for its end";
  ended->result.traceback = "";
  lua_pushcfunction(L, keep_reason);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, ended);
  lua_insert(L, -2);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK)
    lua_pop(L, 1);
}

/* NULL when it is not open. */
static struct lp__task *find_open(lp_host *host, lp_id id) {
  struct lp__task *task = lp__tasks_find(&host->tasks, id);
  return task != NULL && task->state == LP__TASK_OPEN ? task : NULL;
}

/* Nobody takes the results from the index `first` on. */
static void release_results(lua_State *L, int first) {
  for (int i = first; i <= lua_gettop(L); i++) {
    struct lp__lent *lent = lp__lent_test(L, i);
    if (lent != NULL)
      lp__lent_release(lent);
  }
}

/* Results may have their own way to travel, in Lua, which may call the user:
 * when they are kept, the tasks are elsewhere perhaps, and this one ended. */
static int embed_finish(lua_State *L) {
  enum { RESULTS = 7 };
  lp_host *host = host_of(L);
  lp_id id = (lp_id)lua_tointeger(L, 1);
  struct lp__task *task = find_open(host, id);
  if (task == NULL) {
    release_results(L, RESULTS);
    return 0;
  }
  struct lp__ended ended = task->ended;
  ended.result.kind = kind_of(lua_tostring(L, 2));
  ended.result.attempts = (int)lua_tointeger(L, 3);
  lua_pushcfunction(L, keep);
  lua_replace(L, 2);
  lua_pushlightuserdata(L, &ended);
  lua_replace(L, 3);
  if (lua_pcall(L, lua_gettop(L) - 2, 0, 0) != LUA_OK)
    lose(L, &ended);
  task = find_open(host, id);
  if (task != NULL) {
    task->ended = ended;
    lp__tasks_end(&host->tasks, task);
  } else {
    lp__values_release(host, &ended);
  }
  return 0;
}

static int embed_output(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  lp__log(L, host_of(L), LP_LOG_TASK, text, size);
  return 0;
}

static int embed_notice(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  lp__log(L, host_of(L), LP_LOG_NOTICE, text, size);
  return 0;
}

static int embed_damaged(lua_State *L) {
  host_of(L)->damaged = true;
  return 0;
}

static int embed_is_command(lua_State *L) {
  lua_pushboolean(L, host_of(L)->commanding);
  return 1;
}

static const luaL_Reg functions[] = {
    {"finish", embed_finish},         {"damaged", embed_damaged},
    {"is_command", embed_is_command}, {"output", embed_output},
    {"notice", embed_notice},         {NULL, NULL}};

/* open(host) */
static int open_embed(lua_State *L) {
  lp_host *host = host_of(L);
  luaL_newlibtable(L, functions);
  lua_pushlightuserdata(L, host);
  luaL_setfuncs(L, functions, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, host->config);
  lua_setfield(L, -2, "config");
  return 1;
}

void lp__embed_install(lua_State *L, lp_host *host) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushlightuserdata(L, host);
  lua_pushcclosure(L, open_embed, 1);
  lua_setfield(L, -2, LP__OWN_NAME ".embed.native");
  lua_pop(L, 1);
}
