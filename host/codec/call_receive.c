/* What a worker answered: the end of each task.  See call.h. */
#include <lauxlib.h>
#include <string.h>

#include "call.h"
#include "call_code.h"
#include "deployed.h"
#include "lend.h"
#include "load.h"
#include "reference.h"
#include "seal.h"
#include "wire.h"

/* Stack indexes of the arguments of response and kept, and of the results.
 * TASKS: how many records kept reads at most; SKIPPED: the bytes before the
 * first, MOST: those after which no other begins; LEND, RESPONSE_LEND: whether
 * kept and response lend results. */
enum {
  BYTES = 1,
  CODE,
  TASK_ORIGINS,
  COLUMNS,
  BASE,
  REPORT,
  ERRORS,
  TASKS = CODE,
  SKIPPED = BASE + 1,
  MOST,
  LEND,
  RESPONSE_LEND = BASE + 1
};

static const char *const kinds[] = {
    "ok", "error", "timeout", "out_of_memory", "too_large", "ok"};

enum { KINDS = sizeof kinds / sizeof kinds[0], RECORD_HEAD = 5 };

struct response {
  struct lp__bytes at;
  lua_Integer base;
  const unsigned char *enough; /* no record begins from here on */
  const struct lp__lent *lent; /* what lends results; NULL: nothing */
  bool holds;                  /* the checksum is right, as somebody has said */
  int values;                  /* of the last task, */
  int max_values;              /* and the most that one has */
};

static int malformed(lua_State *L) {
  return luaL_error(L, "malformed response from the worker");
}

static struct lp__bytes get_bytes(lua_State *L, struct response *r, size_t n) {
  struct lp__bytes bytes;
  if (n > (size_t)(r->at.end - r->at.at))
    malformed(L);
  bytes.at = r->at.at;
  bytes.end = r->at.at += n;
  return bytes;
}

static void set_integer(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, REPORT, name);
}

/* Pushes column `j`, made at need: with room for columns.n rows, when that is
 * known. */
static void push_column(lua_State *L, int j) {
  lua_Integer rows;
  if (lua_rawgeti(L, COLUMNS, j) == LUA_TTABLE)
    return;
  lua_pop(L, 1);
  lua_getfield(L, COLUMNS, "n");
  rows = lua_tointeger(L, -1);
  lua_pop(L, 1);
  lua_createtable(L, rows > 0 && rows < INT32_MAX ? (int)rows : 0, 0);
  lua_pushvalue(L, -1);
  lua_rawseti(L, COLUMNS, j);
}

/* Sets columns.counts[row], when there is that table: how many values the row
 * has, which is one where nothing is set. */
static void note_count(lua_State *L, int n, lua_Integer row) {
  lua_getfield(L, COLUMNS, "counts");
  if (lua_istable(L, -1)) {
    lua_pushinteger(L, n);
    lua_rawseti(L, -2, row);
  }
  lua_pop(L, 1);
}

/* Puts the values from index `first` on into row `row` of the columns. */
static void put_row(lua_State *L, int first, int n, lua_Integer row) {
  int j;
  if (n != 1)
    note_count(L, n, row);
  for (j = 1; j <= n; j++) {
    push_column(L, j);
    lua_pushvalue(L, first + j - 1);
    lua_rawseti(L, -2, row);
    lua_pop(L, 1);
  }
}

/* load_body(body, origins): protected, so that a result that cannot be loaded
 * here fails alone. */
static int load_body(lua_State *L) {
  const struct lp__bytes *body = lua_touserdata(L, 1);
  struct lp__load_options options = {0, 0, 0, 0, 0};
  options.origins = 2;
  return lp__load_body(L, *body, &options);
}

/* Loads a body; pushes its values, or a message and returns -1. */
static int try_load(lua_State *L, struct lp__bytes *body) {
  int top = lua_gettop(L);
  lua_pushcfunction(L, load_body);
  lua_pushlightuserdata(L, body);
  lua_pushvalue(L, TASK_ORIGINS);
  if (lua_pcall(L, 2, LUA_MULTRET, 0) != LUA_OK)
    return -1;
  return lua_gettop(L) - top;
}

