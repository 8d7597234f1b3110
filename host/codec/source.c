/*
 * The texts of chunks.
 *
 * They are kept in a registry table, by name, as lists whose elements FIRST
 * and LAST bound: the oldest can be forgotten without moving the others.  A
 * text that is its own chunk name is not kept, the function has it.
 *
 * The compiled form of some is kept too, so that dumping a hundred functions
 * of a file compiles the file once, and so does sending a module with every
 * call.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../own.h"
#include "buffer.h"
#include "slice.h"

enum {
  KEPT_BYTES = 64 << 20,
  TEXT_COST = 200, /* bytes that keeping a text takes besides the text */
  COMPILED_TEXTS = 64,
  RECENT_TEXTS = 32,
  SLICE_FROM = 2048 /* bytes of text; smaller chunks travel whole */
};

/* Fields of the registry table: name -> list of texts; list of the names in
 * the order they came; the bytes kept; binary chunks by text. */
enum { TEXTS = 1, QUEUE, BYTES, COMPILED, COMPILED_COUNT };

static const char registry_key = 0;

static lua_Integer get_number(lua_State *L, int table, lua_Integer field) {
  lua_Integer n;
  lua_rawgeti(L, table, field);
  n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

static void set_number(lua_State *L, int table, lua_Integer field,
                       lua_Integer n) {
  lua_pushinteger(L, n);
  lua_rawseti(L, table, field);
}

/* A list keeps the index of its first element at 0 and of its last at -1. */
enum { LIST_FIRST = 0, LIST_LAST = -1 };

static void push_list(lua_State *L) {
  lua_newtable(L);
  lua_pushinteger(L, 1);
  lua_rawseti(L, -2, LIST_FIRST);
}

/* Pushes the registry table, made at first use.  [-0, +1, m] */
static void push_home(lua_State *L) {
  if (lp__own_get(L, &registry_key) == LUA_TTABLE)
    return;
  lua_pop(L, 1);
  lua_createtable(L, COMPILED_COUNT, 0);
  lua_newtable(L);
  lua_rawseti(L, -2, TEXTS);
  push_list(L);
  lua_rawseti(L, -2, QUEUE);
  lua_newtable(L);
  lua_rawseti(L, -2, COMPILED);
  lua_pushvalue(L, -1);
  lp__own_set(L, &registry_key);
}

/* Adds the value on top to the list at index `list`.  [-1, +0, m] */
static void push_back(lua_State *L, int list) {
  lua_Integer last = get_number(L, list, LIST_LAST) + 1;
  lua_rawseti(L, list, last);
  set_number(L, list, LIST_LAST, last);
}

/* Pushes the first element of the list and removes it from there. */
static void pop_front(lua_State *L, int list) {
  lua_Integer first = get_number(L, list, LIST_FIRST);
  lua_rawgeti(L, list, first);
  lua_pushnil(L);
  lua_rawseti(L, list, first);
  set_number(L, list, LIST_FIRST, first + 1);
}

static int is_empty(lua_State *L, int list) {
  return get_number(L, list, LIST_FIRST) > get_number(L, list, LIST_LAST);
}

static void add_bytes(lua_State *L, int home, lua_Integer n) {
  set_number(L, home, BYTES, get_number(L, home, BYTES) + n);
}

/* Forgets the oldest text: the first one of the first name in the queue. */
static void forget_oldest(lua_State *L, int home) {
  int top = lua_gettop(L);
  lua_rawgeti(L, home, TEXTS);
  lua_rawgeti(L, home, QUEUE);
  pop_front(L, top + 2); /* texts queue name */
  lua_pushvalue(L, top + 3);
  lua_rawget(L, top + 1); /* texts queue name list */
  pop_front(L, top + 4);
  add_bytes(L, home, -(lua_Integer)lua_rawlen(L, -1) - TEXT_COST);
  if (is_empty(L, top + 4)) {
    lua_pushvalue(L, top + 3);
    lua_pushnil(L);
    lua_rawset(L, top + 1);
  }
  lua_settop(L, top);
}

/* Pushes the list of texts under the name at index `name`, made at need. */
static void push_texts(lua_State *L, int home, int name) {
  lua_rawgeti(L, home, TEXTS); /* texts */
  lua_pushvalue(L, name);
  if (lua_rawget(L, -2) != LUA_TTABLE) { /* texts nil */
    lua_pop(L, 1);
    push_list(L);
    lua_pushvalue(L, name);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4); /* texts list */
  }
  lua_remove(L, -2);
}

