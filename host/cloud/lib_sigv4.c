/*
 * Who signed a request, for Lua; what signatures are stands in sigv4.h, and
 * lib_sign.c makes them.
 *
 *   crypto.authenticate(request, secrets[, now])
 *       -> access_key, service, region, token | nil
 *        | nil, problem, detail
 *   crypto.peek(request) -> the same, of what is claimed but not verified
 *
 * `request` is one that the server received, or a table { method =, path =,
 * query =, headers = { { name, value }, ... }, body = } with names in lower
 * case. `secrets` is a table, access key -> secret key; `now` is in seconds
 * since 1970 and stands in for the clock. `detail` is what AWS says:
 *
 *   "missing"      it is not signed
 *   "malformed"    as far as it can be read, the signature is incomplete
 *   "unknown_key"  the access key is not in `secrets`
 *   "mismatch"     the signature is another; the detail has both strings
 *   "expired", "early"   the clocks differ by more than five minutes
 *   "expired_url"  a presigned URL that is no longer good
 *   "payload"      the header x-amz-content-sha256 is not that of the body
 */
#include "lib_sigv4.h"

#include <lauxlib.h>
#include <string.h>
#include <time.h>

#include "../own.h"
#include "sigv4.h"

#define VERIFIER "lambdapool.crypto.Verifier"

static struct lp__sigv4 *verifier(lua_State *L) {
  struct lp__sigv4 **sigv4 = lua_touserdata(L, lua_upvalueindex(1));
  if (!*sigv4) /* in a finaliser, when the state ends */
    luaL_error(L, "the module is closed");
  return *sigv4;
}

static int no_memory(lua_State *L) {
  return luaL_error(L, "not enough memory");
}

/* --- requests ------------------------------------------------------------ */

/* A string in the table at `table`, "" when absent.  Borrowed from there. */
static struct lp__span text_field(lua_State *L, int table, const char *name) {
  struct lp__span text = {"", 0};
  if (lua_getfield(L, table, name) != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TSTRING)
      luaL_error(L, "'%s' must be a string", name);
    text.at = lua_tolstring(L, -1, &text.size);
  }
  lua_pop(L, 1);
  return text;
}

/* One text of the pair on top.  [-0, +0, e] */
static const char *pair_text(lua_State *L, int i, size_t *size) {
  if (lua_rawgeti(L, -1, i) != LUA_TSTRING)
    luaL_error(L, "each of 'headers' must be { name, value }");
  const char *text = lua_tolstring(L, -1, size);
  lua_pop(L, 1); /* the pair keeps it */
  return text;
}

/* Reads the list of pairs on top and puts a userdata in its place.  [-1, +1, e]
 */
static void read_headers(lua_State *L, struct lp__request *request) {
  if (lua_type(L, -1) != LUA_TTABLE)
    luaL_error(L, "'headers' must be a list");
  request->field_count = lua_rawlen(L, -1); /* list */
  struct lp__field *fields =
      lua_newuserdatauv(L, (request->field_count + 1) * sizeof *fields, 0);
  for (size_t i = 0; i < request->field_count; i++) { /* list fields */
    if (lua_rawgeti(L, -2, (lua_Integer)i + 1) != LUA_TTABLE)
      luaL_error(L, "each of 'headers' must be { name, value }");
    fields[i].name = pair_text(L, 1, &fields[i].name_size);
    fields[i].value = pair_text(L, 2, &fields[i].value_size);
    lua_pop(L, 1);
  }
  request->fields = fields;
  lua_remove(L, -2); /* fields */
}

/* Reads the table at index 1; what it makes stays on the stack.  [-0, +3, e] */
static const struct lp__request *read_table(lua_State *L) {
  struct lp__request *request = lua_newuserdatauv(L, sizeof *request, 0);
  memset(request, 0, sizeof *request);
  struct lp__span path = text_field(L, 1, "path");
  struct lp__span query = text_field(L, 1, "query");
  struct lp__span body = text_field(L, 1, "body");
  request->method = text_field(L, 1, "method").at;
  request->body = body.at;
  request->body_size = body.size;
  request->path_size = path.size;
  lua_pushfstring(L, query.size > 0 ? "%s?%s" : "%s", path.at, query.at);
  request->target = lua_tolstring(L, -1, &request->target_size);
  if (request->target_size != path.size + (query.size > 0) + query.size)
    luaL_error(L, "'path' and 'query' must not contain a zero byte");
  lua_getfield(L, 1, "headers");
  read_headers(L, request);
  return request;
}

