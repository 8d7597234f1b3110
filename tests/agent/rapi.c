/*
 * A scripted Lambda Runtime API for tests of the agent.
 *
 *   rapi SCRIPT PROGRAM [NAME=VALUE]...
 *
 * Starts PROGRAM in a session of its own, with nothing but the given
 * environment, PATH and AWS_LAMBDA_RUNTIME_API, and plays the SCRIPT, a file
 * of one command per line:
 *
 *   refuse MS               before anything else: refuse connections so long
 *   lifeline                before anything else: give it a lifeline
 *   page                    before anything else: give it a progress page
 *   limit N                 no task beyond number N may begin
 *   event ID DEADLINE FILE  await GET next; answer it with the bytes of FILE.
 *                           DEADLINE in ms from now, 0 for none
 *   post STATUS             await a POST; answer it
 *   next STATUS             await GET next; answer it with an error
 *   drop                    await a request; close the connection instead
 *   idle                    await GET next and leave it unanswered
 *   hangup                  close the lifeline
 *   close                   close the connection and the listener
 *   stall                   wait until somebody kills us
 *   wait                    wait until the program has ended
 *
 * and before `event`, for that answer only:
 *
 *   header TEXT             send this header, too
 *   chunked N               send the body in chunks of N bytes
 *   drip N                  send N bytes at a time
 *   cut N                   close the connection after N bytes
 *
 * At the end of the script the program is killed, unless it has ended. Then a
 * Lua table is printed: per request {method, path, head, body, output}, where
 * output is all that the program has printed by then, and the fields output,
 * code and signal of its end, and page, what became of the tasks if there is
 * one. Everything ends after 30 s at the latest.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/memory.h"
#include "host/progress.h"

#define LIMIT_S 30

struct bytes {
  char *at;
  size_t size;
};

static int listener = -1, connection = -1, lifeline = -1, output;
static struct lp__progress *page;
static pid_t child;
static int ended, end_status;

/* How to send the next answer. */
static char headers[4096];
static size_t chunk, drip, cut;

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("rapi: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  if (child > 0)
    kill(-child, SIGKILL);
  exit(3);
}

static void on_alarm(int number) {
  (void)number;
  kill(-child, SIGKILL);
  _exit(4);
}

static struct bytes read_all(int fd) {
  struct bytes all = {malloc(1 << 24), 0};
  ssize_t got;
  while ((got = pread(fd, all.at + all.size, (1 << 24) - all.size,
                      (off_t)all.size)) > 0)
    all.size += (size_t)got;
  return all;
}

static struct bytes read_file(const char *name) {
  int fd = open(name, O_RDONLY);
  struct bytes all;
  if (fd < 0)
    fail("%s: %s", name, strerror(errno));
  all = read_all(fd);
  close(fd);
  return all;
}

/* Prints bytes as a Lua string. */
static void print_string(const char *name, const char *at, size_t size) {
  size_t i;
  printf("%s=\"", name);
  for (i = 0; i < size; i++) {
    unsigned char c = (unsigned char)at[i];
    if (c < ' ' || c == '"' || c == '\\' || c > '~')
      printf("\\%03u", c);
    else
      putchar(c);
  }
  printf("\", ");
}

static void print_output(void) {
  struct bytes all = read_all(output);
  print_string("output", all.at, all.size);
  free(all.at);
}

/* --- the program --------------------------------------------------------- */

static int listen_on_loopback(unsigned *port) {
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0)
    fail("bind: %s", strerror(errno));
  getsockname(fd, (struct sockaddr *)&address, &size);
  *port = ntohs(address.sin_port);
  return fd;
}

/* Becomes the program; `line`: its end of the lifeline, or -1; `shared`: the
 * page's descriptor, or -1. */
