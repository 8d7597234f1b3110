/* The beginning and the end of every call of the user's. See host.h. */
#include <lauxlib.h>

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "own_modules.h"

static const char no_memory[] = "not enough memory";

const char *lp_version(void) {
  return LP_VERSION;
}

int lp_version_number(void) {
  return LP_VERSION_NUMBER;
}

const char *lp_strerror(int code) {
  static const char *const texts[] = {
      [-LP_OK] = "no error",
      [-LP_ENOMEM] = no_memory,
      [-LP_ELUA] = "an error in Lua code",
      [-LP_EINVAL] = "an argument makes no sense",
      [-LP_ESTALE] = "there is no such task any more",
      [-LP_EBUSY] = "the host is in use: by another thread, by the call that "
                    "runs this callback, or by the process that has forked "
                    "this one",
      [-LP_ETIMEDOUT] = "the time is over",
      [-LP_EWOKEN] = "lp_wake was called",
      [-LP_ESYSTEM] = "the operating system refused something",
  };
  if (code > 0)
    code = LP_OK;
  if (code <= -(int)(sizeof texts / sizeof *texts))
    return "an unknown error";
  return texts[-code];
}

/* --- errors -------------------------------------------------------------- */

const char *lp_error(const lp_host *host) {
  if (host == NULL)
    return "there is no host";
  if (host->static_error != NULL)
    return host->static_error;
  return host->error != NULL ? host->error : "";
}

/* Without memory for the words there are at least those of the code. */
int lp__fail(lp_host *host, int code, const char *message) {
  size_t size = strlen(message) + 1;
  char *copy = lp__malloc(size);
  host->static_error = NULL;
  if (copy != NULL) {
    memcpy(copy, message, size);
    lp__free(host->error);
    host->error = copy;
  } else {
    host->static_error = lp_strerror(code);
  }
  return code;
}

/* --- who calls ----------------------------------------------------------- */

/* Every thread has another address of this. */
static _Thread_local const char me;

/* True when the host is this thread's now. */
static bool take_host(lp_host *host, bool *nested) {
  const void *nobody = NULL;
  *nested = false;
  if (host->process != getpid())
    return false;
  if (atomic_compare_exchange_strong(&host->inside, &nobody, &me))
    return true;
  *nested = nobody == &me && host->in_callback;
  return *nested;
}

int lp__enter(lp_host *host, struct lp__call *call, enum lp__where where) {
  if (host == NULL)
    return LP_EINVAL;
  if (!take_host(host, &call->nested))
    return LP_EBUSY;
  call->memory = lp__memory_enter(&host->memory);
  host->in_callback = false;
  if (call->nested && where != LP__ANYWHERE)
    return lp__leave(host, call, lp__fail(host, LP_EBUSY, "not in a callback"));
  if (!host->is_open && where != LP__CLOSING)
    return lp__leave(host, call, LP_EINVAL);
  return LP_OK;
}

int lp__leave(lp_host *host, const struct lp__call *call, int result) {
  if (!call->nested && host->tasks.for_callbacks.first > 0 && host->loop)
    lp__loop_call_at(host->loop, 0); /* lp_poll has something to do */
  lp__memory_enter(call->memory);
  host->in_callback = call->nested;
  if (!call->nested)
    atomic_store(&host->inside, NULL);
  return result;
}

void lp__callback_begin(lp_host *host, struct lp__callback *callback,
                        lua_State *L) {
  callback->L = host->running_state;
  callback->nested = host->in_callback;
  if (L != NULL)
    host->running_state = L;
  host->in_callback = true;
}

void lp__callback_end(lp_host *host, const struct lp__callback *callback) {
  host->running_state = callback->L;
  host->in_callback = callback->nested;
}

/* --- protected calls ----------------------------------------------------- */

/* Error values that are no strings say what they are while that is possible. */
int lp__describe(lua_State *L) {
  if (lua_isstring(L, 1) || luaL_getmetafield(L, 1, "__tostring") != LUA_TNIL)
    luaL_tolstring(L, 1, NULL);
  else
    lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  return 1;
}

/* What the error value on top means. */
static int code_of(const lp_host *host, lua_State *L, int status) {
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (status == LUA_ERRMEM || strcmp(text, no_memory) == 0)
    return LP_ENOMEM;
  return host->code;
}

/* Takes the error value off the stack, for lp_error. */
static void take_error(lp_host *host, lua_State *L, int code) {
  const char *text = "(error object is not a string)";
  if (lua_type(L, -1) == LUA_TSTRING)
    text = lua_tostring(L, -1);
  lp__fail(host, code, text);
  lua_pop(L, 1);
}

/* Words come last: the user's code, which finalizers and warnings call, may do
 * something wrong, too. */
int lp__protected(lp_host *host, lua_CFunction f, void *argument) {
  lua_State *L = host->running_state;
  int status, outer = host->code; /* of the call that has called the user */
  if (!lua_checkstack(L, LUA_MINSTACK))
    return lp__fail(host, LP_ENOMEM, no_memory);
  host->code = LP_ELUA;
  lua_pushcfunction(L, lp__describe);
  lua_pushcfunction(L, f);
  lua_pushlightuserdata(L, argument);
  status = lua_pcall(L, 1, 0, -3);
  status = status == LUA_OK ? LP_OK : code_of(host, L, status);
  host->code = outer;
  if (status == LP_ENOMEM && L == host->L)
    lua_gc(L, LUA_GCCOLLECT); /* others need memory, too */
  lp__log_warnings(host);
  if (status != LP_OK)
    take_error(host, L, status);
  lua_pop(L, 1);
  return status;
}

int lp__raise(lua_State *L, lp_host *host, int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  lua_pushvfstring(L, format, arguments);
  va_end(arguments);
  host->code = code;
  return lua_error(L);
}

/* --- lambdapool.embed ---------------------------------------------------- */

static const char *const names[] = {
    [LP__EMBED_OPEN] = "open",
    [LP__EMBED_CHUNK] = "chunk",
    [LP__EMBED_PREPARE] = "prepare",
    [LP__EMBED_SUBMIT] = "submit",
    [LP__EMBED_CANCEL] = "cancel",
    [LP__EMBED_STATE] = "state",
    [LP__EMBED_STATS] = "stats",
    [LP__EMBED_STEP] = "step",
    [LP__EMBED_REST] = "rest",
    [LP__EMBED_HOLD] = "hold",
    [LP__EMBED_DESCRIPTOR] = "descriptor",
    [LP__EMBED_RESET] = "reset",
};

/* The last one comes last: it says that all are there. */
static void load_embedded(lua_State *L, lp_host *host) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, host->require);
  lua_pushliteral(L, LP__OWN_NAME ".embed");
  lua_call(L, 1, 1); /* module */
  for (int i = LP__EMBEDDED - 1; i >= 0; i--) {
    lua_getfield(L, -1, names[i]);
    luaL_checktype(L, -1, LUA_TFUNCTION);
    host->embedded[i] = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  lua_pop(L, 1);
}

bool lp__is_embedded(const lp_host *host) {
  return host->embedded[0] != 0;
}

void lp__push_embedded(lua_State *L, lp_host *host, enum lp__embedded which) {
  luaL_checkstack(L, 8, NULL);
  if (!lp__is_embedded(host))
    load_embedded(L, host);
  lua_rawgeti(L, LUA_REGISTRYINDEX, host->embedded[which]);
}
