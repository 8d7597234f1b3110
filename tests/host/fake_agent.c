/* A worker for tests: a small client of the Runtime API that does what the
 * event tells it to.
 *
 * What it does first is in FAKE_START: nothing (the default), "never" connect,
 * "wait" (print "PORT PID" and wait for SIGUSR1 before it connects), "garbage",
 * "init" (post an init error), "stuck" (and do not end then), "exit" (with
 * status 7), "ping", "early" (post a response nobody asked for), "long" (a
 * header without end). An event is a word and an argument, not JSON: echo TEXT
 * posts TEXT                size N    posts N bytes error TYPE   posts an error
 * print N   prints N lines, then posts print- TEXT  prints TEXT, no newline
 * crash     SIGSEGV hang         never answers             exit N    ends with
 * status N half         half a response, ends     garbage   not HTTP last TEXT
 * posts TEXT and ends       twice     posts two responses wrong        posts
 * under another id    chunked N N bytes in chunks endless      bytes without
 * end                 fork         leaves a process
 * behind, posts its pid fds          posts its open descriptors   nice  how
 * nice it is   env   posts its environment close MS     closes the connection,
 * lives on, so long if MS is given stream       asks for a streamed response
 * page BEGUN FINISHED KEPT_TASKS KEPT_BYTES NO_MEMORY EVENT writes that to the
 * page of its progress, and does EVENT tasks N MS   N tasks of so many
 * milliseconds, on the page; posts how many it was left first MS N   the same
 * with two tasks, of MS and of N milliseconds future       hangs, and says that
 * it will have begun in an hour Its page is mapped except with FAKE_START "no
 * page". */
#define _GNU_SOURCE
#include "host/progress.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int connection = -1;
static struct lp__progress *page;
static char event[8 * 1024 * 1024], id[128], answer[4096];
static char body[8 * 1024 * 1024];

static void on_lifeline(int signal) {
  (void)signal;
  kill(0, SIGKILL);
}

static void watch_lifeline(void) {
  const char *text = getenv("LAMBDAPOOL_LIFELINE");
  char byte;
  if (!text)
    return;
  int fd = atoi(text);
  signal(SIGIO, on_lifeline);
  fcntl(fd, F_SETOWN, getpid());
  fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK);
  if (read(fd, &byte, 1) == 0)
    on_lifeline(SIGIO);
}

static void open_page(const char *how) {
  const char *text = getenv("LAMBDAPOOL_PROGRESS");
  if (!text)
    return;
  if (strcmp(how, "no page") != 0)
    page = lp__progress_open(atoi(text));
  close(atoi(text));
}

static void connect_to_host(void) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
  int on = 1;
  address.sin_port = htons((unsigned short)atoi(strchr(api, ':') + 1));
  connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(connection, (struct sockaddr *)&address, sizeof address) < 0)
    exit(90);
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void transmit(const void *head, size_t head_size, const void *rest,
                     size_t rest_size) {
  struct iovec pieces[2] = {{(void *)head, head_size},
                            {(void *)rest, rest_size}};
  struct iovec *piece = pieces;
  int count = rest_size ? 2 : 1;
  while (count > 0) {
    ssize_t size = writev(connection, piece, count);
    if (size < 0)
      exit(91);
    while (count > 0 && (size_t)size >= piece->iov_len) {
      size -= (ssize_t)piece->iov_len;
      piece++, count--;
    }
    if (count > 0) {
      piece->iov_base = (char *)piece->iov_base + size;
      piece->iov_len -= (size_t)size;
    }
  }
}

