/*
 * Tasks that do not want to end well: every one ends, once, and says how; and
 * the host goes on.
 */
#define _GNU_SOURCE
#include "guest.h"

static lp_host *host;

static void goes_on(void) {
  const struct lp_result *result = guest_end_of(host, "return 42");
  KIND(result, LP_DONE);
  EQUAL(result->values[0].integer, 42);
}

static const struct lp_result *ends(const char *source, enum lp_kind kind,
                                    const char *words) {
  const struct lp_result *result = guest_end_of(host, source);
  KIND(result, kind);
  HAS(result->message, words);
  EQUAL(result->count, kind == LP_DONE ? result->count : 0);
  EQUAL(result->attempts, 1);
  return result;
}

static void errors(void) {
  host = guest_open();
  HAS(ends("error('no luck')", LP_ERROR, "no luck")->traceback, "task:1");
  ends("error()", LP_ERROR, "nil");
  ends("error({})", LP_ERROR, "table");
  ends("error({code = 7, message = 'seven'})", LP_ERROR, "");
  ends("error(setmetatable({}, {__tostring = function() return 'words' end}))",
       LP_ERROR, "words");
  ends("error(setmetatable({}, {__tostring = function() error('x') end}))",
       LP_ERROR, "");
  ends("error(setmetatable({}, {__tostring = function() while true do "
       "return {} end end}))",
       LP_ERROR, "");
  ends("error('a\\0b')", LP_ERROR, "a");
  ends("error('\\xff\\xfe')", LP_ERROR, "");
  ends("error(('x'):rep(1000000))", LP_ERROR, "xxx");
  ends("error(42)", LP_ERROR, "42");
  ends("error(true)", LP_ERROR, "");
  ends("error(print)", LP_ERROR, "");
  ends("error(coroutine.create(print))", LP_ERROR, "");
  ends("local function f() return 1 + f() end return f()", LP_ERROR,
       "stack overflow");
  ends("local nope = nil; nope.x = 1", LP_ERROR, "nope");
  ends("return setmetatable({}, {__gc = function() error('late') end}) and 1",
       LP_DONE, "");
  goes_on();
  lp_close(host);
}

static void sudden_ends(void) {
  struct lp_config config = guest_config();
  config.memory_mb = 128;
  host = guest_open_with(&config);
  ends("os.exit(3)", LP_CRASHED, "");
  ends("os.exit(0)", LP_CRASHED, "");
  ends("os.exit(true, true)", LP_CRASHED, "");
  ends("os.execute('kill -9 $PPID')", LP_CRASHED, "");
  ends("os.execute('kill -11 $PPID')", LP_CRASHED, "");
  ends("local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end",
       LP_OUT_OF_MEMORY, "memory");
  ends("return ('x'):rep(1 << 30)", LP_OUT_OF_MEMORY, "memory");
  goes_on();
  lp_close(host);
}

static void no_end(void) {
  static const char *const sources[] = {
      "while true do end",
      "repeat until pcall(error) and false",
      "while true do pcall(function() while true do end end) end",
      "while true do coroutine.wrap(function() while true do end end)() end",
      "return ('x'):rep(60):find(('x*'):rep(60) .. 'y')",
      "setmetatable({}, {__gc = function() repeat until false end}) _G()",
      "os.execute('sleep 1000')",
      "while true do print('x') end",
      "io.read('a') while true do end",
  };
  size_t i;
  host = guest_open();
  for (i = 0; i < COUNT(sources); i++) {
    struct lp_task task = guest_task(sources[i]);
    task.timeout_ms = 100;
    KIND(guest_result(host, guest_submit_with(host, &task)), LP_TIMEOUT);
  }
  for (i = 0; i < COUNT(sources); i++) {
    lp_id id = guest_submit(host, sources[i]);
    OK(host, lp_poll(host, 2000));
    OK(host, lp_cancel(host, id));
    KIND(guest_result(host, id), LP_CANCELLED);
  }
  goes_on();
  lp_close(host);
}

static void time_of_the_host(void) {
  struct lp_config config = guest_config();
  struct lp_task task = guest_task("while true do end");
  const struct lp_result *result;
  config.timeout_ms = 50;
  config.retries = 2;
  host = guest_open_with(&config);
  result = guest_result(host, guest_submit_with(host, &task));
  KIND(result, LP_TIMEOUT);
  EQUAL(result->attempts, 3);
  task.retries = 0;
  result = guest_result(host, guest_submit_with(host, &task));
  EQUAL(result->attempts, 1);
  lp_close(host);
}

static void large_results(void) {
  const struct lp_result *result;
  struct lp_task task = guest_task("return #..., ...");
  char *bytes = malloc(5000000);
  struct lp_value value = lp_string(bytes, 5000000);
  size_t i;
  for (i = 0; i < 5000000; i++)
    bytes[i] = (char)(i * 2654435761u >> 13);
  host = guest_open();
  task.args = &value;
  task.count = 1;
  result = guest_result(host, guest_submit_with(host, &task));
  if (result->kind == LP_DONE) {
    EQUAL(result->count, 2);
    EQUAL(result->values[0].integer, 5000000);
    EQUAL(result->values[1].size, 5000000);
    CHECK(!memcmp(result->values[1].bytes, bytes, 5000000));
    EQUAL(result->values[1].bytes[5000000], 0);
  } else
    KIND(result, LP_TOO_LARGE);
  result = ends("return ('x'):rep(5500000)", LP_DONE, "");
  EQUAL(result->values[0].size, 5500000);
  goes_on();
  free(bytes);
  lp_close(host);
}

