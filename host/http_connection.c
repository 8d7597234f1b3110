/* One connection of an HTTP server. See http_connection.h. */
#define _GNU_SOURCE
#include "http_connection.h"

#include "memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
  /* One callback reads at most this often, so that one client does not keep
   * the loop from the others. */
  READS_MAX = 16,
  /* What a client may send ahead of its turn. */
  AHEAD_MAX = 16 * 1024
};

static void go_on(struct lp__connection *connection);
static void receive(struct lp__connection *connection, const char *bytes,
                    size_t size);

static uv_loop_t *uv_of(struct lp__connection *connection) {
  return lp__loop_uv(connection->server->loop);
}

/* --- what is watched, counted and timed ---------------------------------- */

static void on_ready(uv_poll_t *poll, int status, int events);

static void watch(struct lp__connection *connection) {
  int events = 0;
  if (!connection->ended && lp__bytes_size(&connection->ahead) == 0)
    events = UV_READABLE;
  else if (!connection->hung_up)
    events = UV_DISCONNECT;
  if (lp__bytes_size(&connection->unsent) > 0)
    events |= UV_WRITABLE;
  if (events == connection->watched || connection->phase == LP__CLOSED)
    return;
  connection->watched = events;
  lp__loop_watches_more(connection->server->loop);
  if (events)
    uv_poll_start(&connection->poll, events, on_ready);
  else
    uv_poll_stop(&connection->poll);
}

static void set_deadline(struct lp__connection *connection, uint64_t ms) {
  connection->deadline = ms ? uv_now(uv_of(connection)) + ms : 0;
}

/* Brings the server's count of buffered bytes up to date. */
void lp__connection_count(struct lp__connection *connection) {
  const struct lp__exchange *exchange = connection->exchange;
  uint64_t counted = connection->reader.body_room + connection->unsent.room;
  if (exchange)
    counted += exchange->request.body_size;
  connection->server->buffered += counted - connection->counted;
  connection->counted = counted;
}

/* --- the end ------------------------------------------------------------- */

/* Queues an event about the request; it is left out when memory is short. */
static bool push(struct lp__connection *connection,
                 struct lp__exchange *exchange, enum lp__event_kind kind) {
  struct lp__event *event = lp__event_new(kind, connection->server->id);
  if (!event)
    return false;
  lp__request_hold(&exchange->request);
  event->object = &exchange->request;
  event->release = (void (*)(void *))lp__request_release;
  lp__loop_push(connection->server->loop, event);
  return true;
}

static void drained(struct lp__connection *connection) {
  struct lp__exchange *exchange = connection->exchange;
  if (exchange && exchange->undrained) {
    exchange->undrained = false;
    push(connection, exchange, LP__EVENT_DRAINED);
  }
}

/* The request leaves the connection. */
static void detach(struct lp__connection *connection) {
  struct lp__exchange *exchange = connection->exchange;
  connection->exchange = NULL;
  if (exchange)
    exchange->connection = NULL;
}

static void on_closed(uv_handle_t *handle) {
  struct lp__connection *connection = handle->data;
  struct lp__http_server *server = connection->server;
  lp__free(connection);
  lp__http_server_released(server);
}

static void unlink_connection(struct lp__connection *connection) {
  struct lp__http_server *server = connection->server;
  if (connection->previous)
    connection->previous->next = connection->next;
  else
    server->connections = connection->next;
  if (connection->next)
    connection->next->previous = connection->previous;
  server->count--;
}

void lp__connection_close(struct lp__connection *connection) {
  if (connection->phase == LP__CLOSED)
    return;
  connection->phase = LP__CLOSED;
  drained(connection);
  detach(connection);
  uv_close((uv_handle_t *)&connection->poll, on_closed);
  close(connection->fd);
  lp__reader_free(&connection->reader);
  connection->reader.body_room = 0;
  lp__bytes_free(&connection->ahead);
  lp__bytes_free(&connection->unsent);
  lp__connection_count(connection);
  unlink_connection(connection);
}