/* Reads an answer into `answer` and `event`; its body's size. */
static size_t receive(void) {
  size_t got = 0, size = 0;
  char *end = NULL;
  while (!end) {
    ssize_t n = read(connection, answer + got, sizeof answer - 1 - got);
    if (n <= 0)
      exit(92);
    got += (size_t)n;
    answer[got] = '\0';
    end = strstr(answer, "\r\n\r\n");
  }
  char *length = strcasestr(answer, "\r\nContent-Length:");
  size = length ? strtoul(length + 17, NULL, 10) : 0;
  size_t have = got - (size_t)(end + 4 - answer);
  memcpy(event, end + 4, have);
  while (have < size) {
    ssize_t n = read(connection, event + have, size - have);
    if (n <= 0)
      exit(93);
    have += (size_t)n;
  }
  event[size] = '\0';
  return size;
}

static int status(void) {
  return atoi(answer + 9);
}

static void post_as(const char *path, const char *headers, const void *bytes,
                    size_t size) {
  char head[512];
  int n = snprintf(head, sizeof head,
                   "POST /2018-06-01/runtime/%s HTTP/1.1\r\nHost: local\r\n"
                   "%sContent-Length: %zu\r\n\r\n",
                   path, headers, size);
  transmit(head, (size_t)n, bytes, size);
  receive();
}

static void post(const char *bytes, size_t size) {
  char path[256];
  snprintf(path, sizeof path, "invocation/%s/response", id);
  post_as(path, "", bytes, size);
}

static void next(void) {
  static const char text[] =
      "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: local\r\n\r\n";
  transmit(text, sizeof text - 1, NULL, 0);
  receive();
  if (status() != 200)
    exit(94);
  const char *header = strcasestr(answer, "Lambda-Runtime-Aws-Request-Id: ");
  snprintf(id, sizeof id, "%.*s", (int)strcspn(header + 31, "\r"), header + 31);
}

/* The body of `size`; touching all of it at the start would take time. */
static const char *filled(size_t size) {
  static size_t done;
  if (size > done) {
    memset(body + done, 'x', size - done);
    done = size;
  }
  return body;
}

static void begin_post(const char *header) {
  char head[512];
  int n = snprintf(head, sizeof head,
                   "POST /2018-06-01/runtime/invocation/%s/response "
                   "HTTP/1.1\r\n%s\r\n\r\n",
                   id, header);
  transmit(head, (size_t)n, NULL, 0);
}

static void post_endless(void) {
  begin_post("Content-Length: 1000000000000");
  for (;;)
    transmit(body, 10000, NULL, 0);
}

static void post_chunked(size_t size) {
  char head[32];
  begin_post("Transfer-Encoding: chunked");
  for (size_t sent = 0; sent < size;) {
    size_t part = size - sent < 10000 ? size - sent : 10000;
    int n = snprintf(head, sizeof head, "%zx\r\n", part);
    transmit(head, (size_t)n, body + sent, part);
    transmit("\r\n", 2, NULL, 0);
    sent += part;
  }
  transmit("0\r\n\r\n", 5, NULL, 0);
  receive();
}

static void post_half(void) {
  char head[512];
  int n = snprintf(head, sizeof head,
                   "POST /2018-06-01/runtime/invocation/%s/response "
                   "HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n",
                   id);
  transmit(head, (size_t)n, body, 500000);
  exit(0);
}

static void post_fork(void) {
  char text[32];
  pid_t pid = fork();
  if (pid == 0)
    for (;;)
      pause();
  snprintf(text, sizeof text, "%d", (int)pid);
  post(text, strlen(text));
}

static void post_descriptors(void) {
  char text[512] = "";
  DIR *folder = opendir("/proc/self/fd");
  struct dirent *entry;
  while ((entry = readdir(folder)))
    if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(folder))
      sprintf(strchr(text, '\0'), "%s ", entry->d_name);
  closedir(folder);
  post(text, strlen(text));
}

/* How nice it is, who leads its session and its group, and the policy by which
 * it gets a processor. */
static void post_nice(void) {
  char text[64];
  snprintf(text, sizeof text, "%d %d %d %d", getpriority(PRIO_PROCESS, 0),
           getsid(0) == getpid(), getpgid(0) == getpid(),
           sched_getscheduler(0));
  post(text, strlen(text));
}

