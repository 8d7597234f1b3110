/*
 * Lua values to bytes.  See dump.h, and wire.h for the format.
 *
 * The walk keeps its own stack of frames.  The container of a frame stands on
 * the Lua stack at frame->base, with what its traversal needs above it; what
 * is written next is always on top.
 */
#include "dump.h"

#include <lauxlib.h>

#include "cache.h"
#include "frame.h"
#include "rebuilder.h"
#include "seal.h"
#include "sequence.h"
#include "walk.h"
#include "wire.h"

enum {
  BATCH = 32,         /* elements fetched at a time */
  SHARE_FROM = 4,     /* bytes; shorter strings are cheaper written again */
  MAX_HOLES = 1 << 20 /* nils within the sequence of a table */
};

/* Hooks may collect garbage: what is known by its address must not go. */
static void keep_alive(lua_State *L, struct lp__dumper *d, int index) {
  lua_pushvalue(L, index);
  lua_rawseti(L, d->alive, (lua_Integer)lua_rawlen(L, d->alive) + 1);
}

/* --- simple values ------------------------------------------------------ */

void lp__write_string(lua_State *L, struct lp__dumper *d, int index) {
  size_t size;
  const char *bytes = lua_tolstring(L, index, &size);
  if (size >= SHARE_FROM) {
    struct lp__map_entry *entry;
    int found;
    lp__map_reserve(L, &d->seen, d->seen_box);
    entry = lp__map_at(&d->seen, bytes, &found);
    if (found) {
      lp__emit_ref(L, d, LP__REF, entry->value);
      return;
    }
    entry->value = (uint32_t)d->out.buffer.size;
    if (d->hooks)
      keep_alive(L, d, index);
  }
  if (size <= LP__SHORT_STRING_MAX) {
    unsigned char *at = lp__buffer_reserve(L, &d->out.buffer, size + 1);
    *at = (unsigned char)(LP__SHORT_STRING | size);
    memcpy(at + 1, bytes, size);
    d->out.buffer.size += size + 1;
  } else {
    lp__emit_byte(L, d, LP__STRING);
    lp__emit_string(L, d, index);
  }
}

static inline unsigned char *put_integer(unsigned char *at, lua_Integer i) {
  if (i >= 0 && i <= LP__SMALL_INT_MAX) {
    *at++ = (unsigned char)(LP__SMALL_INT | i);
    return at;
  }
  *at++ = LP__INT;
  return lp__put_varint(at, lp__zigzag(i));
}

static void write_number(lua_State *L, struct lp__dumper *d, int index) {
  unsigned char *at = lp__buffer_reserve(L, &d->out.buffer, LP__VARINT_MAX + 1);
  if (lua_isinteger(L, index)) {
    d->out.buffer.size +=
        (size_t)(put_integer(at, lua_tointegerx(L, index, NULL)) - at);
  } else {
    *at = LP__FLOAT;
    lp__put_double(at + 1, lua_tonumberx(L, index, NULL));
    d->out.buffer.size += 9;
  }
}

int lp__write_reference(lua_State *L, struct lp__dumper *d, int index) {
  int top = lua_gettop(L);
  switch (lp__reference_of(L, &d->references, index)) {
  case LP__REFERENCE_GLOBALS:
    lp__emit_byte(L, d, LP__GLOBALS);
    break;
  case LP__REFERENCE_STANDARD:
    lp__emit_byte(L, d, LP__STANDARD);
    lp__emit_string(L, d, -1);
    break;
  case LP__REFERENCE_MODULE:
    lp__emit_byte(L, d, LP__MODULE);
    lp__emit_string(L, d, -1);
    lp__need_module(L, d, -1);
    break;
  case LP__REFERENCE_FIELD:
    lp__emit_byte(L, d, LP__MODULE_FIELD);
    lp__emit_string(L, d, -2);
    lp__emit_string(L, d, -1);
    lp__need_module(L, d, -2);
    break;
  default:
    return 0;
  }
  lua_settop(L, top);
  return 1;
}

