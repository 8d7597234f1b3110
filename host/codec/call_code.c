/* The code object of a call.  See call_code.h and call.h. */
#include "call_code.h"

#include <lauxlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../own.h"
#include "call.h"
#include "dump.h"
#include "frame.h"
#include "seal.h"
#include "wire.h"

/* Compressing a kilobyte takes longer than sending it to a process nearby and
 * saves a cloud nothing; code that large is modules, or many functions. */
enum { COMPRESS_CODE_FROM = 4096 };

#define CODE_TYPE "lambdapool.Code"

static int is_code(lua_State *L, int index) {
  int equal;
  if (!lua_getmetatable(L, index))
    return 0;
  lp__own_push_metatable(L, CODE_TYPE);
  equal = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return equal;
}

void lp__check_code(lua_State *L, int index) {
  if (!is_code(L, index))
    luaL_typeerror(L, index, CODE_TYPE);
}

/* --- the same again ------------------------------------------------------ */

/* Whether every entry of the table at `a` is in the one at `b`. */
static int is_part_of(lua_State *L, int a, int b) {
  lua_pushnil(L);
  while (lua_next(L, a)) { /* key value */
    int equal;
    lua_pushvalue(L, -2);
    lua_rawget(L, b);
    equal = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (!equal) {
      lua_pop(L, 1);
      return 0;
    }
  }
  return 1;
}

/* Whether the code object at `previous` has this body and these origins:
 * sending the one or the other makes no difference. */
static int is_same(lua_State *L, const struct lp__rope *body, int previous,
                   int origins) {
  int top = lua_gettop(L), equal;
  size_t size;
  const char *bytes;
  if (lua_isnil(L, previous))
    return 0;
  if (lua_rawgeti(L, previous, LP__CODE_PLAIN) == LUA_TSTRING) {
    bytes = lua_tolstring(L, -1, &size);
  } else {
    lua_rawgeti(L, previous, LP__CODE_BYTES);
    bytes = lua_tolstring(L, -1, &size) + LP__HEADER_SIZE;
    size -= LP__HEADER_SIZE;
  }
  equal = lp__rope_equals(body, bytes, size);
  if (equal) {
    lua_settop(L, top);
    lua_rawgeti(L, previous, LP__CODE_ORIGINS);
    equal = is_part_of(L, origins, top + 1) && is_part_of(L, top + 1, origins);
  }
  lua_settop(L, top);
  return equal;
}

/* --- making one ---------------------------------------------------------- */

static int is_compressed(lua_State *L, int index) {
  return (lua_tostring(L, index)[4] & LP__COMPRESSED) != 0;
}

/* dump_code(function, previous or nil): dumps the function.  Returns the bytes,
 * the table of its origins, and the plain body or false; or nothing when that
 * is what `previous` has. */
static int dump_code(lua_State *L) {
  enum { FUNCTION = 1, PREVIOUS, FOUND };
  struct lp__dumper d;
  lua_newtable(L);
  lp__dump_begin(L, &d);
  d.record = FOUND;
  lp__dump_body(L, &d, FUNCTION, 1);
  if (is_same(L, &d.out, PREVIOUS, FOUND)) {
    lp__dump_end(L, &d);
    return 0;
  }
  lp__rope_push(L, &d.out, 0);
  lp__dump_end(L, &d);
  lua_pushvalue(L, -1); /* body body */
  lp__seal(L, COMPRESS_CODE_FROM);
  lua_insert(L, -2); /* bytes body */
  if (!is_compressed(L, -2)) {
    lua_pop(L, 1);
    lua_pushboolean(L, 0);
  }
  lua_pushvalue(L, FOUND);
  lua_insert(L, -2); /* bytes origins plain */
  return 3;
}

static int code_to_string(lua_State *L) {
  lua_rawgeti(L, 1, LP__CODE_NAME);
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

/* Pushes the reverse of the origins at the index: of two keys of one object
 * the one that is good for more. */
static void push_objects(lua_State *L, int origins) {
  lua_newtable(L);
  lua_pushnil(L);
  while (lua_next(L, origins)) { /* objects key object */
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

/* Pushes the hash of the string at the index. */
static void push_hash(lua_State *L, int index) {
  XXH128_canonical_t hash;
  size_t size;
  const char *bytes = lua_tolstring(L, index, &size);
  XXH128_canonicalFromHash(&hash, XXH3_128bits(bytes, size));
  lua_pushlstring(L, (const char *)hash.digest, sizeof hash.digest);
}

/* Pushes the code object of what dump_code returned. */
static void push_code(lua_State *L, int function, int bytes) {
  int origins = bytes + 1, plain = bytes + 2;
  lua_createtable(L, LP__CODE_PLAIN, 0);
  lua_pushvalue(L, bytes);
  lua_rawseti(L, -2, LP__CODE_BYTES);
  push_hash(L, bytes);
  lua_rawseti(L, -2, LP__CODE_HASH);
  lp__push_type_name(L, function);
  lua_rawseti(L, -2, LP__CODE_NAME);
  lua_pushvalue(L, origins);
  lua_rawseti(L, -2, LP__CODE_ORIGINS);
  push_objects(L, origins);
  lua_rawseti(L, -2, LP__CODE_OBJECTS);
  lua_pushvalue(L, plain);
  lua_rawseti(L, -2, LP__CODE_PLAIN);
  if (lp__own_metatable(L, CODE_TYPE)) {
    lua_pushcfunction(L, code_to_string);
    lua_setfield(L, -2, "__tostring");
  }
  lua_setmetatable(L, -2);
}

int lp__call_code(lua_State *L) {
  luaL_checkany(L, 1);
  check_callable(L, 1);
  lua_settop(L, 2);
  if (!lua_isnil(L, 2))
    lp__check_code(L, 2);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lp__dump_call(L, dump_code, 2, 3); /* function previous bytes ... */
  if (lua_isnil(L, 3)) {
    lua_settop(L, 2);
  } else {
    push_code(L, 1, 3);
  }
  return 1;
}
