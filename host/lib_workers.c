/* The Lua module "lambdapool.workers": local workers for the local backend.
 *
 *   workers.open() -> loop
 *   loop:start { agent =, memory =, env =, handler =, lambda = }
 *                                                   -> id | nil, message, code
 *   loop:invoke(id, request, { deadline_ms =, kill_ms =, request_id =, arn =,
 *                              client_context =, cognito_identity =,
 *                              trace_id = })        -> true | nil, message
 *   loop:progress(id) -> begun, finished | nil
 *   loop:cut(id, n) -> begun | nil
 *   loop:pause(id, on) -> whether there is such a worker
 *   loop:memory(id) -> bytes now, bytes at most | nil
 *   loop:kill(id) -> whether there was such a worker
 *   loop:poll([seconds]) -> "response", id, bytes, ready
 *                         | "error" | "init_error", id, body, error_type,
 *                           ready
 *                         | "ready", id
 *                         | "stream", id, content_type
 *                         | "chunk", id, bytes
 *                         | "stream_end", id, body | nil, error_type | nil,
 *                           ready
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
 * `lambda` makes it a worker of a function: { task = folder, layers = folder |
 * nil, tmp_mb =, isolated = }, see sandbox.h. Only these have what `arn` and
 * the rest tell, "ready" and streams. `ready` is true when the worker has asked
 * for the next event already, and absent otherwise. `code` is "ENOENT" and the
 * like.
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
#include "lib_options.h"
#include "sandbox.h"

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

/* --- methods ------------------------------------------------------------- */

