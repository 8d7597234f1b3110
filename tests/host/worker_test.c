/* Workers with a fake agent: what they are asked, what they say, and what
 * surrounds them. */
#define _GNU_SOURCE
#include "worker_support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

/* --- invocations --------------------------------------------------------- */

static void test_echo(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "echo hello"); /* before it is ready */
  expect(*state, id, LP__EVENT_RESPONSE, "hello");
  invoke(*state, id, "echo again");
  expect(*state, id, LP__EVENT_RESPONSE, "again");
}

static void test_one_at_a_time(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "echo 1");
  assert_int_equal(invoke_for(*state, id, "echo 2", 0), -EBUSY);
  expect(*state, id, LP__EVENT_RESPONSE, "1");
}

static void test_poll_does_not_block(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  invoke(fixture, id, "hang");
  for (int i = 0; i < 1000; i++)
    assert_null(lp__loop_next(fixture->loop, 0));
}

static void test_descriptor_tells(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  struct pollfd poll_fd = {lp__loop_fd(fixture->loop), POLLIN, 0};
  invoke(fixture, id, "echo x");
  const struct lp__event *event;
  while (!(event = lp__loop_next(fixture->loop, 0)))
    assert_int_equal(poll(&poll_fd, 1, 30000), 1);
  assert_int_equal(event->kind, LP__EVENT_RESPONSE);
}

static void test_large_responses(void **state) {
  static const char *const sizes[] = {"0", "100", "16000", "100000", "6291556"};
  int64_t id = start(*state);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    char event[32];
    snprintf(event, sizeof event, "size %s", sizes[i]);
    invoke(*state, id, event);
    const struct lp__event *response =
        expect(*state, id, LP__EVENT_RESPONSE, NULL);
    assert_int_equal(response->size, atoi(sizes[i]));
    assert_int_equal(strspn(response->bytes, "x"), response->size);
  }
}

static void test_chunked_response(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "chunked 1000000");
  assert_int_equal(expect(*state, id, LP__EVENT_RESPONSE, NULL)->size, 1000000);
}

static void test_too_large_response(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "size 6291557");
  const struct lp__event *error = expect(
      *state, id, LP__EVENT_ERROR,
      "{\"errorType\":\"Function.ResponseSizeTooLarge\",\"errorMessage\":"
      "\"Response payload size exceeded maximum allowed payload size (6291556 "
      "bytes).\"}");
  assert_string_equal(error->type, "Function.ResponseSizeTooLarge");
  invoke(*state, id, "echo ok");
  expect(*state, id, LP__EVENT_OUTPUT, "413");
  expect(*state, id, LP__EVENT_RESPONSE, "ok");
}

/* More than the socket takes at once. */
static void test_large_request(void **state) {
  size_t size = 6291456;
  char *event = malloc(size + 1);
  memset(event, 'r', size);
  memcpy(event, "echo ", 5);
  event[size] = '\0';
  int64_t id = start(*state);
  for (int i = 0; i < 3; i++) {
    invoke(*state, id, event);
    expect(*state, id, LP__EVENT_RESPONSE, event + 5);
  }
  free(event);
}

static void test_error(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "error Runtime.Oh");
  const struct lp__event *error =
      expect(*state, id, LP__EVENT_ERROR, "{\"errorMessage\":\"oh\"}");
  assert_string_equal(error->type, "Runtime.Oh");
}

static void test_second_response_is_refused(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "twice");
  expect(*state, id, LP__EVENT_RESPONSE, "first");
  const char *line = expect(*state, id, LP__EVENT_OUTPUT, NULL)->bytes;
  assert_memory_equal(line, "202 403 {\"errorMessage\":", 24);
}

static void test_wrong_id_is_refused(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "wrong");
  const char *bytes = expect(*state, id, LP__EVENT_RESPONSE, NULL)->bytes;
  assert_string_equal(bytes, "400 {\"errorMessage\":\"Invalid request ID\","
                             "\"errorType\":\"InvalidRequestID\"}");
}