static void post_environment(void) {
  size_t size = 0;
  for (char **item = environ; *item; item++)
    size += (size_t)sprintf(body + size, "%s\n", *item);
  post(body, size);
}

static void post_twice(void) {
  post("first", 5);
  int first = status();
  post("second", 6);
  printf("%d %d %s\n", first, status(), event);
  fflush(stdout);
}

static void post_wrong(void) {
  post_as("invocation/unknown/response", "", "x", 1);
  snprintf(body, sizeof body, "%d %.200s", status(), event);
  post(body, strlen(body));
}

static void print_lines(int count) {
  for (int i = 1; i <= count; i++)
    dprintf(i % 2 ? 1 : 2, "line %d\n", i);
}

static void run(void);

/* Keeps `k` in every byte of the records. */
static void write_page(const char *rest) {
  unsigned begun, finished, kept_tasks, kept_bytes;
  unsigned long long no_memory;
  int used = 0;
  sscanf(rest, "%u %u %u %u %llu %n", &begun, &finished, &kept_tasks,
         &kept_bytes, &no_memory, &used);
  page->begun = begun;
  page->finished = finished;
  page->kept_tasks = kept_tasks;
  page->kept_bytes = kept_bytes;
  page->no_memory = no_memory;
  memset(page->kept, 'k', sizeof page->kept);
  memmove(event, rest + used, strlen(rest + used) + 1);
  run();
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The first task takes `first_ms`, the others `ms`. */
static void run_tasks(unsigned count, unsigned first_ms, unsigned ms) {
  unsigned k = 0;
  char text[16];
  while (k < count && lp__progress_begin(page, k + 1, now_ns())) {
    usleep((k == 0 ? first_ms : ms) * 1000);
    k++;
    lp__progress_keep(page, k, "kkk", 3);
    lp__progress_end(page, k);
  }
  snprintf(text, sizeof text, "%u", k);
  post(text, strlen(text));
}

static void run(void) {
  char word[16] = "";
  const char *rest = strchr(event, ' ');
  sscanf(event, "%15s", word);
  rest = rest ? rest + 1 : "";
  if (strcmp(word, "echo") == 0) {
    post(rest, strlen(rest));
  } else if (strcmp(word, "size") == 0) {
    size_t size = strtoul(rest, NULL, 10);
    post(filled(size), size);
    if (status() != 202)
      printf("%d\n", status());
  } else if (strcmp(word, "error") == 0) {
    char path[256], header[256];
    snprintf(path, sizeof path, "invocation/%s/error", id);
    snprintf(header, sizeof header,
             "Lambda-Runtime-Function-Error-Type: %s\r\n", rest);
    post_as(path, header, "{\"errorMessage\":\"oh\"}", 21);
  } else if (strcmp(word, "print") == 0) {
    print_lines(atoi(rest));
    post("printed", 7);
  } else if (strcmp(word, "print-") == 0) {
    fputs(rest, stdout);
    post("printed", 7);
  } else if (strcmp(word, "crash") == 0) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
  } else if (strcmp(word, "hang") == 0) {
    for (;;)
      pause();
  } else if (strcmp(word, "exit") == 0) {
    printf("last words");
    exit(atoi(rest));
  } else if (strcmp(word, "half") == 0) {
    post_half();
  } else if (strcmp(word, "garbage") == 0) {
    transmit("\1\2\3 nonsense\r\n\r\n", 16, NULL, 0);
    pause();
  } else if (strcmp(word, "last") == 0) {
    char head[256];
    int n = snprintf(head, sizeof head,
                     "POST /2018-06-01/runtime/invocation/%s/response "
                     "HTTP/1.1\r\nContent-Length: %zu\r\n\r\n",
                     id, strlen(rest));
    printf("before the last\n");
    fflush(stdout);
    transmit(head, (size_t)n, rest, strlen(rest));
    _exit(5);
  } else if (strcmp(word, "twice") == 0) {
    post_twice();
  } else if (strcmp(word, "wrong") == 0) {
    post_wrong();
  } else if (strcmp(word, "chunked") == 0) {
    size_t size = strtoul(rest, NULL, 10);
    filled(size);
    post_chunked(size);
  } else if (strcmp(word, "endless") == 0) {
    post_endless();
  } else if (strcmp(word, "fork") == 0) {
    post_fork();
  } else if (strcmp(word, "fds") == 0) {
    post_descriptors();
  } else if (strcmp(word, "nice") == 0) {
    post_nice();
  } else if (strcmp(word, "env") == 0) {
    post_environment();
  } else if (strcmp(word, "close") == 0) {
    close(connection);
    if (*rest) {
      usleep((useconds_t)atoi(rest) * 1000);
      _exit(0);
    }
    for (;;)
      pause();
  } else if (strcmp(word, "page") == 0) {
    write_page(rest);
  } else if (strcmp(word, "tasks") == 0) {
    unsigned count = 0, ms = 0;
    sscanf(rest, "%u %u", &count, &ms);
    run_tasks(count, ms, ms);
  } else if (strcmp(word, "first") == 0) {
    unsigned first_ms = 0, ms = 0;
    sscanf(rest, "%u %u", &first_ms, &ms);
    run_tasks(2, first_ms, ms);
  } else if (strcmp(word, "future") == 0) {
    lp__progress_begin(page, 1, now_ns() + UINT64_C(3600000000000));
    for (;;)
      pause();
  } else if (strcmp(word, "stream") == 0) {
    char path[256];
    snprintf(path, sizeof path, "invocation/%s/response", id);
    post_as(path, "Lambda-Runtime-Function-Response-Mode: streaming\r\n", "x",
            1);
  }
}

