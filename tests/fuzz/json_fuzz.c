/*
 * Any bytes as JSON: the checker never reads beyond them and tells one line,
 * and what it lets pass the reader takes, too, and the writer writes again as
 * JSON.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/json.h"
#include "host/json_check.h"
#include "host/lambdapool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_and_write(lua_State *L) {
  struct lp__buffer out = {NULL, 0, 0, 1};
  struct lp__json_problem problem;
  const char *text = lua_touserdata(L, 1);
  size_t size = (size_t)lua_tointeger(L, 2);
  lua_settop(L, 0);
  lua_pushnil(L);
  lp__json_decode(L, text, size);
  lp__json_encode_sorted(L, 2, &out);
  if (lp__json_check((const char *)out.bytes, out.size, LP__JSON_UTF8,
                     &problem) != LP_OK)
    abort();
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L;
  struct lp__json_problem problem;
  char *text = malloc(size); /* of its very size, so that the sanitizer sees */
  if (L == NULL) {
    L = luaL_newstate();
    luaL_openlibs(L);
  }
  if (size > 0)
    memcpy(text, data, size);
  memset(&problem, 0, sizeof problem);
  if (lp__json_check(text, size, LP__JSON_UTF8, &problem) != LP_OK) {
    if (problem.offset > size || problem.message[0] == '\0' ||
        strchr(problem.message, '\n'))
      abort();
  } else {
    lua_pushcfunction(L, read_and_write);
    lua_pushlightuserdata(L, text);
    lua_pushinteger(L, (lua_Integer)size);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK &&
        !strstr(lua_tostring(L, -1), "no infinity")) /* 1e999 */
      abort();
    lua_settop(L, 0);
  }
  free(text);
  return 0;
}
