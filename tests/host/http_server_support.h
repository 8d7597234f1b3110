/* A server and its clients in one thread, for the tests of the HTTP server.
 * Requests are answered by `answer`; without it they are kept in `kept`. */
#ifndef LP_HTTP_SERVER_SUPPORT_H
#define LP_HTTP_SERVER_SUPPORT_H

#include "host/http_server.h"
#include "host/loop.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum { REPLY_MAX = 64 * 1024, KEPT_MAX = 64 };

struct world {
  struct lp__loop *loop;
  struct lp__http_server *server;
  struct lp__http_config config;
  void (*answer)(struct world *world, struct lp__request *request);
  struct lp__request *kept[KEPT_MAX];
  int kept_count, requests, drained;
  size_t unsent; /* what the last write left */
  char reply[REPLY_MAX];
  size_t size; /* of the reply; it ends with a zero */
  int fds;
};

static int count_fds(void) {
  int count = 0;
  DIR *folder = opendir("/proc/self/fd");
  while (readdir(folder))
    count++;
  closedir(folder);
  return count;
}

/* Answers with method, target and body. */
static void echo(struct world *world, struct lp__request *request) {
  static const struct lp__field type = {"x-test", "yes", 6, 3};
  char text[4096];
  (void)world;
  int size = snprintf(text, sizeof text, "[%s %s %.*s]", request->method,
                      request->target, (int)request->body_size,
                      request->body ? request->body : "");
  assert_true(lp__request_respond(request, 200, &type, 1, text, (size_t)size));
}

static int open_world(void **state) {
  struct world *world = calloc(1, sizeof *world);
  world->answer = echo;
  lp__http_config_init(&world->config);
  /* The first loop of a process opens some that stay. */
  assert_int_equal(lp__loop_open(&world->loop), 0);
  lp__loop_close(world->loop);
  world->fds = count_fds();
  assert_int_equal(lp__loop_open(&world->loop), 0);
  *state = world;
  return 0;
}

/* Listens, once the configuration is as the test wants it. */
static void listen_now(struct world *world) {
  assert_int_equal(
      lp__http_server_open(&world->server, world->loop, -1, &world->config), 0);
}

static void release_kept(struct world *world) {
  while (world->kept_count > 0)
    lp__request_release(world->kept[--world->kept_count]);
}

static int close_world(void **state) {
  struct world *world = *state;
  lp__http_server_close(world->server);
  lp__loop_close(world->loop);
  release_kept(world);
  assert_int_equal(count_fds(), world->fds);
  free(world);
  return 0;
}

static void take_event(struct world *world, const struct lp__event *event) {
  struct lp__request *request = event->object;
  assert_int_equal(event->id, -1);
  if (event->kind == LP__EVENT_DRAINED) {
    world->drained++;
  } else {
    assert_int_equal(event->kind, LP__EVENT_REQUEST);
    world->requests++;
    if (world->answer) {
      world->answer(world, request);
    } else {
      assert_true(world->kept_count < KEPT_MAX);
      lp__request_hold(request);
      world->kept[world->kept_count++] = request;
    }
  }
  lp__loop_drop(world->loop);
}

/* Runs the server for a moment. */
static void turn(struct world *world) {
  const struct lp__event *event;
  while ((event = lp__loop_next(world->loop, 0)))
    take_event(world, event);
  event = lp__loop_next(world->loop, 2);
  if (event)
    take_event(world, event);
}

static int connect_client(struct world *world) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port =
                                    htons(lp__http_server_port(world->server)),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(fd, (void *)&address, sizeof address), 0);
  return fd;
}

/* Sends everything, running the server meanwhile. False when it was closed. */
static bool send_all(struct world *world, int fd, const char *bytes,
                     size_t size) {
  while (size > 0) {
    ssize_t sent = send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
      return false;
    if (sent > 0) {
      bytes += sent;
      size -= (size_t)sent;
    } else {
      turn(world);
    }
  }
  return true;
}

static bool send_text(struct world *world, int fd, const char *text) {
  return send_all(world, fd, text, strlen(text));
}

/* Reads a little into the reply: bytes, 0 at the end, negative: nothing yet. */
static ssize_t read_some(struct world *world, int fd) {
  ssize_t got = recv(fd, world->reply + world->size,
                     sizeof world->reply - 1 - world->size, MSG_DONTWAIT);
  if (got < 0)
    return errno == EAGAIN ? -1 : 0;
  world->size += (size_t)got;
  world->reply[world->size] = '\0';
  return got;
}

static void clear_reply(struct world *world) {
  world->size = 0;
  world->reply[0] = '\0';
}

/* Reads until the reply has `text` in it. */
static void read_until(struct world *world, int fd, const char *text) {
  while (!strstr(world->reply, text)) {
    assert_int_not_equal(read_some(world, fd), 0);
    turn(world);
  }
}

/* Reads until the server closes the connection. */
static void read_to_end(struct world *world, int fd) {
  while (read_some(world, fd) != 0)
    turn(world);
}

static void assert_has(const char *reply, const char *text) {
  if (!strstr(reply, text))
    fail_msg("no '%s' in '%s'", text, reply);
}

#endif
