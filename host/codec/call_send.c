/* The caller's side of a call: tasks to bytes, and bytes to requests.  See
 * call.h. */
#include <lauxlib.h>
#include <string.h>

#include "../base64.h"
#include "call.h"
#include "call_code.h"
#include "dump.h"
#include "seal.h"
#include "wire.h"

static const char prefix[] = LP__CALL_PREFIX;
static const char suffix[] = LP__CALL_SUFFIX;

/* Stack indexes in the protected functions.  OPTIONS: of request; STAR: of
 * encode.  RECORD: what the dump of the current task recorded; RECORDS: the
 * list of all that are not empty; ENCODED: of request, the records that came
 * with encoded tasks, or nil; BODIES: of encode, its result. */
enum {
  CODE = 1,
  ITEMS,
  FROM,
  TO,
  OPTIONS,
  RECORD,
  RECORDS,
  OBJECTS,
  ENCODED,
  STAR = OPTIONS,
  BODIES = ENCODED
};

struct sender {
  struct lp__dumper d;
  int star;
  int encoded;      /* the items are bodies */
  int is_plain;     /* the list has no metatable */
  int has_records;  /* RECORDS is not empty */
  size_t soft;      /* no task is added once the request is that large */
  size_t too_large; /* the size that the request would have had */
};

/* Begins a session; what the caller has put on the stack is complete. */
static void begin(lua_State *L, struct sender *s) {
  lua_Integer from = lua_tointeger(L, FROM), to = lua_tointeger(L, TO);
  lp__dump_begin(L, &s->d);
  s->d.record = RECORD;
  s->d.origins = OBJECTS;
  s->is_plain = !lua_getmetatable(L, ITEMS);
  lua_settop(L, s->d.alive);
  s->has_records = 0;
  if (!s->star) {
    s->d.numbered = LP__BY_ITEM;
  } else if (from == 1 && to == 1) {
    s->d.numbered = LP__BY_ARGUMENT;
  } else {
    s->d.numbered = LP__BY_ITEM_ARGUMENT;
  }
}

/* --- one task ------------------------------------------------------------ */

static void push_item(lua_State *L, const struct sender *s,
                      lua_Integer number) {
  if (s->is_plain) {
    lua_rawgeti(L, ITEMS, number);
  } else {
    lua_geti(L, ITEMS, number);
  }
}

