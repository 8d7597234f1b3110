/*
 * Callbacks that do everything that they may, and everything that they may
 * not: results, functions for Lua, and the log.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <pthread.h>

static lp_host *host;
static int ended;

static lp_id submit_with(const char *source,
                         void (*on_end)(lp_host *, const struct lp_result *,
                                        void *),
                         void *data) {
  struct lp_task task = guest_task(source);
  task.on_end = on_end;
  task.data = data;
  return guest_submit_with(host, &task);
}

/* Calls that must not be made in a callback. */
static void all_busy(lp_host *h) {
  const struct lp_result *result = NULL;
  struct lp_task task = guest_task("return 1");
  char *argv[] = {(char *)"x", (char *)"--version", NULL};
  EQUAL(lp_poll(h, 1000), LP_EBUSY);
  EQUAL(lp_wait(h, 0, -1), LP_EBUSY);
  EQUAL(lp_wait(h, 1, 0), LP_EBUSY);
  EQUAL(lp_run(h, &task, &result), LP_EBUSY);
  EQUAL(lp_command(h, 2, argv), LP_EBUSY);
  EQUAL(lp_close(h), LP_EBUSY);
  CHECK(lp_error(h)[0] != 0);
}

static void on_busy(lp_host *h, const struct lp_result *result, void *data) {
  struct lp_stats stats;
  CHECK(h == host);
  CHECK(data == &ended);
  KIND(result, LP_DONE);
  all_busy(h);
  OK(h, lp_get_stats(h, &stats, sizeof stats));
  CHECK(lp_fd(h) >= 0);
  lp_wake(h);
  SAME(result->values[0].bytes, "still here");
  ended++;
}

static void not_in_a_callback(void) {
  host = guest_open();
  submit_with("return 'still here'", on_busy, &ended);
  while (ended == 0)
    OK(host, lp_poll(host, 1000));
  submit_with("return 'still here'", on_busy, &ended);
  lp_wait(host, 0, -1);
  OK(host, lp_wait(host, 0, -1));
  EQUAL(ended, 2);
  lp_close(host);
}

/* Each end submits the next one: work goes on in any number of callbacks. */
static void on_chain(lp_host *h, const struct lp_result *result, void *data) {
  KIND(result, LP_DONE);
  CHECK(h == host);
  if (++ended < 300)
    submit_with("return 1", on_chain, data);
}

static void submit_in_callbacks(void) {
  struct lp_stats stats = {0};
  host = guest_open();
  submit_with("return 1", on_chain, NULL);
  OK(host, lp_wait(host, 0, -1));
  EQUAL(ended, 300);
  OK(host, lp_get_stats(host, &stats, sizeof stats));
  EQUAL(stats.done, 300);
  lp_close(host);
}

/* The first one that ends cancels all the others. */
static lp_id ids[50];
static int cancelled;

static void on_cancel(lp_host *h, const struct lp_result *result, void *data) {
  size_t i;
  EQUAL(lp_state(h, result->task), LP_ESTALE);
  EQUAL(lp_cancel(h, result->task), LP_ESTALE);
  for (i = 0; ended == 0 && i < COUNT(ids); i++)
    if (ids[i] != result->task)
      EQUAL(lp_cancel(h, ids[i]), LP_OK);
  ended++;
  cancelled += result->kind == LP_CANCELLED;
  CHECK(data == NULL);
}

static void cancel_in_callbacks(void) {
  size_t i;
  host = guest_open();
  for (i = 0; i < COUNT(ids); i++)
    ids[i] = submit_with(i ? "while true do end" : "return", on_cancel, NULL);
  OK(host, lp_wait(host, 0, -1));
  EQUAL(ended, COUNT(ids));
  EQUAL(cancelled, COUNT(ids) - 1);
  lp_close(host);
}

/* lp_next inside of a callback does not spoil what it was lent. */
static void on_next(lp_host *h, const struct lp_result *result, void *data) {
  const struct lp_result *other;
  int before = ended++;
  (void)data;
  while (lp_next(h, &other) == 1) {
    KIND(other, LP_DONE);
    EQUAL(other->values[0].size, 10000);
    ended++;
  }
  SAME(result->values[0].bytes, "mine");
  CHECK(ended > before);
}

