/* A cache in the registry.  See cache.h. */
#include "cache.h"

#include <string.h>

#include "../own.h"

/* Open addressing.  The key's string and the value stand in the list, at
 * `index` and behind it. */
struct slot {
  uint64_t hash;
  const char *key; /* NULL: free */
  size_t size;
  lua_Integer index;
};

struct cache {
  struct slot *slots; /* in user value SLOTS */
  size_t capacity, count, bytes;
};

enum { LIST = 1, SLOTS }; /* user values */
enum { FIRST_CAPACITY = 64 };

static struct cache *push_cache(lua_State *L, const void *name) {
  struct cache *cache;
  if (lp__own_get(L, name) == LUA_TUSERDATA)
    return lua_touserdata(L, -1);
  lua_pop(L, 1);
  cache = lua_newuserdatauv(L, sizeof *cache, SLOTS);
  memset(cache, 0, sizeof *cache);
  lua_newtable(L);
  lua_setiuservalue(L, -2, LIST);
  lua_pushvalue(L, -1);
  lp__own_set(L, name);
  return cache;
}

/* The slot of the key, or the free one where it belongs. */
static struct slot *find(const struct cache *cache,
                         const struct lp__cache_key *key) {
  size_t mask = cache->capacity - 1, i = (size_t)key->hash & mask;
  for (;; i = (i + 1) & mask) {
    struct slot *slot = &cache->slots[i];
    if (slot->key == NULL ||
        (slot->hash == key->hash &&
         key->is_equal(slot->key, slot->size, key->wanted)))
      return slot;
  }
}

int lp__cache_get(lua_State *L, const void *name,
                  const struct lp__cache_key *key) {
  const struct cache *cache = push_cache(L, name);
  const struct slot *slot = cache->capacity ? find(cache, key) : NULL;
  if (slot == NULL || slot->key == NULL) {
    lua_pop(L, 1);
    return 0;
  }
  lua_getiuservalue(L, -1, LIST);
  lua_rawgeti(L, -1, slot->index + 1);
  lua_replace(L, -3);
  lua_pop(L, 1);
  return 1;
}

/* Moves the old slots to their places in the new ones. */
static void move(const struct cache *old, const struct cache *new) {
  size_t i, mask = new->capacity - 1;
  for (i = 0; i < old->capacity; i++) {
    size_t at = (size_t)old->slots[i].hash & mask;
    if (old->slots[i].key == NULL)
      continue;
    while (new->slots[at].key)
      at = (at + 1) & mask;
    new->slots[at] = old->slots[i];
  }
}

/* Makes room for one more; the cache is at stack index `index`.  It changes
 * only when nothing can fail any more. */
static void reserve(lua_State *L, struct cache *cache, int index) {
  struct cache new = *cache;
  int full =
      new.count >= LP__CACHE_ENTRIES || new.bytes > (size_t)LP__CACHE_BYTES;
  if (!full && new.count < new.capacity / 2)
    return;
  new.capacity = full || !new.capacity ? FIRST_CAPACITY : new.capacity * 2;
  lua_newtable(L);
  new.slots = lua_newuserdatauv(L, new.capacity * sizeof *new.slots, 0);
  memset(new.slots, 0, new.capacity * sizeof *new.slots);
  if (full) {
    new.count = new.bytes = 0;
    lua_pushvalue(L, -2);
    lua_setiuservalue(L, index, LIST);
  } else {
    move(cache, &new);
  }
  lua_setiuservalue(L, index, SLOTS);
  lua_pop(L, 1);
  *cache = new;
}

void lp__cache_add(lua_State *L, const void *name,
                   const struct lp__cache_key *key, size_t bytes) {
  int top = lua_gettop(L);
  struct cache *cache = push_cache(L, name); /* key value cache */
  struct slot slot, *place;
  reserve(L, cache, top + 1);
  lua_getiuservalue(L, top + 1, LIST); /* key value cache list */
  slot.hash = key->hash;
  slot.key = lua_tolstring(L, top - 1, &slot.size);
  slot.index = (lua_Integer)lua_rawlen(L, -1) + 1;
  lua_pushvalue(L, top - 1);
  lua_rawseti(L, -2, slot.index);
  lua_pushvalue(L, top);
  lua_rawseti(L, -2, slot.index + 1);
  place = find(cache, key);
  if (place->key == NULL) {
    cache->count++;
    cache->bytes += bytes + LP__CACHE_COST;
  }
  *place = slot;
  lua_settop(L, top - 2);
}

void lp__push_weak_table(lua_State *L, const void *name) {
  if (lp__own_get(L, name) == LUA_TTABLE)
    return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "kv");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lp__own_set(L, name);
}