static void test_many_invocations(void **state) {
  int64_t id = start(*state);
  int before = 0;
  for (int i = 0; i < 2000; i++) {
    char event[32];
    snprintf(event, sizeof event, "echo %d", i);
    invoke(*state, id, event);
    expect(*state, id, LP__EVENT_RESPONSE, event + 5);
    if (i == 0)
      before = count_descriptors();
  }
  assert_int_equal(count_descriptors(), before);
}

static void test_many_workers(void **state) {
  enum { COUNT = 64 };
  int64_t first = start(*state);
  for (int i = 1; i < COUNT; i++)
    assert_int_equal(start(*state), first + i);
  for (int i = 0; i < COUNT; i++)
    invoke(*state, first + i, "echo here");
  for (int i = 0; i < COUNT; i++) {
    const struct lp__event *event = next(*state);
    assert_int_equal(event->kind, LP__EVENT_RESPONSE);
    assert_string_equal(event->bytes, "here");
  }
}

static void test_other_calls(void **state) {
  int64_t id = start_as(*state, "ping");
  invoke(*state, id, "echo x");
  expect(*state, id, LP__EVENT_OUTPUT, "200 pong");
  expect(*state, id, LP__EVENT_OUTPUT, "404");
  expect(*state, id, LP__EVENT_RESPONSE, "x");
}

/* --- output -------------------------------------------------------------- */

static void test_output_comes_first(void **state) {
  int64_t id = start(*state);
  for (int round = 0; round < 20; round++) {
    invoke(*state, id, "print 9");
    for (int i = 1; i <= 9; i++) {
      char line[32];
      snprintf(line, sizeof line, "line %d", i);
      expect(*state, id, LP__EVENT_OUTPUT, line);
    }
    expect(*state, id, LP__EVENT_RESPONSE, "printed");
  }
}

/* Far more than a pipe holds. */
static void test_much_output(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "print 100000");
  for (int i = 1; i <= 100000; i++)
    expect(*state, id, LP__EVENT_OUTPUT, NULL);
  expect(*state, id, LP__EVENT_RESPONSE, "printed");
}

static void test_unfinished_line(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "exit 3");
  expect(*state, id, LP__EVENT_OUTPUT, "last words");
  expect_exit(*state, id, 3, 0);
}

/* --- surroundings -------------------------------------------------------- */

static void test_inherits_nothing(void **state) {
  int inherited = dup(0); /* without close-on-exec */
  int64_t id = start(*state);
  invoke(*state, id, "fds");
  expect(*state, id, LP__EVENT_RESPONSE, "0 1 2 3 4 "); /* 4: its connection */
  close(inherited);
}

static void test_environment(void **state) {
  struct fixture *fixture = *state;
  char *env[] = {"TZ=Mars", "EXTRA=a=b", NULL};
  char text[4096], folder[2048];
  struct lp__worker_config config;
  lp__worker_config_init(&config);
  config.received = received();
  config.agent = fake_agent();
  config.env = env;
  config.memory = 512;
  config.handler = "mod.f";
  int64_t id = lp__worker_start(fixture->workers, &config);
  invoke(fixture, id, "env");
  const char *bytes = expect(fixture, id, LP__EVENT_RESPONSE, NULL)->bytes;
  const char *api = strstr(bytes, "127.0.0.1:");
  assert_non_null(api);
  snprintf(text, sizeof text,
           "LAMBDA_TASK_ROOT=%s\nAWS_LAMBDA_FUNCTION_NAME=local\n"
           "AWS_LAMBDA_FUNCTION_VERSION=$LATEST\n"
           "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand\nLANG=en_US.UTF-8\n"
           "PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin\n"
           "TZ=Mars\n_HANDLER=mod.f\nAWS_LAMBDA_FUNCTION_MEMORY_SIZE=512\n"
           "EXTRA=a=b\nAWS_LAMBDA_RUNTIME_API=127.0.0.1:%d\n"
           "LAMBDAPOOL_LIFELINE=3\nLAMBDAPOOL_PROGRESS=4\n",
           getcwd(folder, sizeof folder), atoi(api + 10));
  assert_string_equal(bytes, text);
}