/* Closes the connection so that the client reads what was sent. */
static void leave(struct lp__connection *connection) {
  bool unread = connection->behind || lp__bytes_size(&connection->ahead) > 0;
  if (connection->ended || !unread) {
    lp__connection_close(connection);
    return;
  }
  connection->phase = LP__LINGERING;
  lp__bytes_free(&connection->ahead);
  shutdown(connection->fd, SHUT_WR);
  set_deadline(connection, connection->server->config.header_ms);
  watch(connection);
}

/* --- sending ------------------------------------------------------------- */

/* Sends pieces, as many bytes as the socket takes; negative when it is
 * broken. */
static ssize_t send_pieces(int fd, struct iovec *pieces, size_t count) {
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
  ssize_t sent;
  do
    sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return 0;
  return sent;
}

/* Sends the pieces, or keeps what cannot be sent now. Closes the connection
 * when that fails. */
void lp__connection_put(struct lp__connection *connection, struct iovec *pieces,
                        size_t count) {
  ssize_t sent = 0;
  if (lp__bytes_size(&connection->unsent) == 0) {
    sent = send_pieces(connection->fd, pieces, count);
    if (sent < 0) {
      lp__connection_close(connection);
      return;
    }
  }
  size_t skip = (size_t)sent;
  bool waited = lp__bytes_size(&connection->unsent) > 0;
  for (size_t i = 0; i < count; i++) {
    size_t size = pieces[i].iov_len, done = skip < size ? skip : size;
    lp__bytes_add(&connection->unsent, (char *)pieces[i].iov_base + done,
                  size - done);
    skip -= done;
  }
  if (connection->unsent.failed) {
    lp__connection_close(connection);
  } else if (!waited && lp__bytes_size(&connection->unsent) > 0) {
    set_deadline(connection, connection->server->config.body_ms);
    watch(connection);
  }
}

/* Sends what is waiting. */
static void flush(struct lp__connection *connection) {
  size_t size = lp__bytes_size(&connection->unsent);
  struct iovec piece = {connection->unsent.data + connection->unsent.start,
                        size};
  ssize_t sent = size > 0 ? send_pieces(connection->fd, &piece, 1) : 0;
  if (sent < 0) {
    lp__connection_close(connection);
    return;
  }
  if (sent > 0) {
    lp__bytes_take(&connection->unsent, (size_t)sent);
    set_deadline(connection, connection->server->config.body_ms);
    lp__connection_count(connection);
  }
  if (lp__bytes_size(&connection->unsent) > 0)
    return;
  drained(connection);
  if (connection->phase == LP__FLUSHING)
    go_on(connection);
  else if (connection->phase == LP__WAITING)
    set_deadline(connection, 0);
  watch(connection);
}

/* The answer is complete: the connection turns to the next request as soon as
 * it is sent. */
void lp__connection_answered(struct lp__connection *connection) {
  if (connection->exchange)
    connection->exchange->undrained = false;
  detach(connection);
  if (connection->phase == LP__CLOSED)
    return;
  connection->phase = LP__FLUSHING;
  if (lp__bytes_size(&connection->unsent) == 0)
    go_on(connection);
  lp__connection_count(connection);
}

/* Starts with the next request, or ends. */
static void go_on(struct lp__connection *connection) {
  size_t size = lp__bytes_size(&connection->ahead);
  if (!connection->keeps) {
    leave(connection);
    return;
  }
  connection->phase = LP__READING;
  lp__reader_reset(&connection->reader);
  set_deadline(connection, connection->server->config.idle_ms);
  if (size > 0) {
    struct lp__bytes bytes = connection->ahead;
    memset(&connection->ahead, 0, sizeof connection->ahead);
    receive(connection, bytes.data + bytes.start, size);
    lp__bytes_free(&bytes);
  }
  if (connection->phase == LP__READING && connection->ended)
    lp__connection_close(connection);
  else
    watch(connection);
}

/* --- refusing ------------------------------------------------------------ */

static const char *message_of(int status) {
  switch (status) {
  case 400:
    return "This is not a request that HTTP allows";
  case 408:
    return "The request did not arrive in time";
  case 431:
    return "The headers of the request are too large";
  case 501:
    return "The server does not offer this";
  case 503:
    return "The server has too much to do";
  default:
    return "The server speaks HTTP/1.1";
  }
}

