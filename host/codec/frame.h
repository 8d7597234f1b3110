/*
 * The containers that are open while a value is dumped: what a recursive
 * function would keep in its C frames.
 */
#ifndef LP__FRAME_H
#define LP__FRAME_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

enum lp__frame_kind {
  LP__IN_ARRAY,     /* a table's sequence; next: the element */
  LP__IN_PAIRS,     /* a table's other keys; the key is at base + 1 */
  LP__IN_KEY,       /* a key that is a container itself */
  LP__IN_METATABLE, /* a table's metatable */
  LP__IN_CELLS,     /* a function's upvalues; its code is at base + 1 */
  LP__IN_GLOBALS,   /* the globals it names; a list of them at base + 2 */
  LP__IN_HOOK       /* what a hook returned; a list at base + 1 */
};

struct lp__frame {
  int base;         /* stack index of the container */
  uint8_t kind;     /* enum lp__frame_kind */
  uint8_t batch;    /* elements to fetch at a time */
  uint8_t has_meta; /* a metatable follows */
  uint32_t next;    /* what comes next: element, upvalue, ... */
  uint32_t count;   /* how many there are */
  uint32_t pairs;   /* keys written */
  uint32_t holes;   /* elements that are nil */
  size_t mark;      /* position of the tag, then of the hint */
  size_t tag;       /* position of the tag */
  uint8_t is_class; /* the table has a key like \"__index\" */
};

struct lp__dumper;

/* Raises "cannot send ...: <path> <reason>" for the value at `index`, the
 * path from the root to it read from the open frames.  [e] */
int lp__refuse(lua_State *L, const struct lp__dumper *d, int index,
               const char *reason, const char *advice);

/* Pushes "function job.lua:14" for the function at `index`.  [-0, +1, m] */
void lp__push_function_name(lua_State *L, int index);

/* Pushes "a userdata (FILE*)" for the value at `index`.  [-0, +1, m] */
void lp__push_type_name(lua_State *L, int index);

#endif
