/*
 * The header around a body: magic, version, flags, checksum, compression.
 */
#ifndef LP__SEAL_H
#define LP__SEAL_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "prototype.h"
#include "rope.h"

/* Replaces the body on top by the dump: the body behind a header.  A body of
 * `compress_from` bytes or more is compressed when that makes it smaller.
 * [-1, +1, m] */
void lp__seal(lua_State *L, size_t compress_from);

/* The same for a body being written: leaves room for the header, and fills it
 * in at the end.  [-0, +0, m] */
void lp__seal_begin(lua_State *L, struct lp__buffer *buffer);
void lp__seal_end(struct lp__rope *rope);

/* Checks the header of the dump in `bytes` and finds its body; a compressed
 * one is pushed as a userdata that must stay while it is read, otherwise nil
 * is.  `holds`: that the checksum is right is known.  Raises a message for
 * anything that is not a dump.  [-0, +1, e] */
struct lp__bytes lp__unseal(lua_State *L, struct lp__bytes bytes, int holds);

/* Whether the checksum of what may be a dump is right.  By any thread. */
bool lp__seal_holds(const char *bytes, size_t size);

#endif
