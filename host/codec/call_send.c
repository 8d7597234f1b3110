/* The caller's side of a call.  See call.h. */
#include <lauxlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../base64.h"
#include "call.h"
#include "dump.h"
#include "frame.h"
#include "load.h"
#include "seal.h"
#include "wire.h"

/* Compressing a kilobyte takes longer than sending it to a process nearby and
 * saves a cloud nothing; code that large is modules, or many functions. */
enum { COMPRESS_CODE_FROM = 4096 };

/* Fields of a code object. */
/* ORIGINS: key -> object; OBJECTS: object -> dump and key, the other way. */
enum { CODE_BYTES = 1, CODE_HASH, CODE_NAME, CODE_ORIGINS, CODE_OBJECTS };

#define CODE_TYPE "lambdapool.Code"

static const char *const prefix = "{\"lambdapool\":1,\"call\":\"";
static const char *const suffix = "\"}";

/* --- code --------------------------------------------------------------- */

/* Dumps the function; pushes the bytes and the table of its origins. */
static int dump_code(lua_State *L) {
  struct lp__dumper d;
  lua_newtable(L); /* function origins */
  lp__dump_begin(L, &d);
  d.record = 2;
  lp__dump_body(L, &d, 1, 1);
  lp__rope_push(L, &d.out, 0);
  lp__dump_end(L, &d);
  lp__seal(L, COMPRESS_CODE_FROM);
  lua_pushvalue(L, 2);
  return 2;
}

static int code_to_string(lua_State *L) {
  lua_rawgeti(L, 1, CODE_NAME);
  return 1;
}

static void check_callable(lua_State *L, int index) {
  if (lua_isfunction(L, index))
    return;
  if (luaL_getmetafield(L, index, "__call") == LUA_TNIL) {
    luaL_typeerror(L, index, "function");
  }
  lua_pop(L, 1);
}

/* Pushes the reverse of the origins on top: of two keys of one object the one
 * that is good for more. */
static void push_objects(lua_State *L) {
  lua_newtable(L);
  lua_pushnil(L);
  while (lua_next(L, -3)) { /* origins objects key object */
    lua_Integer key = lua_tointeger(L, -2);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -4) == LUA_TNIL || (key & 1) == 0) {
      lua_pushvalue(L, -2);
      lua_pushinteger(L, (lua_Integer)1 << 32 | key);
      lua_rawset(L, -6);
    }
    lua_pop(L, 2);
  }
}

int lp__call_code(lua_State *L) {
  XXH128_canonical_t hash;
  const char *bytes;
  size_t size;
  luaL_checkany(L, 1);
  check_callable(L, 1);
  lua_settop(L, 1);
  lua_createtable(L, CODE_ORIGINS, 0); /* function code */
  lua_pushvalue(L, 1);
  lp__dump_call(L, dump_code, 1, 2); /* ... bytes origins */
  push_objects(L);
  lua_rawseti(L, 2, CODE_OBJECTS);
  lua_rawseti(L, 2, CODE_ORIGINS);
  bytes = lua_tolstring(L, -1, &size);
  XXH128_canonicalFromHash(&hash, XXH3_128bits(bytes, size));
  lua_rawseti(L, 2, CODE_BYTES);
  lua_pushlstring(L, (const char *)hash.digest, sizeof hash.digest);
  lua_rawseti(L, 2, CODE_HASH);
  lp__push_type_name(L, 1);
  lua_rawseti(L, 2, CODE_NAME);
  if (luaL_newmetatable(L, CODE_TYPE)) {
    lua_pushcfunction(L, code_to_string);
    lua_setfield(L, -2, "__tostring");
  }
  lua_setmetatable(L, 2);
  return 1;
}