static void next_in_callbacks(void) {
  const struct lp_result *result;
  int i;
  host = guest_open();
  for (i = 0; i < 100; i++)
    if (i % 2)
      submit_with("return 'mine'", on_next, NULL);
    else
      guest_submit(host, "return ('x'):rep(10000)");
  OK(host, lp_wait(host, 0, -1));
  while (lp_next(host, &result) == 1)
    ended++;
  EQUAL(ended, 100);
  lp_close(host);
}

/* Callbacks of one host open, use and close another. */
static void on_nested(lp_host *h, const struct lp_result *result, void *data) {
  lp_host *other = guest_open();
  CHECK(h == host && data == NULL);
  KIND(guest_end_of(other, "return 1"), LP_DONE);
  OK(other, lp_close(other));
  SAME(result->values[0].bytes, "outer");
  ended++;
}

static void hosts_in_callbacks(void) {
  host = guest_open();
  submit_with("return 'outer'", on_nested, NULL);
  OK(host, lp_wait(host, 0, -1));
  EQUAL(ended, 1);
  lp_close(host);
}

/* Tasks that are open at lp_close have no end: no callback runs there. */
static void on_never(lp_host *h, const struct lp_result *result, void *data) {
  (void)data;
  FAIL("%p: a callback in lp_close: %s", (void *)h, result->message);
}

static void none_while_closing(void) {
  int i;
  host = guest_open();
  for (i = 0; i < 20; i++)
    submit_with(i ? "while true do end" : "return 1", on_never, NULL);
  guest_sleep_ms(20);
  OK(host, lp_close(host));
}

/* A function for Lua. */
/* What a function is lent while a script runs does not get into the result of
 * that. */
static int call_next(lp_host *h, struct lp_call *call, void *data) {
  const struct lp_result *result;
  (void)data;
  EQUAL(lp_next(h, &result), 1);
  KIND(result, LP_ERROR);
  call->result_count = 0;
  return LP_OK;
}

static void next_in_functions(void) {
  const struct lp_result *result;
  struct lp_task task = guest_task("next_result() error('boom')");
  host = guest_open();
  OK(host, lp_register(host, "next_result", call_next, NULL));
  guest_submit(host, "error('one')");
  guest_submit(host, "error('two')");
  OK(host, lp_wait(host, 0, -1));
  result = guest_run(host, "next_result() return 7");
  RETURNS(result, 7);
  EQUAL(result->task, 0);
  EQUAL(lp_run(host, &task, &result), LP_ELUA);
  SAME(result->message, "task:1: boom");
  EQUAL(result->task, 0);
  lp_close(host);
}

/* Errors inside of a script are the script's, whatever the calls gave that its
 * functions made. */
static int fail_inside(lp_host *h, struct lp_call *call, void *data) {
  struct lp_value value = lp_json("{", 1);
  struct lp_task task = guest_task("return 1");
  (void)data;
  task.args = &value;
  task.count = 1;
  EQUAL(lp_submit(h, &task, NULL), LP_EINVAL);
  call->results[0] = value;
  call->result_count = 1;
  return LP_OK;
}

static void errors_of_functions(void) {
  struct lp_task task = guest_task("fail()");
  host = guest_open();
  OK(host, lp_register(host, "fail", fail_inside, NULL));
  EQUAL(lp_run(host, &task, NULL), LP_ELUA);
  HAS(lp_error(host), "result 1 is not JSON");
  task.source = "pcall(fail) error('boom')";
  EQUAL(lp_run(host, &task, NULL), LP_ELUA);
  SAME(lp_error(host), "task:1: boom");
  lp_close(host);
}

/* What is done wrong in the log is not the error of the call that it is in. */
static void fail_in_the_log(void *data, enum lp_log_level level,
                            const char *text, size_t size) {
  (void)data, (void)level, (void)text, (void)size;
  EQUAL(lp_state(host, 1), LP_ESTALE);
  ended++;
}

