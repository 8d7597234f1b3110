/*
 * A Lambda Runtime API with a stopwatch, to measure a runtime from outside:
 *
 *   runtime_server cold COUNT PROGRAM      exec to its first GET /next
 *   runtime_server warm COUNT FILE PROGRAM one event (the bytes of FILE) to the
 *                                          next GET /next, response read
 *
 * prints the median in microseconds. PROGRAM runs with this environment and
 * AWS_LAMBDA_RUNTIME_API, and is killed at the end.
 */
#define _GNU_SOURCE /* memmem, strcasestr */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (16 << 20)

extern char **environ;

struct peer {
  pid_t pid;
  int fd;
  size_t have; /* bytes in buffer */
  char *buffer;
};

static double microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void fail(const char *what) {
  fprintf(stderr, "runtime_server: %s\n", what);
  exit(1);
}

/* Listens on a loopback port and announces it to the children to come. */
static int open_listener(void) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t size = sizeof at;
  char text[32];
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 8) != 0)
    fail("cannot listen");
  getsockname(fd, (struct sockaddr *)&at, &size);
  snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(at.sin_port));
  setenv("AWS_LAMBDA_RUNTIME_API", text, 1);
  return fd;
}

/* Reads one request with its body and leaves nothing else in the buffer: the
 * peer waits for our answer before it asks again. */
static void read_request(struct peer *peer) {
  size_t wanted = 0;
  char *end = NULL;
  peer->have = 0;
  while (end == NULL || peer->have < wanted) {
    ssize_t got =
        read(peer->fd, peer->buffer + peer->have, BUFFER - 1 - peer->have);
    if (got <= 0)
      fail("the program closed its connection");
    peer->have += (size_t)got;
    if (end == NULL &&
        (end = memmem(peer->buffer, peer->have, "\r\n\r\n", 4)) != NULL) {
      char *length;
      *end = '\0';
      length = strcasestr(peer->buffer, "content-length:");
      wanted = (size_t)(end + 4 - peer->buffer) +
               (length != NULL ? strtoul(length + 15, NULL, 10) : 0);
    }
  }
}

static void send_all(struct peer *peer, struct iovec *parts, int count) {
  while (count > 0) {
    ssize_t sent = writev(peer->fd, parts, count);
    if (sent < 0)
      fail("the program does not read");
    while (count > 0 && (size_t)sent >= parts->iov_len) {
      sent -= (ssize_t)parts->iov_len;
      parts++;
      count--;
    }
    if (count > 0) {
      parts->iov_base = (char *)parts->iov_base + sent;
      parts->iov_len -= (size_t)sent;
    }
  }
}

static void expect(const struct peer *peer, const char *start) {
  if (strncmp(peer->buffer, start, strlen(start)) != 0)
    fail(peer->buffer);
}

/* Starts the program and waits until it asks for its first event. */
static void start(struct peer *peer, int listener, char **argv) {
  int one = 1;
  if (posix_spawn(&peer->pid, argv[0], NULL, NULL, argv, environ) != 0)
    fail("cannot start the program");
  peer->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  read_request(peer);
  expect(peer, "GET /2018-06-01/runtime/invocation/next ");
}

static void stop(struct peer *peer) {
  kill(peer->pid, SIGKILL);
  waitpid(peer->pid, NULL, 0);
  close(peer->fd);
}

/* One event, from its first byte sent to the request for the next one. */
static void invoke(struct peer *peer, char *body, size_t size) {
  static char accepted[] = "HTTP/1.1 202 Accepted\r\n"
                           "Content-Type: application/json\r\n"
                           "Content-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";
  char head[512];
  int length = snprintf(
      head, sizeof head,
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
      "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
      "Lambda-Runtime-Deadline-Ms: %lld\r\n"
      "Lambda-Runtime-Invoked-Function-Arn: "
      "arn:aws:lambda:us-east-1:123456789012:function:bench\r\n"
      "Content-Length: %zu\r\n\r\n",
      (long long)(time(NULL) + 60) * 1000, size);
  struct iovec event[2] = {{head, (size_t)length}, {body, size}};
  struct iovec answer[1] = {{accepted, sizeof accepted - 1}};
  send_all(peer, event, 2);
  read_request(peer);
  expect(peer, "POST /2018-06-01/runtime/invocation/8476a536-e9f4-11e8-9739-"
               "2dfe598c3fcd/response ");
  send_all(peer, answer, 1);
  read_request(peer);
  expect(peer, "GET ");
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void print_median(double *samples, int count) {
  qsort(samples, (size_t)count, sizeof *samples, ascending);
  printf("%.3f\n", samples[count / 2]);
}

static void cold(struct peer *peer, int listener, char **argv, double *samples,
                 int count) {
  for (int i = 0; i < count; i++) {
    double begin = microseconds();
    start(peer, listener, argv);
    samples[i] = microseconds() - begin;
    stop(peer);
  }
}

static void warm(struct peer *peer, int listener, char **argv, double *samples,
                 int count) {
  char *body = malloc(BUFFER);
  FILE *file = fopen(argv[0], "rb");
  size_t size = file != NULL ? fread(body, 1, BUFFER, file) : 0;
  if (size == 0)
    fail("cannot read the event");
  fclose(file);
  start(peer, listener, argv + 1);
  for (int i = -count / 4; i < count; i++) {
    double begin = microseconds();
    invoke(peer, body, size);
    if (i >= 0)
      samples[i] = microseconds() - begin;
  }
  stop(peer);
  free(body);
}

int main(int argc, char **argv) {
  struct peer peer = {.buffer = malloc(BUFFER)};
  int count = argc > 3 ? atoi(argv[2]) : 0;
  double *samples;
  int listener = open_listener();
  if (count < 1)
    fail("usage: runtime_server cold COUNT PROGRAM | warm COUNT FILE PROGRAM");
  samples = calloc((size_t)count, sizeof *samples);
  if (strcmp(argv[1], "cold") == 0)
    cold(&peer, listener, argv + 3, samples, count);
  else
    warm(&peer, listener, argv + 3, samples, count);
  print_median(samples, count);
  free(samples);
  free(peer.buffer);
  return 0;
}