/* Whether the text is the newest in the list. */
static int is_newest(lua_State *L, int list, int text) {
  int same;
  lua_rawgeti(L, list, get_number(L, list, LIST_LAST));
  same = lua_rawequal(L, -1, text);
  lua_pop(L, 1);
  return same;
}

/* Whether it is one of the newest in the list: what is loaded again and again,
 * in turns perhaps, is kept once. */
static int is_recent(lua_State *L, int list, int text) {
  lua_Integer i = get_number(L, list, LIST_LAST);
  lua_Integer first = get_number(L, list, LIST_FIRST);
  int same = 0;
  if (first < i - RECENT_TEXTS)
    first = i - RECENT_TEXTS;
  for (; i >= first && !same; i--) {
    lua_rawgeti(L, list, i);
    same = lua_rawequal(L, -1, text);
    lua_pop(L, 1);
  }
  return same;
}

int lp__source_remember(lua_State *L, int name, int text) {
  int home = lua_gettop(L) + 1, is_new;
  if (lua_rawequal(L, name, text))
    return 0;
  name = lua_absindex(L, name);
  text = lua_absindex(L, text);
  push_home(L);
  push_texts(L, home, name); /* home list */
  is_new = !is_recent(L, home + 1, text);
  if (is_new) {
    lua_pushvalue(L, text);
    push_back(L, home + 1);
    lua_rawgeti(L, home, QUEUE); /* home list queue */
    lua_pushvalue(L, name);
    push_back(L, home + 2);
    add_bytes(L, home, (lua_Integer)lua_rawlen(L, text) + TEXT_COST);
  }
  while (get_number(L, home, BYTES) > KEPT_BYTES)
    forget_oldest(L, home);
  lua_settop(L, home - 1);
  return is_new;
}

/* Removes the last element of the list.  [-0, +0, -] */
static void drop_back(lua_State *L, int list) {
  lua_Integer last = get_number(L, list, LIST_LAST);
  lua_pushnil(L);
  lua_rawseti(L, list, last);
  set_number(L, list, LIST_LAST, last - 1);
}

