/* An HTTP/1.1 server on an lp__loop: its listener and its clock. See
 * http_server.h; the rest is in http_connection.c and http_request.c. */
#define _GNU_SOURCE
#include "http_connection.h"

#include "memory.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
  ACCEPTS_MAX = 64, /* in one callback */
  BACKLOG = 1024,
  /* Connections that are told that there are too many; beyond, they are closed
   * without a word. */
  REFUSED_MAX = 64,
  TICK_MS = 1000 /* at most */
};

void lp__http_config_init(struct lp__http_config *config) {
  *config = (struct lp__http_config){.host = "127.0.0.1",
                                     .header_bytes = LP__HEADER_BYTES_MAX,
                                     .body_bytes = 70167211,
                                     .buffered_bytes = (uint64_t)512 << 20,
                                     .connections = 4096,
                                     .header_ms = 10000,
                                     .body_ms = 60000,
                                     .idle_ms = 120000};
}

/* --- accepting ----------------------------------------------------------- */

/* False when there is nobody to accept now. */
static bool accept_one(struct lp__http_server *server) {
  union lp__address address;
  socklen_t size = sizeof address;
  memset(&address, 0, sizeof address);
  int fd =
      accept4(server->fd, &address.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    server->deaf = errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                   errno == ENOMEM;
    return errno == EINTR || errno == ECONNABORTED;
  }
  unsigned limit = server->config.connections;
  if (server->count < limit)
    lp__connection_open(server, fd, &address, false);
  else if (server->count < limit + REFUSED_MAX)
    lp__connection_open(server, fd, &address, true);
  else
    close(fd);
  return true;
}

static void on_client(uv_poll_t *poll, int status, int events) {
  struct lp__http_server *server = poll->data;
  (void)events;
  if (status < 0)
    return;
  for (int i = 0; i < ACCEPTS_MAX && accept_one(server); i++)
    ;
  if (server->deaf)
    uv_poll_stop(&server->listener);
}

static void on_tick(uv_timer_t *timer) {
  struct lp__http_server *server = timer->data;
  lp__connections_check(server);
  if (server->deaf) {
    server->deaf = false;
    uv_poll_start(&server->listener, UV_READABLE, on_client);
  }
}

/* --- opening ------------------------------------------------------------- */

static int listen_at(const struct addrinfo *address) {
  int on = 1;
  int fd =
      socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 &&
      listen(fd, BACKLOG) == 0)
    return fd;
  int status = -errno;
  close(fd);
  return status;
}

/* A listening socket, or a negative errno. */
static int open_listener(const struct lp__http_config *config) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                           .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
  struct addrinfo *found;
  char port[8];
  snprintf(port, sizeof port, "%u", config->port);
  if (getaddrinfo(config->host, port, &hints, &found) != 0)
    return -ENXIO;
  int fd = listen_at(found);
  freeaddrinfo(found);
  return fd;
}

static uint16_t port_of(int fd) {
  union lp__address address;
  socklen_t size = sizeof address;
  if (getsockname(fd, &address.any, &size) < 0)
    return 0;
  return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port
                                                 : address.v4.sin_port);
}

/* A quarter of the shortest time that matters, within reason. */
static uint64_t tick_of(const struct lp__http_config *config) {
  uint64_t ms = config->header_ms;
  if (config->body_ms < ms)
    ms = config->body_ms;
  if (config->idle_ms < ms)
    ms = config->idle_ms;
  ms /= 4;
  return ms < 10 ? 10 : ms > TICK_MS ? TICK_MS : ms;
}

int lp__http_server_open(struct lp__http_server **out, struct lp__loop *loop,
                         int64_t id, const struct lp__http_config *config) {
  uv_loop_t *uv = lp__loop_uv(loop);
  uint64_t tick = tick_of(config);
  struct lp__http_server *server = lp__calloc(1, sizeof *server);
  if (!server)
    return -ENOMEM;
  int status = server->fd = open_listener(config);
  if (status >= 0)
    status = uv_poll_init(uv, &server->listener, server->fd);
  if (status < 0) {
    if (server->fd >= 0)
      close(server->fd);
    lp__free(server);
    return status;
  }
  server->loop = loop;
  server->id = id;
  server->config = *config;
  server->config.host = NULL; /* it was borrowed */
  server->port = port_of(server->fd);
  server->listener.data = server->tick.data = server;
  server->handles = 2;
  uv_poll_start(&server->listener, UV_READABLE, on_client);
  uv_timer_init(uv, &server->tick);
  uv_timer_start(&server->tick, on_tick, tick, tick);
  lp__loop_count(loop, 1);
  lp__loop_watches_more(loop);
  *out = server;
  return 0;
}

uint16_t lp__http_server_port(const struct lp__http_server *server) {
  return server->port;
}

/* --- closing ------------------------------------------------------------- */

void lp__http_server_released(struct lp__http_server *server) {
  if (--server->handles > 0)
    return;
  lp__bytes_free(&server->head);
  lp__free(server);
}

static void on_closed(uv_handle_t *handle) {
  lp__http_server_released(handle->data);
}

void lp__http_server_close(struct lp__http_server *server) {
  if (!server)
    return;
  while (server->connections)
    lp__connection_close(server->connections);
  uv_close((uv_handle_t *)&server->listener, on_closed);
  uv_close((uv_handle_t *)&server->tick, on_closed);
  close(server->fd);
  lp__loop_count(server->loop, -1);
}
