/*
 * The C part of the Lua module "lambdapool.aws.sigv4"; what it does and takes
 * stands in lua/lambdapool/aws/sigv4.lua.
 *
 *   sign(request, credentials, options[, into]) -> headers
 *   presign(request, credentials, options) -> query
 *
 * All texts are read first and stay on the stack, so they are good until the
 * signature is there, whatever the tables are made of.
 */
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "sign.h"

int luaopen_lambdapool_sign(lua_State *L);

#define SIGNER       "lambdapool.aws.Signer"
#define MOST_SECONDS 253402300799 /* the end of the year 9999 */
#define WEEK         604800

enum { REQUEST = 1, CREDENTIALS, OPTIONS, INTO };

enum { MOST_FIELDS = 256 };

/* The upvalues of the functions: the box, and the keys that they ask tables
 * for, which Lua need not look up by their bytes then. */
enum {
  BOX = 1,
  METHOD,
  PATH,
  QUERY,
  HEADERS,
  BODY,
  ACCESS_KEY,
  SECRET_KEY,
  TOKEN,
  AUTHORIZATION,
  AMZ_DATE,
  AMZ_CONTENT,
  AMZ_TOKEN,
  UPVALUES = AMZ_TOKEN
};

static const char *const keys[] = {
    [METHOD] = "method",
    [PATH] = "path",
    [QUERY] = "query",
    [HEADERS] = "headers",
    [BODY] = "body",
    [ACCESS_KEY] = "access_key",
    [SECRET_KEY] = "secret_key",
    [TOKEN] = "token",
    [AUTHORIZATION] = "authorization",
    [AMZ_DATE] = "x-amz-date",
    [AMZ_CONTENT] = "x-amz-content-sha256",
    [AMZ_TOKEN] = "x-amz-security-token",
};

struct box {
  struct lp__signer *signer;
  struct lp__field fields[MOST_FIELDS];
};

/* Pushes the field of the table at an index; its type.  [-0, +1, e] */
static int get_field(lua_State *L, int table, int key) {
  lua_pushvalue(L, lua_upvalueindex(key));
  return lua_gettable(L, table);
}

static int complain(lua_State *L, const char *what) {
  return luaL_error(L, "cannot sign: %s", what);
}

/* --- options ------------------------------------------------------------- */

static struct lp__span text_value(lua_State *L, const char *table,
                                  const char *name) {
  struct lp__span text = {NULL, 0};
  if (lua_type(L, -1) != LUA_TSTRING)
    luaL_error(L, "cannot sign: %s.%s must be a string, not %s", table, name,
               luaL_typename(L, -1));
  text.at = lua_tolstring(L, -1, &text.size);
  return text;
}

/* Whether it may stand in a header or a scope by itself. */
static bool is_clean(struct lp__span text) {
  return text.size > 0 && lp__span_is_plain(text);
}

static struct lp__span name_value(lua_State *L, const char *name) {
  struct lp__span text = text_value(L, "options", name);
  if (!is_clean(text) || memchr(text.at, '/', text.size))
    luaL_error(L, "cannot sign: options.%s is not the name of one: '%s'", name,
               text.at);
  return text;
}

static int64_t time_value(lua_State *L) {
  lua_Number seconds = lua_tonumber(L, -1);
  if (lua_type(L, -1) != LUA_TNUMBER ||
      !(seconds >= 0 && seconds <= MOST_SECONDS))
    complain(L, "options.time must be seconds since 1970");
  return (int64_t)floor(seconds);
}

static int expires_value(lua_State *L) {
  lua_Integer seconds = lua_tointeger(L, -1);
  if (seconds < 1 || seconds > WEEK)
    complain(L, "options.expires must be seconds from 1 to 604800, a week");
  return (int)seconds;
}

static bool flag_value(lua_State *L, const char *name) {
  if (lua_type(L, -1) != LUA_TBOOLEAN)
    luaL_error(L, "cannot sign: options.%s must be true or false, not %s", name,
               luaL_typename(L, -1));
  return lua_toboolean(L, -1);
}

#define NAME(text)                                                             \
  { text, sizeof text - 1 }
