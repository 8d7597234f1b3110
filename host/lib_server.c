/* Servers and requests for Lua, a part of the module "lambdapool.workers".
 *
 *   loop:listen { host =, port =, header_bytes =, body_bytes =,
 *                 buffered_bytes =, connections =, header_seconds =,
 *                 body_seconds =, idle_seconds = } -> id, port | nil, message
 *   loop:unlisten(id)
 *
 * struct lp__http_config says what these mean, and their defaults. Requests
 * come as events of `id`. What has not come or cannot be sent is refused or
 * dropped below; a request that is here is complete, or has a problem.
 *
 *   request:method() -> upper case
 *   request:path(), request:query() -> as on the wire; query nil without '?'
 *   request:header(name) -> value | nil; `name` in lower case. Several of one
 *                           name are joined with ","
 *   request:headers() -> { { name, value }, ... }
 *   request:body() -> string, until the answer is complete; then ""
 *   request:size() -> its length
 *   request:problem() -> nil | "body_too_large": the body is "", and the
 *                        connection ends after the answer
 *   request:address() -> numeric address, port of the client
 *   request:gone() -> whether the client does not wait any more. An answer may
 *                     be given all the same
 *   request:respond(status [, headers [, body]])
 *   request:begin(status [, headers])    an answer in pieces:
 *   request:write(bytes) -> how many bytes wait for the client to read. When it
 *                           is not 0, the event "drained" follows once they
 *                           are sent, or the client has gone
 *   request:finish()
 *   request:abort()       ends the connection; the client notices
 *
 * headers: { name = value }, a value being a string, a number or a list of
 * strings, one line each. Content-Length, Date, Connection and
 * Transfer-Encoding are left out: they are written below. Names and values that
 * HTTP does not allow raise, and so does a second answer. A request that is
 * collected before its answer is complete closes its connection: keep it, also
 * while "drained" is due, which comes with the same one. */
#include "lib_loop.h"

#include "lib_options.h"
#include "memory.h"
#include "own.h"

#include <lauxlib.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 1000 };

struct lp__listening {
  struct lp__listening *next;
  int64_t id;
  struct lp__http_server *server;
};

/* --- servers ------------------------------------------------------------- */

/* Seconds, also parts of one, as milliseconds. */
static uint64_t seconds_option(lua_State *L, const char *name,
                               uint64_t standard) {
  uint64_t ms = standard;
  if (lua_getfield(L, 2, name) != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TNUMBER)
      lp__option_error(L, 2, name, "must be a number");
    lua_Number seconds = lua_tonumber(L, -1);
    if (!(seconds >= 0.001 && seconds <= 1e9))
      lp__option_error(L, 2, name, "is out of range");
    ms = (uint64_t)(seconds * 1000);
  }
  lua_pop(L, 1);
  return ms;
}

static uint64_t bytes_option(lua_State *L, const char *name,
                             uint64_t standard) {
  return (uint64_t)lp__integer_option(L, 2, name, 0, LUA_MAXINTEGER,
                                      (lua_Integer)standard);
}

/* Reads the options at index 2; `host` stays on the stack.  [-0, +1, e] */
static void check_config(lua_State *L, struct lp__http_config *config) {
  static const char *const names[] = {
      "host",           "port",        "header_bytes",   "body_bytes",
      "buffered_bytes", "connections", "header_seconds", "body_seconds",
      "idle_seconds",   NULL};
  lp__http_config_init(config);
  lp__check_options(L, 2, names);
  config->port = (uint16_t)lp__integer_option(L, 2, "port", 0, UINT16_MAX, 0);
  config->header_bytes = bytes_option(L, "header_bytes", config->header_bytes);
  config->body_bytes = bytes_option(L, "body_bytes", config->body_bytes);
  config->buffered_bytes =
      bytes_option(L, "buffered_bytes", config->buffered_bytes);
  config->connections = (unsigned)lp__integer_option(
      L, 2, "connections", 1, 1000000, config->connections);
  config->header_ms = seconds_option(L, "header_seconds", config->header_ms);
  config->body_ms = seconds_option(L, "body_seconds", config->body_ms);
  config->idle_ms = seconds_option(L, "idle_seconds", config->idle_ms);
  const char *host = lp__string_option(L, 2, "host");
  if (host)
    config->host = host;
}

static int fail_to_listen(lua_State *L, const struct lp__http_config *config,
                          int status) {
  luaL_pushfail(L);
  lua_pushfstring(
      L, "cannot listen on %s, port %d: %s", config->host, (int)config->port,
      status == -ENXIO ? "there is no such address here" : strerror(-status));
  return 2;
}

int lp__lib_listen(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  struct lp__http_config config;
  check_config(L, &config);
  struct lp__listening *listening = lp__calloc(1, sizeof *listening);
  if (!listening)
    return luaL_error(L, "not enough memory");
  listening->id = handle->last_server - 1;
  int status = lp__http_server_open(&listening->server, handle->loop,
                                    listening->id, &config);
  if (status < 0) {
    lp__free(listening);
    return fail_to_listen(L, &config, status);
  }
  listening->next = handle->servers;
  handle->servers = listening;
  handle->last_server = listening->id;
  lua_pushinteger(L, (lua_Integer)listening->id);
  lua_pushinteger(L, lp__http_server_port(listening->server));
  return 2;
}

