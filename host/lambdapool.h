/*
 * lambdapool: burst compute for programs in C.
 *
 * Threads: a host may be used by one thread at a time, whichever that is;
 * only lp_wake may be called by any thread at any time between lp_open and
 * lp_close. Callbacks run on the thread that called, inside lp_poll, lp_wait
 * or lp_run, and nowhere else. In a callback everything may be called but
 * lp_poll, lp_wait, lp_run, lp_command and lp_close, which give LP_EBUSY
 * there, as does a call while another thread is inside of one. Hosts are
 * independent of each other: open one in each thread, or sixty-four in one.
 *
 * A host keeps a pool of workers: processes on this machine, or AWS Lambda
 * functions. Tasks are Lua code; lp_submit sends them out, together with the
 * variables and modules that they use, and lp_poll brings the results back.
 *
 *   struct lp_config config;
 *   lp_host *host;
 *   struct lp_task task;
 *   struct lp_value n = lp_integer(30);
 *   const struct lp_result *result;
 *
 *   lp_config_init(&config, sizeof config);
 *   lp_open(&config, &host);
 *   lp_task_init(&task, sizeof task);
 *   task.source = "local n = ... return n * n";
 *   task.args = &n;
 *   task.count = 1;
 *   lp_submit(host, &task, NULL);
 *   for (;;) {                          // 60 times a second
 *     lp_poll(host, 300);               // microseconds, or a little more
 *     while (lp_next(host, &result) == 1)
 *       printf("%lld\n", (long long)result->values[0].integer);
 *     draw_frame();
 *   }
 *   lp_close(host);
 *
 * The host is a guest in your program. It prints nothing, installs no signal
 * handler, does not exit, and leaves the environment, the working directory and
 * the locale alone. Threads of its own start its workers, receive what they
 * answer and, with AWS, transfer; none of them calls Lua or you, or takes a
 * signal. Its Lua 5.4 is hidden inside of the library: your program may have a
 * Lua of its own, of any version. It reads no configuration files: what it does
 * depends on what you tell it. After lp_close no memory, descriptor, thread or
 * process is left. A child that your program forks has no host: there every
 * call gives LP_EBUSY, and lp_close does nothing.
 *
 * Ownership: in the comments below, a function *borrows* an argument (until
 * it returns, unless a longer time is given) or *copies* it; what it
 * *returns owned* is yours to free. What a function lends you is read only.
 *
 * Functions that return an int give LP_OK (0) or more, or one of the negative
 * LP_E... codes; lp_error says in words what was wrong. Strings are UTF-8 or
 * bytes, and end with a zero unless they come with a size. Times are in
 * microseconds or milliseconds, as their names say.
 */
#ifndef LAMBDAPOOL_H
#define LAMBDAPOOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LP_API __attribute__((visibility("default")))
#else
#define LP_API
#endif

/* --- version ------------------------------------------------------------- */

#define LP_VERSION_MAJOR  0
#define LP_VERSION_MINOR  1
#define LP_VERSION_PATCH  0
#define LP_VERSION        "0.1.0"
#define LP_VERSION_NUMBER 100 /* major * 10000 + minor * 100 + patch */

/* The version of the library that is running, as "major.minor.patch". */
LP_API const char *lp_version(void);

/* The same as a number. Programs run with a library of the same major version
 * (of 0.x: the same minor version) that is not older than their header:
 * lp_open and the init functions see to that by the sizes below. */
LP_API int lp_version_number(void);

/* --- errors -------------------------------------------------------------- */

#define LP_OK        0
#define LP_ENOMEM    (-1) /* memory is exhausted; the host goes on */
#define LP_ELUA      (-2) /* Lua code raised an error */
#define LP_EINVAL    (-3) /* an argument makes no sense */
#define LP_ESTALE    (-4) /* there is no such task any more */
#define LP_EBUSY     (-5) /* not here: see the paragraph on threads */
#define LP_ETIMEDOUT (-6) /* the time is over; the task goes on */
#define LP_EWOKEN    (-7) /* lp_wake was called */
#define LP_ESYSTEM   (-8) /* the operating system refused something */

