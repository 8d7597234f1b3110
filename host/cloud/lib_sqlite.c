/*
 * The Lua module "lambdapool.sqlite" without its transactions, which are in
 * lua/lambdapool/sqlite.lua: databases in one file each.
 *
 *   sqlite.open(path) -> db | nil, message
 *   db:run(sql, ...) -> rows that were changed
 *   db:rows(sql, ...) -> list of tables, column name -> value
 *   db:row(sql, ...) -> the first of them | nil
 *   db:last_id() -> the rowid of the last insert
 *   db:in_transaction() -> whether BEGIN waits for its COMMIT
 *   db:close()
 *
 * The values after `sql` stand for its question marks, and there must be as
 * many. nil is NULL, booleans are 1 and 0, strings are bound as text whatever
 * their bytes: for a blob write CAST(? AS BLOB). A column that is NULL has no
 * field. NaN becomes NULL. Only `run`, and only without values, takes several
 * statements.
 *
 * Statements are prepared once and kept by their text, the last MOST_KEPT at
 * least: so make values parameters, not parts of the text.
 *
 * Files are in WAL mode, synchronous NORMAL: what was committed survives the
 * end of the process at any moment, and after a power cut the file is whole but
 * may lack the last moments. Foreign keys hold. Nothing waits for a lock.
 *
 * What fails raises a table with tostring: { message = what SQLite says and
 * where, code = "FULL", "BUSY", "CONSTRAINT", ..., extended = SQLite's number
 * }. That is also how mistakes in `sql` end, as "ERROR".
 */
#include <lauxlib.h>
#include <lua.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

#include "../own.h"
#include "lambdapool.h"

LP_API int luaopen_lambdapool_sqlite(lua_State *L);

#define DATABASE  "lambdapool.sqlite.Database"
#define ERROR     "lambdapool.sqlite.Error"
#define MOST_KEPT 256
#define EXCERPT   200 /* bytes of a statement in a message */

/* The user value is a table: text of a statement -> struct sqlite3_stmt *. */
struct database {
  sqlite3 *handle;
  int kept;
};

static struct database *check_database(lua_State *L) {
  struct database *db = lp__own_check(L, 1, DATABASE);
  if (!db->handle)
    luaL_error(L, "the database is closed");
  return db;
}

/* --- errors -------------------------------------------------------------- */

static const char *code_name(int code) {
  static const char *const names[] = {
      [SQLITE_ERROR] = "ERROR",       [SQLITE_PERM] = "PERM",
      [SQLITE_BUSY] = "BUSY",         [SQLITE_LOCKED] = "LOCKED",
      [SQLITE_NOMEM] = "NOMEM",       [SQLITE_READONLY] = "READONLY",
      [SQLITE_IOERR] = "IOERR",       [SQLITE_CORRUPT] = "CORRUPT",
      [SQLITE_FULL] = "FULL",         [SQLITE_CANTOPEN] = "CANTOPEN",
      [SQLITE_TOOBIG] = "TOOBIG",     [SQLITE_CONSTRAINT] = "CONSTRAINT",
      [SQLITE_MISMATCH] = "MISMATCH", [SQLITE_NOTADB] = "NOTADB",
  };
  size_t primary = (size_t)(code & 0xff);
  const char *name =
      primary < sizeof names / sizeof *names ? names[primary] : NULL;
  return name ? name : "OTHER";
}

static int error_tostring(lua_State *L) {
  lua_getfield(L, 1, "message");
  return 1;
}

/* Pushes the beginning of a statement, for a message.  [-0, +1, m] */
static const char *push_excerpt(lua_State *L, const char *sql) {
  size_t size = strnlen(sql, EXCERPT);
  lua_pushlstring(L, sql, size);
  if (sql[size]) {
    lua_pushliteral(L, "...");
    lua_concat(L, 2);
  }
  return lua_tostring(L, -1);
}