/* Closes and frees the one that `link` points to. */
static void close_server(struct lp__listening **link) {
  struct lp__listening *listening = *link;
  *link = listening->next;
  lp__http_server_close(listening->server);
  lp__free(listening);
}

int lp__lib_unlisten(lua_State *L) {
  struct lp__handle *handle = lp__check_handle(L);
  lua_Integer id = luaL_checkinteger(L, 2);
  struct lp__listening **link = &handle->servers;
  while (*link && (*link)->id != id)
    link = &(*link)->next;
  if (*link)
    close_server(link);
  return 0;
}

void lp__lib_close_servers(struct lp__handle *handle) {
  while (handle->servers)
    close_server(&handle->servers);
}

/* --- what a request says ------------------------------------------------- */

/* The table of the requests that may be drained, by address. It is weak. */
static const char undrained = 0;

void lp__lib_push_request(lua_State *L, struct lp__request *request) {
  lp__own_get(L, &undrained);                    /* known */
  if (lua_rawgetp(L, -1, request) == LUA_TNIL) { /* known nil */
    lua_pop(L, 1);
    struct lp__request **box = lua_newuserdatauv(L, sizeof(void *), 0);
    *box = request;
    lp__request_hold(request);
    lp__own_set_metatable(L, LP__REQUEST);
  }
  lua_remove(L, -2); /* request */
}

static struct lp__request *check_request(lua_State *L) {
  struct lp__request **box = lp__own_check(L, 1, LP__REQUEST);
  return *box;
}

static int request_gc(lua_State *L) {
  lp__request_release(check_request(L));
  return 0;
}

static int request_method(lua_State *L) {
  lua_pushstring(L, check_request(L)->method);
  return 1;
}

static int request_path(lua_State *L) {
  const struct lp__request *request = check_request(L);
  lua_pushlstring(L, request->target, request->path_size);
  return 1;
}

static int request_query(lua_State *L) {
  const struct lp__request *request = check_request(L);
  size_t start = request->path_size + 1;
  if (start > request->target_size)
    luaL_pushfail(L);
  else
    lua_pushlstring(L, request->target + start, request->target_size - start);
  return 1;
}

/* The next field called `name`, from `field` on, or NULL. */
static const struct lp__field *find(const struct lp__request *request,
                                    const struct lp__field *field,
                                    const char *name, size_t size) {
  const struct lp__field *end = request->fields + request->field_count;
  for (; field < end; field++)
    if (field->name_size == size && memcmp(field->name, name, size) == 0)
      return field;
  return NULL;
}

static int request_header(lua_State *L) {
  size_t size;
  const struct lp__request *request = check_request(L);
  const char *name = luaL_checklstring(L, 2, &size);
  const struct lp__field *field = find(request, request->fields, name, size);
  if (!field) {
    luaL_pushfail(L);
    return 1;
  }
  lua_pushlstring(L, field->value, field->value_size);
  while ((field = find(request, field + 1, name, size))) {
    lua_pushliteral(L, ",");
    lua_pushlstring(L, field->value, field->value_size);
    lua_concat(L, 3);
  }
  return 1;
}

static int request_headers(lua_State *L) {
  const struct lp__request *request = check_request(L);
  lua_createtable(L, (int)request->field_count, 0); /* list */
  for (size_t i = 0; i < request->field_count; i++) {
    const struct lp__field *field = &request->fields[i];
    lua_createtable(L, 2, 0); /* list pair */
    lua_pushlstring(L, field->name, field->name_size);
    lua_rawseti(L, -2, 1);
    lua_pushlstring(L, field->value, field->value_size);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, (lua_Integer)i + 1); /* list */
  }
  return 1;
}

static int request_body(lua_State *L) {
  const struct lp__request *request = check_request(L);
  lua_pushlstring(L, request->body ? request->body : "",
                  request->body ? request->body_size : 0);
  return 1;
}

static int request_size(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_request(L)->body_size);
  return 1;
}

static int request_problem(lua_State *L) {
  lua_pushstring(L, check_request(L)->problem);
  return 1;
}

static int request_address(lua_State *L) {
  char address[LP__ADDRESS_SIZE];
  uint16_t port = lp__request_address(check_request(L), address);
  lua_pushstring(L, address);
  lua_pushinteger(L, port);
  return 2;
}

static int request_gone(lua_State *L) {
  lua_pushboolean(L, lp__request_gone(check_request(L)));
  return 1;
}

/* --- answers ------------------------------------------------------------- */

static int check_status(lua_State *L) {
  lua_Integer status = luaL_checkinteger(L, 2);
  luaL_argcheck(L, status >= 200 && status <= 599, 2, "not a status");
  return (int)status;
}

static int field_error(lua_State *L, const char *name, const char *what) {
  return luaL_argerror(L, 3, lua_pushfstring(L, "header '%s' %s", name, what));
}