static const struct lp__span names[] = {
    NAME("region"),        NAME("service"),   NAME("time"),
    NAME("expires"),       NAME("payload"),   NAME("normalize"),
    NAME("double_encode"), NAME("sign_body"), NAME("omit_session_token")};
#undef NAME

/* Their places in `names`. */
enum {
  REGION,
  SERVICE,
  TIME,
  EXPIRES,
  PAYLOAD,
  NORMALIZE,
  DOUBLE_ENCODE,
  SIGN_BODY,
  OMIT_SESSION_TOKEN,
  NAMES
};

static int find_name(struct lp__span name) {
  int i = 0;
  while (i < NAMES && (name.size != names[i].size ||
                       memcmp(name.at, names[i].at, name.size) != 0))
    i++;
  return i;
}

/* Raises an error that has the nearest of the names. */
static int unknown_option(lua_State *L, const char *name) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "lambdapool.suggest");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "hint");
  lua_pushstring(L, name);
  lua_createtable(L, NAMES, 0);
  for (int i = 0; i < NAMES; i++) {
    lua_pushstring(L, names[i].at);
    lua_rawseti(L, -2, i + 1);
  }
  lua_call(L, 2, 1);
  return luaL_error(L, "cannot sign: unknown option '%s'%s", name,
                    lua_tostring(L, -1));
}

/* S3 takes paths as they are. */
static bool is_s3(struct lp__span service) {
  if (service.size < 2 || memcmp(service.at, "s3", 2) != 0)
    return false;
  return service.size == 2 || lp__span_is(service, "s3express") ||
         lp__span_is(service, "s3-outposts") ||
         lp__span_is(service, "s3-object-lambda");
}

struct given {
  bool normalize, double_encode; /* whether they were */
};

/* Takes the option on top.  [-0, +0, e] */
static void take_option(lua_State *L, int name, bool presigned,
                        struct lp__signing *how, struct given *given) {
  switch (name) {
  case REGION:
    how->region = name_value(L, "region");
    break;
  case SERVICE:
    how->service = name_value(L, "service");
    break;
  case TIME:
    how->time = time_value(L);
    break;
  case EXPIRES:
    if (!presigned)
      complain(L, "options.expires is for presign(): a header holds for five "
                  "minutes");
    how->expires = expires_value(L);
    break;
  case PAYLOAD:
    how->payload = text_value(L, "options", "payload");
    if (!is_clean(how->payload))
      complain(L, "options.payload must be a hash, or what stands for it");
    break;
  case NORMALIZE:
    how->with_dots = !flag_value(L, "normalize");
    given->normalize = true;
    break;
  case DOUBLE_ENCODE:
    how->path_as_is = !flag_value(L, "double_encode");
    given->double_encode = true;
    break;
  case SIGN_BODY:
    how->hide_payload = !flag_value(L, "sign_body");
    break;
  case OMIT_SESSION_TOKEN:
    how->hide_token = flag_value(L, "omit_session_token");
    break;
  }
}

/* The strings that an options table holds stay in it: no metamethods here. */
static void read_options(lua_State *L, bool presigned,
                         struct lp__signing *how) {
  struct given given = {false, false};
  luaL_argexpected(L, lua_istable(L, OPTIONS), OPTIONS, "table");
  how->time = -1;
  how->expires = 900;
  lua_pushnil(L);
  while (lua_next(L, OPTIONS)) { /* name value */
    int name = NAMES;
    struct lp__span text;
    if (lua_type(L, -2) == LUA_TSTRING) {
      text.at = lua_tolstring(L, -2, &text.size);
      name = find_name(text);
    }
    if (name == NAMES)
      unknown_option(L, luaL_tolstring(L, -2, NULL));
    take_option(L, name, presigned, how, &given);
    lua_pop(L, 1);
  }
  if (!how->region.at)
    complain(L, "options.region is missing\n  say which, like \"us-east-1\"");
  if (!how->service.at)
    complain(L, "options.service is missing\n  say which, like \"lambda\"");
  if (how->time < 0)
    how->time = time(NULL);
  if (!given.normalize)
    how->with_dots = is_s3(how->service);
  if (!given.double_encode)
    how->path_as_is = is_s3(how->service);
}

