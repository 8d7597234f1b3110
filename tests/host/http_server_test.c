/* The HTTP server through sockets: what it reads, and what it refuses. */
#include "tests/host/http_server_support.h"

#include <sys/resource.h>

#define GET "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"

/* What the server says to `size` bytes and nothing more. */
static const char *talk_bytes(struct world *world, const char *bytes,
                              size_t size) {
  int fd = connect_client(world);
  clear_reply(world);
  if (send_all(world, fd, bytes, size))
    shutdown(fd, SHUT_WR);
  read_to_end(world, fd);
  close(fd);
  return world->reply;
}

static const char *talk(struct world *world, const char *text) {
  return talk_bytes(world, text, strlen(text));
}

/* --- requests ------------------------------------------------------------ */

static void test_request(void **state) {
  listen_now(*state);
  const char *reply = talk(*state, GET);
  assert_has(reply, "HTTP/1.1 200 OK\r\nDate: ");
  assert_has(reply, " GMT\r\nContent-Length: 13\r\n");
  assert_has(reply, "\r\nx-test: yes\r\n\r\n[GET /a?b=c ]");
  assert_null(strstr(reply, "Connection:"));
}

static void test_bytes_one_by_one(void **state) {
  static const char text[] = "\r\nPOST /p HTTP/1.1\r\nHost: x\r\n"
                             "Content-Length: 5\r\n\r\nhello";
  struct world *world = *state;
  listen_now(world);
  int fd = connect_client(world);
  for (const char *c = text; *c; c++) {
    send_all(world, fd, c, 1);
    turn(world);
  }
  read_until(world, fd, "[POST /p hello]");
  close(fd);
}

static void look_at_fields(struct world *world, struct lp__request *request) {
  static const char *const wanted[] = {"host",  "x", "x-long", "a  b\t c",
                                       "empty", "",  "twice",  "1",
                                       "twice", "2"};
  assert_int_equal(request->field_count, 5);
  for (size_t i = 0; i < 5; i++) {
    const struct lp__field *field = &request->fields[i];
    assert_string_equal(field->name, wanted[2 * i]);
    assert_string_equal(field->value, wanted[2 * i + 1]);
    assert_int_equal(field->name_size, strlen(field->name));
    assert_int_equal(field->value_size, strlen(field->value));
  }
  assert_int_equal(request->path_size, 5);
  assert_int_equal(request->target_size, 9);
  assert_null(request->body);
  assert_null(request->problem);
  echo(world, request);
}

static void test_fields(void **state) {
  struct world *world = *state;
  world->answer = look_at_fields;
  listen_now(world);
  talk(world, "GET /a%20?q=? HTTP/1.1\r\nHost: x\r\n");
  assert_int_equal(world->requests, 0);
  talk(world, "GET /a%2f?q=? HTTP/1.1\r\nHOST:x\r\nX-Long: \t a  b\t c \t\r\n"
              "Empty:\r\nTwice: 1\r\ntwIce: 2\r\n\r\n");
  assert_int_equal(world->requests, 1);
}

static void test_pipelined(void **state) {
  struct world *world = *state;
  listen_now(world);
  talk(world,
       "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"
       "POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
       "POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
       "2;x=\"y\"\r\nde\r\n001 \r\nf\r\n0\r\nTrailer: 1\r\n\r\n"
       "GET /4 HTTP/1.1\r\nHost: x\r\n\r\n");
  assert_int_equal(world->requests, 4);
  const char *first = strstr(world->reply, "[GET /1 ]");
  const char *second = strstr(world->reply, "[POST /2 abc]");
  const char *third = strstr(world->reply, "[POST /3 def]");
  const char *fourth = strstr(world->reply, "[GET /4 ]");
  assert_true(first && first < second && second < third && third < fourth);
}

/* More than is read ahead of its turn, from a client that closes its half. */
static void test_many_pipelined(void **state) {
  struct world *world = *state;
  size_t size = strlen(GET), count = 4000;
  char *text = malloc(size * count);
  for (size_t i = 0; i < count; i++)
    memcpy(text + i * size, GET, size);
  listen_now(world);
  int fd = connect_client(world);
  size_t received = 0;
  ssize_t got;
  assert_true(send_all(world, fd, text, size * count));
  shutdown(fd, SHUT_WR);
  while ((got = recv(fd, world->reply, REPLY_MAX, MSG_DONTWAIT)) != 0) {
    received += got > 0 ? (size_t)got : 0;
    turn(world);
  }
  assert_int_equal(world->requests, (int)count);
  assert_true(received > count * 100);
  close(fd);
  free(text);
}

