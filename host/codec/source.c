/*
 * The texts of chunks.
 *
 * They are kept in a registry table: name -> { text, ... }, newest last.  The
 * compiled form of the last few is kept too, so that dumping a hundred
 * functions of a file compiles the file once.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "slice.h"

enum {
  KEPT_BYTES = 64 << 20,
  COMPILED_TEXTS = 8,
  SLICE_FROM = 2048 /* bytes of text; smaller chunks travel whole */
};

/* Fields of the registry table: the texts by name; a queue of names, oldest
 * first, from FIRST + 1 to LAST; the bytes kept; binary chunks by text. */
enum { TEXTS = 1, QUEUE, FIRST, LAST, BYTES, COMPILED, COMPILED_COUNT };

static const char registry_key = 0;

/* Pushes the registry table, made at first use.  [-0, +1, m] */
static void push_home(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key) == LUA_TTABLE)
    return;
  lua_pop(L, 1);
  lua_createtable(L, COMPILED_COUNT, 0);
  lua_newtable(L);
  lua_rawseti(L, -2, TEXTS);
  lua_newtable(L);
  lua_rawseti(L, -2, QUEUE);
  lua_newtable(L);
  lua_rawseti(L, -2, COMPILED);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
}

static lua_Integer get_number(lua_State *L, int home, int field) {
  lua_Integer n;
  lua_rawgeti(L, home, field);
  n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

static void set_number(lua_State *L, int home, int field, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_rawseti(L, home, field);
}

/* Forgets the oldest text: the first one of the first name in the queue. */
static void forget_oldest(lua_State *L, int home) {
  lua_Integer first = get_number(L, home, FIRST) + 1, i, n;
  set_number(L, home, FIRST, first);
  lua_rawgeti(L, home, TEXTS); /* texts */
  lua_rawgeti(L, home, QUEUE); /* texts queue */
  lua_rawgeti(L, -1, first);   /* texts queue name */
  lua_pushnil(L);
  lua_rawseti(L, -3, first);
  lua_pushvalue(L, -1);
  lua_rawget(L, -4); /* texts queue name list */
  n = (lua_Integer)lua_rawlen(L, -1);
  lua_rawgeti(L, -1, 1);
  set_number(L, home, BYTES,
             get_number(L, home, BYTES) - (lua_Integer)lua_rawlen(L, -1));
  lua_pop(L, 1);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i + 1);
    lua_rawseti(L, -2, i);
  }
  if (n == 1) {
    lua_pushvalue(L, -2);
    lua_pushnil(L);
    lua_rawset(L, -6);
  }
  lua_pop(L, 4);
}

static int is_newest(lua_State *L, int list, int text) {
  int same;
  lua_rawgeti(L, list, (lua_Integer)lua_rawlen(L, list));
  same = lua_rawequal(L, -1, text);
  lua_pop(L, 1);
  return same;
}

/* Adds the text to the list on top, and the name to the queue. */
static void add_text(lua_State *L, int home, int name, int text) {
  lua_Integer last = get_number(L, home, LAST) + 1;
  lua_Integer bytes =
      get_number(L, home, BYTES) + (lua_Integer)lua_rawlen(L, text);
  lua_pushvalue(L, text);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_rawgeti(L, home, QUEUE);
  lua_pushvalue(L, name);
  lua_rawseti(L, -2, last);
  lua_pop(L, 1);
  set_number(L, home, LAST, last);
  set_number(L, home, BYTES, bytes);
}

void lp__source_remember(lua_State *L, int name, int text) {
  int home;
  name = lua_absindex(L, name);
  text = lua_absindex(L, text);
  push_home(L);
  home = lua_gettop(L);
  lua_rawgeti(L, home, TEXTS); /* home texts */
  lua_pushvalue(L, name);
  if (lua_rawget(L, -2) != LUA_TTABLE) { /* home texts nil */
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, name);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4); /* home texts list */
  }
  if (!is_newest(L, lua_gettop(L), text))
    add_text(L, home, name, text);
  while (get_number(L, home, BYTES) > KEPT_BYTES &&
         get_number(L, home, FIRST) + 1 < get_number(L, home, LAST)) {
    forget_oldest(L, home);
  }
  lua_settop(L, home - 1);
}

