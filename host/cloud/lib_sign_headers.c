#include "lib_sign.h"

#include <lauxlib.h>
#include <string.h>
#include <strings.h>

struct reader {
  struct lp__sign_input *input;
  size_t count;
  bool has_host;
  unsigned left; /* as `own`: which of these an earlier signing has left */
};

/* --- what signing adds ---------------------------------------------------- */

static bool is_name(struct lp__span name, const char *text) {
  return strncasecmp(name.at, text, name.size) == 0;
}

/* Which of the fields that signing adds has this name; 0: none. */
static unsigned kind_of(struct lp__span name) {
  if (name.size == 10 && is_name(name, "x-amz-date"))
    return LP__SIGN_OWN_DATE;
  if (name.size != 20)
    return 0;
  if (is_name(name, "x-amz-content-sha256"))
    return LP__SIGN_OWN_CONTENT;
  return is_name(name, "x-amz-security-token") ? LP__SIGN_OWN_TOKEN : 0;
}

static bool is_lower(struct lp__span name) {
  for (size_t i = 0; i < name.size; i++) {
    if (name.at[i] >= 'A' && name.at[i] <= 'Z')
      return false;
  }
  return true;
}

static bool is_hash(struct lp__span text) {
  return text.size == LP__SHA256_HEX &&
         strspn(text.at, "0123456789abcdef") >= text.size;
}

static bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Without white space around it, as it is signed. */
static struct lp__span trim(struct lp__span text) {
  while (text.size > 0 && is_space(*text.at)) {
    text.at++;
    text.size--;
  }
  while (text.size > 0 && is_space(text.at[text.size - 1]))
    text.size--;
  return text;
}

static bool is_equal(struct lp__span a, struct lp__span b) {
  return a.size == b.size && memcmp(a.at, b.at, a.size) == 0;
}

static void take_date(lua_State *L, struct lp__signing *how,
                      struct lp__span value) {
  int64_t seconds = 0;
  if (value.size != 16 || !lp__sign_time(value, &seconds))
    lp__sign_complain(L, "the header 'X-Amz-Date' is no time like "
                         "20150830T123600Z");
  if (how->time >= 0 && how->time != seconds)
    lp__sign_complain(L, "the header 'X-Amz-Date' has another time than "
                         "options.time\n  leave one of them out");
  how->time = seconds;
}

static void take_content(lua_State *L, struct lp__signing *how,
                         struct lp__span value) {
  if (!lp__sign_is_clean(value))
    lp__sign_complain(L, "the header 'X-Amz-Content-Sha256' is no hash, nor "
                         "what stands for it");
  if (how->payload.at && !is_equal(how->payload, value))
    lp__sign_complain(L, "the header 'X-Amz-Content-Sha256' is another than "
                         "options.payload\n  leave one of them out");
  how->payload = value;
  how->hide_payload = false;
}

/* What an earlier signing of the same table has added has a name in lower case,
 * and is added again. A hash is not when this signing adds none: somebody has
 * put it there; nor is what stands for one. */
static bool is_left(const struct lp__signing *how, unsigned kind,
                    struct lp__span name, struct lp__span value) {
  if (!is_lower(name))
    return false;
  return kind != LP__SIGN_OWN_CONTENT ||
         (!how->hide_payload && (how->payload.at || is_hash(value)));
}

static void take_own(lua_State *L, struct lp__signing *how, unsigned kind,
                     struct lp__span value) {
  if (kind == LP__SIGN_OWN_DATE)
    take_date(L, how, value);
  else if (kind == LP__SIGN_OWN_CONTENT)
    take_content(L, how, value);
  else if (!is_equal(how->token, value))
    lp__sign_complain(L, "the header 'X-Amz-Security-Token' has another token "
                         "than the credentials\n  leave one of them out");
}

/* Takes a field of a kind; false: it is signed like any other. */
static bool take_kind(lua_State *L, struct reader *reader, unsigned kind,
                      struct lp__span name, struct lp__span value,
                      bool in_map) {
  struct lp__sign_input *input = reader->input;
  struct lp__signing *how = &input->how;
  value = trim(value);
  if (kind == LP__SIGN_OWN_TOKEN && !how->token.at)
    return false;
  if (input->presigned) {
    if (kind == LP__SIGN_OWN_CONTENT)
      take_content(L, how, value);
    return false;
  }
  bool left = in_map && is_left(how, kind, name, value);
  if (((left ? 0 : reader->left) | input->own) & kind)
    luaL_error(L, "cannot sign: the header '%s' is there twice", name.at);
  if (left) {
    reader->left |= kind;
  } else {
    input->own |= kind;
    take_own(L, how, kind, value);
  }
  return true;
}

