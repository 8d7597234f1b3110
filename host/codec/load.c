/*
 * Bytes to Lua values.  See load.h, and wire.h for the format.
 *
 * Containers are created when their tag is read and filled as their contents
 * arrive, on a stack of frames: no recursion in C.  What needs code to run, a
 * module that is not loaded or a value to be rebuilt, is a promise at first;
 * promises are kept, and metatables set, when all bytes were found good.
 */
#include "load.h"

#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

#include "buffer.h"
#include "dump.h"
#include "frame.h"
#include "lift.h"
#include "offered.h"
#include "pointer_map.h"
#include "promise.h"
#include "reference.h"
#include "seal.h"
#include "source.h"
#include "wire.h"

enum frame_kind {
  VALUES, /* the values of the body */
  ARRAY,  /* a table's sequence */
  KEY,    /* of a table's pair comes next */
  VALUE,  /* to the key at base + 1 */
  METATABLE,
  CELL, /* an upvalue of a function */
  GLOBAL_NAME,
  GLOBAL,  /* value to the name at base + 1 */
  REBUILT, /* function, then the arguments */
  MODULE   /* the loader of a module, its name at base */
};

struct frame {
  int base;     /* stack index of the container */
  uint8_t kind; /* enum frame_kind */
  uint8_t tag;
  uint32_t next, count;
  uint32_t offset;            /* of the tag, from the start of the body */
  uint8_t is_class, is_empty; /* of a table, see lp__is_class_key */
};

/* What an earlier offset means: kind in the low bits, then an index. */
enum kept_kind { KEPT_OBJECT, KEPT_CELL, KEPT_CODE, KEPT_CHUNK };

struct chunk {
  struct lp__bytes name, text;
  lua_Integer newlines;
};

struct code {
  uint32_t chunk; /* index */
  const unsigned char *path;
};

struct loader {
  const struct lp__load_options *options;
  const unsigned char *start, *at, *end;
  size_t budget;      /* elements that may still be announced */
  size_t pair_budget; /* pairs that tables may still be presized for */
  struct lp__buffer frames;
  struct lp__buffer chunks;
  struct lp__buffer codes;
  struct lp__map offsets; /* offset + 1 -> what it means */
  int offsets_box;
  int kept; /* stack index: list of kept objects */
  lua_Integer kept_count;
  struct lp__promises promises;
  int environment;        /* stack index; nil until needed */
  int stack_room;         /* stack index up to which there is room */
  uint32_t object_offset; /* where the last value read was defined */
  struct frame first[8];  /* most values need no more than these frames */
};

static int malformed(lua_State *L, const char *what) {
  return luaL_error(L, "cannot load: malformed bytes (%s)", what);
}

/* --- reading ------------------------------------------------------------ */

static size_t rest(const struct loader *l) {
  return (size_t)(l->end - l->at);
}

static uint64_t get_varint(lua_State *L, struct loader *l) {
  uint64_t v = 0;
  l->at = lp__get_varint(l->at, l->end, &v);
  if (l->at == NULL)
    malformed(L, "cut off");
  return v;
}

/* A number of things that follow, each at least one byte.  The sum of all
 * announced is bounded by the bytes there are, so nested tables cannot
 * announce the same bytes again and again. */
static uint32_t get_count(lua_State *L, struct loader *l) {
  uint64_t n = get_varint(L, l);
  if (n > l->budget || n > rest(l))
    malformed(L, "bad count");
  l->budget -= n;
  return (uint32_t)n;
}

static struct lp__bytes get_bytes(lua_State *L, struct loader *l, size_t n) {
  struct lp__bytes bytes;
  if (n > rest(l))
    malformed(L, "cut off");
  bytes.at = l->at;
  bytes.end = l->at += n;
  return bytes;
}

static struct lp__bytes get_string(lua_State *L, struct loader *l) {
  uint64_t n = get_varint(L, l);
  if (n > rest(l))
    malformed(L, "cut off");
  return get_bytes(L, l, (size_t)n);
}

