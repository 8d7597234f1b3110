/*
 * Functions to bytes: their code, their upvalues, and the globals and modules
 * that they name.  See walk.h.
 */
#include <lauxlib.h>
#include <string.h>

#include "frame.h"
#include "function.h"
#include "names.h"
#include "reference.h"
#include "walk.h"
#include "wire.h"

/* Different things at one address need different keys in the map. */
static const void *name_key(const char *name) {
  return name + 2;
}

/* Writes the chunk of the description on top, or where it was written. */
static void write_chunk(lua_State *L, struct lp__dumper *d) {
  int chunk = lua_gettop(L) + 1, found;
  struct lp__map_entry *entry;
  lua_rawgeti(L, -1, LP__CODE_CHUNK);
  lp__map_reserve(L, &d->seen, d->seen_box);
  entry = lp__map_at(&d->seen, lua_topointer(L, chunk), &found);
  if (found) {
    lp__emit_distance(L, d, d->out.buffer.size, entry->value);
  } else {
    entry->value = (uint32_t)d->out.buffer.size;
    lp__emit_byte(L, d, 0);
    lua_rawgeti(L, chunk, LP__CHUNK_NAME);
    lp__emit_string(L, d, -1);
    lua_rawgeti(L, chunk, LP__CHUNK_NEWLINES);
    lp__emit_varint(L, d, (uint64_t)lua_tointeger(L, -1));
    lua_rawgeti(L, chunk, LP__CHUNK_TEXT);
    lp__emit_string(L, d, -1);
  }
  lua_settop(L, chunk - 1);
}

/* Writes which code the function has: its chunk's text, and the path to it;
 * or where that was written before.  The description is on top. */
static void write_code(lua_State *L, struct lp__dumper *d) {
  int code = lua_gettop(L), found;
  struct lp__map_entry *entry;
  const char *text;
  lua_rawgeti(L, code, LP__CODE_BINARY);
  lp__map_reserve(L, &d->seen, d->seen_box);
  entry = lp__map_at(&d->seen, lua_tostring(L, -1), &found);
  if (found) {
    lp__emit_distance(L, d, d->out.buffer.size, entry->value);
    lua_settop(L, code);
    return;
  }
  entry->value = (uint32_t)d->out.buffer.size;
  lp__emit_byte(L, d, 0);
  lua_settop(L, code);
  write_chunk(L, d);
  lua_rawgeti(L, code, LP__CODE_PATH);
  text = lua_tostring(L, -1);
  lp__buffer_add(L, &d->out.buffer, text, (size_t)lua_rawlen(L, -1));
  lua_settop(L, code);
}

/* Pushes the description of the function on top; refuses a function whose
 * source is not known.  Returns 0 when it turns out to have a name. */
static int push_code(lua_State *L, struct lp__dumper *d) {
  int is_new;
  d->binary.size = 0;
  lua_dump(L, lp__buffer_writer, &d->binary, 0);
  if (!lp__function_push(L, &d->binary, &is_new)) {
    lp__refuse(L, d, -2, lua_tostring(L, -1), NULL);
  }
  if (is_new) {
    lp__refresh(L, d);
    if (!d->by_code && lp__write_reference(L, d, -2))
      return 0;
  }
  return 1;
}

void lp__open_function(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f;
  if (!push_code(L, d)) {
    lua_pop(L, 2);
    return;
  }
  lp__see(L, d, -2);
  f = lp__push_frame(L, d, LP__IN_CELLS); /* function code */
  f->base--;
  lp__emit_byte(L, d, LP__FUNCTION);
  write_code(L, d);
  lua_rawgeti(L, -1, LP__CODE_UPVALUES);
  f->count = (uint32_t)lua_tointeger(L, -1);
  lua_pop(L, 1);
  lp__emit_varint(L, d, f->count);
  f->next = 1;
}

/* Whether the code that uses field `name` (on top) of upvalue `n` means the
 * global of that name: the upvalue is the table of globals, or a table that
 * has no such field and falls back on it. */