/* Writes what the receiver has as a reference to its own. */
static int write_origin(lua_State *L, struct lp__dumper *d, int index,
                        int as_metatable) {
  lua_Integer origin;
  if (d->origins == 0)
    return 0;
  lua_pushvalue(L, index);
  lua_rawget(L, d->origins);
  origin = lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (origin == 0 || ((origin & 1) && !as_metatable))
    return 0;
  lp__emit_byte(L, d, LP__ORIGIN);
  lp__emit_varint(L, d, (uint64_t)origin >> 32);
  lp__emit_varint(L, d, (uint64_t)origin & 0xffffffffu);
  return 1;
}

static void check_rebuilt(lua_State *L, const struct lp__dumper *d,
                          size_t position);

/* Writes an object that was written before, or that travels by name; 0 when
 * it must be opened. */
static int write_known(lua_State *L, struct lp__dumper *d, int index) {
  struct lp__map_entry *entry = lp__map_find(&d->seen, lua_topointer(L, index));
  if (entry) {
    check_rebuilt(L, d, entry->value);
    lp__emit_ref(L, d, LP__REF, entry->value);
    return 1;
  }
  return lp__write_reference(L, d, index) || write_origin(L, d, index, 0);
}

static int has_hook(lua_State *L, int index) {
  int found;
  if (!lua_getmetatable(L, index))
    return 0;
  lua_pushliteral(L, "__lambdapool");
  found = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 2);
  return found;
}

/* Writes the value at `index` unless it is a container to be opened: then
 * returns 0. */
static int write_simple(lua_State *L, struct lp__dumper *d, int index) {
  switch (lua_type(L, index)) {
  case LUA_TNIL:
    lp__emit_byte(L, d, LP__NIL);
    return 1;
  case LUA_TBOOLEAN:
    lp__emit_byte(L, d, lua_toboolean(L, index) ? LP__TRUE : LP__FALSE);
    return 1;
  case LUA_TNUMBER:
    write_number(L, d, index);
    return 1;
  case LUA_TSTRING:
    lp__write_string(L, d, index);
    return 1;
  case LUA_TTABLE:
    return write_known(L, d, index);
  case LUA_TFUNCTION:
    if (write_known(L, d, index))
      return 1;
    if (lua_iscfunction(L, index)) {
      return lp__refuse(L, d, index, NULL,
                        "only C functions of modules can be sent, by name");
    }
    return 0;
  case LUA_TUSERDATA:
    if (write_known(L, d, index))
      return 1;
    if (has_hook(L, index))
      return 0;
    return lp__refuse(L, d, index, NULL,
                      "open it inside the task, or once per worker in a "
                      "module the task requires");
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, index) != NULL) {
      return lp__refuse(L, d, index, NULL, NULL);
    }
    lp__emit_byte(L, d, LP__NULL_POINTER);
    return 1;
  default:
    return lp__refuse(L, d, index, NULL, "create it inside the task");
  }
}

/* --- frames ------------------------------------------------------------- */

/* Makes room on the Lua stack for what a frame needs above its base, and for
 * some deeper ones. */
static void make_room(lua_State *L, struct lp__dumper *d) {
  enum { AHEAD = 200 };
  if (!lua_checkstack(L, BATCH + 20 + AHEAD))
    luaL_error(L, "cannot send the value: it is nested too deeply");
  d->stack_room = lua_gettop(L) + AHEAD;
}

struct lp__frame *lp__push_frame(lua_State *L, struct lp__dumper *d,
                                 enum lp__frame_kind kind) {
  struct lp__frame *f;
  if (d->frames.size / sizeof *f >= LP__MAX_DEPTH) {
    luaL_error(L,
               "cannot send the value: it is nested more than %d levels "
               "deep",
               LP__MAX_DEPTH);
  }
  f = (void *)lp__buffer_reserve(L, &d->frames, sizeof *f);
  d->frames.size += sizeof *f;
  memset(f, 0, sizeof *f);
  f->base = lua_gettop(L);
  if (f->base > d->stack_room)
    make_room(L, d);
  f->kind = kind;
  f->mark = f->tag = d->out.buffer.size;
  return f;
}

