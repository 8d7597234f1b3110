/* Saying what cannot be sent, and where it is.  See frame.h. */
#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "dump.h"
#include "frame.h"

void lp__push_function_name(lua_State *L, int index) {
  lua_Debug ar;
  lua_pushvalue(L, index);
  lua_getinfo(L, ">S", &ar);
  if (strcmp(ar.what, "main") == 0) {
    lua_pushfstring(L, "main chunk of %s", ar.short_src);
  } else {
    lua_pushfstring(L, "function %s:%d", ar.short_src, ar.linedefined);
  }
}

void lp__push_type_name(lua_State *L, int index) {
  index = lua_absindex(L, index);
  switch (lua_type(L, index)) {
  case LUA_TTHREAD:
    lua_pushliteral(L, "a coroutine");
    return;
  case LUA_TLIGHTUSERDATA:
    lua_pushliteral(L, "a light userdata");
    return;
  case LUA_TFUNCTION:
    if (lua_iscfunction(L, index)) {
      lua_pushliteral(L, "a C function that is in no loaded module");
    } else {
      lp__push_function_name(L, index);
    }
    return;
  case LUA_TUSERDATA:
    if (luaL_getmetafield(L, index, "__name") != LUA_TNIL) {
      if (lua_type(L, -1) == LUA_TSTRING) {
        lua_pushfstring(L, "a userdata (%s)", lua_tostring(L, -1));
        lua_remove(L, -2);
        return;
      }
      lua_pop(L, 1);
    }
    lua_pushliteral(L, "a userdata");
    return;
  default:
    lua_pushfstring(L, "a %s", luaL_typename(L, index));
    return;
  }
}

static int is_identifier(const char *s, size_t size) {
  size_t i;
  if (size == 0 || size > 60 || isdigit((unsigned char)s[0]))
    return 0;
  for (i = 0; i < size; i++) {
    if (!isalnum((unsigned char)s[i]) && s[i] != '_')
      return 0;
  }
  return 1;
}

/* Pushes "handle", "[3]", "[\"a b\"]", "[true]" or "[table]" for the key at
 * `index`; no metamethod is called. */
static void push_key(lua_State *L, int index) {
  size_t size, i;
  const char *s;
  char clean[44];
  switch (lua_type(L, index)) {
  case LUA_TSTRING:
    s = lua_tolstring(L, index, &size);
    if (is_identifier(s, size)) {
      lua_pushvalue(L, index);
      return;
    }
    for (i = 0; i < size && i < sizeof clean - 4; i++) {
      clean[i] = iscntrl((unsigned char)s[i]) ? '?' : s[i];
    }
    strcpy(clean + i, i < size ? "..." : "");
    lua_pushfstring(L, "[\"%s\"]", clean);
    return;
  case LUA_TNUMBER:
    lua_pushvalue(L, index);
    lua_tostring(L, -1);
    lua_pushfstring(L, "[%s]", lua_tostring(L, -1));
    lua_remove(L, -2);
    return;
  case LUA_TBOOLEAN:
    lua_pushstring(L, lua_toboolean(L, index) ? "[true]" : "[false]");
    return;
  default:
    lua_pushfstring(L, "[%s]", luaL_typename(L, index));
    return;
  }
}

static int is_function_step(const struct lp__frame *f) {
  return f->kind == LP__IN_CELLS || f->kind == LP__IN_GLOBALS;
}

/* Pushes the step from the frame's container to what it holds next: "upvalue
 * 'db'" of a function, otherwise a key of a table. */
static void push_step(lua_State *L, const struct lp__frame *f) {
  const char *name;
  switch (f->kind) {
  case LP__IN_ARRAY:
    lua_pushfstring(L, "[%d]", (int)f->next - 1);
    break;
  case LP__IN_PAIRS:
    push_key(L, f->base + 1);
    break;
  case LP__IN_KEY:
    lua_pushliteral(L, "[a key]");
    break;
  case LP__IN_METATABLE:
    lua_pushliteral(L, "[metatable]");
    break;
  case LP__IN_HOOK:
    lua_pushliteral(L, "[from __lambdapool]");
    break;
  case LP__IN_CELLS:
    name = lua_getupvalue(L, f->base, (int)f->next - 1);
    lua_pop(L, 1);
    lua_pushfstring(L, "upvalue '%s'", name ? name : "?");
    break;
  default: /* LP__IN_GLOBALS */
    lua_rawgeti(L, f->base + 2, (lua_Integer)f->next - 1);
    lua_pushfstring(L, "global '%s'", lua_tostring(L, -1));
    lua_remove(L, -2);
  }
}

