/* Bytes that are lent: what a worker has answered is in a block, and so are the
 * results in it, for as long as somebody looks at one of them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

#include "host/codec/call.h"
#include "host/lambdapool.h"
#include "host/lent.h"
#include "host/memory.h"
#include "host/state.h"

static lua_State *L;
static struct lp__memory memory;
static struct lp__block *block; /* the last one that was lent */

/* --- what the Lua code below calls ---------------------------------------- */

/* lend(bytes) -> an object that lends them: in a block that ends with them */
static int lend(lua_State *l) {
  size_t size;
  const char *bytes = luaL_checklstring(l, 1, &size);
  lp__block_release(block);
  block = lp__block_new(size);
  assert_non_null(block);
  memcpy(block->bytes, bytes, size);
  lp__lent_push(l, block, block->bytes, size);
  return 1;
}

/* holds() -> how many hold that block, but for this test */
static int holds(lua_State *l) {
  lua_pushinteger(l, (lua_Integer)block->holds - 1);
  return 1;
}

/* text(value) -> what it lends, and there is a zero behind it; nil when it is
 * no such object, or one of another block */
static int text(lua_State *l) {
  const struct lp__lent *lent = lp__lent_test(l, 1);
  if (!lent || lent->block != block)
    return 0;
  assert_true(lent->bytes >= block->bytes);
  assert_true(lent->bytes + lent->size < block->bytes + block->size);
  assert_int_equal(lent->bytes[lent->size], '\0');
  lua_pushlstring(l, lent->bytes, lent->size);
  return 1;
}

static uint64_t begin(void *context, lua_State *l, uint64_t timeout_ms,
                      uint64_t now_ns) {
  (void)context, (void)l, (void)now_ns;
  return timeout_ms;
}

static enum lp__task_end end(void *context, lua_State *l, int status,
                             const char **where) {
  (void)context, (void)l;
  *where = NULL;
  return status == LUA_OK ? LP__TASK_OK : LP__TASK_ERROR;
}

static uint64_t peak_memory(void *context) {
  (void)context;
  return 0;
}

/* answer(request): in the state of a worker */
static int answer(lua_State *l) {
  struct lp__call_hooks hooks = {NULL, begin, end, peak_memory, NULL, NULL};
  size_t size;
  const char *request = lua_tolstring(l, 1, &size);
  lp__state_open(l);
  if (lp__call_run(l, request, size, &hooks, 0) != LP_OK)
    return lua_error(l);
  return 1;
}

/* run(request) -> what a worker answers */
static int run(lua_State *l) {
  lua_State *worker = luaL_newstate();
  size_t size;
  const char *bytes = luaL_checklstring(l, 1, &size);
  lua_pushcfunction(worker, answer);
  lua_pushlstring(worker, bytes, size);
  assert_int_equal(lua_pcall(worker, 1, 1, 0), LUA_OK);
  bytes = lua_tolstring(worker, -1, &size);
  lua_pushlstring(l, bytes, size);
  lua_close(worker);
  return 1;
}

/* What the tests have in common. make(f, n [, options]) gives an answer to n
 * tasks f(i), and its code; read(bytes, code, n [, lend [, most]]) what kept
 * makes of all of it, and the report. */
static const char helpers[] =
    "codec = require 'lambdapool.codec'\n"
    "long = ('long'):rep(500)\n"
    "function make(f, n, options)\n"
    "  local code, items = codec.code(f), {}\n"
    "  for i = 1, n do items[i] = i end\n"
    "  options = options or { json = true }\n"
    "  return run((codec.request(code, items, 1, n, options))), code\n"
    "end\n"
    "function read(bytes, code, n, lend, most)\n"
    "  local columns, _, position = { counts = {} }, codec.answer(bytes, "
    "code)\n"
    "  local report, errors, behind = codec.kept(bytes, n, { {} }, columns, "
    "0,\n"
    "    position, most, lend)\n"
    "  return columns, report, errors, behind\n"
    "end\n"
    /* The body of each record, without what stands around them. */
    "function record(ending, ...)\n"
    "  local body = codec.arguments(codec.code(print), ...)\n"
    "  return string.pack('<Bs4', ending, body)\n"
    "end\n";

