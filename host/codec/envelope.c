/* The JSON around a call.  See envelope.h. */
#define _GNU_SOURCE /* memmem */

#include "envelope.h"

#include <lauxlib.h>
#include <string.h>

#include "../lambdapool.h"
#include "call.h"

static int has_prefix(const char *event, size_t size) {
  size_t prefix = sizeof LP__CALL_PREFIX - 1,
         suffix = sizeof LP__CALL_SUFFIX - 1;
  return size >= prefix + suffix &&
         memcmp(event, LP__CALL_PREFIX, prefix) == 0 &&
         memcmp(event + size - suffix, LP__CALL_SUFFIX, suffix) == 0;
}

/* Whether the object's first key is one of the two, and the other follows. */
int lp__call_is_envelope(const char *event, size_t size) {
  const char *at = event, *end = event + size;
  if (has_prefix(event, size))
    return 1;
  while (at < end && strchr(" \t\r\n{", *at) && *at)
    at++;
  if (at == event || at == end)
    return 0;
  if ((size_t)(end - at) > 12 && memcmp(at, "\"lambdapool\"", 12) == 0) {
    return memmem(at, (size_t)(end - at), "\"call\"", 6) != NULL;
  }
  return (size_t)(end - at) > 6 && memcmp(at, "\"call\"", 6) == 0 &&
         memmem(at, (size_t)(end - at), "\"lambdapool\"", 12) != NULL;
}

/* What stands behind the key "lambdapool", which is the first one in what our
 * clients send. */
int lp__call_version(const char *event, size_t size) {
  static const char key[] = "\"lambdapool\"";
  const char *end = event + size;
  const char *at = memmem(event, size, key, sizeof key - 1);
  int version = 0;
  if (at == NULL)
    return 0;
  for (at += sizeof key - 1; at < end && strchr(" \t\r\n:", *at) && *at;)
    at++;
  for (; at < end && *at >= '0' && *at <= '9' && version < 100000; at++)
    version = 10 * version + (*at - '0');
  return version;
}

/* Raises for a call of another version than ours. */
static void check_version(lua_State *L, const char *event, size_t size) {
  int version = lp__call_version(event, size);
  if (version == LP__CALL_VERSION)
    return;
  luaL_error(L,
             "the agent is %s than the client: it is lambdapool " LP_VERSION
             " and understands calls of version %d, not %d",
             version > LP__CALL_VERSION ? "older" : "newer", LP__CALL_VERSION,
             version);
}

struct lp__bytes lp__envelope_text(lua_State *L, const char *event,
                                   size_t size) {
  struct lp__bytes text;
  check_version(L, event, size);
  if (has_prefix(event, size)) {
    text.at = (const unsigned char *)event + sizeof LP__CALL_PREFIX - 1;
    text.end =
        (const unsigned char *)event + size - (sizeof LP__CALL_SUFFIX - 1);
    lua_pushnil(L);
    return text;
  }
  lua_getglobal(L, "require");
  lua_pushliteral(L, "cjson");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "decode");
  lua_pushlstring(L, event, size);
  lua_call(L, 1, 1); /* cjson envelope */
  lua_getfield(L, -1, "call");
  if (lua_type(L, -1) != LUA_TSTRING)
    luaL_error(L, "the call is no string");
  text.at = (const unsigned char *)lua_tolstring(L, -1, &size);
  text.end = text.at + size;
  return text;
}
