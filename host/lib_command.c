/*
 * The Lua module "lambdapool.command.native": child processes (command.h).
 *
 *   native.start(words, changes, folder | nil, input) -> child
 *                        | nil, "program" | "folder", message, code
 *   child:next(seconds)  -> "output", bytes | "errors", bytes | "end" | nil
 *   child:finish()       -> exit code | nil, signal | nil
 *
 * `changes` of the environment are strings, or false for what is to be unset.
 * next returns nil when nothing happened in that time, and early when an
 * interrupt is pending. finish ends the child and its group if they have not
 * ended; so do __close and __gc. `code` is "ENOENT" and the like, and comes
 * with what is to blame.
 */
#include "command.h"
#include "libs.h"
#include "own.h"

#include <lauxlib.h>

#include <errno.h>
#include <math.h>
#include <string.h>
#include <uv.h>

#define CHILD "lambdapool.command.Child"

extern char **environ;

struct child {
  struct lp__command command;
  bool running;
};

/* The string at the top of the stack, which somebody keeps. */
static const char *check_text(lua_State *L, const char *what) {
  size_t size;
  const char *text =
      lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
  if (!text || strlen(text) != size)
    luaL_error(L, "%s must be a string without zero bytes", what);
  return text;
}

/* Pushes an array of the strings in the list at `index`, which keeps them.
 * [-0, +1, e] */
static char *const *push_array(lua_State *L, int index) {
  lua_Integer count = luaL_len(L, index);
  const char **items =
      lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *items, 0);
  for (lua_Integer i = 0; i < count; i++) {
    lua_rawgeti(L, index, i + 1);
    items[i] = check_text(L, "a word of a command");
    lua_pop(L, 1);
  }
  items[count] = NULL;
  return (char *const *)items;
}

/* Whether the table at `index` has another opinion on "NAME=value". */
static bool is_changed(lua_State *L, int index, const char *variable) {
  lua_pushlstring(L, variable, strcspn(variable, "="));
  lua_rawget(L, index);
  bool changed = !lua_isnil(L, -1);
  lua_pop(L, 1);
  return changed;
}

/* Pushes a list of the variables of the child.  [-0, +1, e] */
static void push_variables(lua_State *L, int index) {
  lua_Integer count = 0;
  lua_newtable(L);
  for (char **variable = environ; variable && *variable; variable++) {
    if (!is_changed(L, index, *variable)) {
      lua_pushstring(L, *variable);
      lua_rawseti(L, -2, ++count);
    }
  }
  lua_pushnil(L);
  while (lua_next(L, index)) { /* list name value */
    if (lua_toboolean(L, -1)) {
      check_text(L, "the value of a variable");
      lua_pushfstring(L, "%s=%s", lua_tostring(L, -2), lua_tostring(L, -1));
      lua_rawseti(L, -4, ++count);
    }
    lua_pop(L, 1);
  }
}

static int fail(lua_State *L, int status, const char *blamed) {
  luaL_pushfail(L);
  lua_pushstring(L, blamed);
  lua_pushstring(L, strerror(-status));
  lua_pushstring(L, status == -ENOEXEC ? "ENOEXEC" : uv_err_name(status));
  return 4;
}

static int command_start(lua_State *L) {
  struct lp__command_config config = {NULL, NULL, NULL, NULL, 0};
  bool no_folder;
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TTABLE);
  config.folder = luaL_optstring(L, 3, NULL);
  config.input = luaL_checklstring(L, 4, &config.input_size);
  luaL_argcheck(L, luaL_len(L, 1) > 0, 1, "there is no program");
  config.arguments = push_array(L, 1);
  push_variables(L, 2);
  config.environment = push_array(L, lua_gettop(L));
  struct child *child = lua_newuserdatauv(L, sizeof *child, 0);
  child->running = false;
  lp__own_set_metatable(L, CHILD);
  int status = lp__command_start(&child->command, &config, &no_folder);
  if (status < 0)
    return fail(L, status, no_folder ? "folder" : "program");
  child->running = true;
  return 1;
}

static struct child *check_running(lua_State *L) {
  struct child *child = lp__own_check(L, 1, CHILD);
  if (!child->running)
    luaL_error(L, "the command is finished");
  return child;
}

static int child_next(lua_State *L) {
  static const char *const names[] = {[LP__COMMAND_OUTPUT] = "output",
                                      [LP__COMMAND_ERRORS] = "errors",
                                      [LP__COMMAND_END] = "end"};
  struct child *child = check_running(L);
  lua_Number seconds = luaL_checknumber(L, 2);
  char buffer[16384];
  size_t size = sizeof buffer;
  luaL_argcheck(L, seconds >= 0 && seconds <= 1e6, 2, "out of range");
  enum lp__command_event event = lp__command_next(
      &child->command, (int)ceil(seconds * 1000), buffer, &size);
  if (event == LP__COMMAND_NOTHING)
    return 0;
  lua_pushstring(L, names[event]);
  lua_pushlstring(L, buffer, size);
  return 2;
}

/* Serves __gc and __close; may run twice. */
static int child_close(lua_State *L) {
  struct child *child = lp__own_check(L, 1, CHILD);
  int code, signal;
  if (child->running) {
    child->running = false;
    lp__command_end(&child->command, &code, &signal);
  }
  return 0;
}

static int child_finish(lua_State *L) {
  struct child *child = check_running(L);
  int code, signal;
  child->running = false;
  lp__command_end(&child->command, &code, &signal);
  if (code >= 0)
    lua_pushinteger(L, code);
  else
    luaL_pushfail(L);
  if (signal > 0)
    lua_pushinteger(L, signal);
  else
    luaL_pushfail(L);
  return 2;
}

int luaopen_lambdapool_command(lua_State *L) {
  static const luaL_Reg functions[] = {{"start", command_start}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"next", child_next}, {"finish", child_finish}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {
      {"__gc", child_close}, {"__close", child_close}, {NULL, NULL}};
  lp__own_metatable(L, CHILD);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