static int open_state(lua_State *l) {
  lp__state_open(l);
  lua_register(l, "lend", lend);
  lua_register(l, "holds", holds);
  lua_register(l, "text", text);
  lua_register(l, "run", run);
  luaL_requiref(l, "lambdapool.codec", luaopen_lambdapool_codec, 0);
  lua_pop(l, 1);
  if (luaL_dostring(l, helpers) != LUA_OK)
    return lua_error(l);
  return 0;
}

static int open_one(void **state) {
  (void)state;
  memset(&memory, 0, sizeof memory);
  lp__memory_enter(&memory);
  L = luaL_newstate();
  lua_pushcfunction(L, open_state);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK)
    fail_msg("%s", lua_tostring(L, -1));
  return 0;
}

/* Nothing of it is left, however the test has ended. */
static int close_one(void **state) {
  (void)state;
  lua_close(L);
  lp__block_release(block);
  block = NULL;
  assert_int_equal(memory.used, 0);
  lp__memory_enter(NULL);
  return 0;
}

static void check(const char *code) {
  if (luaL_dostring(L, code) != LUA_OK)
    fail_msg("%s", lua_tostring(L, -1));
}

/* --- objects -------------------------------------------------------------- */

static void test_object(void **state) {
  struct lp__lent *lent;
  (void)state;
  block = lp__block_new(10);
  lp__lent_push(L, block, block->bytes + 2, 5);
  lent = lp__lent_test(L, -1);
  assert_non_null(lent);
  assert_ptr_equal(lent->bytes, block->bytes + 2);
  assert_int_equal(block->holds, 2);
  lua_len(L, -1);
  assert_int_equal(lua_tointeger(L, -1), 5);
  lp__lent_release(lent);
  assert_int_equal(block->holds, 1);
  lua_len(L, -2);
  assert_int_equal(lua_tointeger(L, -1), 0);
  lp__lent_release(lent);
  assert_int_equal(block->holds, 1);
}

static void test_others(void **state) {
  (void)state;
  lua_settop(L, 0);
  lua_pushnil(L);
  lua_pushliteral(L, "bytes");
  lua_newuserdatauv(L, sizeof(struct lp__lent), 0);
  lua_pushlightuserdata(L, L);
  for (int i = 1; i <= 5; i++)
    assert_null(lp__lent_test(L, i));
}

static void test_garbage(void **state) {
  (void)state;
  check("lend('x') collectgarbage() assert(holds() == 0)");
  check("kept = lend('x') collectgarbage() assert(holds() == 1)");
}

/* --- answers -------------------------------------------------------------- */

static void test_strings(void **state) {
  (void)state;
  check("local bytes, code = make(function(i) return long .. i end, 3)\n"
        "local answer = lend(bytes)\n"
        "assert(#answer == #bytes and holds() == 1)\n"
        "local columns, report = read(answer, code, 3, true)\n"
        "assert(report.done == 3 and report.max_values == 1)\n"
        "assert(holds() == 4)\n"
        "for i = 1, 3 do assert(text(columns[1][i]) == long .. i) end\n"
        "codec.release(answer)\n"
        "codec.release(answer)\n"
        "assert(holds() == 3 and #answer == 0)\n"
        "for i = 1, 3 do\n"
        "  assert(#columns[1][i] == #long + 1)\n"
        "  codec.release(columns[1][i])\n"
        "  assert(holds() == 3 - i)\n"
        "end\n");
}

