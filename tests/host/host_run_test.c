/* Lua code in the host: lp_run, lp_register, what is printed, and what it may
 * not do. */
#include "host_support.h"

#include <fcntl.h>
#include <unistd.h>

static lp_host *host;

static char log_text[4096];
static int log_lines;

static void on_log(void *data, enum lp_log_level level, const char *text,
                   size_t size) {
  size_t used = strlen(log_text);
  assert_ptr_equal(data, log_text);
  assert_int_equal(strlen(text), size);
  snprintf(log_text + used, sizeof log_text - used, "%d:%s|", (int)level, text);
  log_lines++;
}

static int open_one(void **state) {
  struct lp_config config = test_config();
  (void)state;
  log_text[0] = '\0';
  log_lines = 0;
  config.log = on_log;
  config.log_data = log_text;
  host = open_host(&config);
  return 0;
}

static int close_one(void **state) {
  (void)state;
  return lp_close(host);
}

static void fails(const char *source, const char *words) {
  struct lp_task task = source_task(source);
  const struct lp_result *result;
  assert_int_equal(lp_run(host, &task, &result), LP_ELUA);
  if (strstr(lp_error(host), words) == NULL)
    fail_msg("no '%s' in: %s", words, lp_error(host));
  assert_string_equal(result->message, lp_error(host));
  assert_int_equal(result->kind, LP_ERROR);
}

static void test_errors(void **state) {
  struct lp_task task;
  const struct lp_result *result;
  (void)state;
  fails("error('oh no')", "task:1: oh no");
  fails("error({})", "(error object is a table value)");
  fails("error()", "(error object is a nil value)");
  fails("error(setmetatable({}, {__tostring = function() return 'me' end}))",
        "me");
  fails("return (", "task:1:");
  fails("\x1bLua", "binary");
  task = source_task("local function inner() error('deep') end\ninner()");
  task.name = "@game.lua";
  assert_int_equal(lp_run(host, &task, &result), LP_ELUA);
  assert_string_equal(result->message, "game.lua:1: deep");
  assert_non_null(strstr(result->traceback, "game.lua:2:"));
  assert_string_equal(run(host, "return 'x'")->traceback, "");
}

static void test_functions(void **state) {
  static const char *const missing[] = {"",      "a..b",   ".a",      "no such",
                                        "_G",    "nobody", "nope.f",  "math.pi",
                                        "a.b c", "end",    "string.x"};
  struct lp_value args[] = {lp_integer(20), lp_integer(3)};
  struct lp_task task = source_task(NULL);
  const struct lp_result *result;
  (void)state;
  run(host, "local scale = 2 function twice(x) return x * scale end");
  task.function = "twice";
  task.args = args;
  task.count = 2;
  must(host, lp_run(host, &task, &result));
  assert_int_equal(result->values[0].integer, 40);
  result = result_of(host, submit(host, &task));
  assert_int_equal(result->values[0].integer, 40);
  task.function = "math.max";
  assert_int_equal(result_of(host, submit(host, &task))->values->integer, 20);
  for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
    task.function = missing[i];
    assert_int_equal(lp_submit(host, &task, NULL), LP_ELUA);
    assert_int_equal(lp_run(host, &task, NULL), LP_ELUA);
    assert_string_not_equal(lp_error(host), "");
  }
}

static void write_module(const char *path, const char *source) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(source, file);
  fclose(file);
}

/* What a module has is known where it is loaded. */
static void test_functions_of_modules(void **state) {
  static const char path[] = "/tmp/lambdapool_host_run.lua";
  static const char *const empty[] = {"return {}", "", "return {bake = false}"};
  struct lp_task task = source_task(NULL);
  const struct lp_result *result;
  (void)state;
  run(host, "package.path = '/tmp/?.lua;' .. package.path");
  task.function = "lambdapool_host_run.bake";
  for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
    write_module(path, empty[i]);
    result = result_of(host, submit(host, &task));
    assert_int_equal(result->kind, LP_ERROR);
    assert_string_equal(
        result->message,
        "there is no function 'bake' in module 'lambdapool_host_run'");
  }
  assert_int_equal(lp_run(host, &task, NULL), LP_ELUA);
  assert_string_equal(
      lp_error(host),
      "there is no function 'bake' in module 'lambdapool_host_run'");
  remove(path);
}

