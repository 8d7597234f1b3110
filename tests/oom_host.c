/*
 * Allocation failure at every point of what a program in C does with a host:
 * the n-th allocation fails, or all from the n-th on until the call is over,
 * for n = 0, 1, 2 and so on until all goes well. Whatever fails must say so,
 * and every task that was submitted must end, once. Then there is memory again:
 * the host must work as before, and give back every byte.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "host/lambdapool.h"

enum { NEVER = -1, LONG_US = 60000000 };

struct guest {
  lp_host *host;
  long left;        /* allocations until there is no memory; NEVER */
  bool lasts;       /* there is none until that is NEVER again */
  bool failed;      /* one did */
  size_t used;      /* bytes */
  int tasks, ended; /* that were submitted, and that have told their end */
  lp_id last;       /* of these */
  uint32_t one_in;  /* so many allocations fails, by chance; 0: none */
  uint32_t seed;
};

/* Whether memory is refused this time. */
static bool refuses(struct guest *guest) {
  guest->seed = guest->seed * 1664525 + 1013904223;
  if (guest->one_in > 0 && (guest->seed >> 8) % guest->one_in == 0)
    return guest->failed = true;
  if (guest->left == NEVER)
    return false;
  if (guest->left > 0) {
    guest->left--;
    return false;
  }
  if (!guest->lasts)
    guest->left = NEVER;
  guest->failed = true;
  return true;
}

static void *allocate(void *data, void *block, size_t old, size_t new) {
  struct guest *guest = data;
  if (new > old && refuses(guest))
    return NULL;
  guest->used += new - old;
  if (new > 0)
    return realloc(block, new);
  free(block);
  return NULL;
}

static void ignore(void *data, enum lp_log_level level, const char *text,
                   size_t size) {
  (void)data, (void)level;
  assert_int_equal(strlen(text), size);
}

static int open_host(struct guest *guest) {
  static char agent[4096];
  struct lp_config config;
  snprintf(agent, sizeof agent, "%s/bootstrap", getenv("LAMBDAPOOL_BUILD"));
  lp_config_init(&config, sizeof config);
  config.agent = agent;
  config.allocate = allocate;
  config.allocate_data = guest;
  config.workers = 2;
  config.log = ignore;
  config.path = "tests/lua;tests/host";
  return lp_open(&config, &guest->host);
}

static void on_end(lp_host *host, const struct lp_result *result, void *data) {
  struct guest *guest = data;
  (void)host;
  assert_non_null(result->message);
  guest->ended++;
}

/* LP_OK, or what has to do with memory. */
static int expect(struct guest *guest, int status) {
  if (status < 0 && status != LP_ENOMEM) {
    assert_true(guest->failed);
    if (status != LP_ELUA && status != LP_ESYSTEM)
      fail_msg("%d: %s", status, lp_error(guest->host));
  }
  return status;
}

static int submit(struct guest *guest, const char *source, bool calls_back) {
  struct lp_task task;
  struct lp_value args[] = {lp_json("{\"list\":[1,2,3]}", 16),
                            lp_string("text", 4)};
  int status;
  lp_task_init(&task, sizeof task);
  task.source = source;
  task.args = args;
  task.count = 2;
  task.data = guest;
  if (calls_back)
    task.on_end = on_end;
  status = lp_submit(guest->host, &task, &guest->last);
  if (status == LP_OK)
    guest->tasks++;
  return status;
}

/* --- what is done -------------------------------------------------------- */

static const char quick[] =
    "local a, b = ... print('seen', a.list[2]) return a, b, {{}, 1 / 0}";
static const char large[] = "local text = ('x'):rep(70000) return text .. 1, "
                            "{text}, 2, 'short', nil, text .. 3";
static const char endless[] = "while true do end";

static void nothing(struct guest *guest) {
  (void)guest;
}

static void run(struct guest *guest) {
  struct lp_task task;
  const struct lp_result *result;
  lp_task_init(&task, sizeof task);
  task.source = "function double(x) return 2 * x end "
                "local t = {} for i = 1, 200 do t[i] = ('x'):rep(i) end "
                "print('made', #t) warn('of', 'strings') "
                "return t, 1, 'two', nil, double";
  if (expect(guest, lp_run(guest->host, &task, &result)) == LP_OK)
    assert_int_equal(result->count, 5);
  assert_non_null(result->message);
}

