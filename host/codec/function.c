/* What is known about the code of a function.  See function.h. */
#include "function.h"

#include <lauxlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "names.h"
#include "prototype.h"
#include "source.h"
#include "wire.h"

enum { MAX_KEPT = 20000 }; /* functions; then all are forgotten */

/* An open-addressing table from the hash of a binary to its description. */
struct slot {
  const char *binary; /* NULL: free.  Kept alive by the description */
  size_t size;
  uint64_t hash;
  lua_Integer index; /* of the description in the list */
};

struct cache {
  struct slot *slots; /* in user value SLOTS */
  size_t capacity, count;
};

enum { LIST = 1, SLOTS }; /* user values */

static const char registry_key = 0;

static struct cache *push_cache(lua_State *L) {
  struct cache *cache;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key) == LUA_TUSERDATA)
    return lua_touserdata(L, -1);
  lua_pop(L, 1);
  cache = lua_newuserdatauv(L, sizeof *cache, SLOTS);
  cache->slots = NULL;
  cache->capacity = cache->count = 0;
  lua_newtable(L);
  lua_setiuservalue(L, -2, LIST);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
  return cache;
}

/* The slot of a binary: its own, or the free one where it belongs. */
static struct slot *find_slot(const struct cache *cache, uint64_t hash,
                              const void *binary, size_t size) {
  size_t mask = cache->capacity - 1, i = hash & mask;
  for (;; i = (i + 1) & mask) {
    struct slot *slot = &cache->slots[i];
    if (slot->binary == NULL || (slot->hash == hash && slot->size == size &&
                                 memcmp(slot->binary, binary, size) == 0))
      return slot;
  }
}

/* Makes room for one more; the cache is at stack index `index`. */
static void reserve(lua_State *L, struct cache *cache, int index) {
  struct cache old = *cache;
  size_t i;
  if (old.count >= MAX_KEPT) {
    lua_newtable(L);
    lua_setiuservalue(L, index, LIST);
    old.count = old.capacity = 0;
  } else if (old.count < old.capacity / 2) {
    return;
  }
  cache->capacity = old.capacity ? old.capacity * 2 : 64;
  cache->count = old.count;
  cache->slots =
      lua_newuserdatauv(L, cache->capacity * sizeof *cache->slots, 0);
  memset(cache->slots, 0, cache->capacity * sizeof *cache->slots);
  for (i = 0; i < old.capacity; i++) {
    struct slot *s = &old.slots[i];
    if (s->binary)
      *find_slot(cache, s->hash, s->binary, s->size) = *s;
  }
  lua_setiuservalue(L, index, SLOTS);
}

static void push_path(lua_State *L, const struct lp__path *path) {
  unsigned char bytes[(LP__MAX_PATH + 1) * LP__VARINT_MAX], *at = bytes;
  unsigned i;
  at = lp__put_varint(at, path->depth);
  for (i = 0; i < path->depth; i++)
    at = lp__put_varint(at, path->index[i]);
  lua_pushlstring(L, (const char *)bytes, (size_t)(at - bytes));
}

/* Pushes the description of a binary not seen before, or why there is none. */
static int describe(lua_State *L, const struct lp__buffer *binary) {
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
  lua_createtable(L, LP__CODE_BINARY, 0); /* text code */
  lua_insert(L, -2);
  lua_rawseti(L, top + 1, LP__CODE_TEXT);
  lua_pushlstring(L, (const char *)proto.source.at,
                  (size_t)(proto.source.end - proto.source.at));
  lua_rawseti(L, top + 1, LP__CODE_NAME);
  lua_pushinteger(L, where.newlines);
  lua_rawseti(L, top + 1, LP__CODE_NEWLINES);
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

/* Puts the description on top into the cache at index `index`. */
static void keep(lua_State *L, struct cache *cache, int index, uint64_t hash) {
  struct slot slot;
  lua_rawgeti(L, -1, LP__CODE_BINARY);
  slot.binary = lua_tolstring(L, -1, &slot.size);
  lua_pop(L, 1);
  slot.hash = hash;
  lua_getiuservalue(L, index, LIST);
  slot.index = (lua_Integer)lua_rawlen(L, -1) + 1;
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, slot.index);
  lua_pop(L, 1);
  *find_slot(cache, hash, slot.binary, slot.size) = slot;
  cache->count++;
}

int lp__function_push(lua_State *L, const struct lp__buffer *binary,
                      int *is_new) {
  uint64_t hash = XXH3_64bits(binary->bytes, binary->size);
  struct cache *cache = push_cache(L);
  int index = lua_gettop(L), known;
  struct slot *slot = cache->capacity
                          ? find_slot(cache, hash, binary->bytes, binary->size)
                          : NULL;
  *is_new = slot == NULL || slot->binary == NULL;
  if (!*is_new) {
    lua_getiuservalue(L, index, LIST);
    lua_rawgeti(L, -1, slot->index);
    lua_replace(L, index);
    lua_settop(L, index);
    return 1;
  }
  known = describe(L, binary);
  if (known) {
    reserve(L, cache, index);
    keep(L, cache, index, hash);
  }
  lua_replace(L, index);
  return known;
}
