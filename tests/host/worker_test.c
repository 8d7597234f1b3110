/* Workers with a fake agent: every way in which one can end, and nothing left
 * behind. Each test fails if it leaves a descriptor or a child. */
#define _GNU_SOURCE
#include "host/worker.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { KILL_MS = 20000 }; /* also under valgrind never reached by accident */

struct fixture {
  struct lp__loop *loop;
  struct lp__workers *workers;
  int descriptors;
  struct rlimit limit; /* as it was */
};

static int count_descriptors(void) {
  DIR *folder = opendir("/proc/self/fd");
  int count = -1; /* the folder itself */
  struct dirent *entry;
  while ((entry = readdir(folder)))
    count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

static int open_workers(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  fixture->descriptors = count_descriptors();
  getrlimit(RLIMIT_NOFILE, &fixture->limit);
  *state = fixture;
  if (lp__loop_open(&fixture->loop) < 0)
    return -1;
  return lp__workers_open(&fixture->workers, fixture->loop);
}

static int close_workers(void **state) {
  struct fixture *fixture = *state;
  setrlimit(RLIMIT_NOFILE, &fixture->limit);
  lp__workers_close(fixture->workers);
  lp__loop_close(fixture->loop);
  int left = count_descriptors() - fixture->descriptors;
  bool childless = waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
  free(fixture);
  if (left != 0)
    print_error("%d descriptors are left\n", left);
  if (!childless)
    print_error("a child is left\n");
  return left == 0 && childless ? 0 : -1;
}

static const char *fake_agent(void) {
  static char path[4096];
  const char *build = getenv("LAMBDAPOOL_BUILD");
  snprintf(path, sizeof path, "%s/tests/fake_agent", build ? build : "build");
  return path;
}

static int64_t start_agent(struct fixture *fixture, const char *path,
                           const char *how) {
  char variable[64];
  char *env[] = {variable, NULL};
  struct lp__worker_config config;
  lp__worker_config_init(&config);
  snprintf(variable, sizeof variable, "FAKE_START=%s", how);
  config.agent = path;
  config.env = env;
  return lp__worker_start(fixture->workers, &config);
}

static int64_t start_as(struct fixture *fixture, const char *how) {
  int64_t id = start_agent(fixture, fake_agent(), how);
  assert_true(id > 0);
  return id;
}

static int64_t start(struct fixture *fixture) {
  return start_as(fixture, "");
}

static int invoke_for(struct fixture *fixture, int64_t id, const char *event,
                      uint64_t kill_ms) {
  struct lp__invocation invocation = {event, strlen(event), 1, ""};
  return lp__worker_invoke(fixture->workers, id, &invocation, kill_ms);
}

static void invoke(struct fixture *fixture, int64_t id, const char *event) {
  assert_int_equal(invoke_for(fixture, id, event, KILL_MS), 0);
}

/* The next event, a copy with the bytes ended by a zero; valid until the next
 * call. */
static const struct lp__event *next(struct fixture *fixture) {
  static char bytes[8 * 1024 * 1024];
  static struct lp__event copy;
  const struct lp__event *event = lp__loop_next(fixture->loop, 60000);
  assert_non_null(event);
  copy = *event;
  if (event->size > 0)
    memcpy(bytes, event->bytes, event->size);
  bytes[event->size] = '\0';
  copy.bytes = bytes;
  lp__loop_drop(fixture->loop);
  return &copy;
}

static const struct lp__event *expect(struct fixture *fixture, int64_t id,
                                      enum lp__event_kind kind,
                                      const char *bytes) {
  const struct lp__event *event = next(fixture);
  if (event->kind != kind)
    fail_msg("event %d instead of %d: %s", event->kind, kind, event->bytes);
  assert_int_equal(event->id, id);
  if (bytes)
    assert_string_equal(event->bytes, bytes);
  return event;
}

static void expect_exit(struct fixture *fixture, int64_t id, int code,
                        int signal) {
  const struct lp__event *event = expect(fixture, id, LP__EVENT_EXIT, NULL);
  assert_int_equal(event->code, code);
  assert_int_equal(event->signal, signal);
  assert_null(lp__loop_next(fixture->loop, 0));
  assert_int_equal(invoke_for(fixture, id, "echo x", 0), -ESRCH);
  assert_false(lp__worker_kill(fixture->workers, id));
}

static void expect_killed(struct fixture *fixture, int64_t id) {
  expect_exit(fixture, id, -1, SIGKILL);
}

/* The only child of this process. */
static pid_t child(void) {
  char path[64];
  int pid = 0;
  snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
  FILE *file = fopen(path, "r");
  assert_int_equal(fscanf(file, "%d", &pid), 1);
  fclose(file);
  return pid;
}

/* True once process `pid` is gone or a zombie that init has yet to reap. */
static bool is_gone(pid_t pid) {
  char path[64], state = 'X';
  for (int i = 0; i < 3000; i++) {
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
      return true;
    int fields = fscanf(file, "%*d (%*[^)]) %c", &state);
    fclose(file);
    if (fields != 1 || state == 'Z' || state == 'X')
      return true;
    usleep(1000);
  }
  return false;
}

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

/* --- the end of a worker ------------------------------------------------- */

static void test_crash(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "crash");
  expect_exit(*state, id, -1, SIGSEGV);
}