/* Raises what has just failed in `db`, in or before the statement `sql`. */
static int fail(lua_State *L, struct database *db, const char *sql) {
  int code = sqlite3_extended_errcode(db->handle);
  const char *path = sqlite3_db_filename(db->handle, NULL);
  lua_createtable(L, 0, 3); /* e */
  lp__own_set_metatable(L, ERROR);
  lua_pushfstring(L, "%s: %s\n  in: %s", path && *path ? path : "database",
                  sqlite3_errmsg(db->handle), push_excerpt(L, sql));
  lua_setfield(L, -3, "message"); /* e excerpt */
  lua_pop(L, 1);
  lua_pushstring(L, code_name(code));
  lua_setfield(L, -2, "code");
  lua_pushinteger(L, code);
  lua_setfield(L, -2, "extended"); /* e */
  return lua_error(L);
}

/* --- statements ---------------------------------------------------------- */

/* Forgets all statements but those that are running.  [-0, +0, m] */
static void forget_statements(lua_State *L, struct database *db) {
  lua_newtable(L);
  lua_setiuservalue(L, 1, 1);
  db->kept = 0;
  sqlite3_stmt *next, *statement = sqlite3_next_stmt(db->handle, NULL);
  for (; statement; statement = next) {
    next = sqlite3_next_stmt(db->handle, statement);
    if (!sqlite3_stmt_busy(statement))
      sqlite3_finalize(statement);
  }
}

/* Keeps `statement` for the text at index 2.  [-0, +0, m] */
static void keep(lua_State *L, struct database *db, sqlite3_stmt *statement) {
  lua_getiuservalue(L, 1, 1); /* kept */
  lua_pushvalue(L, 2);
  lua_pushlightuserdata(L, statement);
  lua_rawset(L, -3); /* kept */
  lua_pop(L, 1);
  db->kept++;
}

/* The statement for the text at index 2 when it is kept, or NULL. */
static sqlite3_stmt *find_kept(lua_State *L) {
  lua_getiuservalue(L, 1, 1); /* kept */
  lua_pushvalue(L, 2);
  lua_rawget(L, -2); /* kept statement */
  sqlite3_stmt *statement = lua_touserdata(L, -1);
  lua_pop(L, 2);
  return statement;
}

static const char *check_sql(lua_State *L, size_t *size) {
  const char *sql = luaL_checklstring(L, 2, size);
  luaL_argcheck(L, strlen(sql) == *size && *size < 1000000, 2,
                "is no SQL statement");
  return sql;
}

/* Prepares the text at index 2, or finds it.  *rest becomes what follows the
 * first statement.  NULL when there is none in it. */
static sqlite3_stmt *prepare(lua_State *L, struct database *db,
                             const char **rest) {
  size_t size;
  const char *sql = check_sql(L, &size);
  sqlite3_stmt *statement = find_kept(L);
  *rest = "";
  if (statement)
    return statement;
  if (db->kept >= MOST_KEPT)
    forget_statements(L, db);
  if (sqlite3_prepare_v3(db->handle, sql, (int)size + 1,
                         SQLITE_PREPARE_PERSISTENT, &statement,
                         rest) != SQLITE_OK)
    fail(L, db, sql);
  *rest += strspn(*rest, " \t\r\n;");
  if (statement)
    keep(L, db, statement);
  return statement;
}

/* The strings stay on the Lua stack until the statement forgets them. */
static int bind_value(lua_State *L, sqlite3_stmt *statement, int arg, int i) {
  size_t size;
  const char *text;
  switch (lua_type(L, arg)) {
  case LUA_TNIL:
    return sqlite3_bind_null(statement, i);
  case LUA_TBOOLEAN:
    return sqlite3_bind_int(statement, i, lua_toboolean(L, arg));
  case LUA_TNUMBER:
    if (lua_isinteger(L, arg))
      return sqlite3_bind_int64(statement, i, lua_tointeger(L, arg));
    return sqlite3_bind_double(statement, i, lua_tonumber(L, arg));
  case LUA_TSTRING:
    text = lua_tolstring(L, arg, &size);
    return sqlite3_bind_text64(statement, i, text, size, SQLITE_STATIC,
                               SQLITE_UTF8);
  default:
    return SQLITE_MISMATCH;
  }
}

