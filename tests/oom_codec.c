/*
 * Allocation failure at every point of a dump, a load, and a call: from the
 * n-th allocation on there is no memory, for n = 0, 1, 2 and so on until all
 * goes well.  Whatever fails must fail as a Lua error, leave the state usable,
 * and run no finalizer of what was being loaded.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "host/codec/call.h"
#include "host/codec/dump.h"
#include "host/codec/load.h"
#include "host/lambdapool.h"
#include "host/state.h"

enum { NEVER = -1 };

struct memory {
  long left;   /* allocations until there is no memory; NEVER */
  size_t used; /* bytes */
};

static void *allocate(void *context, void *block, size_t old, size_t new) {
  struct memory *memory = context;
  if (block == NULL)
    old = 0; /* it is the kind of object then */
  if (new > old && memory->left != NEVER) {
    if (memory->left == 0)
      return NULL;
    memory->left--;
  }
  memory->used += new - old;
  if (new == 0) {
    free(block);
    return NULL;
  }
  return realloc(block, new);
}

/* Values of every kind, with `finalized` counting finalizers. */
static const char values[] =
    "finalized = 0\n"
    "local Point = { __gc = function() finalized = finalized + 1 end }\n"
    "Point.__index = Point\n"
    "local Hooked = {}\n"
    "function Hooked.new(x) return setmetatable({ x = x }, Hooked) end\n"
    "function Hooked:__lambdapool() return Hooked.new, self.x, nil end\n"
    "function helper(x) return x + 1 end\n"
    "local count, list = 0, { 1, 2.5, 'three', [true] = 'yes' }\n"
    "list.self = list\n"
    "local function f(x) count = count + helper(x) return count end\n"
    "value = { f, function() return f(1), count end, list, math.floor,\n"
    "  setmetatable({ ('long'):rep(50) }, Point), Hooked.new { 1 },\n"
    "  [Hooked.new(2)] = { Hooked.new(3) }, io.stdout, 1 << 60 }\n";

static int dump_value(lua_State *L) {
  lp__dump_values(L, 1);
  return 1;
}

static int dump(lua_State *L) {
  lp__dump_call(L, dump_value, 1, 1);
  return 1;
}

static int load(lua_State *L) {
  struct lp__load_options options = {0, 0, 0, 0, 0};
  struct lp__bytes bytes;
  size_t size;
  bytes.at = (const unsigned char *)luaL_checklstring(L, 1, &size);
  bytes.end = bytes.at + size;
  return lp__load_values(L, bytes, &options);
}

static int open_state(lua_State *L) {
  lp__state_open(L);
  if (luaL_dostring(L, values))
    lua_error(L);
  return 0;
}

static lua_State *new_state(struct memory *memory) {
  lua_State *L = lua_newstate(allocate, memory);
  if (L == NULL)
    return NULL;
  lua_pushcfunction(L, open_state);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
    lua_close(L);
    return NULL;
  }
  return L;
}

/* Opening a state: the sweep ends when one opens. */
static void test_open(void **state) {
  long n;
  (void)state;
  for (n = 0;; n += 1 + n / 50) {
    struct memory memory = {n, 0};
    lua_State *L = new_state(&memory);
    if (L) {
      memory.left = NEVER;
      lua_close(L);
    }
    assert_int_equal(memory.used, 0);
    if (L)
      break;
  }
  assert_true(n > 100);
}

static lua_Integer finalized(lua_State *L) {
  lua_Integer n;
  lua_getglobal(L, "finalized");
  n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

/* Calls the function with the value on top, with memory enough. */
static void must_call(lua_State *L, lua_CFunction f) {
  lua_pushcfunction(L, f);
  lua_insert(L, -2);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK)
    fail_msg("%s", lua_tostring(L, -1));
}

/* Calls the function with the value on top, without memory after `n`
 * allocations.  Leaves the result or message in its place. */
static int try_call(lua_State *L, struct memory *memory, lua_CFunction f,
                    long n) {
  int status;
  lua_pushcfunction(L, f);
  lua_insert(L, -2);
  memory->left = n;
  status = lua_pcall(L, 1, 1, 0);
  memory->left = NEVER;
  return status;
}