static void push_bytes(lua_State *L, struct lp__bytes b) {
  lua_pushlstring(L, (const char *)b.at, (size_t)(b.end - b.at));
}

static void push_string(lua_State *L, struct loader *l) {
  push_bytes(L, get_string(L, l));
}

/* --- what REFs mean ----------------------------------------------------- */

static uint32_t offset_of(const struct loader *l, const unsigned char *at) {
  return (uint32_t)(at - l->start);
}

static void keep(lua_State *L, struct loader *l, uint32_t offset,
                 enum kept_kind kind, uint32_t index) {
  int found;
  const void *key = (const void *)((uintptr_t)offset + 1);
  if (index > UINT32_MAX >> 2)
    malformed(L, "too many references");
  lp__map_reserve(L, &l->offsets, l->offsets_box);
  lp__map_at(&l->offsets, key, &found)->value = index << 2 | kind;
}

/* Remembers the object on top. */
static void keep_object(lua_State *L, struct loader *l, uint32_t offset) {
  lua_pushvalue(L, -1);
  lua_rawseti(L, l->kept, ++l->kept_count);
  keep(L, l, offset, KEPT_OBJECT, (uint32_t)l->kept_count);
}

/* Reads a distance from `tag` and returns what stands there. */
static uint32_t get_kept(lua_State *L, struct loader *l,
                         const unsigned char *tag, uint64_t distance,
                         enum kept_kind kind) {
  struct lp__map_entry *entry;
  if (distance == 0 || distance > (uint64_t)(tag - l->start)) {
    malformed(L, "bad reference");
  }
  l->object_offset = offset_of(l, tag) - (uint32_t)distance;
  entry = lp__map_find(&l->offsets,
                       (const void *)((uintptr_t)l->object_offset + 1));
  if (entry == NULL || (entry->value & 3) != (uint32_t)kind) {
    malformed(L, "bad reference");
  }
  return entry->value >> 2;
}

/* --- frames ------------------------------------------------------------- */

static struct frame *top_frame(struct loader *l) {
  return (struct frame *)(void *)(l->frames.bytes + l->frames.size) - 1;
}

/* Makes room on the Lua stack for what a frame needs, and for some deeper
 * ones. */
static void make_room(lua_State *L, struct loader *l) {
  enum { FRAME = 20, AHEAD = 200 };
  luaL_checkstack(L, FRAME + AHEAD, "cannot load: nested too deeply");
  l->stack_room = lua_gettop(L) + AHEAD;
}

/* Opens a frame for the container on top. */
static struct frame *push_frame(lua_State *L, struct loader *l,
                                enum frame_kind kind) {
  struct frame *f;
  if (l->frames.size / sizeof *f > LP__MAX_DEPTH) {
    malformed(L, "nested too deeply");
  }
  if (lua_gettop(L) > l->stack_room)
    make_room(L, l);
  f = (void *)lp__buffer_reserve(L, &l->frames, sizeof *f);
  l->frames.size += sizeof *f;
  memset(f, 0, sizeof *f);
  f->base = lua_gettop(L);
  f->kind = (uint8_t)kind;
  return f;
}

/* --- simple values ------------------------------------------------------ */

static void push_environment(lua_State *L, struct loader *l) {
  if (lua_isnil(L, l->environment)) {
    lua_newtable(L);
    lua_replace(L, l->environment);
    lp__reference_globals(L);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, l->environment);
    }
    lua_pop(L, 1);
    lua_pushliteral(L, "_G");
    lua_pushvalue(L, l->environment);
    lua_rawset(L, l->environment);
  }
  lua_pushvalue(L, l->environment);
}

static void read_standard(lua_State *L, struct loader *l) {
  push_string(L, l);
  lua_pushvalue(L, -1);
  lp__reference_standard(L);
  if (lua_isnil(L, -1)) {
    luaL_error(L, "cannot load: there is no standard value '%s' here",
               lua_tostring(L, -2));
  }
  lua_remove(L, -2);
}

