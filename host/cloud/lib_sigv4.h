/* The functions of "lambdapool.crypto" that are about signatures. */
#ifndef LP__LIB_SIGV4_H
#define LP__LIB_SIGV4_H

#include <lua.h>

/* Sets them in the table on top.  [-0, +0, m] */
void lp__sigv4_add(lua_State *L);

#endif
