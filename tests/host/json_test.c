/* JSON and Lua values: what comes back, what is written, what is refused, that
 * lua-cjson reads strings the same, and that running out of memory anywhere is
 * a Lua error. */
#include "host/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lua-cjson.h>
#include <lualib.h>

static lua_State *L;

static int set_up(void **state) {
  (void)state;
  L = luaL_newstate();
  luaL_openlibs(L);
  lua_pushcfunction(L, luaopen_cjson);
  lua_call(L, 0, 1);
  lua_getfield(L, -1, "decode");
  lua_setfield(L, LUA_REGISTRYINDEX, "cjson.decode");
  lua_settop(L, 0);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  lua_close(L);
  return 0;
}

static int decode(lua_State *l) {
  size_t size;
  const char *text = luaL_checklstring(l, 1, &size);
  lp__json_decode(l, text, size);
  return 1;
}

static int encode(lua_State *l) {
  struct lp__buffer out = {NULL, 0, 0, 0};
  lua_pushnil(l);
  out.box = lua_gettop(l);
  lp__json_encode(l, 1, &out);
  lua_pushlstring(l, (const char *)out.bytes, out.size);
  return 1;
}

/* The JSON text of the value of a Lua expression, or the error. */
static const char *written(const char *expression) {
  lua_settop(L, 0);
  lua_pushcfunction(L, encode);
  lua_pushfstring(L, "return %s", expression);
  assert_int_equal(luaL_loadstring(L, lua_tostring(L, -1)), LUA_OK);
  lua_remove(L, -2);
  lua_call(L, 0, 1);
  lua_pcall(L, 1, 1, 0);
  assert_int_equal(lua_gettop(L), 1);
  return lua_tostring(L, 1);
}

/* What reading a text and writing it again makes of it, or the error. */
static const char *again(const char *text) {
  lua_settop(L, 0);
  lua_pushcfunction(L, decode);
  lua_pushstring(L, text);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
    lua_pushcfunction(L, encode);
    lua_insert(L, 1);
    lua_pcall(L, 1, 1, 0);
  }
  assert_int_equal(lua_gettop(L), 1);
  return lua_tostring(L, 1);
}

static void writes_numbers_in_full(void **state) {
  (void)state;
  assert_string_equal(written("0"), "0");
  assert_string_equal(written("math.maxinteger"), "9223372036854775807");
  assert_string_equal(written("math.mininteger"), "-9223372036854775808");
  assert_string_equal(written("2^53 + 1"), "9007199254740992");
  assert_string_equal(written("0.1"), "0.1");
  assert_string_equal(written("0.1 + 0.2"), "0.30000000000000004");
  assert_string_equal(written("1/3"), "0.3333333333333333");
  assert_string_equal(written("5e-324"), "4.94065645841247e-324");
  assert_string_equal(written("-0.0"), "-0");
}

static void writes_strings(void **state) {
  (void)state;
  assert_string_equal(written("''"), "\"\"");
  assert_string_equal(written("'\\0\\1\\b\\t\\n\\f\\r\\27\\127'"),
                      "\"\\u0000\\u0001\\b\\t\\n\\f\\r\\u001b\\u007f\"");
  assert_string_equal(written("'\"\\\\/'"), "\"\\\"\\\\/\"");
  assert_string_equal(written("'\xc3\xa4'"), "\"\xc3\xa4\"");
}

