/*
 * What libraries of ours beside the program are given: cloud.so and
 * terminal.so name no function of Lua or libuv. The process that loads them may
 * have another Lua, LuaJIT for example, whose functions have the same names;
 * and memory that one libuv has allocated is for that libuv to free.
 *
 * So whoever loads them, the program, liblambdapool or the Lua module, passes
 * tables of pointers to the functions that it uses itself. In the files of such
 * a library the usual names stand for them, by lua_port.h, which the Makefile
 * puts before the first line of lib_*.c, and by uv_port.h.
 */
#ifndef LP_PORT_H
#define LP_PORT_H

#include "lambdapool.h"

struct lp__lua_port;
struct lp__uv_port;

/* What is passed. Both sides must be of one version; that is checked. */
struct lp__port {
  const char *version;
  size_t lua_size, uv_size;
  const struct lp__lua_port *lua;
  const struct lp__uv_port *uv;
};

/* The functions of this program, library or module. */
extern const struct lp__port lp__port;

/* The type of lp__part_open, which such a library exports beside its Lua
 * modules: takes the functions and returns NULL, or says in English why it does
 * not. It serves one caller until it is unloaded, but that in any thread: to
 * two copies of lambdapool in one process it is LP__PART_BUSY. */
typedef const char *lp__part_open_function(const struct lp__port *port);

#define LP__PART_OPEN "lp__part_open"

#define LP__PART_BUSY "it is in use by another copy of lambdapool"

#endif