void lp__pop_frame(lua_State *L, struct lp__dumper *d) {
  lua_settop(L, lp__top_frame(d)->base - 1);
  d->frames.size -= sizeof(struct lp__frame);
}

void lp__see(lua_State *L, struct lp__dumper *d, int index) {
  const void *key = lua_topointer(L, index);
  int found;
  lp__map_reserve(L, &d->seen, d->seen_box);
  lp__map_at(&d->seen, key, &found)->value = (uint32_t)d->out.buffer.size;
  if (d->hooks)
    keep_alive(L, d, index);
}

static void open_container(lua_State *L, struct lp__dumper *d);

void lp__write_value(lua_State *L, struct lp__dumper *d) {
  if (write_simple(L, d, -1)) {
    lua_pop(L, 1);
  } else {
    open_container(L, d);
  }
}

/* --- tables ------------------------------------------------------------- */

/* How many elements to write as a sequence.  lua_rawlen is a border, and a
 * sparse table can have one far out: then there is no sequence. */
static size_t sequence_length(lua_State *L, int index) {
  size_t n = (size_t)lua_rawlen(L, index), i;
  if (n < 64)
    return n;
  for (i = 3; i < 12; i += 2) {
    int empty = lua_rawgeti(L, index, (lua_Integer)(n / i + 1)) == LUA_TNIL;
    lua_pop(L, 1);
    if (empty)
      return 0;
  }
  return n;
}

static void open_table(lua_State *L, struct lp__dumper *d) {
  size_t n = sequence_length(L, lua_gettop(L));
  struct lp__frame *f;
  int has_meta;
  lp__see(L, d, -1);
  f = lp__push_frame(L, d, LP__IN_ARRAY);
  has_meta = lua_getmetatable(L, f->base);
  if (has_meta)
    lua_pop(L, 1);
  lp__emit_byte(L, d, has_meta ? LP__TABLE_META : LP__TABLE);
  if (n > UINT32_MAX)
    luaL_error(L, "cannot send a table of %I elements", (LUAI_UACINT)n);
  lp__emit_varint(L, d, n);
  f->has_meta = (uint8_t)has_meta;
  f->batch = BATCH;
  f->count = (uint32_t)n;
  f->next = 1;
}

void lp__refresh(lua_State *L, struct lp__dumper *d) {
  if (!d->refreshed)
    lp__reference_refresh(L, &d->references);
  d->refreshed = !d->hooks;
}

static const char classes_key = 0;

/* The metatable on top may be a class that was added to a module since the
 * modules were looked at: look again when it is met for the first time. */
static void meet_class(lua_State *L, struct lp__dumper *d) {
  lp__push_weak_table(L, &classes_key);
  lua_pushvalue(L, -2);
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lp__refresh(L, d);
    lua_pushvalue(L, -3);
    lua_pushboolean(L, 1);
    lua_rawset(L, -4);
  }
  lua_pop(L, 2);
}

/* Records that the object on top, whose tag is at `position`, is one that the
 * receiver may refer to. */
static void record(lua_State *L, struct lp__dumper *d, size_t position,
                   int only_metatable) {
  size_t offset =
      lp__rope_offset(&d->out, position) - lp__rope_offset(&d->out, d->start);
  lua_pushvalue(L, -1);
  lua_rawseti(L, d->record,
              (lua_Integer)lp__origin_key(offset, only_metatable));
}

/* Records a table that may be a metatable: it looks like one, or it is empty
 * and may become one.  Loading follows the same rule. */
static void record_class(lua_State *L, struct lp__dumper *d,
                         const struct lp__frame *f) {
  int is_empty = f->count == 0 && f->pairs == 0;
  if (!f->is_class && !is_empty)
    return;
  lua_pushvalue(L, f->base);
  record(L, d, f->tag, !f->is_class);
  lua_pop(L, 1);
}