static void check_code(lua_State *L, int index) {
  int ok = lua_getmetatable(L, index);
  if (ok) {
    luaL_getmetatable(L, CODE_TYPE);
    ok = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  if (!ok)
    luaL_typeerror(L, index, CODE_TYPE);
}

/* --- request ------------------------------------------------------------ */

/* Stack indexes of request's arguments; the record of the current task and
 * the list of all follow. */
enum { CODE = 1, ITEMS, FROM, TO, OPTIONS, RECORD, ORIGINS, OBJECTS };

struct request {
  struct lp__dumper d;
  int star;
  int is_plain; /* the list has no metatable */
};

static lua_Integer get_option(lua_State *L, const char *name) {
  lua_Integer value;
  lua_getfield(L, OPTIONS, name);
  value = lua_isboolean(L, -1) ? lua_toboolean(L, -1) : lua_tointeger(L, -1);
  lua_pop(L, 1);
  return value;
}

static void put_varint(lua_State *L, struct lp__buffer *b, uint64_t v) {
  unsigned char *at = lp__buffer_reserve(L, b, LP__VARINT_MAX);
  b->size += (size_t)(lp__put_varint(at, v) - at);
}

/* Leaves room for the size of what is written next; returns its position. */
static size_t begin_sized(lua_State *L, struct lp__rope *out) {
  lp__buffer_add(L, &out->buffer, "\0\0\0\0", 4);
  return out->buffer.size;
}

static void end_sized(struct lp__rope *out, size_t position) {
  size_t size = lp__rope_size(out) - lp__rope_offset(out, position);
  lp__put_u32(out->buffer.bytes + position - 4, (uint32_t)size);
}

/* Pushes the arguments of the task on top in its place; returns how many. */
static int push_arguments(lua_State *L, int star) {
  int item = lua_gettop(L), n, i;
  if (!star)
    return 1;
  luaL_checktype(L, item, LUA_TTABLE);
  lua_getfield(L, item, "n");
  n = lua_isinteger(L, -1) ? (int)lua_tointeger(L, -1)
                           : (int)lua_rawlen(L, item);
  lua_pop(L, 1);
  if (n < 0)
    n = 0;
  luaL_checkstack(L, n + 20, "too many arguments");
  for (i = 1; i <= n; i++)
    lua_rawgeti(L, item, i);
  lua_remove(L, item);
  return n;
}

/* What the task's dump recorded, if anything, goes to the list of origins. */
static void keep_record(lua_State *L, lua_Integer task) {
  lua_pushnil(L);
  if (lua_next(L, RECORD)) {
    lua_pop(L, 2);
    lua_pushvalue(L, RECORD);
    lua_rawseti(L, ORIGINS, 1 + task);
    lua_newtable(L);
    lua_replace(L, RECORD);
  }
}

/* Writes the task on top, a single simple argument; 0 when it is not that. */
static int put_simple_task(lua_State *L, struct lp__buffer *b) {
  unsigned char *at = lp__buffer_reserve(L, b, 4 + LP__SIMPLE_MAX);
  size_t size = lp__dump_simple(L, lua_gettop(L), 1, at + 4);
  if (size == 0)
    return 0;
  lp__put_u32(at, (uint32_t)size);
  b->size += 4 + size;
  return 1;
}

static void put_task(lua_State *L, struct request *r, lua_Integer number,
                     lua_Integer task) {
  int first = lua_gettop(L) + 1, n;
  size_t position;
  if (r->is_plain) {
    lua_rawgeti(L, ITEMS, number);
  } else {
    lua_geti(L, ITEMS, number);
  }
  if (r->star || !put_simple_task(L, &r->d.out.buffer)) {
    position = begin_sized(L, &r->d.out);
    n = push_arguments(L, r->star);
    r->d.item = number;
    lp__dump_body(L, &r->d, first, n);
    keep_record(L, task);
    end_sized(&r->d.out, position);
  }
  lua_settop(L, first - 1);
}

static void put_code(lua_State *L, struct lp__rope *out) {
  size_t position = begin_sized(L, out);
  lua_rawgeti(L, CODE, CODE_BYTES);
  lp__rope_add_string(L, out, -1);
  lua_pop(L, 1);
  end_sized(out, position);
}

static int encode(lua_State *L) {
  struct request r;
  struct lp__buffer *b = &r.d.out.buffer;
  lua_Integer from = lua_tointeger(L, FROM), to = lua_tointeger(L, TO), i;
  size_t size;
  lua_newtable(L);
  lua_createtable(L, 1, 0);
  lua_rawgeti(L, CODE, CODE_ORIGINS);
  lua_rawseti(L, ORIGINS, 1);
  lua_rawgeti(L, CODE, CODE_OBJECTS);
  lp__dump_begin(L, &r.d);
  r.star = get_option(L, "star") != 0;
  r.is_plain = !lua_getmetatable(L, ITEMS);
  lua_settop(L, r.d.alive);
  r.d.record = RECORD;
  r.d.origins = OBJECTS;
  r.d.numbered =
      r.star ? (from == 1 && to == 1 ? LP__BY_ARGUMENT : LP__BY_ITEM_ARGUMENT)
             : LP__BY_ITEM;
  lp__seal_begin(L, b);
  put_varint(L, b, (uint64_t)get_option(L, "timeout_ms"));
  put_varint(L, b, (uint64_t)get_option(L, "compress_from"));
  put_code(L, &r.d.out);
  put_varint(L, b, (uint64_t)(to - from + 1));
  for (i = from; i <= to; i++)
    put_task(L, &r, i, i - from + 1);
  lp__seal_end(&r.d.out);
  size = strlen(prefix) + lp__base64_size(lp__rope_size(&r.d.out)) +
         strlen(suffix);
  if (size > LP__MAX_REQUEST) {
    lp__dump_end(L, &r.d);
    lua_pushnil(L);
    lua_pushinteger(L, (lua_Integer)size);
    return 2;
  }
  lp__rope_push_base64(L, &r.d.out, prefix, suffix);
  lp__dump_end(L, &r.d);
  lua_pushvalue(L, ORIGINS);
  return 2;
}

int lp__call_request(lua_State *L) {
  lua_Integer from, to;
  check_code(L, CODE);
  luaL_checktype(L, ITEMS, LUA_TTABLE);
  from = luaL_checkinteger(L, FROM);
  to = luaL_checkinteger(L, TO);
  luaL_argcheck(L, from >= 1, FROM, "tasks count from 1");
  luaL_argcheck(L, to >= from && to - from < INT32_MAX, TO,
                "must not be smaller than the first");
  lua_settop(L, OPTIONS);
  if (lua_isnil(L, OPTIONS)) {
    lua_newtable(L);
    lua_replace(L, OPTIONS);
  }
  luaL_checktype(L, OPTIONS, LUA_TTABLE);
  lp__dump_call(L, encode, OPTIONS, 2);
  return 2;
}

/* --- response ----------------------------------------------------------- */

/* Stack indexes of response's arguments, and of its results. */
enum { BYTES = 1, CODE_OBJECT, TASK_ORIGINS, COLUMNS, BASE, REPORT, ERRORS };

struct response {
  struct lp__bytes at;
  lua_Integer base;
};

static int malformed(lua_State *L) {
  return luaL_error(L, "malformed response from the worker");
}

static struct lp__bytes get_bytes(lua_State *L, struct response *r, size_t n) {
  struct lp__bytes bytes;
  if (n > (size_t)(r->at.end - r->at.at))
    malformed(L);
  bytes.at = r->at.at;
  bytes.end = r->at.at += n;
  return bytes;
}

static void set_integer(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, REPORT, name);
}

