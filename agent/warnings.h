/*
 * Lua's warnings, on stderr, as luaL_newstate has them: "Lua warning: " and the
 * text, and off until somebody says warn("@on").
 */
#ifndef LP__AGENT_WARNINGS_H
#define LP__AGENT_WARNINGS_H

#include <lua.h>
#include <stdbool.h>

struct lp__stderr_warnings {
  bool on;
  bool goes_on; /* the next text belongs to the same warning */
};

/* Has warnings of `L` written. `warnings` is borrowed until L is closed. */
void lp__stderr_warnings_install(lua_State *L,
                                 struct lp__stderr_warnings *warnings);

#endif
