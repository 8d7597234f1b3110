/*
 * Calls inside of calls: what callbacks may do they may do in all of them, the
 * log and functions for Lua included, and at every time, closing included.
 */
#define _GNU_SOURCE
#include "strict_allocator.h"

static lp_host *host;
static int depth, submitted, ended, calls;
static int starved; /* tasks may be lost */

static void on_end(lp_host *h, const struct lp_result *result, void *data) {
  CHECK(h == host && data == &ended);
  CHECK(result->kind == LP_DONE || result->kind == LP_CANCELLED || starved);
  ended++;
}

static int nothing(lp_host *h, struct lp_call *call, void *data) {
  CHECK(h == host && data == NULL);
  call->result_count = 0;
  return LP_OK;
}

/* Everything that is allowed. */
static void use(void) {
  const struct lp_result *result;
  struct lp_task task = guest_task("return ...");
  struct lp_stats stats;
  struct lp_value value = lp_json("{\"a\":[1,2,3]}", 13);
  lp_id id = 0;
  calls++;
  if (depth > 0 || submitted > 200)
    return;
  depth++;
  task.args = &value;
  task.count = 1;
  task.on_end = on_end;
  task.data = &ended;
  if (lp_submit(host, &task, &id) == LP_OK)
    submitted++;
  if (calls % 3 == 0)
    lp_cancel(host, id);
  lp_state(host, id);
  lp_next(host, &result);
  lp_get_stats(host, &stats, sizeof stats);
  lp_register(host, "tool.nothing", calls % 2 ? nothing : NULL, NULL);
  task.source = "return (";
  lp_submit(host, &task, NULL);
  lp_error(host);
  lp_wake(host);
  EQUAL(lp_poll(host, 0), LP_EBUSY);
  EQUAL(lp_close(host), LP_EBUSY);
  depth--;
}

static void log_and_use(void *data, enum lp_log_level level, const char *text,
                        size_t size) {
  CHECK(data == NULL && level <= LP_LOG_WARNING && text[size] == 0);
  if (host)
    use();
}

static int call_and_use(lp_host *h, struct lp_call *call, void *data) {
  const char *bytes = call->count > 1 ? call->args[1].bytes : "";
  CHECK(h == host && data == NULL);
  use();
  call->results[0] = lp_string(bytes, strlen(bytes));
  call->result_count = 1;
  return LP_OK;
}

static void open_one(struct strict *strict) {
  struct lp_config config = strict_config(strict);
  strict->thread = syscall(SYS_gettid);
  config.log = log_and_use;
  host = guest_open_with(&config);
  OK(host, lp_register(host, "tool.use", call_and_use, NULL));
}

/* Ends all tasks; the wakes of `use` interrupt. */
static void wait_for_all(void) {
  int code;
  while ((code = lp_wait(host, 0, -1)) == LP_EWOKEN)
    continue;
  OK(host, code);
}

static void close_one(struct strict *strict) {
  OK(host, lp_close(host));
  EQUAL(strict->used, 0);
}

static void in_the_log(void) {
  struct strict strict = strict_init();
  int i;
  open_one(&strict);
  guest_run(host, "print('one') warn('@on') warn('two')");
  for (i = 0; i < 10; i++)
    guest_submit(host, "print('three') print('four') return 5");
  wait_for_all();
  CHECK(submitted > 10);
  EQUAL(ended, submitted);
  close_one(&strict);
}

static int submit_many(lp_host *h, struct lp_call *call, void *data) {
  int i;
  CHECK(h == host && data == NULL);
  for (i = 0; i < 40; i++)
    guest_submit(h, "return 1");
  call->result_count = 0;
  return LP_OK;
}

/* The code of a result that has its own way to travel: it is called again when
 * the result is handed out. */