/* Pushes the arguments of the task on top in its place; returns how many. */
static int push_arguments(lua_State *L) {
  int item = lua_gettop(L), n, i;
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

static int is_empty(lua_State *L, int index) {
  lua_pushnil(L);
  if (lua_next(L, index) == 0)
    return 1;
  lua_pop(L, 2);
  return 0;
}

/* What the task's dump recorded, if anything, goes to the list of all. */
static void keep_record(lua_State *L, struct sender *s, lua_Integer i) {
  if (is_empty(L, RECORD))
    return;
  lua_pushvalue(L, RECORD);
  lua_rawseti(L, RECORDS, i);
  lua_newtable(L);
  lua_replace(L, RECORD);
  s->has_records = 1;
}

/* Adds the body of a task, the `n` arguments on top, and removes them. */
static void put_body(lua_State *L, struct sender *s, int n, lua_Integer number,
                     lua_Integer record) {
  int first = lua_gettop(L) - n + 1;
  s->d.item = number;
  lp__dump_body(L, &s->d, first, n);
  keep_record(L, s, record);
  lua_settop(L, first - 1);
}

/* --- encoding tasks ahead ------------------------------------------------ */

/* Sets bodies[number]. */
static void set_body(lua_State *L, struct sender *s, lua_Integer number) {
  unsigned char simple[LP__SIMPLE_MAX];
  size_t size;
  int n;
  push_item(L, s, number);
  n = s->star ? push_arguments(L) : 1;
  size = lp__dump_simple(L, lua_gettop(L) - n + 1, n, simple);
  if (size > 0) {
    lua_pop(L, n);
    lua_pushlstring(L, (const char *)simple, size);
  } else {
    s->d.out.buffer.size = 0;
    s->d.out.segment_count = 0;
    put_body(L, s, n, number, number);
    lp__rope_push(L, &s->d.out, 0);
  }
  lua_rawseti(L, BODIES, number);
}

/* encode(code, list, first, last, star), with the collector stopped. */
static int encode_items(lua_State *L) {
  struct sender s;
  lua_Integer from = lua_tointeger(L, FROM), to = lua_tointeger(L, TO), i;
  int n = (int)(to - from + 1);
  lua_newtable(L);
  lua_newtable(L);
  lua_rawgeti(L, CODE, LP__CODE_OBJECTS);
  lua_createtable(L, from == 1 ? n : 0, from == 1 ? 0 : n);
  s.star = lua_toboolean(L, STAR);
  begin(L, &s);
  for (i = from; i <= to; i++)
    set_body(L, &s, i);
  lp__dump_end(L, &s.d);
  lua_pushvalue(L, BODIES);
  if (s.has_records) {
    lua_pushvalue(L, RECORDS);
  } else {
    lua_pushnil(L);
  }
  return 2;
}

/* Checks code, list, first and last, of which `least` items must be. */
static void check_range(lua_State *L, int least) {
  lua_Integer from, to;
  lp__check_code(L, CODE);
  luaL_checktype(L, ITEMS, LUA_TTABLE);
  from = luaL_checkinteger(L, FROM);
  to = luaL_checkinteger(L, TO);
  luaL_argcheck(L, from >= 1, FROM, "tasks count from 1");
  luaL_argcheck(L, to >= from + least - 1 && to - from < INT32_MAX, TO,
                "must not be smaller than the first");
}

int lp__call_encode(lua_State *L) {
  check_range(L, 0);
  lua_settop(L, STAR);
  lp__dump_call(L, encode_items, STAR, 2);
  return 2;
}

/* arguments(code, ...), with the collector stopped. */
static int encode_arguments(lua_State *L) {
  struct lp__dumper d;
  int n = lua_gettop(L) - 1, record = n + 2;
  lua_newtable(L);
  lua_rawgeti(L, CODE, LP__CODE_OBJECTS);
  lp__dump_begin(L, &d);
  d.record = record;
  d.origins = record + 1;
  d.numbered = LP__BY_ARGUMENT;
  lp__dump_body(L, &d, 2, n);
  lp__rope_push(L, &d.out, 0);
  lp__dump_end(L, &d);
  if (is_empty(L, record)) {
    lua_pushnil(L);
  } else {
    lua_pushvalue(L, record);
  }
  return 2;
}

int lp__call_arguments(lua_State *L) {
  unsigned char simple[LP__SIMPLE_MAX];
  int n = lua_gettop(L) - 1;
  size_t size;
  lp__check_code(L, CODE);
  size = lp__dump_simple(L, 2, n, simple);
  if (size > 0) {
    lua_pushlstring(L, (const char *)simple, size);
    return 1;
  }
  luaL_checkstack(L, 20, "too many arguments");
  lp__dump_call(L, encode_arguments, n + 1, 2);
  return 2;
}

/* --- request ------------------------------------------------------------- */

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

static void put_u64(lua_State *L, struct lp__buffer *b, uint64_t v) {
  lp__put_u64(lp__buffer_reserve(L, b, 8), v);
  b->size += 8;
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

/* Adds the string on top with its size, and removes it. */
static void put_string(lua_State *L, struct lp__rope *out) {
  unsigned char *at = lp__buffer_reserve(L, &out->buffer, 4);
  lp__put_u32(at, (uint32_t)lua_rawlen(L, -1));
  out->buffer.size += 4;
  lp__rope_add_string(L, out, -1);
  lua_pop(L, 1);
}

/* Adds the task whose `n` arguments are on top, and removes them, when they
 * are simple; 0 when they are not. */
static int put_simple_task(lua_State *L, struct lp__buffer *b, int n) {
  unsigned char *at = lp__buffer_reserve(L, b, 4 + LP__SIMPLE_MAX);
  size_t size = lp__dump_simple(L, lua_gettop(L) - n + 1, n, at + 4);
  if (size == 0)
    return 0;
  lp__put_u32(at, (uint32_t)size);
  b->size += 4 + size;
  lua_pop(L, n);
  return 1;
}

/* Adds the encoded task on top, and removes it. */
static void put_encoded(lua_State *L, struct sender *s, lua_Integer number,
                        lua_Integer record) {
  if (lua_type(L, -1) != LUA_TSTRING)
    luaL_error(L, "item %I is not encoded", (LUAI_UACINT)number);
  put_string(L, &s->d.out);
  if (lua_isnil(L, ENCODED))
    return;
  if (lua_rawgeti(L, ENCODED, number) != LUA_TNIL) {
    lua_rawseti(L, RECORDS, record);
  } else {
    lua_pop(L, 1);
  }
}

static void put_task(lua_State *L, struct sender *s, lua_Integer number,
                     lua_Integer record) {
  size_t position;
  int n;
  push_item(L, s, number);
  if (s->encoded) {
    put_encoded(L, s, number, record);
    return;
  }
  n = s->star ? push_arguments(L) : 1;
  if (put_simple_task(L, &s->d.out.buffer, n))
    return;
  position = begin_sized(L, &s->d.out);
  put_body(L, s, n, number, record);
  end_sized(&s->d.out, position);
}

/* The size of a call whose request has `size` bytes, at most. */
static size_t call_size(size_t size) {
  const size_t around = sizeof prefix + sizeof suffix - 2;
  return size > around ? (size - around) / 4 * 3 : 0;
}

/* Adds tasks until the request is large enough; returns the last one that is
 * in it. */
static lua_Integer put_tasks(lua_State *L, struct sender *s, lua_Integer from,
                             lua_Integer to) {
  const size_t most = call_size(LP__MAX_REQUEST);
  struct lp__rope *out = &s->d.out;
  lua_Integer i;
  for (i = from; i <= to; i++) {
    size_t before = out->buffer.size;
    unsigned segments = out->segment_count;
    if (i > from && lp__rope_size(out) > s->soft)
      break;
    put_task(L, s, i, i - from + 2);
    if (lp__rope_size(out) <= most)
      continue;
    s->too_large = lp__rope_size(out);
    out->buffer.size = before;
    out->segment_count = segments;
    lua_pushnil(L);
    lua_rawseti(L, RECORDS, i - from + 2);
    break;
  }
  return i - 1;
}

/* Writes what stands in front of the tasks, except how many they are: returns
 * the position of that. */
static size_t put_head(lua_State *L, struct sender *s, lua_Integer from) {
  struct lp__buffer *b = &s->d.out.buffer;
  lp__seal_begin(L, b);
  put_varint(L, b, (uint64_t)get_option(L, "timeout_ms"));
  put_varint(L, b, (uint64_t)get_option(L, "compress_from"));
  put_varint(L, b, (uint64_t)get_option(L, "stop_ms"));
  put_varint(L, b, get_option(L, "json") != 0);
  put_u64(L, b, (uint64_t)get_option(L, "seed"));
  put_varint(L, b, (uint64_t)(get_option(L, "position") + from - 1));
  lua_rawgeti(L, CODE, LP__CODE_BYTES);
  put_string(L, &s->d.out);
  return begin_sized(L, &s->d.out) - 4;
}

/* Pushes what the values in the tasks' bodies may refer to: the list of
 * origins, and what of them the code has. */
static void push_origins(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 1, 0);
  lua_rawgeti(L, CODE, LP__CODE_ORIGINS);
  lua_rawseti(L, RECORDS, 1);
  lua_rawgeti(L, CODE, LP__CODE_OBJECTS);
  lua_getfield(L, OPTIONS, "records");
}

static void get_options(lua_State *L, struct sender *s) {
  lua_Integer soft = get_option(L, "soft_limit");
  s->star = get_option(L, "star") != 0;
  s->encoded = get_option(L, "encoded") != 0;
  s->soft = soft > 0 ? call_size((size_t)soft) : SIZE_MAX;
}

/* request(code, list, first, last, options), with the collector stopped. */
static int make_request(lua_State *L) {
  struct sender s;
  lua_Integer from = lua_tointeger(L, FROM), to = lua_tointeger(L, TO), last;
  size_t count;
  push_origins(L);
  get_options(L, &s);
  begin(L, &s);
  count = put_head(L, &s, from);
  last = put_tasks(L, &s, from, to);
  if (last < from) {
    lp__dump_end(L, &s.d);
    lua_pushnil(L);
    lua_pushinteger(L, (lua_Integer)(sizeof prefix + sizeof suffix - 2 +
                                     lp__base64_size(s.too_large)));
    lua_pushnil(L);
    return 3;
  }
  lp__put_u32(s.d.out.buffer.bytes + count, (uint32_t)(last - from + 1));
  lp__seal_end(&s.d.out);
  lp__rope_push_base64(L, &s.d.out, prefix, suffix);
  lp__dump_end(L, &s.d);
  lua_pushvalue(L, RECORDS);
  lua_pushinteger(L, last);
  return 3;
}

int lp__call_request(lua_State *L) {
  check_range(L, 1);
  lua_settop(L, OPTIONS);
  if (lua_isnil(L, OPTIONS)) {
    lua_newtable(L);
    lua_replace(L, OPTIONS);
  }
  luaL_checktype(L, OPTIONS, LUA_TTABLE);
  lua_getfield(L, OPTIONS, "records");
  if (!lua_isnil(L, -1))
    luaL_argcheck(L, lua_istable(L, -1), OPTIONS, "records must be a table");
  lua_settop(L, OPTIONS);
  lp__dump_call(L, make_request, OPTIONS, 3);
  return 3;
}
