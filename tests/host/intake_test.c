/* A thread that receives: what arrives is there, in one piece, whoever is using
 * it, and nothing is lost at an end. */
#include "host/intake.h"
#include "host/process.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum { MANY = 5000, LARGE = 1 << 20, TIMES = 200 };

struct fixture {
  struct lp__loop *loop;
  struct lp__receiver *receiver;
  struct lp__intake *intake; /* NULL when the test has closed it */
  int peer;
  int told;
};

static void on_arrival(void *context) {
  struct fixture *fixture = context;
  fixture->told++;
}

/* A check that takes no zeros. */
static bool is_right(const char *body, size_t size) {
  return memchr(body, '\0', size) == NULL;
}

static void open_intake(struct fixture *fixture) {
  int ends[2];
  assert_int_equal(
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
      0);
  fixture->peer = ends[1];
  assert_int_equal(lp__intake_open(&fixture->intake, fixture->receiver, ends[0],
                                   on_arrival, fixture),
                   0);
}

static int open_all(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_int_equal(lp__loop_open(&fixture->loop), 0);
  assert_int_equal(
      lp__receiver_open(&fixture->receiver, fixture->loop, is_right), 0);
  open_intake(fixture);
  *state = fixture;
  return 0;
}

static void close_intake(struct fixture *fixture) {
  lp__intake_close(fixture->intake);
  fixture->intake = NULL;
}

static int close_all(void **state) {
  struct fixture *fixture = *state;
  if (fixture->intake)
    close_intake(fixture);
  lp__receiver_close(fixture->receiver);
  lp__loop_close(fixture->loop);
  lp__close_fd(&fixture->peer);
  free(fixture);
  return 0;
}

/* Looks until so many bytes wait to be taken. */
static char *await(struct fixture *fixture, size_t size) {
  size_t arrived;
  char *bytes;
  while ((bytes = lp__intake_arrived(fixture->intake, &arrived)),
         arrived < size)
    lp__loop_next(fixture->loop, 1);
  assert_int_equal(arrived, size);
  return bytes;
}

static int await_end(struct fixture *fixture) {
  int ended;
  while ((ended = lp__intake_ended(fixture->intake)) == 0)
    lp__loop_next(fixture->loop, 1);
  return ended;
}

/* Sends all of it, while the thread receives. */
static void send_all(struct fixture *fixture, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t sent = send(fixture->peer, bytes, size, MSG_NOSIGNAL);
    if (sent > 0) {
      bytes += sent;
      size -= (size_t)sent;
    } else {
      lp__loop_next(fixture->loop, 0);
    }
  }
}

/* --- arriving ------------------------------------------------------------ */

static void test_arrives(void **state) {
  struct fixture *fixture = *state;
  send_all(fixture, "hello", 5);
  char *bytes = await(fixture, 5);
  assert_memory_equal(bytes, "hello", 5);
  lp__intake_take(fixture->intake, 5);
  send_all(fixture, " you", 4);
  assert_ptr_equal(await(fixture, 4), bytes + 5);
  assert_memory_equal(bytes, "hello you", 9);
  while (fixture->told == 0)
    lp__loop_next(fixture->loop, 1);
}

/* The thread has told before the end is seen, so nothing can come after it. */
static void test_end(void **state) {
  struct fixture *fixture = *state;
  send_all(fixture, "bye", 3);
  lp__close_fd(&fixture->peer);
  assert_int_equal(await_end(fixture), 1);
  assert_memory_equal(await(fixture, 3), "bye", 3);
}

static void test_here_and_now(void **state) {
  struct fixture *fixture = *state;
  size_t size;
  send_all(fixture, "now", 3);
  while (!lp__intake_receive(fixture->intake))
    ;
  assert_memory_equal(lp__intake_arrived(fixture->intake, &size), "now", 3);
  assert_int_equal(size, 3);
}

/* --- room ---------------------------------------------------------------- */

