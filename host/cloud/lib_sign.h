/*
 * The arguments of the functions of "lambdapool.aws.sigv4", as they are signed.
 *
 * All texts are read first and stay on the stack, so they are good until the
 * signature is there, whatever the tables are made of.
 */
#ifndef LP__LIB_SIGN_H
#define LP__LIB_SIGN_H

#include <lua.h>

#include "sign.h"

/* The arguments. */
enum {
  LP__SIGN_REQUEST = 1,
  LP__SIGN_CREDENTIALS,
  LP__SIGN_OPTIONS,
  LP__SIGN_INTO
};

/* The upvalues of the functions: what is kept between calls, and the keys that
 * they ask tables for, which Lua need not look up by their bytes then. The
 * three names of each credential follow each other. */
enum {
  LP__SIGN_KEPT = 1,
  LP__SIGN_METHOD,
  LP__SIGN_PATH,
  LP__SIGN_QUERY,
  LP__SIGN_HEADERS,
  LP__SIGN_BODY,
  LP__SIGN_ACCESS_KEY,
  LP__SIGN_SECRET_KEY = LP__SIGN_ACCESS_KEY + 3,
  LP__SIGN_TOKEN = LP__SIGN_SECRET_KEY + 3,
  LP__SIGN_AUTHORIZATION = LP__SIGN_TOKEN + 3,
  LP__SIGN_AMZ_DATE,
  LP__SIGN_AMZ_CONTENT,
  LP__SIGN_AMZ_TOKEN,
  LP__SIGN_UPVALUES = LP__SIGN_AMZ_TOKEN
};

/* Their names; the first is not used. */
extern const char *const lp__sign_keys[LP__SIGN_UPVALUES + 1];

enum { LP__SIGN_MOST_FIELDS = 256 };

/* Fields that signing adds, when the headers do not have them already. */
enum {
  LP__SIGN_OWN_DATE = 1,
  LP__SIGN_OWN_CONTENT = 2,
  LP__SIGN_OWN_TOKEN = 4
};

struct lp__sign_input {
  bool presigned; /* which function it is for; the rest is read */
  bool is_map;    /* the headers are: a name that two of them have is wrong */
  unsigned own;   /* which of the fields the headers have, for sign() */
  struct lp__signing how;
  struct lp__request request;
  struct lp__field fields[LP__SIGN_MOST_FIELDS]; /* those of `request` */
};

/* Reads all arguments. LP__SIGN_UPVALUES must be those of the running function.
 * What is wrong is raised.  [-0, +n, e] */
void lp__sign_read(lua_State *L, struct lp__sign_input *input, bool presigned);

/* --- its parts ------------------------------------------------------------ */

/* Options and credentials; how.time is -1 when none was given.  [-0, +n, e] */
void lp__sign_read_options(lua_State *L, struct lp__sign_input *input);
void lp__sign_read_credentials(lua_State *L, struct lp__signing *how);

/* request.headers: may set the time and the payload.  [-0, +n, e] */
void lp__sign_read_headers(lua_State *L, struct lp__sign_input *input);

/* "20150830T123600Z", or "2015-08-30T12:36:00Z", as seconds since 1970. False
 * when it is no time that there is. */
bool lp__sign_time(struct lp__span text, int64_t *seconds);

/* Pushes the field of the table at an index; its type.  [-0, +1, e] */
static inline int lp__sign_get(lua_State *L, int table, int key) {
  lua_pushvalue(L, lua_upvalueindex(key));
  return lua_gettable(L, table);
}

/* Raises what is wrong. */
int lp__sign_complain(lua_State *L, const char *what);

/* The string on top, which is `table`.`name`.  [-0, +0, e] */
struct lp__span lp__sign_text(lua_State *L, const char *table,
                              const char *name);

/* Whether it may stand in a header or a scope by itself. */
static inline bool lp__sign_is_clean(struct lp__span text) {
  return text.size > 0 && lp__span_is_plain(text);
}

/* Whether it is a name in HTTP: printable, without a separator. */
bool lp__sign_is_token(struct lp__span text);

/* Whether a service takes paths as they are, and wants to be told the hash of
 * the body: S3 does. */
bool lp__sign_is_s3(struct lp__span service);

#endif
