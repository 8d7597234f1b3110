/* JSON for plain handlers.  See json.h. */
#include "json.h"

#include <lauxlib.h>
#include <lua-cjson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/codec/buffer.h"

#define DEPTH_MAX 1000

/* Beyond this many elements an array may not have more holes than values. */
#define SPARSE_SAFE 10

/* Largest magnitude below which every integer is exact as a float. */
#define EXACT_MAX 9007199254740992.0

static const char decoder_key = 0;

/* --- reading ----------------------------------------------------------- */

void lp__json_open(lua_State *L) {
  lua_pushcfunction(L, luaopen_cjson);
  lua_call(L, 0, 1);                               /* cjson */
  lua_getfield(L, -1, "decode_invalid_numbers");   /* cjson f */
  lua_pushboolean(L, 0);                           /* cjson f false */
  lua_call(L, 1, 0);                               /* cjson */
  lua_getfield(L, -1, "decode");                   /* cjson decode */
  lua_rawsetp(L, LUA_REGISTRYINDEX, &decoder_key); /* cjson */
  lua_pop(L, 1);
}

/* The integer that the float at the top stands for; 0 when it is none. */
static int as_integer(lua_State *L, lua_Integer *integer) {
  lua_Number number = lua_tonumber(L, -1);
  if (!(fabs(number) <= EXACT_MAX) || floor(number) != number ||
      (number == 0 && signbit(number)))
    return 0;
  *integer = (lua_Integer)number;
  return 1;
}

/* Replaces the whole floats in the table at the top. lua-cjson has limited
 * its depth to 1000.  [-0, +0, e] */
static void restore_integers(lua_State *L) {
  lua_Integer integer;
  luaL_checkstack(L, 4, NULL);
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) { /* t k v */
    if (lua_type(L, -1) == LUA_TTABLE) {
      restore_integers(L);
    } else if (lua_type(L, -1) == LUA_TNUMBER && as_integer(L, &integer)) {
      lua_pushvalue(L, -2);        /* t k v k */
      lua_pushinteger(L, integer); /* t k v k i */
      lua_rawset(L, -5);           /* t k v */
    }
  }
}

void lp__json_decode(lua_State *L, const char *text, size_t size) {
  lua_Integer integer;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &decoder_key);
  lua_pushlstring(L, text, size);
  lua_call(L, 1, 1);
  if (lua_type(L, -1) == LUA_TTABLE) {
    restore_integers(L);
  } else if (lua_type(L, -1) == LUA_TNUMBER && as_integer(L, &integer)) {
    lua_pushinteger(L, integer);
    lua_replace(L, -2);
  }
}

/* --- writing ----------------------------------------------------------- */

struct writer {
  lua_State *L;
  struct lp__buffer out;
  int depth;
};

static void write_value(struct writer *w, int index);

static void add(struct writer *w, const char *text, size_t size) {
  lp__buffer_add(w->L, &w->out, text, size);
}

/* Adds a string; bytes that are not UTF-8 stay as they are. */
static void write_string(struct writer *w, const char *text, size_t size) {
  static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
  size_t i, from = 0;
  add(w, "\"", 1);
  for (i = 0; i < size; i++) {
    unsigned char c = (unsigned char)text[i];
    const char *known = shorts;
    char escape[8];
    if (c >= ' ' && c != '"' && c != '\\' && c != 0x7f)
      continue;
    while (*known && *known != (char)c)
      known += 2;
    if (*known && c != 0)
      snprintf(escape, sizeof escape, "\\%c", known[1]);
    else
      snprintf(escape, sizeof escape, "\\u%04x", c);
    add(w, text + from, i - from);
    add(w, escape, strlen(escape));
    from = i + 1;
  }
  add(w, text + from, size - from);
  add(w, "\"", 1);
}

