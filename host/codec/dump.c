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
#include "function.h"
#include "names.h"
#include "prototype.h"
#include "rebuilder.h"
#include "seal.h"
#include "sequence.h"
#include "source.h"
#include "wire.h"

enum {
  BATCH = 32,         /* elements fetched at a time */
  SHARE_FROM = 4,     /* bytes; shorter strings are cheaper written again */
  MAX_HOLES = 1 << 20 /* nils within the sequence of a table */
};

/* Different things at one address need different keys in the map. */
static const void *name_key(const char *name) {
  return name + 2;
}

/* --- output ------------------------------------------------------------- */

static void put_byte(lua_State *L, struct lp__dumper *d, int byte) {
  *lp__buffer_reserve(L, &d->out.buffer, 1) = (unsigned char)byte;
  d->out.buffer.size++;
}

static void put_varint(lua_State *L, struct lp__dumper *d, uint64_t v) {
  unsigned char *at = lp__buffer_reserve(L, &d->out.buffer, LP__VARINT_MAX);
  d->out.buffer.size += (size_t)(lp__put_varint(at, v) - at);
}

/* Writes the distance from `position` (of the tag being written) back to
 * `target`. */
static void put_distance(lua_State *L, struct lp__dumper *d, size_t position,
                         size_t target) {
  put_varint(L, d,
             lp__rope_offset(&d->out, position) -
                 lp__rope_offset(&d->out, target));
}

/* Sets the bit that tells the loader to remember what it reads here. */
static void keep(struct lp__dumper *d, size_t position) {
  unsigned char *tag = &d->out.buffer.bytes[position];
  *tag |= *tag >= LP__SHORT_STRING ? LP__SHORT_STRING_KEPT : LP__KEPT;
}

static void put_ref(lua_State *L, struct lp__dumper *d, enum lp__tag tag,
                    size_t target) {
  size_t position = d->out.buffer.size;
  keep(d, target);
  put_byte(L, d, tag);
  put_distance(L, d, position, target);
}

/* A string without a tag, at `index`. */
static void put_string(lua_State *L, struct lp__dumper *d, int index) {
  put_varint(L, d, (uint64_t)lua_rawlen(L, index));
  lp__rope_add_string(L, &d->out, index);
}

/* Hooks may collect garbage: what is known by its address must not go. */
static void keep_alive(lua_State *L, struct lp__dumper *d, int index) {
  lua_pushvalue(L, index);
  lua_rawseti(L, d->alive, (lua_Integer)lua_rawlen(L, d->alive) + 1);
}

/* --- simple values ------------------------------------------------------ */

