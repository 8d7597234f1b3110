/*
 * Functions out of chunk texts.  See lift.h.
 *
 * The cache leads from everything of an origin to the binary chunk of the
 * function alone.
 */
#include "lift.h"

#include <lauxlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache.h"
#include "source.h"
#include "wire.h"

static const char cache_name = 0;

static size_t size_of(struct lp__bytes b) {
  return (size_t)(b.end - b.at);
}

static uint64_t hash_of(const struct lp__origin_text *o) {
  uint64_t hash =
      XXH3_64bits_withSeed(o->text.at, size_of(o->text), (uint64_t)o->newlines);
  hash = XXH3_64bits_withSeed(o->name.at, size_of(o->name), hash);
  hash = XXH3_64bits_withSeed(o->path.index,
                              o->path.depth * sizeof o->path.index[0], hash);
  return hash;
}

/* The key: newlines, depth and size of the name; path, name, text. */
enum { KEY_HEAD = 3 * sizeof(uint64_t) };

static size_t key_size_of(const struct lp__origin_text *o) {
  return o->path.depth * sizeof o->path.index[0] + KEY_HEAD + size_of(o->name) +
         size_of(o->text);
}

static void write_head(const struct lp__origin_text *o, unsigned char *head) {
  lp__put_u64(head, (uint64_t)o->newlines);
  lp__put_u64(head + 8, o->path.depth);
  lp__put_u64(head + 16, size_of(o->name));
}

static int is_equal(const char *key, size_t size, const void *wanted) {
  const struct lp__origin_text *o = wanted;
  unsigned char head[KEY_HEAD];
  size_t path = o->path.depth * sizeof o->path.index[0];
  const char *at = key;
  if (size != key_size_of(o))
    return 0;
  write_head(o, head);
  return memcmp(at, head, KEY_HEAD) == 0 &&
         memcmp(at += KEY_HEAD, o->path.index, path) == 0 &&
         memcmp(at += path, o->name.at, size_of(o->name)) == 0 &&
         memcmp(at + size_of(o->name), o->text.at, size_of(o->text)) == 0;
}

static void push_key(lua_State *L, const struct lp__origin_text *o) {
  luaL_Buffer b;
  unsigned char head[KEY_HEAD];
  write_head(o, head);
  luaL_buffinitsize(L, &b, key_size_of(o));
  luaL_addlstring(&b, (const char *)head, KEY_HEAD);
  luaL_addlstring(&b, (const char *)o->path.index,
                  o->path.depth * sizeof o->path.index[0]);
  luaL_addlstring(&b, (const char *)o->name.at, size_of(o->name));
  luaL_addlstring(&b, (const char *)o->text.at, size_of(o->text));
  luaL_pushresult(&b);
}

/* Compiles the text and pushes the function's own binary chunk. */
static void compile(lua_State *L, const struct lp__origin_text *o) {
  struct lp__proto root, proto;
  int top = lua_gettop(L);
  size_t size;
  const char *binary;
  unsigned char *out;
  lua_pushlstring(L, (const char *)o->name.at, size_of(o->name));
  lua_pushlstring(L, (const char *)o->text.at, size_of(o->text));
  if (o->newlines) {
    lp__source_pad(L, top + 2, o->newlines);
    lua_replace(L, top + 2);
  }
  if (!lp__source_compile_cached(L, top + 2)) {
    luaL_error(L, "cannot load: a source text does not compile: %s",
               lua_tostring(L, -1));
  }
  binary = lua_tolstring(L, -1, &size);
  if (lp__proto_main(binary, size, &root) ||
      lp__proto_walk(&root, &o->path, &proto)) {
    luaL_error(L, "cannot load: malformed bytes (no such function)");
  }
  lp__source_remember(L, top + 1, top + 2);
  out = lua_newuserdatauv(L, lp__proto_lift_size(&proto, size_of(o->name)), 0);
  size = lp__proto_lift(&proto, binary, (const char *)o->name.at,
                        size_of(o->name), out);
  lua_pushlstring(L, (const char *)out, size);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}

int lp__lift(lua_State *L, const struct lp__origin_text *o) {
  struct lp__cache_key key = {0, is_equal, NULL};
  const char *chunk;
  size_t size;
  int top = lua_gettop(L), count;
  luaL_checkstack(L, 20, NULL);
  key.hash = hash_of(o);
  key.wanted = o;
  if (!lp__cache_get(L, &cache_name, &key)) {
    compile(L, o);
    push_key(L, o);
    lua_pushvalue(L, top + 1);
    lp__cache_add(L, &cache_name, &key,
                  key_size_of(o) + (size_t)lua_rawlen(L, top + 1));
  }
  chunk = lua_tolstring(L, top + 1, &size);
  if (luaL_loadbufferx(L, chunk, size, "=", "b") != LUA_OK)
    lua_error(L);
  count = (unsigned char)chunk[LP__CHUNK_HEADER];
  lua_replace(L, top + 1);
  return count;
}
