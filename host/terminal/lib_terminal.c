/* The Lua module "lambdapool.terminal": lines that are edited on a terminal,
 * and the file of their history. What is decided about them is in
 * lua/lambdapool/repl/editor.lua; line_editor.h says what all of this means.
 *
 *   terminal.open(port, id, owner, input, output) -> editor | nil, message
 *           for loop.attach; input and output are descriptors
 *   editor:read(prompt, wait, complete) -> text | nil, "end" | nil, "given up"
 *           wait() returns true when there may be something to read, false to
 *           give up; complete(text, position) -> bytes before the cursor, text
 *           that replaces them | nil. What they raise is raised.
 *   editor:remember(text)
 *   editor:size() -> rows, columns
 *   editor:close()
 *
 * for those two functions, and for what runs while wait() waits:
 *
 *   editor:watch()     one event, "transfer", as soon as there is something to
 *                      read or the size of the screen has changed
 *   editor:hide()
 *   editor:show()
 *   editor:write(text)
 *   editor:mark(text)
 *
 *   terminal.append(path, line) -> true | nil, message, code
 *   terminal.tail(path, most) -> bytes, size of the file | nil, message, code
 */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

#include "../own.h"
#include "file.h"
#include "lambdapool.h"
#include "line_editor.h"
#include "watch.h"

LP_API int luaopen_lambdapool_terminal(lua_State *L);

#define EDITOR "lambdapool.terminal.Editor"

/* User value 1 is the owner of the port. */
struct editor {
  struct lp__line_editor *lines;
  struct lp__watch *watch;
};

static struct editor *check_editor(lua_State *L) {
  struct editor *editor = lp__own_check(L, 1, EDITOR);
  if (!editor->lines)
    luaL_error(L, "the editor is closed");
  return editor;
}

static int fail(lua_State *L, int status) {
  errno = -status;
  return luaL_fileresult(L, 0, NULL);
}

/* Serves __gc and __close; may run twice, and, when the program exits, while a
 * line is being read. */
static int editor_free(lua_State *L) {
  struct editor *editor = lp__own_check(L, 1, EDITOR);
  lp__line_editor_close(editor->lines);
  lp__watch_close(editor->watch);
  editor->lines = NULL;
  editor->watch = NULL;
  lua_pushnil(L);
  lua_setiuservalue(L, 1, 1);
  return 0;
}

static int editor_close(lua_State *L) {
  struct editor *editor = lp__own_check(L, 1, EDITOR);
  if (editor->lines && lp__line_editor_is_reading(editor->lines))
    luaL_error(L, "a line is being read");
  return editor_free(L);
}

static int terminal_open(lua_State *L) {
  luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
  const struct lp__loop_port *port = lua_touserdata(L, 1);
  lua_Integer id = luaL_checkinteger(L, 2);
  int input = (int)luaL_checkinteger(L, 4);
  int output = (int)luaL_checkinteger(L, 5);
  struct editor *editor = lua_newuserdatauv(L, sizeof *editor, 1);
  memset(editor, 0, sizeof *editor);
  lp__own_set_metatable(L, EDITOR);
  lua_pushvalue(L, 3);
  lua_setiuservalue(L, -2, 1);
  int status = lp__watch_open(&editor->watch, port, id, input);
  if (status == 0)
    status = lp__line_editor_open(&editor->lines, input, output);
  return status == 0 ? 1 : fail(L, status);
}

/* --- reading ------------------------------------------------------------- */

/* The stack of a call of editor:read. */
enum { WAIT = 3, COMPLETE, FAILURE };

struct reading {
  lua_State *L;
  struct editor *editor;
  bool failed; /* with what is at FAILURE */
};

/* Calls what is at the top with its arguments. False when it raised.
 * [-(arguments + 1), +(results | 0), -] */
static bool call(struct reading *reading, int arguments, int results) {
  lua_State *L = reading->L;
  if (lua_pcall(L, arguments, results, 0) == LUA_OK)
    return true;
  lua_replace(L, FAILURE);
  reading->failed = true;
  return false;
}

static bool on_wait(void *data) {
  struct reading *reading = data;
  lua_State *L = reading->L;
  if (reading->failed) /* when the line was completed */
    return false;
  lua_settop(L, FAILURE);
  lua_pushvalue(L, WAIT);
  bool go_on = call(reading, 0, 1) && lua_toboolean(L, -1);
  lp__watch_stop(reading->editor->watch);
  if (go_on && lp__watch_resized(reading->editor->watch))
    lp__line_editor_resized(reading->editor->lines);
  return go_on;
}

/* What is passed on as data and sizes at 1 to 3; for lua_pcall, as memory may
 * be short.  [-3, +2, e] */
static int call_complete(lua_State *L) {
  const char *text = lua_touserdata(L, 2);
  lua_pushvalue(L, 1);
  lua_pushlstring(L, text, (size_t)lua_tointeger(L, 3));
  lua_pushvalue(L, 4);
  lua_call(L, 2, 2);
  return 2;
}

