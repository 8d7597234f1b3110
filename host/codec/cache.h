/*
 * Caches in the registry, from the content of bytes to a Lua value.
 *
 * A hash leads to the entry and a comparison of every byte decides, so bytes
 * made to collide find nothing.  When it is full everything is forgotten.
 */
#ifndef LP__CACHE_H
#define LP__CACHE_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

/* What is looked for: its hash, and how to compare it with a key. */
struct lp__cache_key {
  uint64_t hash;
  int (*is_equal)(const char *key, size_t size, const void *wanted);
  const void *wanted;
};

/* It starts over when it has so many entries or bytes, each entry with some of
 * its own. */
enum {
  LP__CACHE_ENTRIES = 20000,
  LP__CACHE_BYTES = 8 << 20,
  LP__CACHE_COST = 2048
};

/* Pushes the value and returns 1, or returns 0.  `name` is the address that
 * the cache has in the registry.  [-0, +0|+1, m] */
int lp__cache_get(lua_State *L, const void *name,
                  const struct lp__cache_key *key);

/* Adds the value on top under the key's bytes, the string below it; `bytes`
 * is about what both take.  [-2, +0, m] */
void lp__cache_add(lua_State *L, const void *name,
                   const struct lp__cache_key *key, size_t bytes);

/* Pushes the table that the registry has at the address `name`, made at need;
 * its keys and values are weak.  [-0, +1, m] */
void lp__push_weak_table(lua_State *L, const void *name);

#endif
