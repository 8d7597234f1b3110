/* Requests in the hands of their owner, and the answers to them. See
 * http_server.h. */
#include "http_connection.h"

#include "memory.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/uio.h>

static struct lp__exchange *exchange_of(struct lp__request *request) {
  return (struct lp__exchange *)request;
}

static void free_body(struct lp__exchange *exchange) {
  lp__free(exchange->body);
  exchange->body = NULL;
  exchange->request.body = NULL;
}

void lp__request_hold(struct lp__request *request) {
  exchange_of(request)->holds++;
}

void lp__request_release(struct lp__request *request) {
  struct lp__exchange *exchange = exchange_of(request);
  if (--exchange->holds > 0)
    return;
  struct lp__connection *connection = exchange->connection;
  if (connection) {
    connection->exchange = NULL;
    lp__connection_close(connection);
  }
  lp__free(exchange->body);
  lp__free(exchange);
}

/* Starts the head of an answer in the server's `head`; NULL when it has nowhere
 * to go. */
static struct lp__connection *start(struct lp__exchange *exchange,
                                    struct lp__answer *answer) {
  struct lp__connection *connection = exchange->connection;
  if (!connection)
    return NULL;
  struct lp__http_server *server = connection->server;
  if (answer->framing == LP__UNTIL_END || connection->ended)
    connection->keeps = false;
  answer->keep = connection->keeps;
  answer->old = connection->reader.old;
  server->head.end = 0;
  server->head.failed = false;
  lp__answer_head(&server->head, answer, &server->date);
  if (!server->head.failed)
    return connection;
  lp__connection_close(connection);
  return NULL;
}

static bool has_body(int status) {
  return status != 204 && status != 304;
}

bool lp__request_respond(struct lp__request *request, int status,
                         const struct lp__field *fields, size_t field_count,
                         const char *body, size_t body_size) {
  struct lp__exchange *exchange = exchange_of(request);
  struct lp__answer answer = {.status = status,
                              .framing =
                                  has_body(status) ? LP__LENGTH : LP__NO_BODY,
                              .length = body_size,
                              .fields = fields,
                              .field_count = field_count};
  if (exchange->begun)
    return false;
  exchange->begun = true;
  struct lp__connection *connection = start(exchange, &answer);
  if (connection) {
    struct lp__bytes *head = &connection->server->head;
    bool empty = exchange->no_body || !has_body(status);
    struct iovec pieces[] = {{head->data, head->end},
                             {(char *)body, empty ? 0 : body_size}};
    lp__connection_put(connection, pieces, 2);
    lp__connection_answered(connection);
  }
  free_body(exchange);
  return true;
}

bool lp__request_begin(struct lp__request *request, int status,
                       const struct lp__field *fields, size_t field_count) {
  struct lp__exchange *exchange = exchange_of(request);
  struct lp__answer answer = {
      .status = status, .fields = fields, .field_count = field_count};
  if (exchange->begun)
    return false;
  exchange->begun = true;
  if (!exchange->connection)
    return true;
  exchange->chunks = !exchange->connection->reader.old;
  answer.framing = !has_body(status)  ? LP__NO_BODY
                   : exchange->chunks ? LP__CHUNKS
                                      : LP__UNTIL_END;
  exchange->no_body |= !has_body(status);
  struct lp__connection *connection = start(exchange, &answer);
  if (connection) {
    struct lp__bytes *head = &connection->server->head;
    struct iovec piece = {head->data, head->end};
    lp__connection_put(connection, &piece, 1);
  }
  return true;
}

size_t lp__request_write(struct lp__request *request, const char *bytes,
                         size_t size) {
  struct lp__exchange *exchange = exchange_of(request);
  struct lp__connection *connection = exchange->connection;
  char head[24];
  if (!connection || !exchange->begun)
    return 0;
  if (size > 0 && !exchange->no_body) {
    int head_size = snprintf(head, sizeof head, "%zx\r\n", size);
    struct iovec pieces[] = {
        {head, (size_t)head_size}, {(char *)bytes, size}, {(char *)"\r\n", 2}};
    if (exchange->chunks)
      lp__connection_put(connection, pieces, 3);
    else
      lp__connection_put(connection, pieces + 1, 1);
  }
  if (!exchange->connection)
    return 0;
  lp__connection_count(connection);
  size_t unsent = lp__bytes_size(&connection->unsent);
  exchange->undrained = unsent > 0;
  return unsent;
}

void lp__request_finish(struct lp__request *request) {
  struct lp__exchange *exchange = exchange_of(request);
  struct lp__connection *connection = exchange->connection;
  struct iovec piece = {(char *)"0\r\n\r\n", 5};
  if (connection && exchange->begun) {
    if (exchange->chunks && !exchange->no_body)
      lp__connection_put(connection, &piece, 1);
    lp__connection_answered(connection);
  }
  if (exchange->begun)
    free_body(exchange);
}

/* Without chunks the client can only tell by a reset. */
void lp__request_abort(struct lp__request *request) {
  struct lp__exchange *exchange = exchange_of(request);
  struct lp__connection *connection = exchange->connection;
  struct linger now = {.l_onoff = 1};
  exchange->begun = true;
  if (connection) {
    exchange->undrained = false;
    if (!exchange->chunks)
      setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    lp__connection_close(connection);
  }
  free_body(exchange);
}

bool lp__request_gone(const struct lp__request *request) {
  const struct lp__exchange *exchange = (const struct lp__exchange *)request;
  return !exchange->connection || exchange->connection->hung_up;
}

uint16_t lp__request_address(const struct lp__request *request,
                             char address[LP__ADDRESS_SIZE]) {
  const union lp__address *from =
      &((const struct lp__exchange *)request)->address;
  bool v6 = from->any.sa_family == AF_INET6;
  const void *bytes =
      v6 ? (const void *)&from->v6.sin6_addr : &from->v4.sin_addr;
  inet_ntop(from->any.sa_family, bytes, address, LP__ADDRESS_SIZE);
  return ntohs(v6 ? from->v6.sin6_port : from->v4.sin_port);
}
