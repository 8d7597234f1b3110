/*
 * Lua values to bytes.
 *
 * Dumping runs no user code except `__lambdapool` hooks: tables are read raw,
 * and the collector, which could run finalizers, stands still.  There is no
 * recursion in C: a list nested 100,000 deep is fine.
 */
#ifndef LP__DUMP_H
#define LP__DUMP_H

#include <lua.h>

#include "buffer.h"
#include "pointer_map.h"
#include "reference.h"
#include "rope.h"

/* What an error message says cannot be sent. */
enum lp__numbered {
  LP__BY_TYPE,         /* "function job.lua:14" */
  LP__BY_RESULT,       /* "result 2" */
  LP__BY_ITEM,         /* "item 7" */
  LP__BY_ARGUMENT,     /* "argument 2" */
  LP__BY_ITEM_ARGUMENT /* "argument 2 of item 7" */
};

/* One session of dumping; several bodies may be written into one output.  Its
 * memory stands on the Lua stack of the function that began it. */
struct lp__dumper {
  struct lp__rope out;
  struct lp__buffer binary; /* what lua_dump writes */
  struct lp__buffer frames; /* the containers that are open */
  struct lp__map seen;      /* object -> position of its tag in `out` */
  int seen_box;
  int alive;   /* stack index: list that keeps objects alive while a hook, which
                  may collect garbage, could free what is in `seen` */
  int hooks;   /* the body has hooks: what is seen is kept alive */
  int restart; /* the first hook was met: write the body again, with `hooks` */
  int by_code; /* the function on top travels by code, whatever its name */
  struct lp__references references;
  int quick;        /* see sequence.h */
  int stack_room;   /* stack index up to which there is room */
  size_t start;     /* position where the body began */
  int modules;      /* stack index of the queue of modules of the body */
  int record;       /* stack index of a table to fill: key of ORIGIN -> what it
                       means in this body; 0 for none */
  int origins;      /* stack index of a table: object -> dump << 32 | key of
                       ORIGIN, for what the receiver has; 0 for none */
  int refreshed;    /* modules were looked at in this session */
  int numbered;     /* for error messages: enum lp__numbered */
  lua_Integer item; /* the number of the item, */
  int argument;     /* and of the value in the body */
};

/* Calls the C function with `n` arguments (on top) and the collector stopped,
 * as dumping needs it; its errors are raised again.  [-n, +results, e] */
void lp__dump_call(lua_State *L, lua_CFunction function, int n, int results);

/* Begins a session inside lp__dump_call; pushes what it needs.  The output is
 * a new one, whose box and anchors the session pushes.  [-0, +9, m] */
void lp__dump_begin(lua_State *L, struct lp__dumper *d);

/* Adds a body with the `n` values from stack index `first` on.  Raises an
 * error that names the path to what cannot be sent.  [-0, +0, e] */
void lp__dump_body(lua_State *L, struct lp__dumper *d, int first, int n);

/* Writes the `n` values from index `first` on as a body when that takes no
 * session: they are a few numbers, booleans, nils and short strings.  Returns
 * its size, at most LP__SIMPLE_MAX, or 0. */
enum { LP__SIMPLE_VALUES = 4, LP__SIMPLE_MAX = 2 + 32 * LP__SIMPLE_VALUES };
size_t lp__dump_simple(lua_State *L, int first, int n, unsigned char *out);

/* Ends the session: keeps its memory for the next one. */
void lp__dump_end(lua_State *L, struct lp__dumper *d);

/* Pushes the whole dump, header and body, of the `n` values on top of the
 * stack.  Inside lp__dump_call.  [-n, +1, e] */
void lp__dump_values(lua_State *L, int n);

#endif
