/* Lua as libraries beside the program have it: see port.h. */
#ifndef LP_LUA_PORT_H
#define LP_LUA_PORT_H

#include <lauxlib.h>
#include <lua.h>

/* Every function that is passed. A new one stands here and below. */
/* clang-format off */
#define LP__LUA_PORT(F)                                                        \
  F(lua_absindex) F(lua_callk) F(lua_checkstack) F(lua_compare) F(lua_concat)  \
  F(lua_copy) F(lua_createtable) F(lua_error) F(lua_gc) F(lua_getfield)        \
  F(lua_getglobal) F(lua_getiuservalue) F(lua_getmetatable) F(lua_gettable)    \
  F(lua_gettop) F(lua_iscfunction) F(lua_isinteger) F(lua_isnumber)            \
  F(lua_isstring) F(lua_isuserdata) F(lua_len) F(lua_newuserdatauv)            \
  F(lua_next) F(lua_pcallk) F(lua_pushboolean) F(lua_pushcclosure)             \
  F(lua_pushfstring) F(lua_pushinteger) F(lua_pushlightuserdata)               \
  F(lua_pushlstring) F(lua_pushnil) F(lua_pushnumber) F(lua_pushstring)        \
  F(lua_pushthread) F(lua_pushvalue) F(lua_rawequal) F(lua_rawget)             \
  F(lua_rawgeti) F(lua_rawgetp) F(lua_rawlen) F(lua_rawset) F(lua_rawseti)     \
  F(lua_rawsetp) F(lua_rotate) F(lua_setfield) F(lua_setglobal)                \
  F(lua_setiuservalue) F(lua_setmetatable) F(lua_settable) F(lua_settop)       \
  F(lua_stringtonumber) F(lua_toboolean) F(lua_toclose) F(lua_tointegerx)      \
  F(lua_tolstring) F(lua_tonumberx) F(lua_topointer) F(lua_touserdata)         \
  F(lua_type) F(lua_typename) F(luaL_addlstring) F(luaL_addstring)             \
  F(luaL_addvalue) F(luaL_argerror) F(luaL_buffinit) F(luaL_buffinitsize)      \
  F(luaL_checkany) F(luaL_checkinteger) F(luaL_checklstring)                   \
  F(luaL_checknumber) F(luaL_checkoption) F(luaL_checkstack)                   \
  F(luaL_checktype) F(luaL_checkudata) F(luaL_checkversion_) F(luaL_error)     \
  F(luaL_fileresult) F(luaL_getmetafield) F(luaL_getsubtable) F(luaL_gsub)     \
  F(luaL_len) F(luaL_newmetatable) F(luaL_optinteger) F(luaL_optlstring)       \
  F(luaL_optnumber) F(luaL_prepbuffsize) F(luaL_pushresult)                    \
  F(luaL_pushresultsize) F(luaL_ref) F(luaL_requiref) F(luaL_setfuncs)         \
  F(luaL_setmetatable) F(luaL_testudata) F(luaL_tolstring) F(luaL_traceback)   \
  F(luaL_typeerror) F(luaL_unref)
/* clang-format on */

#define LP__POINTER(name) __typeof__(name) *name;
struct lp__lua_port {
  LP__LUA_PORT(LP__POINTER)
};
#undef LP__POINTER

#ifdef LP__PART
extern const struct lp__lua_port *lp__lua; /* part.c */