static void read_module(lua_State *L, struct loader *l, int has_field) {
  push_string(L, l); /* name */
  if (has_field) {
    push_string(L, l);
  } else {
    lua_pushboolean(L, 0);
  } /* name field */
  lp__promise_make(L, &l->promises,
                   has_field ? LP__PROMISE_FIELD : LP__PROMISE_MODULE);
}

static void read_origin(lua_State *L, struct loader *l) {
  uint64_t dump = get_varint(L, l), offset = get_varint(L, l);
  if (l->options->origins == 0)
    malformed(L, "bad origin");
  lua_rawgeti(L, l->options->origins, (lua_Integer)dump);
  if (!lua_istable(L, -1))
    malformed(L, "bad origin");
  lua_rawgeti(L, -1, (lua_Integer)offset);
  if (lua_isnil(L, -1))
    malformed(L, "bad origin");
  lua_remove(L, -2);
}

static void read_long_string(lua_State *L, struct loader *l, int tag,
                             uint32_t offset) {
  push_string(L, l);
  if (tag & LP__KEPT)
    keep_object(L, l, offset);
}

static void read_ref(lua_State *L, struct loader *l) {
  const unsigned char *tag = l->at - 1;
  uint64_t distance = get_varint(L, l);
  lua_rawgeti(L, l->kept, get_kept(L, l, tag, distance, KEPT_OBJECT));
}

static double get_double(lua_State *L, struct loader *l) {
  return lp__get_double(get_bytes(L, l, 8).at);
}

static int open_container(lua_State *L, struct loader *l, int tag,
                          uint32_t offset);

/* Reads a value.  Pushes it and returns 1; or opens a container, whose frame
 * is then on top, and returns 0. */
static int read_value(lua_State *L, struct loader *l) {
  uint32_t offset = offset_of(l, l->at);
  int tag;
  if (l->at >= l->end)
    malformed(L, "cut off");
  tag = *l->at++;
  l->object_offset = offset;
  if (tag >= LP__SMALL_INT) {
    lua_pushinteger(L, tag - LP__SMALL_INT);
    return 1;
  }
  if (tag >= LP__SHORT_STRING) {
    push_bytes(L, get_bytes(L, l, (size_t)(tag & LP__SHORT_STRING_MAX)));
    if (tag & LP__SHORT_STRING_KEPT)
      keep_object(L, l, offset);
    return 1;
  }
  switch (tag) {
  case LP__NIL:
    lua_pushnil(L);
    return 1;
  case LP__FALSE:
    lua_pushboolean(L, 0);
    return 1;
  case LP__TRUE:
    lua_pushboolean(L, 1);
    return 1;
  case LP__INT:
    lua_pushinteger(L, lp__unzigzag(get_varint(L, l)));
    return 1;
  case LP__FLOAT:
    lua_pushnumber(L, get_double(L, l));
    return 1;
  case LP__STRING:
  case LP__STRING | LP__KEPT:
    read_long_string(L, l, tag, offset);
    return 1;
  case LP__REF:
    read_ref(L, l);
    return 1;
  case LP__GLOBALS:
    push_environment(L, l);
    return 1;
  case LP__STANDARD:
    read_standard(L, l);
    return 1;
  case LP__MODULE:
    read_module(L, l, 0);
    return 1;
  case LP__MODULE_FIELD:
    read_module(L, l, 1);
    return 1;
  case LP__ORIGIN:
    read_origin(L, l);
    return 1;
  case LP__NULL_POINTER:
    lua_pushlightuserdata(L, NULL);
    return 1;
  default:
    return open_container(L, l, tag, offset);
  }
}

/* --- containers --------------------------------------------------------- */

/* The pairs of the table begin with their hint; without one there are none. */
static void after_array(lua_State *L, struct loader *l, struct frame *f) {
  unsigned char hint = *get_bytes(L, l, 1).at;
  f->kind = hint ? KEY : METATABLE;
  f->is_empty = f->count == 0 && hint == 0;
}

/* The table's size is known best before it is created, but the hint for the
 * pairs stands behind the sequence; only a table without a sequence can be
 * presized for its pairs. */