/* Sets errors[task] from message, traceback and value on top, at `first`. */
static void set_error(lua_State *L, lua_Integer task, const char *kind,
                      int first) {
  lua_settop(L, first + 2);
  if (lua_isnil(L, ERRORS)) {
    lua_newtable(L);
    lua_replace(L, ERRORS);
  }
  lua_createtable(L, 0, 4);
  lua_pushstring(L, kind);
  lua_setfield(L, -2, "kind");
  lua_pushvalue(L, first);
  lua_setfield(L, -2, "message");
  lua_pushvalue(L, first + 1);
  lua_setfield(L, -2, "traceback");
  lua_pushvalue(L, first + 2);
  lua_setfield(L, -2, "value");
  lua_rawseti(L, ERRORS, task);
}

/* Whether a whole record comes next. */
static int has_record(const struct response *r) {
  size_t left = (size_t)(r->at.end - r->at.at);
  return left >= RECORD_HEAD && r->at.at[0] < KINDS &&
         lp__get_u32(r->at.at + 1) <= left - RECORD_HEAD;
}

/* Puts results into row `row`, behind an integer that tells which of them are
 * JSON; returns how many they are. */
static int put_json_row(lua_State *L, int first, int n, lua_Integer row) {
  if (n == 0)
    return 0;
  if (lua_getfield(L, COLUMNS, "json") != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, COLUMNS, "json");
  }
  lua_pushinteger(L, lua_tointeger(L, first));
  lua_rawseti(L, -2, row);
  lua_pop(L, 1);
  put_row(L, first + 1, n - 1, row);
  return n - 1;
}

/* Results that are lent take the same time, whatever their size: they do not
 * bring the end of reading nearer. */
static void put_off_end(struct response *r, struct lp__bytes body) {
  size_t size = (size_t)(body.end - body.at) + RECORD_HEAD;
  size_t left = (size_t)(r->at.end - r->enough);
  r->enough += size < left ? size : left;
}

/* Lends the results in a body, if that can be done; pushes them and returns how
 * many, or returns -1.
 *
 * That is done once for a record: answer looks at the heads of records only,
 * and at the checksum, before any was read; every reader of records begins
 * where the last one has ended; and a task that is tried again is sent what was
 * sent before. */
static int try_lend(lua_State *L, struct response *r, unsigned end,
                    struct lp__bytes body) {
  int n = -1;
  if (r->lent && (end == LP__TASK_OK || end == LP__TASK_OK_JSON))
    n = lp__lend_body(L, body, r->lent);
  if (n >= 0)
    put_off_end(r, body);
  return n;
}

/* Reads the record that comes next; returns its number of values. */
static int get_record(lua_State *L, struct response *r, lua_Integer task) {
  int first = lua_gettop(L) + 1, n;
  unsigned end = r->at.at[0];
  struct lp__bytes body = {r->at.at + RECORD_HEAD, NULL};
  body.end = r->at.at = body.at + lp__get_u32(r->at.at + 1);
  luaL_checkstack(L, 20, NULL);
  n = try_lend(L, r, end, body);
  if (n < 0)
    n = lp__load_simple(L, body) ? 1 : try_load(L, &body);
  if (n < 0) {
    set_error(L, task, "error", first);
    n = 0;
  } else if (end == LP__TASK_OK_JSON) {
    n = put_json_row(L, first, n, r->base + task);
  } else if (end != LP__TASK_OK) {
    set_error(L, task, kinds[end], first);
    n = 0;
  } else {
    put_row(L, first, n, r->base + task);
  }
  lua_settop(L, first - 1);
  return n;
}

/* Reads records, from the one of `task` on, while they are of tasks that
 * returned one simple value: in bulk almost all are.  Returns the next task. */