static void end_table(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f = lp__top_frame(d);
  struct lp__map_entry *seen;
  if (d->record)
    record_class(L, d, f);
  if (!f->has_meta) {
    lp__pop_frame(L, d);
    return;
  }
  f->has_meta = 0;
  f->kind = LP__IN_METATABLE;
  lua_settop(L, f->base);
  lua_getmetatable(L, f->base);
  meet_class(L, d);
  seen = lp__map_find(&d->seen, lua_topointer(L, -1));
  if (d->record) /* a REF back to it names the same offset */
    record(L, d, seen ? seen->value : d->out.buffer.size, 0);
  if (seen == NULL && write_origin(L, d, -1, 1)) {
    lua_pop(L, 1);
    return;
  }
  lp__write_value(L, d);
}

/* The sequence is written; other keys follow, if there are any. */
static void begin_pairs(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f = lp__top_frame(d);
  f->mark = d->out.buffer.size;
  lp__emit_byte(L, d, 0); /* the hint */
  if (lp__is_sequence(L, d->quick, f->base, f->count, f->count - f->holes)) {
    end_table(L, d);
    return;
  }
  f->kind = LP__IN_PAIRS;
  lua_pushnil(L);
}

/* Writes integers, by far the most frequent in bulk, from index `first` to
 * `last`.  Returns the index of the first value that is none. */
static int write_integers(lua_State *L, struct lp__dumper *d, int first,
                          int last) {
  unsigned char *start, *at;
  start = lp__buffer_reserve(L, &d->out.buffer,
                             (size_t)(last - first + 1) * (LP__VARINT_MAX + 1));
  for (at = start; first <= last && lua_isinteger(L, first); first++)
    at = put_integer(at, lua_tointegerx(L, first, NULL));
  d->out.buffer.size += (size_t)(at - start);
  return first;
}

/* Writes the elements at base + 1 to base + n.  Returns how many; it stops in
 * front of one that is a container. */
static int write_batch(lua_State *L, struct lp__dumper *d, struct lp__frame *f,
                       int n) {
  int base = f->base, i = base + 1, first = (int)f->next - i;
  while ((i = write_integers(L, d, i, base + n)) <= base + n) {
    f->next = (uint32_t)(first + i + 1);
    if (lua_isnil(L, i)) {
      lp__emit_byte(L, d, LP__NIL);
      if (++f->holes > MAX_HOLES)
        luaL_error(L, "cannot send a table with more than %d holes", MAX_HOLES);
    } else if (!write_simple(L, d, i)) {
      return i - base - 1;
    }
    i++;
  }
  f->next = (uint32_t)(first + base + n + 1);
  return n;
}

static void step_array(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f = lp__top_frame(d);
  int base = f->base;
  while (f->next <= f->count) {
    uint32_t left = f->count - f->next + 1;
    int n = left > f->batch ? f->batch : (int)left, i, done;
    for (i = 0; i < n; i++)
      lua_rawgeti(L, base, f->next + i);
    done = write_batch(L, d, f, n);
    if (done < n) {
      f->batch = 1; /* more containers are likely to follow */
      lua_copy(L, base + 1 + done, base + 1);
      lua_settop(L, base + 1);
      open_container(L, d);
      return;
    }
    lua_settop(L, base);
  }
  begin_pairs(L, d);
}

/* Whether the key on top was written with the sequence. */
static int is_element(lua_State *L, const struct lp__frame *f, int index) {
  return lua_isinteger(L, index) &&
         (lua_Unsigned)lua_tointeger(L, index) - 1u < f->count;
}

static void step_pairs(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f = lp__top_frame(d);
  while (lua_next(L, f->base)) { /* key value */
    if (f->count > 0 && is_element(L, f, -2)) {
      lua_pop(L, 1);
      continue;
    }
    f->pairs++;
    if (lua_type(L, -2) == LUA_TSTRING) {
      if (d->record && lp__is_class_key(lua_tostring(L, -2)))
        f->is_class = 1;
      lp__write_string(L, d, -2);
    } else if (!write_simple(L, d, -2)) {
      f->kind = LP__IN_KEY;
      lua_pushvalue(L, -2);
      open_container(L, d);
      return;
    }
    if (!write_simple(L, d, -1)) {
      open_container(L, d);
      return;
    }
    lua_pop(L, 1);
  }
  if (f->pairs) {
    d->out.buffer.bytes[f->mark] = lp__hint_of(f->pairs);
    lp__emit_byte(L, d, LP__END);
  }
  end_table(L, d);
}

