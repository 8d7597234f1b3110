/*
 * Finding the names in a function's instructions (lopcodes.h of Lua 5.4).
 *
 * `x` compiles to GETTABUP with the upvalue `_ENV` and the constant "x".  A
 * name of more than 40 bytes, or whose constant is beyond number 255, takes
 * GETUPVAL, LOADK and GETTABLE instead, and `_G.x` is GETTABUP "_G" and then
 * GETFIELD.  So each register is followed in a straight line through the code
 * for whether it holds such a table, `require` or a constant string; whatever
 * else writes it ends that.  Where a jump leads forward, both ways may have
 * been taken: what a register held at the jump it may still hold there, so
 * that `local G = _G or {}` is followed, too.
 */
#include "names.h"

#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

enum opcode {
  OP_MOVE = 0,
  OP_LOADK = 3,
  OP_LOADKX = 4,
  OP_LOADNIL = 8,
  OP_GETUPVAL = 9,
  OP_SETUPVAL = 10,
  OP_GETTABUP = 11,
  OP_GETTABLE = 12,
  OP_GETFIELD = 14,
  OP_SETTABUP = 15,
  OP_SETTABLE = 16,
  OP_SETI = 17,
  OP_SETFIELD = 18,
  OP_SELF = 20,
  OP_MMBIN = 46,
  OP_MMBINK = 48,
  OP_CLOSE = 54,
  OP_JMP = 56,
  OP_TEST = 66,
  OP_CALL = 68,
  OP_TAILCALL = 69,
  OP_RETURN = 70,
  OP_RETURN1 = 72,
  OP_TFORCALL = 76,
  OP_TFORLOOP = 77,
  OP_SETLIST = 78,
  OP_CLOSURE = 79,
  OP_VARARG = 80
};

/* What a register or an upvalue is known to hold. */
enum holds {
  NOTHING,
  UPVALUE, /* the outermost function's upvalue `index` */
  REQUIRE, /* its field "require" */
  CONSTANT /* the string constant `index` */
};

struct known {
  uint8_t what;
  uint8_t upvalue;
  uint32_t constant;
};

enum { REGISTERS = 256, JUMPS = 64, JUMP_ZERO = (1 << 24) - 1 };

/* What a register held at a jump to `target`. */
struct jump {
  const unsigned char *target;
  uint8_t from;
  struct known known;
};

struct scan {
  lua_State *L;
  int result; /* stack index of the array */
  int seen;   /* stack index of a set of what is in it */
  lua_Integer count;
};

struct frame {
  const struct lp__proto *proto;
  const struct lp__bytes *constants; /* text of each string constant */
  const struct known *upvalues;
  unsigned top; /* nothing is known of registers from here on */
  struct known registers[REGISTERS + 1];
  struct jump jumps[JUMPS]; /* more are not followed */
  unsigned jump_count;
};

static void add(struct scan *s, enum lp__name_kind kind, unsigned upvalue,
                struct lp__bytes name) {
  lua_State *L = s->L;
  lua_pushfstring(L, "%d %d ", (int)upvalue, (int)kind);
  lua_pushlstring(L, (const char *)name.at, (size_t)(name.end - name.at));
  lua_pushvalue(L, -1);                     /* prefix name name */
  lua_insert(L, -3);                        /* name prefix name */
  lua_concat(L, 2);                         /* name key */
  if (lua_rawget(L, s->seen) == LUA_TNIL) { /* name nil */
    lua_pop(L, 1);
    lua_pushfstring(L, "%d %d ", (int)upvalue, (int)kind);
    lua_pushvalue(L, -2);
    lua_concat(L, 2);
    lua_pushboolean(L, 1);
    lua_rawset(L, s->seen); /* name */
    lua_pushinteger(L, upvalue + 1);
    lua_rawseti(L, s->result, ++s->count);
    lua_pushinteger(L, kind);
    lua_rawseti(L, s->result, ++s->count);
    lua_rawseti(L, s->result, ++s->count);
  } else {
    lua_pop(L, 2);
  }
}

static int is_name(struct lp__bytes text, const char *name) {
  size_t size = strlen(name);
  return (size_t)(text.end - text.at) == size &&
         memcmp(text.at, name, size) == 0;
}

/* The field `text` of what `table` is known to hold is read or written.
 * Returns what that field is known to be. */