static void test_all_simple_values(void **state) {
  (void)state;
  check(
      "local answer, code = make(function(i)\n"
      "  return nil, true, false, 7, -1 << 40, 0.5, 'short', ('x'):rep(511),\n"
      "    ('y'):rep(512), '', ('z'):rep(70000), nil\n"
      "end, 2)\n"
      "local columns = read(lend(answer), code, 2, true)\n"
      "local expected = { nil, true, false, 7, -1 << 40, 0.5, 'short',\n"
      "  ('x'):rep(511), ('y'):rep(512), '', ('z'):rep(70000) }\n"
      "assert(columns.counts[1] == 12 and columns.counts[2] == 12)\n"
      "for i = 1, 2 do\n"
      "  for j = 1, 12 do\n"
      "    local value = columns[j][i]\n"
      "    assert((text(value) or value) == expected[j], j)\n"
      "    assert((text(value) ~= nil) == (j == 9 or j == 11), j)\n"
      "  end\n"
      "end\n"
      "assert(columns.json == nil)\n");
}

static void test_json(void **state) {
  (void)state;
  check("local answer, code = make(function(i)\n"
        "  return long, { long }, { 1 }, i\n"
        "end, 2)\n"
        "local columns = read(lend(answer), code, 2, true)\n"
        "for i = 1, 2 do\n"
        "  assert(columns.json[i] == 6)\n"
        "  assert(text(columns[1][i]) == long)\n"
        "  assert(text(columns[2][i]) == '[\"' .. long .. '\"]')\n"
        "  assert(columns[3][i] == '[1]' and columns[4][i] == i)\n"
        "  assert(columns.counts[i] == 4)\n"
        "end\n");
}

/* What is no simple value as a whole is Lua's. */
static void test_not_lent(void **state) {
  (void)state;
  check("local function f(i)\n"
        "  if i == 1 then return long, print end\n"
        "  if i == 2 then return long, long end\n" /* refers to the first */
        "  if i == 3 then error(long, 0) end\n"
        "  return string.byte(long, 1, 101)\n"
        "end\n"
        "local answer, code = make(f, 4)\n"
        "local columns, _, errors = read(lend(answer), code, 4, true)\n"
        "assert(columns[1][1] == long and columns[2][1] == print)\n"
        "assert(columns[1][2] == long and columns[2][2] == long)\n"
        "assert(errors[3].message == long)\n"
        "assert(columns.counts[4] == 101 and columns[101][4] == 108)\n"
        "assert(holds() == 1)\n");
}

/* Users' code gets strings. */
static void test_without_lend(void **state) {
  (void)state;
  check("local answer, code = make(function(i) return long, 1 end, 2)\n"
        "local columns = read(lend(answer), code, 2)\n"
        "assert(columns[1][1] == long and columns[1][2] == long)\n"
        "columns = read(answer, code, 2, true)\n" /* of a string */
        "assert(columns[1][2] == long)\n"
        "columns = { {} }\n"
        "codec.response(lend(answer), code, { {} }, columns, 0)\n"
        "assert(columns[1][2] == long and holds() == 1)\n");
}

static void test_response(void **state) {
  (void)state;
  check(
      "local answer, code = make(function(i) return long, 1 end, 2)\n"
      "local columns = {}\n"
      "local report = codec.response(lend(answer), code, { {} }, columns, 5,\n"
      "  true)\n"
      "assert(report.done == 2)\n"
      "assert(text(columns[1][6]) == long and text(columns[1][7]) == long)\n"
      "assert(columns[2][7] == 1)\n");
}

static void test_compressed(void **state) {
  (void)state;
  check("local answer, code = make(function(i) return long end, 2,\n"
        "  { json = true, compress_from = 1 })\n"
        "assert(#answer < #long)\n"
        "local lent, columns = lend(answer), {}\n"
        "assert(codec.answer(lent, code) == nil)\n"
        "codec.response(lent, code, { {} }, columns, 0, true)\n"
        "assert(columns[1][1] == long and columns[1][2] == long)\n"
        "assert(holds() == 1)\n");
}

static void test_released(void **state) {
  (void)state;
  check("local answer, code = make(function(i) return long end, 1)\n"
        "answer = lend(answer)\n"
        "codec.release(answer)\n"
        "codec.release('bytes') codec.release(nil) codec.release()\n"
        "local function refused(...)\n"
        "  local ok, message = pcall(...)\n"
        "  assert(not ok and message:find('released', 1, true), message)\n"
        "end\n"
        "refused(codec.answer, answer, code)\n"
        "refused(codec.kept, answer, 1, {}, {}, 0)\n"
        "refused(codec.response, answer, code, {}, {}, 0, true)\n");
}