static void errors_in_the_log(void) {
  struct lp_config config = guest_config();
  struct lp_task task = guest_task("warn('one') error('boom')");
  const struct lp_result *result;
  config.log = fail_in_the_log;
  host = guest_open_with(&config);
  EQUAL(lp_run(host, &task, &result), LP_ELUA);
  SAME(lp_error(host), "task:1: boom");
  CHECK(ended > 0);
  lp_close(host);
}

static int add(lp_host *h, struct lp_call *call, void *data) {
  int i;
  int64_t sum = *(int *)data;
  CHECK(h == host);
  for (i = 0; i < call->count; i++)
    sum += call->args[i].integer;
  call->results[0] = lp_integer(sum);
  call->result_count = 1;
  return LP_OK;
}

static int seven(lp_host *h, struct lp_call *call, void *data) {
  int i;
  (void)h, (void)data;
  for (i = 0; i < 8; i++)
    call->results[i] = lp_integer(i);
  call->result_count = 8;
  return LP_OK;
}

static int refuse(lp_host *h, struct lp_call *call, void *data) {
  (void)h;
  call->message = data;
  return LP_ESYSTEM;
}

static int wrong(lp_host *h, struct lp_call *call, void *data) {
  (void)h;
  call->result_count = *(int *)data;
  return LP_OK;
}

static int busy(lp_host *h, struct lp_call *call, void *data) {
  (void)data, (void)call;
  all_busy(h);
  return LP_OK;
}

static void functions_for_lua(void) {
  int ten = 10, many = 9, less = -1;
  host = guest_open();
  OK(host, lp_register(host, "add", add, &ten));
  OK(host, lp_register(host, "tool.add", add, &ten));
  OK(host, lp_register(host, "tool.seven", seven, NULL));
  OK(host, lp_register(host, "tool.refuse", refuse, (char *)"it is shut"));
  OK(host, lp_register(host, "tool.silent", refuse, NULL));
  OK(host, lp_register(host, "tool.many", wrong, &many));
  OK(host, lp_register(host, "tool.less", wrong, &less));
  OK(host, lp_register(host, "tool.busy", busy, NULL));
  RETURNS(guest_run(host, "return add(1, 2)"), 13);
  RETURNS(guest_run(host, "return tool.add()"), 10);
  EQUAL(guest_run(host, "return tool.seven()")->count, 8);
  guest_run(host, "local ok, e = pcall(tool.refuse) assert(not ok)\n"
                  "assert(tostring(e):find('it is shut', 1, true), e)");
  guest_run(host, "local ok, e = pcall(tool.silent) assert(not ok and e)");
  guest_run(host, "assert(not pcall(tool.many))");
  guest_run(host, "assert(not pcall(tool.less))");
  guest_run(host, "tool.busy()");
  guest_run(host, "coroutine.wrap(tool.busy)()");
  guest_run(host, "setmetatable({}, {__gc = tool.busy}) collectgarbage()");
  guest_run(host, "assert(not pcall(add, coroutine.create(print)))\n"
                  "add(print, {}, {{}}, io.stdout)");
  OK(host, lp_register(host, "add", NULL, NULL));
  OK(host, lp_register(host, "tool.add", NULL, NULL));
  guest_run(host, "assert(add == nil and tool.add == nil and tool.seven)");
  lp_close(host);
}

static void names_of_functions(void) {
  static const char *const names[] = {"", ".", "a.", ".a", "a..b"};
  size_t i;
  host = guest_open();
  for (i = 0; i < COUNT(names); i++)
    EQUAL(lp_register(host, names[i], add, NULL), LP_EINVAL);
  EQUAL(lp_register(host, NULL, add, NULL), LP_EINVAL);
  guest_run(host, "five = 5");
  CHECK(lp_register(host, "five.add", add, NULL) < 0);
  OK(host, lp_register(host, "five", NULL, NULL));
  OK(host, lp_register(host, "nothing.else", NULL, NULL));
  guest_run(host, "setmetatable(_G, {__newindex = error, __index = error})");
  lp_register(host, "strict", busy, NULL);
  lp_register(host, "strict.more", busy, NULL);
  lp_register(host, "tool.more", busy, NULL);
  lp_close(host);
}

