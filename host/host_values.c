/*
 * Values of the user's to Lua, and Lua's to the user.
 *
 * Strings are not copied on their way out: the user is lent the bytes of Lua's
 * own, which an object in the registry keeps alive, or those of a block, where
 * they have come from a worker and were never Lua's.
 */
#include <lauxlib.h>

#include <string.h>

#include "codec/dump.h"
#include "codec/load.h"
#include "host.h"
#include "json.h"
#include "lent.h"

/* --- to Lua -------------------------------------------------------------- */

/* decode(value) -> what the JSON text stands for; null at the top is nil */
static int decode_json(lua_State *L) {
  const struct lp_value *value = lua_touserdata(L, 1);
  lp__json_decode(L, value->size > 0 ? value->bytes : "", value->size);
  if (lua_islightuserdata(L, -1) && lua_touserdata(L, -1) == NULL)
    lua_pushnil(L);
  return 1;
}

/* decode(value) -> what the dump holds */
static int decode_dump(lua_State *L) {
  const struct lp_value *value = lua_touserdata(L, 1);
  struct lp__load_options options = {0, 0, 0, 0, 0};
  struct lp__bytes bytes;
  bytes.at = (const unsigned char *)(value->size > 0 ? value->bytes : "");
  bytes.end = bytes.at + value->size;
  if (lp__load_values(L, bytes, &options) != 1)
    return luaL_error(L, "these bytes hold no single value");
  return 1;
}

static void push_decoded(lua_State *L, const struct lp_value *value,
                         const char *what, int number) {
  bool is_json = value->type == LP_JSON;
  lua_pushcfunction(L, is_json ? decode_json : decode_dump);
  lua_pushlightuserdata(L, (void *)value);
  int status = lua_pcall(L, 1, 1, 0);
  if (status == LUA_ERRMEM)
    lua_error(L);
  if (status != LUA_OK)
    luaL_error(L, "%s %d is not %s: %s", what, number,
               is_json ? "JSON" : "a dump", luaL_tolstring(L, -1, NULL));
}

void lp__value_push(lua_State *L, const struct lp_value *value,
                    const char *what, int number) {
  if (value->type >= LP_STRING && value->bytes == NULL && value->size > 0)
    luaL_error(L, "%s %d has no bytes", what, number);
  switch (value->type) {
  case LP_NIL:
    lua_pushnil(L);
    return;
  case LP_BOOLEAN:
    lua_pushboolean(L, value->integer != 0);
    return;
  case LP_INTEGER:
    lua_pushinteger(L, value->integer);
    return;
  case LP_NUMBER:
    lua_pushnumber(L, value->number);
    return;
  case LP_STRING:
    lua_pushlstring(L, value->size > 0 ? value->bytes : "", value->size);
    return;
  case LP_JSON:
  case LP_DUMP:
    push_decoded(L, value, what, number);
    return;
  }
  luaL_error(L, "%s %d has no type that there is: %d", what, number,
             (int)value->type);
}

/* --- to the user --------------------------------------------------------- */

static int dump_one(lua_State *L) {
  lp__dump_values(L, 1);
  return 1;
}

/* dump(value) -> bytes */
static int dump_value(lua_State *L) {
  lp__dump_call(L, dump_one, 1, 1);
  return 1;
}

/* Replaces the value at `index` by a string that says it. */
static enum lp_type make_string(lua_State *L, int index) {
  if (lua_istable(L, index)) {
    lua_pushcfunction(L, lp__json_text);
    lua_pushvalue(L, index);
    int status = lua_pcall(L, 1, 1, 0);
    if (status == LUA_ERRMEM)
      lua_error(L);
    if (status == LUA_OK) {
      lua_replace(L, index);
      return LP_JSON;
    }
    lua_pop(L, 1);
  }
  lua_pushcfunction(L, dump_value);
  lua_pushvalue(L, index);
  lua_call(L, 1, 1);
  lua_replace(L, index);
  return LP_DUMP;
}

/* Fills in what the value at `index` is to the user. A string stays where it
 * is on the stack. */
