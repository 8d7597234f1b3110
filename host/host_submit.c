/* Tasks: lp_submit, lp_cancel, lp_state, lp_stats. */
#include <lauxlib.h>

#include <stdio.h>
#include <string.h>

#include "host.h"

/* --- what a task is ------------------------------------------------------ */

static int refuse(lp_host *host, const char *message) {
  return lp__fail(host, LP_EINVAL, message);
}

int lp__task_check(lp_host *host, const struct lp_task *given,
                   struct lp_task *task) {
  if (!lp__task_complete(task, given))
    return refuse(host, "lp_task: the task is not one of lp_task_init");
  if ((task->source != NULL) + (task->file != NULL) +
          (task->function != NULL) !=
      1)
    return refuse(host, "lp_task: exactly one of source, file and function "
                        "must be set");
  if (task->count < 0 || (task->count > 0 && task->args == NULL))
    return refuse(host, "lp_task: args and count do not agree");
  if (task->timeout_ms < 0 || task->timeout_ms > LP__LONGEST_MS)
    return refuse(host, "lp_task: timeout_ms must be from 0 to 1e12");
  if (task->retries < -1)
    return refuse(host, "lp_task: retries must be -1 or more");
  return LP_OK;
}

/* Pushes the kind, the text and the name of what is to run.  [-0, +3, m] */
static void push_code(lua_State *L, const struct lp_task *task) {
  if (task->source != NULL) {
    lua_pushliteral(L, "source");
    lua_pushlstring(L, task->source,
                    task->source_size > 0 ? task->source_size
                                          : strlen(task->source));
    lua_pushstring(L, task->name != NULL ? task->name : "=task");
  } else if (task->file != NULL) {
    lua_pushliteral(L, "file");
    lua_pushstring(L, task->file);
    lua_pushnil(L);
  } else {
    lua_pushliteral(L, "function");
    lua_pushstring(L, task->function);
    lua_pushnil(L);
  }
}

/* What cannot be decoded is the caller's mistake.  [-0, +n, e] */
static void push_arguments(lua_State *L, lp_host *host,
                           const struct lp_task *task) {
  luaL_checkstack(L, task->count + 8, "too many arguments");
  host->code = LP_EINVAL;
  for (int i = 0; i < task->count; i++)
    lp__value_push(L, &task->args[i], "argument", i + 1);
  host->code = LP_ELUA;
}

int lp__task_push(lua_State *L, lp_host *host, const struct lp_task *task) {
  luaL_checkstack(L, 8, NULL);
  lp__push_embedded(L, host, LP__EMBED_CHUNK);
  push_code(L, task);
  lua_call(L, 3, 1);
  push_arguments(L, host, task);
  return task->count;
}

/* --- lp_submit ----------------------------------------------------------- */

struct submission {
  lp_host *host;
  const struct lp_task *task;
  lp_id id;
  int prepared; /* a reference in the registry; 0: none */
};

