/*
 * The embedding layer: the one place that opens a lua_State. Everything that
 * may raise runs protected, setting up the state included. See host.h.
 */
#include <lauxlib.h>

#include <string.h>
#include <unistd.h>

#include "collect.h"
#include "host.h"
#include "libs.h"
#include "own_modules.h"
#include "state.h"

/* [-0, +0, e] */
static void preload(lua_State *L, const char *name, lua_CFunction open) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

struct opening {
  lp_host *host;
  const struct lp_config *config;
};

/* Sets the state up. */
static int open_state(lua_State *L) {
  const struct opening *opening = lua_touserdata(L, 1);
  lp_host *host = opening->host;
  lp__coroutine_open(host->L, &host->running);
  lp__state_open_libraries(L);
  lp__log_install(L, host);
  lp__guards_install(L, host);
  lp__state_open_rest(L);
  preload(L, LP__OWN_NAME ".codec", luaopen_lambdapool_codec);
  preload(L, LP__OWN_NAME ".workers", luaopen_lambdapool_workers);
  preload(L, LP__OWN_NAME ".system", luaopen_lambdapool_system);
  preload(L, LP__OWN_NAME ".parts", luaopen_lambdapool_parts);
  preload(L, LP__OWN_NAME ".json.native", luaopen_lambdapool_json);
  preload(L, LP__OWN_NAME ".command.native", luaopen_lambdapool_command);
  lp__embed_install(L, host);
  lp__own_install(L, opening->config->modules, &host->commanding);
  lua_getglobal(L, "require");
  host->require = luaL_ref(L, LUA_REGISTRYINDEX);
  lp__config_apply(L, host, opening->config);
  lp__collect_open(L, &host->collector);
  return 0;
}

/* The rest of lp_open, once there is a host to tell of errors. */
static int open_host(lp_host *host, const struct lp_config *config) {
  struct opening opening = {host, config};
  int status = lp__config_check(host, config);
  if (status != LP_OK)
    return status;
  host->heap = lp__heap_new(&host->memory);
  if (host->heap == NULL)
    return LP_ENOMEM;
  host->L = host->running_state = lua_newstate(lp__heap_alloc, host->heap);
  if (host->L == NULL)
    return LP_ENOMEM;
  status = lp__protected(host, open_state, &opening);
  host->is_open = status == LP_OK;
  return status;
}

/* Freed blocks that wait for their next use. A sanitizer is to see every
 * block. */
#if defined(__SANITIZE_ADDRESS__)
#define KEPT_BYTES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define KEPT_BYTES 0
#endif
#endif
#ifndef KEPT_BYTES
#define KEPT_BYTES ((size_t)4 << 20)
#endif

/* A host with nothing in it; NULL without memory. */
static lp_host *new_host(const struct lp_config *config) {
  struct lp__memory memory = {.function = config->allocate,
                              .data = config->allocate_data,
                              .keeps = KEPT_BYTES};
  lp_host *host = lp__memory_resize(&memory, NULL, 0, sizeof *host);
  if (host == NULL)
    return NULL;
  memset(host, 0, sizeof *host);
  host->memory = memory;
  host->process = getpid();
  host->log = config->log;
  host->log_data = config->log_data;
  return host;
}

/* Frees everything, as far as it was made. */
static void free_host(lp_host *host) {
  struct lp__memory memory;
  host->is_open = false; /* for finalizers that call the user */
  lp__values_release(host, &host->lent);
  atomic_store(&host->loop, NULL); /* for those that wake it */
  if (host->L != NULL)
    lua_close(host->L);
  lp__log_warnings(host);
  lp__heap_free(host->heap);
  lp__tasks_free(&host->tasks);
  lp__free(host->error);
  memory = host->memory;
  lp__memory_give_back(&memory);
  lp__memory_resize(&memory, host, sizeof *host, 0);
}

int lp_open(const struct lp_config *config, lp_host **out) {
  struct lp_config whole;
  struct lp__memory *previous;
  int status;
  if (out == NULL)
    return LP_EINVAL;
  *out = NULL;
  if (!lp__config_complete(&whole, config))
    return LP_EINVAL;
  *out = new_host(&whole);
  if (*out == NULL)
    return LP_ENOMEM;
  previous = lp__memory_enter(&(*out)->memory);
  status = open_host(*out, &whole);
  if (status == LP_ENOMEM) {
    free_host(*out);
    *out = NULL;
  }
  lp__memory_enter(previous);
  return status;
}

int lp_close(lp_host *host) {
  struct lp__call call;
  int status;
  if (host == NULL || host->process != getpid())
    return LP_OK;
  status = lp__enter(host, &call, LP__CLOSING);
  if (status != LP_OK)
    return status;
  free_host(host);
  lp__memory_enter(call.memory);
  return LP_OK;
}