static int means_global(lua_State *L, int function, int n) {
  int top = lua_gettop(L), tries, yes = 0;
  lua_pushglobaltable(L); /* name globals */
  if (!lua_getupvalue(L, function, n))
    lua_pushnil(L);
  for (tries = 0; tries < 100 && lua_istable(L, -1); tries++) {
    yes = lua_rawequal(L, -1, top + 1);
    if (yes)
      break;
    lua_pushvalue(L, top);
    if (lua_rawget(L, -2) != LUA_TNIL || !lua_getmetatable(L, -2))
      break;
    lua_pushliteral(L, "__index");
    lua_rawget(L, -2);
    lua_replace(L, top + 2);
    lua_settop(L, top + 2);
  }
  lua_settop(L, top);
  return yes;
}

/* Adds the global called `name` (on top) to the list at `list`, unless it is
 * a standard one or was sent. */
static void add_global(lua_State *L, struct lp__dumper *d, int list) {
  int found, standard;
  lp__map_reserve(L, &d->seen, d->seen_box);
  lp__map_at(&d->seen, name_key(lua_tostring(L, -1)), &found);
  if (found)
    return;
  lua_pushglobaltable(L);
  lua_pushvalue(L, -2);
  lua_rawget(L, -2); /* name globals value */
  standard = lp__reference_is_standard_global(L, -3, -1);
  lua_pop(L, 2);
  if (standard)
    return;
  lua_pushvalue(L, -1);
  lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
}

/* Notes that the module called `name` (on top) is required, if upvalue `n` is
 * what the code takes it for. */
static void add_required(lua_State *L, struct lp__dumper *d, int function,
                         int n, enum lp__name_kind kind) {
  int top = lua_gettop(L);
  if (kind == LP__NAME_REQUIRE_FIELD) {
    lua_pushliteral(L, "require");
    if (means_global(L, function, n))
      lp__need_module(L, d, top);
  } else if (lua_getupvalue(L, function, n)) {
    if (lua_isfunction(L, -1) &&
        lp__reference_of(L, &d->references, -1) == LP__REFERENCE_STANDARD &&
        strcmp(lua_tostring(L, -1), "require") == 0) {
      lp__need_module(L, d, top);
    }
  }
  lua_settop(L, top);
}

/* Pushes a list of the globals that the function names. */
static void push_globals(lua_State *L, struct lp__dumper *d, int function) {
  lua_Integer i, n;
  int list;
  lua_newtable(L);
  list = lua_gettop(L);
  if (lua_rawgeti(L, function + 1, LP__CODE_NAMES) == LUA_TTABLE) {
    n = (lua_Integer)lua_rawlen(L, -1);
    for (i = 1; i < n; i += 3) { /* list names */
      int upvalue;
      enum lp__name_kind kind;
      lua_rawgeti(L, list + 1, i);
      upvalue = (int)lua_tointeger(L, -1);
      lua_rawgeti(L, list + 1, i + 1);
      kind = (enum lp__name_kind)lua_tointeger(L, -1);
      lua_rawgeti(L, list + 1, i + 2);
      if (kind != LP__NAME_FIELD) {
        add_required(L, d, function, upvalue, kind);
      } else if (means_global(L, function, upvalue)) {
        add_global(L, d, list);
      }
      lua_settop(L, list + 1);
    }
  }
  lua_pop(L, 1);
}

static void end_cells(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f = lp__top_frame(d);
  f->kind = LP__IN_GLOBALS;
  push_globals(L, d, f->base);
  f->count = (uint32_t)lua_rawlen(L, -1);
  f->next = 1;
  lp__emit_varint(L, d, f->count);
}

void lp__step_cells(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f = lp__top_frame(d);
  struct lp__map_entry *entry;
  const void *cell;
  int found;
  if (f->next > f->count) {
    end_cells(L, d);
    return;
  }
  cell = lua_upvalueid(L, f->base, (int)f->next);
  lp__map_reserve(L, &d->seen, d->seen_box);
  entry = lp__map_at(&d->seen, cell, &found);
  if (found) {
    f->next++;
    lp__emit_ref(L, d, LP__CELL_REF, entry->value);
    return;
  }
  entry->value = (uint32_t)d->out.buffer.size;
  lp__emit_byte(L, d, LP__CELL);
  lua_getupvalue(L, f->base, (int)f->next);
  f->next++;
  lp__write_value(L, d);
}

void lp__step_globals(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f = lp__top_frame(d);
  if (f->next > f->count) {
    lp__pop_frame(L, d);
    return;
  }
  lua_rawgeti(L, f->base + 2, f->next++);
  lp__write_string(L, d, -1);
  lua_pushglobaltable(L);
  lua_insert(L, -2);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  lp__write_value(L, d);
}
