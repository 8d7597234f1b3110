/*
 * The Lua module "lambdapool.archive": zip archives (archive.h).
 *
 *   archive.check(bytes [, { unzipped = 262144000 }])
 *     -> { entries =, unzipped = } | nil, problem, message
 *   archive.extract(bytes, folder [, { unzipped = 262144000 }])
 *     -> true | nil, problem, message
 *   archive.create { { name =, data =, mode = 420 }, ... } -> bytes
 *
 * `unzipped` is the most bytes that the data may have. Problems are "invalid",
 * "too_large", "unsafe", and "failed" when the system refuses. The folder must
 * not exist; a part of it is left behind when extracting fails. `mode` are
 * permissions, or all of st_mode. Equal lists make equal archives; create
 * raises what fails, which is want of memory.
 */
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../own.h"
#include "archive.h"
#include "lambdapool.h"

#define UNZIPPED 262144000
#define BYTES    "lambdapool.archive.Bytes"

LP_API int luaopen_lambdapool_archive(lua_State *L);

/* The option `unzipped` of the table at `index`, if there is one. */
static uint64_t unzipped_option(lua_State *L, int index) {
  lua_Integer unzipped;
  if (lua_isnoneornil(L, index))
    return UNZIPPED;
  luaL_checktype(L, index, LUA_TTABLE);
  lua_getfield(L, index, "unzipped");
  unzipped = luaL_optinteger(L, -1, UNZIPPED);
  luaL_argcheck(L, unzipped >= 0, index, "unzipped is negative");
  lua_pop(L, 1);
  return (uint64_t)unzipped;
}

static int push_problem(lua_State *L, int problem,
                        const struct lp__archive_report *report) {
  static const char *const names[] = {"", "invalid", "too_large", "unsafe",
                                      "failed"};
  lua_pushnil(L);
  lua_pushstring(L, names[problem]);
  lua_pushstring(L, report->message);
  return 3;
}

static int archive_check(lua_State *L) {
  struct lp__archive_report report;
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size);
  uint64_t unzipped = unzipped_option(L, 2);
  int problem = lp__archive_check(bytes, size, unzipped, &report);
  if (problem != LP__ARCHIVE_OK)
    return push_problem(L, problem, &report);
  lua_createtable(L, 0, 2); /* t */
  lua_pushinteger(L, (lua_Integer)report.entries);
  lua_setfield(L, -2, "entries");
  lua_pushinteger(L, (lua_Integer)report.unzipped);
  lua_setfield(L, -2, "unzipped"); /* t */
  return 1;
}

static int archive_extract(lua_State *L) {
  struct lp__archive_report report;
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size);
  const char *folder = luaL_checkstring(L, 2);
  uint64_t unzipped = unzipped_option(L, 3);
  int problem = lp__archive_extract(bytes, size, folder, unzipped, &report);
  if (problem != LP__ARCHIVE_OK)
    return push_problem(L, problem, &report);
  lua_pushboolean(L, 1);
  return 1;
}

/* The string in the field `name` of the table at the top. The table keeps it:
 * strings only, a number would be converted to a string of nobody. */
static const char *string_field(lua_State *L, const char *name, size_t *size) {
  const char *text;
  if (lua_getfield(L, -1, name) != LUA_TSTRING)
    luaL_error(L, "the %s of a file is a string, not a %s", name,
               luaL_typename(L, -1));
  text = lua_tolstring(L, -1, size);
  lua_pop(L, 1);
  return text;
}

/* Fills in a file from the table at the top. */
static void read_file(lua_State *L, struct lp__archive_file *file) {
  size_t size;
  lua_Integer mode;
  file->name = string_field(L, "name", &size);
  if (size == 0 || strlen(file->name) != size)
    luaL_error(L, "the name of a file is empty or has a NUL");
  file->data = string_field(L, "data", &file->size);
  lua_getfield(L, -1, "mode");
  mode = luaL_optinteger(L, -1, 0644);
  lua_pop(L, 1);
  file->mode = (unsigned)mode & 0177777;
  if ((file->mode & S_IFMT) == 0)
    file->mode |= S_IFREG;
}

static int bytes_gc(lua_State *L) {
  void **bytes = lp__own_check(L, 1, BYTES);
  free(*bytes);
  *bytes = NULL;
  return 0;
}

/* Pushes the owner of bytes that C allocates.  [-0, +1, m] */
static void **push_owner(lua_State *L) {
  void **bytes = lua_newuserdatauv(L, sizeof *bytes, 0);
  *bytes = NULL;
  if (lp__own_metatable(L, BYTES)) {
    lua_pushcfunction(L, bytes_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return bytes;
}

static int archive_create(lua_State *L) {
  struct lp__archive_report report;
  struct lp__archive_file *files;
  lua_Integer i, count;
  void **bytes;
  size_t size;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  count = (lua_Integer)lua_rawlen(L, 1);
  luaL_argcheck(L, count > 0, 1, "an archive has at least one file");
  files = lua_newuserdatauv(L, (size_t)count * sizeof *files, 0);
  bytes = push_owner(L); /* list files owner */
  for (i = 0; i < count; i++) {
    lua_rawgeti(L, 1, i + 1);
    if (!lua_istable(L, -1))
      return luaL_argerror(L, 1, "it is a list of tables");
    read_file(L, files + i);
    lua_pop(L, 1);
  }
  if (lp__archive_create(files, (size_t)count, bytes, &size, &report))
    return luaL_error(L, "cannot make an archive: %s", report.message);
  lua_pushlstring(L, *bytes, size);
  free(*bytes);
  *bytes = NULL;
  return 1;
}

static const luaL_Reg functions[] = {{"check", archive_check},
                                     {"extract", archive_extract},
                                     {"create", archive_create},
                                     {NULL, NULL}};

int luaopen_lambdapool_archive(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