/* How many lines the headers at index 3 make. */
static size_t count_fields(lua_State *L) {
  size_t count = 0;
  for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1))
    count += lua_type(L, -1) == LUA_TTABLE ? lua_rawlen(L, -1) : 1;
  luaL_argcheck(L, count <= FIELDS_MAX, 3, "too many headers");
  return count;
}

/* Fills in a field with the name at `key` and the value on the top, which stay
 * where they are. */
static void fill_field(lua_State *L, struct lp__field *field, int key) {
  if (lua_type(L, key) != LUA_TSTRING)
    luaL_argerror(L, 3, "names of headers must be strings");
  field->name = lua_tolstring(L, key, &field->name_size);
  if (!lua_isstring(L, -1))
    field_error(L, field->name, "must be a string");
  field->value = lua_tolstring(L, -1, &field->value_size);
  if (!lp__field_ok(field))
    field_error(L, field->name, "is not one that HTTP allows");
}

/* Fills in fields from the pair on the top; returns the next one. Strings that
 * are in the table need nobody else to keep them. */
static struct lp__field *fill_pair(lua_State *L, struct lp__field *field) {
  int key = lua_gettop(L) - 1;
  if (lua_type(L, -1) != LUA_TTABLE) {
    fill_field(L, field, key);
    return field + 1;
  }
  size_t count = lua_rawlen(L, -1);
  for (size_t i = 1; i <= count; i++) {
    if (lua_rawgeti(L, -1, (lua_Integer)i) != LUA_TSTRING)
      field_error(L, lua_tostring(L, key), "must be a list of strings");
    fill_field(L, field++, key);
    lua_pop(L, 1);
  }
  return field;
}

/* The headers at index 3, in `few` when they are not more than `room`. What
 * they point to lives as long as the stack is not cut.  [-0, +n, e] */
static const struct lp__field *check_fields(lua_State *L, struct lp__field *few,
                                            size_t room, size_t *count) {
  struct lp__field *fields = few;
  *count = 0;
  if (lua_isnoneornil(L, 3))
    return fields;
  luaL_checktype(L, 3, LUA_TTABLE);
  *count = count_fields(L);
  if (*count > room)
    fields = lua_newuserdatauv(L, *count * sizeof *fields, 0);
  luaL_checkstack(L, (int)*count + 8, "too many headers");
  struct lp__field *field = fields;
  for (lua_pushnil(L); lua_next(L, 3);) { /* key value */
    bool number = lua_type(L, -1) == LUA_TNUMBER;
    field = fill_pair(L, field);
    if (number)
      lua_insert(L, -2); /* text key: the text is kept here */
    else
      lua_pop(L, 1);
  }
  return fields;
}

static int answered_twice(lua_State *L) {
  return luaL_error(L, "the request has an answer");
}

static int request_respond(lua_State *L) {
  struct lp__field few[32];
  size_t count, size;
  struct lp__request *request = check_request(L);
  int status = check_status(L);
  const char *body = luaL_optlstring(L, 4, "", &size);
  const struct lp__field *fields = check_fields(L, few, 32, &count);
  if (!lp__request_respond(request, status, fields, count, body, size))
    return answered_twice(L);
  return 0;
}

static int request_begin(lua_State *L) {
  struct lp__field few[32];
  size_t count;
  struct lp__request *request = check_request(L);
  int status = check_status(L);
  const struct lp__field *fields = check_fields(L, few, 32, &count);
  if (!lp__request_begin(request, status, fields, count))
    return answered_twice(L);
  return 0;
}

static int request_write(lua_State *L) {
  size_t size;
  struct lp__request *request = check_request(L);
  const char *bytes = luaL_checklstring(L, 2, &size);
  size_t unsent = lp__request_write(request, bytes, size);
  if (unsent > 0) {
    lp__own_get(L, &undrained);
    lua_pushvalue(L, 1);
    lua_rawsetp(L, -2, request);
  }
  lua_pushinteger(L, (lua_Integer)unsent);
  return 1;
}

static int request_finish(lua_State *L) {
  lp__request_finish(check_request(L));
  return 0;
}

static int request_abort(lua_State *L) {
  lp__request_abort(check_request(L));
  return 0;
}

void lp__lib_open_requests(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"method", request_method},   {"path", request_path},
      {"query", request_query},     {"header", request_header},
      {"headers", request_headers}, {"body", request_body},
      {"size", request_size},       {"problem", request_problem},
      {"address", request_address}, {"gone", request_gone},
      {"respond", request_respond}, {"begin", request_begin},
      {"write", request_write},     {"finish", request_finish},
      {"abort", request_abort},     {NULL, NULL}};
  if (lp__own_metatable(L, LP__REQUEST)) {
    lua_pushcfunction(L, request_gc);
    lua_setfield(L, -2, "__gc");
    /* Whoever had the metatable could collect a request by hand. */
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_newtable(L); /* meta known */
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lp__own_set(L, &undrained);
  }
  lua_pop(L, 1);
}
