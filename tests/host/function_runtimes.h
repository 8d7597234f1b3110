/* Runtimes as they may be behind the workers of functions: the program of
 * worker_function_test.c itself, started with RUNTIME=name in its environment,
 * runs one of these and nothing else. Their exit codes from 90 on say that the
 * host did not answer as it should. */
#ifndef LP_FUNCTION_RUNTIMES_H
#define LP_FUNCTION_RUNTIMES_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define API "/2018-06-01/runtime/"

/* --- what runtimes are made of ------------------------------------------- */

struct reply {
  int status;
  char id[65];
  char *body;
  char text[64 * 1024];
};

static inline int dial(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
    _exit(90);
  return fd;
}

static inline int port_of_api(void) {
  const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
  return api && strncmp(api, "127.0.0.1:", 10) == 0 ? atoi(api + 10) : 0;
}

static inline void say(int fd, const char *text, size_t size) {
  while (size > 0) {
    ssize_t sent = send(fd, text, size, MSG_NOSIGNAL);
    if (sent < 0)
      _exit(91);
    text += sent;
    size -= (size_t)sent;
  }
}

static inline void say_text(int fd, const char *text) {
  say(fd, text, strlen(text));
}

/* Reads one answer. Status 0 when the connection ends before. */
static inline struct reply *hear(int fd) {
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

static inline struct reply *next_event(int fd) {
  static const char text[] = "GET " API "invocation/next HTTP/1.1\r\n"
                             "Host: x\r\n\r\n";
  say_text(fd, text);
  return hear(fd);
}

static inline struct reply *post(int fd, const char *path, const char *headers,
                                 const char *body) {
  static char text[64 * 1024];
  int size = snprintf(text, sizeof text,
                      "POST " API "%s HTTP/1.1\r\nHost: x\r\n%s"
                      "Content-Length: %zu\r\n\r\n%s",
                      path, headers, strlen(body), body);
  say(fd, text, (size_t)size);
  return hear(fd);
}

static inline struct reply *respond(int fd, const char *id, const char *body) {
  char path[128];
  snprintf(path, sizeof path, "invocation/%s/response", id);
  return post(fd, path, "", body);
}

/* Begins a streamed response. */
static inline void stream(int fd, const char *id, const char *headers) {
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
static inline void echo(int fd) {
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

static inline void run_echo(void) {
  echo(dial(port_of_api()));
}

/* A new connection for each request, as urllib makes them. */
static inline void run_each(void) {
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
static inline void run_orphans(void) {
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
static inline void run_threads(void) {
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
static inline void run_many(void) {
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
static inline void run_wrong(void) {
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

static inline void run_error(void) {
  int fd = dial(port_of_api());
  char path[128];
  snprintf(path, sizeof path, "invocation/%.64s/error", next_event(fd)->id);
  post(fd, path, "Lambda-Runtime-Function-Error-Type: Function.Oh\r\n",
       "{\"errorMessage\":\"oh\"}");
  next_event(fd);
}

static inline void run_init_error(void) {
  int fd = dial(port_of_api());
  post(fd, "init/error", "Lambda-Runtime-Function-Error-Type: Runtime.No\r\n",
       "{\"errorMessage\":\"no\"}");
  _exit(3);
}

static inline void run_bad_mode(void) {
  int fd = dial(port_of_api());
  char path[128];
  snprintf(path, sizeof path, "invocation/%.64s/response", next_event(fd)->id);
  post(fd, path, "Lambda-Runtime-Function-Response-Mode: slow\r\n", "x");
  next_event(fd);
}

static inline void run_head(void) {
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
static inline void say_much(int fd) {
  static char text[100032];
  int size = snprintf(text, sizeof text, "186a0\r\n%0100000d\r\n", 0);
  for (int i = 0; i < 100; i++)
    say(fd, text, (size_t)size);
}

/* Does not wait long for an event, nor read the first one it is given. */
static inline void run_impatient(void) {
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
static inline void run_hasty(void) {
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
static inline void run_stream(void) {
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
static inline void run_stays(void) {
  int fd = dial(port_of_api());
  char id[65];
  strcpy(id, next_event(fd)->id);
  respond(fd, id, "done");
  printf("still here\n");
  fflush(stdout);
  pause();
}

static inline void run_env(void) {
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
static inline void run_memory(void) {
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

static inline void be_runtime(const char *name) {
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

#endif