static const struct lp__request *check_request(lua_State *L) {
  struct lp__request **request = lp__own_test(L, 1, LP__REQUEST);
  if (request)
    return *request;
  luaL_argexpected(L, lua_istable(L, 1), 1, "request");
  return read_table(L);
}

/* --- who signed ---------------------------------------------------------- */

static void push_span(lua_State *L, struct lp__span span) {
  lua_pushlstring(L, span.at, span.size);
}

static int push_claim(lua_State *L, const struct lp__sigv4_claim *claim) {
  push_span(L, claim->access_key);
  push_span(L, claim->service);
  push_span(L, claim->region);
  if (!claim->token.at)
    return 3;
  push_span(L, claim->token);
  return 4;
}

static int refuse(lua_State *L, enum lp__sigv4_problem problem,
                  const char *detail) {
  static const char *const names[] = {
      [LP__SIGV4_MISSING] = "missing",
      [LP__SIGV4_MALFORMED] = "malformed",
      [LP__SIGV4_UNKNOWN_KEY] = "unknown_key",
      [LP__SIGV4_MISMATCH] = "mismatch",
      [LP__SIGV4_EXPIRED] = "expired",
      [LP__SIGV4_EARLY] = "early",
      [LP__SIGV4_PAYLOAD] = "payload",
      [LP__SIGV4_EXPIRED_URL] = "expired_url",
  };
  if (problem == LP__SIGV4_NO_MEMORY)
    return no_memory(L);
  luaL_pushfail(L);
  lua_pushstring(L, names[problem]);
  lua_pushstring(L, detail);
  return 3;
}

static int crypto_peek(lua_State *L) {
  struct lp__sigv4 *sigv4 = verifier(L);
  struct lp__sigv4_claim claim;
  enum lp__sigv4_problem problem =
      lp__sigv4_parse(sigv4, check_request(L), &claim);
  if (problem)
    return refuse(L, problem, lp__sigv4_message(sigv4));
  return push_claim(L, &claim);
}

/* The secret in the table at index 2 for the key, or .at is NULL. It stays on
 * the stack.  [-0, +1, e] */
static struct lp__span push_secret(lua_State *L, struct lp__span key) {
  struct lp__span secret = {NULL, 0};
  push_span(L, key);
  lua_rawget(L, 2);
  if (lua_type(L, -1) == LUA_TSTRING)
    secret.at = lua_tolstring(L, -1, &secret.size);
  return secret;
}

static int crypto_authenticate(lua_State *L) {
  struct lp__sigv4 *sigv4 = verifier(L);
  struct lp__sigv4_claim claim;
  luaL_checktype(L, 2, LUA_TTABLE);
  int64_t now = luaL_opt(L, luaL_checkinteger, 3, (lua_Integer)time(NULL));
  const struct lp__request *request = check_request(L);
  enum lp__sigv4_problem problem = lp__sigv4_parse(sigv4, request, &claim);
  if (!problem)
    problem = lp__sigv4_check(sigv4, &claim, now);
  if (problem)
    return refuse(L, problem, lp__sigv4_message(sigv4));
  struct lp__span secret = push_secret(L, claim.access_key);
  if (!secret.at)
    return refuse(L, LP__SIGV4_UNKNOWN_KEY,
                  "The security token included in the request is invalid.");
  problem = lp__sigv4_verify(sigv4, request, &claim, secret);
  if (problem)
    return refuse(L, problem, lp__sigv4_message(sigv4));
  return push_claim(L, &claim);
}

/* --- the module ---------------------------------------------------------- */

static int verifier_gc(lua_State *L) {
  struct lp__sigv4 **sigv4 = lp__own_check(L, 1, VERIFIER);
  lp__sigv4_free(*sigv4);
  *sigv4 = NULL;
  return 0;
}

static void push_verifier(lua_State *L) {
  struct lp__sigv4 **sigv4 = lua_newuserdatauv(L, sizeof *sigv4, 0);
  *sigv4 = NULL;
  lp__own_metatable(L, VERIFIER);
  lua_pushcfunction(L, verifier_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  *sigv4 = lp__sigv4_new();
  if (!*sigv4)
    no_memory(L);
}

static const luaL_Reg functions[] = {
    {"authenticate", crypto_authenticate},
    {"peek", crypto_peek},
    {NULL, NULL},
};

void lp__sigv4_add(lua_State *L) {
  push_verifier(L);
  luaL_setfuncs(L, functions, 1);
}