int lp__source_compile(lua_State *L, int text) {
  struct lp__buffer buffer = {NULL, 0, 0, 0};
  size_t size;
  const char *bytes = lua_tolstring(L, text, &size);
  int top = lua_gettop(L);
  lua_pushnil(L);
  buffer.box = top + 1;
  if (luaL_loadbufferx(L, bytes, size, "=", "t") != LUA_OK) {
    lua_replace(L, top + 1);
    return 0;
  }
  lua_dump(L, lp__buffer_writer, &buffer, 0);
  lua_pushlstring(L, (const char *)buffer.bytes, buffer.size);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  return 1;
}

int lp__source_compile_cached(lua_State *L, int text) {
  int home, top = lua_gettop(L);
  lua_Integer count;
  text = lua_absindex(L, text);
  push_home(L);
  home = top + 1;
  lua_rawgeti(L, home, COMPILED); /* home compiled */
  lua_pushvalue(L, text);
  if (lua_rawget(L, -2) == LUA_TSTRING) { /* home compiled binary */
    lua_replace(L, home);
    lua_settop(L, home);
    return 1;
  }
  lua_pop(L, 1);
  if (!lp__source_compile(L, text)) { /* home compiled message */
    lua_replace(L, home);
    lua_settop(L, home);
    return 0;
  }
  count = get_number(L, home, COMPILED_COUNT);
  if (count >= COMPILED_TEXTS) { /* start over: simple, and rare */
    count = 0;
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawseti(L, home, COMPILED);
    lua_replace(L, home + 1);
  }
  lua_pushvalue(L, text);
  lua_pushvalue(L, -2);
  lua_rawset(L, home + 1);
  set_number(L, home, COMPILED_COUNT, count + 1);
  lua_replace(L, home); /* binary compiled */
  lua_settop(L, home);
  return 1;
}

void lp__source_pad(lua_State *L, int text, lua_Integer newlines) {
  luaL_Buffer buffer;
  size_t size;
  const char *bytes = lua_tolstring(L, text, &size);
  memset(luaL_buffinitsize(L, &buffer, (size_t)newlines), '\n',
         (size_t)newlines);
  luaL_addsize(&buffer, (size_t)newlines);
  luaL_addlstring(&buffer, bytes, size);
  luaL_pushresult(&buffer);
}

/* Opens a file for reading; -1 and errno. */
static int open_file(const char *name, int only_regular) {
  struct stat st;
  int fd;
  if (name == NULL)
    return STDIN_FILENO;
  if (only_regular && (stat(name, &st) || !S_ISREG(st.st_mode))) {
    errno = errno ? errno : EINVAL;
    return -1;
  }
  do {
    fd = open(name, O_RDONLY | O_CLOEXEC | (only_regular ? O_NONBLOCK : 0));
  } while (fd < 0 && errno == EINTR);
  return fd;
}

/* Reads everything into the buffer; 0 or errno. */
static int read_all(lua_State *L, int fd, struct lp__buffer *buffer) {
  enum { PIECE = 1 << 16 };
  for (;;) {
    ssize_t n = read(fd, lp__buffer_reserve(L, buffer, PIECE), PIECE);
    if (n == 0)
      return 0;
    if (n > 0)
      buffer->size += (size_t)n;
    if (n < 0 && errno != EINTR)
      return errno;
  }
}

/* Pushes what lua_load is given of a file's bytes. */
static void push_text(lua_State *L, const char *bytes, size_t size) {
  const char *line;
  if (size >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0) {
    bytes += 3;
    size -= 3;
  }
  if (size == 0 || bytes[0] != '#') {
    lua_pushlstring(L, bytes, size);
    return;
  }
  line = memchr(bytes, '\n', size);
  if (line && line + 1 < bytes + size && line[1] == LUA_SIGNATURE[0]) {
    line++; /* a binary chunk behind "#!": luaL_loadfilex adds no line */
  }
  if (line) {
    lua_pushlstring(L, line, size - (size_t)(line - bytes));
  } else {
    lua_pushliteral(L, "\n");
  }
}

