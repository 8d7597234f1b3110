/*
 * Sequences of calls that nobody would write: chosen by a random generator
 * with a fixed seed, in and out of callbacks, on several hosts. What is known
 * about each task is kept beside, and compared with what the host says.
 */
#define _GNU_SOURCE
#include "strict_allocator.h"

enum { HOSTS = 3, TASKS = 64 };

struct known {
  lp_id id;
  int open, calls_back;
};

struct guest {
  lp_host *host;
  struct strict strict;
  struct known tasks[TASKS];
  int open; /* tasks whose result was not taken */
  struct lp_stats stats;
};

static uint32_t seed;
static struct guest guests[HOSTS];

static uint32_t any(uint32_t below) {
  seed = seed * 1664525 + 1013904223;
  return (uint32_t)((uint64_t)seed * below >> 32);
}

static const char *const sources[] = {
    "return ...",
    "return 1, 'two', {3}",
    "error('four')",
    "error({5})",
    "while true do end",
    "os.exit(6)",
    "print('seven') return",
    "return ('8'):rep(100000)",
    "return (",
    "return undefined_global",
    "local t = {} t.t = t return t",
    "return coroutine.create(print)",
};

static struct guest *of_host(lp_host *host) {
  size_t i;
  for (i = 0; i < HOSTS; i++)
    if (guests[i].host == host)
      return &guests[i];
  FAIL("a host that is not open");
}

static struct known *of_task(struct guest *guest, lp_id id) {
  size_t i;
  for (i = 0; i < TASKS; i++)
    if (guest->tasks[i].open && guest->tasks[i].id == id)
      return &guest->tasks[i];
  FAIL("a result of no task");
}

static void take(struct guest *guest, const struct lp_result *result,
                 int calls_back) {
  struct known *known = of_task(guest, result->task);
  int i;
  EQUAL(known->calls_back, calls_back);
  CHECK(result->data == guest);
  CHECK(result->message && result->traceback);
  CHECK((result->kind == LP_DONE) == (result->message[0] == 0));
  CHECK(result->kind == LP_DONE || result->count == 0);
  for (i = 0; i < result->count; i++)
    CHECK(result->values[i].type < LP_STRING ||
          result->values[i].bytes[result->values[i].size] == 0);
  known->open = 0;
  guest->open--;
}

static void act(struct guest *guest, int inside);

static void on_end(lp_host *host, const struct lp_result *result, void *data) {
  struct guest *guest = of_host(host);
  CHECK(data == guest);
  take(guest, result, 1);
  while (any(3))
    act(guest, 1);
}

static void submit(struct guest *guest) {
  struct lp_value args[3] = {lp_integer(any(100)), lp_string("a\0b", 3),
                             lp_json("{\"a\":[1]}", 9)};
  struct lp_task task = guest_task(sources[any(COUNT(sources))]);
  struct known *known = NULL;
  size_t i;
  for (i = 0; i < TASKS; i++)
    if (!guest->tasks[i].open)
      known = &guest->tasks[i];
  if (known == NULL)
    return;
  known->calls_back = (int)any(2);
  task.args = args;
  task.count = (int)any(4);
  task.timeout_ms = any(3) ? 50 : 1;
  task.retries = (int)any(3) - 1;
  task.on_end = known->calls_back ? on_end : NULL;
  task.data = guest;
  if (lp_submit(guest->host, &task, &known->id) == LP_OK) {
    known->open = 1;
    guest->open++;
  }
}

static void take_next(struct guest *guest) {
  const struct lp_result *result;
  if (lp_next(guest->host, &result) == 1)
    take(guest, result, 0);
}

/* On a task that is there, one that was, or one that never was. */
static void touch(struct guest *guest) {
  struct known *known = &guest->tasks[any(TASKS)];
  lp_id id = any(4) ? known->id : known->id ^ (lp_id)1 << any(64);
  int there = known->open && id == known->id;
  int state = lp_state(guest->host, id);
  CHECK(there ? state >= 0 && state <= 2
              : state == LP_ESTALE || id != known->id);
  if (any(2))
    CHECK(lp_cancel(guest->host, id) == (there ? LP_OK : LP_ESTALE) ||
          id != known->id);
}

static void run(struct guest *guest, int inside) {
  struct lp_task task = guest_task(sources[any(COUNT(sources))]);
  const struct lp_result *result;
  int code;
  if (strstr(task.source, "while"))
    return;
  code = lp_run(guest->host, &task, any(2) ? &result : NULL);
  CHECK(inside ? code == LP_EBUSY : code == LP_OK || code == LP_ELUA);
}