static bool on_complete(void *data, const char *text, size_t size,
                        size_t position, struct lp__line_change *change) {
  struct reading *reading = data;
  lua_State *L = reading->L;
  lua_settop(L, FAILURE);
  lua_pushcfunction(L, call_complete);
  lua_pushvalue(L, COMPLETE);
  lua_pushlightuserdata(L, (void *)text);
  lua_pushinteger(L, (lua_Integer)size);
  lua_pushinteger(L, (lua_Integer)position);
  if (!call(reading, 4, 2) || lua_type(L, -1) != LUA_TSTRING)
    return false;
  lua_Integer removed = lua_tointeger(L, -2);
  change->removed = removed > 0 ? (size_t)removed : 0;
  change->text = lua_tolstring(L, -1, &change->size);
  return true;
}

static int editor_read(lua_State *L) {
  struct editor *editor = check_editor(L);
  struct reading reading = {.L = L, .editor = editor};
  struct lp__line_hooks hooks = {&reading, on_wait, on_complete};
  size_t prompt_size, size = 0;
  const char *prompt = luaL_checklstring(L, 2, &prompt_size);
  const char *text;
  if (lp__line_editor_is_reading(editor->lines))
    luaL_error(L, "a line is being read already");
  luaL_checkstack(L, 10, NULL);
  lua_settop(L, FAILURE);
  enum lp__line_end end = lp__line_editor_read(
      editor->lines, prompt, prompt_size, &hooks, &text, &size);
  lua_settop(L, FAILURE);
  if (reading.failed)
    return lua_error(L);
  if (end == LP__LINE_READ) {
    lua_pushlstring(L, text, size);
    return 1;
  }
  luaL_pushfail(L);
  lua_pushstring(L, end == LP__LINE_CLOSED ? "end" : "given up");
  return 2;
}

static int editor_watch(lua_State *L) {
  lp__watch_start(check_editor(L)->watch);
  return 0;
}

static int editor_hide(lua_State *L) {
  lp__line_editor_hide(check_editor(L)->lines);
  return 0;
}

static int editor_show(lua_State *L) {
  lp__line_editor_show(check_editor(L)->lines);
  return 0;
}

static int editor_write(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 2, &size);
  lp__line_editor_write(check_editor(L)->lines, text, size);
  return 0;
}

static int editor_mark(lua_State *L) {
  lp__line_editor_mark(check_editor(L)->lines, luaL_checkstring(L, 2));
  return 0;
}

static int editor_remember(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 2, &size);
  int status = lp__line_editor_remember(check_editor(L)->lines, text, size);
  return status == 0 ? 0 : luaL_error(L, "not enough memory");
}

static int editor_size(lua_State *L) {
  int rows, columns;
  lp__line_editor_size(check_editor(L)->lines, &rows, &columns);
  lua_pushinteger(L, rows);
  lua_pushinteger(L, columns);
  return 2;
}

/* --- files --------------------------------------------------------------- */

static const char *check_path(lua_State *L) {
  size_t size;
  const char *path = luaL_checklstring(L, 1, &size);
  luaL_argcheck(L, size > 0 && strlen(path) == size, 1, "is no path");
  return path;
}

static int terminal_append(lua_State *L) {
  size_t size;
  const char *path = check_path(L);
  const char *line = luaL_checklstring(L, 2, &size);
  int status = lp__file_append(path, line, size);
  if (status < 0)
    return fail(L, status);
  lua_pushboolean(L, 1);
  return 1;
}

static int terminal_tail(lua_State *L) {
  luaL_Buffer buffer;
  size_t size, total;
  const char *path = check_path(L);
  lua_Integer most = luaL_checkinteger(L, 2);
  luaL_argcheck(L, most >= 0, 2, "must not be negative");
  char *room = luaL_buffinitsize(L, &buffer, (size_t)most);
  int status = lp__file_tail(path, room, (size_t)most, &size, &total);
  if (status < 0)
    return fail(L, status);
  luaL_pushresultsize(&buffer, size);
  lua_pushinteger(L, (lua_Integer)total);
  return 2;
}

int luaopen_lambdapool_terminal(lua_State *L) {
  static const luaL_Reg functions[] = {{"open", terminal_open},
                                       {"append", terminal_append},
                                       {"tail", terminal_tail},
                                       {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"read", editor_read},         {"watch", editor_watch},
      {"hide", editor_hide},         {"show", editor_show},
      {"write", editor_write},       {"mark", editor_mark},
      {"remember", editor_remember}, {"size", editor_size},
      {"close", editor_close},       {NULL, NULL}};
  static const luaL_Reg metamethods[] = {
      {"__gc", editor_free}, {"__close", editor_free}, {NULL, NULL}};
  lp__own_metatable(L, EDITOR);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
