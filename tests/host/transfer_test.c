/* The transfer engine without Lua: its thread, and the ends of transfers at any
 * moment. What it does with answers is tested in tests/lua and tests/e2e. */
#define _GNU_SOURCE
#include "host/cloud/transfer.h"
#include "host/port.h"

#include <arpa/inet.h>
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

lp__part_open_function lp__part_open;

enum { ID = -7, PATIENCE_MS = 60000, MANY = 300 };

struct world {
  struct lp__loop *loop;
  struct lp__loop_port port;
  struct lp__transfers *transfers;
  int listener;
  char url[64];
};

static int open_world(void **state) {
  static const struct sockaddr_in any = {.sin_family = AF_INET,
                                         .sin_addr.s_addr = 0x0100007f};
  struct world *world = calloc(1, sizeof *world);
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  *state = world;
  world->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bind(world->listener, (const struct sockaddr *)&any, sizeof any);
  listen(world->listener, MANY);
  getsockname(world->listener, (struct sockaddr *)&address, &size);
  snprintf(world->url, sizeof world->url, "http://127.0.0.1:%d/",
           ntohs(address.sin_port));
  if (lp__part_open(&lp__port) != NULL || lp__loop_open(&world->loop) < 0)
    return -1;
  lp__loop_port_init(&world->port, world->loop);
  return lp__transfers_open(&world->transfers, &world->port, ID);
}

static int close_world(void **state) {
  struct world *world = *state;
  lp__transfers_close(world->transfers);
  lp__loop_close(world->loop);
  close(world->listener);
  free(world);
  return 0;
}

static int prepare(struct world *world, const char *body) {
  struct lp__transfer_request request = {
      .method = "POST",
      .url = world->url,
      .headers = "Expect:",
      .headers_size = sizeof "Expect:",
      .body = body,
      .body_size = strlen(body),
      .total_ms = PATIENCE_MS,
      .connect_ms = PATIENCE_MS,
      .most_bytes = 100,
      .proxy = "",
  };
  int number = lp__transfer_prepare(world->transfers, &request);
  assert_true(number > 0);
  return number;
}

static int start(struct world *world) {
  int number = prepare(world, "body");
  lp__transfer_go(world->transfers, number, false);
  return number;
}

/* Takes the next event of the engine, and the news that it is for. */
static enum lp__transfer_news next(struct world *world, int *number,
                                   struct lp__transfer_end *end) {
  const struct lp__event *event = lp__loop_next(world->loop, PATIENCE_MS);
  assert_non_null(event);
  assert_int_equal(event->kind, LP__EVENT_TRANSFER);
  assert_int_equal(event->id, ID);
  lp__loop_drop(world->loop);
  return lp__transfers_take(world->transfers, number, end);
}

/* Reads a request to its end; false when the connection ends before. */
static bool read_request(int fd) {
  char bytes[4096];
  size_t size = 0;
  while (size < 4 || memcmp(bytes + size - 4, "body", 4) != 0) {
    ssize_t n = read(fd, bytes + size, sizeof bytes - size);
    if (n <= 0)
      return false;
    size += (size_t)n;
  }
  return true;
}

/* The next connection on which there is one; transfers that were cancelled may
 * have left others. */
static int take_request(struct world *world) {
  for (;;) {
    int fd = accept4(world->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    if (read_request(fd))
      return fd;
    close(fd);
  }
}

static void answer(int fd) {
  static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
}

static void test_one(void **state) {
  struct world *world = *state;
  struct lp__transfer_end end;
  int number, expected = prepare(world, "body");
  assert_null(lp__loop_next(world->loop, -1));
  lp__transfer_go(world->transfers, expected, true);
  int fd = take_request(world);
  assert_int_equal(next(world, &number, &end), LP__TRANSFER_CONNECTED);
  assert_int_equal(number, expected);
  answer(fd);
  assert_int_equal(next(world, &number, &end), LP__TRANSFER_ENDED);
  assert_int_equal(number, expected);
  assert_int_equal(end.status, 200);
  assert_memory_equal(end.body, "ok", 2);
  assert_string_equal(end.headers, "content-length: 2");
  assert_int_equal(lp__transfers_take(world->transfers, &number, &end),
                   LP__TRANSFER_NO_NEWS);
  lp__transfer_release(world->transfers, number);
  assert_null(lp__loop_next(world->loop, -1));
  close(fd);
}

static void test_numbers_are_given_again(void **state) {
  struct world *world = *state;
  int first = prepare(world, ""), second = prepare(world, "");
  assert_int_not_equal(first, second);
  lp__transfer_release(world->transfers, first);
  lp__transfer_release(world->transfers, first);
  lp__transfer_release(world->transfers, 0);
  lp__transfer_release(world->transfers, -1);
  lp__transfer_release(world->transfers, 1000000);
  lp__transfer_go(world->transfers, first, true);
  lp__transfer_go(world->transfers, 1000000, true);
  assert_int_equal(prepare(world, ""), first);
  assert_null(lp__loop_next(world->loop, 0));
}

/* Some are cancelled before their connection, with their request sent, with
 * their answer on the way, and after it has come. */
static void test_cancel(void **state) {
  struct world *world = *state;
  struct lp__transfer_end end;
  int number;
  for (int i = 0; i < 100; i++) {
    number = start(world);
    if (i % 4 > 0) {
      int fd = take_request(world);
      if (i % 4 > 1)
        answer(fd);
      if (i % 4 > 2)
        assert_int_equal(next(world, &number, &end), LP__TRANSFER_ENDED);
      close(fd);
    }
    lp__transfer_release(world->transfers, number);
    while (lp__loop_next(world->loop, 0))
      lp__loop_drop(world->loop); /* what was told before it was cancelled */
    assert_int_equal(lp__transfers_take(world->transfers, &number, &end),
                     LP__TRANSFER_NO_NEWS);
  }
  assert_null(lp__loop_next(world->loop, -1));
}

/* More than one shard has. */
static void test_close_with_many_under_way(void **state) {
  struct world *world = *state;
  int fds[MANY];
  for (int i = 0; i < MANY; i++)
    start(world);
  for (int i = 0; i < MANY; i++)
    fds[i] = take_request(world);
  for (int i = 0; i < MANY; i += 2)
    answer(fds[i]);
  for (int i = 0; i < 20; i++)
    lp__loop_next(world->loop, 0);
  lp__transfers_close(world->transfers);
  world->transfers = NULL;
  for (int i = 0; i < MANY; i++) {
    char byte;
    ssize_t n = read(fds[i], &byte, 1);
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
    close(fds[i]);
  }
}

static void test_closed_at_once(void **state) {
  struct world *world = *state;
  struct lp__transfers *other;
  for (int i = 0; i < 10; i++) {
    assert_int_equal(lp__transfers_open(&other, &world->port, ID - 1), 0);
    lp__transfers_close(other);
  }
  lp__transfers_close(NULL);
  start(world);
}

int main(void) {
#define TEST(name)                                                             \
  cmocka_unit_test_setup_teardown(name, open_world, close_world)
  static const struct CMUnitTest tests[] = {
      TEST(test_one),
      TEST(test_numbers_are_given_again),
      TEST(test_cancel),
      TEST(test_close_with_many_under_way),
      TEST(test_closed_at_once),
  };
  alarm(100); /* what does not end is a failure */
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name("transfers", tests, NULL, NULL);
}