static void in_results(void) {
  struct strict strict = strict_init();
  const struct lp_result *result;
  lp_id id;
  open_one(&strict);
  OK(host, lp_register(host, "submit_many", submit_many, NULL));
  guest_run(host, "local meta, name = {}, 'submit_many'\n"
                  "local function make()\n"
                  "  return setmetatable({print}, meta)\n"
                  "end\n"
                  "function meta.__lambdapool()\n"
                  "  if armed then _G[name]() end\n"
                  "  return make\n"
                  "end\n"
                  "object = make()");
  id = guest_submit(host, "return object");
  guest_run(host, "armed = true");
  result = guest_result(host, id);
  KIND(result, LP_DONE);
  EQUAL(result->values[0].type, LP_DUMP);
  wait_for_all();
  close_one(&strict);
}

/* Code of that kind that fails. */
static void results_that_stay_there(void) {
  struct strict strict = strict_init();
  const struct lp_result *result;
  lp_id id;
  open_one(&strict);
  guest_run(host, "local meta = {}\n"
                  "local function make()\n"
                  "  return setmetatable({print}, meta)\n"
                  "end\n"
                  "function meta.__lambdapool()\n"
                  "  if armed then error('not again') end\n"
                  "  return make\n"
                  "end\n"
                  "object = make()");
  id = guest_submit(host, "return object");
  guest_run(host, "armed = true");
  result = guest_result(host, id);
  KIND(result, LP_LOST);
  EQUAL(result->count, 0);
  HAS(result->message, "not again");
  close_one(&strict);
}

static void in_functions(void) {
  struct strict strict = strict_init();
  open_one(&strict);
  guest_run(host, "for i = 1, 20 do\n"
                  "  assert(tool.use(i, 'text' .. i) == 'text' .. i)\n"
                  "end\n"
                  "coroutine.wrap(function() tool.use(1, 'x') end)()\n"
                  "table.sort({3, 1, 2}, function(a, b) tool.use(a, 'y')\n"
                  "  return a < b end)\n"
                  "setmetatable({}, {__gc = function() tool.use() end})\n"
                  "collectgarbage() collectgarbage()");
  wait_for_all();
  CHECK(submitted > 20);
  EQUAL(ended, submitted);
  close_one(&strict);
}

/* Finalizers of scripts run in lp_close, and call. */
static void while_closing(void) {
  struct strict strict = strict_init();
  int before;
  open_one(&strict);
  guest_run(host, "for i = 1, 10 do keep = setmetatable({keep}, {\n"
                  "  __gc = function() tool.use(1, 'x') print('gone') end})\n"
                  "end");
  wait_for_all();
  before = calls;
  close_one(&strict);
  CHECK(calls > before);
}

/* A function that takes itself away while it runs. */
static int vanish(lp_host *h, struct lp_call *call, void *data) {
  char text[] = "still here";
  (void)data;
  OK(h, lp_register(h, "tool.vanish", NULL, NULL));
  SAME(call->args[0].bytes, text);
  call->results[0] = call->args[0];
  call->result_count = 1;
  return LP_OK;
}

static void functions_that_vanish(void) {
  struct strict strict = strict_init();
  open_one(&strict);
  OK(host, lp_register(host, "tool.vanish", vanish, NULL));
  guest_run(host, "local f = tool.vanish\n"
                  "for i = 1, 3 do\n"
                  "  assert(f('still here') == 'still here')\n"
                  "  collectgarbage()\n"
                  "end\n"
                  "assert(tool.vanish == nil)");
  close_one(&strict);
}

/* The memory ends somewhere in it, and comes back. */
static void without_memory(void) {
  long n;
  starved = 1;
  for (n = 0; n < 400; n += 3) {
    struct strict strict = strict_init();
    struct lp_task task =
        guest_task("print('one') return tool.use(1, 'text'), {1, {2}}");
    submitted = ended = calls = depth = 0;
    open_one(&strict);
    strict.left = n;
    lp_run(host, &task, NULL);
    strict.left = NEVER;
    wait_for_all();
    EQUAL(ended, submitted);
    close_one(&strict);
  }
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"in the log", in_the_log},
      {"in functions for Lua", in_functions},
      {"in results", in_results},
      {"results that stay there", results_that_stay_there},
      {"while closing", while_closing},
      {"functions that vanish", functions_that_vanish},
      {"without memory", without_memory}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