static void fill(lua_State *L, int index, struct lp_value *value) {
  memset(value, 0, sizeof *value);
  switch (lua_type(L, index)) {
  case LUA_TNIL:
    value->type = LP_NIL;
    return;
  case LUA_TBOOLEAN:
    value->type = LP_BOOLEAN;
    value->integer = lua_toboolean(L, index);
    return;
  case LUA_TNUMBER:
    value->type = lua_isinteger(L, index) ? LP_INTEGER : LP_NUMBER;
    if (lua_isinteger(L, index))
      value->integer = lua_tointeger(L, index);
    else
      value->number = lua_tonumber(L, index);
    return;
  case LUA_TSTRING:
    value->type = LP_STRING;
    break;
  default:
    value->type = make_string(L, index);
  }
  value->bytes = lua_tolstring(L, index, &value->size);
}

void lp__values_fill(lua_State *L, int first, int count,
                     struct lp_value *values) {
  luaL_checkstack(L, 4, "too many values");
  for (int i = 0; i < count; i++)
    fill(L, first + i, &values[i]);
}

/* The texts that `json`, which may be anything, says are JSON. */
static void mark_json(struct lp_value *values, int count, lua_Integer json) {
  for (int i = 0; i < count && i < 63; i++)
    if ((json >> i & 1) && values[i].type == LP_STRING)
      values[i].type = LP_JSON;
}

/* Makes room for values, all of them nil. */
static void make_values(lua_State *L, int count, struct lp__ended *ended) {
  size_t size = sizeof *ended->values + sizeof *ended->blocks;
  if (count == 0)
    return;
  ended->values = lp__calloc((size_t)count, size);
  if (ended->values == NULL)
    luaL_error(L, "%s", lp_strerror(LP_ENOMEM));
  ended->blocks = (struct lp__block **)(void *)(ended->values + count);
  ended->count = count;
}

/* Takes the value at `index`, if that only lends its bytes: the block is held
 * for the user instead. Returns whether it does. */
static bool take_lent(lua_State *L, int index, struct lp_value *value,
                      struct lp__block **block) {
  struct lp__lent *lent = lp__lent_test(L, index);
  if (lent == NULL || lent->block == NULL)
    return false;
  value->type = LP_STRING;
  value->bytes = lent->bytes;
  value->size = lent->size;
  *block = lp__block_hold(lent->block);
  lp__lent_release(lent);
  return true;
}

/* Whether the user is lent something of Lua's. */
static bool needs_anchor(const struct lp__ended *ended, const char *message,
                         const char *traceback) {
  for (int i = 0; i < ended->count; i++)
    if (ended->values[i].type >= LP_STRING && ended->blocks[i] == NULL)
      return true;
  return message[0] != '\0' || traceback[0] != '\0';
}

/* Keeps the values from the index `first` on alive, and pops them. */
static int anchor(lua_State *L, int first) {
  int count = lua_gettop(L) - first + 1;
  lua_createtable(L, count, 0);
  lua_insert(L, first);
  for (int i = count; i > 0; i--)
    lua_rawseti(L, first, i);
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* What a worker says of an error may be anything. */
static const char *text_at(lua_State *L, int index) {
  const char *text = lua_tostring(L, index);
  return text != NULL ? text : "";
}

/* When this raises, `ended` has what it held by then, and no message. */
void lp__values_keep(lua_State *L, int count, lua_Integer json,
                     struct lp__ended *ended) {
  int first = lua_gettop(L) - count + 1;
  const char *message = text_at(L, first - 2);
  const char *traceback = text_at(L, first - 1);
  luaL_checkstack(L, 4, "too many results");
  make_values(L, count, ended);
  for (int i = 0; i < count; i++)
    if (!take_lent(L, first + i, &ended->values[i], &ended->blocks[i]))
      fill(L, first + i, &ended->values[i]);
  mark_json(ended->values, count, json);
  if (needs_anchor(ended, message, traceback))
    ended->anchor = anchor(L, first - 2);
  else
    message = traceback = "";
  lua_settop(L, first - 3);
  ended->result.values = ended->values;
  ended->result.count = count;
  ended->result.message = message;
  ended->result.traceback = traceback;
}

void lp__values_release(lp_host *host, struct lp__ended *ended) {
  if (ended->anchor != 0)
    luaL_unref(host->running_state, LUA_REGISTRYINDEX, ended->anchor);
  lp__ended_free(ended);
  memset(ended, 0, sizeof *ended);
}