/* Runs `f` on the value at the top until it succeeds, with one more
 * allocation granted each time; in a fresh state, so that nothing is cached.
 * SENDS: nothing is loaded; LOADS: `f` gets the dump of the value; RUNS: what
 * is loaded is used, and may be finalized. */
enum way { SENDS, LOADS, RUNS };

static long sweep(lua_CFunction f, enum way way) {
  long n;
  for (n = 0;; n++) {
    struct memory memory = {NEVER, 0};
    lua_State *L = new_state(&memory);
    lua_Integer before;
    int status;
    assert_non_null(L);
    lua_getglobal(L, "value");
    if (way == LOADS)
      must_call(L, dump);
    before = finalized(L);
    status = try_call(L, &memory, f, n);
    if (status != LUA_OK) {
      lua_pop(L, 1);
      lua_gc(L, LUA_GCCOLLECT);
      if (way != RUNS)
        assert_int_equal(finalized(L), before);
      assert_true(lua_gc(L, LUA_GCISRUNNING));
      lua_getglobal(L, "value"); /* the state works as before */
      must_call(L, dump);
      must_call(L, load);
    }
    lua_close(L);
    assert_int_equal(memory.used, 0);
    if (status == LUA_OK)
      return n;
  }
}

static void test_dump(void **state) {
  (void)state;
  assert_true(sweep(dump, SENDS) > 50);
}

/* Replaces the arguments on top by what the function returns. */
static void apply(lua_State *L, lua_CFunction f, int n, int results) {
  lua_pushcfunction(L, f);
  lua_insert(L, -1 - n);
  lua_call(L, n, results);
}

/* Limits that are none. */

static uint64_t begin(void *context, lua_State *L, uint64_t timeout_ms,
                      uint64_t now_ns) {
  (void)context, (void)L, (void)now_ns;
  return timeout_ms;
}

static enum lp__task_end end(void *context, lua_State *L, int status,
                             const char **where) {
  (void)context, (void)L;
  *where = "";
  return status == LUA_OK ? LP__TASK_OK : LP__TASK_ERROR;
}

static uint64_t peak_memory(void *context) {
  (void)context;
  return 0;
}

/* Pushes a list of the value at index 1. */
static void push_list(lua_State *L) {
  lua_createtable(L, 1, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 1);
}

/* Pushes the code of the first function in `value`, made twice. */
static void push_code(lua_State *L) {
  lua_rawgeti(L, 1, 1);
  lua_pushvalue(L, -1);
  apply(L, lp__call_code, 1, 1);
  apply(L, lp__call_code, 2, 1);
}

/* send(value): encodes the value as the argument of its first function in each
 * of the ways there are. */
static int send(lua_State *L) {
  lua_settop(L, 1);
  push_code(L); /* value code */
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 1);
  apply(L, lp__call_arguments, 2, 2);
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  push_list(L);
  lua_pushinteger(L, 1);
  lua_pushinteger(L, 1);
  apply(L, lp__call_encode, 4, 2); /* value code bodies records */
  lua_newtable(L);
  lua_insert(L, 4);
  lua_setfield(L, 4, "records"); /* value code bodies options */
  lua_pushboolean(L, 1);
  lua_setfield(L, 4, "encoded");
  lua_pushinteger(L, 1);
  lua_insert(L, 4);
  lua_pushinteger(L, 1);
  lua_insert(L, 5);
  apply(L, lp__call_request, 5, 1);
  return 1;
}

static void test_send(void **state) {
  (void)state;
  assert_true(sweep(send, SENDS) > 100);
}

/* run(value): runs the call that send makes, and reads the response. A worker
 * that has too little memory to answer is one that fails. */
static int run(lua_State *L) {
  struct lp__call_hooks hooks = {NULL, begin, end, peak_memory, NULL, NULL};
  const char *request;
  size_t size;
  apply(L, send, 1, 1);
  request = lua_tolstring(L, -1, &size);
  if (lp__call_run(L, request, size, &hooks, 0) != LP_OK)
    return lua_error(L);
  return 1;
}

static void test_run(void **state) {
  (void)state;
  assert_true(sweep(run, RUNS) > 100);
}

static void test_load(void **state) {
  (void)state;
  assert_true(sweep(load, LOADS) > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_open), cmocka_unit_test(test_dump),
      cmocka_unit_test(test_load), cmocka_unit_test(test_send),
      cmocka_unit_test(test_run),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
