/* Workers of functions: any runtime may be behind them. The runtimes are this
 * program itself, started with RUNTIME=name in its environment. */
#define _GNU_SOURCE
#include "worker_support.h"

#include "host/sandbox.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define API "/2018-06-01/runtime/"

/* --- what runtimes are made of ------------------------------------------- */

struct reply {
  int status;
  char id[65];
  char *body;
  char text[64 * 1024];
};

static int dial(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
    _exit(90);
  return fd;
}

static int port_of_api(void) {
  const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
  return api && strncmp(api, "127.0.0.1:", 10) == 0 ? atoi(api + 10) : 0;
}

static void say(int fd, const char *text, size_t size) {
  while (size > 0) {
    ssize_t sent = send(fd, text, size, MSG_NOSIGNAL);
    if (sent < 0)
      _exit(91);
    text += sent;
    size -= (size_t)sent;
  }
}

static void say_text(int fd, const char *text) {
  say(fd, text, strlen(text));
}

/* Reads one answer. Status 0 when the connection ends before. */
static struct reply *hear(int fd) {
  static struct reply reply;
  size_t used = 0, wanted = SIZE_MAX;
  memset(&reply, 0, sizeof reply);
  while (used < wanted && used < sizeof reply.text - 1) {
    ssize_t size = recv(fd, reply.text + used, sizeof reply.text - 1 - used, 0);
    if (size <= 0)
      return &reply;
    used += (size_t)size;
    reply.body = strstr(reply.text, "\r\n\r\n");
    const char *length = strcasestr(reply.text, "content-length: ");
    if (reply.body && length)
      wanted =
          (size_t)(reply.body + 4 - reply.text) + (size_t)atoi(length + 16);
  }
  const char *id = strcasestr(reply.text, "request-id: ");
  if (id)
    sscanf(id + 12, "%64[^\r]", reply.id);
  *reply.body = '\0';
  reply.body += 4;
  reply.status = atoi(reply.text + 9);
  return &reply;
}

static struct reply *next_event(int fd) {
  static const char text[] = "GET " API "invocation/next HTTP/1.1\r\n"
                             "Host: x\r\n\r\n";
  say_text(fd, text);
  return hear(fd);
}

static struct reply *post(int fd, const char *path, const char *headers,
                          const char *body) {
  static char text[64 * 1024];
  int size = snprintf(text, sizeof text,
                      "POST " API "%s HTTP/1.1\r\nHost: x\r\n%s"
                      "Content-Length: %zu\r\n\r\n%s",
                      path, headers, strlen(body), body);
  say(fd, text, (size_t)size);
  return hear(fd);
}

static struct reply *respond(int fd, const char *id, const char *body) {
  char path[128];
  snprintf(path, sizeof path, "invocation/%s/response", id);
  return post(fd, path, "", body);
}

/* Begins a streamed response. */
static void stream(int fd, const char *id, const char *headers) {
  char text[1024];
  int size = snprintf(text, sizeof text,
                      "POST " API "invocation/%s/response HTTP/1.1\r\n"
                      "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
                      "Transfer-Encoding: chunked\r\n%s\r\n",
                      id, headers);
  say(fd, text, (size_t)size);
}

/* --- runtimes ------------------------------------------------------------ */

/* Answers with what it was asked, for ever. */
static void echo(int fd) {
  for (;;) {
    struct reply *event = next_event(fd);
    if (event->status != 200)
      _exit(92);
    if (strcmp(event->body, "exit") == 0)
      _exit(7);
    char id[65], body[1024];
    strcpy(id, event->id);
    snprintf(body, sizeof body, "%s", event->body);
    printf("<%s>\n", body);
    fflush(stdout);
    if (respond(fd, id, body)->status != 202)
      _exit(93);
  }
}

static void run_echo(void) {
  echo(dial(port_of_api()));
}

/* A new connection for each request, as urllib makes them. */
static void run_each(void) {
  for (;;) {
    static const char text[] = "GET " API "invocation/next HTTP/1.1\r\n"
                               "Connection: close\r\n\r\n";
    char id[65], path[128], body[1024], byte;
    int fd = dial(port_of_api());
    say_text(fd, text);
    struct reply *event = hear(fd);
    if (!strstr(event->text, "Connection: close\r\n") ||
        recv(fd, &byte, 1, 0) != 0) /* it is closed */
      _exit(94);
    close(fd);
    strcpy(id, event->id);
    strcpy(body, event->body);
    snprintf(path, sizeof path, "invocation/%s/response", id);
    fd = dial(port_of_api());
    if (post(fd, path, "Connection: close\r\n", body)->status != 202)
      _exit(95);
    close(fd);
  }
}

