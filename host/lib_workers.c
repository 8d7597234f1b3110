/* The Lua module "lambdapool.workers": local workers for the local backend.
 *
 *   workers.open() -> loop
 *   loop:start { agent =, memory =, env =, handler = } -> id | nil, message
 *   loop:invoke(id, request, { deadline_ms =, kill_ms =, request_id = })
 *                                                   -> true | nil, message
 *   loop:progress(id) -> begun, finished | nil
 *   loop:cut(id, n) -> begun | nil
 *   loop:kill(id) -> whether there was such a worker
 *   loop:poll([seconds]) -> "response", id, bytes
 *                         | "error" | "init_error", id, body, error_type
 *                         | "timeout", id
 *                         | "output", id, line
 *                         | "exit", id, code | nil, signal | nil,
 *                           reason | nil, progress | nil
 *                         | "request" | "drained", id, request
 *                         | nil
 *   loop:listen(options) -> id, port | nil, message
 *   loop:unlisten(id)     both, and requests, are described in lib_server.c
 *   loop:fd() -> descriptor
 *   loop:close()
 *
 * What these mean is written in worker.h and loop.h. A closed loop has no
 * events; its other methods raise.
 *
 * `progress` is what became of an invocation without any other outcome:
 * { begun =, finished =, kept_tasks =, kept =, no_memory = bytes | nil }, see
 * struct lp__progress_report; `kept` are the records, "" when there are none.
 *
 * `reason` is there when the host has killed the worker, or was about to:
 *   "it took too long"                      "timeout" came before
 *   "it was killed by the host"             loop:kill
 *   "its connection ended and it did not"   it may have ended later by itself
 *   "it sent what is not a request"
 *   "it could not start and did not end"    the same; "init_error" came before
 *   "the host cannot tell who connected to it"
 *   "the host cannot watch its connection"
 *   "the host has too many open files"
 *   "the host is short of memory"
 */
#include "lib_loop.h"

#include <lua.h>
#include <lauxlib.h>
#include <lualib.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int luaopen_lambdapool_workers(lua_State *L);

struct lp__handle *lp__check_handle(lua_State *L) {
  struct lp__handle *handle = luaL_checkudata(L, 1, LP__LOOP);
  if (!handle->workers)
    luaL_error(L, "the loop is closed");
  return handle;
}

static int fail(lua_State *L, const char *message) {
  luaL_pushfail(L);
  lua_pushstring(L, message);
  return 2;
}

/* Serves __gc, __close and close(); may run twice. */
static int loop_close(lua_State *L) {
  struct lp__handle *handle = luaL_checkudata(L, 1, LP__LOOP);
  lp__lib_close_servers(handle);
  lp__workers_close(handle->workers);
  handle->workers = NULL;
  lp__loop_close(handle->loop);
  handle->loop = NULL;
  lua_pushnil(L);
  lua_setiuservalue(L, 1, 1);
  return 0;
}

static int workers_open(lua_State *L) {
  struct lp__handle *handle = lua_newuserdatauv(L, sizeof *handle, 1);
  memset(handle, 0, sizeof *handle);
  luaL_setmetatable(L, LP__LOOP);
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  int status = lp__loop_open(&handle->loop);
  if (status == 0)
    status = lp__workers_open(&handle->workers, handle->loop);
  return status == 0 ? 1 : fail(L, strerror(-status));
}

/* --- options ------------------------------------------------------------- */

/* Raises about option `name` in the table at `arg`. */
static int option_error(lua_State *L, int arg, const char *name,
                        const char *what) {
  const char *message = lua_pushfstring(L, "option '%s' %s", name, what);
  return luaL_argerror(L, arg, message);
}

/* Raises when the table at `arg` has a key that is not in `names`. */
static void check_names(lua_State *L, int arg, const char *const *names) {
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, arg)) {
    lua_pop(L, 1);
    const char *key =
        lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
    size_t i = 0;
    while (names[i] && strcmp(names[i], key) != 0)
      i++;
    if (!names[i])
      option_error(L, arg, key, "is not known");
  }
}

/* A string without zeros, or NULL when absent. It stays on the stack. [0,+1] */
static const char *string_option(lua_State *L, int arg, const char *name) {
  size_t size;
  if (lua_getfield(L, arg, name) == LUA_TNIL)
    return NULL;
  if (lua_type(L, -1) != LUA_TSTRING)
    option_error(L, arg, name, "must be a string");
  const char *text = lua_tolstring(L, -1, &size);
  if (strlen(text) != size)
    option_error(L, arg, name, "must not contain a zero byte");
  return text;
}

static lua_Integer integer_option(lua_State *L, int arg, const char *name,
                                  lua_Integer least, lua_Integer most,
                                  lua_Integer standard) {
  int is_integer;
  lua_Integer value = standard;
  if (lua_getfield(L, arg, name) != LUA_TNIL) {
    value = lua_tointegerx(L, -1, &is_integer);
    if (!is_integer || lua_type(L, -1) != LUA_TNUMBER)
      option_error(L, arg, name, "must be an integer");
    if (value < least || value > most)
      option_error(L, arg, name, "is out of range");
  }
  lua_pop(L, 1);
  return value;
}

