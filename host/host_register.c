/* Functions of the user's for the host's Lua code: lp_register. */
#include <lauxlib.h>

#include <string.h>

#include "host.h"

/* What a function in Lua stands for. */
struct registered {
  lp_host *host;
  lp_function function;
  void *data;
};

enum {
  MOST_RESULTS = sizeof((struct lp_call *)0)->results / sizeof(struct lp_value)
};

/* Raises what a function of the user's was not content with. */
static int complain(lua_State *L, const struct lp_call *call, int status) {
  return luaL_error(
      L, "%s", call->message != NULL ? call->message : lp_strerror(status));
}

static int push_results(lua_State *L, const struct lp_call *call) {
  if (call->result_count < 0 || call->result_count > MOST_RESULTS)
    return luaL_error(L, "a function returns %d results, and %d are the most",
                      call->result_count, (int)MOST_RESULTS);
  luaL_checkstack(L, MOST_RESULTS + 4, NULL);
  for (int i = 0; i < call->result_count; i++)
    lp__value_push(L, &call->results[i], "result", i + 1);
  return call->result_count;
}

/* The function in Lua; its upvalue is a struct registered. */
static int call_user(lua_State *L) {
  const struct registered *registered = lua_touserdata(L, lua_upvalueindex(1));
  lp_host *host = registered->host;
  struct lp_call call = {
      NULL, lua_gettop(L), {{LP_NIL, 0, 0, NULL, 0}}, 0, NULL};
  struct lp__callback callback;
  struct lp_value *args =
      lua_newuserdatauv(L, (size_t)call.count * sizeof *args, 0);
  lp__values_fill(L, 1, call.count, args);
  call.args = args;
  lp__callback_begin(host, &callback, L);
  int status = registered->function(host, &call, registered->data);
  lp__callback_end(host, &callback);
  if (status < 0)
    return complain(L, &call, status);
  return push_results(L, &call);
}

/* --- lp_register --------------------------------------------------------- */

struct registration {
  const char *name;
  struct registered registered;
};

/* Pushes the function, or nil.  [-0, +1, m] */
static void push_function(lua_State *L, const struct registered *registered) {
  struct registered *copy;
  if (registered->function == NULL) {
    lua_pushnil(L);
    return;
  }
  copy = lua_newuserdatauv(L, sizeof *copy, 0);
  *copy = *registered;
  lua_pushcclosure(L, call_user, 1);
}

/* Replaces the table on top by its field, a table, which is made when there is
 * none and `make` says so; returns whether there is one then.  [-1, +1, e] */
static bool enter_table(lua_State *L, const char *name, size_t size,
                        bool make) {
  lua_pushlstring(L, name, size); /* table name */
  lua_pushvalue(L, -1);
  lua_rawget(L, -3); /* table name field */
  if (lua_isnil(L, -1) && make) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, -5); /* table name field */
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
  return lua_istable(L, -1);
}

/* Pushes the table that the last name in `name` belongs to, and returns that
 * name; NULL when there is another value on the way, or nothing and `make` is
 * false.  [-0, +1, e] */
static const char *push_owner(lua_State *L, const char *name, bool make) {
  const char *dot;
  lua_pushglobaltable(L);
  while ((dot = strchr(name, '.')) != NULL) {
    if (!enter_table(L, name, (size_t)(dot - name), make))
      return NULL;
    name = dot + 1;
  }
  return name;
}

static int install(lua_State *L) {
  const struct registration *registration = lua_touserdata(L, 1);
  const struct registered *registered = &registration->registered;
  bool make = registered->function != NULL;
  const char *name = push_owner(L, registration->name, make);
  if (name == NULL && make)
    return lp__raise(L, registered->host, LP_EINVAL,
                     "lp_register: cannot set %s: there is something else of "
                     "that name, which is no table",
                     registration->name);
  if (name == NULL)
    return 0;
  lua_pushstring(L, name);
  push_function(L, registered);
  lua_rawset(L, -3);
  return 0;
}

/* The size of the Lua name that `text` begins with; 0: with none. */
static size_t name_size(const char *text) {
  static const char letters[] = "0123456789"
                                "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ_";
  return *text >= '0' && *text <= '9' ? 0 : strspn(text, letters);
}

/* Names, with dots between them. */
static bool is_name(const char *name) {
  size_t size;
  while ((size = name_size(name)) > 0) {
    if (name[size] == '\0')
      return true;
    if (name[size] != '.')
      return false;
    name += size + 1;
  }
  return false;
}

int lp_register(lp_host *host, const char *name, lp_function function,
                void *data) {
  struct registration registration = {name, {host, function, data}};
  struct lp__call call;
  int status = lp__enter(host, &call, LP__ANYWHERE);
  if (status != LP_OK)
    return status;
  if (name == NULL || !is_name(name))
    status = lp__fail(host, LP_EINVAL,
                      "lp_register: a name must be like \"read\" or "
                      "\"tool.read\"");
  else
    status = lp__protected(host, install, &registration);
  return lp__leave(host, &call, status);
}
