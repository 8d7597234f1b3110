#include "lib_sign.h"

#include <lauxlib.h>
#include <string.h>
#include <time.h>

const char *const lp__sign_keys[] = {
    [LP__SIGN_METHOD] = "method",
    [LP__SIGN_PATH] = "path",
    [LP__SIGN_QUERY] = "query",
    [LP__SIGN_HEADERS] = "headers",
    [LP__SIGN_BODY] = "body",
    [LP__SIGN_ACCESS_KEY] = "access_key",
    "access_key_id",
    "aws_access_key_id",
    [LP__SIGN_SECRET_KEY] = "secret_key",
    "secret_access_key",
    "aws_secret_access_key",
    [LP__SIGN_TOKEN] = "token",
    "session_token",
    "aws_session_token",
    [LP__SIGN_AUTHORIZATION] = "authorization",
    [LP__SIGN_AMZ_DATE] = "x-amz-date",
    [LP__SIGN_AMZ_CONTENT] = "x-amz-content-sha256",
    [LP__SIGN_AMZ_TOKEN] = "x-amz-security-token",
};

int lp__sign_complain(lua_State *L, const char *what) {
  return luaL_error(L, "cannot sign: %s", what);
}

struct lp__span lp__sign_text(lua_State *L, const char *table,
                              const char *name) {
  struct lp__span text = {NULL, 0};
  if (lua_type(L, -1) != LUA_TSTRING)
    luaL_error(L, "cannot sign: %s.%s must be a string, not %s", table, name,
               luaL_typename(L, -1));
  text.at = lua_tolstring(L, -1, &text.size);
  return text;
}

static bool is_separator(char c) {
  static const char separators[] = "\"(),/:;<=>?@[\\]{}";
  return c <= ' ' || c > '~' || memchr(separators, c, sizeof separators - 1);
}

bool lp__sign_is_token(struct lp__span text) {
  for (size_t i = 0; i < text.size; i++) {
    char c = text.at[i];
    bool is_letter = (unsigned char)((c | 32) - 'a') < 26;
    if (!is_letter && c != '-' && is_separator(c))
      return false;
  }
  return text.size > 0;
}

/* A text of the request, which stays on the stack, or `absent`, a literal.
 * [-0, +1, e] */
#define REQUEST_TEXT(L, key, absent)                                           \
  request_text(L, key, (struct lp__span){absent, sizeof absent - 1})
static struct lp__span request_text(lua_State *L, int key,
                                    struct lp__span absent) {
  if (lp__sign_get(L, LP__SIGN_REQUEST, key) == LUA_TNIL)
    return absent;
  return lp__sign_text(L, "request", lp__sign_keys[key]);
}

/* The method in upper case, which stays on the stack.  [-0, +2, e] */
static const char *read_method(lua_State *L) {
  struct lp__span method = REQUEST_TEXT(L, LP__SIGN_METHOD, "GET");
  char upper[32];
  if (!lp__sign_is_token(method) || method.size >= sizeof upper)
    lp__sign_complain(L, "request.method is no method of HTTP");
  for (size_t i = 0; i <= method.size; i++)
    upper[i] = method.at[i] >= 'a' && method.at[i] <= 'z'
                   ? (char)(method.at[i] & ~32)
                   : method.at[i];
  if (memcmp(upper, method.at, method.size) == 0)
    return method.at;
  return lua_pushstring(L, upper);
}

/* Reads path and query, which may both be in the path.  [-0, +n, e] */
static void read_target(lua_State *L, struct lp__request *request) {
  struct lp__span path = REQUEST_TEXT(L, LP__SIGN_PATH, "/");
  struct lp__span query = REQUEST_TEXT(L, LP__SIGN_QUERY, "");
  const char *mark = memchr(path.at, '?', path.size);
  if (path.size == 0)
    path = (struct lp__span){"/", 1};
  if (*path.at != '/')
    lp__sign_complain(L, "request.path must begin with '/'");
  if (memchr(path.at, '#', path.size) ||
      (query.size > 0 && memchr(query.at, '#', query.size)))
    lp__sign_complain(
        L, "request.path and request.query must not have a '#': it is "
           "never sent");
  if (mark && query.size > 0)
    lp__sign_complain(L,
                      "there is a query in request.path and in request.query");
  *request = (struct lp__request){
      .target = path.at, .target_size = path.size, .path_size = path.size};
  if (mark)
    request->path_size = (size_t)(mark - path.at);
  if (query.size == 0)
    return;
  lua_pushlstring(L, path.at, path.size);
  lua_pushliteral(L, "?");
  lua_pushlstring(L, query.at, query.size);
  lua_concat(L, 3);
  request->target = lua_tolstring(L, -1, &request->target_size);
}

/* [-0, +n, e] */
static void read_request(lua_State *L, struct lp__request *request) {
  luaL_argexpected(L, lua_istable(L, LP__SIGN_REQUEST), LP__SIGN_REQUEST,
                   "table");
  read_target(L, request);
  request->method = read_method(L);
  struct lp__span body = REQUEST_TEXT(L, LP__SIGN_BODY, "");
  request->body = body.at;
  request->body_size = body.size;
}

/* Refuses a query that presign() has made. */
static void check_query(lua_State *L, const struct lp__request *request) {
  struct lp__span rest = lp__request_query(request), name, value;
  while (lp__span_next(&rest, '&', &value)) {
    lp__span_next(&value, '=', &name);
    if (lp__span_is(name, "X-Amz-Signature"))
      lp__sign_complain(L, "the query has 'X-Amz-Signature' already\n"
                           "  leave out what presign() has added to it");
  }
}

void lp__sign_read(lua_State *L, struct lp__sign_input *input, bool presigned) {
  input->presigned = presigned;
  lua_settop(L, LP__SIGN_INTO);
  luaL_checkstack(L, 20, NULL);
  lp__sign_read_options(L, input);
  lp__sign_read_credentials(L, &input->how);
  read_request(L, &input->request);
  lp__sign_read_headers(L, input);
  if (presigned)
    check_query(L, &input->request);
  if (presigned && !input->how.payload.at && lp__sign_is_s3(input->how.service))
    input->how.payload = (struct lp__span){"UNSIGNED-PAYLOAD", 16};
  if (input->how.time < 0)
    input->how.time = time(NULL);
}
