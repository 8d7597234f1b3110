#define _GNU_SOURCE /* gmtime_r */
#include "lib_sign.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "../own.h"

#define MOST_SECONDS 253402300799 /* the end of the year 9999 */
#define WEEK         604800

/* --- times ---------------------------------------------------------------- */

/* The 16 characters of a text that may have "-" and ":". False when it is not
 * of that form. */
static bool compact(struct lp__span text, char out[16]) {
  static const char form[] = "0000-00-00T00:00:00Z";
  if (text.size != sizeof form - 1)
    return false;
  for (size_t i = 0; i < text.size; i++) {
    if (form[i] != '-' && form[i] != ':')
      *out++ = text.at[i];
    else if (text.at[i] != form[i])
      return false;
  }
  return true;
}

bool lp__sign_time(struct lp__span text, int64_t *seconds) {
  char compacted[16];
  struct tm utc;
  if (compact(text, compacted))
    text = (struct lp__span){compacted, sizeof compacted};
  if (!lp__sigv4_time(text, seconds))
    return false;
  time_t time = (time_t)*seconds;
  gmtime_r(&time, &utc);
  int day = (text.at[6] - '0') * 10 + text.at[7] - '0';
  int second = (text.at[13] - '0') * 10 + text.at[14] - '0';
  return utc.tm_mday == day && utc.tm_sec == second;
}

/* --- options -------------------------------------------------------------- */

static struct lp__span name_value(lua_State *L, const char *name) {
  struct lp__span text = lp__sign_text(L, "options", name);
  if (!lp__sign_is_clean(text) || memchr(text.at, '/', text.size))
    luaL_error(L, "cannot sign: options.%s is not the name of one: '%s'", name,
               text.at);
  return text;
}

static int64_t time_value(lua_State *L) {
  struct lp__span text;
  int64_t result;
  if (lua_type(L, -1) == LUA_TSTRING) {
    text.at = lua_tolstring(L, -1, &text.size);
    if (lp__sign_time(text, &result))
      return result;
  }
  lua_Number seconds = lua_tonumber(L, -1);
  if (lua_type(L, -1) != LUA_TNUMBER ||
      !(seconds >= 0 && seconds < MOST_SECONDS + 1.0))
    lp__sign_complain(L, "options.time must be seconds since 1970, or a text "
                         "like \"20150830T123600Z\"");
  return (int64_t)floor(seconds);
}

static int expires_value(lua_State *L, bool presigned) {
  lua_Integer seconds = lua_tointeger(L, -1);
  if (!presigned)
    lp__sign_complain(L, "options.expires is for presign(): a header holds for "
                         "five minutes");
  if (seconds < 1 || seconds > WEEK)
    lp__sign_complain(
        L, "options.expires must be seconds from 1 to 604800, a week");
  return (int)seconds;
}

static struct lp__span payload_value(lua_State *L) {
  struct lp__span text = lp__sign_text(L, "options", "payload");
  if (!lp__sign_is_clean(text))
    lp__sign_complain(L,
                      "options.payload must be a hash, or what stands for it");
  return text;
}

static bool flag_value(lua_State *L, const char *name) {
  if (lua_type(L, -1) != LUA_TBOOLEAN)
    luaL_error(L, "cannot sign: options.%s must be true or false, not %s", name,
               luaL_typename(L, -1));
  return lua_toboolean(L, -1);
}

#define NAME(text)                                                             \
  { text, sizeof text - 1 }
static const struct lp__span names[] = {
    NAME("region"),        NAME("service"),   NAME("time"),
    NAME("expires"),       NAME("payload"),   NAME("normalize"),
    NAME("double_encode"), NAME("sign_body"), NAME("omit_session_token")};
#undef NAME

/* Their places in `names`. */
enum {
  REGION,
  SERVICE,
  TIME,
  EXPIRES,
  PAYLOAD,
  NORMALIZE,
  DOUBLE_ENCODE,
  SIGN_BODY,
  OMIT_SESSION_TOKEN,
  NAMES
};

static int find_name(struct lp__span name) {
  int i = 0;
  while (i < NAMES && (name.size != names[i].size ||
                       memcmp(name.at, names[i].at, name.size) != 0))
    i++;
  return i;
}

/* Raises an error that has the nearest of the names. */
static int unknown_option(lua_State *L, const char *name) {
  lp__own_require(L, "lambdapool.suggest");
  lua_getfield(L, -1, "hint");
  lua_pushstring(L, name);
  lua_createtable(L, NAMES, 0);
  for (int i = 0; i < NAMES; i++) {
    lua_pushstring(L, names[i].at);
    lua_rawseti(L, -2, i + 1);
  }
  lua_call(L, 2, 1);
  return luaL_error(L, "cannot sign: unknown option '%s'%s", name,
                    lua_tostring(L, -1));
}

