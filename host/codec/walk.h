/*
 * What the parts of dumping share: dump.c walks values and tables,
 * dump_function.c functions and what they name, dump_module.c the modules that
 * go along.  They write into the session's output through the inline functions
 * at the end.
 */
#ifndef LP__WALK_H
#define LP__WALK_H

#include "dump.h"
#include "frame.h"
#include "wire.h"

/* --- dump.c ------------------------------------------------------------- */

/* Writes the value on top and removes it; a container is opened and written
 * in the steps that follow.  [-1, +0|+n, e] */
void lp__write_value(lua_State *L, struct lp__dumper *d);

/* Takes steps until everything that is open is written.  [-n, +0, e] */
void lp__write_open(lua_State *L, struct lp__dumper *d);

/* Writes the value on top, all of it, and removes it.  [-1, +0, e] */
void lp__write_all(lua_State *L, struct lp__dumper *d);

/* Writes the string at `index`.  [-0, +0, m] */
void lp__write_string(lua_State *L, struct lp__dumper *d, int index);

/* Writes a value that travels by name; returns 0 when it does not.
 * [-0, +0, m] */
int lp__write_reference(lua_State *L, struct lp__dumper *d, int index);

/* Notes that the object at `index` begins at the current position.
 * [-0, +0, m] */
void lp__see(lua_State *L, struct lp__dumper *d, int index);

/* Opens a frame for the container on top.  [-0, +0, e] */
struct lp__frame *lp__push_frame(lua_State *L, struct lp__dumper *d,
                                 enum lp__frame_kind kind);

/* Ends the frame and removes its container from the stack.  [-n, +0, -] */
void lp__pop_frame(lua_State *L, struct lp__dumper *d);

/* Looks at the modules again, once in a session: only a hook could change them
 * meanwhile.  [-0, +0, m] */
void lp__refresh(lua_State *L, struct lp__dumper *d);

/* --- dump_function.c ---------------------------------------------------- */

/* Opens the function on top.  [-1, +0|+n, e] */
void lp__open_function(lua_State *L, struct lp__dumper *d);

/* Write the next upvalue, and the next global, of the function whose frame is
 * on top.  [-n, +n, e] */
void lp__step_cells(lua_State *L, struct lp__dumper *d);
void lp__step_globals(lua_State *L, struct lp__dumper *d);

/* --- dump_module.c ------------------------------------------------------ */

/* Adds the module name at `index` to those whose source is sent along.
 * [-0, +0, m] */
void lp__need_module(lua_State *L, struct lp__dumper *d, int index);

/* Writes them all, and the end of the body.  [-0, +0, e] */
void lp__write_modules(lua_State *L, struct lp__dumper *d);

/* --- output ------------------------------------------------------------- */

static inline struct lp__frame *lp__top_frame(struct lp__dumper *d) {
  return (struct lp__frame *)(void *)(d->frames.bytes + d->frames.size) - 1;
}

static inline void lp__emit_byte(lua_State *L, struct lp__dumper *d, int byte) {
  *lp__buffer_reserve(L, &d->out.buffer, 1) = (unsigned char)byte;
  d->out.buffer.size++;
}

static inline void lp__emit_varint(lua_State *L, struct lp__dumper *d,
                                   uint64_t v) {
  unsigned char *at = lp__buffer_reserve(L, &d->out.buffer, LP__VARINT_MAX);
  d->out.buffer.size += (size_t)(lp__put_varint(at, v) - at);
}

/* Writes the distance from `position` (of the tag being written) back to
 * `target`. */
static inline void lp__emit_distance(lua_State *L, struct lp__dumper *d,
                                     size_t position, size_t target) {
  lp__emit_varint(L, d,
                  lp__rope_offset(&d->out, position) -
                      lp__rope_offset(&d->out, target));
}

/* Sets the bit that tells the loader to remember what it reads at `target`,
 * and refers to that. */
static inline void lp__emit_ref(lua_State *L, struct lp__dumper *d,
                                enum lp__tag tag, size_t target) {
  size_t position = d->out.buffer.size;
  unsigned char *kept = &d->out.buffer.bytes[target];
  *kept |= *kept >= LP__SHORT_STRING ? LP__SHORT_STRING_KEPT : LP__KEPT;
  lp__emit_byte(L, d, tag);
  lp__emit_distance(L, d, position, target);
}

/* A string without a tag, at `index`. */
static inline void lp__emit_string(lua_State *L, struct lp__dumper *d,
                                   int index) {
  lp__emit_varint(L, d, (uint64_t)lua_rawlen(L, index));
  lp__rope_add_string(L, &d->out, index);
}

#endif
