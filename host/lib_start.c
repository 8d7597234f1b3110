/* handle:start of the Lua module "lambdapool.workers". See lib_workers.c. */
#include "codec/seal.h"
#include "lib_loop.h"
#include "lib_options.h"
#include "sandbox.h"

#include <lauxlib.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

/* Functions may be told anything; the host's own variables replace it. */
static bool env_name_ok(const char *name, bool lambda) {
  return name[0] && !strchr("0123456789", name[0]) &&
         strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                      "0123456789_") == strlen(name) &&
         (lambda || lp__worker_env_ok(name));
}

/* Pushes "NAME=value" for the pair at the top of the stack.  [-0, +1, e] */
static void push_variable(lua_State *L, int arg, bool lambda) {
  size_t key_size, size;
  if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
    lp__option_error(L, arg, "env", "must map names to strings");
  const char *name = lua_tolstring(L, -2, &key_size);
  const char *value = lua_tolstring(L, -1, &size);
  if (strlen(name) != key_size || !env_name_ok(name, lambda))
    lp__option_error(L, arg, "env", "has a name that cannot be set");
  if (strlen(value) != size)
    lp__option_error(L, arg, "env", "must not contain a zero byte");
  lua_pushfstring(L, "%s=%s", name, value);
}

/* Makes the list of variables in option env; it lives as long as the two
 * values left on the stack.  [-0, +2, e] */
static char *const *env_option(lua_State *L, int arg, bool lambda) {
  lua_newtable(L); /* texts */
  int texts = lua_gettop(L);
  lua_Integer count = 0;
  if (lua_getfield(L, arg, "env") != LUA_TNIL) { /* texts env */
    if (lua_type(L, -1) != LUA_TTABLE)
      lp__option_error(L, arg, "env", "must be a table");
    lua_pushnil(L);                  /* texts env key */
    while (lua_next(L, -2)) {        /* texts env key value */
      push_variable(L, arg, lambda); /* texts env key value text */
      lua_rawseti(L, texts, ++count);
      lua_pop(L, 1); /* texts env key */
    }
  }
  lua_pop(L, 1); /* texts */
  const char **list =
      lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *list, 0);
  for (lua_Integer i = 0; i < count; i++) {
    lua_rawgeti(L, texts, i + 1);
    list[i] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  list[count] = NULL;
  return (char *const *)list; /* texts list */
}

/* Fills in option lambda, which is a table. Its strings stay on the stack.
 * [-0, +3, e] */
static void lambda_option(lua_State *L, int arg, struct lp__sandbox *lambda) {
  static const char *const names[] = {"task", "layers", "tmp_mb", "isolated",
                                      NULL};
  lua_getfield(L, arg, "lambda");
  int table = lua_gettop(L);
  lp__check_options(L, table, names);
  lambda->task = lp__string_option(L, table, "task");
  if (!lambda->task)
    lp__option_error(L, table, "task", "is missing");
  lambda->layers = lp__string_option(L, table, "layers");
  lambda->tmp_mb = (int)lp__integer_option(L, table, "tmp_mb", 1, INT_MAX, 512);
  lambda->isolated = lp__boolean_option(L, table, "isolated");
}

int lp__lib_start(lua_State *L) {
  static const char *const names[] = {"agent",    "memory", "env",
                                      "handler",  "nice",   "apart",
                                      "received", "lambda", NULL};
  struct lp__handle *handle = lp__check_handle(L);
  struct lp__worker_config config;
  struct lp__sandbox lambda;
  lp__worker_config_init(&config);
  lp__check_options(L, 2, names);
  config.agent = lp__string_option(L, 2, "agent");
  if (!config.agent)
    return lp__option_error(L, 2, "agent", "is missing");
  config.memory =
      (int)lp__integer_option(L, 2, "memory", 1, INT_MAX, config.memory);
  config.nice = (int)lp__integer_option(L, 2, "nice", 0, 19, 0);
  config.apart = lp__boolean_option(L, 2, "apart");
  config.received =
      lp__boolean_option(L, 2, "received") ? lp__seal_holds : NULL;
  const char *handler = lp__string_option(L, 2, "handler");
  if (handler)
    config.handler = handler;
  if (lua_getfield(L, 2, "lambda") != LUA_TNIL) {
    lambda_option(L, 2, &lambda);
    config.lambda = &lambda;
  }
  config.env = env_option(L, 2, config.lambda != NULL);
  int64_t id = lp__worker_start(handle->workers, &config);
  if (id < 0) {
    luaL_pushfail(L);
    lua_pushfstring(L, "cannot start the agent %s: %s", config.agent,
                    strerror((int)-id));
    lua_pushstring(L, id == -ENOEXEC ? "ENOEXEC" : uv_err_name((int)id));
    return 3;
  }
  lua_pushinteger(L, (lua_Integer)id);
  return 1;
}
