/* What is printed and what Lua warns of. See struct lp_config. */
#include <lauxlib.h>

#include <stdio.h>
#include <string.h>

#include "host.h"

/* Gives one line to the user. It has a zero, or the end of a line, behind it.
 */
static void give_line(lp_host *host, lua_State *L, enum lp_log_level level,
                      const char *line, size_t size) {
  struct lp__callback callback;
  lp__callback_begin(host, &callback, L);
  host->log(host->log_data, level, line, size);
  lp__callback_end(host, &callback);
}

void lp__log(lp_host *host, lua_State *L, enum lp_log_level level,
             const char *text, size_t size) {
  if (host->log == NULL)
    return;
  give_line(host, L, level, text, size);
}

/* print(...): what it would write, line by line. */
static int print(lua_State *L) {
  lp_host *host = lua_touserdata(L, lua_upvalueindex(1));
  int count = lua_gettop(L);
  if (host->commanding || host->log == NULL) {
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, count, 0);
    return 0;
  }
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  for (int i = 1; i <= count; i++) {
    if (i > 1)
      luaL_addchar(&text, '\t');
    luaL_tolstring(L, i, NULL);
    luaL_addvalue(&text);
  }
  luaL_pushresult(&text);
  size_t size;
  const char *bytes = lua_tolstring(L, -1, &size);
  lp__log(host, L, LP_LOG_PRINT, bytes, size);
  return 0;
}

/* Lua's warnings, as luaL_newstate has them: off until the script says "@on".
 */
static void warn(void *user, const char *message, int goes_on) {
  lp_host *host = user;
  bool is_first = !host->warned;
  host->warned = goes_on;
  if (is_first && !goes_on && *message == '@') {
    if (strcmp(message, "@on") == 0)
      host->warns = true;
    else if (strcmp(message, "@off") == 0)
      host->warns = false;
  } else if (host->warns && host->commanding) {
    fprintf(stderr, "%s%s%s", is_first ? "Lua warning: " : "", message,
            goes_on ? "" : "\n");
  }
}

void lp__log_install(lua_State *L, lp_host *host) {
  lua_setwarnf(L, warn, host);
  lua_pushlightuserdata(L, host);
  lua_getglobal(L, "print");
  lua_pushcclosure(L, print, 2);
  lua_setglobal(L, "print");
}