/* --- all fields ----------------------------------------------------------- */

/* `in_map` says that its name is a key of the headers. */
static void take_field(lua_State *L, struct reader *reader,
                       struct lp__span name, struct lp__span value,
                       bool in_map) {
  if (!lp__sign_is_token(name))
    luaL_error(L, "cannot sign: '%s' cannot be the name of a header", name.at);
  unsigned kind = kind_of(name);
  if (kind && take_kind(L, reader, kind, name, value, in_map))
    return;
  if (reader->count == LP__SIGN_MOST_FIELDS)
    luaL_error(L, "cannot sign: more than %d headers", LP__SIGN_MOST_FIELDS);
  if (name.size == 4 && is_name(name, "host"))
    reader->has_host = true;
  reader->input->fields[reader->count++] =
      (struct lp__field){name.at, value.at, name.size, value.size};
}

static void no_headers(lua_State *L) {
  lp__sign_complain(L, "request.headers must be { [name] = value } with texts, "
                       "or a list of { name, value }");
}

/* The text on top. The text of a number goes to the stack below `table`, where
 * it stays.  [-0, +0|1, e] */
static struct lp__span field_text(lua_State *L, int below) {
  struct lp__span text = {NULL, 0};
  int type = lua_type(L, -1);
  if (type == LUA_TNUMBER) {
    luaL_checkstack(L, 3, "too many headers");
    lua_pushvalue(L, -1);
    text.at = lua_tolstring(L, -1, &text.size);
    lua_insert(L, -1 - below);
  } else if (type == LUA_TSTRING) {
    text.at = lua_tolstring(L, -1, &text.size);
  } else {
    no_headers(L);
  }
  return text;
}

/* Takes the pair on top.  [-0, +0|1, e] */
static void take_pair(lua_State *L, struct reader *reader) {
  if (lua_type(L, -1) != LUA_TTABLE)
    no_headers(L);
  if (lua_rawgeti(L, -1, 1) != LUA_TSTRING)
    no_headers(L);
  struct lp__span name;
  name.at = lua_tolstring(L, -1, &name.size);
  lua_pop(L, 1); /* the pair keeps it */
  lua_rawgeti(L, -1, 2);
  struct lp__span value = field_text(L, 2); /* below the pair and itself */
  lua_pop(L, 1);
  take_field(L, reader, name, value, false);
}

static size_t read_list(lua_State *L, struct reader *reader, int table) {
  size_t size = lua_rawlen(L, table);
  for (size_t i = 1; i <= size; i++) {
    lua_rawgeti(L, table, (lua_Integer)i);
    take_pair(L, reader);
    lua_pop(L, 1);
  }
  return size;
}

/* What has names; numbers up to `size` have been read. */
static void read_map(lua_State *L, struct reader *reader, int table,
                     size_t size) {
  lua_pushnil(L);
  while (lua_next(L, table)) { /* name value */
    if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 &&
        (size_t)lua_tointeger(L, -2) <= size) {
      lua_pop(L, 1);
      continue;
    }
    if (lua_type(L, -2) != LUA_TSTRING)
      no_headers(L);
    struct lp__span name;
    name.at = lua_tolstring(L, -2, &name.size);
    struct lp__span value = field_text(L, 2); /* below both */
    take_field(L, reader, name, value, true);
    lua_pop(L, 1);
  }
}

void lp__sign_read_headers(lua_State *L, struct lp__sign_input *input) {
  struct reader reader = {.input = input};
  int type = lp__sign_get(L, LP__SIGN_REQUEST, LP__SIGN_HEADERS);
  int table = lua_gettop(L);
  size_t size = 0;
  input->own = 0;
  if (type == LUA_TTABLE) {
    size = read_list(L, &reader, table);
    read_map(L, &reader, table, size);
  } else if (type != LUA_TNIL) {
    no_headers(L);
  }
  if (!reader.has_host)
    lp__sign_complain(
        L, "the request has no header 'host'\n"
           "  it must be signed as it is sent: with the port, unless that is "
           "the usual one");
  input->is_map = size == 0;
  input->request.fields = input->fields;
  input->request.field_count = reader.count;
}