/* The key was a container and is written; now its value. */
static void step_key(lua_State *L, struct lp__dumper *d) {
  lp__top_frame(d)->kind = LP__IN_PAIRS;
  lp__write_value(L, d);
}

/* --- hooks -------------------------------------------------------------- */

/* Replaces the object on top by it and the list of what its hook returned.
 */
static int call_hook(lua_State *L, struct lp__dumper *d) {
  int object = lua_gettop(L), n, i;
  lua_getmetatable(L, object);
  lua_pushliteral(L, "__lambdapool");
  lua_rawget(L, -2);
  lua_remove(L, -2);
  lua_pushvalue(L, object);
  lua_call(L, 1, LUA_MULTRET);
  n = lua_gettop(L) - object;
  if (n == 0 || !lua_isfunction(L, object + 1)) {
    lua_settop(L, object);
    lp__refuse(
        L, d, object, "has a __lambdapool hook that returned no function",
        "it returns a function that rebuilds the value, and its arguments");
  }
  lp__rebuilder_note(L, object + 1);
  lua_createtable(L, n, 0);
  lua_insert(L, object + 1);
  for (i = n; i >= 1; i--)
    lua_rawseti(L, object + 1, i);
  keep_alive(L, d, object + 1);
  return n;
}

/* Opens what the hook of the object on top returns.  At the first hook of a
 * body nothing is called yet: the body begins again. */
static void open_hooked(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f;
  int n;
  if (!d->hooks) {
    d->restart = 1;
    return;
  }
  lp__see(L, d, -1);
  n = call_hook(L, d);
  f = lp__push_frame(L, d, LP__IN_HOOK);
  f->base--;
  f->next = 1;
  f->count = (uint32_t)n;
  lp__emit_byte(L, d, LP__REBUILD);
}

/* Records where the receiver finds the rebuild function, when it is code. */
static void record_function(lua_State *L, struct lp__dumper *d) {
  struct lp__map_entry *seen;
  lua_rawgeti(L, lp__top_frame(d)->base + 1, 1);
  seen = lp__map_find(&d->seen, lua_topointer(L, -1));
  if (seen && d->record)
    record(L, d, seen->value, 0);
  lua_pop(L, 1);
}

static void step_hook(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f = lp__top_frame(d);
  if (f->next == 2) {
    record_function(L, d);
    lp__emit_varint(L, d, f->count - 1);
  }
  if (f->next > f->count) {
    lp__pop_frame(L, d);
    return;
  }
  lua_rawgeti(L, f->base + 1, f->next++);
  lp__write_value(L, d);
}

/* A value cannot be an argument of its own rebuilding. */
static void check_rebuilt(lua_State *L, const struct lp__dumper *d,
                          size_t position) {
  const struct lp__frame *frames = (const void *)d->frames.bytes;
  size_t i;
  if ((d->out.buffer.bytes[position] & ~LP__KEPT) != LP__REBUILD)
    return;
  for (i = 0; i < d->frames.size / sizeof *frames; i++) {
    if (frames[i].kind == LP__IN_HOOK && frames[i].mark == position) {
      lp__refuse(L, d, frames[i].base,
                 "is an argument of its own __lambdapool hook", NULL);
    }
  }
}

/* --- the walk ----------------------------------------------------------- */

static void open_container(lua_State *L, struct lp__dumper *d) {
  if (lua_isfunction(L, -1)) {
    lp__open_function(L, d);
  } else if (has_hook(L, -1)) {
    open_hooked(L, d);
  } else {
    open_table(L, d);
  }
}