static lua_Integer get_simple_records(lua_State *L, struct response *r,
                                      lua_Integer task, lua_Integer tasks) {
  int column = lua_gettop(L) + 1;
  push_column(L, 1);
  for (; task <= tasks && r->at.end - r->at.at >= RECORD_HEAD &&
         r->at.at < r->enough;
       task++) {
    const unsigned char *at = r->at.at;
    size_t size = lp__get_u32(at + 1);
    struct lp__bytes body = {at + RECORD_HEAD, at + RECORD_HEAD + size};
    if (at[0] != LP__TASK_OK || size > (size_t)(r->at.end - body.at) ||
        !lp__load_simple(L, body))
      break;
    lua_rawseti(L, column, r->base + task);
    r->at.at = body.end;
  }
  lua_settop(L, column - 1);
  return task;
}

static int is_simple_next(const struct response *r) {
  return r->at.end - r->at.at > RECORD_HEAD && r->at.at[0] == LP__TASK_OK &&
         r->at.at[RECORD_HEAD] == 1;
}

/* Reads the records of up to so many tasks, while whole ones come; returns how
 * many they were. */
static lua_Integer get_records(lua_State *L, struct response *r,
                               lua_Integer tasks) {
  lua_Integer task = 1, next;
  while (task <= tasks && r->at.at < r->enough && has_record(r)) {
    if (is_simple_next(r) &&
        (next = get_simple_records(L, r, task, tasks)) > task) {
      task = next;
      r->values = 1;
    } else {
      r->values = get_record(L, r, task++);
    }
    if (r->values > r->max_values)
      r->max_values = r->values;
  }
  return task - 1;
}

static void check_hash(lua_State *L, struct response *r) {
  struct lp__bytes hash = get_bytes(L, r, 16);
  size_t size;
  const char *own;
  lua_rawgeti(L, CODE, LP__CODE_HASH);
  own = lua_tolstring(L, -1, &size);
  if (size != 16 || memcmp(own, hash.at, 16) != 0) {
    lua_rawgeti(L, CODE, LP__CODE_NAME);
    luaL_error(L, "the worker ran other code than %s", lua_tostring(L, -1));
  }
  lua_pop(L, 1);
}

/* Whether this state has, or would load, another text under the name of the
 * module on top than the one with the hash at `hash`.  What it does not have
 * at all cannot differ.  [-0, +0, m] */
static int is_stale(lua_State *L, const unsigned char *hash) {
  int top = lua_gettop(L), stale = 0;
  if (lp__reference_module(L, top) == LP__SHIP_TEXT) {
    lp__deployed_hash(L);
    stale = memcmp(lua_tostring(L, -1), hash, 16) != 0;
  }
  lua_settop(L, top);
  return stale;
}

/* Reads the modules that the worker used, up to the end. Sets report.stale for
 * one that is not what this state has. */
static void get_modules(lua_State *L, struct response *r) {
  while (r->at.at < r->at.end) {
    const unsigned char *hash = get_bytes(L, r, 16).at;
    uint32_t size = lp__get_u32(get_bytes(L, r, 4).at);
    struct lp__bytes name = get_bytes(L, r, size);
    if (size == 0 || size > LP__DEPLOYED_NAME_MAX)
      malformed(L);
    lua_pushlstring(L, (const char *)name.at, size);
    if (is_stale(L, hash))
      lua_setfield(L, REPORT, "stale");
    else
      lua_pop(L, 1);
  }
}

/* Reads what stands before the records; returns how many there are. */
static lua_Integer get_head(lua_State *L, struct response *r) {
  check_hash(L, r);
  lua_pushboolean(L, *get_bytes(L, r, 1).at != 0);
  lua_setfield(L, REPORT, "cold");
  set_integer(L, "run_us", lp__get_u64(get_bytes(L, r, 8).at));
  set_integer(L, "peak_memory", lp__get_u64(get_bytes(L, r, 8).at));
  return (lua_Integer)lp__get_u32(get_bytes(L, r, 4).at);
}

/* A string, or an object that lends bytes. */
static struct lp__bytes check_bytes(lua_State *L) {
  const struct lp__lent *lent = lp__lent_test(L, BYTES);
  struct lp__bytes bytes;
  size_t size;
  if (lent) {
    luaL_argcheck(L, lent->block, BYTES, "these bytes were released");
    bytes.at = (const unsigned char *)lent->bytes;
    size = lent->size;
  } else {
    bytes.at = (const unsigned char *)luaL_checklstring(L, BYTES, &size);
  }
  bytes.end = bytes.at + size;
  return bytes;
}

