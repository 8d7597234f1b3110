/*
 * A map from addresses to 32-bit numbers, for finding what was met before.
 *
 * Open addressing with linear probing.  Entries carry the generation they
 * were written in, so that emptying the map between two dumps costs nothing.
 * The memory is a Lua userdata on the stack or in a user value of its owner:
 * it cannot leak, and running out of it is Lua's own memory error.
 */
#ifndef LP__POINTER_MAP_H
#define LP__POINTER_MAP_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

struct lp__map_entry {
  const void *key;
  uint32_t value;
  uint32_t generation;
};

struct lp__map {
  struct lp__map_entry *entries; /* borrowed from the userdata */
  size_t capacity;               /* a power of two, 0 at first */
  unsigned shift;                /* 64 - log2(capacity) */
  size_t count;
  uint32_t generation;
};

/* Forgets all entries. */
void lp__map_clear(struct lp__map *map);

/* Makes room for one more entry.  The userdata that holds the entries lives
 * at stack index `box` and is replaced when it is too small.  [-0, +0, m] */
void lp__map_reserve(lua_State *L, struct lp__map *map, int box);

/* The entry of `key`: a new one with value 0 and *found = 0, or the old one.
 * Call lp__map_reserve before. */
static inline struct lp__map_entry *lp__map_at(struct lp__map *map,
                                               const void *key, int *found) {
  size_t mask = map->capacity - 1;
  size_t i =
      (size_t)(((uint64_t)(uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15)) >>
               map->shift);
  for (;; i = (i + 1) & mask) {
    struct lp__map_entry *entry = &map->entries[i];
    if (entry->generation != map->generation) {
      entry->key = key;
      entry->value = 0;
      entry->generation = map->generation;
      map->count++;
      *found = 0;
      return entry;
    }
    if (entry->key == key) {
      *found = 1;
      return entry;
    }
  }
}

/* The entry of `key`, or NULL. */
static inline struct lp__map_entry *lp__map_find(const struct lp__map *map,
                                                 const void *key) {
  size_t mask = map->capacity - 1;
  size_t i;
  if (map->capacity == 0)
    return NULL;
  i = (size_t)(((uint64_t)(uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15)) >>
               map->shift);
  for (;; i = (i + 1) & mask) {
    struct lp__map_entry *entry = &map->entries[i];
    if (entry->generation != map->generation)
      return NULL;
    if (entry->key == key)
      return entry;
  }
}

#endif
