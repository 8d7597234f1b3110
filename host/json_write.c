/* Lua values to JSON text.  See json.h. */
#include "json.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_check.h"
#include "json_plain.h"
#include "lambdapool.h"
#include "own.h"

#define DEPTH_MAX 1000

/* Beyond this many elements an array may not have more holes than values. */
#define SPARSE_SAFE 10

/* The name of the metatable of marked arrays. */
#define ARRAY "lambdapool.json.Array"

/* Copies the bytes in front of the first special one and returns how many they
 * are. To copy each block while it is near is faster than to come back to a
 * large text. */
static size_t copy_plain(unsigned char *to, const char *text, size_t size) {
  size_t n = 0;
  while (size - n >= LP__JSON_BLOCK && !lp__json_has_special(text + n)) {
    memcpy(to + n, text + n, LP__JSON_BLOCK);
    n += LP__JSON_BLOCK;
  }
  for (; n < size && !lp__json_is_special((unsigned char)text[n]); n++)
    to[n] = (unsigned char)text[n];
  return n;
}

struct writer {
  lua_State *L;
  struct lp__buffer *out;
  int depth;
  int sorted; /* the members of objects, */
  int exact;  /* and nothing is written that reads as another table */
};

static void write_value(struct writer *w, int index);

static void add(struct writer *w, const char *text, size_t size) {
  lp__buffer_add(w->L, w->out, text, size);
}

static void add_escape(lua_State *L, struct lp__buffer *out, unsigned char c) {
  static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
  static const char digits[] = "0123456789abcdef";
  char text[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
  const char *known = shorts;
  while (*known && *known != (char)c)
    known += 2;
  if (*known)
    text[1] = known[1];
  lp__buffer_add(L, out, text, *known ? 2 : sizeof text);
}

void lp__json_add_string(lua_State *L, struct lp__buffer *out, const char *text,
                         size_t size) {
  size_t i = 0;
  lp__buffer_reserve(L, out, size + 2);
  lp__buffer_add(L, out, "\"", 1);
  for (;;) {
    unsigned char *to = lp__buffer_reserve(L, out, size - i);
    size_t plain = copy_plain(to, text + i, size - i);
    out->size += plain;
    i += plain;
    if (i == size)
      break;
    add_escape(L, out, (unsigned char)text[i++]);
  }
  lp__buffer_add(L, out, "\"", 1);
}

enum { INTEGER_SIZE = 20 };

/* printf takes ten times as long. */
static void add_integer(struct writer *w, lua_Integer integer) {
  char text[INTEGER_SIZE], *at = text + sizeof text;
  lua_Unsigned left =
      integer < 0 ? 0 - (lua_Unsigned)integer : (lua_Unsigned)integer;
  do
    *--at = (char)('0' + left % 10);
  while ((left /= 10) > 0);
  if (integer < 0)
    *--at = '-';
  add(w, at, (size_t)(text + sizeof text - at));
}

/* Puts a point where the locale of the program has something else. */
static void set_point(char *text) {
  size_t at = strspn(text, "+-0123456789e");
  size_t size = strcspn(text + at, "+-0123456789e");
  if (size == 0)
    return;
  text[at] = '.';
  memmove(text + at + 1, text + at + size, strlen(text + at + size) + 1);
}

/* With as many digits as it takes to read the same again. */
static void add_float(struct writer *w, lua_Number number) {
  char text[64];
  int precision = 15;
  if (!isfinite(number))
    luaL_error(w->L, "JSON has no NaN and no infinity");
  do {
    snprintf(text, sizeof text, "%.*g", precision, number);
  } while (precision++ < 17 && strtod(text, NULL) != number);
  set_point(text);
  add(w, text, strlen(text));
}

/* Floats that are whole have the digits of integers, but for those that need an
 * exponent, and -0. */
static void write_number(struct writer *w, int index) {
  lua_Number number;
  if (lua_isinteger(w->L, index)) {
    add_integer(w, lua_tointeger(w->L, index));
    return;
  }
  number = lua_tonumber(w->L, index);
  if (number > -1e15 && number < 1e15 && number == floor(number) &&
      !(number == 0 && signbit(number)))
    add_integer(w, (lua_Integer)number);
  else
    add_float(w, number);
}

/* Whether the table at `index` was marked.  [-0, +0, m] */
static int is_marked(lua_State *L, int index) {
  int marked;
  if (!lua_getmetatable(L, index))
    return 0;
  lp__own_push_metatable(L, ARRAY);
  marked = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return marked;
}

/* The length of the table at `index` as an array: its largest key when all
 * keys are positive integers, -1 when it is an object. */
static lua_Integer array_length(lua_State *L, int index, int exact) {
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
  if (most > count && (exact || (most > SPARSE_SAFE && most / 2 > count)))
    luaL_error(L, "an array of %I values has %I holes", count, most - count);
  return count > 0 || is_marked(L, index) ? most : -1;
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
  if (type != LUA_TSTRING && (type != LUA_TNUMBER || w->exact))
    luaL_error(w->L, "a %s cannot be a key in JSON", luaL_typename(w->L, -1));
  lua_pushvalue(w->L, -1);
  text = lua_tolstring(w->L, -1, &size);
  lp__json_add_string(w->L, w->out, text, size);
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

struct key {
  const char *text; /* the table has it */
  size_t size;
};

static int compare_keys(const void *a, const void *b) {
  const struct key *x = a, *y = b;
  size_t size = x->size < y->size ? x->size : y->size;
  int order = memcmp(x->text, y->text, size);
  return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

/* Pushes the keys of the table at `index`, in order.  [-0, +1, e] */
static struct key *push_keys(lua_State *L, int index, size_t *count) {
  struct key *keys;
  size_t n = 0;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1))
    n++;
  keys = lua_newuserdatauv(L, n * sizeof *keys, 0);
  *count = n;
  n = 0;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      luaL_error(L, "a %s cannot be a key in JSON", luaL_typename(L, -2));
    keys[n].text = lua_tolstring(L, -2, &keys[n].size);
    n++;
  }
  qsort(keys, n, sizeof *keys, compare_keys);
  return keys;
}