static struct known use_field(struct scan *s, struct known table,
                              struct lp__bytes text) {
  struct known result = {NOTHING, 0, 0};
  if (table.what != UPVALUE || text.at == NULL)
    return result;
  add(s, LP__NAME_FIELD, table.upvalue, text);
  if (is_name(text, "_G"))
    return table;
  if (is_name(text, "require")) {
    result.what = REQUIRE;
    result.upvalue = table.upvalue;
  }
  return result;
}

/* Registers from `a` on are about to be called with arguments: look for
 * `require` and the first constant string behind it, also in
 * pcall(require, "x") and xpcall(require, handler, "x"). */
static void use_call(struct scan *s, const struct frame *f, unsigned a,
                     unsigned values) {
  unsigned r, i, last = values ? a + values : a + 4;
  if (last > REGISTERS)
    last = REGISTERS;
  for (r = a; r < last; r++) {
    struct known function = f->registers[r];
    if (function.what != REQUIRE && function.what != UPVALUE)
      continue;
    for (i = r + 1; i < last && f->registers[i].what != CONSTANT; i++) {
    }
    if (i < last)
      add(s,
          function.what == REQUIRE ? LP__NAME_REQUIRE_FIELD
                                   : LP__NAME_REQUIRE_UPVALUE,
          function.upvalue, f->constants[f->registers[i].constant]);
  }
}

static void set(struct frame *f, unsigned r, struct known known) {
  f->registers[r] = known;
  if (r >= f->top && known.what != NOTHING)
    f->top = r + 1;
}

/* Notes what the registers hold at a jump forward. */
static void note_jump(struct frame *f, const unsigned char *target) {
  unsigned r;
  for (r = 0; r < f->top && r < REGISTERS && f->jump_count < JUMPS; r++) {
    struct known known = f->registers[r];
    if (known.what == UPVALUE || known.what == REQUIRE) {
      struct jump *jump = &f->jumps[f->jump_count++];
      jump->target = target;
      jump->from = (uint8_t)r;
      jump->known = known;
    }
  }
}

/* Jumps that lead here join what comes from above. */
static void join_jumps(struct frame *f, const unsigned char *at) {
  unsigned i, left = 0;
  for (i = 0; i < f->jump_count; i++) {
    struct jump jump = f->jumps[i];
    if (jump.target != at) {
      f->jumps[left++] = jump;
    } else if (f->registers[jump.from].what == NOTHING) {
      set(f, jump.from, jump.known);
    }
  }
  f->jump_count = left;
}

static void forget(struct frame *f, unsigned from, unsigned count) {
  unsigned last = from + count < f->top ? from + count : f->top, r;
  for (r = from; r < last; r++)
    f->registers[r].what = NOTHING;
  if (last == f->top && from < last)
    f->top = from;
}

static int writes_register_a(unsigned op) {
  return !(op == OP_SETUPVAL || (op >= OP_SETTABUP && op <= OP_SETFIELD) ||
           (op >= OP_MMBIN && op <= OP_MMBINK) ||
           (op >= OP_CLOSE && op <= OP_TEST) ||
           (op >= OP_RETURN && op <= OP_RETURN1) || op == OP_SETLIST ||
           op > OP_VARARG);
}

static void scan_function(struct scan *s, const struct lp__proto *proto,
                          const struct known *upvalues);

/* The constant in a register, or no text. */
static struct lp__bytes text_in(const struct frame *f, unsigned r) {
  struct lp__bytes none = {NULL, NULL};
  return f->registers[r].what == CONSTANT
             ? f->constants[f->registers[r].constant]
             : none;
}

static struct known constant(const struct frame *f, size_t index) {
  struct known result = {NOTHING, 0, 0};
  if (index < f->proto->constant_count && f->constants[index].at) {
    result.what = CONSTANT;
    result.constant = (uint32_t)index;
  }
  return result;
}

static void scan_child(struct scan *s, const struct frame *f,
                       struct lp__bytes *children) {
  struct lp__proto child;
  struct known *upvalues;
  const unsigned char *at;
  size_t i;
  if (lp__proto_read(children, &child))
    return;
  upvalues = lua_newuserdatauv(s->L, 256 * sizeof *upvalues, 0);
  for (i = 0, at = child.upvalues.at; at < child.upvalues.end; at += 3, i++) {
    upvalues[i] = at[0] ? f->registers[at[1]] : f->upvalues[at[1]];
    if (upvalues[i].what == CONSTANT)
      upvalues[i].what = NOTHING;
  }
  scan_function(s, &child, upvalues);
  lua_pop(s->L, 1);
}

