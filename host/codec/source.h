/*
 * The texts of chunks: remembered when they are loaded, found again when a
 * function of theirs is dumped.
 */
#ifndef LP__SOURCE_H
#define LP__SOURCE_H

#include <lua.h>

#include "prototype.h"

/* Keeps the text (string at index `text`) of a chunk loaded under the name at
 * index `name`, as given to lua_load ("@file", "=name" or text).  The last
 * 64 MiB of texts are kept.  Returns whether it was not one of the newest of
 * its name already.  [-0, +0, m] */
int lp__source_remember(lua_State *L, int name, int text);

/* Forgets the text (at index `text`) again when nothing was remembered since:
 * of chunks that nobody runs here, and that are remembered while they are
 * dumped.  [-0, +0, -] */
void lp__source_forget(lua_State *L, int name, int text);

/* Pushes the text last loaded under the chunk name at index `name` and returns
 * 1, or returns 0.  [-0, +0|+1, -] */
int lp__source_remembered(lua_State *L, int name);

/* Where the code of a function stands. */
struct lp__source {
  lua_Integer newlines; /* to put in front of the text */
  struct lp__path path; /* in the chunk that the text compiles to */
};

/* Finds the text that `proto`, the function of a dump with the source name
 * `name`, was compiled from, by compiling candidates and comparing the code.
 * Pushes the text and returns 1; or pushes what is wrong, for an error
 * message, and returns 0.  The text is a slice of the chunk when that is
 * large: just the function.  [-0, +1, m] */
int lp__source_find(lua_State *L, const struct lp__proto *proto,
                    struct lp__bytes name, struct lp__source *where);

/* Compiles the text at index `text` and pushes the binary chunk; or pushes
 * the compiler's message and returns 0.  [-0, +1, m] */
int lp__source_compile(lua_State *L, int text);

/* The same; the last few are cached.  [-0, +1, m] */
int lp__source_compile_cached(lua_State *L, int text);

/* Pushes `newlines` newlines and the text at index `text`.  [-0, +1, m] */
void lp__source_pad(lua_State *L, int text, lua_Integer newlines);

/* Reads a file as luaL_loadfilex would: without byte order mark and with an
 * empty line for a first line "#...".  `name` NULL is standard input.  Pushes
 * the text; or pushes a message and returns 0.  With `only_regular` nothing
 * else than a regular file is even opened.  [-0, +1, m] */
int lp__source_read(lua_State *L, const char *name, int only_regular);

#endif
