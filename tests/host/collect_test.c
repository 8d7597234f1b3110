/* Garbage of a state that draws frames: it goes, in small pieces, whether there
 * is time for it or not. */
#include "host/collect.h"

#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

enum { MB = 1 << 20, LIVE = 20000, ROUNDS = 2000 };

struct memory {
  size_t used, peak, calls;
};

static void *resize(void *data, void *block, size_t old_size, size_t new_size) {
  struct memory *memory = data;
  if (block)
    memory->used -= old_size;
  memory->used += new_size;
  memory->calls += new_size > 0;
  if (memory->used > memory->peak)
    memory->peak = memory->used;
  if (new_size > 0)
    return realloc(block, new_size);
  free(block);
  return NULL;
}

/* A state with `LIVE` small tables that stay. */
static lua_State *open_state(struct memory *memory,
                             struct lp__collector *collector) {
  static const char code[] =
      "live = {} for i = 1, ... do live[i] = { i, name = 'x' .. i } end";
  lua_State *L = lua_newstate(resize, memory);
  luaL_openlibs(L);
  lp__collect_open(L, collector);
  assert_int_equal(luaL_loadstring(L, code), LUA_OK);
  lua_pushinteger(L, LIVE);
  lua_call(L, 1, 0);
  return L;
}

/* What a result of 64 KB leaves behind. */
static void make_garbage(lua_State *L, int count) {
  static char result[65536];
  for (int i = 0; i < count; i++) {
    result[0]++;
    lua_pushlstring(L, result, sizeof result);
    lua_pop(L, 1);
  }
}

static void test_nothing_by_itself(void **state) {
  struct memory memory = {0};
  struct lp__collector collector;
  lua_State *L = open_state(&memory, &collector);
  size_t before = memory.used;
  (void)state;
  make_garbage(L, 100);
  assert_true(memory.used >= before + 100 * 65536);
  lua_close(L);
  assert_int_equal(memory.used, 0);
}

static void test_with_time(void **state) {
  struct memory memory = {0};
  struct lp__collector collector;
  lua_State *L = open_state(&memory, &collector);
  (void)state;
  lp__collect(L, &collector, UINT64_MAX);
  size_t live = memory.used;
  for (int i = 0; i < ROUNDS; i++) {
    make_garbage(L, 10);
    lp__collect(L, &collector, UINT64_MAX);
    assert_true(memory.used < live + 4 * MB);
  }
  lua_close(L);
}

/* The owner never leaves any time: memory stays bounded, and no call works off
 * more than its share of a cycle. */
static void test_without_time(void **state) {
  struct memory memory = {0};
  struct lp__collector collector;
  lua_State *L = open_state(&memory, &collector);
  size_t cycles = 0, most = 0;
  (void)state;
  lp__collect(L, &collector, UINT64_MAX);
  size_t live = memory.used;
  memory.peak = 0;
  for (int i = 0; i < ROUNDS; i++) {
    size_t steps = collector.steps;
    bool active = collector.active;
    make_garbage(L, 16);
    lp__collect_owed(L, &collector, LP__COLLECT_MOST);
    if (active && collector.steps > steps && collector.steps - steps > most)
      most = collector.steps - steps;
    cycles += active && !collector.active;
  }
  assert_true(cycles > 20);
  assert_true(collector.usual > 20); /* steps in a cycle */
  assert_true(most <= LP__COLLECT_MOST);
  assert_true(memory.peak < live + 50 * MB);
  lua_close(L);
}

/* A state that grows has more and more to do in a cycle, which the ones before
 * do not tell. */
static void test_growth(void **state) {
  static const char code[] =
      "local more = {} more.next, more.list = live, {} live = more "
      "for i = 1, 300 do more.list[i] = { i } end return nil";
  struct memory memory = {0};
  struct lp__collector collector;
  lua_State *L = open_state(&memory, &collector);
  (void)state;
  assert_int_equal(luaL_loadstring(L, code), LUA_OK);
  for (int i = 0; i < ROUNDS; i++) {
    lua_pushvalue(L, -1);
    lua_call(L, 0, 0);
    make_garbage(L, 16);
    lp__collect_owed(L, &collector, LP__COLLECT_MOST);
    assert_true(memory.used < 90 * MB + 50000 * (size_t)i);
  }
  assert_true(collector.live > 20 * MB);
  lua_getglobal(L, "collectgarbage");
  lua_call(L, 0, 0);
  assert_true(memory.peak < 3 * memory.used);
  lua_close(L);
}

static void test_idle(void **state) {
  struct memory memory = {0};
  struct lp__collector collector;
  lua_State *L = open_state(&memory, &collector);
  (void)state;
  lp__collect(L, &collector, UINT64_MAX);
  size_t calls = memory.calls;
  for (int i = 0; i < 1000; i++) {
    lp__collect_owed(L, &collector, LP__COLLECT_MOST);
    lp__collect(L, &collector, UINT64_MAX);
  }
  assert_int_equal(memory.calls, calls);
  assert_false(collector.active);
  lua_close(L);
}

static void test_scripts(void **state) {
  static const char code[] =
      "collectgarbage('generational')"
      "for i = 1, 2000 do local s = ('x'):rep(65536 + i) end";
  struct memory memory = {0};
  struct lp__collector collector;
  lua_State *L = open_state(&memory, &collector);
  (void)state;
  lp__collect_freely(L, &collector, true);
  assert_int_equal(luaL_dostring(L, code), LUA_OK);
  assert_true(memory.peak < 60 * MB);
  lp__collect_freely(L, &collector, false);
  size_t before = memory.used;
  make_garbage(L, 100);
  assert_true(memory.used >= before + 100 * 65536);
  lua_close(L);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_by_itself),
      cmocka_unit_test(test_with_time),
      cmocka_unit_test(test_without_time),
      cmocka_unit_test(test_growth),
      cmocka_unit_test(test_idle),
      cmocka_unit_test(test_scripts),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