/* What a code means, in English. Never NULL; static. */
LP_API const char *lp_strerror(int code);

/* --- opening a host ------------------------------------------------------ */

/* A host: a Lua state, a pool of workers, and everything that goes on. */
typedef struct lp_host lp_host;

/* An allocator like lua_Alloc: a `new_size` of 0 frees `block` and returns
 * NULL; a `block` of NULL allocates, and `old_size` is then 0; anything else
 * resizes. Blocks are aligned as malloc's. It may return NULL when it cannot
 * serve, but for a smaller size. Called only by the thread that calls the
 * host, inside the call; a thread of the host's own may write to the blocks at
 * any time. */
typedef void *(*lp_allocate)(void *data, void *block, size_t old_size,
                             size_t new_size);

/* What is logged: a line without its end. */
enum lp_log_level {
  LP_LOG_TASK,   /* a task has printed it, on whatever stream; its warnings
                  * are lines on stderr, and off until it says warn("@on") */
  LP_LOG_PRINT,  /* the host's own Lua code has printed it, with `print`;
                  * io.write and io.stderr go where they always go */
  LP_LOG_NOTICE, /* the library has something to say: what went wrong in a
                  * place that has no other way to tell */
  LP_LOG_WARNING /* a warning of the host's own Lua code (warn), or of an error
                  * in lambdapool.async that nobody can ask for any more */
};

/* Called inside of calls of the host, on their thread. `text` is borrowed until
 * it returns, and has a zero behind its `size` bytes. */
typedef void (*lp_log)(void *data, enum lp_log_level level, const char *text,
                       size_t size);

struct lp_config {
  /* sizeof(struct lp_config), set by lp_config_init: the library knows by it
   * which fields your program was compiled with. */
  size_t size;

  /* How many tasks run at once. 0, the default: as many as there are
   * processors; with a function of AWS, 1,000. */
  int workers;

  /* MB of memory for each worker, 128 to 10240. Default 0: 1769, what one
   * processor comes with on AWS Lambda. */
  int memory_mb;

  /* Milliseconds that a task may run, unless it says so itself. Default 0:
   * 900,000, the longest that AWS Lambda offers. */
  int64_t timeout_ms;

  /* How often a task is started again that the platform failed: its worker
   * died, it took too long, it was lost. Default 0. */
  int retries;

  /* How nice local workers are to other processes, 0 to 19, as for nice(1).
   * Default 0. A program that draws frames wants 10 or so. With 19 workers run
   * only on processors that nobody else wants, and leave them at once: frames
   * are steadiest then, but while other programs keep all processors busy next
   * to nothing gets done, the time of tasks that have begun runs on, and
   * lp_close waits for some tenths of a second. */
  int nice;

  /* Where Lua modules of yours are found first, as `<path>/terrain.lua` or
   * `<path>/terrain/init.lua`; several folders are separated by ";". Copied.
   * Default NULL: only in Lua's own package.path. */
  const char *path;

  /* More options of the pool, as a JSON object: those of lambdapool.executor in
   * Lua, for example {"backend": "aws", "function_name": "terrain",
   * "region": "eu-west-1", "max_cost": 5}. The fields above win. Copied.
   * Default NULL. These and the fields above are also the defaults of pools
   * that scripts open by themselves. */
  const char *options;

  /* The program that local workers run, `bootstrap`. Copied. Default NULL: what
   * the environment variable LAMBDAPOOL_AGENT names, or beside your program, or
   * in ../libexec/lambdapool seen from your program or from the library, or
   * where it was installed. */
  const char *agent;

  /* All memory of the host comes from here, but for what its own threads need
   * for themselves, which is little unless AWS is used: there it is that of
   * libraries. Default NULL: malloc. */
  lp_allocate allocate;
  void *allocate_data;