/* --- credentials --------------------------------------------------------- */

/* A text of the credentials, which stays on the stack. Never said in a message.
 * [-0, +1, e] */
static struct lp__span credential(lua_State *L, int key) {
  get_field(L, CREDENTIALS, key);
  struct lp__span text = text_value(L, "credentials", keys[key]);
  if (!is_clean(text))
    luaL_error(L,
               "cannot sign: credentials.%s is empty or has a space or another "
               "character that no key has",
               keys[key]);
  return text;
}

/* [-0, +3, e] */
static void read_credentials(lua_State *L, struct lp__signing *how) {
  luaL_argexpected(L, lua_istable(L, CREDENTIALS), CREDENTIALS, "table");
  how->access_key = credential(L, ACCESS_KEY);
  how->secret = credential(L, SECRET_KEY);
  if (get_field(L, CREDENTIALS, TOKEN) == LUA_TNIL)
    return;
  lua_pop(L, 1);
  how->token = credential(L, TOKEN);
}

/* --- headers ------------------------------------------------------------- */

/* Whether it is a name in HTTP: printable, without a separator. */
static bool is_token(struct lp__span text) {
  static const char separators[] = "\"(),/:;<=>?@[\\]{}";
  if (!is_clean(text))
    return false;
  for (size_t i = 0; i < text.size; i++) {
    char c = text.at[i];
    bool usual = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
    if (!usual && memchr(separators, c, sizeof separators - 1))
      return false;
  }
  return true;
}

static bool is_field(struct lp__span name, const char *text, size_t size) {
  return name.size == size && strncasecmp(name.at, text, size) == 0;
}

#define IS_FIELD(name, text) is_field(name, text, sizeof text - 1)

/* Whether signing adds a field with this name. */
static bool is_added(struct lp__span name, const struct lp__signing *how) {
  return IS_FIELD(name, "x-amz-date") || IS_FIELD(name, "authorization") ||
         IS_FIELD(name, "x-amz-content-sha256") ||
         (how->token.at && IS_FIELD(name, "x-amz-security-token"));
}

static bool is_lower(struct lp__span name) {
  for (size_t i = 0; i < name.size; i++) {
    if (name.at[i] >= 'A' && name.at[i] <= 'Z')
      return false;
  }
  return true;
}

struct reader {
  struct lp__field *fields;
  size_t count;
  bool has_host, presigned;
  const struct lp__signing *how;
};

/* Takes a field, unless it is of an earlier signing. `keeps_place` says that a
 * new one of that name will take its place. */
static void take_field(lua_State *L, struct reader *reader,
                       struct lp__span name, struct lp__span value,
                       bool keeps_place) {
  if (!is_token(name))
    luaL_error(L, "cannot sign: '%s' cannot be the name of a header", name.at);
  if (!reader->presigned && is_added(name, reader->how)) {
    if (keeps_place && is_lower(name))
      return;
    luaL_error(L,
               "cannot sign: the headers have '%s' already\n"
               "  leave it out: signing gives a new one",
               name.at);
  }
  if (reader->count == MOST_FIELDS)
    luaL_error(L, "cannot sign: more than %d headers", MOST_FIELDS);
  reader->has_host = reader->has_host || IS_FIELD(name, "host");
  reader->fields[reader->count++] =
      (struct lp__field){name.at, value.at, name.size, value.size};
}

static void no_headers(lua_State *L) {
  complain(L, "request.headers must be { [name] = value } with texts, or a "
              "list of { name, value }");
}

/* The text on top. The text of a number goes to the stack below `table`, where
 * it stays.  [-0, +0|1, e] */
static struct lp__span field_text(lua_State *L, int below) {
  struct lp__span text = {NULL, 0};
  int type = lua_type(L, -1);
  if (type == LUA_TNUMBER) {
    luaL_checkstack(L, 3, "too many headers");
    lua_pushvalue(L, -1);
    text.at = lua_tolstring(L, -1, &text.size);
    lua_insert(L, -1 - below);
  } else if (type == LUA_TSTRING) {
    text.at = lua_tolstring(L, -1, &text.size);
  } else {
    no_headers(L);
  }
  return text;
}