int lp__source_read(lua_State *L, const char *name, int only_regular) {
  struct lp__buffer buffer = {NULL, 0, 0, 0};
  const char *what = "open";
  int fd, error, top = lua_gettop(L);
  lua_pushnil(L);
  buffer.box = top + 1;
  lp__buffer_reserve(L, &buffer, 1); /* raise before there is a descriptor */
  errno = 0;
  fd = open_file(name, only_regular);
  error = fd < 0 ? errno : 0;
  if (fd >= 0) {
    what = "read";
    error = read_all(L, fd, &buffer);
    if (name)
      close(fd);
  }
  if (error) {
    lua_pushfstring(L, "cannot %s %s: %s", what, name ? name : "stdin",
                    strerror(error));
  } else {
    push_text(L, (const char *)buffer.bytes, buffer.size);
  }
  lua_replace(L, top + 1);
  return error == 0;
}

/* Whether the text on top compiles to a chunk with the function. */
static int try_text(lua_State *L, const struct lp__proto *proto,
                    struct lp__path *path) {
  struct lp__proto root;
  size_t size;
  const char *binary;
  int found = 0;
  if (lp__source_compile_cached(L, lua_gettop(L))) {
    binary = lua_tolstring(L, -1, &size);
    found = lp__proto_main(binary, size, &root) == 0 &&
            lp__proto_find(&root, proto->body, path) == 1;
  }
  lua_pop(L, 1);
  return found;
}

/* Tries the texts that were loaded under the name on top, newest first.
 * Replaces the name by the text.  *known: there was one. */
static int try_remembered(lua_State *L, const struct lp__proto *proto,
                          struct lp__path *path, int *known) {
  int top = lua_gettop(L);
  lua_Integer i;
  push_home(L);
  lua_rawgeti(L, -1, TEXTS);
  lua_pushvalue(L, top);
  *known = lua_rawget(L, -2) == LUA_TTABLE; /* name home texts list */
  for (i = *known ? (lua_Integer)lua_rawlen(L, -1) : 0; i > 0; i--) {
    lua_rawgeti(L, top + 3, i);
    if (try_text(L, proto, path)) {
      lua_replace(L, top);
      lua_settop(L, top);
      return 1;
    }
    lua_pop(L, 1);
  }
  lua_settop(L, top);
  return 0;
}

/* Replaces the name on top by the chunk's text, or by what is wrong. */
static int find_text(lua_State *L, const struct lp__proto *proto,
                     struct lp__path *path) {
  size_t size;
  const char *name = lua_tolstring(L, -1, &size);
  int known, kind = size ? name[0] : '=';
  if (proto->line_count == 0) {
    lua_pushliteral(L, "was stripped of its debug information");
    lua_replace(L, -2);
    return 0;
  }
  if (try_remembered(L, proto, path, &known))
    return 1;
  if (kind == '@') {
    if (!lp__source_read(L, name + 1, 1)) {
      lua_pushfstring(L, "has no source text any more (%s)",
                      lua_tostring(L, -1));
    } else if (try_text(L, proto, path)) {
      lua_replace(L, -2);
      return 1;
    } else {
      lua_pushfstring(L,
                      "cannot be found in its source: %s has changed on "
                      "disk since it was loaded",
                      name + 1);
    }
    lua_replace(L, -3);
    lua_pop(L, 1);
    return 0;
  }
  if (kind != '=' && try_text(L, proto, path))
    return 1;
  lua_pushstring(L, known ? "is not in the text loaded under its chunk name"
                          : "has no source text: it was loaded from bytecode "
                            "or before lambdapool was");
  lua_replace(L, -2);
  return 0;
}

int lp__source_find(lua_State *L, const struct lp__proto *proto,
                    struct lp__bytes name, struct lp__source *where) {
  luaL_checkstack(L, 20, NULL);
  lua_pushlstring(L, (const char *)name.at, (size_t)(name.end - name.at));
  where->newlines = 0;
  if (!find_text(L, proto, &where->path))
    return 0;
  if (lua_rawlen(L, -1) >= SLICE_FROM && where->path.depth > 0 &&
      lp__slice(L, -1, proto)) {
    where->newlines = (lua_Integer)proto->line - 1;
    where->path.depth = 1;
    where->path.index[0] = 0;
    lua_replace(L, -2);
  }
  return 1;
}

int lp__source_remembered(lua_State *L, int name) {
  int top = lua_gettop(L);
  name = lua_absindex(L, name);
  push_home(L);
  lua_rawgeti(L, -1, TEXTS);
  lua_pushvalue(L, name);
  if (lua_rawget(L, -2) != LUA_TTABLE) {
    lua_settop(L, top);
    return 0;
  }
  lua_rawgeti(L, -1, (lua_Integer)lua_rawlen(L, -1));
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  return 1;
}