/* It cannot travel, and the message says which one. */
static void functions_stay_here(void) {
  struct lp_task task = guest_task("return tool.add(1)");
  int ten = 10;
  host = guest_open();
  OK(host, lp_register(host, "tool.add", add, &ten));
  EQUAL(lp_submit(host, &task, NULL), LP_ELUA);
  HAS(lp_error(host), "tool");
  lp_close(host);
}

static int lines;

static void on_log(void *data, enum lp_log_level level, const char *text,
                   size_t size) {
  (void)level, (void)data;
  if (size > 0 && text[0] == '!')
    return;
  lines++;
  if (host) {
    all_busy(host);
    lp_get_stats(host, NULL, 0);
  }
}

static void the_log_is_a_callback(void) {
  struct lp_config config = guest_config();
  config.log = on_log;
  host = guest_open_with(&config);
  KIND(guest_end_of(host, "print('a') print('b')"), LP_DONE);
  guest_run(host, "print('c')");
  guest_run(host, "warn('@on') warn('d')");
  OK(host, lp_wait(host, 0, -1));
  CHECK(lines >= 4);
  lp_close(host);
}

/* While one thread is inside of a call, others get LP_EBUSY. */
static int inside;

static int linger(lp_host *h, struct lp_call *call, void *data) {
  (void)h, (void)call, (void)data;
  __atomic_store_n(&inside, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&inside, __ATOMIC_SEQ_CST) == 1)
    guest_sleep_ms(1);
  return LP_OK;
}

static void *knock(void *data) {
  while (__atomic_load_n(&inside, __ATOMIC_SEQ_CST) == 0)
    guest_sleep_ms(1);
  EQUAL(lp_poll(data, 1000), LP_EBUSY);
  EQUAL(lp_close(data), LP_EBUSY);
  __atomic_store_n(&inside, 2, __ATOMIC_SEQ_CST);
  return NULL;
}

static void another_thread_is_inside(void) {
  pthread_t thread;
  host = guest_open();
  OK(host, lp_register(host, "linger", linger, NULL));
  pthread_create(&thread, NULL, knock, host);
  guest_run(host, "linger()");
  pthread_join(thread, NULL);
  OK(host, lp_close(host));
}

/* Errors of Lua callbacks come from lp_poll, and the rest goes on. */
static void callbacks_in_lua(void) {
  int i, errors = 0;
  host = guest_open();
  guest_run(host, "local lambdapool = require 'lambdapool'\n"
                  "pool = lambdapool.pool { workers = 2 }\n"
                  "ended = 0\n"
                  "for i = 1, 4 do\n"
                  "  pool:apply_async(function() return i end, {}, nil,\n"
                  "    function() ended = ended + 1 error('oh no') end)\n"
                  "end");
  for (i = 0; i < 5000 && errors < 4; i++, guest_sleep_ms(1)) {
    int code = lp_poll(host, 1000);
    if (code == LP_ELUA) {
      HAS(lp_error(host), "oh no");
      errors++;
    } else
      CHECK(code >= 0);
  }
  EQUAL(errors, 4);
  RETURNS(guest_run(host, "return ended"), 4);
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  lp_close(host);
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"what gives LP_EBUSY in a callback", not_in_a_callback},
      {"submitting in callbacks", submit_in_callbacks},
      {"cancelling in callbacks", cancel_in_callbacks},
      {"lp_next in callbacks", next_in_callbacks},
      {"lp_next in functions for Lua", next_in_functions},
      {"errors of functions for Lua", errors_of_functions},
      {"errors in the log", errors_in_the_log},
      {"other hosts in callbacks", hosts_in_callbacks},
      {"no callbacks while closing", none_while_closing},
      {"functions for Lua", functions_for_lua},
      {"names of functions", names_of_functions},
      {"functions stay here", functions_stay_here},
      {"the log is a callback", the_log_is_a_callback},
      {"another thread is inside", another_thread_is_inside},
      {"callbacks in Lua", callbacks_in_lua}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
