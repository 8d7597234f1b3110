/*
 * After lcorolib.c of Lua 5.4.4, which says what the checks and messages have
 * to be. Its own functions cannot be called instead: they would leave without
 * a way back here when they raise.
 */
#include "coroutine.h"

#include <lauxlib.h>
#include <lualib.h>

/* --- which one runs ------------------------------------------------------ */

struct lp__running *lp__running_of(lua_State *L) {
  return *(struct lp__running **)lua_getextraspace(L);
}

/* lua_sethook may be called in a signal handler, says its source, and lua.c
 * does so, too. */
static void set_hook(struct lp__running *running, lua_State *L) {
  lua_sethook(L, running->hook, LUA_MASKCOUNT, 1);
}

/* A hook that is not ours stays. */
static void remove_hook(struct lp__running *running, lua_State *L) {
  if (lua_gethook(L) == running->hook)
    lua_sethook(L, NULL, 0, 0);
}

void lp__running_hook(struct lp__running *running) {
  running->hooked = 1;
  set_hook(running, running->thread);
}

void lp__running_unhook(struct lp__running *running) {
  running->hooked = 0;
  remove_hook(running, running->thread);
}

/* `to` runs instead of `from`. The signal may come at any point of this.
 * Whoever runs next gets the hook: either the handler already sees it in
 * `thread`, or `hooked` is seen here. */
static inline void switch_to(struct lp__running *running, lua_State *to,
                             lua_State *from) {
  running->thread = to;
  if (running->hooked) {
    remove_hook(running, from);
    set_hook(running, to);
  }
}

/* --- the library --------------------------------------------------------- */

static lua_State *check_coroutine(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co, 1, "thread");
  return co;
}

/* Moves a message to L and returns -1, as a failed resume does. */
static int failed(lua_State *L, const char *message) {
  lua_pushstring(L, message);
  return -1;
}

/* Resumes `co` with the `count` values at the top of L. Returns the number of
 * results, which are then at the top of L, or -1 with an error value there. */
static int resume(lua_State *L, lua_State *co, int count) {
  struct lp__running *running = lp__running_of(L);
  lua_State *previous = running->thread; /* not L if a C module resumed that */
  int status, results;
  if (!lua_checkstack(co, count))
    return failed(L, "too many arguments to resume");
  lua_xmove(L, co, count);
  switch_to(running, co, previous);
  status = lua_resume(co, L, count, &results);
  switch_to(running, previous, co);
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return -1;
  }
  if (!lua_checkstack(L, results + 1)) {
    lua_pop(co, results);
    return failed(L, "too many results to resume");
  }
  lua_xmove(co, L, results);
  return results;
}

static int co_resume(lua_State *L) {
  lua_State *co = check_coroutine(L);
  int results = resume(L, co, lua_gettop(L) - 1);
  lua_pushboolean(L, results >= 0);
  if (results < 0)
    results = 1;
  lua_insert(L, -(results + 1));
  return results + 1;
}

/* Closes `co`: its to-be-closed variables are user code, too. */
static int close_coroutine(lua_State *L, lua_State *co) {
  struct lp__running *running = lp__running_of(L);
  lua_State *previous = running->thread;
  int status;
  switch_to(running, co, previous);
  status = lua_resetthread(co);
  switch_to(running, previous, co);
  return status;
}

static int wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int results = resume(L, co, lua_gettop(L));
  int status;
  if (results >= 0)
    return results;
  status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_pop(L, 1); /* the error value is still known to `co` */
    status = close_coroutine(L, co);
    lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int co_wrap(lua_State *L) {
  lua_State *co;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, wrapped, 1);
  return 1;
}

/* What coroutine.status calls `co`, as far as closing it matters. */
static const char *alive_as(lua_State *L, lua_State *co) {
  lua_Debug ar;
  if (co == L)
    return "running";
  if (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar))
    return "normal";
  return NULL;
}

static int co_close(lua_State *L) {
  lua_State *co = check_coroutine(L);
  const char *state = alive_as(L, co);
  if (state)
    return luaL_error(L, "cannot close a %s coroutine", state);
  if (close_coroutine(L, co) == LUA_OK) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushboolean(L, 0);
  lua_xmove(co, L, 1);
  return 2;
}

void lp__coroutine_open(lua_State *L, struct lp__running *running) {
  static const luaL_Reg functions[] = {{"resume", co_resume},
                                       {"wrap", co_wrap},
                                       {"close", co_close},
                                       {NULL, NULL}};
  running->thread = L;
  running->hooked = 0;
  *(struct lp__running **)lua_getextraspace(L) = running;
  luaL_requiref(L, LUA_COLIBNAME, luaopen_coroutine, 1);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