static void fan_out(struct guest *guest) {
  struct lp_task task;
  lp_task_init(&task, sizeof task);
  task.source = "local pool <close> = require('lambdapool').pool()\n"
                "return pool:map(function(x) return x * x end, {1, 2, 3})[3]";
  expect(guest, lp_run(guest->host, &task, NULL));
}

static void submit_quick(struct guest *guest) {
  expect(guest, submit(guest, quick, false));
  expect(guest, submit(guest, quick, true));
}

/* Results that are lent. */
static void submit_large(struct guest *guest) {
  expect(guest, submit(guest, large, false));
  expect(guest, submit(guest, large, true));
  expect(guest, submit(guest, large, false));
}

static void submit_endless(struct guest *guest) {
  expect(guest, submit(guest, endless, true));
  expect(guest, submit(guest, endless, false));
  expect(guest, submit(guest, endless, false));
}

/* Until one call went without failure, or all is over. */
static void poll(struct guest *guest) {
  int i;
  for (i = 0; i < 1000 && guest->ended < guest->tasks; i++) {
    const struct lp_result *result;
    expect(guest, lp_poll(guest->host, 500));
    while (lp_next(guest->host, &result) == 1)
      guest->ended++;
  }
}

static void poll_once(struct guest *guest) {
  const struct lp_result *result;
  expect(guest, lp_poll(guest->host, 500));
  while (lp_next(guest->host, &result) == 1)
    guest->ended++;
}

static void wait(struct guest *guest) {
  int status = lp_wait(guest->host, 0, LONG_US);
  if (status != LP_OK && status != LP_ETIMEDOUT)
    expect(guest, status);
}

static void cancel(struct guest *guest) {
  if (guest->last != 0 && lp_state(guest->host, guest->last) >= 0)
    expect(guest, lp_cancel(guest->host, guest->last));
}

static int call_nothing(lp_host *host, struct lp_call *call, void *data) {
  (void)host, (void)data;
  call->results[0] = lp_json("[1,2,3]", 7);
  call->result_count = 1;
  return LP_OK;
}

static void offer(struct guest *guest) {
  struct lp_task task;
  lp_task_init(&task, sizeof task);
  task.source = "if tool and tool.read then tool.read({1}, 'x') end";
  expect(guest, lp_register(guest->host, "tool.read", call_nothing, NULL));
  expect(guest, lp_run(guest->host, &task, NULL));
}

static void look(struct guest *guest) {
  struct lp_stats stats;
  expect(guest, lp_fd(guest->host));
  lp_wake(guest->host);
  expect(guest, lp_get_stats(guest->host, &stats, sizeof stats));
}

static void close_host(struct guest *guest) {
  assert_int_equal(lp_close(guest->host), LP_OK);
  guest->host = NULL;
}

static void open_again(struct guest *guest) {
  int status = open_host(guest);
  assert_true(status == LP_OK || status == LP_ENOMEM);
  assert_true((guest->host == NULL) == (status == LP_ENOMEM));
}

/* --- sweeping ------------------------------------------------------------ */

/* Everything has ended that was begun, and the host is as good as new. */
static void check(struct guest *guest) {
  const struct lp_result *result;
  struct lp_stats stats;
  int status;
  while ((status = lp_wait(guest->host, 0, LONG_US)) == LP_EWOKEN)
    continue;
  if (status != LP_OK)
    fail_msg("%d: %s", status, lp_error(guest->host));
  while (lp_next(guest->host, &result) == 1)
    guest->ended++;
  assert_int_equal(guest->ended, guest->tasks);
  if (submit(guest, quick, false) != LP_OK)
    fail_msg("%s", lp_error(guest->host));
  while ((status = lp_wait(guest->host, guest->last, LONG_US)) == LP_EWOKEN)
    continue;
  assert_int_equal(status, LP_OK);
  assert_int_equal(lp_next(guest->host, &result), 1);
  if (result->kind != LP_DONE)
    fail_msg("kind %d: %s", result->kind, result->message);
  assert_int_equal(result->count, 3);
  assert_int_equal(lp_get_stats(guest->host, &stats, sizeof stats), LP_OK);
  assert_int_equal(stats.memory, guest->used);
}

