/* Lua code here and now: lp_run, lp_command. */
#include <lauxlib.h>

#include "host.h"
#include "own_modules.h"

/* --- lp_run -------------------------------------------------------------- */

struct run {
  lp_host *host;
  const struct lp_task *task;
};

static int run(lua_State *L) {
  struct run *work = lua_touserdata(L, 1);
  lua_pushliteral(L, ""); /* no message, no traceback */
  lua_pushliteral(L, "");
  int top = lua_gettop(L);
  int count = lp__task_push(L, work->host, work->task);
  lua_call(L, count, LUA_MULTRET);
  lp__values_keep(L, lua_gettop(L) - top, &work->host->lent);
  return 0;
}

/* What lp_error says is the result, too. */
static void lend_error(lp_host *host) {
  struct lp_result *result = &host->lent.result;
  result->kind = LP_ERROR;
  result->message = lp_error(host);
  result->traceback = "";
}

int lp_run(lp_host *host, const struct lp_task *task,
           const struct lp_result **result) {
  struct run work = {host, task};
  struct lp__call call;
  int status = lp__enter(host, &call, LP__OUTSIDE_OF_CALLBACKS);
  if (status != LP_OK)
    return status;
  lp__values_release(host, &host->lent);
  status = lp__task_check(host, task);
  if (status == LP_OK)
    status = lp__protected(host, run, &work);
  host->lent.result.attempts = 1;
  host->lent.result.data = task != NULL ? task->data : NULL;
  if (status != LP_OK)
    lend_error(host);
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
  status = lp__protected(host, run_command, &command);
  host->commanding = false;
  return lp__leave(host, &call, status != LP_OK ? status : command.status);
}