/* Answers what cannot be a request and ends the connection. */
static void refuse(struct lp__connection *connection, int status) {
  static const struct lp__field type = {"content-type", "application/json", 12,
                                        16};
  struct lp__http_server *server = connection->server;
  char body[96];
  int size =
      snprintf(body, sizeof body, "{\"message\":\"%s\"}", message_of(status));
  struct lp__answer answer = {.status = status,
                              .length = (size_t)size,
                              .fields = &type,
                              .field_count = 1};
  server->head.end = 0;
  server->head.failed = false;
  lp__answer_head(&server->head, &answer, &server->date);
  lp__bytes_add(&server->head, body, (size_t)size);
  struct iovec piece = {server->head.data, server->head.end};
  connection->keeps = false;
  connection->behind = true;
  lp__connection_put(connection, &piece, 1);
  lp__connection_answered(connection);
}

/* --- receiving ----------------------------------------------------------- */

/* Hands the request that has been read to the owner. */
static void submit(struct lp__connection *connection) {
  struct lp__reader *reader = &connection->reader;
  struct lp__exchange *exchange =
      lp__calloc(1, sizeof *exchange + lp__reader_request_size(reader));
  if (!exchange) {
    refuse(connection, 503);
    return;
  }
  struct lp__request *request = &exchange->request;
  lp__reader_request(reader, request, exchange + 1);
  if (!request->problem && reader->body_size > 0) {
    request->body = exchange->body = reader->body;
    request->body_size = reader->body_size;
    reader->body = NULL;
    reader->body_room = 0;
  }
  exchange->holds = 1;
  exchange->connection = connection;
  exchange->address = connection->address;
  exchange->no_body = reader->is_head;
  connection->exchange = exchange;
  connection->phase = LP__WAITING;
  connection->keeps = lp__reader_keeps(reader);
  connection->behind = reader->too_large;
  set_deadline(connection, 0);
  /* Without an event the hold that is given back is the last one. */
  push(connection, exchange, LP__EVENT_REQUEST);
  lp__request_release(request);
}

/* The head is there. */
static void on_head(struct lp__connection *connection) {
  static char go[] = "HTTP/1.1 100 Continue\r\n\r\n";
  const struct lp__reader *reader = &connection->reader;
  struct iovec piece = {go, sizeof go - 1};
  if (reader->expects && !reader->old && reader->state != LP__READ_DONE)
    lp__connection_put(connection, &piece, 1);
}

/* Takes bytes of the current request; how many, or none after a refusal. */
static size_t read_request(struct lp__connection *connection, const char *bytes,
                           size_t size) {
  const struct lp__http_config *config = &connection->server->config;
  struct lp__reader *reader = &connection->reader;
  bool fresh = lp__reader_fresh(reader);
  bool in_head = reader->state == LP__READ_HEAD;
  ssize_t used = lp__reader_take(reader, bytes, size);
  if (used < 0) {
    refuse(connection, (int)-used);
    return 0;
  }
  if (in_head && reader->state == LP__READ_HEAD && fresh)
    set_deadline(connection, config->header_ms);
  if (reader->state != LP__READ_HEAD)
    set_deadline(connection, config->body_ms);
  if (in_head && reader->state != LP__READ_HEAD)
    on_head(connection);
  return (size_t)used;
}

/* Submits the request if it is complete, or refuses it if it takes too much
 * memory. */
static void look_at_request(struct lp__connection *connection) {
  const struct lp__http_server *server = connection->server;
  if (connection->phase == LP__CLOSED)
    return;
  lp__connection_count(connection);
  if (connection->reader.body_room > 0 &&
      server->buffered > server->config.buffered_bytes)
    refuse(connection, 503);
  else if (connection->reader.state == LP__READ_DONE)
    submit(connection);
}

static void receive(struct lp__connection *connection, const char *bytes,
                    size_t size) {
  while (size > 0 && connection->phase == LP__READING) {
    size_t used = read_request(connection, bytes, size);
    bytes += used;
    size -= used;
    if (connection->phase == LP__READING)
      look_at_request(connection);
  }
  if (size > 0 && connection->phase == LP__WAITING && !connection->behind) {
    lp__bytes_add(&connection->ahead, bytes, size);
    if (connection->ahead.failed)
      lp__connection_close(connection);
  }
}