/* What can be done without changing anything. */
static int prepare(lua_State *L) {
  struct submission *submission = lua_touserdata(L, 1);
  const struct lp_task *task = submission->task;
  lp__push_embedded(L, submission->host, LP__EMBED_PREPARE);
  lua_pushinteger(L, task->timeout_ms);
  lua_pushinteger(L, task->retries);
  push_code(L, task);
  push_arguments(L, submission->host, task);
  lua_call(L, task->count + 5, 1);
  submission->prepared = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static int submit(lua_State *L) {
  const struct submission *submission = lua_touserdata(L, 1);
  lp__push_embedded(L, submission->host, LP__EMBED_SUBMIT);
  lua_pushinteger(L, (lua_Integer)submission->id);
  lua_rawgeti(L, LUA_REGISTRYINDEX, submission->prepared);
  lua_call(L, 2, 0);
  return 0;
}

/* With the record that its end needs, whatever happens to it. A task that has
 * ended while it was submitted was submitted. */
static int submit_recorded(lp_host *host, struct submission *submission) {
  const struct lp_task *task = submission->task;
  int status =
      lp__tasks_add(&host->tasks, task->on_end, task->data, &submission->id);
  if (status != LP_OK)
    return lp__fail(host, status, lp_strerror(status));
  status = lp__recover(host);
  if (status == LP_OK)
    status = lp__protected(host, prepare, submission);
  if (status == LP_OK)
    status = lp__protected_change(host, submit, submission);
  if (submission->prepared != 0)
    luaL_unref(host->running_state, LUA_REGISTRYINDEX, submission->prepared);
  if (status == LP_OK)
    return LP_OK;
  lp__tasks_drop(&host->tasks, submission->id);
  return lp__tasks_find(&host->tasks, submission->id) != NULL ? LP_OK : status;
}

int lp_submit(lp_host *host, const struct lp_task *task, lp_id *id) {
  struct lp_task whole;
  struct submission submission = {host, &whole, 0, 0};
  struct lp__call call;
  int status = lp__enter(host, &call, LP__ANYWHERE);
  if (status != LP_OK)
    return status;
  lp__collect_owed(host->L, &host->collector, LP__COLLECT_LEAST);
  status = lp__task_check(host, task, &whole);
  if (status == LP_OK)
    status = lp__open_loop(host);
  if (status == LP_OK)
    status = submit_recorded(host, &submission);
  if (status == LP_OK && id != NULL)
    *id = submission.id;
  return lp__leave(host, &call, status);
}

/* --- lp_cancel, lp_state ------------------------------------------------- */

struct question {
  lp_host *host;
  lp_id id;
  enum lp__embedded which;
  int answer;
};

static int ask(lua_State *L) {
  struct question *question = lua_touserdata(L, 1);
  lp__push_embedded(L, question->host, question->which);
  lua_pushinteger(L, (lua_Integer)question->id);
  lua_call(L, 1, 1);
  question->answer = lua_toboolean(L, -1);
  return 0;
}

static int stale(lp_host *host) {
  return lp__fail(host, LP_ESTALE, lp_strerror(LP_ESTALE));
}

/* Asks embed.lua about a task that is open, by the one of the two protected
 * calls that fits; `ended` is the answer for others. */
static int ask_about(lp_host *host, lp_id id, enum lp__embedded which,
                     int (*protected)(lp_host *, lua_CFunction, void *),
                     int ended) {
  struct question question = {host, id, which, 0};
  struct lp__call call;
  const struct lp__task *task;
  int status = lp__enter(host, &call, LP__ANYWHERE);
  if (status != LP_OK)
    return status;
  task = lp__tasks_find(&host->tasks, id);
  if (task == NULL)
    return lp__leave(host, &call, stale(host));
  if (task->state == LP__TASK_HAS_ENDED)
    return lp__leave(host, &call, ended);
  status = protected(host, ask, &question);
  return lp__leave(host, &call, status != LP_OK ? status : question.answer);
}

int lp_cancel(lp_host *host, lp_id id) {
  return ask_about(host, id, LP__EMBED_CANCEL, lp__protected_change, LP_OK);
}

int lp_state(lp_host *host, lp_id id) {
  return ask_about(host, id, LP__EMBED_STATE, lp__protected, 2);
}

/* --- lp_stats ------------------------------------------------------------ */

struct numbers {
  lp_host *host;
  struct lp_stats *stats;
};

/* The field `name` of the table on top.  [-0, +0, e] */
static lua_Number number(lua_State *L, const char *name) {
  lua_Number value;
  lua_getfield(L, -1, name);
  value = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return value;
}

static int collect(lua_State *L) {
  struct numbers *numbers = lua_touserdata(L, 1);
  struct lp_stats *stats = numbers->stats;
  lp__push_embedded(L, numbers->host, LP__EMBED_STATS);
  lua_call(L, 0, 1);
  stats->running = (uint64_t)number(L, "running");
  stats->attempts = (uint64_t)number(L, "attempts");
  stats->retried = (uint64_t)number(L, "retried");
  stats->workers = (uint64_t)number(L, "workers");
  stats->workers_started = (uint64_t)number(L, "workers_started");
  stats->bytes_sent = (uint64_t)number(L, "bytes_sent");
  stats->bytes_received = (uint64_t)number(L, "bytes_received");
  stats->run_seconds = number(L, "run_seconds");
  stats->cost = number(L, "cost");
  return 0;
}

/* What is known of tasks without Lua. */
static void count_tasks(const lp_host *host, struct lp_stats *stats) {
  const struct lp__tasks *tasks = &host->tasks;
  stats->tasks = tasks->tasks;
  stats->done = tasks->done;
  stats->failed = tasks->failed;
  stats->cancelled = tasks->cancelled;
  if (stats->running > tasks->open)
    stats->running = tasks->open;
  stats->queued = tasks->open - stats->running;
  stats->memory = host->memory.used;
}

int lp_get_stats(lp_host *host, struct lp_stats *stats, size_t size) {
  struct lp_stats whole = {.size = size};
  struct numbers numbers = {host, &whole};
  struct lp__call call;
  int status = lp__enter(host, &call, LP__ANYWHERE);
  if (status != LP_OK)
    return status;
  if (stats == NULL || size < sizeof whole.size || size > sizeof whole)
    return lp__leave(host, &call,
                     refuse(host, "lp_get_stats: the size is not that of a "
                                  "struct lp_stats"));
  if (lp__is_embedded(host))
    status = lp__protected(host, collect, &numbers);
  count_tasks(host, &whole);
  memcpy(stats, &whole, size);
  return lp__leave(host, &call, status);
}
