/* The Lua module "lambdapool.transfer": HTTP requests on the loop. What is
 * decided about them is in lua/lambdapool/http.lua; transfer.h says what all of
 * this means.
 *
 *   transfer.open(port, id, owner) -> engine | nil, message
 *           for loop.attach; it keeps `owner`, whose port it is
 *   engine:prepare(method, url, headers, body | nil, seconds, connect_seconds,
 *                  most_bytes, ca | nil, proxy | nil) -> number | nil, message
 *   engine:go(number, announce)
 *   engine:take() -> number                    it is connected
 *                  | number, status, headers, body
 *                  | number, nil, failure, detail, system | nil, sent
 *                  | nil                       there are no news
 *   engine:cancel(number)
 *   engine:close()
 *
 * headers: { name = value }; those of answers have names in lower case, and
 * several of one name are joined with ",". What HTTP does not allow in names
 * and values raises. Content-Length, Transfer-Encoding, Expect and Connection
 * are left out of requests: they are written below. A number is given back when
 * its end has been taken, or it is cancelled. */
#include <ctype.h>
#include <dlfcn.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "../own.h"
#include "lambdapool.h"
#include "transfer.h"

LP_API int luaopen_lambdapool_transfer(lua_State *L);

#define ENGINE "lambdapool.transfer.Engine"

enum { MOST_LINES = 1024 * 1024 };

/* User value 1 is a table of the bodies that are being sent, by number; 2 is
 * the owner of the port. */
struct engine {
  struct lp__transfers *transfers;
  char *lines; /* headers of the request that is being started */
  size_t size, room;
  pid_t process; /* a child that is forked has no threads of its parent's */
};

static struct engine *check_engine(lua_State *L) {
  struct engine *engine = lp__own_check(L, 1, ENGINE);
  if (!engine->transfers)
    luaL_error(L, "the engine is closed");
  return engine;
}

/* Serves __gc, __close and close(); may run twice. */
static int engine_close(lua_State *L) {
  struct engine *engine = lp__own_check(L, 1, ENGINE);
  if (engine->process == getpid())
    lp__transfers_close(engine->transfers);
  engine->transfers = NULL;
  free(engine->lines);
  engine->lines = NULL;
  engine->size = engine->room = 0;
  for (int i = 1; i <= 2; i++) {
    lua_pushnil(L);
    lua_setiuservalue(L, 1, i);
  }
  return 0;
}

static int fail(lua_State *L, int status) {
  luaL_pushfail(L);
  lua_pushstring(L, strerror(-status));
  return 2;
}

/* A thread of libcurl may still look for a host when the state closes, and this
 * library with it: the code that it runs must stay. */
static void pin_curl(void) {
  dlopen("libcurl.so.4", RTLD_LAZY | RTLD_NODELETE);
}

static int transfer_open(lua_State *L) {
  luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
  const struct lp__loop_port *port = lua_touserdata(L, 1);
  lua_Integer id = luaL_checkinteger(L, 2);
  lua_settop(L, 3);
  struct engine *engine = lua_newuserdatauv(L, sizeof *engine, 2);
  memset(engine, 0, sizeof *engine);
  engine->process = getpid();
  lp__own_set_metatable(L, ENGINE);
  lua_newtable(L);
  lua_setiuservalue(L, 4, 1);
  lua_pushvalue(L, 3);
  lua_setiuservalue(L, 4, 2);
  pin_curl();
  int status = lp__transfers_open(&engine->transfers, port, id);
  return status == 0 ? 1 : fail(L, status);
}

/* --- requests ------------------------------------------------------------ */

static bool is_token(const char *text, size_t size) {
  static const char others[] = "!#$%&'*+-.^_`|~";
  for (size_t i = 0; i < size; i++)
    if (!isalnum((unsigned char)text[i]) &&
        (!text[i] || !strchr(others, text[i])))
      return false;
  return size > 0;
}

static bool is_value(const char *text, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 127)
      return false;
  return true;
}

