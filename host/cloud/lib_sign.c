/*
 * The C part of the Lua module "lambdapool.aws.sigv4"; what it does and takes
 * stands in lua/lambdapool/aws/sigv4.lua, how it is read in lib_sign.h.
 *
 *   sign(request, credentials, options[, into]) -> headers
 *   presign(request, credentials, options) -> query
 */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "../own.h"
#include "lambdapool.h"
#include "lib_sign.h"

LP_API int luaopen_lambdapool_sign(lua_State *L);

#define SIGNER "lambdapool.aws.Signer"

struct box {
  struct lp__signer *signer;
};

/* Signs what has been read.  [-0, +0, e] */
static void calculate(lua_State *L, struct lp__sign_input *input,
                      struct lp__signed *result) {
  struct box *box = lua_touserdata(L, lua_upvalueindex(LP__SIGN_KEPT));
  if (!box->signer) /* in a finaliser, when the state ends */
    luaL_error(L, "the module is closed");
  int status = (input->presigned ? lp__sign_query : lp__sign_headers)(
      box->signer, &input->request, &input->how, result);
  if (status < 0)
    luaL_error(L, "not enough memory");
  if (input->is_map && result->repeated.at) {
    lua_pushlstring(L, result->repeated.at, result->repeated.size);
    luaL_error(L, "cannot sign: the header '%s' is there twice",
               lua_tostring(L, -1));
  }
}

/* Sets a field of the table on top.  [-0, +0, m] */
static void set_text(lua_State *L, int key, struct lp__span text) {
  lua_pushvalue(L, lua_upvalueindex(key));
  lua_pushlstring(L, text.at, text.size);
  lua_rawset(L, -3);
}

/* The table for the result: that which was given, or a new one.  [-0, +1, m] */
static void push_result(lua_State *L) {
  luaL_checkstack(L, 5, NULL);
  if (lua_isnil(L, LP__SIGN_INTO))
    lua_createtable(L, 0, 4);
  else
    lua_pushvalue(L, LP__SIGN_INTO);
}

/* Strings are made one by one, and each may run a finaliser that signs: what
 * the signer still holds is copied first. */
static int sigv4_sign(lua_State *L) {
  struct lp__sign_input input;
  struct lp__signed result;
  char timestamp[16], digest[LP__SHA256_HEX];
  luaL_argexpected(
      L, lua_isnoneornil(L, LP__SIGN_INTO) || lua_istable(L, LP__SIGN_INTO),
      LP__SIGN_INTO, "table");
  lp__sign_read(L, &input, false);
  push_result(L);
  calculate(L, &input, &result);
  memcpy(timestamp, result.timestamp, sizeof timestamp);
  if (!input.how.payload.at) {
    memcpy(digest, result.payload.at, sizeof digest);
    result.payload.at = digest;
  }
  set_text(L, LP__SIGN_AUTHORIZATION, result.text);
  if (!(input.own & LP__SIGN_OWN_DATE))
    set_text(L, LP__SIGN_AMZ_DATE,
             (struct lp__span){timestamp, sizeof timestamp});
  if (!input.how.hide_payload && !(input.own & LP__SIGN_OWN_CONTENT))
    set_text(L, LP__SIGN_AMZ_CONTENT, result.payload);
  if (input.how.token.at && !(input.own & LP__SIGN_OWN_TOKEN))
    set_text(L, LP__SIGN_AMZ_TOKEN, input.how.token);
  return 1;
}

static int sigv4_presign(lua_State *L) {
  struct lp__sign_input input;
  struct lp__signed result;
  lp__sign_read(L, &input, true);
  calculate(L, &input, &result);
  lua_pushlstring(L, result.text.at, result.text.size);
  return 1;
}

/* --- the module ---------------------------------------------------------- */

static int box_gc(lua_State *L) {
  struct box *box = lp__own_check(L, 1, SIGNER);
  lp__signer_free(box->signer);
  box->signer = NULL;
  return 0;
}

static void push_box(lua_State *L) {
  struct box *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->signer = NULL;
  lp__own_metatable(L, SIGNER);
  lua_pushcfunction(L, box_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  box->signer = lp__signer_new();
  if (!box->signer)
    luaL_error(L, "not enough memory");
}

static const luaL_Reg functions[] = {
    {"sign", sigv4_sign},
    {"presign", sigv4_presign},
    {NULL, NULL},
};

int luaopen_lambdapool_sign(lua_State *L) {
  luaL_newlibtable(L, functions);
  push_box(L);
  for (int key = LP__SIGN_METHOD; key <= LP__SIGN_UPVALUES; key++)
    lua_pushstring(L, lp__sign_keys[key]);
  luaL_setfuncs(L, functions, LP__SIGN_UPVALUES);
  return 1;
}
