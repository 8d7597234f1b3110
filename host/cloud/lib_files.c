/*
 * The Lua module "lambdapool.files": what a store does with files and Lua's
 * standard library cannot (tree.h says how).
 *
 *   files.make(folder)      with the folders that it is in
 *   files.store(path, temporary, bytes)
 *   files.remove(path)      with everything in it
 *   files.overlay(from, to)
 *   files.is_folder(path) -> boolean
 *   files.real(path) -> the same place as an absolute path without links
 *   files.list(folder) -> names, in no order
 *   files.status(path [, nofollow]) -> { kind = "file" | "folder" | "link" |
 *       "pipe" | "socket" | "device", size =, executable = by its owner,
 *       changed = seconds since 1970, id = the same for the same file only }
 *       of what a link leads to, unless `nofollow`
 *   files.temporary(prefix) -> a new folder of mode 0700, a name that begins so
 *
 * The first four return true. All return nil, message, errno when the system
 * refuses.
 */
#include <dirent.h>
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lambdapool.h"
#include "tree.h"

LP_API int luaopen_lambdapool_files(lua_State *L);

static int files_make(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  return luaL_fileresult(L, lp__tree_make(path) == 0, path);
}

static int files_store(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  const char *temporary = luaL_checkstring(L, 2);
  size_t size;
  const char *bytes = luaL_checklstring(L, 3, &size);
  int stored = lp__tree_store(path, temporary, bytes, size) == 0;
  return luaL_fileresult(L, stored, path);
}

static int files_remove(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  return luaL_fileresult(L, lp__tree_remove(path) == 0, path);
}

static int files_overlay(lua_State *L) {
  const char *from = luaL_checkstring(L, 1), *to = luaL_checkstring(L, 2);
  return luaL_fileresult(L, lp__tree_overlay(from, to) == 0, to);
}

static int files_is_folder(lua_State *L) {
  struct stat status;
  int found = lstat(luaL_checkstring(L, 1), &status) == 0;
  lua_pushboolean(L, found && S_ISDIR(status.st_mode));
  return 1;
}

static int files_real(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  char real[PATH_MAX];
  if (realpath(path, real) == NULL)
    return luaL_fileresult(L, 0, path);
  lua_pushstring(L, real);
  return 1;
}

/* The next entry; NULL at the end, and with an errno when reading fails. */
static struct dirent *next_entry(DIR *entries) {
  errno = 0;
  return readdir(entries);
}

/* (entries): gives the names, and the errno that ended them or 0; may raise. */
static int push_names(lua_State *L) {
  DIR *entries = lua_touserdata(L, 1);
  struct dirent *entry;
  lua_newtable(L);
  while ((entry = next_entry(entries)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
      continue;
    lua_pushstring(L, entry->d_name);
    lua_rawseti(L, 2, (lua_Integer)lua_rawlen(L, 2) + 1);
  }
  lua_pushinteger(L, errno);
  return 2;
}

static int files_list(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  DIR *entries;
  int status;
  lua_settop(L, 1);
  lua_pushcfunction(L, push_names);
  entries = opendir(path);
  if (entries == NULL)
    return luaL_fileresult(L, 0, path);
  lua_pushlightuserdata(L, entries);
  status = lua_pcall(L, 1, 2, 0);
  closedir(entries);
  if (status != LUA_OK)
    return lua_error(L);
  errno = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return errno == 0 ? 1 : luaL_fileresult(L, 0, path);
}

static const char *kind_of(mode_t mode) {
  switch (mode & S_IFMT) {
  case S_IFREG:
    return "file";
  case S_IFDIR:
    return "folder";
  case S_IFLNK:
    return "link";
  case S_IFIFO:
    return "pipe";
  case S_IFSOCK:
    return "socket";
  default:
    return "device";
  }
}

static int files_status(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct stat status;
  int found = lua_toboolean(L, 2) ? lstat(path, &status) : stat(path, &status);
  if (found != 0)
    return luaL_fileresult(L, 0, path);
  lua_createtable(L, 0, 5);
  lua_pushstring(L, kind_of(status.st_mode));
  lua_setfield(L, -2, "kind");
  lua_pushinteger(L, status.st_size);
  lua_setfield(L, -2, "size");
  lua_pushboolean(L, (status.st_mode & S_IXUSR) != 0);
  lua_setfield(L, -2, "executable");
  lua_pushinteger(L, status.st_mtime);
  lua_setfield(L, -2, "changed");
  lua_pushfstring(L, "%I:%I", (lua_Integer)status.st_dev,
                  (lua_Integer)status.st_ino);
  lua_setfield(L, -2, "id");
  return 1;
}

static int files_temporary(lua_State *L) {
  const char *prefix = luaL_checkstring(L, 1);
  char path[PATH_MAX];
  if (strlen(prefix) + sizeof "XXXXXX" > sizeof path) {
    errno = ENAMETOOLONG;
    return luaL_fileresult(L, 0, prefix);
  }
  strcpy(path, prefix);
  strcat(path, "XXXXXX");
  if (mkdtemp(path) == NULL)
    return luaL_fileresult(L, 0, prefix);
  lua_pushstring(L, path);
  return 1;
}

static const luaL_Reg functions[] = {
    {"make", files_make},           {"store", files_store},
    {"remove", files_remove},       {"overlay", files_overlay},
    {"is_folder", files_is_folder}, {"list", files_list},
    {"real", files_real},           {"status", files_status},
    {"temporary", files_temporary}, {NULL, NULL},
};

int luaopen_lambdapool_files(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
