/* The Lua module "lambdapool.workers": local workers for the local backend.
 *
 *   workers.open() -> loop
 *   loop:start { agent =, memory =, env =, handler =, nice =, apart =,
 *                received =, lambda = }             -> id | nil, message, code
 *   loop:invoke(id, request, { deadline_ms =, kill_ms =, request_id =, arn =,
 *                              client_context =, cognito_identity =,
 *                              trace_id = })        -> true | nil, message
 *   loop:progress(id) -> begun, finished | nil
 *   loop:cut(id, n) -> begun | nil
 *   loop:pause(id, on) -> whether there is such a worker
 *   loop:memory(id) -> bytes now, bytes at most | nil
 *   loop:stop(id) -> whether it was told to end its task
 *   loop:kill(id) -> whether there was such a worker
 *   loop:poll([seconds]) -> "response", id, bytes | lent bytes, ready
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
 *                         | "not_started", id, message
 *                         | "request" | "drained", id, request
 *                         | "transfer", id
 *                         | nil
 *   loop:listen(options) -> id, port | nil, message
 *   loop:unlisten(id)     both, and requests, are described in lib_server.c
 *   loop:port() -> light userdata, id
 *   loop:fd() -> descriptor | nil, message
 *   loop:call_at([seconds])         of system.monotonic; never without it
 *   loop:set_deadline([seconds])    the same clock; none without it
 *   loop:close()
 *
 * What these mean is written in worker.h and loop.h. A closed loop has no
 * events; its other methods raise.
 *
 * A port is how a library beside the program puts something on this loop, see
 * loop_port.h. It is good until the loop is closed; the id is that of events
 * that come through it.
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
#include "libs.h"
#include "own.h"

#include <lua.h>
#include <lauxlib.h>
#include <lualib.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

int luaopen_lambdapool_workers(lua_State *L);

struct lp__handle *lp__check_handle(lua_State *L) {
  struct lp__handle *handle = lp__own_check(L, 1, LP__LOOP);
  if (!handle->workers)
    luaL_error(L, "the loop is closed");
  lp__check_process(L, handle);
  return handle;
}

void lp__check_process(lua_State *L, const struct lp__handle *handle) {
  if (handle->process != getpid())
    luaL_error(L, "cannot use lambdapool: this process was forked from the "
                  "one that has opened it");
}

static int fail(lua_State *L, const char *message) {
  luaL_pushfail(L);
  lua_pushstring(L, message);
  return 2;
}

/* Serves __gc, __close and close(); may run twice. */
static int loop_close(lua_State *L) {
  struct lp__handle *handle = lp__own_check(L, 1, LP__LOOP);
  if (handle->process == getpid()) {
    lp__lib_close_servers(handle);
    lp__workers_close(handle->workers);
    lp__loop_close(handle->loop);
  }
  handle->workers = NULL;
  handle->loop = NULL;
  lua_pushnil(L);
  lua_setiuservalue(L, 1, 1);
  return 0;
}

static int workers_open(lua_State *L) {
  struct lp__handle *handle = lua_newuserdatauv(L, sizeof *handle, 1);
  memset(handle, 0, sizeof *handle);
  handle->process = getpid();
  lp__own_set_metatable(L, LP__LOOP);
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  int status = lp__loop_open(&handle->loop);
  if (status == 0)
    status = lp__workers_open(&handle->workers, handle->loop);
  return status == 0 ? 1 : fail(L, strerror(-status));
}

/* --- methods ------------------------------------------------------------- */

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
  *kill_ms =
      (uint64_t)lp__integer_option(L, 4, "kill_ms", 1, LUA_MAXINTEGER, 0);
  const char *request_id = lp__string_option(L, 4, "request_id");
  if (request_id && !lp__request_id_ok(request_id))
    lp__option_error(L, 4, "request_id",
                     "must be 1 to 64 letters, digits or -_.");
  if (request_id)
    strcpy(invocation->request_id, request_id);
}

void lp__lib_keep_request(lua_State *L, lua_Integer id) {
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
  lp__lib_keep_request(L, id);
  int status = lp__worker_invoke(handle->workers, id, &invocation, kill_ms);
  if (status == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushnil(L);
  lp__lib_keep_request(L, id);
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

static int loop_stop(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  lua_pushboolean(L, lp__worker_stop(handle->workers, luaL_checkinteger(L, 2)));
  return 1;
}

static int loop_kill(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  lua_pushboolean(L, lp__worker_kill(handle->workers, luaL_checkinteger(L, 2)));
  return 1;
}

static int loop_port(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  lp__loop_port_init(&handle->port, handle->loop);
  lua_pushlightuserdata(L, &handle->port);
  lua_pushinteger(L, (lua_Integer)--handle->last_server);
  return 2;
}

static int loop_fd(lua_State *L) {
  int fd = lp__loop_fd(lp__check_handle(L)->loop);
  if (fd < 0)
    return fail(L, strerror(-fd));
  lua_pushinteger(L, fd);
  return 1;
}

/* The time at index 2 in nanoseconds, or `none`. Rounded up: who looks at that
 * time finds it past. */
static uint64_t check_time(lua_State *L, uint64_t none) {
  if (lua_isnoneornil(L, 2))
    return none;
  lua_Number seconds = luaL_checknumber(L, 2);
  luaL_argcheck(L, seconds >= 0, 2, "a time before all time");
  return seconds < 1e9 ? (uint64_t)(seconds * 1e9) + 1000 : UINT64_MAX;
}

static int loop_call_at(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  lp__loop_call_at(handle->loop, check_time(L, UINT64_MAX));
  return 0;
}

static int loop_set_deadline(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  lp__loop_set_deadline(handle->loop, check_time(L, 0));
  return 0;
}

int luaopen_lambdapool_workers(lua_State *L) {
  static const luaL_Reg functions[] = {{"open", workers_open}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"start", lp__lib_start},
                                     {"invoke", loop_invoke},
                                     {"progress", loop_progress},
                                     {"cut", loop_cut},
                                     {"pause", loop_pause},
                                     {"memory", loop_memory},
                                     {"stop", loop_stop},
                                     {"kill", loop_kill},
                                     {"poll", lp__lib_poll},
                                     {"listen", lp__lib_listen},
                                     {"unlisten", lp__lib_unlisten},
                                     {"port", loop_port},
                                     {"fd", loop_fd},
                                     {"call_at", loop_call_at},
                                     {"set_deadline", loop_set_deadline},
                                     {"close", loop_close},
                                     {NULL, NULL}};
  static const luaL_Reg metamethods[] = {
      {"__gc", loop_close}, {"__close", loop_close}, {NULL, NULL}};
  lp__parts_open(L);
  lp__lib_open_requests(L);
  lp__own_metatable(L, LP__LOOP);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