/* Pushes column `j`, made at need: with room for columns.n rows, when that is
 * known. */
static void push_column(lua_State *L, int j) {
  lua_Integer rows;
  if (lua_rawgeti(L, COLUMNS, j) == LUA_TTABLE)
    return;
  lua_pop(L, 1);
  lua_getfield(L, COLUMNS, "n");
  rows = lua_tointeger(L, -1);
  lua_pop(L, 1);
  lua_createtable(L, rows > 0 && rows < INT32_MAX ? (int)rows : 0, 0);
  lua_pushvalue(L, -1);
  lua_rawseti(L, COLUMNS, j);
}

/* Puts the values from index `first` on into row `row` of the columns. */
static void put_row(lua_State *L, int first, int n, lua_Integer row) {
  int j;
  for (j = 1; j <= n; j++) {
    push_column(L, j);
    lua_pushvalue(L, first + j - 1);
    lua_rawseti(L, -2, row);
    lua_pop(L, 1);
  }
}

/* load_body(body, origins): protected, so that a result that cannot be loaded
 * here fails alone. */
static int load_body(lua_State *L) {
  const struct lp__bytes *body = lua_touserdata(L, 1);
  struct lp__load_options options = {0, 0, 0, 0, 0};
  options.origins = 2;
  return lp__load_body(L, *body, &options);
}

/* Loads a body; pushes its values, or a message and returns -1. */
static int try_load(lua_State *L, struct lp__bytes *body) {
  int top = lua_gettop(L);
  lua_pushcfunction(L, load_body);
  lua_pushlightuserdata(L, body);
  lua_pushvalue(L, TASK_ORIGINS);
  if (lua_pcall(L, 2, LUA_MULTRET, 0) != LUA_OK)
    return -1;
  return lua_gettop(L) - top;
}

/* Sets errors[task] from message, traceback and value on top, at `first`. */
static void set_error(lua_State *L, lua_Integer task, const char *kind,
                      int first) {
  lua_settop(L, first + 2);
  if (lua_isnil(L, ERRORS)) {
    lua_newtable(L);
    lua_replace(L, ERRORS);
  }
  lua_createtable(L, 0, 4);
  lua_pushstring(L, kind);
  lua_setfield(L, -2, "kind");
  lua_pushvalue(L, first);
  lua_setfield(L, -2, "message");
  lua_pushvalue(L, first + 1);
  lua_setfield(L, -2, "traceback");
  lua_pushvalue(L, first + 2);
  lua_setfield(L, -2, "value");
  lua_rawseti(L, ERRORS, task);
}

