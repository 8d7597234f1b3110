/* The HTTP server through sockets: answers, time, and clients that go. */
#define _GNU_SOURCE
#include "tests/host/http_server_support.h"

#define GET    "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
#define GET_10 "GET /a HTTP/1.0\r\n\r\n"

/* Sends a request that is kept; the connection. */
static int ask(struct world *world, const char *text) {
  int fd = connect_client(world), count = world->kept_count;
  clear_reply(world);
  send_text(world, fd, text);
  while (world->kept_count == count)
    turn(world);
  return fd;
}

static int open_keeping(void **state) {
  open_world(state);
  struct world *world = *state;
  world->answer = NULL;
  return 0;
}

/* --- answers ------------------------------------------------------------- */

static void test_fields_of_answers(void **state) {
  static const struct lp__field fields[] = {
      {"Date", "never", 4, 5},    {"content-length", "99", 14, 2},
      {"CONNECTION", "x", 10, 1}, {"Transfer-Encoding", "x", 17, 1},
      {"set-cookie", "a", 10, 1}, {"set-cookie", "b", 10, 1}};
  struct world *world = *state;
  listen_now(world);
  int fd = ask(world, GET);
  assert_true(lp__request_respond(world->kept[0], 404, fields, 6, "no", 2));
  assert_false(lp__request_respond(world->kept[0], 200, NULL, 0, "", 0));
  assert_false(lp__request_begin(world->kept[0], 200, NULL, 0));
  read_until(world, fd, "\r\n\r\nno");
  assert_has(world->reply, "HTTP/1.1 404 Not Found\r\nDate: ");
  assert_has(world->reply, "Content-Length: 2\r\nset-cookie: a\r\n"
                           "set-cookie: b\r\n\r\nno");
  assert_null(strstr(world->reply, "never"));
  assert_null(strcasestr(world->reply, "connection"));
  close(fd);
}

static void test_statuses_without_body(void **state) {
  struct world *world = *state;
  listen_now(world);
  int fd = ask(world, GET);
  lp__request_respond(world->kept[0], 204, NULL, 0, "body", 4);
  send_text(world, fd, GET);
  while (world->kept_count < 2)
    turn(world);
  lp__request_respond(world->kept[1], 599, NULL, 0, "end", 3);
  read_until(world, fd, "\r\n\r\nend");
  assert_has(world->reply, "HTTP/1.1 204 No Content\r\n");
  assert_has(world->reply, "HTTP/1.1 599 \r\n");
  assert_null(strstr(world->reply, "body"));
  assert_null(strstr(world->reply, "Content-Length: 4"));
  close(fd);
}

static void test_field_ok(void **state) {
  static const struct lp__field good = {"X-a_1", "b \t\xe9", 5, 4};
  static const struct lp__field bad[] = {
      {"", "a", 0, 1},    {"a b", "a", 3, 1},    {"a:", "a", 2, 1},
      {"a\n", "a", 2, 1}, {"a", "a\r\nb", 1, 4}, {"a", "a\nb", 1, 3},
      {"a", "a\0b", 1, 3}};
  (void)state;
  assert_true(lp__field_ok(&good));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(lp__field_ok(&bad[i]));
}

