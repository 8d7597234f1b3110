/*
 * What is printed and what Lua warns of. See struct lp_config.
 *
 * Warnings are kept until the call of Lua that they come from is over: they may
 * come from a finalizer, in the middle of a collection, which is no place for
 * the user's code.
 */
#include <lauxlib.h>

#include <stdio.h>
#include <string.h>

#include "host.h"

/* --- to the user --------------------------------------------------------- */

/* Gives one line to the user; it has a zero behind it. */
static void give_line(lp_host *host, lua_State *L, enum lp_log_level level,
                      const char *line, size_t size) {
  struct lp__callback callback;
  lp__callback_begin(host, &callback, L);
  host->log(host->log_data, level, line, size);
  lp__callback_end(host, &callback);
}

void lp__log(lua_State *L, lp_host *host, enum lp_log_level level,
             const char *text, size_t size) {
  const char *end;
  if (host->log == NULL)
    return;
  luaL_checkstack(L, 4, NULL);
  while ((end = memchr(text, '\n', size)) != NULL) {
    size_t length = (size_t)(end - text);
    give_line(host, L, level, lua_pushlstring(L, text, length), length);
    lua_pop(L, 1);
    text = end + 1;
    size -= length + 1;
  }
  give_line(host, L, level, text, size);
}

/* --- print --------------------------------------------------------------- */

/* Pushes what `print` writes of its arguments.  [-0, +1, e] */
static void push_text(lua_State *L, int count) {
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  for (int i = 1; i <= count; i++) {
    if (i > 1)
      luaL_addchar(&text, '\t');
    luaL_tolstring(L, i, NULL);
    luaL_addvalue(&text);
  }
  luaL_pushresult(&text);
}

/* print(...); upvalues: the host and Lua's own. */
static int print(lua_State *L) {
  lp_host *host = lua_touserdata(L, lua_upvalueindex(1));
  int count = lua_gettop(L);
  if (host->commanding || host->log == NULL) {
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, count, 0);
    return 0;
  }
  push_text(L, count);
  size_t size;
  const char *text = lua_tolstring(L, -1, &size);
  lp__log(L, host, LP_LOG_PRINT, text, size);
  return 0;
}

/* --- warnings ------------------------------------------------------------ */

/* A call that brings about more than that is told of the first ones. */
enum { LEAST_ROOM = 256, MOST_KEPT = 1 << 14 };

/* The bytes that are allocated for `size`. */
static size_t room_for(size_t size) {
  size_t room = LEAST_ROOM;
  while (room < size)
    room *= 2;
  return room;
}

/* Makes room for `more` bytes; false when there is no memory. */
static bool grow(struct lp__warnings *warnings, size_t more) {
  size_t room = room_for(warnings->size + more);
  char *bytes = warnings->bytes;
  if (bytes != NULL && room == room_for(warnings->size))
    return true;
  bytes = lp__realloc(bytes, room);
  if (bytes == NULL)
    return false;
  warnings->bytes = bytes;
  return true;
}

/* Adds to the texts that are kept; drops it when there is no memory. Every line
 * is one of its own. */
static void keep(struct lp__warnings *warnings, const char *text, size_t size) {
  if (warnings->size >= MOST_KEPT || !grow(warnings, size))
    return;
  char *end = warnings->bytes + warnings->size;
  for (size_t i = 0; i < size; i++)
    end[i] = text[i] == '\n' ? '\0' : text[i];
  warnings->size += size;
}

/* Each is kept with the zero at its end. */
static void keep_warning(struct lp__warnings *warnings, const char *message,
                         bool goes_on) {
  keep(warnings, message, strlen(message) + !goes_on);
}

static void print_warning(const char *message, bool is_first, bool goes_on) {
  fprintf(stderr, "%s%s%s", is_first ? "Lua warning: " : "", message,
          goes_on ? "" : "\n");
}

/* Lua's warnings, as luaL_newstate has them, with "@on" and "@off". They are on
 * at first when there is a log. */
static void warn(void *user, const char *message, int goes_on) {
  lp_host *host = user;
  struct lp__warnings *warnings = &host->warnings;
  bool is_first = !warnings->goes_on;
  warnings->goes_on = goes_on;
  if (is_first && !goes_on && *message == '@') {
    if (strcmp(message, "@on") == 0)
      warnings->on = true;
    else if (strcmp(message, "@off") == 0)
      warnings->on = false;
  } else if (warnings->on && host->commanding) {
    print_warning(message, is_first, goes_on);
  } else if (warnings->on && host->log != NULL) {
    keep_warning(warnings, message, goes_on);
  }
}

void lp__log_warnings(lp_host *host) {
  struct lp__warnings *warnings = &host->warnings;
  char *bytes = warnings->bytes, *end = bytes + warnings->size;
  if (bytes == NULL)
    return;
  warnings->bytes = NULL; /* the user may bring about more */
  warnings->size = 0;
  for (char *text = bytes; text < end; text += strlen(text) + 1)
    if (memchr(text, '\0', (size_t)(end - text)) != NULL)
      give_line(host, NULL, LP_LOG_WARNING, text, strlen(text));
    else
      break; /* its end was dropped */
  lp__free(bytes);
}

void lp__log_install(lua_State *L, lp_host *host) {
  host->warnings.on = host->log != NULL;
  lua_setwarnf(L, warn, host);
  lua_pushlightuserdata(L, host);
  lua_getglobal(L, "print");
  lua_pushcclosure(L, print, 2);
  lua_setglobal(L, "print");
}