static void too_large(void) {
  struct lp_task task = guest_task("return 1");
  size_t size = 12000000, i;
  char *bytes = malloc(size);
  struct lp_value value = lp_string(bytes, size);
  const struct lp_result *result;
  lp_id id;
  uint32_t seed = 1;
  int code;
  for (i = 0; i < size; i++)
    bytes[i] = (char)((seed = seed * 1664525 + 1013904223) >> 24);
  host = guest_open();
  task.args = &value;
  task.count = 1;
  code = lp_submit(host, &task, &id);
  if (code == LP_OK) {
    result = guest_result(host, id);
    KIND(result, LP_TOO_LARGE);
  } else
    EQUAL(code, LP_ELUA);
  free(bytes);
  result = guest_end_of(host, "local t = {} for i = 1, 1e6 do "
                              "t[i] = math.random(0) end return t");
  CHECK(result->kind == LP_TOO_LARGE || result->kind == LP_OUT_OF_MEMORY);
  goes_on();
  lp_close(host);
}

struct log {
  size_t lines, bytes;
  char last[200];
};

static void keep(void *data, enum lp_log_level level, const char *text,
                 size_t size) {
  struct log *log = data;
  CHECK(text[size] == 0);
  CHECK(level <= LP_LOG_WARNING);
  CHECK(!memchr(text, '\n', size));
  if (level == LP_LOG_TASK || level == LP_LOG_PRINT) {
    log->lines++;
    log->bytes += size;
    snprintf(log->last, sizeof log->last, "%s", text);
  }
}

static void printing(void) {
  struct log log = {0};
  struct lp_config config = guest_config();
  config.log = keep;
  config.log_data = &log;
  host = guest_open_with(&config);
  ends("print('one') io.write('two\\n') io.stderr:write('three\\n')", LP_DONE,
       "");
  OK(host, lp_wait(host, 0, -1));
  CHECK(log.lines >= 2);
  ends("print(('x'):rep(100000)) print('a\\0b') print('\\xff')", LP_DONE, "");
  ends("for i = 1, 20000 do print(i) end io.write('no end')", LP_DONE, "");
  ends("io.write(('y'):rep(5000000))", LP_DONE, "");
  goes_on();
  guest_run(host, "print('of the', 'host', nil, 1.5)");
  SAME(log.last, "of the\thost\tnil\t1.5");
  guest_run(host, "print() print('two\\nlines') print('a\\0b')");
  lp_close(host);
}

/* Without a log nothing appears anywhere; the runner of the tests looks. */
static void printing_into_nothing(void) {
  host = guest_open();
  ends("print('one') io.stderr:write('two\\n') os.execute('echo three; "
       "echo four >&2')",
       LP_DONE, "");
  ends("warn('@on') warn('five')", LP_DONE, "");
  lp_close(host);
}

static void many_small_ones(void) {
  const struct lp_result *result;
  struct lp_stats stats = {0};
  struct lp_task task = guest_task("local n = ... return n + 1");
  struct lp_value n;
  int64_t sum = 0;
  int i, count = 0;
  host = guest_open();
  task.args = &n;
  task.count = 1;
  for (i = 0; i < 10000; i++) {
    n = lp_integer(i);
    OK(host, lp_submit(host, &task, NULL));
  }
  OK(host, lp_wait(host, 0, -1));
  for (; lp_next(host, &result) == 1; count++) {
    KIND(result, LP_DONE);
    sum += result->values[0].integer;
  }
  EQUAL(count, 10000);
  EQUAL(sum, 10000LL * 10001 / 2);
  OK(host, lp_get_stats(host, &stats, sizeof stats));
  EQUAL(stats.done, 10000);
  lp_close(host);
}

/* Waiting for nothing is over at once. */
static void none_at_all(void) {
  const struct lp_result *result;
  host = guest_open();
  EQUAL(lp_wait(host, 0, -1), LP_OK);
  EQUAL(lp_poll(host, 0), 0);
  EQUAL(lp_next(host, &result), 0);
  lp_close(host);
}

/* Worker processes belong to their own, and leave no children behind. */
static void tasks_with_children(void) {
  host = guest_open();
  ends("os.execute('sleep 1000 & sleep 1001 & true')", LP_DONE, "");
  ends("os.execute('sleep 1002 &') os.exit(1)", LP_CRASHED, "");
  goes_on();
  lp_close(host);
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"errors of any kind", errors},
      {"sudden ends", sudden_ends},
      {"tasks without end", no_end},
      {"the host's own time and retries", time_of_the_host},
      {"large arguments and results", large_results},
      {"too large", too_large},
      {"printing goes to the log", printing},
      {"printing into nothing", printing_into_nothing},
      {"many small tasks", many_small_ones},
      {"no tasks at all", none_at_all},
      {"tasks with children", tasks_with_children}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
