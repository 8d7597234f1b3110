/* A map from addresses to numbers.  See pointer_map.h. */
#include "pointer_map.h"

#include <string.h>

enum { FIRST_CAPACITY = 256 };

void lp__map_clear(struct lp__map *map) {
  map->count = 0;
  if (++map->generation == 0 && map->capacity > 0) { /* wrapped: start over */
    memset(map->entries, 0, map->capacity * sizeof *map->entries);
    map->generation = 1;
  }
}

static void grow(lua_State *L, struct lp__map *map, int box) {
  struct lp__map old = *map;
  size_t i;
  int found;
  size_t capacity = old.capacity ? old.capacity * 2 : FIRST_CAPACITY;
  struct lp__map_entry *entries =
      lua_newuserdatauv(L, capacity * sizeof *entries, 0);
  memset(entries, 0, capacity * sizeof *entries);
  map->entries = entries;
  map->capacity = capacity;
  map->shift = old.capacity ? old.shift - 1 : 56;
  map->count = 0;
  map->generation = 1;
  for (i = 0; i < old.capacity; i++) {
    const struct lp__map_entry *entry = &old.entries[i];
    if (entry->generation == old.generation) {
      lp__map_at(map, entry->key, &found)->value = entry->value;
    }
  }
  lua_replace(L, box); /* the old entries are garbage from here on */
}

void lp__map_reserve(lua_State *L, struct lp__map *map, int box) {
  if (map->count >= map->capacity / 2)
    grow(L, map, box);
}
