/*
 * The agent: AWS Lambda's custom runtime for lambdapool, the program that is
 * deployed as `bootstrap` and that local pools run as their workers. It waits
 * for an event, runs it in one warm Lua state, posts the answer, and again.
 */
#include <lauxlib.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allocation.h"
#include "guest.h"
#include "handler.h"
#include "host/coroutine.h"
#include "host/lambdapool.h"
#include "host/progress.h"
#include "host/state.h"
#include "lifeline.h"
#include "limits.h"
#include "runtime.h"
#include "task.h"
#include "warnings.h"

/* Garbage may pile up to this beyond twice of what was in use after the last
 * full collection, before another one is made between two events. */
#define GARBAGE_MAX (8 * 1024 * 1024)

#define KEPT_MEMORY (32 * 1024 * 1024)

struct agent {
  struct lp__runtime *runtime;
  struct lp__limits *limits;
  struct lp__progress *progress; /* NULL when no host watches */
  lua_State *L;
  struct lp__stderr_warnings warnings;
  bool warns;       /* whether they are on when an event begins */
  size_t collected; /* bytes in use after the last full collection */
};

/* Opens the libraries; those that differ from Lua's own come first. */
static int open_libraries(lua_State *L) {
  lp__coroutine_open(L, lp__limits_running(lp__limits_of(L)));
  lp__handler_open(L);
  lp__state_open(L);
  lp__guest_open(L);
  return 0;
}

static int open_state(struct agent *agent) {
  agent->L = lua_newstate(lp__limits_alloc, agent->limits);
  if (agent->L == NULL)
    return -1;
  lp__stderr_warnings_install(agent->L, &agent->warnings);
  lua_pushcfunction(agent->L, open_libraries);
  return lua_pcall(agent->L, 0, 0, 0) == LUA_OK ? 0 : -1;
}

/* Maps the page on which a host on this machine watches its calls. Nothing
 * that a task starts shall have it. */
static struct lp__progress *open_progress(void) {
  const char *text = getenv("LAMBDAPOOL_PROGRESS");
  struct lp__progress *progress;
  int fd;
  if (text == NULL || *text == '\0')
    return NULL;
  fd = atoi(text);
  progress = lp__progress_open(fd);
  close(fd);
  unsetenv("LAMBDAPOOL_PROGRESS");
  if (progress != NULL)
    lp__allocation_note_at(&progress->no_memory);
  return progress;
}

static int open_agent(struct agent *agent) {
  const char *address = getenv("AWS_LAMBDA_RUNTIME_API");
  const char *memory = getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE");
  size_t memory_mb = memory ? strtoul(memory, NULL, 10) : 0;
  if (address == NULL || *address == '\0') {
    fputs("bootstrap: AWS_LAMBDA_RUNTIME_API is not set\n"
          "  this program is started by AWS Lambda or a lambdapool host\n",
          stderr);
    return -1;
  }
  agent->progress = open_progress();
  agent->runtime = lp__runtime_open(address, lp__lifeline_hold());
  if (agent->runtime == NULL)
    return -1;
  lp__limits_process(memory_mb);
  agent->limits = lp__limits_open(memory_mb);
  if (agent->limits != NULL && open_state(agent) == 0)
    return 0;
  fputs("lambdapool: not enough memory to start\n", stderr);
  return -1;
}

/* What a task has printed belongs before the end of its invocation. */
static void flush_output(void) {
  fflush(stdout);
  fflush(stderr);
}

/* Tells AWS X-Ray's clients which request this is. Not by setenv, which would
 * leak a string per event. */
static void set_trace_id(const char *trace_id) {
  static char variable[1024] = "_X_AMZN_TRACE_ID";
  const size_t name = strlen("_X_AMZN_TRACE_ID");
  if (trace_id == NULL) {
    if (variable[name] == '=')
      unsetenv("_X_AMZN_TRACE_ID");
    variable[name] = '\0';
    return;
  }
  snprintf(variable + name, sizeof variable - name, "=%s", trace_id);
  putenv(variable);
}

/* A failure belongs into the log, too, where people look first. */
static void log_failure(const struct lp__answer *answer) {
  fprintf(stderr, "lambdapool: %s: %.*s\n", answer->failure, (int)answer->size,
          answer->bytes);
}

/* Loads the handler; a failure is told to the platform. */
static int load_handler(struct agent *agent) {
  struct lp__answer answer;
  if (lp__handler_load(agent->L, getenv("_HANDLER"), &answer)) {
    agent->warns = agent->warnings.on;
    return 0;
  }
  log_failure(&answer);
  flush_output();
  lp__runtime_init_error(agent->runtime, answer.failure, answer.bytes,
                         answer.size);
  return -1;
}

/* Keeps the memory of a worker that stays warm bounded. */
static void collect_garbage(struct agent *agent) {
  if (lp__limits_memory(agent->limits) < 2 * agent->collected + GARBAGE_MAX)
    return;
  lua_gc(agent->L, LUA_GCCOLLECT);
  agent->collected = lp__limits_memory(agent->limits);
}

/* One event. Returns an enum lp__runtime_status. */
static int serve(struct agent *agent, int cold) {
  struct lp__event event;
  struct lp__answer answer;
  int status = lp__runtime_next(agent->runtime, &event);
  if (status != LP__RUNTIME_OK)
    return status;
  set_trace_id(event.trace_id);
  agent->warnings.on = agent->warns;
  lp__task_run(agent->L, &event, cold, agent->progress, &answer);
  if (answer.failure)
    log_failure(&answer);
  flush_output();
  if (answer.failure)
    status = lp__runtime_error(agent->runtime, answer.failure, answer.bytes,
                               answer.size);
  else
    status = lp__runtime_response(agent->runtime, answer.content_type,
                                  answer.bytes, answer.size);
  lua_settop(agent->L, 0);
  collect_garbage(agent);
  return status;
}

static int run(struct agent *agent) {
  int status, cold = 1;
  if (open_agent(agent) != 0 || load_handler(agent) != 0)
    return EXIT_FAILURE;
  do {
    status = serve(agent, cold);
    cold = 0;
  } while (status == LP__RUNTIME_OK);
  return status == LP__RUNTIME_GONE ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Messages come and go by the megabyte: memory that is given back to the system
 * and asked for again costs more than copying them. */
static void keep_memory(void) {
  mallopt(M_MMAP_THRESHOLD, KEPT_MEMORY);
  mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
}

int main(int argc, char **argv) {
  struct agent agent = {0};
  int status;
  if (argc > 1 && strcmp(argv[1], "--version") == 0) {
    puts("bootstrap: lambdapool " LP_VERSION ", " LUA_RELEASE);
    return EXIT_SUCCESS;
  }
  keep_memory();
  setvbuf(stdout, NULL, _IOLBF, 0);
  status = run(&agent);
  if (agent.L)
    lua_close(agent.L);
  lp__limits_close(agent.limits); /* not the page: malloc writes on it */
  lp__runtime_close(agent.runtime);
  return status;
}