static void write_sorted_object(struct writer *w, int index) {
  size_t i, count;
  const struct key *keys = push_keys(w->L, index, &count);
  add(w, "{", 1);
  for (i = 0; i < count; i++) {
    if (i > 0)
      add(w, ",", 1);
    lp__json_add_string(w->L, w->out, keys[i].text, keys[i].size);
    add(w, ":", 1);
    lua_pushlstring(w->L, keys[i].text, keys[i].size);
    lua_rawget(w->L, index); /* keys v */
    write_value(w, lua_gettop(w->L));
    lua_pop(w->L, 1); /* keys */
  }
  add(w, "}", 1);
  lua_pop(w->L, 1);
}

static void write_table(struct writer *w, int index) {
  lua_Integer length;
  if (++w->depth > DEPTH_MAX)
    luaL_error(w->L, "more than %d tables inside each other", DEPTH_MAX);
  luaL_checkstack(w->L, 6, NULL);
  length = array_length(w->L, index, w->exact);
  if (length >= 0)
    write_array(w, index, length);
  else if (w->sorted)
    write_sorted_object(w, index);
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
    lp__json_add_string(w->L, w->out, text, size);
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

void lp__json_encode(lua_State *L, int index, struct lp__buffer *out) {
  struct writer w = {L, out, 0, 0, 0};
  write_value(&w, lua_absindex(L, index));
}

void lp__json_encode_sorted(lua_State *L, int index, struct lp__buffer *out) {
  struct writer w = {L, out, 0, 1, 0};
  write_value(&w, lua_absindex(L, index));
}

void lp__json_encode_exact(lua_State *L, int index, struct lp__buffer *out) {
  struct writer w = {L, out, 0, 0, 1};
  write_value(&w, lua_absindex(L, index));
}

void lp__json_mark_array(lua_State *L) {
  lp__own_metatable(L, ARRAY); /* t meta */
  lua_setmetatable(L, -2);
}

int lp__json_text(lua_State *L) {
  struct lp__buffer out = {NULL, 0, 0, 2};
  struct lp__json_problem problem;
  lua_settop(L, 1);
  lua_pushnil(L); /* the place of the buffer */
  lp__json_encode_exact(L, 1, &out);
  if (lp__json_check((const char *)out.bytes, out.size, LP__JSON_UTF8,
                     &problem) != LP_OK)
    return luaL_error(L, "%s", problem.message);
  lua_pushlstring(L, (const char *)out.bytes, out.size);
  return 1;
}