/* Reads the end of one task; returns its number of values. */
static int get_task(lua_State *L, struct response *r, lua_Integer task) {
  static const char *const kinds[] = {"ok", "error", "timeout", "out_of_memory",
                                      "too_large"};
  int first = lua_gettop(L) + 1, n;
  unsigned end = *get_bytes(L, r, 1).at;
  size_t size = lp__get_u32(get_bytes(L, r, 4).at);
  struct lp__bytes body = get_bytes(L, r, size);
  luaL_checkstack(L, 20, NULL);
  if (end >= sizeof kinds / sizeof kinds[0])
    malformed(L);
  n = lp__load_simple(L, body) ? 1 : try_load(L, &body);
  if (n < 0) {
    set_error(L, task, "error", first);
    n = 0;
  } else if (end != LP__TASK_OK) {
    set_error(L, task, kinds[end], first);
    n = 0;
  } else {
    put_row(L, first, n, r->base + task);
  }
  lua_settop(L, first - 1);
  return n;
}

/* Reads records, from the one of `task` on, while they are of tasks that
 * returned one simple value: in bulk almost all are.  Returns the next task. */
static lua_Integer get_simple_tasks(lua_State *L, struct response *r,
                                    lua_Integer task, lua_Integer done) {
  enum { HEAD = 5 };
  int column = lua_gettop(L) + 1;
  push_column(L, 1);
  for (; task <= done && r->at.end - r->at.at >= HEAD; task++) {
    const unsigned char *at = r->at.at;
    struct lp__bytes body = {at + HEAD, at + HEAD + lp__get_u32(at + 1)};
    if (at[0] != LP__TASK_OK ||
        lp__get_u32(at + 1) > (size_t)(r->at.end - body.at) ||
        !lp__load_simple(L, body))
      break;
    lua_rawseti(L, column, r->base + task);
    r->at.at = body.end;
  }
  lua_settop(L, column - 1);
  return task;
}

static int is_simple_next(const struct response *r) {
  return r->at.at < r->at.end && r->at.at[0] == LP__TASK_OK &&
         r->at.end - r->at.at > 5 && r->at.at[5] == 1;
}

static void check_hash(lua_State *L, struct response *r) {
  struct lp__bytes hash = get_bytes(L, r, 16);
  size_t size;
  const char *own;
  lua_rawgeti(L, CODE_OBJECT, CODE_HASH);
  own = lua_tolstring(L, -1, &size);
  if (size != 16 || memcmp(own, hash.at, 16) != 0) {
    lua_rawgeti(L, CODE_OBJECT, CODE_NAME);
    luaL_error(L, "the worker ran other code than %s", lua_tostring(L, -1));
  }
  lua_pop(L, 1);
}

int lp__call_response(lua_State *L) {
  struct response r;
  lua_Integer done, i, next;
  int n = 0, most = 0;
  size_t size;
  r.at.at = (const unsigned char *)luaL_checklstring(L, BYTES, &size);
  r.at.end = r.at.at + size;
  check_code(L, CODE_OBJECT);
  luaL_checktype(L, TASK_ORIGINS, LUA_TTABLE);
  luaL_checktype(L, COLUMNS, LUA_TTABLE);
  r.base = luaL_checkinteger(L, BASE);
  lua_settop(L, BASE);
  lua_createtable(L, 0, 6);
  lua_pushnil(L);
  r.at = lp__unseal(L, r.at); /* ... report nil body */
  check_hash(L, &r);
  lua_pushboolean(L, *get_bytes(L, &r, 1).at != 0);
  lua_setfield(L, REPORT, "cold");
  set_integer(L, "run_us", lp__get_u64(get_bytes(L, &r, 8).at));
  set_integer(L, "peak_memory", lp__get_u64(get_bytes(L, &r, 8).at));
  done = (lua_Integer)lp__get_u32(get_bytes(L, &r, 4).at);
  if (done > r.at.end - r.at.at)
    malformed(L);
  for (i = 1; i <= done;) {
    if (is_simple_next(&r) && (next = get_simple_tasks(L, &r, i, done)) > i) {
      i = next;
      n = 1;
    } else {
      n = get_task(L, &r, i++);
    }
    if (n > most)
      most = n;
  }
  if (r.at.at != r.at.end)
    malformed(L);
  set_integer(L, "done", (uint64_t)done);
  set_integer(L, "values", (uint64_t)n);
  set_integer(L, "max_values", (uint64_t)most);
  lua_settop(L, ERRORS);
  return 2;
}