/* The bytes as what lends results, when the argument at `lend` says so. */
static const struct lp__lent *find_lender(lua_State *L, int lend) {
  return lua_toboolean(L, lend) ? lp__lent_test(L, BYTES) : NULL;
}

/* Pushes report and errors on what is filled up to there. */
static void begin(lua_State *L, struct response *r) {
  const struct lp__lent *lent = lp__lent_test(L, BYTES);
  r->at = check_bytes(L);
  r->holds = lent && lent->is_whole;
  r->enough = r->at.end;
  r->lent = NULL;
  r->values = r->max_values = 0;
  lua_settop(L, BASE);
  lua_createtable(L, 0, 6);
  lua_pushnil(L);
}

/* Checks the arguments that say where values go, and begins. */
static void begin_values(lua_State *L, struct response *r) {
  luaL_checktype(L, TASK_ORIGINS, LUA_TTABLE);
  luaL_checktype(L, COLUMNS, LUA_TTABLE);
  r->base = luaL_checkinteger(L, BASE);
  begin(L, r);
}

/* Completes the report and returns it, and the errors. */
static int end(lua_State *L, const struct response *r, lua_Integer done) {
  set_integer(L, "done", (uint64_t)done);
  set_integer(L, "values", (uint64_t)r->values);
  set_integer(L, "max_values", (uint64_t)r->max_values);
  lua_settop(L, ERRORS);
  return 2;
}

int lp__call_response(lua_State *L) {
  const struct lp__lent *lent = find_lender(L, RESPONSE_LEND);
  struct response r;
  lua_Integer done;
  lp__check_code(L, CODE);
  begin_values(L, &r);
  r.at = lp__unseal(L, r.at, r.holds); /* ... report nil body */
  r.lent = lua_isnil(L, -1) ? lent : NULL;
  r.enough = r.at.end;
  done = get_head(L, &r);
  if (get_records(L, &r, done) != done)
    malformed(L);
  get_modules(L, &r);
  return end(L, &r, done);
}

int lp__call_answer(lua_State *L) {
  struct response r;
  lua_Integer done, i;
  const unsigned char *bytes, *records;
  lp__check_code(L, CODE);
  begin(L, &r);
  bytes = r.at.at;
  r.at = lp__unseal(L, r.at, r.holds); /* ... report nil body */
  if (!lua_isnil(L, -1))
    return 0;
  done = get_head(L, &r);
  records = r.at.at;
  for (i = 0; i < done; i++) {
    if (!has_record(&r))
      malformed(L);
    r.at.at += RECORD_HEAD + lp__get_u32(r.at.at + 1);
  }
  get_modules(L, &r);
  set_integer(L, "done", (uint64_t)done);
  lua_settop(L, REPORT);
  lua_pushinteger(L, records - bytes);
  return 2;
}

int lp__call_kept(lua_State *L) {
  const struct lp__lent *lent = find_lender(L, LEND);
  struct response r;
  size_t size = (size_t)(check_bytes(L).end - check_bytes(L).at);
  lua_Integer tasks = luaL_checkinteger(L, TASKS);
  lua_Integer skipped = luaL_optinteger(L, SKIPPED, 0);
  lua_Integer most = luaL_optinteger(L, MOST, (lua_Integer)size);
  const unsigned char *bytes;
  luaL_argcheck(L, skipped >= 0 && (size_t)skipped <= size, SKIPPED,
                "must be a position in the bytes");
  begin_values(L, &r);
  r.lent = lent;
  bytes = r.at.at;
  r.at.at += skipped;
  if (most < r.at.end - r.at.at)
    r.enough = r.at.at + (most > 0 ? most : 0);
  end(L, &r, get_records(L, &r, tasks));
  lua_pushinteger(L, r.at.at - bytes);
  return 3;
}

int lp__call_release(lua_State *L) {
  struct lp__lent *lent = lp__lent_test(L, BYTES);
  if (lent)
    lp__lent_release(lent);
  return 0;
}
