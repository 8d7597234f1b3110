/*
 * The embedding layer: the one place that opens a lua_State. Everything that
 * may raise runs under lua_pcall, setting up the state included. The Lua
 * part of lambdapool is found by a searcher of our own, compiled in or, for
 * work on it, in a folder.
 */
#include "lambdapool.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coroutine.h"
#include "embed.h"
#include "heap.h"
#include "libs.h"
#include "state.h"

#define OWN_NAME "lambdapool"

struct lp_host {
  lua_State *L;
  struct lp__heap *heap;      /* of L */
  struct lp__running running; /* of L, for interrupts */
  bool warns, warned;         /* warnings are on; the last one goes on */
  char error[512];
};

const char *lp_version(void) {
  return LP_VERSION;
}

void lp_config_init(struct lp_config *config, size_t size) {
  memset(config, 0, size);
  config->size = size;
  config->modules = getenv("LAMBDAPOOL_LUA");
}

const char *lp_error(const lp_host *host) {
  return host->error;
}

/* Keeps the error object on the top as the host's error text and pops it. */
static int keep_error(lp_host *host) {
  const char *text = lua_tostring(host->L, -1);
  if (text == NULL)
    text = "(error object is not a string)";
  strncpy(host->error, text, sizeof host->error - 1);
  lua_pop(host->L, 1);
  return LP_ELUA;
}

/* Pushes `name` as the file name of a module below `folder`: the module
 * "lambdapool" is lambdapool/init.lua.  [-0, +1, m] */
static void push_file_name(lua_State *L, const char *folder, const char *name) {
  if (strcmp(name, OWN_NAME) == 0)
    name = OWN_NAME ".init";
  name = luaL_gsub(L, name, ".", "/");           /* name */
  lua_pushfstring(L, "%s/%s.lua", folder, name); /* name file */
  lua_remove(L, -2);                             /* file */
}

/* The lua_Reader of one file. */
struct source {
  FILE *file;
  char block[4096];
};

static const char *read_block(lua_State *L, void *data, size_t *size) {
  struct source *source = data;
  (void)L;
  *size = fread(source->block, 1, sizeof source->block, source->file);
  return *size > 0 ? source->block : NULL;
}

static int load_compiled(lua_State *L, const char *name);

/* Loads a module from `folder`, as text, under the chunk name that the copy
 * inside has, so that tracebacks do not differ; the copy, when there is no such
 * file: not all come from there. Pushes the function or an error message.
 * [-0, +1, m] */
static int load_from_folder(lua_State *L, const char *folder,
                            const char *name) {
  struct source source;
  int status;
  push_file_name(L, folder, name); /* path */
  lua_pushfstring(L, "@%s", lua_tostring(L, -1) + strlen(folder) + 1);
  source.file = fopen(lua_tostring(L, -2), "rb"); /* path chunkname */
  if (source.file == NULL)
    return load_compiled(L, name);
  status = lua_load(L, read_block, &source, lua_tostring(L, -1), "t");
  fclose(source.file);
  return status;
}

/* Loads the copy of a module that is compiled in. Pushes the function, an
 * error message, or the text that a searcher gives when there is none.
 * [-0, +1, m] */
static int load_compiled(lua_State *L, const char *name) {
  const struct lp__module *module = lp__modules;
  while (module->name != NULL && strcmp(module->name, name) != 0)
    module++;
  if (module->name == NULL) {
    lua_pushfstring(L, "no module '%s' in lambdapool", name);
    return LUA_OK;
  }
  return luaL_loadbufferx(L, (const char *)module->bytes, module->size, name,
                          "b");
}

/* The searcher of lambdapool's own modules. Its upvalues are the folder to read
 * them from, or nil, and their globals. */
static int search_own(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const char *folder = lua_tostring(L, lua_upvalueindex(1));
  size_t own = strlen(OWN_NAME);
  int status;
  if (strncmp(name, OWN_NAME, own) != 0 ||
      (name[own] != '\0' && name[own] != '.'))
    return 0;
  status = folder != NULL ? load_from_folder(L, folder, name)
                          : load_compiled(L, name);
  if (status != LUA_OK)
    return lua_error(L);
  if (lua_isfunction(L, -1)) {
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_setupvalue(L, -2, 1);
  }
  return 1;
}

/* Pushes a copy of the globals: whatever a script makes of them, which at a
 * prompt may be anything, lambdapool goes on.  [-0, +1, m] */
static void push_own_globals(lua_State *L) {
  lua_newtable(L);
  lua_pushglobaltable(L);
  lua_pushnil(L); /* own globals key */
  while (lua_next(L, -2)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2); /* own globals key key value */
    lua_rawset(L, -5);
  }
  lua_pop(L, 1);
}

