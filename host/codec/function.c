/* What is known about the code of a function.  See function.h. */
#include "function.h"

#include <lauxlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache.h"
#include "names.h"
#include "prototype.h"
#include "source.h"
#include "wire.h"

static const char cache_name = 0;

static int is_equal(const char *key, size_t size, const void *wanted) {
  const struct lp__buffer *binary = wanted;
  return size == binary->size && memcmp(key, binary->bytes, size) == 0;
}

static void push_path(lua_State *L, const struct lp__path *path) {
  unsigned char bytes[(LP__MAX_PATH + 1) * LP__VARINT_MAX], *at = bytes;
  unsigned i;
  at = lp__put_varint(at, path->depth);
  for (i = 0; i < path->depth; i++)
    at = lp__put_varint(at, path->index[i]);
  lua_pushlstring(L, (const char *)bytes, (size_t)(at - bytes));
}

static const char chunks_name = 0;

/* Replaces the text on top by the table of its chunk: the one that there is
 * for this name, text and number of newlines as long as a function has it.
 * Returns about how many bytes it has, when it is new. */
static size_t push_chunk(lua_State *L, struct lp__bytes name,
                         lua_Integer newlines) {
  int text = lua_gettop(L);
  size_t bytes = 0;
  lp__push_weak_table(L, &chunks_name);
  lua_pushfstring(L, "%I ", (LUAI_UACINT)newlines);
  lua_pushlstring(L, (const char *)name.at, (size_t)(name.end - name.at));
  lua_pushlstring(L, "", 1);
  lua_pushvalue(L, text);
  lua_concat(L, 4); /* text chunks key */
  lua_pushvalue(L, -1);
  if (lua_rawget(L, text + 1) == LUA_TNIL) { /* text chunks key nil */
    lua_pop(L, 1);
    bytes = 2 * lua_rawlen(L, text); /* the key has it, too */
    lua_createtable(L, LP__CHUNK_NEWLINES, 0);
    lua_pushlstring(L, (const char *)name.at, (size_t)(name.end - name.at));
    lua_rawseti(L, -2, LP__CHUNK_NAME);
    lua_pushvalue(L, text);
    lua_rawseti(L, -2, LP__CHUNK_TEXT);
    lua_pushinteger(L, newlines);
    lua_rawseti(L, -2, LP__CHUNK_NEWLINES);
    lua_insert(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, text + 1); /* text chunks chunk */
  }
  lua_replace(L, text);
  lua_settop(L, text);
  return bytes;
}

/* Pushes the description of a binary not seen before, which takes about *bytes,
 * or why there is none. */
static int describe(lua_State *L, const struct lp__buffer *binary,
                    size_t *bytes) {
  struct lp__proto proto;
  struct lp__source where;
  int top = lua_gettop(L);
  luaL_checkstack(L, 20, NULL);
  if (lp__proto_main(binary->bytes, binary->size, &proto)) {
    lua_pushliteral(L, "has a binary form that this lambdapool cannot read");
    return 0;
  }
  if (!lp__source_find(L, &proto, proto.source, &where))
    return 0;
  *bytes = 3 * binary->size;
  *bytes += push_chunk(L, proto.source, where.newlines); /* chunk */
  lua_createtable(L, LP__CODE_BINARY, 0);
  lua_insert(L, -2); /* code chunk */
  lua_rawseti(L, top + 1, LP__CODE_CHUNK);
  push_path(L, &where.path);
  lua_rawseti(L, top + 1, LP__CODE_PATH);
  lp__names_push(L, &proto);
  lua_rawseti(L, top + 1, LP__CODE_NAMES);
  lua_pushinteger(L, (proto.upvalues.end - proto.upvalues.at) / 3);
  lua_rawseti(L, top + 1, LP__CODE_UPVALUES);
  lua_pushlstring(L, (const char *)binary->bytes, binary->size);
  lua_rawseti(L, top + 1, LP__CODE_BINARY);
  return 1;
}

int lp__function_push(lua_State *L, const struct lp__buffer *binary,
                      int *is_new) {
  struct lp__cache_key key = {0, is_equal, NULL};
  size_t bytes;
  key.hash = XXH3_64bits(binary->bytes, binary->size);
  key.wanted = binary;
  *is_new = !lp__cache_get(L, &cache_name, &key);
  if (!*is_new)
    return 1;
  if (!describe(L, binary, &bytes))
    return 0;
  lua_rawgeti(L, -1, LP__CODE_BINARY);
  lua_pushvalue(L, -2);
  lp__cache_add(L, &cache_name, &key, bytes);
  return 1;
}