static void check_values(lua_State *L, sqlite3_stmt *statement) {
  int wanted = sqlite3_bind_parameter_count(statement);
  int given = lua_gettop(L) - 2;
  if (given != wanted)
    luaL_error(L, "the statement takes %d values, not %d", wanted, given);
  for (int arg = 3; arg < 3 + given; arg++) {
    int type = lua_type(L, arg);
    if (type == LUA_TTABLE || type > LUA_TTABLE || type == LUA_TLIGHTUSERDATA)
      luaL_argerror(L, arg, "must be nil, a boolean, a number or a string");
  }
}

static void bind(lua_State *L, struct database *db, sqlite3_stmt *statement) {
  check_values(L, statement);
  if (sqlite3_stmt_busy(statement)) /* in a finaliser that runs inside of it */
    luaL_error(L, "the statement is running");
  for (int i = 1; i <= lua_gettop(L) - 2; i++) {
    if (bind_value(L, statement, i + 2, i) != SQLITE_OK) {
      sqlite3_clear_bindings(statement);
      fail(L, db, lua_tostring(L, 2));
    }
  }
}

/* Gives up the row where it stands and the values that were bound. */
static void release(sqlite3_stmt *statement) {
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
}

/* --- rows ---------------------------------------------------------------- */

/* Pushes column `i`.  [-0, +1, m] */
static void push_column(lua_State *L, sqlite3_stmt *statement, int i) {
  const void *bytes;
  switch (sqlite3_column_type(statement, i)) {
  case SQLITE_INTEGER:
    lua_pushinteger(L, sqlite3_column_int64(statement, i));
    break;
  case SQLITE_FLOAT:
    lua_pushnumber(L, sqlite3_column_double(statement, i));
    break;
  case SQLITE_NULL:
    lua_pushnil(L);
    break;
  default: /* text or blob; the size is only right after the pointer */
    bytes = sqlite3_column_blob(statement, i);
    lua_pushlstring(L, bytes ? bytes : "",
                    (size_t)sqlite3_column_bytes(statement, i));
  }
}

/* Pushes the row where `statement` stands.  [-0, +1, m] */
static void push_row(lua_State *L, sqlite3_stmt *statement) {
  int columns = sqlite3_column_count(statement);
  lua_createtable(L, 0, columns);
  for (int i = 0; i < columns; i++) {
    push_column(L, statement, i);
    lua_setfield(L, -2, sqlite3_column_name(statement, i));
  }
}

struct query {
  sqlite3_stmt *statement;
  lua_Integer most;
  int status;
};

/* The rows of a struct query as a list.  Under lua_pcall, so that a statement
 * is given up also when Lua has no memory for a row. */
static int collect(lua_State *L) {
  struct query *query = lua_touserdata(L, 1);
  lua_Integer count = 0;
  lua_newtable(L); /* rows */
  while (count < query->most &&
         (query->status = sqlite3_step(query->statement)) == SQLITE_ROW) {
    push_row(L, query->statement);
    lua_rawseti(L, -2, ++count);
  }
  return 1;
}

/* Runs the statement at index 2 and pushes at most `most` rows, as a list. */
static void fetch(lua_State *L, lua_Integer most) {
  const char *rest;
  struct database *db = check_database(L);
  struct query query = {prepare(L, db, &rest), most, SQLITE_DONE};
  if (!query.statement || *rest)
    luaL_argerror(L, 2, "must be one statement");
  bind(L, db, query.statement);
  lua_pushcfunction(L, collect);
  lua_pushlightuserdata(L, &query);
  int outcome = lua_pcall(L, 1, 1, 0);
  release(query.statement);
  if (outcome != LUA_OK)
    lua_error(L);
  if (query.status != SQLITE_ROW && query.status != SQLITE_DONE)
    fail(L, db, lua_tostring(L, 2));
}

/* --- methods ------------------------------------------------------------- */

static int database_rows(lua_State *L) {
  fetch(L, LUA_MAXINTEGER);
  return 1;
}