static void open_table(lua_State *L, struct loader *l, int tag,
                       uint32_t offset) {
  uint32_t n = get_count(L, l);
  size_t pairs = 0;
  struct frame *f;
  if (n == 0 && l->at < l->end)
    pairs = lp__hint_pairs(*l->at);
  if (pairs > l->pair_budget)
    pairs = l->pair_budget;
  l->pair_budget -= pairs;
  if (n > INT32_MAX)
    malformed(L, "bad count");
  lua_createtable(L, (int)n, (int)pairs);
  if (tag & LP__KEPT)
    keep_object(L, l, offset);
  f = push_frame(L, l, ARRAY);
  f->tag = (uint8_t)(tag & ~LP__KEPT);
  f->offset = offset;
  f->count = n;
}

static struct lp__bytes get_path(lua_State *L, struct loader *l) {
  struct lp__bytes path;
  uint64_t depth, i;
  path.at = l->at;
  depth = get_varint(L, l);
  if (depth > LP__MAX_PATH)
    malformed(L, "bad path");
  for (i = 0; i < depth; i++) {
    if (get_varint(L, l) > UINT32_MAX)
      malformed(L, "bad path");
  }
  path.end = l->at;
  return path;
}

static uint32_t read_chunk(lua_State *L, struct loader *l) {
  const unsigned char *tag = l->at;
  uint64_t distance = get_varint(L, l), newlines;
  struct chunk *chunk;
  size_t index = l->chunks.size / sizeof *chunk;
  if (distance)
    return get_kept(L, l, tag, distance, KEPT_CHUNK);
  chunk = (void *)lp__buffer_reserve(L, &l->chunks, sizeof *chunk);
  chunk->name = get_string(L, l);
  newlines = get_varint(L, l);
  chunk->text = get_string(L, l);
  if (newlines > LP__MAX_NEWLINES)
    malformed(L, "bad line");
  if (memchr(chunk->name.at, '\0', (size_t)(chunk->name.end - chunk->name.at)))
    malformed(L, "bad chunk name");
  chunk->newlines = (lua_Integer)newlines;
  l->chunks.size += sizeof *chunk;
  keep(L, l, offset_of(l, tag), KEPT_CHUNK, (uint32_t)index);
  return (uint32_t)index;
}

static uint32_t read_code(lua_State *L, struct loader *l) {
  const unsigned char *tag = l->at;
  uint64_t distance = get_varint(L, l);
  struct code code;
  size_t index = l->codes.size / sizeof code;
  if (distance)
    return get_kept(L, l, tag, distance, KEPT_CODE);
  code.chunk = read_chunk(L, l);
  code.path = get_path(L, l).at;
  lp__buffer_add(L, &l->codes, &code, sizeof code);
  keep(L, l, offset_of(l, tag), KEPT_CODE, (uint32_t)index);
  return (uint32_t)index;
}

/* Pushes a closure of the code; returns its number of upvalues. */
static int push_closure(lua_State *L, const struct loader *l, uint32_t index) {
  const struct code *code = (const struct code *)(void *)l->codes.bytes + index;
  const struct chunk *chunk =
      (const struct chunk *)(void *)l->chunks.bytes + code->chunk;
  const unsigned char *at = code->path;
  struct lp__origin_text origin;
  uint64_t depth = 0, step = 0;
  unsigned i;
  origin.name = chunk->name;
  origin.newlines = chunk->newlines;
  origin.text = chunk->text;
  at = lp__get_varint(at, l->end, &depth); /* was read before: is good */
  origin.path.depth = (unsigned)depth;
  for (i = 0; i < origin.path.depth; i++) {
    at = lp__get_varint(at, l->end, &step);
    origin.path.index[i] = (unsigned)step;
  }
  return lp__lift(L, &origin);
}

static void open_function(lua_State *L, struct loader *l, int tag,
                          uint32_t offset) {
  uint32_t code = read_code(L, l), n;
  int upvalues = push_closure(L, l, code);
  struct frame *f;
  if (tag & LP__KEPT)
    keep_object(L, l, offset);
  n = get_count(L, l);
  if (n != (uint32_t)upvalues)
    malformed(L, "bad number of upvalues");
  f = push_frame(L, l, CELL);
  f->tag = LP__FUNCTION;
  f->offset = offset;
  f->count = n;
}