  /* Gets what tasks print and what there is to say. Default NULL: nothing is
   * said, and what tasks print is dropped; `print` of Lua code in the host
   * itself then writes to stdout, as in any Lua. */
  lp_log log;
  void *log_data;

  /* A folder to read the Lua part of lambdapool from instead of the copy that
   * is compiled in: for work on lambdapool itself. Copied. Default: the
   * environment variable LAMBDAPOOL_LUA, or NULL. */
  const char *modules;
};

/* Fills in `config`, which has `size` bytes, with the defaults. */
LP_API void lp_config_init(struct lp_config *config, size_t size);

/* Opens a host and stores it in *host: returned owned, to be closed with
 * lp_close. `config` is borrowed; NULL stands for the defaults. Starts no
 * worker: they start with the first tasks. With LP_EINVAL (a field makes no
 * sense), LP_ELUA and LP_ESYSTEM *host is a host that can do nothing but tell
 * its lp_error, and is to be closed, too; with LP_ENOMEM, and when `config` is
 * not one of lp_config_init, it is NULL. */
LP_API int lp_open(const struct lp_config *config, lp_host **host);

/* Closes the host: cancels its tasks, which have no results then, kills its
 * workers, waits for their end, which takes milliseconds, finalises its Lua
 * objects and frees everything. Closing NULL is fine. LP_EBUSY in a callback;
 * else LP_OK. */
LP_API int lp_close(lp_host *host);

/* What was wrong with the last call on `host` that gave a negative code.
 * Valid until the next call; "" when there was none, and for NULL a text that
 * says that there is no host. */
LP_API const char *lp_error(const lp_host *host);

/* --- values -------------------------------------------------------------- */

enum lp_type {
  LP_NIL,
  LP_BOOLEAN, /* integer: 0 or 1 */
  LP_INTEGER, /* integer */
  LP_NUMBER,  /* number */
  LP_STRING,  /* bytes, any; with a zero behind those that you are lent */
  LP_JSON,    /* bytes: JSON. What you give becomes the Lua value that it
               * stands for, null at the top nil; what you get is a table */
  LP_DUMP     /* bytes: what lambdapool.dump makes of a Lua value. A table that
               * JSON cannot say comes like that, and may be given again */
};

/* An argument or a result. What `bytes` points to is copied from you, and lent
 * to you as long as the result that it is in. Make them with the functions
 * below. */
struct lp_value {
  enum lp_type type;
  int64_t integer;
  double number;
  const char *bytes;
  size_t size;
};

static inline struct lp_value lp_nil(void) {
  struct lp_value value = {LP_NIL, 0, 0, NULL, 0};
  return value;
}

static inline struct lp_value lp_boolean(int truth) {
  struct lp_value value = {LP_BOOLEAN, truth != 0, 0, NULL, 0};
  return value;
}

static inline struct lp_value lp_integer(int64_t integer) {
  struct lp_value value = {LP_INTEGER, integer, 0, NULL, 0};
  return value;
}

static inline struct lp_value lp_number(double number) {
  struct lp_value value = {LP_NUMBER, 0, number, NULL, 0};
  return value;
}

static inline struct lp_value lp_string(const char *bytes, size_t size) {
  struct lp_value value = {LP_STRING, 0, 0, bytes, size};
  return value;
}

static inline struct lp_value lp_json(const char *text, size_t size) {
  struct lp_value value = {LP_JSON, 0, 0, text, size};
  return value;
}

/* --- tasks --------------------------------------------------------------- */

/* A task that was submitted: never 0. It stands for that task for ever: when
 * the result has been taken, every use of it is LP_ESTALE. */
typedef uint64_t lp_id;