static void wait_for_permission(void) {
  sigset_t set;
  int signal;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  printf("%s %d\n", strchr(getenv("AWS_LAMBDA_RUNTIME_API"), ':') + 1,
         (int)getpid());
  fflush(stdout);
  sigwait(&set, &signal);
}

static void start(const char *how) {
  if (strcmp(how, "never") == 0)
    for (;;)
      pause();
  if (strcmp(how, "exit") == 0)
    exit(7);
  if (strcmp(how, "wait") == 0)
    wait_for_permission();
  connect_to_host();
  if (strcmp(how, "garbage") == 0)
    transmit("\0\0\0\0", 4, NULL, 0);
  if (strcmp(how, "long") == 0) {
    transmit("GET / HTTP/1.1\r\nX: ", 19, filled(200000), 200000);
    pause();
  }
  if (strcmp(how, "early") == 0) {
    post_as("invocation/x/response", "", "x", 1);
    printf("%d %s\n", status(), event);
  }
  if (strcmp(how, "ping") == 0) {
    static const char ping[] = "GET /2018-06-01/ping HTTP/1.1\r\n\r\n";
    static const char other[] = "GET /2018-06-01/other HTTP/1.1\r\n\r\n";
    transmit(ping, sizeof ping - 1, NULL, 0);
    receive();
    printf("%d %s\n", status(), event);
    transmit(other, sizeof other - 1, NULL, 0);
    receive();
    printf("%d\n", status());
  }
  if (strcmp(how, "init") == 0) {
    printf("starting\n");
    fflush(stdout);
  }
  if (strcmp(how, "init") == 0 || strcmp(how, "stuck") == 0) {
    post_as("init/error",
            "Lambda-Runtime-Function-Error-Type: Runtime.InitError\r\n",
            "{\"errorMessage\":\"no\"}", 21);
    while (strcmp(how, "stuck") == 0)
      pause();
    exit(status() == 202 ? 3 : 95);
  }
}

int main(void) {
  const char *how = getenv("FAKE_START");
  watch_lifeline();
  open_page(how ? how : "");
  start(how ? how : "");
  for (;;) {
    fflush(stdout);
    next();
    run();
  }
}
