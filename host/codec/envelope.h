/*
 * The JSON around a call, as a worker gets it: {"lambdapool":3,"call":"..."}.
 * What our clients send is read without a JSON parser.
 */
#ifndef LP__ENVELOPE_H
#define LP__ENVELOPE_H

#include <lua.h>

#include "load.h"

/* Finds the base64 text of the call in an event that is an envelope; pushes
 * what keeps it alive.  Raises for a call of another version than ours, and for
 * what is no call.  [-0, +n, e] */
struct lp__bytes lp__envelope_text(lua_State *L, const char *event,
                                   size_t size);

#endif
