/* A service that is far away: answers each HTTP request MS milliseconds after
 * the last byte of it with the bytes of FILE, headers included, whatever was
 * asked. It runs PROGRAM with the word URL among its arguments replaced by its
 * own, and ends with it.
 *
 *   latency_server MS FILE PROGRAM ARGUMENT...
 */
#define _GNU_SOURCE /* accept4, memmem, strcasestr */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { HEADER_MAX = 16384, WAITING_MAX = 1 << 16, EVENTS = 512 };

struct connection {
  int fd;
  bool closed;  /* while an answer waits */
  bool waiting; /* for its answer */
  size_t received;
  uint64_t body_left; /* once the header is complete */
  char header[HEADER_MAX];
};

struct answer {
  uint64_t due_ns;
  struct connection *connection;
};

static struct {
  int listener, timer, ends, epoll; /* ends: of the program */
  uint64_t delay_ns;
  char *answer;
  size_t answer_size;
  struct answer waiting[WAITING_MAX]; /* in the order in which they are due */
  uint64_t first, last;
  char url[64];
} server;

static void die(const char *what) {
  fprintf(stderr, "latency_server: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void watch(int fd, void *what) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
  if (epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &event) < 0)
    die("epoll");
}

/* --- answers ------------------------------------------------------------- */

static void set_timer(void) {
  struct itimerspec when = {.it_value = {0, 0}};
  if (server.first < server.last) {
    uint64_t due = server.waiting[server.first % WAITING_MAX].due_ns;
    when.it_value.tv_sec = (time_t)(due / 1000000000);
    when.it_value.tv_nsec = (long)(due % 1000000000);
  }
  timerfd_settime(server.timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void drop(struct connection *connection) {
  close(connection->fd);
  connection->closed = true;
  if (!connection->waiting)
    free(connection);
}

/* Answers are small: the socket has room for one, or the client is gone. */
static void send_answer(struct connection *connection) {
  connection->waiting = false;
  connection->received = 0;
  if (connection->closed)
    free(connection);
  else if (send(connection->fd, server.answer, server.answer_size,
                MSG_NOSIGNAL) != (ssize_t)server.answer_size)
    drop(connection);
}

static void send_answers(void) {
  uint64_t now = now_ns(), expirations;
  ssize_t ignored = read(server.timer, &expirations, sizeof expirations);
  (void)ignored;
  while (server.first < server.last &&
         server.waiting[server.first % WAITING_MAX].due_ns <= now)
    send_answer(server.waiting[server.first++ % WAITING_MAX].connection);
  set_timer();
}

static void queue_answer(struct connection *connection) {
  if (server.last - server.first == WAITING_MAX) {
    errno = ENOBUFS;
    die("too many requests");
  }
  server.waiting[server.last % WAITING_MAX] =
      (struct answer){now_ns() + server.delay_ns, connection};
  connection->waiting = true;
  if (++server.last - server.first == 1)
    set_timer();
}

/* --- requests ------------------------------------------------------------ */

/* Bytes of the body that are still to come, or -1 while the header is. */
static int64_t body_left(struct connection *connection) {
  char *end = memmem(connection->header, connection->received, "\r\n\r\n", 4);
  if (!end)
    return -1;
  *end = '\0';
  const char *length = strcasestr(connection->header, "\r\ncontent-length:");
  uint64_t size = length ? strtoull(length + 17, NULL, 10) : 0;
  return (int64_t)size - (connection->header + connection->received - end - 4);
}

/* What a read has brought: a part of the header, or of the body. */
static void take(struct connection *connection, size_t size) {
  if (connection->body_left > 0) {
    connection->body_left -= size;
  } else {
    connection->received += size;
    int64_t left = body_left(connection);
    if (left < 0 && connection->received < HEADER_MAX)
      return;
    connection->body_left = left > 0 ? (uint64_t)left : 0;
  }
  if (connection->body_left == 0)
    queue_answer(connection);
}

static void receive(struct connection *connection) {
  static char rest[1 << 20];
  char *at = connection->header + connection->received;
  size_t room = HEADER_MAX - connection->received;
  if (connection->body_left > 0) {
    at = rest;
    room = connection->body_left < sizeof rest ? connection->body_left
                                               : sizeof rest;
  }
  ssize_t size = room > 0 ? recv(connection->fd, at, room, 0) : 0;
  if (size > 0)
    take(connection, (size_t)size);
  else if (size == 0 || (errno != EAGAIN && errno != EINTR))
    drop(connection);
}

static void accept_all(void) {
  int fd, on = 1;
  while ((fd = accept4(server.listener, NULL, NULL,
                       SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
      die("accept");
    connection->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(fd, connection);
  }
}

/* --- start --------------------------------------------------------------- */

static void read_answer(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0)
    die(path);
  server.answer_size = (size_t)ftell(file);
  server.answer = malloc(server.answer_size + 1);
  rewind(file);
  if (!server.answer ||
      fread(server.answer, 1, server.answer_size, file) != server.answer_size)
    die(path);
  fclose(file);
}

static void raise_descriptors(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static void start(void) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  raise_descriptors();
  server.epoll = epoll_create1(EPOLL_CLOEXEC);
  server.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  server.listener =
      socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (server.listener < 0 ||
      bind(server.listener, (void *)&address, sizeof address) < 0 ||
      listen(server.listener, 4096) < 0 ||
      getsockname(server.listener, (void *)&address, &size) < 0)
    die("cannot listen");
  watch(server.listener, &server.listener);
  watch(server.timer, &server.timer);
  snprintf(server.url, sizeof server.url, "http://127.0.0.1:%d",
           ntohs(address.sin_port));
}

static void start_program(char **argv) {
  posix_spawnattr_t attributes;
  sigset_t child, none;
  pid_t pid;
  sigemptyset(&none);
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, NULL);
  server.ends = signalfd(-1, &child, SFD_CLOEXEC);
  watch(server.ends, &server.ends);
  for (char **word = argv; *word; word++) {
    if (strcmp(*word, "URL") == 0)
      *word = server.url;
  }
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&attributes, &none);
  errno = posix_spawnp(&pid, argv[0], NULL, &attributes, argv, environ);
  if (errno)
    die(argv[0]);
}

/* False when the program has ended. */
static bool handle(void *what) {
  if (what == &server.listener)
    accept_all();
  else if (what == &server.timer)
    send_answers();
  else if (what != &server.ends)
    receive(what);
  return what != &server.ends;
}

static void run(void) {
  struct epoll_event events[EVENTS];
  bool goes_on = true;
  while (goes_on) {
    int count = epoll_wait(server.epoll, events, EVENTS, -1);
    if (count < 0 && errno != EINTR)
      die("epoll");
    for (int i = 0; i < count && goes_on; i++)
      goes_on = handle(events[i].data.ptr);
  }
}

int main(int argc, char **argv) {
  int status;
  if (argc < 4) {
    fputs("usage: latency_server MS FILE PROGRAM ARGUMENT...\n", stderr);
    return 2;
  }
  server.delay_ns = strtoull(argv[1], NULL, 10) * 1000000;
  read_answer(argv[2]);
  start();
  start_program(argv + 3);
  run();
  wait(&status);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