static void become(char **argv, char **variables, unsigned port, int line,
                   int shared) {
  static char api[64], number[64], path[] = "PATH=/usr/bin:/bin";
  static char progress[] = "LAMBDAPOOL_PROGRESS=9";
  static char *environment[64];
  int count = 0, null = open("/dev/null", O_RDONLY);
  snprintf(api, sizeof api, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:%u", port);
  snprintf(number, sizeof number, "LAMBDAPOOL_LIFELINE=%d", line);
  environment[count++] = api;
  environment[count++] = path;
  if (line >= 0)
    environment[count++] = number;
  if (shared >= 0) {
    dup2(shared, 9);
    environment[count++] = progress;
  }
  while (*variables && count < 63)
    environment[count++] = *variables++;
  setsid();
  dup2(null, 0);
  dup2(output, 1);
  dup2(output, 2);
  execve(argv[0], argv, environment);
  _exit(127);
}

static void start(char *program, char **variables, unsigned port,
                  int with_lifeline, int with_page) {
  char *argv[] = {program, NULL};
  int ends[2] = {-1, -1}, shared = -1;
  char name[] = "/tmp/rapi-XXXXXX";
  if (with_lifeline && pipe2(ends, 0) != 0)
    fail("pipe: %s", strerror(errno));
  if (with_page && (page = lp__progress_create(&shared)) == NULL)
    fail("page: %s", strerror(errno));
  output = mkostemp(name, O_APPEND | O_CLOEXEC);
  unlink(name);
  child = fork();
  if (child == 0) {
    if (ends[1] >= 0)
      close(ends[1]);
    become(argv, variables, port, ends[0], shared);
  }
  if (ends[0] >= 0)
    close(ends[0]);
  if (shared >= 0)
    close(shared);
  lifeline = ends[1];
  signal(SIGALRM, on_alarm);
  signal(SIGPIPE, SIG_IGN);
  alarm(LIMIT_S);
}

static int has_ended(int options) {
  if (!ended && waitpid(child, &end_status, options) == child)
    ended = 1;
  return ended;
}

static void close_fd(int *fd) {
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
}

/* --- HTTP ---------------------------------------------------------------- */

static void ensure_connection(void) {
  while (connection < 0) {
    struct pollfd waiting = {listener, POLLIN, 0};
    int one = 1;
    if (has_ended(WNOHANG))
      fail("the program has ended, and should not have");
    if (poll(&waiting, 1, 20) <= 0)
      continue;
    connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
}

/* Receives a request: its head and body, behind each other. */
static struct bytes receive(size_t *head) {
  struct bytes in = {calloc(1, 1 << 24), 0};
  size_t wanted = 0;
  while (wanted == 0 || in.size < wanted) {
    ssize_t got;
    char *end;
    ensure_connection();
    got = recv(connection, in.at + in.size, (1 << 24) - 1 - in.size, 0);
    if (got <= 0) {
      close_fd(&connection);
      in.size = wanted = 0;
      continue;
    }
    in.size += (size_t)got;
    if (wanted == 0 && (end = strstr(in.at, "\r\n\r\n")) != NULL) {
      const char *length = strcasestr(in.at, "\r\nContent-Length:");
      *head = (size_t)(end + 4 - in.at);
      wanted = *head + (length && length < end
                            ? strtoul(strchr(length, ':') + 1, NULL, 10)
                            : 0);
    }
  }
  return in;
}

/* Receives a request, prints it, and checks its method. */
static void expect(const char *method) {
  size_t head;
  struct bytes in = receive(&head);
  char *path = strchr(in.at, ' ') + 1;
  int wrong = method && strncmp(in.at, method, strlen(method)) != 0;
  printf("  { ");
  print_string("method", in.at, (size_t)(path - 1 - in.at));
  print_string("path", path, strcspn(path, " "));
  print_string("head", in.at, head);
  print_string("body", in.at + head, in.size - head);
  print_output();
  puts("},");
  free(in.at);
  if (wrong)
    fail("expected %s", method);
}

static void send_bytes(const char *at, size_t size) {
  size_t sent = 0;
  if (cut > 0 && size > cut)
    size = cut;
  while (sent < size) {
    size_t step = drip > 0 && drip < size - sent ? drip : size - sent;
    ssize_t n = send(connection, at + sent, step, 0);
    if (n <= 0)
      break;
    sent += (size_t)n;
    if (drip > 0)
      usleep(200);
  }
  if (cut > 0)
    close_fd(&connection);
  chunk = drip = cut = 0;
  headers[0] = '\0';
}

static size_t add_chunks(char *out, const char *at, size_t size) {
  size_t from = 0, n = 0;
  for (; from < size; from += chunk) {
    size_t one = size - from < chunk ? size - from : chunk;
    n += (size_t)sprintf(out + n, "%zx;a=b\r\n", one);
    memcpy(out + n, at + from, one);
    n += one;
    n += (size_t)sprintf(out + n, "\r\n");
  }
  return n + (size_t)sprintf(out + n, "0\r\nTrailer: x\r\n\r\n");
}

static void answer(int status, const char *extra, const char *body,
                   size_t size) {
  char *out = malloc(16384 + size * 12);
  size_t n = (size_t)sprintf(out, "HTTP/1.1 %d Something\r\n%s%s", status,
                             extra, headers);
  if (chunk > 0) {
    n += (size_t)sprintf(out + n, "Transfer-Encoding: chunked\r\n\r\n");
    n += add_chunks(out + n, body, size);
  } else {
    n += (size_t)sprintf(out + n, "Content-Length: %zu\r\n\r\n", size);
    memcpy(out + n, body, size);
    n += size;
  }
  send_bytes(out, n);
  free(out);
}

static void answer_status(int status) {
  static const char body[] = "{\"status\":\"rapi\"}";
  answer(status, "Content-Type: application/json\r\n", body, sizeof body - 1);
}

static void answer_event(const char *id, long long deadline, const char *name) {
  char extra[1024];
  struct bytes body = read_file(name);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (deadline != 0)
    deadline += now.tv_sec * 1000LL + now.tv_nsec / 1000000;
  snprintf(extra, sizeof extra,
           "Content-Type: application/json\r\n"
           "Lambda-Runtime-Aws-Request-Id: %s\r\n"
           "Lambda-Runtime-Deadline-Ms: %lld\r\n",
           id, deadline);
  answer(200, extra, body.at, body.size);
  free(body.at);
}

/* --- the script ---------------------------------------------------------- */

static void play(const char *line) {
  char word[32], id[256], name[1024];
  long long number = 0;
  if (sscanf(line, "%31s %lld", word, &number) < 1 ||
      strcmp(word, "lifeline") == 0 || strcmp(word, "refuse") == 0 ||
      strcmp(word, "page") == 0)
    return;
  if (sscanf(line, "event %255s %lld %1023s", id, &number, name) == 3) {
    expect("GET");
    answer_event(id, number, name);
  } else if (strcmp(word, "post") == 0) {
    expect("POST");
    answer_status((int)number);
  } else if (strcmp(word, "next") == 0) {
    expect("GET");
    answer_status((int)number);
  } else if (strcmp(word, "drop") == 0) {
    expect(NULL);
    close_fd(&connection);
  } else if (strcmp(word, "idle") == 0) {
    expect("GET");
  } else if (strcmp(word, "hangup") == 0) {
    close_fd(&lifeline);
  } else if (strcmp(word, "close") == 0) {
    close_fd(&connection);
    close_fd(&listener);
  } else if (strcmp(word, "limit") == 0) {
    lp__progress_cut(page, (uint32_t)number);
  } else if (strcmp(word, "stall") == 0) {
    pause();
  } else if (strcmp(word, "wait") == 0) {
    has_ended(0);
  } else if (strcmp(word, "header") == 0) {
    strcat(headers, line + strlen("header "));
    strcat(headers, "\r\n");
  } else if (strcmp(word, "chunked") == 0) {
    chunk = (size_t)number;
  } else if (strcmp(word, "drip") == 0) {
    drip = (size_t)number;
  } else if (strcmp(word, "cut") == 0) {
    cut = (size_t)number;
  } else {
    fail("no such command: %s", word);
  }
}

static void print_page(void) {
  char *kept;
  size_t size;
  struct lp__progress_report report = lp__progress_read(page, &kept, &size);
  printf("page={ begun=%u, finished=%u, kept_tasks=%u, no_memory=%llu, ",
         report.begun, report.finished, report.kept_tasks,
         (unsigned long long)report.no_memory);
  print_string("kept", kept, size);
  puts("},");
  lp__free(kept);
}

static void print_end(void) {
  if (!has_ended(WNOHANG)) {
    kill(-child, SIGKILL);
    has_ended(0);
  }
  printf("  ");
  print_output();
  if (page)
    print_page();
  if (WIFEXITED(end_status))
    printf("code=%d,\n}\n", WEXITSTATUS(end_status));
  else
    printf("signal=%d,\n}\n", WTERMSIG(end_status));
}

int main(int argc, char **argv) {
  struct bytes script;
  unsigned port;
  char *line, *rest;
  const char *refuse;
  if (argc < 3)
    fail("usage: rapi SCRIPT PROGRAM [NAME=VALUE]...");
  script = read_file(argv[1]);
  script.at[script.size] = '\0';
  listener = listen_on_loopback(&port);
  refuse = strstr(script.at, "refuse ");
  if (refuse == NULL)
    listen(listener, 8);
  start(argv[2], argv + 3, port, strstr(script.at, "lifeline") != NULL,
        strstr(script.at, "page") != NULL);
  if (refuse) {
    usleep((useconds_t)atoi(refuse + strlen("refuse ")) * 1000);
    listen(listener, 8);
  }
  puts("return {");
  for (line = strtok_r(script.at, "\n", &rest); line;
       line = strtok_r(NULL, "\n", &rest))
    play(line);
  print_end();
  return 0;
}