/* Scripts that run in turns are kept once. */
static void test_sources_in_turns(void **state) {
  static char sources[2][50000];
  struct lp_stats before, after;
  (void)state;
  for (int i = 0; i < 2; i++)
    snprintf(sources[i], sizeof sources[i], "return %d --%040000d", i, i);
  run(host, sources[0]);
  must(host, lp_get_stats(host, &before, sizeof before));
  for (int i = 0; i < 2000; i++) /* 80 MB */
    run(host, sources[i % 2]);
  must(host, lp_get_stats(host, &after, sizeof after));
  assert_true(after.memory < before.memory + (20 << 20));
}

/* Sources of tasks are many; that of a function that is sent is still known. */
static void test_sources_are_forgotten(void **state) {
  struct lp_task task = source_task(NULL);
  struct lp_stats before, after;
  (void)state;
  run(host, "function first() return 'first' end");
  must(host, lp_get_stats(host, &before, sizeof before));
  for (int i = 0; i < 1000; i++) { /* 40 MB of them, each in several forms */
    static char source[40100];
    task = source_task(source);
    snprintf(source, sizeof source, "return %d --%040000d", i, i);
    assert_int_equal(result_of(host, submit(host, &task))->kind, LP_DONE);
  }
  must(host, lp_get_stats(host, &after, sizeof after));
  assert_true(after.memory < before.memory + (40 << 20));
  task = source_task("function second() return 'second' end");
  result_of(host, submit(host, &task)); /* not here */
  run(host, task.source);
  task = source_task(NULL);
  task.function = "first";
  assert_string_equal(result_of(host, submit(host, &task))->values->bytes,
                      "first");
  task.function = "second";
  assert_string_equal(result_of(host, submit(host, &task))->values->bytes,
                      "second");
}

static void test_files(void **state) {
  static const char path[] = "/tmp/lambdapool-host-run.lua";
  struct lp_task task = source_task(NULL);
  const struct lp_result *result;
  FILE *file = fopen(path, "w");
  (void)state;
  fputs("#!/usr/bin/env tool\nreturn 'from a file', ...\n", file);
  fclose(file);
  task.file = path;
  must(host, lp_run(host, &task, &result));
  assert_string_equal(result->values->bytes, "from a file");
  assert_string_equal(result_of(host, submit(host, &task))->values->bytes,
                      "from a file");
  remove(path);
  assert_int_equal(lp_submit(host, &task, NULL), LP_ELUA);
  assert_non_null(strstr(lp_error(host), path));
}

static void refused(const struct lp_task *task, const char *words) {
  assert_int_equal(lp_run(host, task, NULL), LP_EINVAL);
  assert_non_null(strstr(lp_error(host), words));
  assert_int_equal(lp_submit(host, task, NULL), LP_EINVAL);
}

static void test_tasks_that_make_no_sense(void **state) {
  struct lp_task task = source_task(NULL);
  (void)state;
  refused(&task, "exactly one");
  task.source = task.file = "x";
  refused(&task, "exactly one");
  task = source_task("return 1");
  task.count = 1;
  refused(&task, "count");
  task.count = -1;
  refused(&task, "count");
  task = source_task("return 1");
  task.timeout_ms = -1;
  refused(&task, "timeout_ms");
  task.timeout_ms = INT64_MAX;
  refused(&task, "timeout_ms");
  task.timeout_ms = 1000000000000; /* is fine */
  assert_int_equal(result_of(host, submit(host, &task))->kind, LP_DONE);
  task = source_task("return 1");
  task.retries = -2;
  refused(&task, "retries");
  task = source_task("return 1");
  task.size = sizeof task + 8;
  refused(&task, "lp_task_init");
  refused(NULL, "lp_task_init");
}

/* --- lp_register --------------------------------------------------------- */