static bool is_ours(const char *name) {
  static const char *const names[] = {"content-length", "transfer-encoding",
                                      "expect", "connection"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcasecmp(name, names[i]) == 0)
      return true;
  return false;
}

static void add(lua_State *L, struct engine *engine, const char *bytes,
                size_t size) {
  if (engine->room - engine->size < size) {
    size_t room = 2 * (engine->size + size) + 1024;
    char *lines = realloc(engine->lines, room);
    if (!lines)
      luaL_error(L, "not enough memory");
    engine->lines = lines;
    engine->room = room;
  }
  memcpy(engine->lines + engine->size, bytes, size);
  engine->size += size;
}

/* Adds "name: value", or "name;" when it is empty. */
static void add_header(lua_State *L, struct engine *engine, const char *name,
                       size_t name_size, const char *value, size_t size) {
  luaL_argcheck(L, engine->size + name_size + size <= MOST_LINES, 4,
                "too large");
  add(L, engine, name, name_size);
  if (size > 0) {
    add(L, engine, ": ", 2);
    add(L, engine, value, size);
    add(L, engine, "", 1);
  } else {
    add(L, engine, ";", 2);
  }
}

/* Adds the header at the top of the stack, a name and a value. */
static void check_header(lua_State *L, struct engine *engine) {
  size_t name_size, size;
  luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING, 4, "a name is no string");
  const char *name = lua_tolstring(L, -2, &name_size);
  const char *value = lua_tolstring(L, -1, &size);
  if (!is_token(name, name_size))
    luaL_argerror(L, 4, "a name is not one that HTTP allows");
  if (!value || !is_value(value, size))
    luaL_argerror(
        L, 4,
        lua_pushfstring(L, "the value of '%s' is not one that HTTP allows",
                        name));
  if (!is_ours(name))
    add_header(L, engine, name, name_size, value, size);
}

/* Collects the headers at index 4. What libcurl would add by itself it does
 * not: an empty line says so, to which it prefers one with a value. */
static void check_headers(lua_State *L, struct engine *engine) {
  static const char not_these[] = "Expect:\0Accept:\0Content-Type:";
  luaL_checktype(L, 4, LUA_TTABLE);
  engine->size = 0;
  lua_pushnil(L);
  while (lua_next(L, 4)) {
    check_header(L, engine);
    lua_pop(L, 1);
  }
  add(L, engine, not_these, sizeof not_these);
}

static const char *check_text(lua_State *L, int arg) {
  size_t size;
  const char *text = luaL_checklstring(L, arg, &size);
  luaL_argcheck(L, strlen(text) == size, arg, "has a zero in it");
  return text;
}

static const char *optional_text(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? NULL : check_text(L, arg);
}

static int64_t check_seconds(lua_State *L, int arg) {
  lua_Number seconds = luaL_checknumber(L, arg);
  luaL_argcheck(L, seconds > 0, arg, "must be more than 0 seconds");
  return seconds < 1e6 ? (int64_t)(seconds * 1000) : 1000000000;
}

static void check_request(lua_State *L, struct engine *engine,
                          struct lp__transfer_request *request) {
  size_t size;
  memset(request, 0, sizeof *request);
  request->method = luaL_checklstring(L, 2, &size);
  luaL_argcheck(L, is_token(request->method, size), 2, "is no method");
  request->url = check_text(L, 3);
  check_headers(L, engine);
  request->headers = engine->lines;
  request->headers_size = engine->size;
  request->body = luaL_optlstring(L, 5, NULL, &request->body_size);
  request->total_ms = check_seconds(L, 6);
  request->connect_ms = check_seconds(L, 7);
  lua_Integer most = luaL_checkinteger(L, 8);
  luaL_argcheck(L, most >= 0, 8, "must not be negative");
  request->most_bytes = (size_t)most;
  request->ca = optional_text(L, 9);
  request->proxy = optional_text(L, 10);
}

static void keep_body(lua_State *L, int number, int index) {
  lua_getiuservalue(L, 1, 1);
  lua_pushvalue(L, index);
  lua_rawseti(L, -2, number);
  lua_pop(L, 1);
}