/* A rebuilt value: a list of the function and its arguments. */
static void open_rebuilt(lua_State *L, struct loader *l, int tag,
                         uint32_t offset) {
  struct frame *f;
  lua_newtable(L);
  f = push_frame(L, l, REBUILT);
  f->tag = (uint8_t)tag;
  f->offset = offset;
  f->count = 1; /* the function; more is known behind it */
}

static int open_container(lua_State *L, struct loader *l, int tag,
                          uint32_t offset) {
  switch (tag & ~LP__KEPT) {
  case LP__TABLE:
  case LP__TABLE_META:
    open_table(L, l, tag, offset);
    return 0;
  case LP__FUNCTION:
    open_function(L, l, tag, offset);
    return 0;
  case LP__REBUILD:
    open_rebuilt(L, l, tag, offset);
    return 0;
  default:
    return malformed(L, "unknown tag");
  }
}

/* --- putting values in their place -------------------------------------- */

static void put_element(lua_State *L, struct loader *l, struct frame *f) {
  lua_Integer id = lp__promise_at(L, &l->promises, -1);
  f->next++;
  if (id == 0) {
    lua_rawseti(L, f->base, f->next);
  } else {
    lua_pushinteger(L, f->next);
    lp__promise_note(L, &l->promises, id, LP__AT_FIELD, f->base);
    lua_pop(L, 1);
  }
}

static void put_key(lua_State *L, struct frame *f) {
  lp__check_key(L, -1);
  f->kind = VALUE;
}

/* The pair's key is below the value. */
static void put_pair(lua_State *L, struct loader *l, struct frame *f) {
  lua_Integer key = lp__promise_at(L, &l->promises, -2),
              value = lp__promise_at(L, &l->promises, -1);
  f->kind = KEY;
  if (key == 0 && value == 0) {
    lua_rawset(L, f->base);
  } else if (key == 0) {
    lua_pop(L, 1);
    lp__promise_note(L, &l->promises, value, LP__AT_FIELD, f->base);
  } else { /* the later promise decides when the pair can be set */
    lua_createtable(L, 2, 0);
    lua_insert(L, -3);
    lua_rawseti(L, -3, 2);
    lua_rawseti(L, -2, 1);
    lp__promise_note(L, &l->promises, key > value ? key : value, LP__AT_PAIR,
                     f->base);
  }
}

/* Notes where the object on top was sent from, for referring to it. */
static void note_origin(lua_State *L, const struct loader *l, uint32_t offset,
                        int only_metatable) {
  lua_Integer key = (lua_Integer)lp__origin_key(offset, only_metatable);
  if (l->options->note == 0 || lp__promise_at(L, &l->promises, -1))
    return;
  lua_pushvalue(L, -1);
  lua_pushinteger(L, l->options->dump << 32 | key);
  lua_rawset(L, l->options->note);
}

static void put_metatable(lua_State *L, struct loader *l, struct frame *f) {
  lua_Integer id = lp__promise_at(L, &l->promises, -1);
  note_origin(L, l, l->object_offset, 0);
  if (id) {
    lua_pushboolean(L, 0);
    lp__promise_note(L, &l->promises, id, LP__AT_METATABLE, f->base);
    lua_pop(L, 1);
  } else {
    if (!lua_istable(L, -1))
      malformed(L, "bad metatable");
    lp__promise_metatable(L, &l->promises, f->base);
  }
  f->tag = LP__TABLE; /* complete */
}

static void put_cell(lua_State *L, struct loader *l, struct frame *f) {
  lua_Integer id = lp__promise_at(L, &l->promises, -1);
  f->next++;
  if (id) {
    lua_pushinteger(L, f->next);
    lp__promise_note(L, &l->promises, id, LP__AT_UPVALUE, f->base);
    lua_pop(L, 1);
  } else {
    lua_setupvalue(L, f->base, (int)f->next);
  }
}

