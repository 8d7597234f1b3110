/*
 * What is known about the code of a function: found once, kept by content.
 *
 * The key is what lua_dump writes for the function, so two functions with the
 * same bytes are the same code however they came about.
 */
#ifndef LP__FUNCTION_H
#define LP__FUNCTION_H

#include <lua.h>

#include "buffer.h"

/* Fields of the table that describes a function's code. */
enum {
  LP__CODE_CHUNK = 1, /* the chunk it is in: the same table for all functions
                         of a chunk or slice */
  LP__CODE_PATH,      /* as on the wire: varint(depth) varint(index){depth} */
  LP__CODE_NAMES,     /* see lp__names_push */
  LP__CODE_UPVALUES,  /* how many */
  LP__CODE_BINARY     /* the key */
};

/* Fields of the table that describes a chunk. */
enum {
  LP__CHUNK_NAME = 1,
  LP__CHUNK_TEXT,    /* its source, or a slice of it */
  LP__CHUNK_NEWLINES /* to put in front of the text */
};

/* Pushes the table of what lua_dump wrote into `binary`.  *is_new: it was not
 * known before.  When the text cannot be found pushes why ("was stripped …")
 * and returns 0.  [-0, +1, m] */
int lp__function_push(lua_State *L, const struct lp__buffer *binary,
                      int *is_new);

#endif
