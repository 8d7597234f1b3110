/* Workers of functions: any runtime may be behind them. */
#define _GNU_SOURCE
#include "worker_support.h"

#include "function_runtimes.h"
#include "host/sandbox.h"

static const char *folder(void) {
  static char path[4096];
  const char *build = getenv("LAMBDAPOOL_BUILD");
  snprintf(path, sizeof path, "%s/tests/host", build);
  return path;
}

static int64_t start_in(struct fixture *fixture, const char *name,
                        bool isolated) {
  char variable[64], path[4200];
  char *env[] = {variable, NULL};
  struct lp__sandbox sandbox = {folder(), NULL, 16, isolated};
  struct lp__worker_config config;
  lp__worker_config_init(&config);
  snprintf(variable, sizeof variable, "RUNTIME=%s", name);
  snprintf(path, sizeof path, "%s/worker_function_test",
           isolated ? "/var/task" : folder());
  config.agent = path;
  config.env = env;
  config.lambda = &sandbox;
  int64_t id = lp__worker_start(fixture->workers, &config);
  assert_true(id > 0);
  return id;
}

/* Starts one and waits until it asks for an event. */
static int64_t start_runtime(struct fixture *fixture, const char *name) {
  int64_t id = start_in(fixture, name, false);
  expect(fixture, id, LP__EVENT_READY, "");
  return id;
}

/* `ready` may come with the outcome or after it. */
static void expect_ready(struct fixture *fixture, int64_t id,
                         const struct lp__event *outcome) {
  if (!outcome->ready)
    expect(fixture, id, LP__EVENT_READY, "");
}

static const struct lp__event *expect_response(struct fixture *fixture,
                                               int64_t id, const char *bytes) {
  const struct lp__event *event =
      expect(fixture, id, LP__EVENT_RESPONSE, bytes);
  expect_ready(fixture, id, event);
  return event;
}

static void test_echo(void **state) {
  int64_t id = start_runtime(*state, "echo");
  for (int i = 0; i < 100; i++) {
    char event[32], line[40];
    snprintf(event, sizeof event, "event %d", i);
    snprintf(line, sizeof line, "<%s>", event);
    invoke(*state, id, event);
    expect(*state, id, LP__EVENT_OUTPUT, line);
    expect_response(*state, id, event);
  }
  invoke(*state, id, "exit");
  expect_exit(*state, id, 7, 0);
}

static void test_invoked_before_ready(void **state) {
  int64_t id = start_in(*state, "each", false);
  invoke(*state, id, "early");
  expect_response(*state, id, "early");
}

static void test_connection_each(void **state) {
  int64_t id = start_runtime(*state, "each");
  int before = 0;
  for (int i = 0; i < 20; i++) {
    invoke(*state, id, "again");
    expect_response(*state, id, "again");
    if (i == 0)
      before = count_descriptors();
  }
  assert_in_range(count_descriptors(), before - 2, before + 2);
}

static void test_orphans(void **state) {
  int64_t id = start_runtime(*state, "orphans");
  for (int i = 0; i < 3; i++) {
    invoke(*state, id, "x");
    expect_response(*state, id, "from an orphan");
  }
}

static void test_two_ask(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start_runtime(fixture, "threads");
  expect(fixture, id, LP__EVENT_OUTPUT, "both");
  for (int i = 0; i < 6; i++) {
    invoke(fixture, id, "x");
    expect_response(fixture, id,
                    i % 2 == 0 ? "from connection 0" : "from connection 1");
  }
}

static void test_many_connections(void **state) {
  int64_t id = start_runtime(*state, "many");
  invoke(*state, id, "x");
  expect(*state, id, LP__EVENT_OUTPUT, "<x>");
  expect_response(*state, id, "x");
  assert_true(count_descriptors() <
              ((struct fixture *)*state)->descriptors + 30);
}

static void test_asks_again(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start_runtime(fixture, "impatient");
  assert_null(lp__loop_next(fixture->loop, 300)); /* "ready" comes once */
  for (int i = 0; i < 2; i++) {
    invoke(fixture, id, "x");
    expect(fixture, id, LP__EVENT_OUTPUT, "<x>");
    expect_response(fixture, id, "x");
  }
}

/* The event is borrowed until the outcome, no longer. */
static void test_answers_early(void **state) {
  int64_t id = start_runtime(*state, "hasty");
  for (int i = 0; i < 2; i++) {
    size_t size = 6000000;
    char *event = malloc(size + 1);
    memset(event, 'e', size);
    event[size] = '\0';
    invoke(*state, id, event);
    const struct lp__event *response =
        expect(*state, id, LP__EVENT_RESPONSE, "enough");
    free(event);
    expect_ready(*state, id, response);
  }
  invoke(*state, id, "x");
  expect(*state, id, LP__EVENT_OUTPUT, "<x>");
  expect_response(*state, id, "x");
}

static void test_refused(void **state) {
  int64_t id = start_runtime(*state, "wrong");
  invoke(*state, id, "x");
  expect_response(*state, id, "first");
  invoke(*state, id, "x");
  expect_response(*state, id, "400 403 404 202 403 403 told");
}