static void put_global(lua_State *L, struct loader *l, struct frame *f) {
  lua_Integer id = lp__promise_at(L, &l->promises, -1);
  f->kind = GLOBAL_NAME;
  push_environment(L, l);
  lua_insert(L, -3); /* environment name value */
  if (id) {
    lua_pop(L, 1);
    lp__promise_note(L, &l->promises, id, LP__AT_FIELD, l->environment);
  } else {
    lua_rawset(L, -3);
  }
  lua_pop(L, 1);
}

static void put_rebuilt(lua_State *L, struct loader *l, struct frame *f) {
  if (f->next == 0)
    note_origin(L, l, l->object_offset, 0);
  put_element(L, l, f);
  if (f->next == 1)
    f->count = 1 + get_count(L, l);
}

static void offer_loader(lua_State *L) { /* name loader */
  if (!lua_isfunction(L, -1))
    malformed(L, "bad module");
  lua_pushboolean(L, 0);
  lp__offered_add(L);
}

/* The value on top was read for the frame. */
static void put(lua_State *L, struct loader *l) {
  struct frame *f = top_frame(l);
  switch (f->kind) {
  case VALUES:
    f->next++;
    break; /* stays where it is */
  case ARRAY:
    put_element(L, l, f);
    break;
  case KEY:
    put_key(L, f);
    break;
  case VALUE:
    put_pair(L, l, f);
    break;
  case METATABLE:
    put_metatable(L, l, f);
    break;
  case CELL:
    put_cell(L, l, f);
    break;
  case GLOBAL_NAME:
    if (lua_type(L, -1) != LUA_TSTRING)
      malformed(L, "bad global");
    f->kind = GLOBAL;
    break;
  case GLOBAL:
    put_global(L, l, f);
    break;
  case MODULE:
    f->next++;
    break;
  default:
    put_rebuilt(L, l, f);
    break;
  }
}

/* The frame's container is complete and on top: put it where it belongs. */
static void close_frame(lua_State *L, struct loader *l) {
  struct frame f = *top_frame(l);
  l->frames.size -= sizeof f;
  if (f.kind == REBUILT) {
    lua_pushinteger(L, f.count);
    lp__promise_make(L, &l->promises, LP__PROMISE_REBUILD);
    if (f.tag & LP__KEPT)
      keep_object(L, l, f.offset);
  }
  if (f.kind == METATABLE && (f.is_class || f.is_empty))
    note_origin(L, l, f.offset, !f.is_class);
  l->object_offset = f.offset;
  put(L, l);
}

/* --- the walk ----------------------------------------------------------- */

/* Reads integers, by far the most frequent in bulk, up to the first value
 * that is none. */
static void read_integers(lua_State *L, struct loader *l, struct frame *f) {
  const unsigned char *at = l->at, *next;
  uint32_t i = f->next;
  uint64_t v;
  for (; i < f->count && at < l->end; at = next) {
    if (*at >= LP__SMALL_INT) {
      lua_pushinteger(L, *at - LP__SMALL_INT);
      next = at + 1;
    } else if (*at == LP__INT &&
               (next = lp__get_varint(at + 1, l->end, &v)) != NULL) {
      lua_pushinteger(L, lp__unzigzag(v));
    } else {
      break;
    }
    lua_rawseti(L, f->base, ++i);
  }
  l->at = at;
  f->next = i;
}

static void step_array(lua_State *L, struct loader *l) {
  struct frame *f = top_frame(l);
  for (;;) {
    read_integers(L, l, f);
    if (f->next == f->count)
      break;
    if (!read_value(L, l))
      return;
    put_element(L, l, f);
  }
  after_array(L, l, f);
}

/* Only these tags can be of a value that is no key: nil, and NaN. */
static int may_be_bad_key(const struct loader *l, uint32_t offset) {
  int tag = l->start[offset];
  return tag == LP__NIL || tag == LP__FLOAT;
}

