/* Lua code here and now: lp_run, lp_command. */
#include <lauxlib.h>

#include "host.h"
#include "own_modules.h"

/* --- lp_run -------------------------------------------------------------- */

struct run {
  lp_host *host;
  const struct lp_task *task;
  struct lp__ended ended; /* lent at the end: a script may call lp_next */
};

/* Replaces an error by what it says. Upvalue: a table, which gets the
 * traceback. */
static int note_traceback(lua_State *L) {
  luaL_traceback(L, L, NULL, 1);
  lua_rawseti(L, lua_upvalueindex(1), 1);
  return lp__describe(L);
}

/* Takes the error at the top, and the traceback that is in the table at the
 * index `notes`, into the result, and raises it again. */
static int keep_error(lua_State *L, struct lp__ended *ended, int notes) {
  if (lua_type(L, -1) != LUA_TSTRING)
    lua_pushliteral(L, "(error object is not a string)");
  lua_pushvalue(L, -1);
  if (lua_rawgeti(L, notes, 1) != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushliteral(L, "");
  }
  lp__values_keep(L, 0, 0, ended);
  return lua_error(L);
}

static int run(lua_State *L) {
  struct run *work = lua_touserdata(L, 1);
  enum { NOTES = 2, HANDLER, MESSAGE, TRACEBACK };
  lua_newtable(L);
  lua_pushvalue(L, NOTES);
  lua_pushcclosure(L, note_traceback, 1);
  lua_pushliteral(L, ""); /* message and traceback of a success */
  lua_pushliteral(L, "");
  int count = lp__task_push(L, work->host, work->task);
  if (lua_pcall(L, count, LUA_MULTRET, HANDLER) != LUA_OK)
    return keep_error(L, &work->ended, NOTES);
  lp__values_keep(L, lua_gettop(L) - TRACEBACK, 0, &work->ended);
  return 0;
}

static uint64_t count_events(const lp_host *host) {
  return host->loop != NULL ? lp__loop_dropped(host->loop) : 0;
}

/* A script may have run out of memory and not say so. When that was while it
 * waited for something, it may have been in the executor. */
static int run_carefully(lp_host *host, struct run *work) {
  uint64_t failures = lp__heap_failures(host->heap);
  uint64_t events = count_events(host);
  int status = lp__protected(host, run, work);
  if (host->damaged)
    lp__give_up(host, "lambdapool has failed inside of a script");
  else if (lp__heap_failures(host->heap) != failures &&
           count_events(host) != events)
    lp__give_up(host, "a script ran out of memory while it was open");
  return status;
}

/* Scripts may allocate any amount: Lua collects its garbage by itself. A hook
 * that one has set ends with it. */
static int run_freely(lp_host *host, const struct lp_task *task,
                      struct lp__ended *ended) {
  struct lp_task whole;
  struct run work = {.host = host, .task = &whole};
  int status = lp__task_check(host, task, &whole);
  if (status != LP_OK)
    return status;
  lp__collect_owed(host->L, &host->collector, LP__COLLECT_MOST);
  lp__collect_freely(host->L, &host->collector, true);
  status = run_carefully(host, &work);
  lua_sethook(host->L, NULL, 0, 0);
  lp__collect_freely(host->L, &host->collector, false);
  *ended = work.ended;
  ended->result.data = whole.data;
  return status;
}

/* An error that is none of the script's. The text of lp_error is lent for less
 * long than a result. */
static void copy_error(lp_host *host, int code, struct lp__ended *ended) {
  struct lp_result *result = &ended->result;
  ended->copy = lp__strdup(lp_error(host));
  result->message = ended->copy != NULL ? ended->copy : lp_strerror(code);
  result->traceback = "";
}

int lp_run(lp_host *host, const struct lp_task *task,
           const struct lp_result **result) {
  struct lp__ended ended = {0};
  struct lp__call call;
  int status = lp__enter(host, &call, LP__OUTSIDE_OF_CALLBACKS);
  if (result != NULL)
    *result = NULL;
  if (status != LP_OK)
    return status;
  lp__values_release(host, &host->lent);
  status = run_freely(host, task, &ended);
  ended.result.attempts = 1;
  ended.result.kind = status == LP_OK ? LP_DONE : LP_ERROR;
  if (ended.result.message == NULL)
    copy_error(host, status, &ended);
  lp__values_release(host, &host->lent);
  host->lent = ended;
  if (result != NULL)
    *result = &host->lent.result;
  return lp__leave(host, &call, status);
}

/* --- lp_command ---------------------------------------------------------- */

struct command {
  lp_host *host;
  int argc;
  char **argv;
  int status;
};

/* Errors that reach lp_command are breakdowns: show where. */
static int add_traceback(lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

/* Runs `require "lambdapool.cli".main(argv)`. The table has argv[0] at index 0,
 * as `arg` has. */
static int run_command(lua_State *L) {
  struct command *command = lua_touserdata(L, 1);
  lua_pushcfunction(L, add_traceback);
  lua_rawgeti(L, LUA_REGISTRYINDEX, command->host->require);
  lua_pushliteral(L, LP__OWN_NAME ".cli");
  lua_call(L, 1, 1);                    /* handler cli */
  lua_getfield(L, -1, "main");          /* handler cli main */
  lua_createtable(L, command->argc, 1); /* handler cli main argv */
  for (int i = 0; i < command->argc; i++) {
    lua_pushstring(L, command->argv[i]);
    lua_rawseti(L, -2, i);
  }
  if (lua_pcall(L, 1, 1, 2) != LUA_OK)
    return lua_error(L);
  command->status = (int)lua_tointeger(L, -1) & 0xff;
  return 0;
}

int lp_command(lp_host *host, int argc, char **argv) {
  struct command command = {host, argc, argv, 0};
  struct lp__call call;
  int status = lp__enter(host, &call, LP__OUTSIDE_OF_CALLBACKS);
  if (status != LP_OK)
    return status;
  if (argc < 1 || argv == NULL)
    return lp__leave(
        host, &call,
        lp__fail(host, LP_EINVAL, "lp_command: there is no name of a program"));
  host->commanding = true;
  lp__collect_freely(host->L, &host->collector, true);
  status = lp__protected(host, run_command, &command);
  lp__collect_freely(host->L, &host->collector, false);
  host->commanding = false;
  host->damaged = false; /* a Ctrl-C, which the executor has survived */
  return lp__leave(host, &call, status != LP_OK ? status : command.status);
}