/* Puts a byte as it is written at `to`, and returns its size. */
static size_t escape(char *to, unsigned char c) {
  static const char from[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
  const char *known = c ? strchr(from, (char)c) : NULL;
  if (known)
    return (size_t)sprintf(to, "\\%c", names[known - from]);
  if (c < ' ' || c == 0x7f)
    return (size_t)sprintf(to, "\\u%04x", c);
  *to = (char)c;
  return 1;
}

/* Fails unless a string of `size` letters but for the byte `c` at `offset` is
 * written as it should be. */
static void check_written(int size, int offset, unsigned char c) {
  char text[600], wanted[600];
  size_t length;
  memset(text, 'a', sizeof text);
  text[offset] = (char)c;
  wanted[0] = '"';
  memset(wanted + 1, 'a', (size_t)offset);
  length = 1 + (size_t)offset;
  length += escape(wanted + length, c);
  memset(wanted + length, 'a', (size_t)(size - offset - 1));
  length += (size_t)(size - offset - 1);
  wanted[length++] = '"';
  lua_settop(L, 0);
  lua_pushcfunction(L, encode);
  lua_pushlstring(L, text, (size_t)size);
  lua_call(L, 1, 1);
  assert_int_equal(lua_rawlen(L, 1), length);
  if (memcmp(lua_tostring(L, 1), wanted, length) != 0)
    fail_msg("byte %d at %d of %d: %s", c, offset, size, lua_tostring(L, 1));
}

static void writes_every_byte_anywhere(void **state) {
  static const int sizes[] = {1,  15,  16,  17,  31,  32,  33,  63, 64,
                              65, 127, 128, 129, 255, 256, 257, 300};
  size_t i;
  int offset, c;
  (void)state;
  for (i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (offset = 0; offset < sizes[i]; offset++)
      for (c = 0; c < 256; c += offset < 20 || offset % 16 == 15 ? 1 : 31)
        check_written(sizes[i], offset, (unsigned char)c);
}

static void writes_many_escapes(void **state) {
  (void)state;
  written("('\\1'):rep(1000)");
  assert_int_equal(lua_rawlen(L, 1), 6002);
}

static void writes_tables(void **state) {
  (void)state;
  assert_string_equal(written("{}"), "{}");
  assert_string_equal(written("{1, {2, 'x'}, {a = true}}"),
                      "[1,[2,\"x\"],{\"a\":true}]");
  assert_string_equal(written("{nil, nil, 3}"), "[null,null,3]");
  assert_string_equal(written("{[2.5] = 1}"), "{\"2.5\":1}");
  assert_string_equal(written("{[0] = 1}"), "{\"0\":1}");
  assert_string_equal(written("nil"), "null");
}

static void names_what_cannot_be_written(void **state) {
  (void)state;
  assert_non_null(strstr(written("print"), "a function cannot be JSON"));
  assert_non_null(strstr(written("io.stdout"), "a userdata cannot be JSON"));
  assert_non_null(strstr(written("0/0"), "NaN"));
  assert_non_null(strstr(written("{-math.huge}"), "infinity"));
  assert_non_null(strstr(written("{[true] = 1}"), "a boolean cannot be a key"));
  assert_non_null(strstr(written("{[1] = 1, [math.maxinteger] = 1}"), "holes"));
  assert_non_null(strstr(
      written("(function() local t = {} t.t = t return t end)()"), "1000"));
}

static void reads_integers(void **state) {
  static const char *const same[] = {"9007199254740993",
                                     "9223372036854775807",
                                     "-9223372036854775808",
                                     "999999999999999999",
                                     "1000000000000000000",
                                     "-9007199254740992",
                                     "[1,2.5,[3,{\"a\":4}]]",
                                     "{\"a\":{\"b\":{\"c\":1}}}",
                                     "null",
                                     "[null,false,true,\"x\"]",
                                     "1e+300",
                                     "-0"};
  size_t i;
  (void)state;
  for (i = 0; i < sizeof same / sizeof *same; i++)
    assert_string_equal(again(same[i]), same[i]);
  assert_string_equal(again("1e3"), "1000");
  assert_string_equal(again("-10.0"), "-10");
  assert_string_equal(again("9223372036854775808"), "9.223372036854776e+18");
  assert_string_equal(again("-0.0"), "-0");
  assert_string_equal(again("[0,-1,12,-0]"), "[0,-1,12,-0]");
}

static void reads_arrays_and_objects(void **state) {
  (void)state;
  assert_string_equal(again(" [ ] "), "[]");
  assert_string_equal(again("{ }"), "{}");
  assert_string_equal(again("[[],{},[[]],{\"a\":[]}]"),
                      "[[],{},[[]],{\"a\":[]}]");
  assert_string_equal(again("{\"a\":1,\"a\":2}"), "{\"a\":2}");
  assert_string_equal(again("[ 1 , \"x\"\t,\nnull\r]"), "[1,\"x\",null]");
  lua_settop(L, 0);
  lua_pushcfunction(L, decode);
  luaL_loadstring(L, "return ('['):rep(1000) .. (']'):rep(1000)");
  lua_call(L, 0, 1);
  lua_call(L, 1, 1);
  assert_int_equal(lua_type(L, 1), LUA_TTABLE);
}

static void reads_escapes(void **state) {
  (void)state;
  assert_string_equal(again("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
                      "\"\\\"\\\\/\\b\\f\\n\\r\\t\"");
  assert_string_equal(again("\"\\u0041\\u00e4\\u20AC\\ud83d\\ude00\""),
                      "\"A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
  assert_string_equal(again("\"\\ud83d\""), "\"\xef\xbf\xbd\"");
  assert_string_equal(again("\"\\ude00\\ud83dx\""),
                      "\"\xef\xbf\xbd\xef\xbf\xbdx\"");
  assert_string_equal(again("\"\\ud83d\\u0041\""), "\"\xef\xbf\xbd"
                                                   "A\"");
  assert_string_equal(again("{\"\\u0061\":\"\\u0000\"}"),
                      "{\"a\":\"\\u0000\"}");
}

/* Calls the reader at the top on a text. Replaces it by the status and what it
 * returned or raised. */
static void read_with(const char *text, size_t size) {
  int status;
  lua_pushlstring(L, text, size);
  status = lua_pcall(L, 1, 1, 0);
  lua_pushinteger(L, status);
  lua_insert(L, -2);
}

/* Whether a text has a control character, which lua-cjson takes in a
 * string though it is not JSON. */
static int has_control(const char *text, size_t size) {
  size_t i;
  for (i = 0; i < size; i++)
    if ((unsigned char)text[i] < ' ')
      return 1;
  return 0;
}

/* Fails unless a text that is no number reads as lua-cjson reads it. What they
 * say about other texts differs. */
static void check_read(const char *text, size_t size) {
  lua_settop(L, 0);
  lua_getfield(L, LUA_REGISTRYINDEX, "cjson.decode");
  read_with(text, size);
  lua_pushcfunction(L, decode);
  read_with(text, size);
  if (lua_tointeger(L, 3) != LUA_OK && has_control(text, size))
    return;
  if (!lua_rawequal(L, 1, 3) ||
      (lua_tointeger(L, 1) == LUA_OK && !lua_rawequal(L, 2, 4)))
    fail_msg("%s: %s, not %s", text, luaL_tolstring(L, 4, NULL),
             luaL_tolstring(L, 2, NULL));
}

static void reads_every_byte_anywhere(void **state) {
  char text[303];
  int size, offset, c;
  (void)state;
  for (size = 3; size < (int)sizeof text; size += size < 40 ? 1 : 29)
    for (offset = 0; offset < size; offset++)
      for (c = 0; c < 256; c += offset < 20 || offset % 16 == 15 ? 1 : 31) {
        memset(text, 'a', sizeof text);
        text[0] = text[size - 1] = '"';
        text[size] = '\0';
        text[offset] = (char)c;
        check_read(text, (size_t)size);
      }
}

static void reads_lone_strings(void **state) {
  static const char *const texts[] = {"\"\"",
                                      " \"a\"",
                                      "\"a\" ",
                                      " \t\r\n\"a\"\n\r\t ",
                                      "\"",
                                      " \" ",
                                      "\"a",
                                      "a\"",
                                      "\"a\" b",
                                      "\"a\"\"b\"",
                                      "\"a\",\"b\"",
                                      "\v\"a\"",
                                      "\"a\"\f",
                                      "\"\\\"",
                                      "\"a\\n\"",
                                      "\"\\u00e4\"",
                                      "\"\\ud83d\\ude00\"",
                                      "\"\\x\"",
                                      "\"\xc3\xa4\"",
                                      "\"\xff\"",
                                      "\"\x7f\"",
                                      "\"a\nb\"",
                                      "\xef\xbb\xbf\"a\""};
  size_t i;
  (void)state;
  for (i = 0; i < sizeof texts / sizeof *texts; i++)
    check_read(texts[i], strlen(texts[i]));
  check_read("\"a\0b\"", 5);
  check_read("\"a\"\0", 4);
  check_read("\0\"a\"", 4);
}

static void refuses_other_texts(void **state) {
  static const char *const bad[] = {"",    "{",   "[1,]",     "nul",
                                    "1 2", "NaN", "Infinity", "0x10",
                                    "'a'", "[1",  "{1:2}"};
  size_t i;
  (void)state;
  for (i = 0; i < sizeof bad / sizeof *bad; i++) {
    if (strstr(again(bad[i]), " at byte ") == NULL)
      fail_msg("%s: %s", bad[i], again(bad[i]));
  }
}

/* An allocator that fails from the n-th allocation on. */
static void *failing(void *countdown, void *block, size_t old_size,
                     size_t size) {
  long *left = countdown;
  (void)old_size;
  if (size == 0) {
    free(block);
    return NULL;
  }
  if (*left <= 0)
    return NULL;
  --*left;
  return realloc(block, size);
}

static int read_and_write(lua_State *l) {
  static const char text[] = "{\"list\":[1,2,3,{\"deep\":[\"text\",null,true,0."
                             "5,[]]}],\"a\":\"\\u0001\",\"b\":1e5}";
  lua_pushcfunction(l, encode);
  lp__json_decode(l, text, sizeof text - 1);
  lua_call(l, 1, 1);
  return 1;
}

static void survives_want_of_memory(void **state) {
  long n, done = 0;
  (void)state;
  for (n = 0; !done; n++) {
    long left = 100000;
    lua_State *l = lua_newstate(failing, &left);
    lua_pushcfunction(l, read_and_write);
    left = n;
    done = lua_pcall(l, 0, 1, 0) == LUA_OK;
    lua_close(l);
    assert_true(n < 10000);
  }
  assert_true(n > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(writes_numbers_in_full),
      cmocka_unit_test(writes_strings),
      cmocka_unit_test(writes_every_byte_anywhere),
      cmocka_unit_test(writes_many_escapes),
      cmocka_unit_test(writes_tables),
      cmocka_unit_test(names_what_cannot_be_written),
      cmocka_unit_test(reads_integers),
      cmocka_unit_test(reads_arrays_and_objects),
      cmocka_unit_test(reads_escapes),
      cmocka_unit_test(reads_every_byte_anywhere),
      cmocka_unit_test(reads_lone_strings),
      cmocka_unit_test(refuses_other_texts),
      cmocka_unit_test(survives_want_of_memory),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