static void test_error(void **state) {
  int64_t id = start_runtime(*state, "error");
  invoke(*state, id, "x");
  const struct lp__event *event =
      expect(*state, id, LP__EVENT_ERROR, "{\"errorMessage\":\"oh\"}");
  assert_string_equal(event->type, "Function.Oh");
  expect_ready(*state, id, event);
}

static void test_init_error(void **state) {
  int64_t id = start_in(*state, "init error", false);
  const struct lp__event *event =
      expect(*state, id, LP__EVENT_INIT_ERROR, "{\"errorMessage\":\"no\"}");
  assert_string_equal(event->type, "Runtime.No");
  expect_exit(*state, id, 3, 0);
}

static void test_bad_mode(void **state) {
  int64_t id = start_runtime(*state, "bad mode");
  invoke(*state, id, "x");
  const struct lp__event *event = expect(*state, id, LP__EVENT_ERROR, NULL);
  assert_string_equal(event->type, "Runtime.InvalidResponseModeHeader");
}

static void test_headers(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start_runtime(fixture, "head");
  struct lp__invocation invocation = {
      "{}", 2, 12, "abc-1",
      "Lambda-Runtime-Invoked-Function-Arn: arn:x\r\n\r\n"};
  assert_int_equal(lp__worker_invoke(fixture->workers, id, &invocation, 0), 0);
  const struct lp__event *event = expect(fixture, id, LP__EVENT_RESPONSE, NULL);
  assert_non_null(strstr(event->bytes, "Request-Id: abc-1\r\n"));
  assert_non_null(strstr(event->bytes, "Deadline-Ms: 12\r\n"));
  assert_non_null(strstr(event->bytes, "Function-Arn: arn:x"));
  expect_ready(fixture, id, event);
  invoke(fixture, id, "{}");
  event = expect_response(fixture, id, NULL);
  assert_null(strstr(event->bytes, "Arn"));
}

static void test_environment(void **state) {
  int64_t id = start_runtime(*state, "env");
  invoke(*state, id, "x");
  const char *bytes = expect(*state, id, LP__EVENT_RESPONSE, NULL)->bytes;
  assert_memory_equal(bytes,
                      "RUNTIME=env\nAWS_LAMBDA_RUNTIME_API=127.0.0.1:", 45);
  assert_string_equal(strchr(bytes + 45, '\n'), "\n");
}

/* --- streams ------------------------------------------------------------- */

/* The parts of a stream until its end, which is returned. */
static const struct lp__event *collect(struct fixture *fixture, int64_t id,
                                       const char *type, char *all) {
  expect(fixture, id, LP__EVENT_STREAM, type);
  const struct lp__event *event = next(fixture);
  for (*all = '\0'; event->kind == LP__EVENT_CHUNK; event = next(fixture))
    strcat(all, event->bytes);
  assert_int_equal(event->kind, LP__EVENT_STREAM_END);
  return event;
}

static void test_stream(void **state) {
  char all[64];
  int64_t id = start_runtime(*state, "stream");
  for (int i = 0; i < 3; i++) {
    invoke(*state, id, i == 1 ? "typed" : "plain");
    const struct lp__event *end = collect(
        *state, id, i == 1 ? "text/html" : "application/octet-stream", all);
    assert_string_equal(all, "firstsecond");
    assert_string_equal(end->type, "");
    assert_int_equal(end->size, 0);
    expect_ready(*state, id, end);
  }
}

static void test_stream_fails(void **state) {
  char all[64];
  int64_t id = start_runtime(*state, "stream");
  invoke(*state, id, "fails");
  const struct lp__event *end =
      collect(*state, id, "application/octet-stream", all);
  assert_string_equal(all, "first");
  assert_string_equal(end->type, "Runtime.Late");
  assert_string_equal(end->bytes, "{\"error\":1}");
  expect_ready(*state, id, end);
}

static void test_stream_is_cut(void **state) {
  char all[64];
  int64_t id = start_runtime(*state, "stream");
  invoke(*state, id, "cut");
  const struct lp__event *end =
      collect(*state, id, "application/octet-stream", all);
  assert_string_equal(end->type, "Runtime.TruncatedResponse");
  expect_ready(*state, id, end);
  invoke(*state, id, "exit");
  end = collect(*state, id, "application/octet-stream", all);
  assert_string_equal(end->type, "Runtime.TruncatedResponse");
  expect_exit(*state, id, 5, 0);
}

static void test_stream_takes_too_long(void **state) {
  int64_t id = start_runtime(*state, "stream");
  assert_int_equal(invoke_for(*state, id, "hang", 300), 0);
  expect(*state, id, LP__EVENT_STREAM, NULL);
  expect(*state, id, LP__EVENT_CHUNK, "first");
  expect(*state, id, LP__EVENT_TIMEOUT, "");
  expect_killed(*state, id);
}

