/*
 * What loading cannot have at once: modules that are not loaded yet, values
 * that a function must rebuild, and metatables, which are set last.
 *
 * A promise is stood for by a light userdata.  Wherever that is about to be
 * put, a note is made instead; when all bytes were found good, promises are
 * kept and the results put in their places: first the modules, then come the
 * metatables, then the rebuilt values, in the order in which they were read.
 * So no code runs, and no finalizer is registered, for malformed bytes.
 */
#ifndef LP__PROMISE_H
#define LP__PROMISE_H

#include <lua.h>
#include <stdint.h>

struct lp__promises {
  int list; /* stack index of the records */
  lua_Integer count;
  int notes; /* stack index of the places they belong to */
  lua_Integer note_count;
  int metatables; /* stack index of a list: table, metatable, ... */
  lua_Integer metatable_count;
  int trusted; /* modules are required, any function may rebuild */
};

/* What is promised, and the two values it is made of. */
enum lp__promise_kind {
  LP__PROMISE_MODULE, /* name, false */
  LP__PROMISE_FIELD,  /* name of the module, field */
  LP__PROMISE_REBUILD /* list of function and arguments, how many */
};

/* Where it belongs, and the operand that says where exactly. */
enum lp__place {
  LP__AT_FIELD,    /* of a table; the key */
  LP__AT_PAIR,     /* of a table; { key, value }, one or both promised */
  LP__AT_UPVALUE,  /* of a function; the number */
  LP__AT_METATABLE /* of a table; false */
};

/* Pushes three tables that stay while `p` is used.  [-0, +3, m] */
void lp__promise_begin(lua_State *L, struct lp__promises *p, int trusted);

/* Pushes what stands for a new promise made of the two values on top.
 * [-2, +1, m] */
void lp__promise_make(lua_State *L, struct lp__promises *p,
                      enum lp__promise_kind kind);

/* The number of the promise that the value at `index` stands for, or 0.
 * [-0, +0, -] */
static inline lua_Integer
lp__promise_at(lua_State *L, const struct lp__promises *p, int index) {
  if (p->count == 0 || lua_type(L, index) != LUA_TLIGHTUSERDATA)
    return 0;
  return (lua_Integer)(uintptr_t)lua_touserdata(L, index);
}

/* Notes that promise `id` belongs to `place` of the container at `container`,
 * the operand on top.  [-1, +0, m] */
void lp__promise_note(lua_State *L, struct lp__promises *p, lua_Integer id,
                      enum lp__place place, int container);

/* Notes the metatable on top for the table at index `table`.  [-1, +0, m] */
void lp__promise_metatable(lua_State *L, struct lp__promises *p, int table);

/* Keeps all promises, also those among the `n` values from index `first` on,
 * and sets the metatables.  [-0, +0, e] */
void lp__promise_keep(lua_State *L, struct lp__promises *p, int first, int n);

/* Raises when the value at `index` can be no key of a table.  [-0, +0, e] */
void lp__check_key(lua_State *L, int index);

#endif