void lp__source_forget(lua_State *L, int name, int text) {
  int home = lua_gettop(L) + 1;
  name = lua_absindex(L, name);
  text = lua_absindex(L, text);
  push_home(L);
  lua_rawgeti(L, home, TEXTS);
  lua_rawgeti(L, home, QUEUE);
  lua_pushvalue(L, name);
  if (lua_rawget(L, home + 1) == LUA_TTABLE && /* home texts queue list */
      is_newest(L, home + 2, name) && is_newest(L, home + 3, text)) {
    drop_back(L, home + 2);
    drop_back(L, home + 3);
    add_bytes(L, home, -(lua_Integer)lua_rawlen(L, text) - TEXT_COST);
    if (is_empty(L, home + 3)) {
      lua_pushvalue(L, name);
      lua_pushnil(L);
      lua_rawset(L, home + 1);
    }
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

/* A descriptor; -1 when it is closed. */
static int close_file(lua_State *L) {
  int *fd = lua_touserdata(L, 1);
  if (*fd >= 0 && *fd != STDIN_FILENO)
    close(*fd);
  *fd = -1;
  return 0;
}

/* Pushes one that is closed, whoever raises.  [-0, +1, m] */
static int *push_file(lua_State *L) {
  int *fd = lua_newuserdatauv(L, sizeof *fd, 0);
  *fd = -1;
  if (lp__own_metatable(L, "lambdapool.source.File")) {
    lua_pushcfunction(L, close_file);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return fd;
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
  int *fd, error, top = lua_gettop(L);
  lua_pushnil(L);
  buffer.box = top + 1;
  fd = push_file(L);
  errno = 0;
  *fd = open_file(name, only_regular);
  error = *fd < 0 ? errno : 0;
  if (*fd >= 0) {
    what = "read";
    error = read_all(L, *fd, &buffer);
    if (name)
      close(*fd);
    *fd = -1;
  }
  if (error) {
    lua_pushfstring(L, "cannot %s %s: %s", what, name ? name : "stdin",
                    strerror(error));
  } else {
    push_text(L, (const char *)buffer.bytes, buffer.size);
  }
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  return error == 0;
}

/* Whether the text on top may have so many lines. Lua ends them in four ways.
 */
static int has_lines(lua_State *L, unsigned lines) {
  size_t size;
  const char *text = lua_tolstring(L, -1, &size), *end = text + size;
  while (lines > 1 && text < end) {
    lines -= *text == '\n' || *text == '\r';
    text++;
  }
  return lines <= 1;
}

/* Whether the text on top compiles to a chunk with the function. */
static int try_text(lua_State *L, const struct lp__proto *proto,
                    struct lp__path *path) {
  struct lp__proto root;
  size_t size;
  const char *binary;
  int found = 0;
  if (!has_lines(L, proto->last_line))
    return 0;
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
  lua_Integer i, first;
  push_home(L);
  lua_rawgeti(L, -1, TEXTS);
  lua_pushvalue(L, top);
  *known = lua_rawget(L, -2) == LUA_TTABLE; /* name home texts list */
  first = *known ? get_number(L, top + 3, LIST_FIRST) : 1;
  for (i = *known ? get_number(L, top + 3, LIST_LAST) : 0; i >= first; i--) {
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

/* Whether the text at `from` to `to` has the function; then it is pushed. */
static int try_bytes(lua_State *L, const char *from, const char *to,
                     const struct lp__proto *proto, struct lp__path *path) {
  lua_pushlstring(L, from, (size_t)(to - from));
  if (try_text(L, proto, path))
    return 1;
  lua_pop(L, 1);
  return 0;
}

/* Tries the words that the program was started with: `lua5.4 -e TEXT`. Replaces
 * the name on top by the text. */
static int try_command_line(lua_State *L, const struct lp__proto *proto,
                            struct lp__path *path) {
  int top = lua_gettop(L), found = 0;
  const char *word, *end;
  size_t size;
  if (lp__source_read(L, "/proc/self/cmdline", 1)) {
    word = lua_tolstring(L, -1, &size);
    for (end = word + size; word < end && !found; word += strlen(word) + 1) {
      const char *last = word + strlen(word);
      found = try_bytes(L, word, last, proto, path) ||
              (strncmp(word, "-e", 2) == 0 &&
               try_bytes(L, word + 2, last, proto, path));
    }
  }
  if (found)
    lua_replace(L, top);
  lua_settop(L, top);
  return found;
}

/* Pushes what is wrong with a chunk whose text is nowhere. */
static void push_complaint(lua_State *L, int known) {
  if (known) {
    lua_pushliteral(L, "is not in the text loaded under its chunk name");
  } else if (lp__own_is_guest(L)) {
    lua_pushliteral(L, "has no source text: it was loaded from memory under a "
                       "name, or from bytecode\n  load it from a file, or tell "
                       "lambdapool.remember its chunk name and text");
  } else {
    lua_pushliteral(L, "has no source text: it was loaded from bytecode or "
                       "before lambdapool was");
  }
}

/* Replaces the name on top by the chunk's text, or by what is wrong. */
static int find_text(lua_State *L, const struct lp__proto *proto,
                     struct lp__path *path) {
  size_t size;
  const char *name = lua_tolstring(L, -1, &size);
  int known, kind = size ? name[0] : 0; /* "" is an empty text */
  if (proto->line_count == 0) {
    lua_pushliteral(L, "was stripped of its debug information");
    lua_replace(L, -2);
    return 0;
  }
  if (try_remembered(L, proto, path, &known))
    return 1;
  if (kind == '@') {
    if (!lp__source_read(L, name + 1, 1)) {
      lua_pushfstring(
          L, "has no source text any more (%s)%s", lua_tostring(L, -1),
          lp__own_is_guest(L)
              ? "\n  tell lambdapool.remember its chunk name and text"
              : "");
    } else if (try_text(L, proto, path)) {
      lp__source_remember(L, -2, -1);
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
  if (strcmp(name, "=(command line)") == 0 && try_command_line(L, proto, path))
    return 1;
  push_complaint(L, known);
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
  lua_rawgeti(L, -1, get_number(L, top + 3, LIST_LAST));
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  return 1;
}