static void test_killed_while_idle(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "echo x");
  expect(*state, id, LP__EVENT_RESPONSE, "x");
  kill(child(), SIGKILL);
  expect_killed(*state, id);
}

static void test_killed_while_running(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  invoke(fixture, id, "hang");
  assert_null(lp__loop_next(fixture->loop, 50));
  kill(child(), SIGKILL);
  expect_killed(fixture, id);
}

static void test_kill(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  invoke(fixture, id, "hang");
  assert_true(lp__worker_kill(fixture->workers, id));
  assert_int_equal(invoke_for(fixture, id, "echo x", 0), -ESRCH);
  assert_true(lp__worker_kill(fixture->workers, id));
  expect_killed(fixture, id);
}

static void test_timeout(void **state) {
  int64_t id = start(*state);
  assert_int_equal(invoke_for(*state, id, "hang", 30), 0);
  expect(*state, id, LP__EVENT_TIMEOUT, "");
  expect_killed(*state, id);
}

static void test_never_connects(void **state) {
  int64_t id = start_as(*state, "never");
  assert_int_equal(invoke_for(*state, id, "echo x", 30), 0);
  expect(*state, id, LP__EVENT_TIMEOUT, "");
  expect_killed(*state, id);
}

/* The limit counts until the answer, not until somebody looks. */
static void test_answer_in_time(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  invoke(fixture, id, "echo ready");
  expect(fixture, id, LP__EVENT_RESPONSE, "ready");
  assert_null(lp__loop_next(fixture->loop, 200)); /* its /next has come */
  assert_int_equal(invoke_for(fixture, id, "echo x", 500), 0);
  usleep(1000000);
  expect(fixture, id, LP__EVENT_RESPONSE, "x");
  assert_null(lp__loop_next(fixture->loop, 0));
}

/* The time that libuv remembers may be old when a limit is set. */
static void test_limit_counts_from_now(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "echo ready");
  expect(*state, id, LP__EVENT_RESPONSE, "ready");
  usleep(700000);
  assert_int_equal(invoke_for(*state, id, "echo x", 600), 0);
  expect(*state, id, LP__EVENT_RESPONSE, "x");
}

static void test_exits_early(void **state) {
  int64_t id = start_as(*state, "exit");
  invoke(*state, id, "echo x");
  expect_exit(*state, id, 7, 0);
}

static void test_init_error(void **state) {
  int64_t id = start_as(*state, "init");
  invoke(*state, id, "echo x");
  expect(*state, id, LP__EVENT_OUTPUT, "starting");
  const struct lp__event *error =
      expect(*state, id, LP__EVENT_INIT_ERROR, "{\"errorMessage\":\"no\"}");
  assert_string_equal(error->type, "Runtime.InitError");
  assert_int_equal(invoke_for(*state, id, "echo x", 0), -ESRCH);
  expect_exit(*state, id, 3, 0);
}

static void test_half_a_response(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "half");
  expect_exit(*state, id, 0, 0);
}

static void test_response_then_end(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "last words");
  expect(*state, id, LP__EVENT_OUTPUT, "before the last");
  expect(*state, id, LP__EVENT_RESPONSE, "words");
  expect_exit(*state, id, 5, 0);
}

static void test_garbage(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "garbage");
  expect_killed(*state, id);
}

static void test_garbage_at_once(void **state) {
  int64_t id = start_as(*state, "garbage");
  expect_killed(*state, id);
}

static void test_endless_header(void **state) {
  int64_t id = start_as(*state, "long");
  const struct lp__event *event = expect(*state, id, LP__EVENT_EXIT, NULL);
  assert_string_equal(event->reason, "it sent what is not a request");
}

static void test_closes_and_lives(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "close");
  expect_killed(*state, id);
}

static void test_other_calls(void **state) {
  int64_t id = start_as(*state, "ping");
  invoke(*state, id, "echo x");
  expect(*state, id, LP__EVENT_OUTPUT, "200 pong");
  expect(*state, id, LP__EVENT_OUTPUT, "404");
  expect(*state, id, LP__EVENT_RESPONSE, "x");
}

/* valgrind keeps the failure of an exec and the limit of descriptors from the
 * program, so what depends on them is not asked there. */
static bool is_valgrind(void) {
  const char *preloaded = getenv("LD_PRELOAD");
  return preloaded && strstr(preloaded, "valgrind");
}

static void test_missing_agent(void **state) {
  if (is_valgrind())
    return;
  assert_int_equal(start_agent(*state, "/missing/agent", ""), -ENOENT);
  assert_int_equal(start_agent(*state, "/etc/passwd", ""), -EACCES);
  assert_int_equal(start_agent(*state, "/", ""), -EACCES);
}