/* Puts the searcher right behind the one of package.preload: a file of the
 * same name beside a user's script does not shadow lambdapool.  [-0, +0, e] */
static void install_searcher(lua_State *L, const char *folder) {
  lua_Integer i;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers"); /* package searchers */
  for (i = luaL_len(L, -1); i >= 2; i--) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushstring(L, folder);
  push_own_globals(L);
  lua_pushcclosure(L, search_own, 2);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 2);
}

/* [-0, +0, e] */
static void preload(lua_State *L, const char *name, lua_CFunction open) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

/* Sets the state up, protected: (host, config). */
static int open_state(lua_State *L) {
  lp_host *host = lua_touserdata(L, 1);
  const struct lp_config *config = lua_touserdata(L, 2);
  lp__coroutine_open(host->L, &host->running);
  lp__state_open(L);
  preload(L, OWN_NAME ".codec", luaopen_lambdapool_codec);
  preload(L, OWN_NAME ".workers", luaopen_lambdapool_workers);
  preload(L, OWN_NAME ".system", luaopen_lambdapool_system);
  preload(L, OWN_NAME ".parts", luaopen_lambdapool_parts);
  preload(L, OWN_NAME ".json.native", luaopen_lambdapool_json);
  preload(L, OWN_NAME ".command.native", luaopen_lambdapool_command);
  install_searcher(L, config->modules);
  return 0;
}

/* Lua's warnings, as luaL_newstate has them: off until the script says "@on".
 */
static void warn(void *user, const char *message, int goes_on) {
  lp_host *host = user;
  bool is_first = !host->warned;
  host->warned = goes_on;
  if (is_first && !goes_on && *message == '@') {
    if (strcmp(message, "@on") == 0)
      host->warns = true;
    else if (strcmp(message, "@off") == 0)
      host->warns = false;
  } else if (host->warns) {
    fprintf(stderr, "%s%s%s", is_first ? "Lua warning: " : "", message,
            goes_on ? "" : "\n");
  }
}

/* -1 without memory. */
static int new_state(lp_host *host) {
  host->heap = lp__heap_new();
  if (host->heap == NULL)
    return -1;
  host->L = lua_newstate(lp__heap_alloc, host->heap);
  if (host->L == NULL)
    return -1;
  lua_setwarnf(host->L, warn, host);
  return 0;
}

int lp_open(const struct lp_config *config, lp_host **out) {
  struct lp_config defaults;
  lp_host *host;
  *out = NULL;
  if (config == NULL) {
    lp_config_init(&defaults, sizeof defaults);
    config = &defaults;
  }
  if (config->size != sizeof *config)
    return LP_EINVAL;
  host = calloc(1, sizeof *host);
  if (host == NULL)
    return LP_ENOMEM;
  if (new_state(host) < 0) {
    lp__heap_free(host->heap);
    free(host);
    return LP_ENOMEM;
  }
  *out = host;
  lua_pushcfunction(host->L, open_state);
  lua_pushlightuserdata(host->L, host);
  lua_pushlightuserdata(host->L, (void *)config);
  return lua_pcall(host->L, 2, 0, 0) == LUA_OK ? LP_OK : keep_error(host);
}

/* Runs `require "lambdapool.cli".main(argv)`, protected: (argc, argv), gives
 * the exit code. The table has argv[0] at index 0, as `arg` has. */
static int run_command(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = lua_touserdata(L, 2);
  int i;
  lua_getglobal(L, "require");
  lua_pushliteral(L, OWN_NAME ".cli");
  lua_call(L, 1, 1);           /* cli */
  lua_getfield(L, -1, "main"); /* cli main */
  lua_createtable(L, argc, 1); /* cli main argv */
  for (i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_call(L, 1, 1);
  return 1;
}

/* Errors that reach lp_command are breakdowns: show where. */
static int add_traceback(lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

int lp_command(lp_host *host, int argc, char **argv) {
  lua_State *L = host->L;
  int status;
  lua_settop(L, 0);
  lua_pushcfunction(L, add_traceback);
  lua_pushcfunction(L, run_command);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  if (lua_pcall(L, 2, 1, 1) != LUA_OK)
    return keep_error(host);
  status = (int)lua_tointeger(L, -1) & 0xff;
  lua_settop(L, 0);
  return status;
}

int lp_close(lp_host *host) {
  if (host == NULL)
    return LP_OK;
  lua_close(host->L);
  lp__heap_free(host->heap);
  free(host);
  return LP_OK;
}