/* A child process for each invocation, which outlives its parent. */
static void run_orphans(void) {
  for (;;) {
    int done[2];
    char byte;
    if (pipe(done) < 0)
      _exit(96);
    if (fork() == 0) {
      if (fork() > 0)
        _exit(0);
      usleep(20000); /* its parent has ended by then */
      int fd = dial(port_of_api());
      struct reply *event = next_event(fd);
      char id[65];
      strcpy(id, event->id);
      respond(fd, id, "from an orphan");
      _exit(0);
    }
    close(done[1]);
    if (read(done[0], &byte, 1) != 0)
      _exit(97);
    close(done[0]);
    while (waitpid(-1, NULL, 0) > 0)
      ;
  }
}

/* Asks on two connections and answers on a third. */
static void run_threads(void) {
  static const char text[] = "GET " API "invocation/next HTTP/1.1\r\n\r\n";
  int asking[2] = {dial(port_of_api()), dial(port_of_api())};
  for (int i = 0; i < 2; i++) { /* both are let in */
    say_text(asking[i], "GET /2018-06-01/ping HTTP/1.1\r\n\r\n");
    hear(asking[i]);
  }
  say_text(asking[0], text);
  usleep(50000); /* so that it has asked first */
  say_text(asking[1], text);
  puts("both");
  fflush(stdout);
  for (int turn = 0;; turn = !turn) {
    char id[65], body[64];
    strcpy(id, hear(asking[turn])->id);
    snprintf(body, sizeof body, "from connection %d", turn);
    int fd = dial(port_of_api());
    if (respond(fd, id, body)->status != 202)
      _exit(98);
    close(fd);
    say_text(asking[turn], text);
  }
}

/* More connections than there may be; and what is not HTTP. */
static void run_many(void) {
  int port = port_of_api();
  int bad = dial(port);
  say_text(bad, "nonsense\r\n\r\n");
  if (hear(bad)->status != 0)
    _exit(99);
  for (int i = 0; i < 40; i++)
    dial(port);
  echo(dial(port));
}

/* What must be refused, and how. */
static void run_wrong(void) {
  int fd = dial(port_of_api()), codes[8], n = 0;
  char id[65], body[512], path[128];
  strcpy(id, next_event(fd)->id);
  codes[n++] = respond(fd, "other", "x")->status;
  codes[n++] = post(fd, "init/error", "", "{}")->status;
  codes[n++] = post(fd, "nothing", "", "")->status;
  snprintf(path, sizeof path, "invocation/%s/error", id);
  codes[n++] = respond(fd, id, "first")->status;
  codes[n++] = respond(fd, id, "second")->status;
  struct reply *late = post(fd, path, "", "{}");
  codes[n++] = late->status;
  snprintf(body, sizeof body, "%d %d %d %d %d %d %s", codes[0], codes[1],
           codes[2], codes[3], codes[4], codes[5],
           strstr(late->body, "InvocationErrorResponse") ? "told" : late->body);
  strcpy(id, next_event(fd)->id);
  respond(fd, id, body);
  next_event(fd);
}

static void run_error(void) {
  int fd = dial(port_of_api());
  char path[128];
  snprintf(path, sizeof path, "invocation/%s/error", next_event(fd)->id);
  post(fd, path, "Lambda-Runtime-Function-Error-Type: Function.Oh\r\n",
       "{\"errorMessage\":\"oh\"}");
  next_event(fd);
}

static void run_init_error(void) {
  int fd = dial(port_of_api());
  post(fd, "init/error", "Lambda-Runtime-Function-Error-Type: Runtime.No\r\n",
       "{\"errorMessage\":\"no\"}");
  _exit(3);
}

static void run_bad_mode(void) {
  int fd = dial(port_of_api());
  char path[128];
  snprintf(path, sizeof path, "invocation/%s/response", next_event(fd)->id);
  post(fd, path, "Lambda-Runtime-Function-Response-Mode: slow\r\n", "x");
  next_event(fd);
}

static void run_head(void) {
  int fd = dial(port_of_api());
  for (;;) {
    struct reply *event = next_event(fd);
    char id[65], text[sizeof event->text];
    strcpy(id, event->id);
    memcpy(text, event->text, sizeof text);
    respond(fd, id, text);
  }
}