/* Every number of free descriptors from none to enough. */
static void test_too_few_descriptors(void **state) {
  struct fixture *fixture = *state;
  struct rlimit low = fixture->limit;
  int started = 0;
  if (is_valgrind())
    return;
  for (int free_ones = 0; free_ones < 12; free_ones++) {
    low.rlim_cur = (rlim_t)(count_descriptors() + free_ones);
    setrlimit(RLIMIT_NOFILE, &low);
    int64_t id = start_agent(fixture, fake_agent(), "");
    if (id > 0) {
      invoke(fixture, id, "echo x");
      const struct lp__event *event = next(fixture);
      started += event->kind == LP__EVENT_RESPONSE;
      if (event->kind == LP__EVENT_RESPONSE)
        lp__worker_kill(fixture->workers, id);
      if (event->kind != LP__EVENT_EXIT)
        expect_killed(fixture, id);
    } else {
      assert_int_equal(id, -EMFILE);
    }
    setrlimit(RLIMIT_NOFILE, &fixture->limit);
  }
  assert_in_range(started, 1, 11);
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

/* Somebody else reaped the worker: the exit event comes all the same. */
static void test_reaped_elsewhere(void **state) {
  int64_t id = start_as(*state, "never");
  pid_t pid = child();
  kill(pid, SIGKILL);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
  expect_exit(*state, id, -1, -1);
}

static void test_grandchild_ends_with_worker(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "fork");
  pid_t grandchild = atoi(expect(*state, id, LP__EVENT_RESPONSE, NULL)->bytes);
  assert_true(grandchild > 1);
  assert_int_equal(kill(grandchild, 0), 0);
  kill(child(), SIGKILL);
  expect_killed(*state, id);
  assert_true(is_gone(grandchild));
}

static void test_close_ends_everything(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  invoke(fixture, id, "fork");
  pid_t grandchild = atoi(expect(fixture, id, LP__EVENT_RESPONSE, NULL)->bytes);
  start_as(fixture, "never");
  invoke(fixture, id, "hang");
  lp__workers_close(fixture->workers);
  fixture->workers = NULL;
  assert_true(is_gone(grandchild));
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* A host of its own: starts two workers, one idle and one running, tells their
 * pids and a grandchild's, and waits to be killed. */
static void be_host(int pipe_fd) {
  struct fixture *fixture;
  int pids[3];
  if (open_workers((void **)&fixture) < 0)
    _exit(1);
  int64_t first = start(fixture);
  pids[0] = child();
  invoke(fixture, first, "fork");
  pids[1] = atoi(expect(fixture, first, LP__EVENT_RESPONSE, NULL)->bytes);
  int64_t second = start(fixture);
  invoke(fixture, second, "env");
  expect(fixture, second, LP__EVENT_RESPONSE, NULL);
  invoke(fixture, second, "fork");
  pids[2] = atoi(expect(fixture, second, LP__EVENT_RESPONSE, NULL)->bytes);
  invoke(fixture, second, "hang");
  if (write(pipe_fd, pids, sizeof pids) != sizeof pids)
    _exit(1);
  lp__loop_next(fixture->loop, -1);
  _exit(1);
}

static void test_killed_host(void **state) {
  (void)state;
  int ends[2], pids[3];
  assert_int_equal(pipe(ends), 0);
  pid_t host = fork();
  if (host == 0)
    be_host(ends[1]);
  close(ends[1]);
  assert_int_equal(read(ends[0], pids, sizeof pids), sizeof pids);
  kill(host, SIGKILL);
  waitpid(host, NULL, 0);
  for (int i = 0; i < 3; i++)
    assert_true(is_gone(pids[i]));
  close(ends[0]);
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

#define TEST(name)                                                             \
  cmocka_unit_test_setup_teardown(name, open_workers, close_workers)

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
      TEST(test_output_comes_first),
      TEST(test_much_output),
      TEST(test_unfinished_line),
      TEST(test_crash),
      TEST(test_killed_while_idle),
      TEST(test_killed_while_running),
      TEST(test_kill),
      TEST(test_timeout),
      TEST(test_never_connects),
      TEST(test_answer_in_time),
      TEST(test_limit_counts_from_now),
      TEST(test_exits_early),
      TEST(test_init_error),
      TEST(test_half_a_response),
      TEST(test_response_then_end),
      TEST(test_garbage),
      TEST(test_garbage_at_once),
      TEST(test_endless_header),
      TEST(test_closes_and_lives),
      TEST(test_other_calls),
      TEST(test_missing_agent),
      TEST(test_too_few_descriptors),
      TEST(test_inherits_nothing),
      TEST(test_environment),
      TEST(test_signals),
      TEST(test_other_children),
      TEST(test_reaped_elsewhere),
      TEST(test_grandchild_ends_with_worker),
      TEST(test_close_ends_everything),
      TEST(test_killed_host),
      TEST(test_stranger),
      cmocka_unit_test(test_names_of_the_host),
  };
  struct lp__loop *loop; /* what libuv keeps for good is no leak */
  if (lp__loop_open(&loop) == 0)
    lp__loop_close(loop);
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
