/* Servers and requests for Lua, a part of the module "lambdapool.workers". */
#include "lib_loop.h"

#include <lauxlib.h>

int lp__lib_listen(lua_State *L) {
  lp__check_handle(L);
  luaL_pushfail(L);
  lua_pushliteral(L, "this build cannot listen");
  return 2;
}

int lp__lib_unlisten(lua_State *L) {
  lp__check_handle(L);
  return 0;
}

void lp__lib_close_servers(struct lp__handle *handle) {
  handle->servers = NULL;
}

void lp__lib_push_request(lua_State *L, struct lp__request *request) {
  struct lp__request **box = lua_newuserdatauv(L, sizeof(void *), 0);
  *box = request;
  luaL_setmetatable(L, LP__REQUEST);
}

void lp__lib_open_requests(lua_State *L) {
  luaL_newmetatable(L, LP__REQUEST);
  lua_pop(L, 1);
}
