/*
 * A server that computes: a datagram with a number comes in, and one with the
 * number of primes below it goes back, which a worker has counted. The host
 * takes part in the program's epoll loop with one descriptor, beside a socket,
 * a timer and signals; nothing in the loop ever waits for a task. Needs no
 * account: the workers are local processes.
 *
 *   cc eventloop.c -o eventloop $(pkg-config --cflags --libs lambdapool)
 *   ./eventloop 7000 &
 *   echo 1000000 | nc -u -w 2 127.0.0.1 7000
 *
 * Once a second it tells how busy it is. Ctrl-C ends it.
 */
#include <lambdapool.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

static const char count_primes[] =
    "local client, limit = ...\n"
    "local count = 0\n"
    "for n = 2, limit - 1 do\n"
    "  local prime = 1\n"
    "  for d = 2, n ^ 0.5 do\n"
    "    if n % d == 0 then prime = 0 break end\n"
    "  end\n"
    "  count = count + prime\n"
    "end\n"
    "return client, count\n";

struct server {
  lp_host *host;
  int epoll, socket, timer, signals;
};

/* --- what is waited for --------------------------------------------------- */

/* The address of the client goes along as an argument and comes back as a
 * result: so there is nothing to be kept meanwhile. */
static void take_request(struct server *server) {
  struct sockaddr_in client = {0};
  socklen_t size = sizeof client;
  struct lp_value args[2];
  struct lp_task task;
  char text[32];
  ssize_t got = recvfrom(server->socket, text, sizeof text - 1, 0,
                         (struct sockaddr *)&client, &size);
  if (got < 0)
    return;
  text[got] = '\0';
  args[0] = lp_string((const char *)&client, sizeof client);
  args[1] = lp_integer(strtoll(text, NULL, 10));

  lp_task_init(&task, sizeof task);
  task.source = count_primes;
  task.args = args;
  task.count = 2;
  task.timeout_ms = 60000;
  if (lp_submit(server->host, &task, NULL) != LP_OK)
    fprintf(stderr, "eventloop: %s\n", lp_error(server->host));
}

static void send_answer(struct server *server, const struct lp_result *result) {
  char text[32];
  int size;
  if (result->kind != LP_DONE) {
    fprintf(stderr, "eventloop: %s\n", result->message);
    return;
  }
  size = snprintf(text, sizeof text, "%lld\n",
                  (long long)result->values[1].integer);
  sendto(server->socket, text, (size_t)size, 0,
         (const struct sockaddr *)result->values[0].bytes,
         (socklen_t)result->values[0].size);
}

/* Stays in lp_poll for a millisecond at most: while there is more to do its
 * descriptor remains readable, and the others get their turn. */
static void poll_host(struct server *server) {
  const struct lp_result *result;
  if (lp_poll(server->host, 1000) < 0)
    fprintf(stderr, "eventloop: %s\n", lp_error(server->host));
  while (lp_next(server->host, &result) == 1)
    send_answer(server, result);
}

static void tell_load(struct server *server) {
  struct lp_stats stats;
  uint64_t expirations;
  if (read(server->timer, &expirations, sizeof expirations) < 0 ||
      lp_get_stats(server->host, &stats, sizeof stats) != LP_OK)
    return;
  printf("%llu running, %llu waiting, %llu done\n",
         (unsigned long long)stats.running, (unsigned long long)stats.queued,
         (unsigned long long)stats.done);
  fflush(stdout);
}

/* --- the loop ------------------------------------------------------------- */

static int open_socket(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  address.sin_port = htons((uint16_t)port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd == -1 ||
      bind(fd, (const struct sockaddr *)&address, sizeof address) == 0)
    return fd;
  close(fd);
  return -1;
}

static int open_timer(void) {
  const struct itimerspec second = {{1, 0}, {1, 0}};
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd != -1)
    timerfd_settime(fd, 0, &second, NULL);
  return fd;
}

static int open_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int watch(int epoll, int fd) {
  struct epoll_event event = {.events = EPOLLIN};
  event.data.fd = fd;
  return fd < 0 ? -1 : epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int open_all(struct server *server, int port) {
  server->epoll = epoll_create1(EPOLL_CLOEXEC);
  server->socket = open_socket(port);
  server->timer = open_timer();
  server->signals = open_signals();
  if (watch(server->epoll, server->socket) != 0 ||
      watch(server->epoll, server->timer) != 0 ||
      watch(server->epoll, server->signals) != 0) {
    perror("eventloop");
    return -1;
  }
  if (lp_open(NULL, &server->host) != LP_OK ||
      watch(server->epoll, lp_fd(server->host)) != 0) {
    fprintf(stderr, "eventloop: %s\n", lp_error(server->host));
    return -1;
  }
  return 0;
}

static void close_all(struct server *server) {
  lp_close(server->host);
  close(server->signals);
  close(server->timer);
  close(server->socket);
  close(server->epoll);
}

static void serve(struct server *server) {
  struct epoll_event event;
  for (;;) {
    if (epoll_wait(server->epoll, &event, 1, -1) != 1)
      continue;
    if (event.data.fd == server->signals)
      return;
    if (event.data.fd == server->socket)
      take_request(server);
    else if (event.data.fd == server->timer)
      tell_load(server);
    else
      poll_host(server);
  }
}

int main(int argc, char **argv) {
  struct server server = {0};
  int status;
  if (argc != 2) {
    fputs("usage: eventloop PORT\n", stderr);
    return 2;
  }
  status = open_all(&server, atoi(argv[1]));
  if (status == 0)
    serve(&server);
  close_all(&server);
  return status != 0;
}