/* Large results that are lent are no reason to stop early; others are. */
static void test_most(void **state) {
  (void)state;
  check("local function f(i) return i % 2 == 0 and print or long end\n"
        "local answer, code = make(f, 10)\n"
        "local _, report = read(lend(answer), code, 10, true, 1)\n"
        "assert(report.done == 2)\n"
        "answer, code = make(function() return long end, 10)\n"
        "local position\n"
        "_, report, _, position = read(lend(answer), code, 10, true, 1)\n"
        "assert(report.done == 10 and position == #answer)\n"
        "_, report = read(lend(answer), code, 10, false, 1)\n"
        "assert(report.done == 1)\n");
}

/* --- hostile bytes -------------------------------------------------------- */

/* Whatever is read of them lies in them: the block ends where they do, so that
 * a sanitizer sees who reads on. */
static const char hostile[] =
    "function try(bytes)\n"
    "  local columns = {}\n"
    "  local report = codec.kept(lend(bytes), 5, { {} }, columns, 0, 0, nil,\n"
    "    true)\n"
    "  for _, column in ipairs(columns) do\n"
    "    for _, value in pairs(column) do\n"
    "      assert(type(value) ~= 'userdata' or text(value))\n"
    "    end\n"
    "  end\n"
    "  return report.done\n"
    "end\n"
    "local long = ('y'):rep(512)\n"
    "good = record(5, 2, 1, long, true, 0.5, 1 << 20, 'short') ..\n"
    "  record(0, long)\n"
    "assert(try(good) == 2)\n";

static void test_cut_off(void **state) {
  (void)state;
  check(hostile);
  check("for size = 0, #good - 1 do assert(try(good:sub(1, size)) < 2) end\n"
        /* the same, and the record says so */
        "for size = 0, #good - 6 do\n"
        "  try(string.pack('<Bs4', 0, good:sub(6, 5 + size)))\n"
        "end\n");
}

static void test_changed(void **state) {
  (void)state;
  check(hostile);
  check("for at = 1, #good do\n"
        "  local old = good:byte(at)\n"
        "  for _, new in ipairs { 0, 1, 0x1a, 0x20, 0x21, 0x7f, 0x80, 0xff,\n"
        "      old ~ 1, old ~ 0x80 } do\n"
        "    try(good:sub(1, at - 1) .. string.char(new) .. good:sub(at + 1))\n"
        "  end\n"
        "end\n");
}

static void test_sizes(void **state) {
  (void)state;
  check(hostile);
  check("for _, size in ipairs { '\\x7f', '\\xff\\x7f', '\\x80\\x04',\n"
        "    '\\xff\\xff\\xff\\xff\\x0f', ('\\xff'):rep(9) .. '\\1',\n"
        "    ('\\xff'):rep(9) .. '\\x7f', ('\\x80'):rep(20), '' } do\n"
        "  for _, tag in ipairs { '\\x20', '\\x21', '\\x03' } do\n"
        "    for _, rest in ipairs { '', '\\x1a', ('x'):rep(512),\n"
        "        ('x'):rep(512) .. '\\x1a' } do\n"
        "      try(string.pack('<Bs4', 0, '\\1' .. tag .. size .. rest))\n"
        "      try(string.pack('<Bs4', 5, size .. tag .. rest))\n"
        "    end\n"
        "  end\n"
        "end\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_one, close_one)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_object),
      TEST(test_others),
      TEST(test_garbage),
      TEST(test_strings),
      TEST(test_all_simple_values),
      TEST(test_json),
      TEST(test_not_lent),
      TEST(test_without_lend),
      TEST(test_response),
      TEST(test_compressed),
      TEST(test_released),
      TEST(test_most),
      TEST(test_cut_off),
      TEST(test_changed),
      TEST(test_sizes),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
