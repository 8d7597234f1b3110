/*
 * What walking, building and copying Lua values costs through the bare Lua C
 * API, linked like the codec: the limit that the codec is measured against.
 * Prints "name microseconds" lines, the medians of many rounds; codec.lua
 * measures dump and load of the same values.
 */
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 41

static double microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static lua_Integer walk_table(lua_State *L);

/* Reads the value at the top, as any encoder has to. The sum of what it saw
 * keeps the compiler from leaving that out.  [-0, +0, m] */
static inline lua_Integer walk(lua_State *L, int type) {
  size_t size;
  int exact;
  lua_Integer integer;
  const char *text;
  switch (type) {
  case LUA_TNUMBER:
    integer = lua_tointegerx(L, -1, &exact);
    return exact ? integer : (lua_Integer)lua_tonumber(L, -1);
  case LUA_TSTRING:
    text = lua_tolstring(L, -1, &size);
    return text[0] + (lua_Integer)size;
  case LUA_TTABLE:
    return walk_table(L);
  default:
    return lua_toboolean(L, -1);
  }
}

/* Reads a list by rawgeti, which is cheaper than lua_next, and then the pairs
 * behind it.  [-0, +0, m] */
static lua_Integer walk_table(lua_State *L) {
  lua_Integer sum = 0, length = (lua_Integer)lua_rawlen(L, -1);
  luaL_checkstack(L, 4, NULL);
  for (lua_Integer i = 1; i <= length; i++) {
    sum += walk(L, lua_rawgeti(L, -1, i)); /* t v */
    lua_pop(L, 1);                         /* t */
  }
  if (length > 0)
    lua_pushinteger(L, length); /* t k */
  else
    lua_pushnil(L);
  while (lua_next(L, -2)) { /* t k v */
    sum += walk(L, lua_type(L, -1));
    lua_pop(L, 1); /* t k */
    sum += walk(L, lua_type(L, -1));
  }
  return sum;
}

static void push_list(lua_State *L, lua_Integer count) {
  lua_createtable(L, (int)count, 0);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_pushinteger(L, i);
    lua_rawseti(L, -2, i);
  }
}

/* 10,000 integers. */
static void push_integers(lua_State *L) {
  push_list(L, 10000);
}

/* 10,000 lists of 10 integers. */
static void push_lists(lua_State *L) {
  lua_createtable(L, 10000, 0);
  for (lua_Integer i = 1; i <= 10000; i++) {
    push_list(L, 10);
    lua_rawseti(L, -2, i);
  }
}

static void push_record(lua_State *L, lua_Integer i) {
  lua_createtable(L, 0, 5);
  lua_pushliteral(L, "id");
  lua_pushinteger(L, i);
  lua_rawset(L, -3);
  lua_pushliteral(L, "x");
  lua_pushnumber(L, (lua_Number)i / 2);
  lua_rawset(L, -3);
  lua_pushliteral(L, "y");
  lua_pushinteger(L, -i);
  lua_rawset(L, -3);
  lua_pushliteral(L, "name");
  lua_pushliteral(L, "somebody");
  lua_rawset(L, -3);
  lua_pushliteral(L, "seen");
  lua_pushboolean(L, 1);
  lua_rawset(L, -3);
}

/* 20,000 records { id=, x=, y=, name=, seen= }. */
static void push_records(lua_State *L) {
  lua_createtable(L, 20000, 0);
  for (lua_Integer i = 1; i <= 20000; i++) {
    push_record(L, i);
    lua_rawseti(L, -2, i);
  }
}

/* A string of 10 MB; only that they are there matters to a copy. */
static void push_string(lua_State *L) {
  static char bytes[10000000];
  if (bytes[0] == 0)
    memset(bytes, 'x', sizeof bytes);
  lua_pushlstring(L, bytes, sizeof bytes);
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void report(const char *name, const char *what, double *times) {
  qsort(times, ROUNDS, sizeof *times, ascending);
  printf("%s_%s %.3f\n", name, what, times[ROUNDS / 2]);
}

/* Builds and walks a value in turns, without the collector, as codec.lua.
 * Returns what the walks saw.  [-0, +0, m] */
static lua_Integer measure(lua_State *L, const char *name,
                           void (*push)(lua_State *)) {
  lua_Integer sum = 0;
  double build[ROUNDS], read[ROUNDS], begin;
  for (int i = 0; i < ROUNDS; i++) {
    lua_gc(L, LUA_GCCOLLECT);
    lua_gc(L, LUA_GCSTOP);
    begin = microseconds();
    push(L);
    build[i] = microseconds() - begin;
    begin = microseconds();
    sum += walk(L, lua_type(L, -1));
    read[i] = microseconds() - begin;
    lua_settop(L, 0);
    lua_gc(L, LUA_GCRESTART);
  }
  report(name, "build", build);
  report(name, "walk", read);
  return sum;
}

int main(void) {
  lua_State *L = luaL_newstate();
  lua_Integer sum = measure(L, "list", push_integers);
  sum += measure(L, "lists", push_lists);
  sum += measure(L, "records", push_records);
  sum += measure(L, "string", push_string);
  lua_close(L);
  return sum == 0;
}