/* Adds a number with as many digits as it takes to read the same again. */
static void write_number(struct writer *w, int index) {
  char text[64];
  lua_Number number = lua_tonumber(w->L, index);
  int precision = 15;
  if (lua_isinteger(w->L, index)) {
    snprintf(text, sizeof text, LUA_INTEGER_FMT, lua_tointeger(w->L, index));
  } else {
    if (!isfinite(number))
      luaL_error(w->L, "JSON has no NaN and no infinity");
    do {
      snprintf(text, sizeof text, "%.*g", precision, number);
    } while (precision++ < 17 && strtod(text, NULL) != number);
  }
  add(w, text, strlen(text));
}

/* The length of the table at `index` as an array: its largest key when all
 * keys are positive integers, -1 when it is an object. */
static lua_Integer array_length(lua_State *L, int index) {
  lua_Integer most = 0, count = 0;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1) {
      lua_pop(L, 2);
      return -1;
    }
    if (lua_tointeger(L, -2) > most)
      most = lua_tointeger(L, -2);
    count++;
  }
  if (most > SPARSE_SAFE && most / 2 > count)
    luaL_error(L, "an array of %I values has %I holes", count, most - count);
  return count > 0 ? most : -1;
}

static void write_array(struct writer *w, int index, lua_Integer length) {
  lua_Integer i;
  add(w, "[", 1);
  for (i = 1; i <= length; i++) {
    if (i > 1)
      add(w, ",", 1);
    lua_rawgeti(w->L, index, i);
    write_value(w, lua_gettop(w->L));
    lua_pop(w->L, 1);
  }
  add(w, "]", 1);
}

/* Adds the key at the top of the stack. Converting a number in place would
 * confuse lua_next: a copy is converted. */
static void write_key(struct writer *w) {
  size_t size;
  const char *text;
  int type = lua_type(w->L, -1);
  if (type != LUA_TSTRING && type != LUA_TNUMBER)
    luaL_error(w->L, "a %s cannot be a key in JSON", luaL_typename(w->L, -1));
  lua_pushvalue(w->L, -1);
  text = lua_tolstring(w->L, -1, &size);
  write_string(w, text, size);
  lua_pop(w->L, 1);
  add(w, ":", 1);
}

static void write_object(struct writer *w, int index) {
  int first = 1;
  add(w, "{", 1);
  for (lua_pushnil(w->L); lua_next(w->L, index) != 0; lua_pop(w->L, 1)) {
    if (!first)
      add(w, ",", 1);
    first = 0;
    lua_pushvalue(w->L, -2); /* k v k */
    write_key(w);
    lua_pop(w->L, 1); /* k v */
    write_value(w, lua_gettop(w->L));
  }
  add(w, "}", 1);
}

static void write_table(struct writer *w, int index) {
  lua_Integer length;
  if (++w->depth > DEPTH_MAX)
    luaL_error(w->L, "more than %d tables inside each other", DEPTH_MAX);
  luaL_checkstack(w->L, 6, NULL);
  length = array_length(w->L, index);
  if (length >= 0)
    write_array(w, index, length);
  else
    write_object(w, index);
  w->depth--;
}

static void write_value(struct writer *w, int index) {
  lua_State *L = w->L;
  size_t size;
  const char *text;
  switch (lua_type(L, index)) {
  case LUA_TNIL:
    add(w, "null", 4);
    return;
  case LUA_TBOOLEAN:
    text = lua_toboolean(L, index) ? "true" : "false";
    add(w, text, strlen(text));
    return;
  case LUA_TNUMBER:
    write_number(w, index);
    return;
  case LUA_TSTRING:
    text = lua_tolstring(L, index, &size);
    write_string(w, text, size);
    return;
  case LUA_TTABLE:
    write_table(w, index);
    return;
  default:
    if (lua_islightuserdata(L, index) && lua_touserdata(L, index) == NULL)
      add(w, "null", 4);
    else
      luaL_error(L, "a %s cannot be JSON", luaL_typename(L, index));
  }
}

void lp__json_encode(lua_State *L, int index) {
  struct writer w = {L, {NULL, 0, 0, 0}, 0};
  index = lua_absindex(L, index);
  lua_pushnil(L); /* box */
  w.out.box = lua_gettop(L);
  write_value(&w, index);
  lua_pushlstring(L, (const char *)w.out.bytes, w.out.size); /* box text */
  lua_replace(L, w.out.box);                                 /* text */
}