/* 10,000,000 bytes. */
static void say_much(int fd) {
  static char text[100032];
  int size = snprintf(text, sizeof text, "186a0\r\n%0100000d\r\n", 0);
  for (int i = 0; i < 100; i++)
    say(fd, text, (size_t)size);
}

/* Does not wait long for an event, nor read the first one it is given. */
static void run_impatient(void) {
  for (int i = 0; i < 5; i++) {
    int fd = dial(port_of_api());
    say_text(fd, "GET " API "invocation/next HTTP/1.1\r\n\r\n");
    usleep(20000);
    close(fd);
  }
  int fd = dial(port_of_api());
  say_text(fd, "GET " API "invocation/next HTTP/1.1\r\n\r\n");
  if (poll(&(struct pollfd){fd, POLLIN, 0}, 1, -1) != 1)
    _exit(99);
  close(fd);
  run_echo();
}

/* Answers before it has read the event, on another connection. */
static void run_hasty(void) {
  for (int i = 0; i < 2; i++) {
    char text[512], *id, byte;
    int fd = dial(port_of_api()), other = dial(port_of_api());
    say_text(fd, "GET " API "invocation/next HTTP/1.1\r\n\r\n");
    ssize_t size = recv(fd, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    if (!(id = strstr(text, "Request-Id: ")))
      _exit(99);
    id[12 + strcspn(id + 12, "\r")] = '\0';
    if (respond(other, id + 12, "enough")->status != 202)
      _exit(98);
    while (recv(fd, &byte, 1, 0) > 0) /* the event is cut off */
      ;
    close(fd);
    close(other);
  }
  run_echo();
}

/* Streams as its event says. */
static void run_stream(void) {
  int fd = dial(port_of_api());
  for (;;) {
    struct reply *event = next_event(fd);
    char id[65], what[64];
    strcpy(id, event->id);
    snprintf(what, sizeof what, "%s", event->body);
    stream(fd, id,
           strcmp(what, "typed") == 0 ? "Content-Type: text/html\r\n" : "");
    say_text(fd, "5\r\nfirst\r\n");
    if (strcmp(what, "exit") == 0)
      _exit(5);
    if (strcmp(what, "hang") == 0)
      pause();
    if (strcmp(what, "cut") == 0) {
      close(fd);
      fd = dial(port_of_api());
      continue;
    }
    if (strcmp(what, "much") == 0)
      say_much(fd);
    say_text(fd, strcmp(what, "fails") == 0
                     ? "0\r\n"
                       "Lambda-Runtime-Function-Error-Type: Runtime.Late\r\n"
                       "Lambda-Runtime-Function-Error-Body: eyJlcnJvciI6MX0="
                       "\r\n\r\n"
                     : "6\r\nsecond\r\n0\r\n\r\n");
    if (hear(fd)->status != 202)
      _exit(98);
  }
}

/* Does not ask for the next event. */
static void run_stays(void) {
  int fd = dial(port_of_api());
  char id[65];
  strcpy(id, next_event(fd)->id);
  respond(fd, id, "done");
  printf("still here\n");
  fflush(stdout);
  pause();
}

static void run_env(void) {
  extern char **environ;
  int fd = dial(port_of_api());
  char id[65], text[4096] = "";
  strcpy(id, next_event(fd)->id);
  for (char **item = environ; *item; item++)
    strcat(strcat(text, *item), "\n");
  respond(fd, id, text);
  next_event(fd);
}

/* Its child has the memory. */
static void run_memory(void) {
  size_t size = 64 << 20;
  int ready[2];
  char byte;
  if (pipe(ready) < 0)
    _exit(96);
  if (fork() == 0) {
    char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(bytes, 1, size);
    close(ready[1]);
    pause();
  }
  close(ready[1]);
  if (read(ready[0], &byte, 1) == 0)
    run_echo();
}

static void be_runtime(const char *name) {
  static const struct {
    const char *name;
    void (*run)(void);
  } runtimes[] = {{"echo", run_echo},
                  {"each", run_each},
                  {"orphans", run_orphans},
                  {"threads", run_threads},
                  {"many", run_many},
                  {"wrong", run_wrong},
                  {"error", run_error},
                  {"init error", run_init_error},
                  {"bad mode", run_bad_mode},
                  {"head", run_head},
                  {"stream", run_stream},
                  {"stays", run_stays},
                  {"env", run_env},
                  {"memory", run_memory},
                  {"impatient", run_impatient},
                  {"hasty", run_hasty}};
  for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++)
    if (strcmp(runtimes[i].name, name) == 0)
      runtimes[i].run();
  _exit(9);
}

/* --- the host's side ----------------------------------------------------- */

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