/* Takes the pair on top.  [-0, +0|1, e] */
static void take_pair(lua_State *L, struct reader *reader) {
  if (lua_type(L, -1) != LUA_TTABLE)
    no_headers(L);
  if (lua_rawgeti(L, -1, 1) != LUA_TSTRING)
    no_headers(L);
  struct lp__span name;
  name.at = lua_tolstring(L, -1, &name.size);
  lua_pop(L, 1); /* the pair keeps it */
  lua_rawgeti(L, -1, 2);
  struct lp__span value = field_text(L, 2); /* below the pair and itself */
  lua_pop(L, 1);
  take_field(L, reader, name, value, false);
}

static size_t read_list(lua_State *L, struct reader *reader, int table) {
  size_t size = lua_rawlen(L, table);
  for (size_t i = 1; i <= size; i++) {
    lua_rawgeti(L, table, (lua_Integer)i);
    take_pair(L, reader);
    lua_pop(L, 1);
  }
  return size;
}

/* What has names; numbers up to `size` have been read. */
static void read_map(lua_State *L, struct reader *reader, int table,
                     size_t size) {
  lua_pushnil(L);
  while (lua_next(L, table)) { /* name value */
    if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 &&
        (size_t)lua_tointeger(L, -2) <= size) {
      lua_pop(L, 1);
      continue;
    }
    if (lua_type(L, -2) != LUA_TSTRING)
      no_headers(L);
    struct lp__span name;
    name.at = lua_tolstring(L, -2, &name.size);
    struct lp__span value = field_text(L, 2); /* below both */
    take_field(L, reader, name, value, true);
    lua_pop(L, 1);
  }
}

/* Reads request.headers, which stays on the stack.  [-0, +n, e] */
static bool read_headers(lua_State *L, struct box *box,
                         struct lp__request *request,
                         const struct lp__signing *how, bool presigned) {
  struct reader reader = {
      .fields = box->fields, .presigned = presigned, .how = how};
  int type = get_field(L, REQUEST, HEADERS);
  int table = lua_gettop(L);
  size_t size = 0;
  if (type == LUA_TTABLE) {
    size = read_list(L, &reader, table);
    read_map(L, &reader, table, size);
  } else if (type != LUA_TNIL) {
    no_headers(L);
  }
  if (!reader.has_host)
    complain(L, "the request has no header 'host'\n"
                "  it must be signed as it is sent: with the port, unless that "
                "is the usual one");
  request->fields = reader.fields;
  request->field_count = reader.count;
  return size == 0;
}

/* --- the request --------------------------------------------------------- */

/* A text of the request, which stays on the stack.  [-0, +1, e] */
static struct lp__span request_text(lua_State *L, int key, const char *absent) {
  struct lp__span text = {absent, strlen(absent)};
  if (get_field(L, REQUEST, key) != LUA_TNIL)
    text = text_value(L, "request", keys[key]);
  return text;
}

/* The method in upper case, which stays on the stack.  [-0, +2, e] */
static const char *read_method(lua_State *L) {
  struct lp__span method = request_text(L, METHOD, "GET");
  char upper[32];
  if (!is_token(method) || method.size >= sizeof upper)
    complain(L, "request.method is no method of HTTP");
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
  struct lp__span path = request_text(L, PATH, "/");
  struct lp__span query = request_text(L, QUERY, "");
  const char *mark = memchr(path.at, '?', path.size);
  if (path.size == 0)
    path = (struct lp__span){"/", 1};
  if (*path.at != '/')
    complain(L, "request.path must begin with '/'");
  if (memchr(path.at, '#', path.size) || memchr(query.at, '#', query.size))
    complain(L, "request.path and request.query must not have a '#': it is "
                "never sent");
  if (mark && query.size > 0)
    complain(L, "there is a query in request.path and in request.query");
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
  luaL_argexpected(L, lua_istable(L, REQUEST), REQUEST, "table");
  read_target(L, request);
  request->method = read_method(L);
  struct lp__span body = request_text(L, BODY, "");
  request->body = body.at;
  request->body_size = body.size;
}

