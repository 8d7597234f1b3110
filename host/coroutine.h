/*
 * The coroutine library, with resume, wrap and close that note which coroutine
 * runs, so that a signal handler can stop Lua code wherever it is: with a
 * debug hook on the coroutine that runs. For Lua code nothing else differs,
 * and as long as nobody asks for the hook, noting costs next to nothing.
 *
 *   struct lp__running running = {.hook = hook};
 *   lp__coroutine_open(L, &running);  -- before the other libraries
 *   in a signal handler:
 *     lp__running_hook(&running);     -- hook(L, ar) at every instruction
 *   in the hook, or anywhere else:
 *     lp__running_unhook(&running);
 *
 * What it does not notice is a coroutine that a C module resumes by itself:
 * then the hook is on the one that called the module. And Lua calls no hooks
 * in a finalizer, nor in what is closed (by wrap or close) after an error that
 * a hook has raised in a coroutine.
 *
 * The handler has to run in the thread that the Lua state runs in.
 */
#ifndef LP__COROUTINE_H
#define LP__COROUTINE_H

#include <lua.h>
#include <signal.h>

/* Which coroutine of a state runs. One for each state, whose main coroutine
 * and all others have its address in their extra space: it is found in a few
 * instructions, and nothing in Lua can reach it. */
struct lp__running {
  lua_State *volatile thread;   /* the coroutine that runs */
  volatile sig_atomic_t hooked; /* whichever runs is to have the hook */
  lua_Hook hook;                /* the caller's; set before it is needed */
};

/* Opens the library in a fresh state, in its main coroutine, which runs from
 * now on. `running` is borrowed until the state is closed. Called before the
 * other libraries are opened: luaL_openlibs keeps a library that is already
 * loaded.  [-0, +0, m] */
void lp__coroutine_open(lua_State *L, struct lp__running *running);

/* The one of the state that L belongs to; it must have been opened here. */
struct lp__running *lp__running_of(lua_State *L);

/* From now on the hook is called before every instruction of whichever
 * coroutine runs. Async-signal-safe. A handler may come while Lua code sets a
 * hook of its own: then ours is on at the next switch of coroutines, or when
 * this is called again. */
void lp__running_hook(struct lp__running *running);

/* No more: no coroutine that is entered from now on has the hook, nor has the
 * one that runs. */
void lp__running_unhook(struct lp__running *running);

#endif