static bool env_name_ok(const char *name) {
  return name[0] && !strchr("0123456789", name[0]) &&
         strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                      "0123456789_") == strlen(name) &&
         lp__worker_env_ok(name);
}

/* Pushes "NAME=value" for the pair at the top of the stack.  [-0, +1, e] */
static void push_variable(lua_State *L, int arg) {
  size_t key_size, size;
  if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
    option_error(L, arg, "env", "must map names to strings");
  const char *name = lua_tolstring(L, -2, &key_size);
  const char *value = lua_tolstring(L, -1, &size);
  if (strlen(name) != key_size || !env_name_ok(name))
    option_error(L, arg, "env", "has a name that cannot be set");
  if (strlen(value) != size)
    option_error(L, arg, "env", "must not contain a zero byte");
  lua_pushfstring(L, "%s=%s", name, value);
}

/* Makes the list of variables in option env; it lives as long as the two
 * values left on the stack.  [-0, +2, e] */
static char *const *env_option(lua_State *L, int arg) {
  lua_newtable(L); /* texts */
  int texts = lua_gettop(L);
  lua_Integer count = 0;
  if (lua_getfield(L, arg, "env") != LUA_TNIL) { /* texts env */
    if (lua_type(L, -1) != LUA_TTABLE)
      option_error(L, arg, "env", "must be a table");
    lua_pushnil(L);           /* texts env key */
    while (lua_next(L, -2)) { /* texts env key value */
      push_variable(L, arg);  /* texts env key value text */
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

/* --- methods ------------------------------------------------------------- */

static int loop_start(lua_State *L) {
  static const char *const names[] = {"agent", "memory", "env", "handler",
                                      NULL};
  struct lp__handle *handle = lp__check_handle(L);
  struct lp__worker_config config;
  lp__worker_config_init(&config);
  check_names(L, 2, names);
  config.agent = string_option(L, 2, "agent");
  if (!config.agent)
    return option_error(L, 2, "agent", "is missing");
  config.memory =
      (int)integer_option(L, 2, "memory", 1, INT_MAX, config.memory);
  const char *handler = string_option(L, 2, "handler");
  if (handler)
    config.handler = handler;
  config.env = env_option(L, 2);
  int64_t id = lp__worker_start(handle->workers, &config);
  if (id < 0) {
    luaL_pushfail(L);
    lua_pushfstring(L, "cannot start the agent %s: %s", config.agent,
                    strerror((int)-id));
    return 2;
  }
  lua_pushinteger(L, (lua_Integer)id);
  return 1;
}

static void check_invocation(lua_State *L, struct lp__invocation *invocation,
                             uint64_t *kill_ms) {
  static const char *const names[] = {"deadline_ms", "kill_ms", "request_id",
                                      NULL};
  memset(invocation, 0, sizeof *invocation);
  *kill_ms = 0;
  invocation->event = luaL_checklstring(L, 3, &invocation->event_size);
  if (lua_isnoneornil(L, 4))
    return;
  check_names(L, 4, names);
  invocation->deadline_ms =
      (uint64_t)integer_option(L, 4, "deadline_ms", 0, LUA_MAXINTEGER, 0);
  *kill_ms = (uint64_t)integer_option(L, 4, "kill_ms", 1, INT_MAX, 0);
  const char *request_id = string_option(L, 4, "request_id");
  if (request_id && !lp__request_id_ok(request_id))
    option_error(L, 4, "request_id", "must be 1 to 64 letters, digits or -_.");
  if (request_id)
    strcpy(invocation->request_id, request_id);
}

static int loop_invoke(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  lua_Integer id = luaL_checkinteger(L, 2);
  struct lp__invocation invocation;
  uint64_t kill_ms;
  check_invocation(L, &invocation, &kill_ms);
  lua_getiuservalue(L, 1, 1);
  lua_pushvalue(L, 3);
  if (lua_rawgeti(L, -2, id) != LUA_TNIL) /* requests request old */
    return fail(L, strerror(EBUSY));
  lua_pop(L, 1);
  lua_rawseti(L, -2, id); /* requests */
  int status = lp__worker_invoke(handle->workers, id, &invocation, kill_ms);
  if (status == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_rawseti(L, -2, id);
  return fail(L, status == -ESRCH ? "there is no such worker any more"
                                  : strerror(-status));
}

static int loop_progress(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  uint32_t begun, finished;
  if (!lp__worker_progress(handle->workers, luaL_checkinteger(L, 2), &begun,
                           &finished)) {
    luaL_pushfail(L);
    return 1;
  }
  lua_pushinteger(L, begun);
  lua_pushinteger(L, finished);
  return 2;
}

static int loop_cut(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  lua_Integer id = luaL_checkinteger(L, 2), n = luaL_checkinteger(L, 3);
  uint32_t begun;
  luaL_argcheck(L, n >= 0 && n <= UINT32_MAX, 3, "out of range");
  if (lp__worker_cut(handle->workers, id, (uint32_t)n, &begun))
    lua_pushinteger(L, begun);
  else
    luaL_pushfail(L);
  return 1;
}

static int loop_kill(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  lua_pushboolean(L, lp__worker_kill(handle->workers, luaL_checkinteger(L, 2)));
  return 1;
}

/* Milliseconds to wait, rounded up; negative is without limit. */
static int64_t check_timeout(lua_State *L) {
  if (lua_isnoneornil(L, 2))
    return -1;
  lua_Number seconds = luaL_checknumber(L, 2);
  luaL_argcheck(L, seconds >= 0, 2, "seconds must not be negative");
  return seconds < 1e9 ? (int64_t)ceil(seconds * 1000) : -1;
}

static void push_positive(lua_State *L, int number, int least) {
  if (number >= least)
    lua_pushinteger(L, number);
  else
    lua_pushnil(L);
}

static void set_integer(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L,
                  value < LUA_MAXINTEGER ? (lua_Integer)value : LUA_MAXINTEGER);
  lua_setfield(L, -2, name);
}

/* Pushes what became of an unfinished invocation.  [-0, +1, m] */
static void push_progress(lua_State *L, const struct lp__event *event) {
  const struct lp__progress_report *progress = &event->progress;
  lua_createtable(L, 0, 5); /* t */
  set_integer(L, "begun", progress->begun);
  set_integer(L, "finished", progress->finished);
  set_integer(L, "kept_tasks", progress->kept_tasks);
  if (progress->no_memory > 0)
    set_integer(L, "no_memory", progress->no_memory);
  lua_pushlstring(L, event->bytes ? event->bytes : "", event->size);
  lua_setfield(L, -2, "kept"); /* t */
}

/* Pushes what an event carries after its name and id.  [-0, +n, m] */
static int push_payload(lua_State *L, const struct lp__event *event) {
  if (event->kind == LP__EVENT_TIMEOUT)
    return 0;
  if (event->object) {
    lp__lib_push_request(L, event->object);
    return 1;
  }
  if (event->kind == LP__EVENT_EXIT) {
    push_positive(L, event->code, 0);
    push_positive(L, event->signal, 1);
    lua_pushstring(L, event->reason);
    if (!event->unfinished)
      return 3;
    push_progress(L, event);
    return 4;
  }
  lua_pushlstring(L, event->bytes ? event->bytes : "", event->size);
  if (event->kind == LP__EVENT_RESPONSE || event->kind == LP__EVENT_OUTPUT)
    return 1;
  lua_pushstring(L, event->type);
  return 2;
}

/* The request of the invocation that ended here need not be kept any more. */
static void release_request(lua_State *L, const struct lp__event *event) {
  if (event->kind == LP__EVENT_OUTPUT || event->object)
    return;
  lua_getiuservalue(L, 1, 1);
  lua_pushnil(L);
  lua_rawseti(L, -2, (lua_Integer)event->id);
  lua_pop(L, 1);
}

static int loop_poll(lua_State *L) {
  static const char *const names[] = {[LP__EVENT_RESPONSE] = "response",
                                      [LP__EVENT_ERROR] = "error",
                                      [LP__EVENT_INIT_ERROR] = "init_error",
                                      [LP__EVENT_TIMEOUT] = "timeout",
                                      [LP__EVENT_OUTPUT] = "output",
                                      [LP__EVENT_EXIT] = "exit",
                                      [LP__EVENT_READY] = "ready",
                                      [LP__EVENT_STREAM] = "stream",
                                      [LP__EVENT_CHUNK] = "chunk",
                                      [LP__EVENT_STREAM_END] = "stream_end",
                                      [LP__EVENT_REQUEST] = "request",
                                      [LP__EVENT_DRAINED] = "drained"};
  struct lp__handle *handle = luaL_checkudata(L, 1, LP__LOOP);
  int64_t timeout_ms = check_timeout(L);
  if (!handle->workers)
    return 0;
  /* The event stays in the queue until nothing can raise any more. */
  const struct lp__event *event = lp__loop_next(handle->loop, timeout_ms);
  if (!event)
    return 0;
  lua_pushstring(L, names[event->kind]);
  lua_pushinteger(L, (lua_Integer)event->id);
  int count = push_payload(L, event);
  release_request(L, event);
  lp__loop_drop(handle->loop);
  return 2 + count;
}

static int loop_fd(lua_State *L) {
  lua_pushinteger(L, lp__loop_fd(lp__check_handle(L)->loop));
  return 1;
}

int luaopen_lambdapool_workers(lua_State *L) {
  static const luaL_Reg functions[] = {{"open", workers_open}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"start", loop_start},
                                     {"invoke", loop_invoke},
                                     {"progress", loop_progress},
                                     {"cut", loop_cut},
                                     {"kill", loop_kill},
                                     {"poll", loop_poll},
                                     {"listen", lp__lib_listen},
                                     {"unlisten", lp__lib_unlisten},
                                     {"fd", loop_fd},
                                     {"close", loop_close},
                                     {NULL, NULL}};
  static const luaL_Reg metamethods[] = {
      {"__gc", loop_close}, {"__close", loop_close}, {NULL, NULL}};
  lp__lib_open_requests(L);
  luaL_newmetatable(L, LP__LOOP);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