static void test_body_until_answered(void **state) {
  struct world *world = *state;
  listen_now(world);
  int fd =
      ask(world, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
  struct lp__request *request = world->kept[0];
  assert_memory_equal(request->body, "hi", 2);
  lp__request_begin(request, 200, NULL, 0);
  assert_memory_equal(request->body, "hi", 2);
  lp__request_finish(request);
  assert_null(request->body);
  assert_string_equal(request->method, "POST");
  close(fd);
}

/* --- in pieces ----------------------------------------------------------- */

static void stream(struct lp__request *request) {
  lp__request_begin(request, 200, NULL, 0);
  assert_int_equal(lp__request_write(request, "hello", 5), 0);
  assert_int_equal(lp__request_write(request, "", 0), 0);
  assert_int_equal(lp__request_write(request, "0123456789abcdef", 16), 0);
  lp__request_finish(request);
  lp__request_finish(request);
  assert_int_equal(lp__request_write(request, "late", 4), 0);
}

static void test_chunks(void **state) {
  struct world *world = *state;
  listen_now(world);
  int fd = ask(world, GET GET);
  stream(world->kept[0]);
  while (world->kept_count < 2)
    turn(world);
  lp__request_respond(world->kept[1], 200, NULL, 0, "next", 4);
  read_until(world, fd, "next");
  assert_has(world->reply, "\r\nTransfer-Encoding: chunked\r\n");
  assert_has(world->reply, "\r\n\r\n5\r\nhello\r\n10\r\n0123456789abcdef\r\n"
                           "0\r\n\r\nHTTP/1.1 200 OK");
  close(fd);
}

static void test_until_the_end(void **state) {
  struct world *world = *state;
  listen_now(world);
  int fd = ask(world, GET_10);
  stream(world->kept[0]);
  read_to_end(world, fd);
  assert_has(world->reply, "Connection: close\r\n\r\nhello0123456789abcdef");
  assert_null(strstr(world->reply, "chunked"));
  close(fd);
}

static void test_stream_for_head(void **state) {
  struct world *world = *state;
  listen_now(world);
  int fd = ask(world, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" GET);
  stream(world->kept[0]);
  while (world->kept_count < 2)
    turn(world);
  lp__request_respond(world->kept[1], 200, NULL, 0, "next", 4);
  read_until(world, fd, "next");
  assert_has(world->reply, "chunked\r\n\r\nHTTP/1.1 200 OK");
  close(fd);
}

/* Writes until the client's window is full. */
static void fill(struct world *world, struct lp__request *request) {
  static char block[256 * 1024];
  size_t unsent = 0;
  for (int i = 0; i < 1000 && unsent == 0; i++)
    unsent = lp__request_write(request, block, sizeof block);
  assert_true(unsent > 0);
  world->unsent = unsent;
}

static void test_drained(void **state) {
  struct world *world = *state;
  char block[65536];
  listen_now(world);
  int fd = ask(world, GET);
  lp__request_begin(world->kept[0], 200, NULL, 0);
  for (int round = 1; round <= 3; round++) {
    fill(world, world->kept[0]);
    while (world->drained < round) {
      (void)!recv(fd, block, sizeof block, MSG_DONTWAIT);
      turn(world);
    }
  }
  assert_false(lp__request_gone(world->kept[0]));
  close(fd);
}

/* Whoever waits to go on writing is told when there is nobody to write to. */
static void test_drained_by_leaving(void **state) {
  struct world *world = *state;
  listen_now(world);
  int fd = ask(world, GET);
  lp__request_begin(world->kept[0], 200, NULL, 0);
  fill(world, world->kept[0]);
  close(fd);
  while (world->drained == 0)
    turn(world);
  assert_true(lp__request_gone(world->kept[0]));
  assert_int_equal(lp__request_write(world->kept[0], "x", 1), 0);
  lp__request_finish(world->kept[0]);
}

static void test_abort(void **state) {
  struct world *world = *state;
  const char *const texts[] = {GET, GET_10};
  listen_now(world);
  for (int i = 0; i < 2; i++) {
    int fd = ask(world, texts[i]);
    lp__request_begin(world->kept[i], 200, NULL, 0);
    lp__request_write(world->kept[i], "some", 4);
    read_until(world, fd, "some");
    lp__request_abort(world->kept[i]);
    lp__request_abort(world->kept[i]);
    assert_int_equal(recv(fd, world->reply, 100, 0), i == 0 ? 0 : -1);
    close(fd);
  }
}

/* --- those that go ------------------------------------------------------- */

static void test_gone(void **state) {
  struct world *world = *state;
  listen_now(world);
  int fd = ask(world, GET);
  assert_false(lp__request_gone(world->kept[0]));
  close(fd);
  while (!lp__request_gone(world->kept[0]))
    turn(world);
  assert_true(lp__request_respond(world->kept[0], 200, NULL, 0, "hi", 2));
  assert_false(lp__request_respond(world->kept[0], 200, NULL, 0, "hi", 2));
}

static void test_reset(void **state) {
  struct world *world = *state;
  struct linger now = {.l_onoff = 1};
  listen_now(world);
  int fd = ask(world, GET);
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
  while (!lp__request_gone(world->kept[0]))
    turn(world);
  assert_true(lp__request_begin(world->kept[0], 200, NULL, 0));
  assert_int_equal(lp__request_write(world->kept[0], "hi", 2), 0);
  lp__request_finish(world->kept[0]);
}

static void test_half_closed_is_answered(void **state) {
  struct world *world = *state;
  listen_now(world);
  int fd = ask(world, GET);
  shutdown(fd, SHUT_WR);
  while (!lp__request_gone(world->kept[0]))
    turn(world);
  lp__request_respond(world->kept[0], 200, NULL, 0, "hi", 2);
  read_to_end(world, fd);
  assert_has(world->reply, "\r\n\r\nhi");
  close(fd);
}

/* A request that came with others, from a client that closed meanwhile. */
static void test_gone_with_more(void **state) {
  struct world *world = *state;
  listen_now(world);
  int fd = ask(world, GET GET);
  close(fd);
  while (!lp__request_gone(world->kept[0]))
    turn(world);
}

static void test_nobody_holds_it(void **state) {
  struct world *world = *state;
  listen_now(world);
  int fd = ask(world, GET);
  release_kept(world);
  read_to_end(world, fd);
  assert_int_equal(world->size, 0);
  close(fd);
}

static void test_server_closes_first(void **state) {
  struct world *world = *state;
  listen_now(world);
  int first = ask(world, GET), second = ask(world, GET GET);
  int third = connect_client(world);
  lp__request_begin(world->kept[0], 200, NULL, 0);
  lp__http_server_close(world->server);
  world->server = NULL;
  assert_true(lp__request_gone(world->kept[0]));
  assert_int_equal(lp__request_write(world->kept[0], "x", 1), 0);
  lp__request_finish(world->kept[0]);
  assert_true(lp__request_respond(world->kept[1], 200, NULL, 0, "x", 1));
  assert_string_equal(world->kept[1]->target, "/a");
  turn(world);
  close(first);
  close(second);
  close(third);
}

/* Closed with requests nobody has taken from the queue. */
static void test_events_left(void **state) {
  struct world *world = *state;
  listen_now(world);
  int fd = connect_client(world);
  send_text(world, fd, GET);
  while (!lp__loop_next(world->loop, 10))
    ;
  close(fd);
}

static void test_address(void **state) {
  struct world *world = *state;
  struct sockaddr_in own;
  socklen_t size = sizeof own;
  char address[LP__ADDRESS_SIZE];
  listen_now(world);
  int fd = ask(world, GET);
  getsockname(fd, (struct sockaddr *)&own, &size);
  assert_int_equal(lp__request_address(world->kept[0], address),
                   ntohs(own.sin_port));
  assert_string_equal(address, "127.0.0.1");
  close(fd);
}

/* --- time ---------------------------------------------------------------- */

/* What the server says to an unfinished request when nothing else comes. */
static const char *wait_out(struct world *world, const char *text) {
  int fd = connect_client(world);
  clear_reply(world);
  send_text(world, fd, text);
  read_to_end(world, fd);
  close(fd);
  return world->reply;
}

static void test_late_headers(void **state) {
  struct world *world = *state;
  world->config.header_ms = 40;
  listen_now(world);
  assert_has(wait_out(world, "GET / HTTP/1.1\r\nHost"), "HTTP/1.1 408 ");
  assert_string_equal(wait_out(world, ""), "");
}

/* Bytes that trickle in do not extend the time for the headers. */
static void test_trickle(void **state) {
  struct world *world = *state;
  world->config.header_ms = 60;
  listen_now(world);
  int fd = connect_client(world);
  clear_reply(world);
  send_text(world, fd, "GET /");
  while (!strstr(world->reply, "HTTP/1.1 408 ")) {
    send_text(world, fd, "a");
    read_some(world, fd);
    turn(world);
  }
  close(fd);
}

static void test_late_body(void **state) {
  struct world *world = *state;
  world->config.body_ms = 40;
  listen_now(world);
  assert_has(wait_out(world, "POST / HTTP/1.1\r\nHost: x\r\n"
                             "Content-Length: 10\r\n\r\nabc"),
             "HTTP/1.1 408 ");
  assert_has(wait_out(world, "POST / HTTP/1.1\r\nHost: x\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n5\r\nab"),
             "HTTP/1.1 408 ");
}

static void test_idle(void **state) {
  struct world *world = *state;
  world->answer = echo;
  world->config.idle_ms = 40;
  listen_now(world);
  assert_has(wait_out(world, GET), "[GET /a ]");
}

/* A client that does not read its answer. */
static void test_slow_reader(void **state) {
  struct world *world = *state;
  world->config.body_ms = 40;
  listen_now(world);
  int fd = ask(world, GET);
  lp__request_begin(world->kept[0], 200, NULL, 0);
  fill(world, world->kept[0]);
  while (!lp__request_gone(world->kept[0]))
    turn(world);
  close(fd);
}

/* What takes long here is nobody's fault. */
static void test_owner_may_be_slow(void **state) {
  struct world *world = *state;
  world->config.header_ms = 200;
  world->config.body_ms = world->config.idle_ms = 40;
  listen_now(world);
  int fd = ask(world, GET);
  uint64_t end = uv_hrtime() + 400000000;
  while (uv_hrtime() < end)
    turn(world);
  lp__request_respond(world->kept[0], 200, NULL, 0, "hi", 2);
  read_until(world, fd, "\r\n\r\nhi");
  close(fd);
}

int main(void) {
#define TEST(name)                                                             \
  cmocka_unit_test_setup_teardown(name, open_keeping, close_world)
  const struct CMUnitTest tests[] = {TEST(test_fields_of_answers),
                                     TEST(test_statuses_without_body),
                                     TEST(test_field_ok),
                                     TEST(test_body_until_answered),
                                     TEST(test_chunks),
                                     TEST(test_until_the_end),
                                     TEST(test_stream_for_head),
                                     TEST(test_drained),
                                     TEST(test_drained_by_leaving),
                                     TEST(test_abort),
                                     TEST(test_gone),
                                     TEST(test_reset),
                                     TEST(test_half_closed_is_answered),
                                     TEST(test_gone_with_more),
                                     TEST(test_nobody_holds_it),
                                     TEST(test_server_closes_first),
                                     TEST(test_events_left),
                                     TEST(test_address),
                                     TEST(test_late_headers),
                                     TEST(test_trickle),
                                     TEST(test_late_body),
                                     TEST(test_idle),
                                     TEST(test_slow_reader),
                                     TEST(test_owner_may_be_slow)};
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