static void write_string(lua_State *L, struct lp__dumper *d, int index) {
  size_t size;
  const char *bytes = lua_tolstring(L, index, &size);
  if (size >= SHARE_FROM) {
    struct lp__map_entry *entry;
    int found;
    lp__map_reserve(L, &d->seen, d->seen_box);
    entry = lp__map_at(&d->seen, bytes, &found);
    if (found) {
      put_ref(L, d, LP__REF, entry->value);
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
    put_byte(L, d, LP__STRING);
    put_string(L, d, index);
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

/* Adds the module name at `index` to those whose source is sent along. */
static void need_module(lua_State *L, struct lp__dumper *d, int index) {
  index = lua_absindex(L, index);
  lua_pushvalue(L, index);
  if (lua_rawget(L, d->modules) == LUA_TNIL) {
    lua_pushvalue(L, index);
    lua_pushboolean(L, 1);
    lua_rawset(L, d->modules);
    lua_pushvalue(L, index);
    lua_rawseti(L, d->modules, (lua_Integer)lua_rawlen(L, d->modules) + 1);
  }
  lua_pop(L, 1);
}

/* Writes a value that travels by name; 0 when it does not. */
static int write_reference(lua_State *L, struct lp__dumper *d, int index) {
  int top = lua_gettop(L);
  switch (lp__reference_of(L, &d->references, index)) {
  case LP__REFERENCE_GLOBALS:
    put_byte(L, d, LP__GLOBALS);
    break;
  case LP__REFERENCE_STANDARD:
    put_byte(L, d, LP__STANDARD);
    put_string(L, d, -1);
    break;
  case LP__REFERENCE_MODULE:
    put_byte(L, d, LP__MODULE);
    put_string(L, d, -1);
    need_module(L, d, -1);
    break;
  case LP__REFERENCE_FIELD:
    put_byte(L, d, LP__MODULE_FIELD);
    put_string(L, d, -2);
    put_string(L, d, -1);
    need_module(L, d, -2);
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
  put_byte(L, d, LP__ORIGIN);
  put_varint(L, d, (uint64_t)origin >> 32);
  put_varint(L, d, (uint64_t)origin & 0xffffffffu);
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
    put_ref(L, d, LP__REF, entry->value);
    return 1;
  }
  return write_reference(L, d, index) || write_origin(L, d, index, 0);
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
    put_byte(L, d, LP__NIL);
    return 1;
  case LUA_TBOOLEAN:
    put_byte(L, d, lua_toboolean(L, index) ? LP__TRUE : LP__FALSE);
    return 1;
  case LUA_TNUMBER:
    write_number(L, d, index);
    return 1;
  case LUA_TSTRING:
    write_string(L, d, index);
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
    put_byte(L, d, LP__NULL_POINTER);
    return 1;
  default:
    return lp__refuse(L, d, index, NULL, "create it inside the task");
  }
}

/* --- frames ------------------------------------------------------------- */

static struct lp__frame *top_frame(struct lp__dumper *d) {
  return (struct lp__frame *)(void *)(d->frames.bytes + d->frames.size) - 1;
}

/* Makes room on the Lua stack for what a frame needs above its base, and for
 * some deeper ones. */
static void make_room(lua_State *L, struct lp__dumper *d) {
  enum { AHEAD = 200 };
  if (!lua_checkstack(L, BATCH + 20 + AHEAD))
    luaL_error(L, "cannot send the value: it is nested too deeply");
  d->stack_room = lua_gettop(L) + AHEAD;
}

static struct lp__frame *push_frame(lua_State *L, struct lp__dumper *d,
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

/* Ends the frame and removes its container from the stack. */
static void pop_frame(lua_State *L, struct lp__dumper *d) {
  lua_settop(L, top_frame(d)->base - 1);
  d->frames.size -= sizeof(struct lp__frame);
}

/* Notes that the object at `index` begins at the current position. */
static void see(lua_State *L, struct lp__dumper *d, int index) {
  const void *key = lua_topointer(L, index);
  int found;
  lp__map_reserve(L, &d->seen, d->seen_box);
  lp__map_at(&d->seen, key, &found)->value = (uint32_t)d->out.buffer.size;
  if (d->hooks)
    keep_alive(L, d, index);
}

static void open_container(lua_State *L, struct lp__dumper *d);

/* Writes the value on top and removes it; a container is opened and written
 * in the steps that follow. */
static void write_value(lua_State *L, struct lp__dumper *d) {
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
  see(L, d, -1);
  f = push_frame(L, d, LP__IN_ARRAY);
  has_meta = lua_getmetatable(L, f->base);
  if (has_meta)
    lua_pop(L, 1);
  put_byte(L, d, has_meta ? LP__TABLE_META : LP__TABLE);
  if (n > UINT32_MAX)
    luaL_error(L, "cannot send a table of %I elements", (LUAI_UACINT)n);
  put_varint(L, d, n);
  f->has_meta = (uint8_t)has_meta;
  f->batch = BATCH;
  f->count = (uint32_t)n;
  f->next = 1;
}

/* Looks at the modules again, once in a session: only a hook could change them
 * meanwhile. */
static void refresh(lua_State *L, struct lp__dumper *d) {
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
    refresh(L, d);
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
  struct lp__frame *f = top_frame(d);
  struct lp__map_entry *seen;
  if (d->record)
    record_class(L, d, f);
  if (!f->has_meta) {
    pop_frame(L, d);
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
  write_value(L, d);
}

/* The sequence is written; other keys follow, if there are any. */
static void begin_pairs(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f = top_frame(d);
  f->mark = d->out.buffer.size;
  put_byte(L, d, 0); /* the hint */
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
      put_byte(L, d, LP__NIL);
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
  struct lp__frame *f = top_frame(d);
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
  struct lp__frame *f = top_frame(d);
  while (lua_next(L, f->base)) { /* key value */
    if (f->count > 0 && is_element(L, f, -2)) {
      lua_pop(L, 1);
      continue;
    }
    f->pairs++;
    if (lua_type(L, -2) == LUA_TSTRING) {
      if (d->record && lp__is_class_key(lua_tostring(L, -2)))
        f->is_class = 1;
      write_string(L, d, -2);
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
    put_byte(L, d, LP__END);
  }
  end_table(L, d);
}

/* The key was a container and is written; now its value. */
static void step_key(lua_State *L, struct lp__dumper *d) {
  top_frame(d)->kind = LP__IN_PAIRS;
  write_value(L, d);
}

/* --- functions ---------------------------------------------------------- */

/* Writes the chunk of the description on top, or where it was written. */
static void write_chunk(lua_State *L, struct lp__dumper *d) {
  int chunk = lua_gettop(L) + 1, found;
  struct lp__map_entry *entry;
  lua_rawgeti(L, -1, LP__CODE_CHUNK);
  lp__map_reserve(L, &d->seen, d->seen_box);
  entry = lp__map_at(&d->seen, lua_topointer(L, chunk), &found);
  if (found) {
    put_distance(L, d, d->out.buffer.size, entry->value);
  } else {
    entry->value = (uint32_t)d->out.buffer.size;
    put_byte(L, d, 0);
    lua_rawgeti(L, chunk, LP__CHUNK_NAME);
    put_string(L, d, -1);
    lua_rawgeti(L, chunk, LP__CHUNK_NEWLINES);
    put_varint(L, d, (uint64_t)lua_tointeger(L, -1));
    lua_rawgeti(L, chunk, LP__CHUNK_TEXT);
    put_string(L, d, -1);
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
    put_distance(L, d, d->out.buffer.size, entry->value);
    lua_settop(L, code);
    return;
  }
  entry->value = (uint32_t)d->out.buffer.size;
  put_byte(L, d, 0);
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
    refresh(L, d);
    if (!d->by_code && write_reference(L, d, -2))
      return 0;
  }
  return 1;
}

static void open_function(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f;
  if (!push_code(L, d)) {
    lua_pop(L, 2);
    return;
  }
  see(L, d, -2);
  f = push_frame(L, d, LP__IN_CELLS); /* function code */
  f->base--;
  put_byte(L, d, LP__FUNCTION);
  write_code(L, d);
  lua_rawgeti(L, -1, LP__CODE_UPVALUES);
  f->count = (uint32_t)lua_tointeger(L, -1);
  lua_pop(L, 1);
  put_varint(L, d, f->count);
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
      need_module(L, d, top);
  } else if (lua_getupvalue(L, function, n)) {
    if (lua_isfunction(L, -1) &&
        lp__reference_of(L, &d->references, -1) == LP__REFERENCE_STANDARD &&
        strcmp(lua_tostring(L, -1), "require") == 0) {
      need_module(L, d, top);
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
  struct lp__frame *f = top_frame(d);
  f->kind = LP__IN_GLOBALS;
  push_globals(L, d, f->base);
  f->count = (uint32_t)lua_rawlen(L, -1);
  f->next = 1;
  put_varint(L, d, f->count);
}

static void step_cells(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f = top_frame(d);
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
    put_ref(L, d, LP__CELL_REF, entry->value);
    return;
  }
  entry->value = (uint32_t)d->out.buffer.size;
  put_byte(L, d, LP__CELL);
  lua_getupvalue(L, f->base, (int)f->next);
  f->next++;
  write_value(L, d);
}

static void step_globals(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f = top_frame(d);
  if (f->next > f->count) {
    pop_frame(L, d);
    return;
  }
  lua_rawgeti(L, f->base + 2, f->next++);
  write_string(L, d, -1);
  lua_pushglobaltable(L);
  lua_insert(L, -2);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  write_value(L, d);
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
  see(L, d, -1);
  n = call_hook(L, d);
  f = push_frame(L, d, LP__IN_HOOK);
  f->base--;
  f->next = 1;
  f->count = (uint32_t)n;
  put_byte(L, d, LP__REBUILD);
}

/* Records where the receiver finds the rebuild function, when it is code. */
static void record_function(lua_State *L, struct lp__dumper *d) {
  struct lp__map_entry *seen;
  lua_rawgeti(L, top_frame(d)->base + 1, 1);
  seen = lp__map_find(&d->seen, lua_topointer(L, -1));
  if (seen && d->record)
    record(L, d, seen->value, 0);
  lua_pop(L, 1);
}

static void step_hook(lua_State *L, struct lp__dumper *d) {
  struct lp__frame *f = top_frame(d);
  if (f->next == 2) {
    record_function(L, d);
    put_varint(L, d, f->count - 1);
  }
  if (f->next > f->count) {
    pop_frame(L, d);
    return;
  }
  lua_rawgeti(L, f->base + 1, f->next++);
  write_value(L, d);
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
    open_function(L, d);
  } else if (has_hook(L, -1)) {
    open_hooked(L, d);
  } else {
    open_table(L, d);
  }
}

static void step(lua_State *L, struct lp__dumper *d) {
  switch (top_frame(d)->kind) {
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
    pop_frame(L, d);
    break;
  case LP__IN_CELLS:
    step_cells(L, d);
    break;
  case LP__IN_GLOBALS:
    step_globals(L, d);
    break;
  default:
    step_hook(L, d);
    break;
  }
}

/* Writes the value on top, all of it, and removes it. */
static void write_all(lua_State *L, struct lp__dumper *d) {
  write_value(L, d);
  while (d->frames.size && !d->restart)
    step(L, d);
}

/* Adds what the module's text (on top) requires to the queue. */
static void need_dependencies(lua_State *L, struct lp__dumper *d) {
  int top = lua_gettop(L);
  struct lp__proto main;
  lua_Integer i, n;
  size_t size;
  const char *binary;
  if (lp__source_compile_cached(L, top)) {
    binary = lua_tolstring(L, -1, &size);
    if (lp__proto_main(binary, size, &main) == 0) {
      lp__names_push(L, &main);
      n = lua_istable(L, -1) ? (lua_Integer)lua_rawlen(L, -1) : 0;
      for (i = 2; i < n; i += 3) {
        lua_rawgeti(L, top + 2, i);
        if (lua_tointeger(L, -1) == LP__NAME_REQUIRE_FIELD) {
          lua_rawgeti(L, top + 2, i + 1);
          need_module(L, d, -1);
        }
        lua_settop(L, top + 2);
      }
    }
  }
  lua_settop(L, top);
}

/* Writes the loader on top, by its code: by name it would be a field of a
 * module that is not loaded yet when this one is. */
static void write_loader(lua_State *L, struct lp__dumper *d) {
  if (lp__map_find(&d->seen, lua_topointer(L, -1)) == NULL) {
    d->by_code = 1;
    open_function(L, d);
    d->by_code = 0;
    while (d->frames.size && !d->restart)
      step(L, d);
  } else {
    write_all(L, d);
  }
}

/* Writes one module of the queue, its name on top. */
static void write_module(lua_State *L, struct lp__dumper *d) {
  int name = lua_gettop(L);
  switch (lp__reference_module(L, name)) {
  case LP__SHIP_TEXT: /* name chunk text */
    put_byte(L, d, LP__MODULE_TEXT);
    put_string(L, d, name);
    put_string(L, d, name + 1);
    put_string(L, d, name + 2);
    need_dependencies(L, d);
    break;
  case LP__SHIP_LOADER: /* name loader */
    put_byte(L, d, LP__MODULE_LOADER);
    put_string(L, d, name);
    write_loader(L, d);
    break;
  default:
    break;
  }
  lua_settop(L, name);
}

static void write_modules(lua_State *L, struct lp__dumper *d) {
  lua_Integer i;
  for (i = 1; i <= (lua_Integer)lua_rawlen(L, d->modules) && !d->restart; i++) {
    lua_rawgeti(L, d->modules, i);
    write_module(L, d);
    lua_pop(L, 1);
  }
  put_byte(L, d, LP__END);
}

static void write_body(lua_State *L, struct lp__dumper *d, int first, int n) {
  int i;
  lua_newtable(L);
  d->modules = lua_gettop(L);
  put_varint(L, d, (uint64_t)n);
  for (i = 0; i < n && !d->restart; i++) {
    d->argument = i + 1;
    lua_pushvalue(L, first + i);
    write_all(L, d);
  }
  write_modules(L, d);
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