/* How a task has ended. */
enum lp_kind {
  LP_DONE,          /* it returned */
  LP_ERROR,         /* it raised an error */
  LP_TIMEOUT,       /* it took too long */
  LP_OUT_OF_MEMORY, /* it needed more than its worker has */
  LP_CRASHED,       /* its worker died */
  LP_THROTTLED,     /* AWS has refused it again and again */
  LP_LOST,          /* nobody knows: the connection broke, for example */
  LP_TOO_LARGE,     /* its arguments or its results are too large to send */
  LP_CANCELLED      /* lp_cancel, or the budget was used up */
};

/* What became of a task. Lent: in a callback until it returns, from lp_next
 * until the next lp_next, lp_poll, lp_wait, lp_run or lp_close. Its strings are
 * where the worker's answer has arrived, beside those of other tasks: the whole
 * answer, some hundred KB or one larger result, stays in memory until the last
 * of them was lent and is so no more. */
struct lp_result {
  lp_id task; /* 0 for lp_run */
  void *data; /* of struct lp_task */
  enum lp_kind kind;
  const struct lp_value *values; /* what it returned; count 0 unless LP_DONE */
  int count;
  const char *message;   /* what was wrong, as a person reads it, several lines
                          * perhaps; "" for LP_DONE */
  const char *traceback; /* of LP_ERROR, of the worker; else "" */
  int attempts; /* how often it was started; 0 when it never was, or when the
                 * host ran out of memory and nobody knows */
};

struct lp_task {
  size_t size; /* set by lp_task_init */

  /* What to run: exactly one of these three.
   *
   * source: Lua code. Its arguments are `...`, its results what it returns. It
   * may use globals and modules that the host's own Lua code has; what it uses
   * travels along. Environment variables do not: workers have those of AWS
   * Lambda.
   * file: the same, read from a file, which may begin with a line "#!...".
   * function: "terrain.bake" stands for the function `bake` of the module
   * `terrain`, "engine.terrain.bake" for that of `engine.terrain`; "bake" for
   * the global function of that name, which lp_run has defined before. */
  const char *source;
  size_t source_size; /* 0: up to the zero */
  const char *file;
  const char *function;

  /* What `source` is called in messages and tracebacks, as for Lua's load: "="
   * and a name, or "@" and that of a file. Default NULL: "=task". */
  const char *name;

  /* The arguments. */
  const struct lp_value *args;
  int count;

  /* For lp_submit: the milliseconds that it may run and how often it is started
   * again. Default 0 and -1: those of the host. */
  int64_t timeout_ms;
  int retries;

  /* For lp_submit: called when it has ended, but not by lp_close. Default NULL:
   * lp_next gives the result. `data` is yours and comes with the result. */
  void (*on_end)(lp_host *host, const struct lp_result *result, void *data);
  void *data;
};

/* Fills in `task`, which has `size` bytes, with the defaults. */
LP_API void lp_task_init(struct lp_task *task, size_t size);

/* Runs `task` here and now, in the host's own Lua state, on this thread: for
 * scripts that define functions, and for those that fan out by themselves
 * (`require "lambdapool"`). Takes as long as that takes. Everything in `task`
 * is borrowed. Stores what it returned in *result, lent as by lp_next, unless
 * `result` is NULL. LP_ELUA when it raised; then lp_error, and *result, say
 * what. In a script os.exit raises an error. */
LP_API int lp_run(lp_host *host, const struct lp_task *task,
                  const struct lp_result **result);

/* Has `task` run by a worker, and stores its id in *id unless that is NULL. All
 * of it is copied, what it uses of the host's Lua state too: later changes make
 * no difference. Never waits. LP_ELUA when something of it cannot be compiled
 * or sent. The end of the task comes by lp_poll or lp_wait, once and in every
 * case; with an error there is no task, and nothing comes. */
LP_API int lp_submit(lp_host *host, const struct lp_task *task, lp_id *id);

/* Takes in what workers have done, gives them more to do and runs callbacks,
 * for about `budget_us`: when that is over it stops before the next piece of
 * work, so it takes longer by one piece, or one callback, at most. It never
 * waits; 0 does one piece. Returns how many tasks have ended in this call.
 * LP_ELUA: a callback in Lua (of a script of yours) has raised an error;
 * everything else goes on. */
