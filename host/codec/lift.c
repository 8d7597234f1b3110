/*
 * Functions out of chunk texts.  See lift.h.
 *
 * The cache finds the binary chunk of a function by the content of its origin:
 * a hash to get there, and a comparison of every byte, so that bytes forged to
 * collide find nothing.
 */
#include "lift.h"

#include <lauxlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "source.h"
#include "wire.h"

enum { MAX_KEPT = 4096, MAX_KEPT_BYTES = 64 << 20 };

struct slot {
  uint64_t hash;   /* of the key; 0: free */
  const char *key; /* everything of the origin, kept by the list */
  size_t key_size;
  const char *chunk; /* the binary chunk, kept by the list */
  size_t chunk_size;
};

struct cache {
  struct slot *slots; /* in user value SLOTS */
  size_t capacity, count, bytes;
};

enum { LIST = 1, SLOTS }; /* user values */

static const char registry_key = 0;

static struct cache *push_cache(lua_State *L) {
  struct cache *cache;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key) == LUA_TUSERDATA)
    return lua_touserdata(L, -1);
  lua_pop(L, 1);
  cache = lua_newuserdatauv(L, sizeof *cache, SLOTS);
  memset(cache, 0, sizeof *cache);
  lua_newtable(L);
  lua_setiuservalue(L, -2, LIST);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
  return cache;
}

static size_t size_of(struct lp__bytes b) {
  return (size_t)(b.end - b.at);
}

static uint64_t hash_of(const struct lp__origin_text *o) {
  uint64_t hash =
      XXH3_64bits_withSeed(o->text.at, size_of(o->text), (uint64_t)o->newlines);
  hash = XXH3_64bits_withSeed(o->name.at, size_of(o->name), hash);
  hash = XXH3_64bits_withSeed(o->path.index,
                              o->path.depth * sizeof o->path.index[0], hash);
  return hash | 1;
}

/* The key: path, newlines, size of the name, name, text. */
enum { KEY_HEAD = 2 * sizeof(uint64_t) };

static size_t key_size_of(const struct lp__origin_text *o) {
  return o->path.depth * sizeof o->path.index[0] + KEY_HEAD + size_of(o->name) +
         size_of(o->text);
}

static void write_head(const struct lp__origin_text *o, unsigned char *head) {
  lp__put_u64(head, (uint64_t)o->newlines);
  lp__put_u64(head + 8, size_of(o->name));
}

static int is_key(const struct slot *slot, const struct lp__origin_text *o) {
  unsigned char head[KEY_HEAD];
  size_t path = o->path.depth * sizeof o->path.index[0];
  const char *at = slot->key;
  if (slot->key_size != key_size_of(o))
    return 0;
  write_head(o, head);
  return memcmp(at, o->path.index, path) == 0 &&
         memcmp(at += path, head, KEY_HEAD) == 0 &&
         memcmp(at += KEY_HEAD, o->name.at, size_of(o->name)) == 0 &&
         memcmp(at + size_of(o->name), o->text.at, size_of(o->text)) == 0;
}

static void push_key(lua_State *L, const struct lp__origin_text *o) {
  luaL_Buffer b;
  unsigned char head[KEY_HEAD];
  write_head(o, head);
  luaL_buffinitsize(L, &b, key_size_of(o));
  luaL_addlstring(&b, (const char *)o->path.index,
                  o->path.depth * sizeof o->path.index[0]);
  luaL_addlstring(&b, (const char *)head, KEY_HEAD);
  luaL_addlstring(&b, (const char *)o->name.at, size_of(o->name));
  luaL_addlstring(&b, (const char *)o->text.at, size_of(o->text));
  luaL_pushresult(&b);
}

static struct slot *find(const struct cache *cache, uint64_t hash,
                         const struct lp__origin_text *o) {
  size_t mask = cache->capacity - 1, i = hash & mask;
  for (;; i = (i + 1) & mask) {
    struct slot *slot = &cache->slots[i];
    if (slot->hash == 0)
      return slot;
    if (slot->hash == hash && is_key(slot, o))
      return slot;
  }
}

/* Makes room for one more; the cache is at stack index `index`. */
static void reserve(lua_State *L, struct cache *cache, int index) {
  struct cache old = *cache;
  struct slot *slots;
  size_t i, mask, at;
  if (old.count >= MAX_KEPT || old.bytes > MAX_KEPT_BYTES) {
    lua_newtable(L);
    lua_setiuservalue(L, index, LIST);
    old.capacity = old.count = old.bytes = 0;
  } else if (old.count < old.capacity / 2) {
    return;
  }
  old.slots = cache->slots;
  cache->count = old.count;
  cache->bytes = old.bytes;
  cache->capacity = old.capacity ? old.capacity * 2 : 64;
  mask = cache->capacity - 1;
  slots = lua_newuserdatauv(L, cache->capacity * sizeof *slots, 0);
  memset(slots, 0, cache->capacity * sizeof *slots);
  for (i = 0; i < old.capacity; i++) {
    if (old.slots[i].hash == 0)
      continue;
    for (at = old.slots[i].hash & mask; slots[at].hash; at = (at + 1) & mask) {
    }
    slots[at] = old.slots[i];
  }
  cache->slots = slots;
  lua_setiuservalue(L, index, SLOTS);
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

/* Adds the binary chunk on top to the cache. */
static void add(lua_State *L, struct cache *cache, int index, uint64_t hash,
                const struct lp__origin_text *o) {
  struct slot slot;
  lua_Integer n;
  slot.hash = hash;
  slot.chunk = lua_tolstring(L, -1, &slot.chunk_size);
  push_key(L, o);
  slot.key = lua_tolstring(L, -1, &slot.key_size);
  reserve(L, cache, index);
  lua_getiuservalue(L, index, LIST); /* chunk key list */
  n = (lua_Integer)lua_rawlen(L, -1);
  lua_insert(L, -2);
  lua_rawseti(L, -2, n + 1);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, n + 2);
  lua_pop(L, 1);
  cache->count++;
  cache->bytes += slot.key_size + slot.chunk_size;
  *find(cache, hash, o) = slot;
}

int lp__lift(lua_State *L, const struct lp__origin_text *o) {
  struct cache *cache;
  struct slot *slot = NULL;
  uint64_t hash = hash_of(o);
  int index, count;
  luaL_checkstack(L, 20, NULL);
  cache = push_cache(L);
  index = lua_gettop(L);
  if (cache->capacity)
    slot = find(cache, hash, o);
  if (slot == NULL || slot->hash == 0) {
    compile(L, o);
    add(L, cache, index, hash, o);
    slot = find(cache, hash, o);
  }
  if (luaL_loadbufferx(L, slot->chunk, slot->chunk_size, "=", "b") != LUA_OK) {
    lua_error(L);
  }
  count = (unsigned char)slot->chunk[LP__CHUNK_HEADER];
  lua_replace(L, index);
  lua_settop(L, index);
  return count;
}