static void advance(struct guest *guest, int inside) {
  int64_t time = any(3) ? any(2000) : 0;
  int code = any(2) ? lp_poll(guest->host, time)
                    : lp_wait(guest->host, guest->tasks[any(TASKS)].id, time);
  CHECK(!inside || code == LP_EBUSY);
  CHECK(code >= 0 || code == LP_EBUSY || code == LP_ETIMEDOUT ||
        code == LP_EWOKEN || code == LP_ESTALE);
}

static void no_log(void *data, enum lp_log_level level, const char *text,
                   size_t size) {
  CHECK(data == NULL && level <= LP_LOG_WARNING && text[size] == 0);
}

static void open_one(struct guest *guest) {
  struct lp_config config;
  memset(guest, 0, sizeof *guest);
  guest->strict = strict_init();
  guest->strict.thread = syscall(SYS_gettid);
  config = strict_config(&guest->strict);
  config.workers = 1 + (int)any(2);
  config.log = no_log;
  guest->host = guest_open_with(&config);
}

static void close_one(struct guest *guest) {
  OK(guest->host, lp_close(guest->host));
  EQUAL(guest->strict.used, 0);
}

/* Numbers that fit together, and only grow. */
static void count(struct guest *guest) {
  struct lp_stats stats, *last = &guest->stats;
  OK(guest->host, lp_get_stats(guest->host, &stats, sizeof stats));
  EQUAL(stats.tasks, stats.done + stats.failed + stats.cancelled +
                         stats.running + stats.queued);
  CHECK(stats.tasks >= last->tasks && stats.done >= last->done);
  CHECK(stats.failed >= last->failed && stats.cancelled >= last->cancelled);
  CHECK(stats.attempts >= last->attempts && stats.retried >= last->retried);
  CHECK(stats.attempts >= stats.retried);
  CHECK(stats.workers_started >= last->workers_started);
  CHECK(stats.bytes_sent >= last->bytes_sent);
  CHECK(stats.bytes_received >= last->bytes_received);
  CHECK(stats.run_seconds >= last->run_seconds);
  CHECK(stats.cost == 0 && stats.workers <= 2);
  *last = stats;
}

static void act(struct guest *guest, int inside) {
  switch (any(12)) {
  case 0:
  case 1:
  case 2:
    submit(guest);
    break;
  case 3:
    touch(guest);
    break;
  case 4:
    take_next(guest);
    break;
  case 5:
    if (any(10) == 0)
      run(guest, inside);
    break;
  case 6:
    CHECK(lp_fd(guest->host) >= 0);
    lp_wake(guest->host);
    break;
  case 7:
    count(guest);
    break;
  case 8:
    if (inside)
      EQUAL(lp_close(guest->host), LP_EBUSY);
    else if (any(20) == 0) {
      close_one(guest);
      open_one(guest);
    }
    break;
  default:
    advance(guest, inside);
  }
}

/* In the end every task has ended once. */
static void end(struct guest *guest) {
  int code;
  while ((code = lp_wait(guest->host, 0, -1)) != LP_OK)
    EQUAL(code, LP_EWOKEN);
  while (guest->open) {
    const struct lp_result *result;
    EQUAL(lp_next(guest->host, &result), 1);
    take(guest, result, 0);
    while ((code = lp_wait(guest->host, 0, -1)) != LP_OK)
      EQUAL(code, LP_EWOKEN);
  }
  close_one(guest);
}

static void play(uint32_t start, int steps) {
  size_t i;
  seed = start;
  for (i = 0; i < HOSTS; i++)
    open_one(&guests[i]);
  while (steps-- > 0)
    act(&guests[any(HOSTS)], 0);
  for (i = 0; i < HOSTS; i++)
    end(&guests[i]);
}

static void first(void) {
  play(1, 1000);
}

static void second(void) {
  play(20, 1000);
}

static void third(void) {
  play(300, 1000);
}

/* GUEST_SEED=n GUEST_STEPS=n: other games, by hand. */
static void fourth(void) {
  const char *start = getenv("GUEST_SEED"), *steps = getenv("GUEST_STEPS");
  play(start ? (uint32_t)atoi(start) : 4000, steps ? atoi(steps) : 1000);
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"a random sequence", first},
      {"another one", second},
      {"one more", third},
      {"the one that you choose", fourth}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