static void forget_body(lua_State *L, int number) {
  lua_getiuservalue(L, 1, 1);
  lua_pushnil(L);
  lua_rawseti(L, -2, number);
  lua_pop(L, 1);
}

static int engine_prepare(lua_State *L) {
  struct engine *engine = check_engine(L);
  struct lp__transfer_request request;
  lua_settop(L, 10);
  check_request(L, engine, &request);
  int number = lp__transfer_prepare(engine->transfers, &request);
  if (number < 0)
    return fail(L, number);
  keep_body(L, number, 5);
  lua_pushinteger(L, number);
  return 1;
}

static int engine_go(lua_State *L) {
  struct engine *engine = check_engine(L);
  lp__transfer_go(engine->transfers, (int)luaL_checkinteger(L, 2),
                  lua_toboolean(L, 3));
  return 0;
}

static int engine_cancel(lua_State *L) {
  struct engine *engine = check_engine(L);
  int number = (int)luaL_checkinteger(L, 2);
  lp__transfer_release(engine->transfers, number);
  forget_body(L, number);
  return 0;
}

/* --- answers ------------------------------------------------------------- */

/* Sets a header in the table at the top; adds to one that is there.
 * [-0, +0, m] */
static void set_header(lua_State *L, const char *line, size_t size) {
  const char *colon = memchr(line, ':', size);
  if (!colon)
    return;
  const char *value = colon + 1, *end = line + size;
  while (value < end && (*value == ' ' || *value == '\t'))
    value++;
  lua_pushlstring(L, line, (size_t)(colon - line)); /* t name */
  lua_pushvalue(L, -1);
  bool again = lua_rawget(L, -3) != LUA_TNIL; /* t name before */
  if (again)
    lua_pushliteral(L, ",");
  else
    lua_pop(L, 1);
  lua_pushlstring(L, value, (size_t)(end - value));
  if (again)
    lua_concat(L, 3);
  lua_rawset(L, -3); /* t */
}

/* [-0, +1, m] */
static void push_headers(lua_State *L, const struct lp__transfer_end *end) {
  const char *line = end->headers;
  const char *last = line + end->headers_size;
  lua_createtable(L, 0, 8);
  while (line < last) {
    size_t size = strlen(line);
    set_header(L, line, size);
    line += size + 1;
  }
}

/* Pushes what became of a transfer.  [-0, +n, m] */
static int push_end(lua_State *L, const struct lp__transfer_end *end) {
  if (end->failure) {
    lua_pushnil(L);
    lua_pushstring(L, end->failure);
    lua_pushstring(L, end->detail);
    lua_pushstring(L, end->system);
    lua_pushboolean(L, end->sent);
    return 5;
  }
  lua_pushinteger(L, end->status);
  push_headers(L, end);
  lua_pushlstring(L, end->body ? end->body : "", end->body_size);
  return 3;
}

static int engine_take(lua_State *L) {
  struct engine *engine = check_engine(L);
  struct lp__transfer_end end;
  int number;
  enum lp__transfer_news news =
      lp__transfers_take(engine->transfers, &number, &end);
  if (news == LP__TRANSFER_NO_NEWS)
    return 0;
  lua_pushinteger(L, number);
  if (news == LP__TRANSFER_CONNECTED)
    return 1;
  int count = push_end(L, &end);
  lp__transfer_release(engine->transfers, number);
  forget_body(L, number);
  return 1 + count;
}

int luaopen_lambdapool_transfer(lua_State *L) {
  static const luaL_Reg functions[] = {{"open", transfer_open}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"prepare", engine_prepare}, {"go", engine_go},
      {"cancel", engine_cancel},   {"take", engine_take},
      {"close", engine_close},     {NULL, NULL}};
  static const luaL_Reg metamethods[] = {
      {"__gc", engine_close}, {"__close", engine_close}, {NULL, NULL}};
  lp__own_metatable(L, ENGINE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