/* Reads into the body of the request, as long as there is one to read. */
static ssize_t read_body(struct lp__connection *connection) {
  size_t size;
  char *space = lp__reader_space(&connection->reader, &size);
  if (!space) {
    errno = ENOMEM;
    return -1;
  }
  ssize_t got = recv(connection->fd, space, size, MSG_DONTWAIT);
  if (got > 0) {
    lp__reader_took(&connection->reader, (size_t)got);
    set_deadline(connection, connection->server->config.body_ms);
    look_at_request(connection);
  }
  return got;
}

/* Reads what may only be kept or thrown away now. */
static ssize_t read_scratch(struct lp__connection *connection) {
  struct lp__http_server *server = connection->server;
  bool ahead =
      connection->phase == LP__WAITING || connection->phase == LP__FLUSHING;
  size_t most = ahead && !connection->behind ? AHEAD_MAX : LP__SCRATCH;
  ssize_t got = recv(connection->fd, server->scratch, most, MSG_DONTWAIT);
  if (got <= 0)
    return got;
  if (connection->phase == LP__READING) {
    receive(connection, server->scratch, (size_t)got);
  } else if (ahead && !connection->behind) {
    lp__bytes_add(&connection->ahead, server->scratch, (size_t)got);
    if (connection->ahead.failed)
      lp__connection_close(connection);
  }
  return got;
}

/* The client sends no more. It may have closed its half only, and is answered
 * as if it had. */
static void on_end(struct lp__connection *connection) {
  connection->hung_up = connection->ended = true;
  if (connection->phase == LP__READING || connection->phase == LP__LINGERING)
    lp__connection_close(connection);
}

static void on_readable(struct lp__connection *connection) {
  for (int i = 0; i < READS_MAX && connection->phase != LP__CLOSED &&
                  lp__bytes_size(&connection->ahead) == 0;
       i++) {
    bool body = connection->phase == LP__READING &&
                connection->reader.state == LP__READ_BODY;
    ssize_t got = body ? read_body(connection) : read_scratch(connection);
    if (got == 0)
      on_end(connection);
    else if (got < 0 && errno != EAGAIN && errno != EINTR)
      lp__connection_close(connection);
    if (got < LP__SCRATCH)
      break;
  }
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  struct lp__connection *connection = poll->data;
  if (status < 0) {
    lp__connection_close(connection);
    return;
  }
  if (events & UV_READABLE)
    on_readable(connection);
  if (events & UV_DISCONNECT)
    connection->hung_up = true;
  if ((events & UV_WRITABLE) && connection->phase != LP__CLOSED)
    flush(connection);
  watch(connection);
}

/* --- opening and time ---------------------------------------------------- */

void lp__connection_open(struct lp__http_server *server, int fd,
                         const union lp__address *address, bool refused) {
  struct lp__connection *connection = lp__calloc(1, sizeof *connection);
  if (!connection ||
      uv_poll_init(lp__loop_uv(server->loop), &connection->poll, fd) < 0) {
    lp__free(connection);
    close(fd);
    return;
  }
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  connection->poll.data = connection;
  connection->server = server;
  connection->fd = fd;
  connection->address = *address;
  lp__reader_init(&connection->reader, server->config.header_bytes,
                  server->config.body_bytes);
  connection->next = server->connections;
  if (connection->next)
    connection->next->previous = connection;
  server->connections = connection;
  server->count++;
  server->handles++;
  set_deadline(connection, server->config.header_ms);
  if (refused)
    refuse(connection, 503);
  watch(connection);
}

static void on_late(struct lp__connection *connection) {
  bool partial = connection->phase == LP__READING &&
                 !lp__reader_fresh(&connection->reader);
  if (partial)
    refuse(connection, 408);
  else
    lp__connection_close(connection);
}

void lp__connections_check(struct lp__http_server *server) {
  uint64_t now = uv_now(lp__loop_uv(server->loop));
  struct lp__connection *connection = server->connections, *next;
  for (; connection; connection = next) {
    next = connection->next;
    if (connection->deadline > 0 && now >= connection->deadline)
      on_late(connection);
  }
}