/* The place in `names` of the name below the top.  [-0, +0, e] */
static int read_name(lua_State *L) {
  struct lp__span text;
  int name = NAMES;
  if (lua_type(L, -2) == LUA_TSTRING) {
    text.at = lua_tolstring(L, -2, &text.size);
    name = find_name(text);
  }
  if (name == NAMES)
    unknown_option(L, luaL_tolstring(L, -2, NULL));
  return name;
}

/* Takes the option on top.  [-0, +0, e] */
static void take_option(lua_State *L, int name, struct lp__sign_input *input) {
  struct lp__signing *how = &input->how;
  switch (name) {
  case REGION:
    how->region = name_value(L, "region");
    break;
  case SERVICE:
    how->service = name_value(L, "service");
    break;
  case TIME:
    how->time = time_value(L);
    break;
  case EXPIRES:
    how->expires = expires_value(L, input->presigned);
    break;
  case PAYLOAD:
    how->payload = payload_value(L);
    break;
  case NORMALIZE:
    how->with_dots = !flag_value(L, "normalize");
    break;
  case DOUBLE_ENCODE:
    how->path_as_is = !flag_value(L, "double_encode");
    break;
  case SIGN_BODY:
    how->hide_payload = !flag_value(L, "sign_body");
    break;
  case OMIT_SESSION_TOKEN:
    how->hide_token = flag_value(L, "omit_session_token");
    break;
  }
}

bool lp__sign_is_s3(struct lp__span service) {
  if (service.size < 2 || memcmp(service.at, "s3", 2) != 0)
    return false;
  return service.size == 2 || lp__span_is(service, "s3express") ||
         lp__span_is(service, "s3-outposts") ||
         lp__span_is(service, "s3-object-lambda");
}

/* What depends on the service, and was not given. */
static void set_defaults(struct lp__signing *how, unsigned given) {
  bool is_s3 = lp__sign_is_s3(how->service);
  if (!(given & 1u << NORMALIZE))
    how->with_dots = is_s3;
  if (!(given & 1u << DOUBLE_ENCODE))
    how->path_as_is = is_s3;
  if (!(given & 1u << SIGN_BODY))
    how->hide_payload = !is_s3;
}

/* The strings that the table holds stay in it: no metamethods here. */
void lp__sign_read_options(lua_State *L, struct lp__sign_input *input) {
  struct lp__signing *how = &input->how;
  unsigned given = 0;
  luaL_argexpected(L, lua_istable(L, LP__SIGN_OPTIONS), LP__SIGN_OPTIONS,
                   "table");
  *how = (struct lp__signing){.time = -1, .expires = 900};
  lua_pushnil(L);
  while (lua_next(L, LP__SIGN_OPTIONS)) { /* name value */
    int name = read_name(L);
    given |= 1u << name;
    take_option(L, name, input);
    lua_pop(L, 1);
  }
  if (!how->region.at)
    lp__sign_complain(
        L, "options.region is missing\n  say which, like \"us-east-1\"");
  if (!how->service.at)
    lp__sign_complain(
        L, "options.service is missing\n  say which, like \"lambda\"");
  set_defaults(how, given);
}

/* --- credentials ---------------------------------------------------------- */

/* A text of the credentials, which stays on the stack, under the first of its
 * three names that they have. .at is NULL when there is none. Never said in a
 * message.  [-0, +1, e] */
static struct lp__span credential(lua_State *L, int key) {
  int last = key + 2;
  while (lp__sign_get(L, LP__SIGN_CREDENTIALS, key) == LUA_TNIL) {
    if (key == last)
      return (struct lp__span){NULL, 0};
    lua_pop(L, 1);
    key++;
  }
  struct lp__span text = lp__sign_text(L, "credentials", lp__sign_keys[key]);
  if (!lp__sign_is_clean(text))
    luaL_error(L,
               "cannot sign: credentials.%s is empty or has a space or another "
               "character that no key has",
               lp__sign_keys[key]);
  return text;
}

/* [-0, +3, e] */
void lp__sign_read_credentials(lua_State *L, struct lp__signing *how) {
  luaL_argexpected(L, lua_istable(L, LP__SIGN_CREDENTIALS),
                   LP__SIGN_CREDENTIALS, "table");
  how->access_key = credential(L, LP__SIGN_ACCESS_KEY);
  if (!how->access_key.at)
    lp__sign_complain(L, "credentials.access_key is missing");
  how->secret = credential(L, LP__SIGN_SECRET_KEY);
  if (!how->secret.at)
    lp__sign_complain(L, "credentials.secret_key is missing");
  how->token = credential(L, LP__SIGN_TOKEN);
}
