/* Cutting a function out of a chunk's text.  See slice.h. */
#include "slice.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "source.h"
#include "wire.h"

enum {
  MAX_UPVALUES = 190, /* a scope has 200 locals */
  MAX_TRIES = 16      /* candidates for where the function starts and ends */
};

struct text {
  const char *at;
  const char *end;
};

static int is_word(int c) {
  return isalnum(c) || c == '_';
}

/* The text from line `n` on, counting lines as Lua's lexer does: "\r\n" and
 * "\n\r" are one line end. */
static const char *line_start(struct text t, unsigned n) {
  const char *at = t.at;
  for (; n > 1; n--) {
    while (at < t.end && *at != '\n' && *at != '\r')
      at++;
    if (at == t.end)
      return NULL;
    at++;
    if (at < t.end && (*at == '\n' || *at == '\r') && *at != at[-1])
      at++;
  }
  return at;
}

static const char *line_end(struct text t, const char *at) {
  while (at < t.end && *at != '\n' && *at != '\r')
    at++;
  return at;
}

/* Whether the parenthesis at `open` follows `function`, maybe with a name
 * between; *method: the name has a colon. */
static int is_function(const char *line, const char *open, int *method) {
  const char *at = open;
  *method = 0;
  while (at > line && isspace((unsigned char)at[-1]))
    at--;
  if (at - line < 8 || memcmp(at - 8, "function", 8) != 0 ||
      (at - line > 8 && is_word((unsigned char)at[-9]))) {
    while (at > line &&
           (is_word((unsigned char)at[-1]) || at[-1] == '.' || at[-1] == ':')) {
      if (*--at == ':')
        *method = 1;
    }
    while (at > line && isspace((unsigned char)at[-1]))
      at--;
  }
  return at - line >= 8 && memcmp(at - 8, "function", 8) == 0 &&
         (at - line == 8 || !is_word((unsigned char)at[-9]));
}

/* Adds "local x local y <const> return function" with the upvalues' names. */
static int add_head(luaL_Buffer *b, const struct lp__proto *proto) {
  struct lp__bytes names = proto->names, name;
  size_t i;
  int null;
  for (i = 0; i < proto->name_count; i++) {
    int kind = proto->upvalues.at[3 * i + 2];
    if (lp__proto_string(&names, &name, &null) || name.at == name.end)
      return 0;
    luaL_addstring(b, "local ");
    luaL_addlstring(b, (const char *)name.at, (size_t)(name.end - name.at));
    luaL_addstring(b, kind == 1 ? "<const> " : kind == 2 ? "<close> " : " ");
  }
  luaL_addstring(b, "return function");
  return 1;
}

/* Adds the parameters on, from the parenthesis at `open` to `end`. */
static void add_body(luaL_Buffer *b, struct text function, int method) {
  if (method) {
    const char *at = function.at + 1;
    while (at < function.end && isspace((unsigned char)*at))
      at++;
    luaL_addstring(b, at < function.end && *at == ')' ? "(self" : "(self,");
    function.at++;
  }
  luaL_addlstring(b, function.at, (size_t)(function.end - function.at));
}

/* Whether the slice on top compiles to the function. */
static int is_right(lua_State *L, const struct lp__proto *proto) {
  struct lp__proto root, child;
  struct lp__bytes at;
  const char *binary;
  size_t size;
  int right = 0;
  lp__source_pad(L, lua_gettop(L), (lua_Integer)proto->line - 1);
  if (lp__source_compile(L, lua_gettop(L))) {
    binary = lua_tolstring(L, -1, &size);
    right = lp__proto_main(binary, size, &root) == 0 && root.child_count == 1;
    at = root.children;
    right = right && lp__proto_read(&at, &child) == 0 &&
            lp__proto_same_code(&child, proto);
  }
  lua_pop(L, 2);
  return right;
}

static int try_slice(lua_State *L, struct text function, int method,
                     const struct lp__proto *proto) {
  luaL_Buffer b;
  int ok;
  luaL_buffinit(L, &b);
  ok = add_head(&b, proto);
  add_body(&b, function, method);
  luaL_pushresult(&b);
  if (ok && is_right(L, proto))
    return 1;
  lua_pop(L, 1);
  return 0;
}

int lp__slice(lua_State *L, int text, const struct lp__proto *proto) {
  struct text t, function;
  const char *first, *first_end, *last, *last_end;
  size_t size;
  int method, tries = 0;
  t.at = lua_tolstring(L, text, &size);
  t.end = t.at + size;
  if (proto->line == 0 || proto->line > LP__MAX_NEWLINES ||
      proto->name_count > MAX_UPVALUES ||
      proto->name_count * 3 !=
          (size_t)(proto->upvalues.end - proto->upvalues.at))
    return 0;
  first = line_start(t, proto->line);
  last = line_start(t, proto->last_line);
  if (first == NULL || last == NULL)
    return 0;
  first_end = line_end(t, first);
  last_end = line_end(t, last);
  for (function.at = first; function.at < first_end; function.at++) {
    if (*function.at != '(' || !is_function(first, function.at, &method))
      continue;
    function.end = (last > function.at ? last : function.at) + 3;
    for (; function.end <= last_end; function.end++) {
      if (memcmp(function.end - 3, "end", 3) != 0)
        continue;
      if (tries++ == MAX_TRIES)
        return 0;
      if (try_slice(L, function, method, proto))
        return 1;
    }
  }
  return 0;
}