/* Whether `act` went well without memory after `n` allocations. */
static bool try_at(void (*prepare)(struct guest *), void (*act)(struct guest *),
                   long n, bool lasts) {
  struct guest guest = {NULL, NEVER, lasts, false, 0, 0, 0, 0, 0, 0};
  if (prepare != NULL) {
    assert_int_equal(open_host(&guest), LP_OK);
    prepare(&guest);
  }
  guest.left = n;
  act(&guest);
  guest.left = NEVER;
  if (guest.host != NULL) {
    check(&guest);
    close_host(&guest);
  }
  assert_int_equal(guest.used, 0);
  return !guest.failed;
}

/* Every point at first, and then fewer and fewer. Returns how far it goes. */
static long sweep(void (*prepare)(struct guest *),
                  void (*act)(struct guest *)) {
  long n = 0;
  bool well;
  do {
    well = try_at(prepare, act, n, true);
    if (!well)
      try_at(prepare, act, n, false);
    n += 1 + n / 30;
  } while (!well);
  return n;
}

static void test_open(void **state) {
  (void)state;
  assert_true(sweep(NULL, open_again) > 3);
}

static void test_run(void **state) {
  (void)state;
  assert_true(sweep(nothing, run) > 3);
}

static void test_fan_out(void **state) {
  (void)state;
  assert_true(sweep(nothing, fan_out) > 10);
}

/* A script that waits while tasks of the program are under way. */
static void submit_and_fan_out(struct guest *guest) {
  submit_quick(guest);
  fan_out(guest);
}

static void test_fan_out_beside_tasks(void **state) {
  (void)state;
  assert_true(sweep(submit_and_fan_out, fan_out) > 3);
}

static void test_submit(void **state) {
  (void)state;
  assert_true(sweep(nothing, submit_quick) > 10);
}

static void test_submit_again(void **state) {
  (void)state;
  sweep(submit_quick, submit_quick);
}

static void test_poll(void **state) {
  (void)state;
  sweep(submit_quick, poll);
}

static void test_wait(void **state) {
  (void)state;
  sweep(submit_quick, wait);
}

static void test_large(void **state) {
  (void)state;
  sweep(submit_large, poll);
  sweep(submit_large, wait);
}

static void test_cancel(void **state) {
  (void)state;
  sweep(submit_quick, cancel);
}

static void test_offer(void **state) {
  (void)state;
  sweep(nothing, offer);
}

static void test_look(void **state) {
  (void)state;
  assert_true(sweep(nothing, look) > 3);
}

/* Memory is short now and then, for a long time. */
static void test_hard_times(void **state) {
  static void (*const acts[])(struct guest *) = {
      submit_quick, poll_once, submit_large, cancel, run,
      submit_quick, poll_once, look,         offer,  poll_once};
  (void)state;
  for (uint32_t seed = 1; seed <= 12; seed++) {
    struct guest guest = {.left = NEVER, .seed = seed};
    assert_int_equal(open_host(&guest), LP_OK);
    for (int i = 0; i < 200; i++) {
      guest.one_in = 1 + seed % 4 * 20 + i % 7;
      acts[i % 10](&guest);
    }
    guest.one_in = 0;
    check(&guest);
    close_host(&guest);
    assert_int_equal(guest.used, 0);
  }
}

static void have_large(struct guest *guest) {
  submit_large(guest);
  wait(guest);
}

/* Needs no memory, or does without. */
static void test_close(void **state) {
  (void)state;
  sweep(nothing, close_host);
  sweep(submit_endless, close_host);
  sweep(submit_large, close_host);
  sweep(have_large, close_host);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_open),
      cmocka_unit_test(test_run),
      cmocka_unit_test(test_fan_out),
      cmocka_unit_test(test_fan_out_beside_tasks),
      cmocka_unit_test(test_submit),
      cmocka_unit_test(test_submit_again),
      cmocka_unit_test(test_poll),
      cmocka_unit_test(test_wait),
      cmocka_unit_test(test_large),
      cmocka_unit_test(test_cancel),
      cmocka_unit_test(test_offer),
      cmocka_unit_test(test_look),
      cmocka_unit_test(test_close),
      cmocka_unit_test(test_hard_times),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
