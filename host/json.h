/*
 * JSON text to Lua values and back: for the agent's handlers of plain events,
 * and for the host's "lambdapool.json".
 *
 * Whole numbers are integers when they have room in one, also when they are
 * written as floats. null is cjson.null. A table is an array when all its keys
 * are positive integers (holes are null) or when it is empty and marked, as
 * empty arrays are that were read; otherwise it is an object.
 */
#ifndef LP__JSON_H
#define LP__JSON_H

#include <lua.h>
#include <stddef.h>

#include "codec/buffer.h"

/* Pushes the value of a JSON text. Strings may have any bytes; of equal names
 * the last one counts. Raises what is wrong with another text, and where.
 * [-0, +1, e] */
void lp__json_decode(lua_State *L, const char *text, size_t size);

/* Adds the JSON text of the value at `index` to `out`. Raises an error that
 * names the field for what JSON cannot express: functions, userdata, NaN, keys
 * that are neither strings nor numbers, more than 1000 levels (so cycles), and
 * arrays that are mostly holes.  [-0, +0, e] */
void lp__json_encode(lua_State *L, int index, struct lp__buffer *out);

/* The same with the members of objects in the order of their bytes: equal
 * values make equal texts. Only strings can be keys.  [-0, +0, e] */
void lp__json_encode_sorted(lua_State *L, int index, struct lp__buffer *out);

/* The same as lp__json_encode, but raises an error for tables that read as
 * other ones then: with holes, or with keys that are neither strings nor the
 * numbers from 1 on.  [-0, +0, e] */
void lp__json_encode_exact(lua_State *L, int index, struct lp__buffer *out);

/* A function in Lua: encode(value) -> JSON in UTF-8; raises when JSON cannot
 * say the value exactly. */
int lp__json_text(lua_State *L);

/* Marks the table at the top, which gets a metatable: it is an array also when
 * it is empty.  [-0, +0, m] */
void lp__json_mark_array(lua_State *L);

/* Adds a string to `out`, in its quotes. Bytes that are not UTF-8 stay as they
 * are.  [-0, +0, e] */
void lp__json_add_string(lua_State *L, struct lp__buffer *out, const char *text,
                         size_t size);

#endif