static int add(lp_host *h, struct lp_call *call, void *data) {
  int64_t sum = *(int *)data;
  assert_ptr_equal(h, host);
  for (int i = 0; i < call->count; i++)
    sum += call->args[i].integer;
  call->results[0] = lp_integer(sum);
  call->results[1] = lp_json("[1,2]", 5);
  call->result_count = 2;
  return LP_OK;
}

static int submits(lp_host *h, struct lp_call *call, void *data) {
  struct lp_task task = source_task("return 'nested'");
  (void)call;
  return lp_submit(h, &task, data);
}

static int shut(lp_host *h, struct lp_call *call, void *data) {
  (void)h;
  call->message = data;
  return LP_ESYSTEM;
}

static int too_many(lp_host *h, struct lp_call *call, void *data) {
  (void)h, (void)data;
  call->result_count = 9;
  return LP_OK;
}

static void test_register(void **state) {
  static int ten = 10;
  lp_id id = 0;
  (void)state;
  must(host, lp_register(host, "add", add, &ten));
  must(host, lp_register(host, "deep.er.add", add, &ten));
  must(host, lp_register(host, "shut", shut, (char *)"it is shut"));
  must(host, lp_register(host, "silent", shut, NULL));
  must(host, lp_register(host, "submits", submits, &id));
  must(host, lp_register(host, "many", too_many, NULL));
  assert_int_equal(run(host, "return add(1, 2)")->values->integer, 13);
  assert_int_equal(
      run(host, "return #select(2, deep.er.add())")->values->integer, 2);
  fails("shut()", "task:1: it is shut");
  fails("silent()", "operating system");
  fails("many()", "9 results");
  fails("add(coroutine.create(print))", "coroutine");
  run(host, "coroutine.wrap(submits)()");
  assert_string_equal(result_of(host, id)->values->bytes, "nested");
  must(host, lp_register(host, "deep.er.add", NULL, NULL));
  must(host, lp_register(host, "no.such.thing", NULL, NULL));
  run(host, "assert(deep.er.add == nil and no == nil) five = 5");
  assert_int_equal(lp_register(host, "five.add", add, NULL), LP_EINVAL);
  assert_int_equal(lp_register(host, "5.add", add, NULL), LP_EINVAL);
  assert_int_equal(lp_register(host, "a.", add, NULL), LP_EINVAL);
  assert_int_equal(lp_register(host, NULL, add, NULL), LP_EINVAL);
}

static int all_refused(lp_host *h, struct lp_call *call, void *data) {
  struct lp_task task = source_task("return 1");
  char *argv[] = {(char *)"x", NULL};
  (void)call, (void)data;
  assert_int_equal(lp_run(h, &task, NULL), LP_EBUSY);
  assert_int_equal(lp_poll(h, 0), LP_EBUSY);
  assert_int_equal(lp_wait(h, 0, 0), LP_EBUSY);
  assert_int_equal(lp_command(h, 1, argv), LP_EBUSY);
  assert_int_equal(lp_close(h), LP_EBUSY);
  assert_non_null(strstr(lp_error(h), "callback"));
  return LP_OK;
}

static void test_busy(void **state) {
  (void)state;
  must(host, lp_register(host, "f", all_refused, NULL));
  run(host, "f() coroutine.wrap(f)()");
  run(host, "setmetatable({}, {__gc = f}) collectgarbage()");
}

/* --- manners ------------------------------------------------------------- */

static void test_log(void **state) {
  (void)state;
  run(host, "print(1, nil, 'two\\nthree') print()");
  assert_string_equal(log_text, "1:1\tnil\ttwo|1:three|1:|");
  log_text[0] = '\0';
  run(host, "warn('in ', 'parts') warn('@off') warn('not') warn('@on')"
            "setmetatable({}, {__gc = function() error('gc', 0) end})"
            "collectgarbage()");
  assert_string_equal(log_text, "3:in parts|3:error in __gc (gc)|");
  log_text[0] = '\0';
  run(host, "warn('one\\ntwo')");
  assert_string_equal(log_text, "3:one|3:two|");
  log_text[0] = '\0';
  run(host, "require('lambdapool').async(error, 'of a flow', 0)"
            "assert(require('lambdapool').async(error, 'asked', 0):exception())"
            "collectgarbage() collectgarbage()");
  assert_string_equal(log_text,
                      "3:nobody has asked for the error of a flow: of a flow|");
  log_text[0] = '\0';
  work(host, "print('from', 'task') io.stderr:write('err\\n')");
  while (log_lines < 10)
    must(host, lp_poll(host, 1000));
  assert_string_equal(log_text, "0:from\ttask|0:err|");
  log_text[0] = '\0';
  work(host, "warn('off') warn('@on') warn('of ', 'task')");
  while (log_lines < 11)
    must(host, lp_poll(host, 1000));
  assert_string_equal(log_text, "0:Lua warning: of task|");
}

