/* Workers whose host has no time: whatever they say is taken in, in pieces, and
 * none of it is taken for something else. */
#include "host/worker_private.h"
#include "tests/host/worker_support.h"

#include <sys/ioctl.h>

/* WAITS is what a socket holds that nobody reads from, and more than a piece.
 */
enum { PAST = 1, SIZE = 1000000, WAITS = 100000 };

/* What has arrived of the response of a worker. */
static size_t arrived(const struct lp__worker *worker) {
  return worker->links ? worker->links->endpoint.request.body.size : 0;
}

/* One look without time for it; takes in one piece at most. */
static const struct lp__event *look(struct fixture *fixture) {
  struct lp__workers *workers = fixture->workers;
  size_t before = 0, after = 0;
  for (size_t i = 0; i < workers->count; i++)
    before += arrived(workers->items[i]);
  const struct lp__event *event = lp__loop_next(fixture->loop, 0);
  for (size_t i = 0; i < workers->count; i++)
    after += arrived(workers->items[i]);
  assert_true(after < before || after - before <= LP__LOOP_PIECE);
  return event;
}

/* The next event, a copy of it without its bytes. */
static struct lp__event await(struct fixture *fixture) {
  const struct lp__event *event;
  while (!(event = look(fixture)))
    usleep(20);
  struct lp__event copy = *event;
  copy.bytes = NULL;
  lp__loop_drop(fixture->loop);
  return copy;
}

static int64_t start_hurried(struct fixture *fixture) {
  int64_t id = start(fixture);
  lp__loop_set_deadline(fixture->loop, PAST);
  return id;
}

static void test_large_responses(void **state) {
  enum { COUNT = 4 };
  int responses = 0;
  for (int i = 0; i < COUNT; i++)
    invoke(*state, start_hurried(*state), "size 1000000");
  while (responses < COUNT) {
    struct lp__event event = await(*state);
    assert_int_equal(event.kind, LP__EVENT_RESPONSE);
    assert_int_equal(event.size, SIZE);
    responses++;
  }
}

static void test_large_requests(void **state) {
  char *event = malloc(SIZE + 1);
  memset(event, 'r', SIZE);
  memcpy(event, "echo ", 5);
  event[SIZE] = '\0';
  int64_t id = start_hurried(*state);
  for (int i = 0; i < 3; i++) {
    invoke(*state, id, event);
    struct lp__event response = await(*state);
    assert_int_equal(response.kind, LP__EVENT_RESPONSE);
    assert_int_equal(response.size, SIZE - 5);
  }
  free(event);
}

static void test_output_comes_first(void **state) {
  int64_t id = start_hurried(*state);
  invoke(*state, id, "print 3000");
  for (int i = 0; i < 3000; i++)
    assert_int_equal(await(*state).kind, LP__EVENT_OUTPUT);
  assert_int_equal(await(*state).kind, LP__EVENT_RESPONSE);
}

/* A worker whose connection takes WAITS, and that waits for an invocation. */
static int64_t start_wide(struct fixture *fixture) {
  int64_t id = start(fixture);
  for (int i = 0; i < 3; i++) {
    invoke(fixture, id, "size 1000000");
    expect(fixture, id, LP__EVENT_RESPONSE, NULL);
  }
  while (!fixture->workers->items[0]->links->endpoint.waits)
    assert_null(lp__loop_next(fixture->loop, 1));
  return id;
}

/* Waits until so much of the answer has come that one look does not take it. */
static void wait_for_answer(struct fixture *fixture) {
  int size = 0;
  for (int i = 0; i < 30000 && size < WAITS; i++) {
    usleep(1000);
    ioctl(fixture->workers->items[0]->links->fd, FIONREAD, &size);
  }
  if (size < WAITS)
    fail_msg("only %d bytes wait", size);
}

/* The answer came in time, and the host did not. */
static void test_answers_are_not_late(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start_wide(fixture);
  assert_int_equal(invoke_for(fixture, id, "size 100000", 200), 0);
  lp__loop_set_deadline(fixture->loop, PAST);
  wait_for_answer(fixture);
  usleep(250000);
  assert_int_equal(await(fixture).kind, LP__EVENT_RESPONSE);
}

/* What it sends may be the end of its answer, but not for ever. */
static void test_endless_answers_are_late(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  assert_int_equal(invoke_for(fixture, id, "endless", 100), 0);
  lp__loop_set_deadline(fixture->loop, PAST);
  assert_int_equal(await(fixture).kind, LP__EVENT_TIMEOUT);
}

/* The last words of a worker are longer than a piece. */
static void test_last_words(void **state) {
  static char event[WAITS + 1];
  struct fixture *fixture = *state;
  memset(event, 'r', WAITS);
  memcpy(event, "last ", 5);
  int64_t id = start_wide(fixture);
  pid_t pid = child();
  invoke(fixture, id, event);
  assert_false(fixture->workers->items[0]->links->writing);
  assert_true(is_gone(pid));
  lp__loop_set_deadline(fixture->loop, PAST);
  assert_int_equal(await(fixture).kind, LP__EVENT_OUTPUT);
  struct lp__event response = await(fixture), end = await(fixture);
  assert_int_equal(response.kind, LP__EVENT_RESPONSE);
  assert_int_equal(response.size, WAITS - 5);
  assert_int_equal(end.kind, LP__EVENT_EXIT);
  assert_false(end.unfinished);
}

static void test_killed_while_it_has_more(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start_hurried(fixture);
  invoke(fixture, id, "size 1000000");
  while (arrived(fixture->workers->items[0]) == 0)
    assert_null(look(fixture));
  assert_true(lp__worker_kill(fixture->workers, id));
  assert_int_equal(await(fixture).kind, LP__EVENT_EXIT);
}

static void test_closed_while_there_is_more(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < 3; i++)
    invoke(fixture, start_hurried(fixture), "size 1000000");
  while (arrived(fixture->workers->items[2]) == 0)
    if (look(fixture))
      lp__loop_drop(fixture->loop);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_large_responses),
      TEST(test_large_requests),
      TEST(test_output_comes_first),
      TEST(test_answers_are_not_late),
      TEST(test_endless_answers_are_late),
      TEST(test_last_words),
      TEST(test_killed_while_it_has_more),
      TEST(test_closed_while_there_is_more),
  };
  return run_worker_tests(tests);
}