static void make_room(struct fixture *fixture, char **keep, size_t body,
                      size_t size) {
  int status;
  while ((status = lp__intake_make_room(fixture->intake, keep, body, size)) ==
         -EAGAIN)
    lp__loop_next(fixture->loop, 0);
  assert_int_equal(status, 0);
}

/* The room for all that is to come is in one piece with what came before. */
static void test_large(void **state) {
  struct fixture *fixture = *state;
  char *all = malloc(LARGE), *keep;
  size_t size;
  for (size_t i = 0; i < LARGE; i++)
    all[i] = (char)(1 + i % 251);
  send_all(fixture, all, 1000);
  keep = await(fixture, 1000);
  lp__intake_take(fixture->intake, 1000);
  keep += 10;
  make_room(fixture, &keep, LARGE - 10, LARGE);
  send_all(fixture, all + 1000, LARGE - 1000);
  await(fixture, LARGE - 1000);
  assert_memory_equal(keep, all + 10, LARGE - 10);
  assert_ptr_equal(lp__intake_whole(fixture->intake, &size), keep);
  assert_int_equal(size, LARGE - 10);
  assert_ptr_equal(lp__intake_arrived(fixture->intake, &size), keep + 990);
  free(all);
}

/* What is full goes on as soon as there is room. */
static void test_full(void **state) {
  struct fixture *fixture = *state;
  static char piece[10000];
  size_t sent = 0, taken = 0, size;
  char *none = NULL;
  for (int i = 0; i < TIMES; i++) {
    ssize_t more = send(fixture->peer, piece, sizeof piece, MSG_NOSIGNAL);
    sent += more > 0 ? (size_t)more : 0;
    lp__loop_next(fixture->loop, 0);
    lp__intake_arrived(fixture->intake, &size);
    lp__intake_take(fixture->intake, size);
    taken += size;
    if (i % 3 == 0)
      make_room(fixture, &none, 0, 30000);
  }
  make_room(fixture, &none, 0, sent + 1);
  await(fixture, sent - taken);
}

/* A block that somebody else holds stays as it is, and one that nobody does is
 * used again. */
static void test_blocks(void **state) {
  struct fixture *fixture = *state;
  char *none = NULL;
  struct lp__block *block = lp__intake_block(fixture->intake);
  send_all(fixture, "one", 3);
  char *bytes = await(fixture, 3);
  lp__intake_take(fixture->intake, 3);
  make_room(fixture, &none, 0, block->size - 1);
  assert_ptr_equal(lp__intake_block(fixture->intake), block);
  send_all(fixture, "two", 3);
  assert_ptr_equal(await(fixture, 3), bytes);
  lp__intake_take(fixture->intake, 3);
  lp__block_hold(block);
  make_room(fixture, &none, 0, block->size - 1);
  assert_ptr_not_equal(lp__intake_block(fixture->intake), block);
  send_all(fixture, "three", 5);
  assert_memory_equal(await(fixture, 5), "three", 5);
  assert_memory_equal(bytes, "two", 3);
  lp__block_release(block);
}

/* --- checking ------------------------------------------------------------ */

/* Sends a request, waits for all of it, and expects that its body has been
 * found at that place, or not (NULL). */
static void expect_whole(struct fixture *fixture, const char *text, size_t size,
                         const char *body, size_t body_size) {
  size_t whole_size;
  char *none = NULL;
  send_all(fixture, text, size);
  const char *bytes = await(fixture, size);
  while (fixture->told == 0)
    lp__loop_next(fixture->loop, 1);
  const char *whole = lp__intake_whole(fixture->intake, &whole_size);
  assert_ptr_equal(whole, body ? bytes + (body - text) : NULL);
  if (body)
    assert_int_equal(whole_size, body_size);
  lp__intake_take(fixture->intake, size);
  make_room(fixture, &none, 0, lp__intake_block(fixture->intake)->size - 1);
  assert_null(lp__intake_whole(fixture->intake, &whole_size));
  fixture->told = 0;
}