static void test_guards(void **state) {
  (void)state;
  fails("os.exit(3)", "os.exit");
  fails("coroutine.wrap(os.exit)(true, true)", "os.exit");
  run(host, "pcall(os.exit) setmetatable({}, {__gc = os.exit})");
  run(host,
      "local f, message, what = package.loadlib('libc.so.6', '*')\n"
      "assert(not f and message:find('lp_register') and what == 'absent')");
  run(host,
      "package.cpath = '/lib/x86_64-linux-gnu/lib?.so.6;' .. package.cpath");
  fails("require('c')", "cannot load module 'c' from");
  fails("require('no.such.module')", "no file");
  fails("debug.sethook(function() error('hooked') end, '', 1) return 1",
        "hooked");
  assert_int_equal(work(host, "return 1")->kind, LP_DONE);
}

/* Scripts may do what they like to what they share with us. */
static void test_vandals(void **state) {
  static const char *const scripts[] = {
      "for name in pairs(package.loaded) do package.loaded[name] = nil end",
      "setmetatable(package.loaded, {__index = error, __newindex = error})",
      "for name in pairs(table) do table[name] = nil end",
      "for name in pairs(package) do package[name] = 1 end",
      "os, io, math, require, load, coroutine = nil",
      "pcall, error, next, pairs, type, select, tostring = 1, 2, 3, 4, 5, 6, 7",
      "setmetatable(_G, {__index = error, __newindex = error})",
      "collectgarbage('stop')",
  };
  (void)state;
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
    close_one(NULL);
    open_one(NULL);
    run(host, scripts[i]);
    assert_int_equal(work(host, "return 1")->kind, LP_DONE);
  }
  close_one(NULL);
  open_one(NULL);
  run(host, "lambdapool = require 'lambdapool' pool = lambdapool.pool()\n"
            "package.loaded.lambdapool = nil\n"
            "assert(require 'lambdapool' == lambdapool)");
}

/* Sends a standard stream to nowhere; returns where it went. */
static int silence(int fd) {
  int kept = dup(fd), nowhere = open("/dev/null", O_WRONLY);
  dup2(nowhere, fd);
  close(nowhere);
  return kept;
}

static void restore(int fd, int kept) {
  dup2(kept, fd);
  close(kept);
}

static int command(const char *word) {
  char *argv[] = {(char *)"tool", (char *)word, NULL};
  int out, err, status;
  fflush(stdout);
  out = silence(1);
  err = silence(2);
  status = lp_command(host, 2, argv);
  fflush(stdout);
  restore(1, out);
  restore(2, err);
  return status;
}

static void test_command(void **state) {
  char *argv[] = {NULL};
  (void)state;
  assert_int_equal(command("--version"), 0);
  assert_int_equal(command("conjure"), 2);
  assert_int_equal(lp_command(host, 0, argv), LP_EINVAL);
  assert_int_equal(lp_command(host, 1, NULL), LP_EINVAL);
  assert_int_equal(work(host, "return 1")->kind, LP_DONE);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_one, close_one)
  const struct CMUnitTest tests[] = {
      TEST(test_errors),
      TEST(test_functions),
      TEST(test_functions_of_modules),
      TEST(test_sources_in_turns),
      TEST(test_sources_are_forgotten),
      TEST(test_files),
      TEST(test_tasks_that_make_no_sense),
      TEST(test_register),
      TEST(test_busy),
      TEST(test_log),
      TEST(test_guards),
      TEST(test_vandals),
      TEST(test_command),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