/* Refuses a query that presign() has made. */
static void check_query(lua_State *L, const struct lp__request *request) {
  struct lp__span rest = lp__request_query(request), name, value;
  while (lp__span_next(&rest, '&', &value)) {
    lp__span_next(&value, '=', &name);
    if (lp__span_is(name, "X-Amz-Signature"))
      complain(L, "the query has 'X-Amz-Signature' already\n"
                  "  leave out what presign() has added to it");
  }
}

/* --- signing ------------------------------------------------------------- */

static int calculate(lua_State *L, bool presigned, struct lp__signing *how,
                     struct lp__signed *result) {
  struct box *box = lua_touserdata(L, lua_upvalueindex(BOX));
  struct lp__request request;
  lua_settop(L, INTO);
  luaL_checkstack(L, 20, NULL);
  read_options(L, presigned, how);
  read_credentials(L, how);
  read_request(L, &request);
  bool is_map = read_headers(L, box, &request, how, presigned);
  if (presigned)
    check_query(L, &request);
  if (presigned && !how->payload.at && is_s3(how->service))
    how->payload = (struct lp__span){"UNSIGNED-PAYLOAD", 16};
  if (!box->signer) /* in a finaliser, when the state ends */
    return luaL_error(L, "the module is closed");
  int status = presigned ? lp__sign_query(box->signer, &request, how, result)
                         : lp__sign_headers(box->signer, &request, how, result);
  if (status < 0)
    return luaL_error(L, "not enough memory");
  if (is_map && result->repeated.at) {
    lua_pushlstring(L, result->repeated.at, result->repeated.size);
    return luaL_error(L, "cannot sign: the header '%s' is there twice",
                      lua_tostring(L, -1));
  }
  return 0;
}

/* Sets a field of the table on top.  [-0, +0, m] */
static void set_text(lua_State *L, int key, struct lp__span text) {
  lua_pushvalue(L, lua_upvalueindex(key));
  lua_pushlstring(L, text.at, text.size);
  lua_rawset(L, -3);
}

static int sigv4_sign(lua_State *L) {
  struct lp__signing how = {.time = 0};
  struct lp__signed result;
  luaL_argexpected(L, lua_isnoneornil(L, INTO) || lua_istable(L, INTO), INTO,
                   "table");
  calculate(L, false, &how, &result);
  if (lua_isnil(L, INTO))
    lua_createtable(L, 0, 4);
  else
    lua_pushvalue(L, INTO);
  set_text(L, AUTHORIZATION, result.text);
  set_text(L, AMZ_DATE, (struct lp__span){result.timestamp, 16});
  if (!how.hide_payload)
    set_text(L, AMZ_CONTENT, result.payload);
  if (how.token.at)
    set_text(L, AMZ_TOKEN, how.token);
  return 1;
}

static int sigv4_presign(lua_State *L) {
  struct lp__signing how = {.time = 0};
  struct lp__signed result;
  calculate(L, true, &how, &result);
  lua_pushlstring(L, result.text.at, result.text.size);
  return 1;
}

/* --- the module ---------------------------------------------------------- */

static int box_gc(lua_State *L) {
  struct box *box = luaL_checkudata(L, 1, SIGNER);
  lp__signer_free(box->signer);
  box->signer = NULL;
  return 0;
}

static void push_box(lua_State *L) {
  struct box *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->signer = NULL;
  luaL_newmetatable(L, SIGNER);
  lua_pushcfunction(L, box_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  box->signer = lp__signer_new();
  if (!box->signer)
    luaL_error(L, "not enough memory");
}

static const luaL_Reg functions[] = {
    {"sign", sigv4_sign},
    {"presign", sigv4_presign},
    {NULL, NULL},
};

int luaopen_lambdapool_sign(lua_State *L) {
  luaL_newlibtable(L, functions);
  push_box(L);
  for (int key = METHOD; key <= UPVALUES; key++)
    lua_pushstring(L, keys[key]);
  luaL_setfuncs(L, functions, UPVALUES);
  return 1;
}
