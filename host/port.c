/* What libraries beside the program are given. See port.h. */
#include "port.h"

#include "lua_port.h"
#include "uv_port.h"

#define POINTER(name) .name = name,
static const struct lp__lua_port lua = {LP__LUA_PORT(POINTER)};
static const struct lp__uv_port uv = {LP__UV_PORT(POINTER)};

const struct lp__port lp__port = {LP_VERSION, sizeof lua, sizeof uv, &lua, &uv};