static void test_targets(void **state) {
  static const char *const targets[][2] = {
      {"GET http://h/p?q", "[GET /p?q ]"}, {"GET HTTPS://h:1/", "[GET / ]"},
      {"GET http://h", "[GET / ]"},        {"GET http://h?q", "[GET /?q ]"},
      {"OPTIONS *", "[OPTIONS * ]"},       {"M-SEARCH //", "[M-SEARCH // ]"}};
  char text[128];
  listen_now(*state);
  for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
    snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\n\r\n",
             targets[i][0]);
    assert_has(talk(*state, text), targets[i][1]);
  }
}

static void test_head_has_no_body(void **state) {
  listen_now(*state);
  const char *reply = talk(*state, "HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n");
  assert_has(reply, "Content-Length: 10\r\n");
  assert_null(strstr(reply, "[HEAD"));
}

static void test_connections_end(void **state) {
  static const char *const closing[] = {
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n",
      "GET / HTTP/1.0\r\n\r\n"};
  struct world *world = *state;
  listen_now(world);
  for (size_t i = 0; i < 2; i++) {
    int fd = connect_client(world);
    clear_reply(world);
    send_text(world, fd, closing[i]);
    send_text(world, fd, GET);
    read_to_end(world, fd);
    close(fd);
    assert_has(world->reply, "\r\nConnection: close\r\n");
    assert_int_equal(world->requests, (int)i + 1);
  }
  assert_has(talk(world, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
             "\r\nConnection: keep-alive\r\n");
}

static void test_continue(void **state) {
  struct world *world = *state;
  listen_now(world);
  int fd = connect_client(world);
  send_text(world, fd,
            "PUT /c HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            "Expect: 100-Continue\r\n\r\n");
  read_until(world, fd, "HTTP/1.1 100 Continue\r\n\r\n");
  send_text(world, fd, "ok");
  read_until(world, fd, "[PUT /c ok]");
  close(fd);
}

static void check_big(struct world *world, struct lp__request *request) {
  bool same = true;
  for (size_t i = 0; i < request->body_size; i++)
    same = same && request->body[i] == (char)(i * 31 + (i >> 12));
  assert_true(same);
  assert_true(lp__request_respond(request, 200, NULL, 0, request->body,
                                  request->body_size));
  (void)world;
}

/* A body of some MB there and back, by length and in chunks. */
static void test_large_bodies(void **state) {
  enum { SIZE = 8 * 1024 * 1024 };
  struct world *world = *state;
  char *body = malloc(SIZE), *back = malloc(SIZE + 1000);
  size_t got_size = 0;
  ssize_t got;
  for (size_t i = 0; i < SIZE; i++)
    body[i] = (char)(i * 31 + (i >> 12));
  world->answer = check_big;
  listen_now(world);
  int fd = connect_client(world);
  char head[128];
  snprintf(head, sizeof head,
           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", SIZE);
  send_text(world, fd, head);
  assert_true(send_all(world, fd, body, SIZE));
  shutdown(fd, SHUT_WR);
  while ((got = recv(fd, back + got_size, SIZE + 1000 - got_size,
                     MSG_DONTWAIT)) != 0) {
    got_size += got > 0 ? (size_t)got : 0;
    turn(world);
  }
  assert_true(got_size > SIZE);
  assert_memory_equal(back + got_size - SIZE, body, SIZE);
  close(fd);

  fd = connect_client(world);
  send_text(world, fd,
            "POST / HTTP/1.1\r\nHost: x\r\n"
            "Transfer-Encoding: chunked\r\n\r\n");
  for (size_t at = 0; at < SIZE / 8; at += 65536) {
    send_text(world, fd, "10000\r\n");
    assert_true(send_all(world, fd, body + at, 65536));
    send_text(world, fd, "\r\n");
  }
  send_text(world, fd, "0\r\n\r\n");
  while (world->requests < 2)
    turn(world);
  close(fd);
  free(body);
  free(back);
}

/* --- what is refused ----------------------------------------------------- */

static const struct {
  const char *bytes;
  const char *status;
} refusals[] = {
    {"\n", "400"},
    {"GET / HTTP/1.1\n\n", "400"},
    {"GET / HTTP/1.1\r\nHost: x\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: x\r\n\n", "400"},
    {"GET  / HTTP/1.1\r\n\r\n", "400"},
    {"GET / HTTP/1.1 \r\n\r\n", "400"},
    {"GET / \r\n\r\n", "400"},
    {"GET /\r\n\r\n", "400"},
    {"GET /a b HTTP/1.1\r\n\r\n", "400"},
    {"GET /a\x01 HTTP/1.1\r\n\r\n", "400"},
    {"GET a HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
    {"GET * HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
    {"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
    {"GET ftp://h/ HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
    {"get / HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
    {"GETGETGETGETGETGET / HTTP/1.1\r\n\r\n", "400"},
    {"GET / HTTP/1.x\r\n\r\n", "400"},
    {"GET / HTTP/11\r\n\r\n", "400"},
    {"GET / http/1.1\r\n\r\n", "400"},
    {"GET / HTTP/2.0\r\n\r\n", "505"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
    {"\x16\x03\x01\x02", "400"}, /* TLS */
    {"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", "501"},
    {"GET / HTTP/1.1\r\n\r\n", "400"}, /* no host */
    {"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n Host: x\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n: x\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nH\xc3\xb6st: x\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: x\x07\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: x\ry\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n"
     "\r\n",
     "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n"
     "\r\n",
     "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
     "Transfer-Encoding: chunked\r\n\r\n",
     "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
     "Transfer-Encoding: chunked\r\n\r\n",
     "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     "501"},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
     "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
     "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
     "1000000000000000\r\n",
     "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
     "1\nx\r\n",
     "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
     "1\r\nxy\r\n",
     "400"},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
     "1\r\nx\ry\r\n",
     "400"},
};

static void test_refusals(void **state) {
  struct world *world = *state;
  listen_now(world);
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    char wanted[16];
    snprintf(wanted, sizeof wanted, "HTTP/1.1 %s ", refusals[i].status);
    const char *reply = talk(world, refusals[i].bytes);
    if (strncmp(reply, wanted, strlen(wanted)) != 0)
      fail_msg("'%s' got '%s'", refusals[i].bytes, reply);
    assert_has(reply, "\r\nConnection: close\r\n");
    assert_has(reply, "\r\n\r\n{\"message\":\"");
  }
  assert_int_equal(world->requests, 0);
}

static void test_zeros(void **state) {
  static const char line[] = "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n";
  static const char field[] = "GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n";
  static const char name[] = "GET / HTTP/1.1\r\nHo\0st: x\r\n\r\n";
  listen_now(*state);
  assert_has(talk_bytes(*state, line, sizeof line - 1), "HTTP/1.1 400 ");
  assert_has(talk_bytes(*state, field, sizeof field - 1), "HTTP/1.1 400 ");
  assert_has(talk_bytes(*state, name, sizeof name - 1), "HTTP/1.1 400 ");
}

static void test_header_limits(void **state) {
  struct world *world = *state;
  char text[8192];
  world->config.header_bytes = 4096;
  listen_now(world);
  memset(text, 'a', sizeof text);
  memcpy(text, "GET /", 5);
  assert_has(talk_bytes(world, text, sizeof text), "HTTP/1.1 431 ");
  int size = sprintf(text, "GET / HTTP/1.1\r\nHost: x\r\n");
  for (int i = 0; i < 256; i++)
    size += sprintf(text + size, "a: %d\r\n", i);
  size += sprintf(text + size, "\r\n");
  assert_has(talk_bytes(world, text, (size_t)size), "HTTP/1.1 431 ");
  for (size_t i = 0; i < sizeof text; i += 2)
    memcpy(text + i, "\r\n", 2);
  assert_has(talk_bytes(world, text, sizeof text), "HTTP/1.1 431 ");
  size = sprintf(text, "POST / HTTP/1.1\r\nHost: x\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n0\r\n");
  for (int i = 0; i < 1500; i++)
    size += sprintf(text + size, "a:\r\n");
  assert_has(talk_bytes(world, text, (size_t)size), "HTTP/1.1 431 ");
  assert_int_equal(world->requests, 0);
}

static void refuse_large(struct world *world, struct lp__request *request) {
  (void)world;
  assert_non_null(request->problem);
  assert_string_equal(request->problem, "body_too_large");
  assert_null(request->body);
  assert_true(lp__request_respond(request, 413, NULL, 0, "large", 5));
}

/* The client learns why, though it sends all of its body first. */
static void test_body_too_large(void **state) {
  enum { SIZE = 4 * 1024 * 1024 };
  struct world *world = *state;
  char *body = calloc(1, SIZE + 200);
  world->config.body_bytes = 1000;
  world->answer = refuse_large;
  listen_now(world);
  int size = sprintf(body,
                     "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                     "Content-Length: %d\r\n\r\n",
                     SIZE);
  assert_has(talk_bytes(world, body, SIZE + (size_t)size), "HTTP/1.1 413 ");
  assert_null(strstr(world->reply, "100 Continue"));
  assert_has(world->reply, "Connection: close");
  size = sprintf(body, "POST / HTTP/1.1\r\nHost: x\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n3E9\r\n");
  assert_has(talk_bytes(world, body, SIZE + (size_t)size), "HTTP/1.1 413 ");
  assert_int_equal(world->requests, 2);
  free(body);
}

/* What one client keeps waiting counts against the next one. */
static void test_buffered_limit(void **state) {
  struct world *world = *state;
  char *body = calloc(1, 100000);
  world->config.buffered_bytes = 150000;
  world->answer = NULL;
  listen_now(world);
  int size = sprintf(body, "POST / HTTP/1.1\r\nHost: x\r\n"
                           "Content-Length: 90000\r\n\r\n");
  int fd = connect_client(world);
  send_all(world, fd, body, 90000 + (size_t)size);
  while (world->kept_count == 0)
    turn(world);
  assert_has(talk_bytes(world, body, 90000 + (size_t)size), "HTTP/1.1 503 ");
  world->answer = echo;
  assert_has(talk(world, GET), "HTTP/1.1 200 "); /* no body, no limit */
  lp__request_respond(world->kept[0], 204, NULL, 0, NULL, 0);
  assert_has(talk_bytes(world, body, 90000 + (size_t)size), "HTTP/1.1 200 ");
  close(fd);
  free(body);
}

static void test_too_many_connections(void **state) {
  struct world *world = *state;
  world->config.connections = 2;
  listen_now(world);
  int first = connect_client(world), second = connect_client(world);
  assert_has(talk(world, GET), "HTTP/1.1 503 ");
  close(first);
  do
    talk(world, GET);
  while (!strstr(world->reply, "HTTP/1.1 200 "));
  close(second);
}

/* Bytes that nobody means: pieces of requests in any order. */
static void test_noise(void **state) {
  static const char *const pieces[] = {"GET / HTTP/1.1\r\n",
                                       "Host: x\r\n",
                                       "\r\n",
                                       "\n",
                                       "\r",
                                       "POST ",
                                       "Content-Length: 3\r\n",
                                       "abc",
                                       "0",
                                       " ",
                                       "Transfer-Encoding: chunked\r\n",
                                       "5\r\n",
                                       ":",
                                       "\xff",
                                       "Expect: 100-continue\r\n",
                                       "Connection: close\r\n",
                                       "HTTP/1.0"};
  struct world *world = *state;
  unsigned seed = 12345;
  listen_now(world);
  for (int i = 0; i < 400; i++) {
    char text[1024] = "";
    int count = (int)(seed >> 16) % 12 + 1;
    for (int j = 0; j < count; j++) {
      seed = seed * 1103515245 + 12345;
      strcat(text, pieces[(seed >> 16) % (sizeof pieces / sizeof *pieces)]);
    }
    talk(world, text);
    assert_true(world->size == 0 || strncmp(world->reply, "HTTP/1.1 ", 9) == 0);
  }
  assert_has(talk(world, GET), "HTTP/1.1 200 ");
}

/* Without descriptors it waits until there are some again. */
static void test_too_many_files(void **state) {
  struct world *world = *state;
  struct rlimit before, low;
  world->config.idle_ms = 40; /* it looks four times as often */
  listen_now(world);
  int fd = connect_client(world), next = dup(fd);
  close(next);
  send_text(world, fd, GET);
  getrlimit(RLIMIT_NOFILE, &before);
  low = before;
  low.rlim_cur = (rlim_t)next;
  setrlimit(RLIMIT_NOFILE, &low);
  for (int i = 0; i < 20; i++)
    turn(world);
  setrlimit(RLIMIT_NOFILE, &before);
  assert_int_equal(world->requests, 0);
  clear_reply(world);
  read_until(world, fd, "[GET /a?b=c ]");
  close(fd);
}

static void test_no_such_host(void **state) {
  struct world *world = *state;
  world->config.host = "256.0.0.1";
  assert_int_equal(
      lp__http_server_open(&world->server, world->loop, -1, &world->config),
      -ENXIO);
  world->server = NULL;
}

static void test_port_in_use(void **state) {
  struct world *world = *state;
  struct lp__http_server *other = NULL;
  listen_now(world);
  world->config.port = lp__http_server_port(world->server);
  assert_int_equal(
      lp__http_server_open(&other, world->loop, -2, &world->config),
      -EADDRINUSE);
}

int main(void) {
#define TEST(name)                                                             \
  cmocka_unit_test_setup_teardown(name, open_world, close_world)
  const struct CMUnitTest tests[] = {TEST(test_request),
                                     TEST(test_bytes_one_by_one),
                                     TEST(test_fields),
                                     TEST(test_pipelined),
                                     TEST(test_many_pipelined),
                                     TEST(test_targets),
                                     TEST(test_head_has_no_body),
                                     TEST(test_connections_end),
                                     TEST(test_continue),
                                     TEST(test_large_bodies),
                                     TEST(test_refusals),
                                     TEST(test_zeros),
                                     TEST(test_header_limits),
                                     TEST(test_body_too_large),
                                     TEST(test_buffered_limit),
                                     TEST(test_too_many_connections),
                                     TEST(test_noise),
                                     TEST(test_too_many_files),
                                     TEST(test_no_such_host),
                                     TEST(test_port_in_use)};
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