static void step_pairs(lua_State *L, struct loader *l) {
  struct frame *f = top_frame(l);
  for (;;) {
    uint32_t offset = offset_of(l, l->at);
    if (f->kind == KEY) {
      if (l->at < l->end && *l->at == LP__END) {
        l->at++;
        f->kind = METATABLE;
        return;
      }
      if (!read_value(L, l))
        return;
      if (may_be_bad_key(l, offset))
        lp__check_key(L, -1);
      if (l->options->note && lua_type(L, -1) == LUA_TSTRING &&
          lp__is_class_key(lua_tostring(L, -1)))
        f->is_class = 1;
      f->kind = VALUE;
    }
    if (!read_value(L, l))
      return;
    put_pair(L, l, f);
  }
}

static void step_metatable(lua_State *L, struct loader *l) {
  if (top_frame(l)->tag == LP__TABLE) {
    close_frame(L, l);
  } else if (read_value(L, l)) {
    put(L, l);
  }
}

static void step_cell(lua_State *L, struct loader *l) {
  struct frame *f = top_frame(l);
  const unsigned char *tag = l->at;
  if (f->next == f->count) {
    f->kind = GLOBAL_NAME;
    f->next = 0;
    f->count = get_count(L, l);
    return;
  }
  switch (*get_bytes(L, l, 1).at) {
  case LP__CELL | LP__KEPT: /* the function and the upvalue's number */
    lua_pushvalue(L, f->base);
    lua_rawseti(L, l->kept, ++l->kept_count);
    lua_pushinteger(L, f->next + 1);
    lua_rawseti(L, l->kept, ++l->kept_count);
    keep(L, l, offset_of(l, tag), KEPT_CELL, (uint32_t)l->kept_count);
    /* fall through */
  case LP__CELL:
    if (read_value(L, l))
      put(L, l);
    return;
  case LP__CELL_REF: {
    uint64_t distance = get_varint(L, l);
    uint32_t cell = get_kept(L, l, tag, distance, KEPT_CELL);
    lua_rawgeti(L, l->kept, cell);
    lua_rawgeti(L, l->kept, cell - 1);
    lua_upvaluejoin(L, f->base, (int)++f->next, -1, (int)lua_tointeger(L, -2));
    lua_pop(L, 2);
    return;
  }
  default:
    malformed(L, "bad upvalue");
  }
}

static void step_global(lua_State *L, struct loader *l) {
  struct frame *f = top_frame(l);
  if (f->kind == GLOBAL_NAME) {
    if (f->next == f->count) {
      close_frame(L, l);
      return;
    }
    f->next++;
  }
  if (read_value(L, l))
    put(L, l);
}

static void step_rebuilt(lua_State *L, struct loader *l) {
  struct frame *f = top_frame(l);
  if (f->next == f->count) {
    close_frame(L, l);
  } else if (read_value(L, l)) {
    put(L, l);
  }
}

static void step(lua_State *L, struct loader *l) {
  switch (top_frame(l)->kind) {
  case ARRAY:
    step_array(L, l);
    break;
  case KEY:
  case VALUE:
    step_pairs(L, l);
    break;
  case METATABLE:
    step_metatable(L, l);
    break;
  case CELL:
    step_cell(L, l);
    break;
  case GLOBAL_NAME:
  case GLOBAL:
    step_global(L, l);
    break;
  default:
    step_rebuilt(L, l);
    break;
  }
}

/* Fills the frame on top, which takes `count` values, and removes it. */
static void fill(lua_State *L, struct loader *l) {
  size_t floor = l->frames.size;
  while (top_frame(l)->next < top_frame(l)->count) {
    if (read_value(L, l))
      put(L, l);
    while (l->frames.size > floor)
      step(L, l);
    luaL_checkstack(L, 20, "cannot load: too many values");
  }
  l->frames.size -= sizeof(struct frame);
}