static void on_signal(int number) {
  (void)number;
}

/* Neither handlers nor dispositions of the host change, and its signal mask
 * does not reach the worker. */
static void test_signals(void **state) {
  struct sigaction mine = {.sa_handler = on_signal}, before[32], now;
  sigset_t set, old;
  sigaction(SIGCHLD, &mine, NULL);
  for (int number = 1; number < 32; number++)
    sigaction(number, NULL, &before[number]);
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, &old);
  int64_t id = start(*state);
  sigprocmask(SIG_SETMASK, &old, NULL);
  invoke(*state, id, "hang");
  assert_null(lp__loop_next(((struct fixture *)*state)->loop, 50));
  kill(child(), SIGTERM);
  expect_exit(*state, id, -1, SIGTERM);
  for (int number = 1; number < 32; number++) {
    sigaction(number, NULL, &now);
    assert_ptr_equal(now.sa_handler, before[number].sa_handler);
  }
  signal(SIGCHLD, SIG_DFL);
}

/* The host's other children are none of its business. */
static void test_other_children(void **state) {
  pid_t other = fork();
  if (other == 0)
    _exit(11);
  int status;
  int64_t id = start(*state);
  invoke(*state, id, "exit 0");
  expect(*state, id, LP__EVENT_OUTPUT, "last words");
  expect_exit(*state, id, 0, 0);
  assert_int_equal(waitpid(other, &status, 0), other);
  assert_int_equal(WEXITSTATUS(status), 11);
}

static int connect_to(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
    return fd;
  close(fd);
  return -1;
}

/* Others connect first, one of them sends a request. They get nothing and the
 * worker still gets its event; then the port is closed. */
static void test_stranger(void **state) {
  struct fixture *fixture = *state;
  static const char request[] =
      "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n";
  int port, pid, strangers[3];
  char byte;
  int64_t id = start_as(fixture, "wait");
  const char *line = expect(fixture, id, LP__EVENT_OUTPUT, NULL)->bytes;
  assert_int_equal(sscanf(line, "%d %d", &port, &pid), 2);
  invoke(fixture, id, "echo secret");
  for (int i = 0; i < 3; i++) {
    strangers[i] = connect_to(port);
    assert_true(strangers[i] >= 0);
  }
  assert_true(send(strangers[1], request, sizeof request - 1, 0) > 0);
  close(strangers[2]); /* this one has gone when it is looked at */
  assert_null(lp__loop_next(fixture->loop, 100));
  kill(pid, SIGUSR1);
  expect(fixture, id, LP__EVENT_RESPONSE, "secret");
  for (int i = 0; i < 2; i++) {
    assert_true(recv(strangers[i], &byte, 1, 0) <= 0);
    close(strangers[i]);
  }
  assert_int_equal(connect_to(port), -1);
}

static void test_names_of_the_host(void **state) {
  (void)state;
  assert_false(lp__worker_env_ok("AWS_LAMBDA_RUNTIME_API"));
  assert_false(lp__worker_env_ok("LAMBDAPOOL_LIFELINE"));
  assert_false(lp__worker_env_ok("LAMBDAPOOL_PROGRESS"));
  assert_true(lp__worker_env_ok("HOME"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_echo),
      TEST(test_one_at_a_time),
      TEST(test_poll_does_not_block),
      TEST(test_descriptor_tells),
      TEST(test_large_responses),
      TEST(test_chunked_response),
      TEST(test_too_large_response),
      TEST(test_large_request),
      TEST(test_error),
      TEST(test_second_response_is_refused),
      TEST(test_wrong_id_is_refused),
      TEST(test_many_invocations),
      TEST(test_many_workers),
      TEST(test_other_calls),
      TEST(test_output_comes_first),
      TEST(test_much_output),
      TEST(test_unfinished_line),
      TEST(test_inherits_nothing),
      TEST(test_environment),
      TEST(test_signals),
      TEST(test_other_children),
      TEST(test_stranger),
      cmocka_unit_test(test_names_of_the_host),
  };
  return run_worker_tests(tests);
}
