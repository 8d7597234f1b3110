/* Results that are lent.  See lend.h, and wire.h for the format. */
#include "lend.h"

#include <lauxlib.h>

#include "wire.h"

/* A shorter string is copied in less time than an object is made for it, and
 * would keep a whole block from being freed. */
enum { LENT_FROM = 512 };

/* More values in one body are rare, and nothing that this is for. */
enum { MOST_VALUES = 100 };

/* A simple value: its tag, and what stands behind it. */
struct value {
  int tag;
  struct lp__bytes content;
};

/* Takes `size` bytes at `at`; returns what is behind them, or NULL. */
static const unsigned char *take(struct value *value, const unsigned char *at,
                                 const unsigned char *end, uint64_t size) {
  if (size > (uint64_t)(end - at))
    return NULL;
  value->content.at = at;
  value->content.end = at + size;
  return at + size;
}

/* Reads a simple value at `at`; returns what is behind it, or NULL.  Strings
 * may be marked as what a REF means: there is none in a simple body. */
static const unsigned char *read_value(struct value *value,
                                       const unsigned char *at,
                                       const unsigned char *end) {
  uint64_t size;
  if (at == end)
    return NULL;
  value->tag = *at++;
  if (value->tag >= LP__SMALL_INT)
    return take(value, at, end, 0);
  if (value->tag >= LP__SHORT_STRING)
    return take(value, at, end, value->tag & LP__SHORT_STRING_MAX);
  switch (value->tag) {
  case LP__NIL:
  case LP__FALSE:
  case LP__TRUE:
    return take(value, at, end, 0);
  case LP__INT: {
    const unsigned char *next = lp__get_varint(at, end, &size);
    return next ? take(value, at, end, (uint64_t)(next - at)) : NULL;
  }
  case LP__FLOAT:
    return take(value, at, end, 8);
  case LP__STRING:
  case LP__STRING | LP__KEPT:
    at = lp__get_varint(at, end, &size);
    return at ? take(value, at, end, size) : NULL;
  default:
    return NULL;
  }
}

/* How many values a simple body has; -1 when it is none.  *first is where they
 * begin. */
static int count_values(struct lp__bytes body, const unsigned char **first) {
  const unsigned char *at;
  struct value value;
  uint64_t n, i;
  at = *first = lp__get_varint(body.at, body.end, &n);
  if (at == NULL || n > MOST_VALUES)
    return -1;
  for (i = 0; i < n && at; i++)
    at = read_value(&value, at, body.end);
  return at && at + 1 == body.end && *at == LP__END ? (int)n : -1;
}

static void push_string(lua_State *L, struct lp__bytes string,
                        const struct lp__lent *lent) {
  size_t size = (size_t)(string.end - string.at);
  if (size < LENT_FROM) {
    lua_pushlstring(L, (const char *)string.at, size);
  } else {
    ptrdiff_t position = (const char *)string.at - lent->bytes;
    lp__lent_push(L, lent->block, lent->bytes + position, size);
  }
}

static void push_value(lua_State *L, const struct value *value,
                       const struct lp__lent *lent) {
  uint64_t v = 0;
  if (value->tag >= LP__SMALL_INT) {
    lua_pushinteger(L, value->tag - LP__SMALL_INT);
    return;
  }
  switch (value->tag) {
  case LP__NIL:
    lua_pushnil(L);
    break;
  case LP__FALSE:
  case LP__TRUE:
    lua_pushboolean(L, value->tag == LP__TRUE);
    break;
  case LP__INT:
    lp__get_varint(value->content.at, value->content.end, &v);
    lua_pushinteger(L, lp__unzigzag(v));
    break;
  case LP__FLOAT:
    lua_pushnumber(L, lp__get_double(value->content.at));
    break;
  default:
    push_string(L, value->content, lent);
  }
}

/* Behind each string stands another value, or END: all of them have been
 * read. */
static void terminate(lua_State *L, int first, int n) {
  int i;
  for (i = first; i < first + n; i++) {
    struct lp__lent *lent = lp__lent_test(L, i);
    if (lent)
      lent->bytes[lent->size] = '\0';
  }
}

int lp__lend_body(lua_State *L, struct lp__bytes body,
                  const struct lp__lent *lent) {
  const unsigned char *at;
  int first = lua_gettop(L) + 1, n = count_values(body, &at), i;
  if (n < 0)
    return -1;
  luaL_checkstack(L, n + 10, "too many results");
  for (i = 0; i < n; i++) {
    struct value value;
    at = read_value(&value, at, body.end);
    push_value(L, &value, lent);
  }
  terminate(L, first, n);
  return n;
}