static void step(lua_State *L, struct lp__dumper *d) {
  switch (lp__top_frame(d)->kind) {
  case LP__IN_ARRAY:
    step_array(L, d);
    break;
  case LP__IN_PAIRS:
    step_pairs(L, d);
    break;
  case LP__IN_KEY:
    step_key(L, d);
    break;
  case LP__IN_METATABLE:
    lp__pop_frame(L, d);
    break;
  case LP__IN_CELLS:
    lp__step_cells(L, d);
    break;
  case LP__IN_GLOBALS:
    lp__step_globals(L, d);
    break;
  default:
    step_hook(L, d);
    break;
  }
}

void lp__write_open(lua_State *L, struct lp__dumper *d) {
  while (d->frames.size && !d->restart)
    step(L, d);
}

void lp__write_all(lua_State *L, struct lp__dumper *d) {
  lp__write_value(L, d);
  lp__write_open(L, d);
}

static void write_body(lua_State *L, struct lp__dumper *d, int first, int n) {
  int i;
  lua_newtable(L);
  d->modules = lua_gettop(L);
  lp__emit_varint(L, d, (uint64_t)n);
  for (i = 0; i < n && !d->restart; i++) {
    d->argument = i + 1;
    lua_pushvalue(L, first + i);
    lp__write_all(L, d);
  }
  lp__write_modules(L, d);
}

static void clear_record(lua_State *L, const struct lp__dumper *d) {
  lua_pushnil(L);
  while (lua_next(L, d->record)) {
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_pushnil(L);
    lua_rawset(L, d->record); /* clearing a field during a walk is allowed */
  }
}

void lp__dump_body(lua_State *L, struct lp__dumper *d, int first, int n) {
  unsigned segments = d->out.segment_count;
  int top = lua_gettop(L);
  luaL_checkstack(L, BATCH + 20, NULL);
  d->start = d->out.buffer.size;
  d->hooks = 0;
  for (;;) {
    lp__map_clear(&d->seen);
    d->frames.size = 0;
    d->restart = 0;
    write_body(L, d, first, n);
    lua_settop(L, top);
    if (!d->restart)
      return;
    d->hooks = 1;
    d->out.buffer.size = d->start;
    d->out.segment_count = segments;
    if (d->record)
      clear_record(L, d);
  }
}

/* Writes the value when it is simple; returns the end, or NULL. */
static inline unsigned char *put_simple(lua_State *L, int index,
                                        unsigned char *at) {
  size_t size;
  const char *bytes;
  switch (lua_type(L, index)) {
  case LUA_TNIL:
    *at++ = LP__NIL;
    return at;
  case LUA_TBOOLEAN:
    *at++ = lua_toboolean(L, index) ? LP__TRUE : LP__FALSE;
    return at;
  case LUA_TNUMBER:
    if (lua_isinteger(L, index))
      return put_integer(at, lua_tointegerx(L, index, NULL));
    *at = LP__FLOAT;
    lp__put_double(at + 1, lua_tonumberx(L, index, NULL));
    return at + 9;
  case LUA_TSTRING:
    bytes = lua_tolstring(L, index, &size);
    if (size > LP__SHORT_STRING_MAX)
      return NULL;
    *at++ = (unsigned char)(LP__SHORT_STRING | size);
    memcpy(at, bytes, size);
    return at + size;
  default:
    return NULL;
  }
}

size_t lp__dump_simple(lua_State *L, int first, int n, unsigned char *out) {
  unsigned char *at = out;
  int i;
  if (n > LP__SIMPLE_VALUES)
    return 0;
  *at++ = (unsigned char)n;
  for (i = 0; i < n; i++) {
    at = put_simple(L, first + i, at);
    if (at == NULL)
      return 0;
  }
  *at++ = LP__END;
  return (size_t)(at - out);
}

void lp__dump_values(lua_State *L, int n) {
  struct lp__dumper d;
  int first = lua_gettop(L) - n + 1;
  lp__dump_begin(L, &d);
  lp__seal_begin(L, &d.out.buffer);
  lp__dump_body(L, &d, first, n);
  lp__seal_end(&d.out);
  lp__rope_push(L, &d.out, 0);
  lua_replace(L, first);
  lp__dump_end(L, &d);
  lua_settop(L, first);
}