#define HEAD "POST / HTTP/1.1\r\nHost: x\r\n"

/* All of a body has to have come, and be what the head says. */
static void test_checks(void **state) {
  struct fixture *fixture = *state;
  static const char right[] = HEAD "Content-Length: 5\r\nA: b\r\n\r\nright",
                    wrong[] = HEAD "Content-Length: 5\r\n\r\nw\0ong",
                    none[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                    more[] = HEAD "Content-Length: 2\r\n\r\nokGET / ",
                    strange[] = HEAD "Content-Length: x\r\n\r\nstrange";
  for (int i = 0; i < TIMES; i++) {
    size_t size = sizeof right - 1;
    expect_whole(fixture, right, size, right + size - 5, 5);
    expect_whole(fixture, wrong, sizeof wrong - 1, NULL, 0);
    expect_whole(fixture, none, sizeof none - 1, NULL, 0);
    size = sizeof more - 1;
    expect_whole(fixture, more, size, more + size - 8, 2);
    expect_whole(fixture, strange, sizeof strange - 1, NULL, 0);
  }
}

/* Lengths that no body has, in heads that do not end, are nothing. */
static void test_hostile_lengths(void **state) {
  struct fixture *fixture = *state;
  static const char large[] =
      HEAD "Content-Length: 99999999999999999999999999\r\n\r\n12345";
  static char endless[20000];
  memset(endless, 'x', sizeof endless);
  expect_whole(fixture, large, sizeof large - 1, NULL, 0);
  expect_whole(fixture, endless, sizeof endless, NULL, 0);
}

/* --- closing ------------------------------------------------------------- */

/* At any moment: while the thread receives, before it has begun. */
static void test_closed_in_use(void **state) {
  struct fixture *fixture = *state;
  static char bytes[MANY];
  for (int i = 0; i < TIMES; i++) {
    send(fixture->peer, bytes, sizeof bytes, MSG_NOSIGNAL);
    if (i % 3 == 0)
      lp__loop_next(fixture->loop, 0);
    close_intake(fixture);
    lp__close_fd(&fixture->peer);
    open_intake(fixture);
  }
  send_all(fixture, "still", 5);
  assert_memory_equal(await(fixture, 5), "still", 5);
}

/* One that is told of closes another one, of which there is news as well. */
struct pair {
  struct lp__intake *both[2];
  int told;
};

static void close_the_other(void *context) {
  struct pair *pair = context;
  pair->told++;
  for (int i = 0; i < 2; i++)
    if (pair->both[i])
      lp__intake_close(pair->both[i]);
  pair->both[0] = pair->both[1] = NULL;
}

static void test_closed_by_another(void **state) {
  struct fixture *fixture = *state;
  for (int round = 0; round < TIMES; round++) {
    struct pair pair = {{NULL, NULL}, 0};
    int ends[2][2];
    for (int i = 0; i < 2; i++) {
      assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]), 0);
      lp__intake_open(&pair.both[i], fixture->receiver, ends[i][0],
                      close_the_other, &pair);
    }
    for (int i = 0; i < 2; i++)
      close(ends[i][1]);
    while (pair.told == 0)
      lp__loop_next(fixture->loop, 1);
    lp__loop_next(fixture->loop, 0);
    assert_int_equal(pair.told, 1);
  }
}

int main(void) {
  cmocka_set_message_output(CM_OUTPUT_TAP);
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
  const struct CMUnitTest tests[] = {
      TEST(test_arrives),       TEST(test_end),
      TEST(test_here_and_now),  TEST(test_large),
      TEST(test_full),          TEST(test_blocks),
      TEST(test_checks),        TEST(test_hostile_lengths),
      TEST(test_closed_in_use), TEST(test_closed_by_another),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