static void read_modules(lua_State *L, struct loader *l) {
  for (;;) {
    switch (*get_bytes(L, l, 1).at) {
    case LP__END:
      return;
    case LP__MODULE_TEXT:
      push_string(L, l);
      push_string(L, l);
      push_string(L, l);
      if (lua_rawlen(L, -2) == 0)
        malformed(L, "bad chunk name");
      if (l->options->trusted) {
        lp__offered_add(L);
      } else {
        lua_pop(L, 3);
      }
      break;
    case LP__MODULE_LOADER:
      push_string(L, l);
      push_frame(L, l, MODULE)->count = 1;
      fill(L, l);
      if (l->options->trusted) {
        offer_loader(L);
      } else {
        lua_pop(L, 2);
      }
      break;
    default:
      malformed(L, "unknown tag");
    }
  }
}

/* --- the whole ---------------------------------------------------------- */

/* Pushes what a loader needs on the stack.  [-0, +10, m] */
static void begin(lua_State *L, struct loader *l, struct lp__bytes body,
                  const struct lp__load_options *options) {
  int top = lua_gettop(L), i;
  luaL_checkstack(L, 30, NULL);
  memset(l, 0, offsetof(struct loader, first));
  l->frames.bytes = (unsigned char *)l->first;
  l->frames.capacity = sizeof l->first;
  l->options = options;
  l->start = l->at = body.at;
  l->end = body.end;
  l->budget = (size_t)(body.end - body.at);
  l->pair_budget = l->budget / 2;
  if (l->budget > LP__MAX_SIZE)
    malformed(L, "too large");
  for (i = 0; i < 4; i++)
    lua_pushnil(L);
  l->frames.box = top + 1;
  l->chunks.box = top + 2;
  l->codes.box = top + 3;
  l->offsets_box = top + 4;
  lua_newtable(L);
  l->kept = top + 5;
  lp__promise_begin(L, &l->promises, options->trusted);
  if (options->environment) {
    lua_pushvalue(L, options->environment);
  } else {
    lua_pushnil(L);
  }
  l->environment = lua_gettop(L);
}

int lp__load_simple(lua_State *L, struct lp__bytes body) {
  const unsigned char *at = body.at, *end = body.end - 1;
  size_t size = (size_t)(body.end - at); /* count, value, END */
  uint64_t v;
  int tag;
  if (size < 3 || at[0] != 1 || *end != LP__END)
    return 0;
  tag = at[1];
  at += 2;
  if (tag >= LP__SMALL_INT) {
    if (at != end)
      return 0;
    lua_pushinteger(L, tag - LP__SMALL_INT);
  } else if (tag >= LP__SHORT_STRING) {
    if (at + (tag & LP__SHORT_STRING_MAX) != end)
      return 0;
    lua_pushlstring(L, (const char *)at, (size_t)(end - at));
  } else if (tag == LP__INT) {
    if (lp__get_varint(at, end, &v) != end)
      return 0;
    lua_pushinteger(L, lp__unzigzag(v));
  } else if (tag == LP__FLOAT && end - at == 8) {
    lua_pushnumber(L, lp__get_double(at));
  } else if ((tag == LP__FALSE || tag == LP__TRUE) && at == end) {
    lua_pushboolean(L, tag == LP__TRUE);
  } else if (tag == LP__NIL && at == end) {
    lua_pushnil(L);
  } else {
    return 0;
  }
  return 1;
}

int lp__load_body(lua_State *L, struct lp__bytes body,
                  const struct lp__load_options *options) {
  struct loader l;
  int top = lua_gettop(L), n;
  if (lp__load_simple(L, body))
    return 1;
  begin(L, &l, body, options);
  n = (int)get_count(L, &l);
  push_frame(L, &l, VALUES)->count = (uint32_t)n;
  fill(L, &l);
  read_modules(L, &l);
  if (options->trusted)
    lp__offered_settle(L);
  if (l.at != l.end)
    malformed(L, "more bytes than needed");
  lp__promise_keep(L, &l.promises, lua_gettop(L) - n + 1, n);
  lua_rotate(L, top + 1, n);
  lua_settop(L, top + n);
  return n;
}

int lp__load_values(lua_State *L, struct lp__bytes dump,
                    const struct lp__load_options *options) {
  int top = lua_gettop(L), n;
  struct lp__bytes body = lp__unseal(L, dump, 0);
  n = lp__load_body(L, body, options);
  lua_remove(L, top + 1);
  return n;
}