#define lua_absindex          lp__lua->lua_absindex
#define lua_callk             lp__lua->lua_callk
#define lua_checkstack        lp__lua->lua_checkstack
#define lua_compare           lp__lua->lua_compare
#define lua_concat            lp__lua->lua_concat
#define lua_copy              lp__lua->lua_copy
#define lua_createtable       lp__lua->lua_createtable
#define lua_error             lp__lua->lua_error
#define lua_gc                lp__lua->lua_gc
#define lua_getfield          lp__lua->lua_getfield
#define lua_getglobal         lp__lua->lua_getglobal
#define lua_getiuservalue     lp__lua->lua_getiuservalue
#define lua_getmetatable      lp__lua->lua_getmetatable
#define lua_gettable          lp__lua->lua_gettable
#define lua_gettop            lp__lua->lua_gettop
#define lua_iscfunction       lp__lua->lua_iscfunction
#define lua_isinteger         lp__lua->lua_isinteger
#define lua_isnumber          lp__lua->lua_isnumber
#define lua_isstring          lp__lua->lua_isstring
#define lua_isuserdata        lp__lua->lua_isuserdata
#define lua_len               lp__lua->lua_len
#define lua_newuserdatauv     lp__lua->lua_newuserdatauv
#define lua_next              lp__lua->lua_next
#define lua_pcallk            lp__lua->lua_pcallk
#define lua_pushboolean       lp__lua->lua_pushboolean
#define lua_pushcclosure      lp__lua->lua_pushcclosure
#define lua_pushfstring       lp__lua->lua_pushfstring
#define lua_pushinteger       lp__lua->lua_pushinteger
#define lua_pushlightuserdata lp__lua->lua_pushlightuserdata
#define lua_pushlstring       lp__lua->lua_pushlstring
#define lua_pushnil           lp__lua->lua_pushnil
#define lua_pushnumber        lp__lua->lua_pushnumber
#define lua_pushstring        lp__lua->lua_pushstring
#define lua_pushthread        lp__lua->lua_pushthread
#define lua_pushvalue         lp__lua->lua_pushvalue
#define lua_rawequal          lp__lua->lua_rawequal
#define lua_rawget            lp__lua->lua_rawget
#define lua_rawgeti           lp__lua->lua_rawgeti
#define lua_rawgetp           lp__lua->lua_rawgetp
#define lua_rawlen            lp__lua->lua_rawlen
#define lua_rawset            lp__lua->lua_rawset
#define lua_rawseti           lp__lua->lua_rawseti
#define lua_rawsetp           lp__lua->lua_rawsetp
#define lua_rotate            lp__lua->lua_rotate
#define lua_setfield          lp__lua->lua_setfield
#define lua_setglobal         lp__lua->lua_setglobal
#define lua_setiuservalue     lp__lua->lua_setiuservalue
#define lua_setmetatable      lp__lua->lua_setmetatable
#define lua_settable          lp__lua->lua_settable
#define lua_settop            lp__lua->lua_settop
#define lua_stringtonumber    lp__lua->lua_stringtonumber
#define lua_toboolean         lp__lua->lua_toboolean
#define lua_toclose           lp__lua->lua_toclose
#define lua_tointegerx        lp__lua->lua_tointegerx
#define lua_tolstring         lp__lua->lua_tolstring
#define lua_tonumberx         lp__lua->lua_tonumberx
#define lua_topointer         lp__lua->lua_topointer
#define lua_touserdata        lp__lua->lua_touserdata
#define lua_type              lp__lua->lua_type
#define lua_typename          lp__lua->lua_typename
#define luaL_addlstring       lp__lua->luaL_addlstring
#define luaL_addstring        lp__lua->luaL_addstring
#define luaL_addvalue         lp__lua->luaL_addvalue
#define luaL_argerror         lp__lua->luaL_argerror
#define luaL_buffinit         lp__lua->luaL_buffinit
#define luaL_buffinitsize     lp__lua->luaL_buffinitsize
#define luaL_checkany         lp__lua->luaL_checkany
#define luaL_checkinteger     lp__lua->luaL_checkinteger
#define luaL_checklstring     lp__lua->luaL_checklstring
#define luaL_checknumber      lp__lua->luaL_checknumber
#define luaL_checkoption      lp__lua->luaL_checkoption
#define luaL_checkstack       lp__lua->luaL_checkstack
#define luaL_checktype        lp__lua->luaL_checktype
#define luaL_checkudata       lp__lua->luaL_checkudata
#define luaL_checkversion_    lp__lua->luaL_checkversion_
#define luaL_error            lp__lua->luaL_error
#define luaL_fileresult       lp__lua->luaL_fileresult
#define luaL_getmetafield     lp__lua->luaL_getmetafield
#define luaL_getsubtable      lp__lua->luaL_getsubtable
#define luaL_gsub             lp__lua->luaL_gsub
#define luaL_len              lp__lua->luaL_len
#define luaL_newmetatable     lp__lua->luaL_newmetatable
#define luaL_optinteger       lp__lua->luaL_optinteger
#define luaL_optlstring       lp__lua->luaL_optlstring
#define luaL_optnumber        lp__lua->luaL_optnumber
#define luaL_prepbuffsize     lp__lua->luaL_prepbuffsize
#define luaL_pushresult       lp__lua->luaL_pushresult
#define luaL_pushresultsize   lp__lua->luaL_pushresultsize
#define luaL_ref              lp__lua->luaL_ref
#define luaL_requiref         lp__lua->luaL_requiref
#define luaL_setfuncs         lp__lua->luaL_setfuncs
#define luaL_setmetatable     lp__lua->luaL_setmetatable
#define luaL_testudata        lp__lua->luaL_testudata
#define luaL_tolstring        lp__lua->luaL_tolstring
#define luaL_traceback        lp__lua->luaL_traceback
#define luaL_typeerror        lp__lua->luaL_typeerror
#define luaL_unref            lp__lua->luaL_unref
#endif

#endif