LP_API int lp_poll(lp_host *host, int64_t budget_us);

/* Waits until the task has ended, 0: until all have, and does all that lp_poll
 * does meanwhile. At most `timeout_us`; as long as it takes when that is
 * negative. LP_ETIMEDOUT, LP_EWOKEN; LP_ESTALE when there is no such task any
 * more. LP_OK: its callback has run, or its result waits for lp_next. */
LP_API int lp_wait(lp_host *host, lp_id id, int64_t timeout_us);

/* The result of the next task, in the order of their ends, of those that have
 * no callback: 1 and stores it in *result, lent; or 0 when there is none. Never
 * takes anything in: lp_poll does. */
LP_API int lp_next(lp_host *host, const struct lp_result **result);

/* Cancels a task that has not ended: one that waits is not started, one that
 * runs is stopped. Its result, LP_CANCELLED, comes as any other. LP_OK also
 * when it could not be stopped any more; its result says how it ended. */
LP_API int lp_cancel(lp_host *host, lp_id id);

/* What a task is doing: 0 it waits for a worker, 1 it runs, 2 it has ended and
 * its result was not taken yet. LP_ESTALE. */
LP_API int lp_state(lp_host *host, lp_id id);

/* --- event loops --------------------------------------------------------- */

/* A descriptor that is readable while lp_poll has something to do: for poll(2)
 * or epoll in a loop of your own. It belongs to the host; do not read it. When
 * it is readable call lp_poll, with any budget. Always the same descriptor;
 * LP_ESYSTEM. */
LP_API int lp_fd(lp_host *host);

/* Ends the lp_wait that is going on, or else the next one, and makes lp_fd
 * readable until the next lp_poll or lp_wait. From any thread, and from a
 * signal handler. */
LP_API void lp_wake(lp_host *host);

/* --- the rest ------------------------------------------------------------ */

/* What has happened so far; all but `workers`, `queued`, `running` and `memory`
 * only grow. tasks = done + failed + cancelled + running + queued. */
struct lp_stats {
  size_t size;
  uint64_t tasks, done, failed, cancelled, running, queued;
  uint64_t attempts, retried; /* starts; those after the first */
  uint64_t workers, workers_started;
  uint64_t bytes_sent, bytes_received;
  uint64_t memory;    /* bytes that the host has allocated now; some MB of them
                       * it keeps for answers to come */
  double run_seconds; /* of all workers together */
  double cost;        /* US dollars, about; 0 for local workers */
};

/* Fills in `stats`, which has `size` bytes. */
LP_API int lp_get_stats(lp_host *host, struct lp_stats *stats, size_t size);

/* A function of yours for the host's Lua code. */
struct lp_call {
  const struct lp_value *args; /* lent until the function returns */
  int count;
  /* What it returns. Bytes are borrowed until it is called again. */
  struct lp_value results[8];
  int result_count;
  const char *message; /* what was wrong, when it returns an error */
};

/* Returns LP_OK, or a negative code, and then the Lua code that called gets an
 * error: `message`, or what the code means. */
typedef int (*lp_function)(lp_host *host, struct lp_call *call, void *data);

/* Makes `function` a function in Lua, in the host, not in tasks: as the global
 * `name`, or for "tool.read" as the field `read` of the global table `tool`,
 * which is made when there is none. A NULL takes it away. */
LP_API int lp_register(lp_host *host, const char *name, lp_function function,
                       void *data);

/* Runs a command of the `lambdapool` program, for tools that deploy functions:
 * argv[0] is the name of the program, argv[1] the command. This alone uses the
 * standard streams, reads configuration files, catches Ctrl-C while it runs,
 * and runs scripts whose os.exit ends the process. Returns the exit code, 0 to
 * 255, or LP_ELUA. `argv` is borrowed. */
LP_API int lp_command(lp_host *host, int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif
