/* Ordinary Lambda handlers.  See handler.h. */
#include "handler.h"

#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/json.h"
#include "host/own.h"
#include "host/state.h"

static const char handler_key = 0; /* the function */
static const char trace_key = 0;   /* of the last error */

/* Message handler: makes a message of the error value, and keeps the traceback
 * for push_trace. */
static int describe(lua_State *L) {
  lua_settop(L, 1);
  lp__answer_message(L);         /* message */
  luaL_traceback(L, L, NULL, 1); /* message trace */
  lp__own_set(L, &trace_key);
  return 1;
}

/* Replaces what a failed lua_pcall left by the traceback (or nil) and the
 * message.  [-1, +2, m] */
static void unfold(lua_State *L) {
  if (lua_type(L, -1) != LUA_TSTRING) {
    lua_pushliteral(L, "error in error handling");
    lua_replace(L, -2);
  }
  lp__own_get(L, &trace_key); /* message trace */
  lua_insert(L, -2);          /* trace message */
  lua_pushnil(L);
  lp__own_set(L, &trace_key);
}

/* Makes the failure of what a failed lua_pcall with `describe` left. */
static int fail(lua_State *L, struct lp__answer *answer,
                const struct lp__failure *failure) {
  unfold(L);
  lp__answer_failure(L, answer, failure);
  return 1;
}

/* Makes the failure of the message at the top. */
static int refuse(lua_State *L, struct lp__answer *answer,
                  const struct lp__failure *failure) {
  lua_pushnil(L);
  lua_insert(L, -2);
  lp__answer_failure(L, answer, failure);
  return 1;
}

/* lua_pcall, but want of memory is raised again. */
static int try(lua_State *L, int arguments, int results, int handler) {
  int status = lua_pcall(L, arguments, results, handler);
  if (status == LUA_ERRMEM)
    lua_error(L);
  return status;
}

/* --- loading ------------------------------------------------------------- */

/* Puts templates in front of package[field], for the files below `root`. */
static void prepend(lua_State *L, const char *field, const char *templates,
                    const char *root) {
  lua_getglobal(L, LUA_LOADLIBNAME);     /* package */
  luaL_gsub(L, templates, "ROOT", root); /* package ours */
  lua_getfield(L, -2, field);            /* package ours path */
  lua_concat(L, 2);                      /* package all */
  lua_setfield(L, -2, field);            /* package */
  lua_pop(L, 1);
}

void lp__handler_open(lua_State *L) {
  const char *root = getenv("LAMBDA_TASK_ROOT");
  luaL_requiref(L, LUA_LOADLIBNAME, luaopen_package, 1);
  lua_pop(L, 1);
  if (root == NULL || *root == '\0')
    return;
  prepend(L, "path",
          "ROOT/?.lua;ROOT/?/init.lua;ROOT/lua/?.lua;ROOT/lua/?/init.lua;"
          "/opt/lua/?.lua;/opt/lua/?/init.lua;",
          root);
  prepend(L, "cpath", "ROOT/?.so;ROOT/lib/?.so;/opt/lua/?.so;/opt/lib/?.so;",
          root);
}

/* Why `require` raised, as far as its message tells. */
static const struct lp__failure *load_failure(const char *message) {
  if (strncmp(message, "module '", 8) == 0 && strstr(message, "' not found:"))
    return &lp__no_module;
  if (strncmp(message, "error loading module '", 22) == 0)
    return &lp__syntax_error;
  return &lp__init_error;
}

/* Splits "dir/module.function" at its last dot: pushes the module's name, as
 * require wants it, and returns the function's; NULL when one is empty. */
static const char *split_name(lua_State *L, const char *name) {
  const char *dot = strrchr(name, '.');
  if (dot == name || dot[1] == '\0')
    return NULL;
  lua_pushlstring(L, name, (size_t)(dot - name));
  luaL_gsub(L, lua_tostring(L, -1), "/", ".");
  lua_remove(L, -2);
  return dot + 1;
}

/* (module, function) -> what the module has under that name; nil when the
 * module is no table. */
static int find(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  if (lua_type(L, -1) != LUA_TTABLE)
    return 0;
  lua_getfield(L, -1, lua_tostring(L, 2));
  return 1;
}

/* Raises nothing but for want of memory. */
static int load(lua_State *L) {
  const char *name = lua_touserdata(L, 1);
  struct lp__answer *answer = lua_touserdata(L, 2);
  const char *function;
  lua_settop(L, 0);
  if ((function = split_name(L, name)) == NULL) {
    lua_pushfstring(L, "_HANDLER is '%s', but has to be module.function", name);
    return refuse(L, answer, &lp__bad_handler);
  }
  lua_pushcfunction(L, describe); /* module describe */
  lua_pushcfunction(L, find);
  lua_pushvalue(L, 1);
  lua_pushstring(L, function); /* module describe find module function */
  if (try(L, 2, 1, 2) != LUA_OK) {
    const char *message = lua_tostring(L, -1);
    return fail(L, answer, load_failure(message ? message : ""));
  }
  if (lua_type(L, -1) != LUA_TFUNCTION) {
    lua_pushfstring(L, "module '%s' has no function '%s' (_HANDLER is '%s')",
                    lua_tostring(L, 1), function, name);
    return refuse(L, answer, &lp__no_function);
  }
  lp__own_set(L, &handler_key);
  return 0;
}

int lp__handler_load(lua_State *L, const char *name,
                     struct lp__answer *answer) {
  int top = lua_gettop(L);
  if (name == NULL || strchr(name, '.') == NULL)
    return 1;
  lua_pushcfunction(L, load);
  lua_pushlightuserdata(L, (void *)name);
  lua_pushlightuserdata(L, answer);
  if (lua_pcall(L, 2, LUA_MULTRET, 0) != LUA_OK)
    lp__answer_no_memory(answer);
  return lua_gettop(L) == top;
}

/* --- the context --------------------------------------------------------- */

/* Without a deadline it is infinity, so that it can be compared anyway. */
static int remaining_ms(lua_State *L) {
  struct timespec now;
  if (lua_isnil(L, lua_upvalueindex(1))) {
    lua_pushnumber(L, (lua_Number)INFINITY);
    return 1;
  }
  clock_gettime(CLOCK_REALTIME, &now);
  lua_pushinteger(L, lua_tointeger(L, lua_upvalueindex(1)) -
                         ((lua_Integer)now.tv_sec * 1000 +
                          (lua_Integer)now.tv_nsec / 1000000));
  return 1;
}

/* Sets a field of the table at the top, if there is a value. */
static void set_string(lua_State *L, const char *name, const char *value) {
  if (value == NULL || *value == '\0')
    return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

static void set_json(lua_State *L, const char *name, const char *text) {
  if (text == NULL)
    return;
  lp__json_decode(L, text, strlen(text));
  lua_setfield(L, -2, name);
}

/* Pushes the context of `event`.  [-0, +1, e] */
static void push_context(lua_State *L, const struct lp__event *event) {
  const char *memory = getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE");
  lua_createtable(L, 0, 12);
  set_string(L, "request_id", event->request_id);
  set_string(L, "function_arn", event->function_arn);
  set_string(L, "trace_id", event->trace_id);
  set_string(L, "function_name", getenv("AWS_LAMBDA_FUNCTION_NAME"));
  set_string(L, "function_version", getenv("AWS_LAMBDA_FUNCTION_VERSION"));
  set_json(L, "client_context", event->client_context);
  set_json(L, "identity", event->identity);
  if (memory) {
    lua_pushinteger(L, strtoll(memory, NULL, 10));
    lua_setfield(L, -2, "memory_limit_mb");
  }
  if (event->deadline_ms > 0)
    lua_pushinteger(L, event->deadline_ms);
  else
    lua_pushnil(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "deadline_ms");
  lua_pushcclosure(L, remaining_ms, 1);
  lua_setfield(L, -2, "remaining_ms");
}

/* --- running ------------------------------------------------------------- */

struct run {
  const struct lp__event *event;
  struct lp__task *task;
  struct lp__answer *answer;
};

/* Pushes the event and the context. */
static int prepare(lua_State *L) {
  const struct lp__event *event = lua_touserdata(L, 1);
  /* Lambda hands an empty payload over as {}; its emulators do not. */
  if (event->size == 0)
    lua_newtable(L);
  else
    lp__json_decode(L, event->body, event->size);
  push_context(L, event);
  return 2;
}

/* (answer, value) -> what holds the answer's bytes. */
static int encode(lua_State *L) {
  lp__answer_json(L, lua_touserdata(L, 1));
  return 1;
}

/* Makes the answer of a handler that did not return. Its error is at the
 * top. */
static int conclude(lua_State *L, struct run *run, enum lp__limits_end end) {
  const char *where = lp__limits_where(run->task->limits);
  const char *separator = where != NULL && *where ? ": " : "";
  if (end == LP__LIMITS_ERROR)
    return fail(L, run->answer, &lp__user_error);
  if (where == NULL)
    return fail(L, run->answer, &lp__out_of_memory);
  if (end == LP__LIMITS_TIMEOUT) {
    lua_pushfstring(L, "%s%stask timed out after %I ms", where, separator,
                    (lua_Integer)lp__limits_timeout(run->task->limits));
    return refuse(L, run->answer, &lp__timeout);
  }
  lua_pushfstring(L, "%s%snot enough memory", where, separator);
  return refuse(L, run->answer, &lp__out_of_memory);
}

/* Nobody can take the event. */
static int give_up(lua_State *L, struct run *run) {
  const char *name = getenv("_HANDLER");
  lua_pushfstring(L,
                  "no handler for this event: it is not a call from "
                  "lambdapool, and _HANDLER is '%s', not module.function",
                  name ? name : "");
  return refuse(L, run->answer, &lp__no_handler);
}

/* Raises nothing but for want of memory. */
static int run_handler(lua_State *L) {
  struct run *run = lua_touserdata(L, 1);
  struct lp__limits *limits = run->task->limits;
  enum lp__limits_end end;
  lua_settop(L, 0);
  lp__state_reset(L);
  lua_pushnil(L);
  lp__own_set(L, &trace_key);
  lua_pushcfunction(L, describe);
  if (lp__own_get(L, &handler_key) != LUA_TFUNCTION)
    return give_up(L, run);
  lua_pushcfunction(L, prepare); /* describe handler prepare */
  lua_pushlightuserdata(L, (void *)run->event);
  if (try(L, 1, 2, 0) != LUA_OK) /* describe handler event context */
    return refuse(L, run->answer, &lp__invalid_event);
  lp__task_begin(run->task, L);
  end = lp__limits_end(limits, L, lua_pcall(L, 2, 1, 1)); /* describe result */
  if (end != LP__LIMITS_OK)
    return conclude(L, run, end);
  lua_pushcfunction(L, encode);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, run->answer);
  lua_insert(L, -2); /* describe encode answer result */
  if (try(L, 2, 1, 0) != LUA_OK)
    return refuse(L, run->answer, &lp__invalid_result);
  return 1;
}

void lp__handler_run(lua_State *L, const struct lp__event *event,
                     struct lp__task *task, struct lp__answer *answer) {
  struct run run = {event, task, answer};
  lua_pushcfunction(L, run_handler);
  lua_pushlightuserdata(L, &run);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK)
    lp__answer_no_memory(answer);
}