static void scan_code(struct scan *s, struct frame *f) {
  const unsigned char *at = f->proto->code.at;
  struct lp__bytes children = f->proto->children;
  struct known nothing = {NOTHING, 0, 0}, result;
  for (; at < f->proto->code.end; at += 4) {
    uint32_t i;
    unsigned op, a, b, c;
    if (f->jump_count)
      join_jumps(f, at);
    memcpy(&i, at, 4); /* in this machine's byte order, as dumped */
    op = i & 0x7f, a = i >> 7 & 0xff, b = i >> 16 & 0xff, c = i >> 24;
    result = nothing;
    switch (op) {
    case OP_MOVE:
      result = f->registers[b];
      break;
    case OP_LOADK:
      result = constant(f, i >> 15);
      break;
    case OP_LOADKX:
      if (at + 8 <= f->proto->code.end) {
        uint32_t extra;
        memcpy(&extra, at + 4, 4);
        result = constant(f, extra >> 7);
      }
      break;
    case OP_LOADNIL:
      forget(f, a, b + 1);
      break;
    case OP_GETUPVAL:
      result = f->upvalues[b];
      break;
    case OP_GETTABUP:
      result = use_field(s, f->upvalues[b], f->constants[c]);
      break;
    case OP_GETTABLE:
      result = use_field(s, f->registers[b], text_in(f, c));
      break;
    case OP_GETFIELD:
      result = use_field(s, f->registers[b], f->constants[c]);
      break;
    case OP_SETTABUP:
      use_field(s, f->upvalues[a], f->constants[b]);
      break;
    case OP_SETTABLE:
      use_field(s, f->registers[a], text_in(f, b));
      break;
    case OP_SETFIELD:
      use_field(s, f->registers[a], f->constants[b]);
      break;
    case OP_SELF:
      set(f, a + 1, f->registers[b]);
      if (i >> 15 & 1)
        use_field(s, f->registers[b], f->constants[c]);
      break;
    case OP_CALL:
    case OP_TAILCALL:
      use_call(s, f, a, b);
      forget(f, a, REGISTERS);
      break;
    case OP_TFORCALL:
      forget(f, a + 4, REGISTERS);
      continue;
    case OP_VARARG:
      forget(f, a, REGISTERS);
      break;
    case OP_JMP: {
      int32_t offset = (int32_t)(i >> 7) - JUMP_ZERO;
      if (offset > 0)
        note_jump(f, at + 4 + 4 * (ptrdiff_t)offset);
      break;
    }
    case OP_CLOSURE:
      scan_child(s, f, &children);
      break;
    default:
      break;
    }
    if (writes_register_a(op))
      set(f, a, result);
  }
}

/* Recursion is as deep as functions nest: at most 200. */
static void scan_function(struct scan *s, const struct lp__proto *proto,
                          const struct known *upvalues) {
  struct lp__bytes at = proto->constants, *constants;
  struct frame *f;
  size_t i;
  int type;
  luaL_checkstack(s->L, 10, "functions nested too deeply");
  f = lua_newuserdatauv(s->L, sizeof *f, 0);
  /* at least 256, so that a constant's 8-bit index needs no check */
  constants = lua_newuserdatauv(
      s->L, (proto->constant_count + 256) * sizeof *constants, 0);
  memset(f, 0, sizeof *f);
  for (i = 0; i < proto->constant_count + 256; i++) {
    constants[i].at = constants[i].end = NULL;
    if (i < proto->constant_count) {
      lp__proto_constant(&at, &type, &constants[i]);
    }
  }
  f->proto = proto;
  f->constants = constants;
  f->upvalues = upvalues;
  scan_code(s, f);
  lua_pop(s->L, 2);
}

void lp__names_push(lua_State *L, const struct lp__proto *proto) {
  struct known upvalues[256];
  struct scan s;
  unsigned i;
  for (i = 0; i < 256; i++) {
    upvalues[i].what = UPVALUE;
    upvalues[i].upvalue = (uint8_t)i;
    upvalues[i].constant = 0;
  }
  s.L = L;
  s.count = 0;
  lua_newtable(L);
  s.result = lua_gettop(L);
  lua_newtable(L);
  s.seen = s.result + 1;
  scan_function(&s, proto, upvalues);
  lua_pop(L, 1);
  if (s.count == 0) {
    lua_pop(L, 1);
    lua_pushboolean(L, 0);
  }
}
