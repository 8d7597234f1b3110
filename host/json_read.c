/*
 * JSON text to Lua values.  See json.h.  The text is checked first: what is
 * read here is known to be JSON of at most 1000 levels, so that nothing is
 * compared with the end of the text but strings, and recursion is no danger.
 */
#include "json.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "json_check.h"
#include "json_plain.h"
#include "lambdapool.h"

/* Largest magnitude below which every integer is exact as a float. */
#define EXACT_MAX 9007199254740992.0

/* So many digits make no integer that is too large. */
#define SAFE_DIGITS 18

struct reader {
  lua_State *L;
  const char *at, *end;
};

static void read_value(struct reader *r);

static void skip_space(struct reader *r) {
  while (r->at < r->end &&
         (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
    r->at++;
}

/* Skips space and the byte `c` if it is next. */
static int skip(struct reader *r, char c) {
  skip_space(r);
  if (*r->at != c)
    return 0;
  r->at++;
  return 1;
}

/* --- numbers ------------------------------------------------------------- */

static int is_digit(char c) {
  return c >= '0' && c <= '9';
}

static int is_in_number(char c) {
  return is_digit(c) || c == '-' || c == '+' || c == '.' || c == 'e' ||
         c == 'E';
}

/* Makes an integer of the float at the top if it stands for one. */
static void restore_integer(lua_State *L) {
  lua_Number number = lua_tonumber(L, -1);
  if (!(fabs(number) <= EXACT_MAX) || floor(number) != number ||
      (number == 0 && signbit(number)))
    return;
  lua_pop(L, 1);
  lua_pushinteger(L, (lua_Integer)number);
}

/* Pushes a number as Lua reads it, with all its digits: as an integer that has
 * room, or as a float. Only to Lua -0 is an integer. */
static void push_number(lua_State *L, const char *text) {
  if (strcmp(text, "-0") == 0)
    lua_pushnumber(L, -0.0);
  else
    lua_stringtonumber(L, text);
  if (!lua_isinteger(L, -1))
    restore_integer(L);
}

static void read_any_number(struct reader *r, const char *first) {
  size_t size = (size_t)(r->at - first);
  char text[64];
  if (size < sizeof text) {
    memcpy(text, first, size);
    text[size] = '\0';
    push_number(r->L, text);
  } else {
    lua_pushlstring(r->L, first, size);
    push_number(r->L, lua_tostring(r->L, -1));
    lua_remove(r->L, -2);
  }
}

static void read_number(struct reader *r) {
  const char *first = r->at, *digits;
  lua_Integer number = 0;
  int negative = *r->at == '-';
  digits = r->at += negative;
  for (; r->at < r->end && is_digit(*r->at); r->at++)
    if (r->at - digits < SAFE_DIGITS)
      number = number * 10 + (*r->at - '0');
  if (r->at - digits <= SAFE_DIGITS && !(negative && number == 0) &&
      (r->at == r->end || !is_in_number(*r->at))) {
    lua_pushinteger(r->L, negative ? -number : number);
    return;
  }
  while (r->at < r->end && is_in_number(*r->at))
    r->at++;
  read_any_number(r, first);
}

/* --- strings ------------------------------------------------------------- */

static unsigned read_hex(struct reader *r) {
  unsigned value = 0;
  int i;
  for (i = 0; i < 4; i++) {
    char c = *r->at++;
    value =
        value << 4 | (unsigned)(is_digit(c) ? c - '0' : (c | ' ') - 'a' + 10);
  }
  return value;
}

static int is_half(unsigned code, unsigned first) {
  return code >= first && code < first + 0x400;
}

/* Reads a character behind "\u". A half of a surrogate pair without the other
 * one becomes U+FFFD: it is no character, and has no UTF-8. */
static unsigned read_character(struct reader *r) {
  unsigned code = read_hex(r), low;
  if (is_half(code, 0xd800) && r->at[0] == '\\' && r->at[1] == 'u') {
    const char *behind = r->at;
    r->at += 2;
    low = read_hex(r);
    if (is_half(low, 0xdc00))
      return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    r->at = behind;
  }
  return code >= 0xd800 && code < 0xe000 ? 0xfffd : code;
}

/* Writes a character as UTF-8 and returns the size. */
static size_t put_character(char *to, unsigned code) {
  size_t more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  size_t i;
  static const unsigned char marks[] = {0, 0xc0, 0xe0, 0xf0};
  for (i = more; i > 0; i--, code >>= 6)
    to[i] = (char)(0x80 | (code & 0x3f));
  to[0] = (char)(marks[more] | code);
  return more + 1;
}

/* Reads an escape at its backslash into `to`, and returns the size. */
static size_t read_escape(struct reader *r, char *to) {
  static const char names[] = "bfnrt", bytes[] = "\b\f\n\r\t";
  const char *name;
  r->at++;
  if (*r->at == 'u') {
    r->at++;
    return put_character(to, read_character(r));
  }
  name = strchr(names, *r->at);
  *to = name ? bytes[name - names] : *r->at;
  r->at++;
  return 1;
}

/* Pushes a string that has escapes; its first `plain` bytes have none. */
static void read_escaped(struct reader *r, size_t plain) {
  luaL_Buffer buffer;
  luaL_buffinit(r->L, &buffer);
  for (;;) {
    luaL_addlstring(&buffer, r->at, plain);
    r->at += plain;
    if (*r->at == '"')
      break;
    if (*r->at == '\\')
      luaL_addsize(&buffer, read_escape(r, luaL_prepbuffsize(&buffer, 4)));
    else
      luaL_addchar(&buffer, *r->at++); /* DEL, which is not special here */
    plain = lp__json_plain_length(r->at, (size_t)(r->end - r->at));
  }
  luaL_pushresult(&buffer);
}

/* Pushes the string whose quote is at hand. */
static void read_string(struct reader *r) {
  size_t plain;
  r->at++;
  plain = lp__json_plain_length(r->at, (size_t)(r->end - r->at));
  if (r->at[plain] == '"') {
    lua_pushlstring(r->L, r->at, plain);
    r->at += plain;
  } else {
    read_escaped(r, plain);
  }
  r->at++;
}

/* --- values -------------------------------------------------------------- */

static void read_array(struct reader *r) {
  lua_Integer i = 0;
  r->at++;
  lua_newtable(r->L);
  if (skip(r, ']')) {
    lp__json_mark_array(r->L);
    return;
  }
  do {
    read_value(r);
    lua_rawseti(r->L, -2, ++i);
  } while (skip(r, ','));
  skip(r, ']');
}

static void read_object(struct reader *r) {
  r->at++;
  lua_newtable(r->L);
  if (skip(r, '}'))
    return;
  do {
    skip_space(r);
    read_string(r);
    skip(r, ':');
    read_value(r);
    lua_rawset(r->L, -3);
  } while (skip(r, ','));
  skip(r, '}');
}

static void read_word(struct reader *r) {
  if (*r->at == 'n')
    lua_pushlightuserdata(r->L, NULL);
  else
    lua_pushboolean(r->L, *r->at == 't');
  r->at += *r->at == 'f' ? 5 : 4;
}

/* Pushes the next value.  [-0, +1, m] */
static void read_value(struct reader *r) {
  luaL_checkstack(r->L, 4, NULL);
  skip_space(r);
  switch (*r->at) {
  case '"':
    read_string(r);
    return;
  case '[':
    read_array(r);
    return;
  case '{':
    read_object(r);
    return;
  case 'n':
  case 't':
  case 'f':
    read_word(r);
    return;
  default:
    read_number(r);
  }
}

/* Pushes the string that a text is from end to end, if it has nothing to
 * decode: such events may be large, and one look at them is enough.
 * [-0, +1, m], or +0 for another text, which returns 0 */
static int push_plain_string(lua_State *L, const char *text, size_t size) {
  if (size < 2 || text[0] != '"' || text[size - 1] != '"' ||
      lp__json_plain_length(text + 1, size - 2) != size - 2)
    return 0;
  lua_pushlstring(L, text + 1, size - 2);
  return 1;
}

void lp__json_decode(lua_State *L, const char *text, size_t size) {
  struct lp__json_problem problem;
  struct reader reader = {L, text, text + size};
  if (push_plain_string(L, text, size))
    return;
  if (lp__json_check(text, size, LP__JSON_ANY_BYTES, &problem) != LP_OK)
    luaL_error(L, "%s at byte %d", problem.message, (int)problem.offset + 1);
  read_value(&reader);
}