/* Pushes " (field 'a.b[3]')" for the tables in frames `from` to `to`, or
 * nothing but "".  Long ones are cut in the middle. */
static void push_fields(lua_State *L, const struct lp__frame *frames,
                        size_t from, size_t to, const char *format) {
  size_t i;
  lua_pushliteral(L, "");
  for (i = from; i < to; i++) {
    const char *key, *dot;
    if (to - from > 20 && i == from + 10) {
      lua_pushfstring(L, "%s...", lua_tostring(L, -1));
      lua_remove(L, -2);
      i = to - 10;
    }
    push_step(L, &frames[i]);
    key = lua_tostring(L, -1);
    dot = i == from || key[0] == '[' ? "" : ".";
    lua_pushfstring(L, "%s%s%s", lua_tostring(L, -2), dot, key);
    lua_replace(L, -3);
    lua_pop(L, 1);
  }
  if (to > from) {
    lua_pushfstring(L, format, lua_tostring(L, -1));
    lua_remove(L, -2);
  }
}

/* Pushes where the innermost value is: "upvalue 'db' (field 'handle') of
 * function job.lua:14", and in parentheses how that function was come by. */
static void push_where(lua_State *L, const struct lp__frame *frames, size_t n) {
  enum { MAX_FUNCTIONS = 4 };
  size_t end = n, i;
  int functions = 0;
  lua_pushliteral(L, ""); /* where */
  for (i = n; i-- > 0 && functions < MAX_FUNCTIONS;) {
    if (!is_function_step(&frames[i]))
      continue;
    push_step(L, &frames[i]);
    push_fields(L, frames, i + 1, end, " (field '%s')");
    lp__push_function_name(L, frames[i].base); /* where step fields name */
    lua_pushfstring(L, functions ? "%s (%s%s of %s)" : "%s%s%s of %s",
                    lua_tostring(L, -4), lua_tostring(L, -3),
                    lua_tostring(L, -2), lua_tostring(L, -1));
    lua_replace(L, -5);
    lua_pop(L, 3);
    functions++;
    end = i;
  }
  if (end > 0 && functions < MAX_FUNCTIONS) {
    push_fields(L, frames, 0, end, functions ? " (field '%s')" : "field '%s'");
    lua_concat(L, 2);
  }
}

/* Pushes what is being sent: "item 7", "function job.lua:14", "a table". */
static void push_subject(lua_State *L, const struct lp__dumper *d, int root) {
  LUAI_UACINT item = (LUAI_UACINT)d->item;
  switch (d->numbered) {
  case LP__BY_RESULT:
    lua_pushfstring(L, "result %d", d->argument);
    break;
  case LP__BY_ITEM:
    lua_pushfstring(L, "item %I", item);
    break;
  case LP__BY_ARGUMENT:
    lua_pushfstring(L, "argument %d", d->argument);
    break;
  case LP__BY_ITEM_ARGUMENT:
    lua_pushfstring(L, "argument %d of item %I", d->argument, item);
    break;
  default:
    lp__push_type_name(L, root);
    break;
  }
}

int lp__refuse(lua_State *L, const struct lp__dumper *d, int index,
               const char *reason, const char *advice) {
  const struct lp__frame *frames = (const void *)d->frames.bytes;
  size_t n = d->frames.size / sizeof *frames;
  const char *where, *what;
  index = lua_absindex(L, index);
  luaL_checkstack(L, 40, NULL);
  push_where(L, frames, n);
  where = lua_tostring(L, -1);
  lp__push_type_name(L, index);
  what = lua_tostring(L, -1);
  if (where[0] != '\0') {
    lua_pushfstring(L, reason ? "%s is %s, which %s" : "%s is %s", where, what,
                    reason);
  } else {
    lua_pushfstring(L, reason ? "it %s" : "it is %s", reason ? reason : what);
  }
  push_subject(L, d, n ? frames[0].base : index);
  if (n == 0 && reason == NULL && d->numbered == LP__BY_TYPE) {
    lua_pushfstring(L, "cannot send %s", what);
  } else {
    lua_pushfstring(L, "cannot send %s: %s", lua_tostring(L, -1),
                    lua_tostring(L, -2));
  }
  if (advice)
    lua_pushfstring(L, "%s\n  %s", lua_tostring(L, -1), advice);
  return lua_error(L);
}
