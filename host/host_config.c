/* struct lp_config: its defaults, and what makes no sense in it. */
#define _GNU_SOURCE /* secure_getenv */
#include <lauxlib.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "json_check.h"

/* What fits of a whole structure. */
static void fill_in(void *to, size_t size, const void *from, size_t whole) {
  memset(to, 0, size);
  memcpy(to, from, size < whole ? size : whole);
}

void lp_config_init(struct lp_config *config, size_t size) {
  struct lp_config whole = {.size = size,
                            .modules = secure_getenv("LAMBDAPOOL_LUA")};
  fill_in(config, size, &whole, sizeof whole);
}

void lp_task_init(struct lp_task *task, size_t size) {
  struct lp_task whole = {.size = size, .retries = -1};
  fill_in(task, size, &whole, sizeof whole);
}

/* Programs that were compiled with an older header know fewer fields. */
static bool complete(void *whole, size_t whole_size, const void *given) {
  size_t size = given != NULL ? *(const size_t *)given : 0;
  if (size < sizeof size || size > whole_size)
    return false;
  memcpy(whole, given, size);
  *(size_t *)whole = whole_size;
  return true;
}

bool lp__config_complete(struct lp_config *whole,
                         const struct lp_config *config) {
  lp_config_init(whole, sizeof *whole);
  return config == NULL || complete(whole, sizeof *whole, config);
}

bool lp__task_complete(struct lp_task *whole, const struct lp_task *task) {
  lp_task_init(whole, sizeof *whole);
  return complete(whole, sizeof *whole, task);
}

/* --- checking ------------------------------------------------------------ */

static int refuse(lp_host *host, const char *field, const char *wanted,
                  int64_t value) {
  char message[160];
  snprintf(message, sizeof message, "lp_config: %s must be %s, got %lld", field,
           wanted, (long long)value);
  return lp__fail(host, LP_EINVAL, message);
}

static int check_numbers(lp_host *host, const struct lp_config *config) {
  if (config->workers < 0 || config->workers > 10000)
    return refuse(host, "workers", "from 0 to 10000", config->workers);
  if (config->memory_mb != 0 &&
      (config->memory_mb < 128 || config->memory_mb > 10240))
    return refuse(host, "memory_mb", "0 or from 128 to 10240",
                  config->memory_mb);
  if (config->timeout_ms < 0 || config->timeout_ms > LP__LONGEST_MS)
    return refuse(host, "timeout_ms", "from 0 to 1e12", config->timeout_ms);
  if (config->retries < 0)
    return refuse(host, "retries", "0 or more", config->retries);
  if (config->nice < 0 || config->nice > 19)
    return refuse(host, "nice", "from 0 to 19", config->nice);
  return LP_OK;
}

static int check_options(lp_host *host, const char *options) {
  struct lp__json_problem problem;
  char message[500];
  size_t blank;
  if (options == NULL)
    return LP_OK;
  if (lp__json_check(options, strlen(options), LP__JSON_UTF8, &problem) !=
      LP_OK) {
    snprintf(message, sizeof message, "lp_config: options is not JSON: %s",
             problem.message);
    return lp__fail(host, LP_EINVAL, message);
  }
  blank = strspn(options, " \t\r\n");
  if (options[blank] != '{')
    return lp__fail(host, LP_EINVAL,
                    "lp_config: options must be a JSON object");
  return LP_OK;
}

static int check_text(lp_host *host, const char *field, const char *text) {
  char message[80];
  if (text == NULL || text[0] != '\0')
    return LP_OK;
  snprintf(message, sizeof message, "lp_config: %s is empty", field);
  return lp__fail(host, LP_EINVAL, message);
}

int lp__config_check(lp_host *host, const struct lp_config *config) {
  int status = check_numbers(host, config);
  if (status == LP_OK)
    status = check_options(host, config->options);
  if (status == LP_OK)
    status = check_text(host, "path", config->path);
  if (status == LP_OK)
    status = check_text(host, "agent", config->agent);
  return status;
}

/* --- telling Lua --------------------------------------------------------- */

/* Adds "folder/?.lua;folder/?/init.lua;"; a slash that it ends with is not
 * repeated. */
static void add_folder(luaL_Buffer *path, const char *folder, size_t size) {
  if (size == 0)
    return;
  while (size > 0 && folder[size - 1] == '/')
    size--;
  luaL_addlstring(path, folder, size);
  luaL_addstring(path, "/?.lua;");
  luaL_addlstring(path, folder, size);
  luaL_addstring(path, "/?/init.lua;");
}

/* Puts all of the folders in front of package.path.  [-0, +0, e] */
static void add_folders(lua_State *L, const char *folders) {
  int top = lua_gettop(L);
  luaL_Buffer path;
  lua_getglobal(L, "package"); /* package */
  luaL_buffinit(L, &path);
  while (*folders != '\0') {
    size_t size = strcspn(folders, ";");
    add_folder(&path, folders, size);
    folders += size + (folders[size] == ';');
  }
  luaL_pushresult(&path); /* package path */
  lua_getfield(L, top + 1, "path");
  lua_concat(L, 2);
  lua_setfield(L, top + 1, "path");
  lua_settop(L, top);
}

static void set_integer(lua_State *L, const char *name, lua_Integer value) {
  if (value == 0)
    return;
  lua_pushinteger(L, value);
  lua_setfield(L, -2, name);
}

/* What `config` says is kept for lua/lambdapool/embed.lua. The options it
 * checks when it is loaded. */
void lp__config_apply(lua_State *L, lp_host *host,
                      const struct lp_config *config) {
  if (config->path != NULL)
    add_folders(L, config->path);
  lua_createtable(L, 0, 8);
  set_integer(L, "workers", config->workers);
  set_integer(L, "memory", config->memory_mb);
  set_integer(L, "timeout_ms", config->timeout_ms);
  set_integer(L, "retries", config->retries);
  set_integer(L, "nice", config->nice);
  if (config->agent != NULL) {
    lua_pushstring(L, config->agent);
    lua_setfield(L, -2, "agent");
  }
  if (config->options != NULL) {
    lua_pushstring(L, config->options);
    lua_setfield(L, -2, "options");
  }
  host->config = luaL_ref(L, LUA_REGISTRYINDEX);
  if (config->options == NULL)
    return;
  host->code = LP_EINVAL;
  lp__push_embedded(L, host, LP__EMBED_OPEN);
  host->code = LP_ELUA;
  lua_call(L, 0, 0);
}