static int database_row(lua_State *L) {
  fetch(L, 1);
  lua_rawgeti(L, -1, 1);
  return 1;
}

/* The error of the step outlives the reset. */
static void run_prepared(lua_State *L, struct database *db,
                         sqlite3_stmt *statement) {
  int status;
  bind(L, db, statement);
  do
    status = sqlite3_step(statement);
  while (status == SQLITE_ROW);
  release(statement);
  if (status != SQLITE_DONE)
    fail(L, db, lua_tostring(L, 2));
}

static int database_run(lua_State *L) {
  const char *rest;
  struct database *db = check_database(L);
  sqlite3_stmt *statement = prepare(L, db, &rest);
  int before = sqlite3_total_changes(db->handle);
  if (!*rest && statement)
    run_prepared(L, db, statement);
  else if (lua_gettop(L) > 2)
    luaL_argerror(L, 2, "must be one statement when there are values");
  else if (sqlite3_exec(db->handle, lua_tostring(L, 2), NULL, NULL, NULL) !=
           SQLITE_OK)
    fail(L, db, lua_tostring(L, 2));
  /* sqlite3_changes is about the last statement that could change rows. */
  bool changed = sqlite3_total_changes(db->handle) != before;
  lua_pushinteger(L, changed ? sqlite3_changes(db->handle) : 0);
  return 1;
}

static int database_last_id(lua_State *L) {
  struct database *db = check_database(L);
  lua_pushinteger(L, sqlite3_last_insert_rowid(db->handle));
  return 1;
}

static int database_in_transaction(lua_State *L) {
  struct database *db = check_database(L);
  lua_pushboolean(L, !sqlite3_get_autocommit(db->handle));
  return 1;
}

/* Serves __gc, __close and close(); may run twice. */
static int database_close(lua_State *L) {
  struct database *db = lp__own_check(L, 1, DATABASE);
  sqlite3_stmt *statement;
  if (!db->handle)
    return 0;
  while ((statement = sqlite3_next_stmt(db->handle, NULL)))
    sqlite3_finalize(statement);
  sqlite3_close(db->handle);
  db->handle = NULL;
  return 0;
}

static int configure(struct database *db) {
  sqlite3_extended_result_codes(db->handle, 1);
  return sqlite3_exec(db->handle,
                      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                      "PRAGMA foreign_keys = ON",
                      NULL, NULL, NULL);
}

static int sqlite_open(lua_State *L) {
  static const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  size_t size;
  const char *path = luaL_checklstring(L, 1, &size);
  luaL_argcheck(L, strlen(path) == size, 1, "must not contain a zero byte");
  struct database *db = lua_newuserdatauv(L, sizeof *db, 1); /* db */
  memset(db, 0, sizeof *db);
  lp__own_set_metatable(L, DATABASE);
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  int status = sqlite3_open_v2(path, &db->handle, flags, NULL);
  if (status == SQLITE_OK)
    status = configure(db);
  if (status == SQLITE_OK)
    return 1;
  luaL_pushfail(L);
  lua_pushfstring(L, "cannot open the database %s: %s", path,
                  sqlite3_errmsg(db->handle));
  return 2;
}

static const luaL_Reg methods[] = {
    {"run", database_run},
    {"rows", database_rows},
    {"row", database_row},
    {"last_id", database_last_id},
    {"in_transaction", database_in_transaction},
    {"close", database_close},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", database_close},
    {"__close", database_close},
    {NULL, NULL},
};

/* The field `methods` is for what sqlite.lua adds. */
int luaopen_lambdapool_sqlite(lua_State *L) {
  lp__own_metatable(L, ERROR); /* meta */
  lua_pushcfunction(L, error_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
  lp__own_metatable(L, DATABASE); /* meta */
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);  /* meta methods */
  lua_createtable(L, 0, 2); /* meta methods sqlite */
  lua_pushcfunction(L, sqlite_open);
  lua_setfield(L, -2, "open");
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, "methods");
  lua_insert(L, -3); /* sqlite meta methods */
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  return 1;
}