/* While it is paused, no more comes than was on the way already. */
static void test_pause(void **state) {
  struct fixture *fixture = *state;
  size_t size = 0;
  int64_t id = start_runtime(fixture, "stream");
  invoke(fixture, id, "much");
  expect(fixture, id, LP__EVENT_STREAM, NULL);
  assert_true(lp__worker_pause(fixture->workers, id, true));
  const struct lp__event *event;
  while ((event = lp__loop_next(fixture->loop, 200))) {
    assert_int_equal(event->kind, LP__EVENT_CHUNK);
    size += event->size;
    lp__loop_drop(fixture->loop);
  }
  assert_true(size < 5000000);
  lp__worker_pause(fixture->workers, id, false);
  while ((event = next(fixture))->kind == LP__EVENT_CHUNK)
    size += event->size;
  assert_int_equal(event->kind, LP__EVENT_STREAM_END);
  assert_int_equal(size, 10000000 + 11);
}

/* --- limits and strangers ------------------------------------------------ */

/* The limit counts until it asks for the next event. */
static void test_stays_too_long(void **state) {
  int64_t id = start_runtime(*state, "stays");
  assert_int_equal(invoke_for(*state, id, "x", 300), 0);
  expect(*state, id, LP__EVENT_RESPONSE, "done");
  expect(*state, id, LP__EVENT_OUTPUT, "still here");
  expect(*state, id, LP__EVENT_TIMEOUT, "");
  expect_killed(*state, id);
}

static void test_memory(void **state) {
  struct fixture *fixture = *state;
  uint64_t now, peak;
  int64_t id = start_runtime(fixture, "memory");
  assert_true(lp__worker_memory(fixture->workers, id, &now, &peak));
  assert_true(now >= 64 << 20 && now < 1024 << 20);
  assert_true(peak >= now);
  assert_false(lp__worker_memory(fixture->workers, id + 1, &now, &peak));
}

static int port_of_worker(void) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d/environ", (int)child());
  FILE *file = fopen(path, "r");
  size_t size = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[size] = '\0';
  char *api = memmem(text, size, "127.0.0.1:", 10);
  assert_non_null(api);
  return atoi(api + 10);
}

/* Others get nothing, and disturb nothing. */
static void test_stranger(void **state) {
  struct fixture *fixture = *state;
  static const char text[] = "GET " API "invocation/next HTTP/1.1\r\n\r\n";
  char byte;
  int64_t id = start_runtime(fixture, "echo");
  int fd = dial(port_of_worker());
  say_text(fd, text);
  invoke(fixture, id, "secret");
  expect(fixture, id, LP__EVENT_OUTPUT, "<secret>");
  expect_response(fixture, id, "secret");
  assert_null(lp__loop_next(fixture->loop, 50));
  assert_true(recv(fd, &byte, 1, 0) <= 0);
  close(fd);
}

static void test_isolated(void **state) {
  static const char *const names[] = {"each", "orphans", "stream", "memory"};
  if (!lp__sandbox_probe())
    return;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    struct fixture *fixture = *state;
    uint64_t now, peak;
    int64_t id = start_in(fixture, names[i], true);
    expect(fixture, id, LP__EVENT_READY, "");
    assert_true(lp__worker_memory(fixture->workers, id, &now, &peak));
    if (i == 3)
      assert_true(now >= 64 << 20);
    invoke(fixture, id, "x");
    const struct lp__event *event = next(fixture);
    while (event->kind == LP__EVENT_CHUNK || event->kind == LP__EVENT_STREAM ||
           event->kind == LP__EVENT_OUTPUT)
      event = next(fixture);
    assert_int_equal(event->kind,
                     i == 2 ? LP__EVENT_STREAM_END : LP__EVENT_RESPONSE);
    expect_ready(fixture, id, event);
    lp__worker_kill(fixture->workers, id);
    event = next(fixture);
    while (event->kind == LP__EVENT_READY || event->kind == LP__EVENT_OUTPUT)
      event = next(fixture);
    assert_int_equal(event->kind, LP__EVENT_EXIT);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_echo),
      TEST(test_invoked_before_ready),
      TEST(test_connection_each),
      TEST(test_orphans),
      TEST(test_two_ask),
      TEST(test_many_connections),
      TEST(test_asks_again),
      TEST(test_answers_early),
      TEST(test_refused),
      TEST(test_error),
      TEST(test_init_error),
      TEST(test_bad_mode),
      TEST(test_headers),
      TEST(test_environment),
      TEST(test_stream),
      TEST(test_stream_fails),
      TEST(test_stream_is_cut),
      TEST(test_stream_takes_too_long),
      TEST(test_pause),
      TEST(test_stays_too_long),
      TEST(test_memory),
      TEST(test_stranger),
      TEST(test_isolated),
  };
  if (getenv("RUNTIME"))
    be_runtime(getenv("RUNTIME"));
  if (is_valgrind()) { /* it does not know how sandboxes are made */
    puts("1..0 # SKIP valgrind");
    return 0;
  }
  return run_worker_tests(tests);
}