static int loop_start(lua_State *L) {
  static const char *const names[] = {"agent",   "memory", "env",
                                      "handler", "lambda", NULL};
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

/* Adds a header line to `lines` when there is such an option.  [-0, +0, e] */
static void add_header(lua_State *L, luaL_Buffer *lines, const char *option,
                       const char *header) {
  const char *value = lp__string_option(L, 4, option);
  if (value && strpbrk(value, "\r\n"))
    lp__option_error(L, 4, option, "must not contain line breaks");
  lua_pop(L, 1); /* the table keeps it */
  if (value) {
    luaL_addstring(lines, header);
    luaL_addstring(lines, ": ");
    luaL_addstring(lines, value);
    luaL_addstring(lines, "\r\n");
  }
}

/* Pushes what is told about an invocation of a function, NULL and nil when it
 * is nothing.  [-0, +1, e] */
static const char *push_headers(lua_State *L) {
  luaL_Buffer lines;
  luaL_buffinit(L, &lines);
  if (!lua_isnoneornil(L, 4)) {
    add_header(L, &lines, "arn", "Lambda-Runtime-Invoked-Function-Arn");
    add_header(L, &lines, "trace_id", "Lambda-Runtime-Trace-Id");
    add_header(L, &lines, "client_context", "Lambda-Runtime-Client-Context");
    add_header(L, &lines, "cognito_identity",
               "Lambda-Runtime-Cognito-Identity");
  }
  bool none = luaL_bufflen(&lines) == 0;
  luaL_addstring(&lines, "\r\n");
  luaL_pushresult(&lines);
  if (!none)
    return lua_tostring(L, -1);
  lua_pop(L, 1);
  lua_pushnil(L);
  return NULL;
}

static void check_invocation(lua_State *L, struct lp__invocation *invocation,
                             uint64_t *kill_ms) {
  static const char *const names[] = {
      "deadline_ms",    "kill_ms",          "request_id", "arn",
      "client_context", "cognito_identity", "trace_id",   NULL};
  memset(invocation, 0, sizeof *invocation);
  *kill_ms = 0;
  invocation->event = luaL_checklstring(L, 3, &invocation->event_size);
  if (lua_isnoneornil(L, 4))
    return;
  lp__check_options(L, 4, names);
  invocation->deadline_ms =
      (uint64_t)lp__integer_option(L, 4, "deadline_ms", 0, LUA_MAXINTEGER, 0);
  *kill_ms = (uint64_t)lp__integer_option(L, 4, "kill_ms", 1, INT_MAX, 0);
  const char *request_id = lp__string_option(L, 4, "request_id");
  if (request_id && !lp__request_id_ok(request_id))
    lp__option_error(L, 4, "request_id",
                     "must be 1 to 64 letters, digits or -_.");
  if (request_id)
    strcpy(invocation->request_id, request_id);
}

/* Keeps the request of a worker and what is told about it, or no longer, when
 * they are nil: at `id` and `-id` of the handle's table. The two are at the top
 * of the stack.  [-2, +0, m] */
static void keep_request(lua_State *L, lua_Integer id) {
  lua_getiuservalue(L, 1, 1);
  lua_insert(L, -3); /* requests request headers */
  lua_rawseti(L, -3, -id);
  lua_rawseti(L, -2, id);
  lua_pop(L, 1);
}

static bool has_request(lua_State *L, lua_Integer id) {
  lua_getiuservalue(L, 1, 1);
  bool has = lua_rawgeti(L, -1, id) != LUA_TNIL;
  lua_pop(L, 2);
  return has;
}

static int loop_invoke(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  lua_Integer id = luaL_checkinteger(L, 2);
  struct lp__invocation invocation;
  uint64_t kill_ms;
  check_invocation(L, &invocation, &kill_ms);
  if (has_request(L, id))
    return fail(L, strerror(EBUSY));
  lua_pushvalue(L, 3);
  invocation.headers = push_headers(L);
  keep_request(L, id);
  int status = lp__worker_invoke(handle->workers, id, &invocation, kill_ms);
  if (status == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushnil(L);
  keep_request(L, id);
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

static int loop_pause(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  lua_Integer id = luaL_checkinteger(L, 2);
  lua_pushboolean(L,
                  lp__worker_pause(handle->workers, id, lua_toboolean(L, 3)));
  return 1;
}

static int loop_memory(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  uint64_t now, peak;
  if (!lp__worker_memory(handle->workers, luaL_checkinteger(L, 2), &now,
                         &peak)) {
    luaL_pushfail(L);
    return 1;
  }
  lua_pushinteger(L, (lua_Integer)now);
  lua_pushinteger(L, (lua_Integer)peak);
  return 2;
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

/* Pushes what an exit event carries.  [-0, +n, m] */
static int push_exit(lua_State *L, const struct lp__event *event) {
  push_positive(L, event->code, 0);
  push_positive(L, event->signal, 1);
  lua_pushstring(L, event->reason);
  if (!event->unfinished)
    return 3;
  push_progress(L, event);
  return 4;
}

/* Pushes how a response or an error ended an invocation, and true when the next
 * one has been asked for.  [-0, +n, m] */
static int push_outcome(lua_State *L, const struct lp__event *event) {
  int top = lua_gettop(L);
  bool streamed = event->kind == LP__EVENT_STREAM_END;
  if (streamed && event->size == 0)
    lua_pushnil(L);
  else
    lua_pushlstring(L, event->bytes ? event->bytes : "", event->size);
  if (event->kind != LP__EVENT_RESPONSE)
    lua_pushstring(L, streamed && !event->type[0] ? NULL : event->type);
  if (event->ready)
    lua_pushboolean(L, 1);
  return lua_gettop(L) - top;
}

/* Pushes what an event carries after its name and id.  [-0, +n, m] */
static int push_payload(lua_State *L, const struct lp__event *event) {
  switch (event->kind) {
  case LP__EVENT_TIMEOUT:
  case LP__EVENT_READY:
    return 0;
  case LP__EVENT_REQUEST:
  case LP__EVENT_DRAINED:
    lp__lib_push_request(L, event->object);
    return 1;
  case LP__EVENT_EXIT:
    return push_exit(L, event);
  case LP__EVENT_OUTPUT:
  case LP__EVENT_STREAM:
  case LP__EVENT_CHUNK:
    lua_pushlstring(L, event->bytes ? event->bytes : "", event->size);
    return 1;
  default:
    return push_outcome(L, event);
  }
}

/* The request of an invocation that has ended need not be kept any more. */
static void release_request(lua_State *L, const struct lp__event *event) {
  switch (event->kind) {
  case LP__EVENT_RESPONSE:
  case LP__EVENT_ERROR:
  case LP__EVENT_INIT_ERROR:
  case LP__EVENT_STREAM_END:
  case LP__EVENT_TIMEOUT:
  case LP__EVENT_EXIT:
    lua_pushnil(L);
    lua_pushnil(L);
    keep_request(L, (lua_Integer)event->id);
    break;
  default:
    break;
  }
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
                                     {"pause", loop_pause},
                                     {"memory", loop_memory},
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
