/*
 * The program's allocator: all memory comes from it, by the right thread and
 * inside of calls only, goes back to the byte, and may run out at any time.
 */
#define _GNU_SOURCE
#include "strict_allocator.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>

/* The last result, when there is one. */
static int next(lp_host *host, const struct lp_result **result) {
  int code = lp_next(host, result);
  CHECK(code == 0 || code == 1);
  return code;
}

static const char script[] =
    "local lambdapool = require 'lambdapool'\n"
    "local pool <close> = lambdapool.pool { workers = 2 }\n"
    "return pool:map(function(x) return x * x end, {1, 2, 3})";

/* A bit of everything that a host can do; errors are fine. */
static void all_of_it(lp_host *host) {
  const struct lp_value args[] = {lp_integer(1), lp_string("\0\n", 2),
                                  lp_json("{\"a\":[1,2]}", 11)};
  const struct lp_result *result;
  struct lp_stats stats;
  struct lp_task task = guest_task("return ...");
  lp_id id = 0;
  task.args = args;
  task.count = 3;
  lp_run(host, &task, &result);
  lp_submit(host, &task, &id);
  task.source = "error({1, 2, 3})";
  lp_submit(host, &task, NULL);
  task.source = "return (";
  lp_submit(host, &task, NULL);
  task.source = "return ('0123456789'):rep(100000)";
  lp_submit(host, &task, NULL);
  lp_state(host, id);
  lp_cancel(host, id);
  lp_fd(host);
  lp_get_stats(host, &stats, sizeof stats);
  lp_wait(host, 0, 10000000);
  while (next(host, &result))
    continue;
  task.source = script;
  lp_run(host, &task, NULL);
}

static void balanced_to_the_byte(void) {
  struct strict strict = strict_init();
  struct lp_config config = strict_config(&strict);
  lp_host *host;
  int i;
  for (i = 0; i < 3; i++) {
    IN(&strict, OK(NULL, lp_open(&config, &host)));
    CHECK(strict.used > 1000);
    IN(&strict, all_of_it(host));
    IN(&strict, lp_close(host));
    EQUAL(strict.count, 0);
    EQUAL(strict.used, 0);
  }
}

static void stats_say_how_much(void) {
  struct strict strict = strict_init();
  struct lp_config config = strict_config(&strict);
  struct lp_stats stats = {0};
  lp_host *host;
  IN(&strict, OK(NULL, lp_open(&config, &host)));
  IN(&strict, guest_run(host, "x = ('x'):rep(1000000)"));
  IN(&strict, OK(host, lp_get_stats(host, &stats, sizeof stats)));
  CHECK(stats.memory > 1000000);
  CHECK(stats.memory <= strict.used && stats.memory > strict.used * 8 / 10);
  IN(&strict, lp_close(host));
}

static void two_hosts_keep_theirs_apart(void) {
  struct strict strict[2] = {strict_init(), strict_init()};
  lp_host *hosts[2];
  int i;
  for (i = 0; i < 2; i++) {
    struct lp_config config = strict_config(&strict[i]);
    IN(&strict[i], OK(NULL, lp_open(&config, &hosts[i])));
  }
  for (i = 0; i < 6; i++)
    IN(&strict[i % 2], guest_submit(hosts[i % 2], "return ('x'):rep(100000)"));
  for (i = 0; i < 200; i++)
    IN(&strict[i % 2], OK(hosts[i % 2], lp_poll(hosts[i % 2], 1000)));
  for (i = 0; i < 2; i++)
    IN(&strict[i], all_of_it(hosts[i]));
  for (i = 0; i < 2; i++) {
    IN(&strict[i], lp_close(hosts[i]));
    EQUAL(strict[i].used, 0);
  }
}

struct visit {
  lp_host *host;
  struct strict *strict;
};

static void *visit(void *data) {
  struct visit *visit = data;
  IN(visit->strict, all_of_it(visit->host));
  return NULL;
}

/* A host that goes from thread to thread, and is closed by another one. */
static void from_thread_to_thread(void) {
  struct strict strict = strict_init();
  struct lp_config config = strict_config(&strict);
  struct visit data;
  pthread_t thread;
  int i;
  IN(&strict, OK(NULL, lp_open(&config, &data.host)));
  data.strict = &strict;
  for (i = 0; i < 3; i++) {
    pthread_create(&thread, NULL, visit, &data);
    pthread_join(thread, NULL);
  }
  IN(&strict, lp_close(data.host));
  EQUAL(strict.used, 0);
}

/* An allocator beside malloc: powers of two in pages of its own. */
struct pool {
  char *at, *end;
  void *free[48];
};

static int power_of(size_t size) {
  int power = 4;
  while ((size_t)1 << power < size)
    power++;
  return power;
}

static void *pool_allocate(void *data, void *block, size_t old, size_t size) {
  struct pool *pool = data;
  int power = power_of(size), was = power_of(old);
  void *new = NULL;
  if (block && size && power == was)
    return block;
  if (size && pool->free[power]) {
    new = pool->free[power];
    pool->free[power] = *(void **)new;
  } else if (size) {
    new = pool->at;
    pool->at += (size_t)1 << power;
    CHECK(pool->at <= pool->end);
  }
  if (block && size)
    memcpy(new, block, old < size ? old : size);
  if (block) {
    *(void **)block = pool->free[was];
    pool->free[was] = block;
  }
  return new;
}

/* What a host keeps is not malloc's, but for the C library's own needs: some KB
 * for a thread. */
static void nothing_comes_from_malloc(void) {
  size_t space = (size_t)1 << 30;
  struct pool pool = {0};
  struct lp_config config = guest_config();
  struct mallinfo2 before, after;
  lp_host *host;
  lp_close(guest_open());
  pool.at = mmap(NULL, space, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(pool.at != MAP_FAILED);
  pool.end = pool.at + space;
  config.allocate = pool_allocate;
  config.allocate_data = &pool;
  before = mallinfo2();
  host = guest_open_with(&config);
  all_of_it(host);
  KIND(guest_end_of(host, "local t = {} for i = 1, 1e5 do t[i] = i end "
                          "return t"),
       LP_DONE);
  after = mallinfo2();
  if (after.uordblks > before.uordblks + 16000)
    FAIL("%zu bytes come from malloc", after.uordblks - before.uordblks);
  lp_close(host);
}

/* An idle host allocates nothing, with and without workers. */
static void idle_polls_allocate_nothing(void) {
  struct strict strict = strict_init();
  struct lp_config config = strict_config(&strict);
  uint64_t calls;
  lp_host *host;
  int i;
  IN(&strict, OK(NULL, lp_open(&config, &host)));
  calls = strict.calls;
  for (i = 0; i < 1000; i++)
    IN(&strict, lp_poll(host, 100));
  EQUAL(strict.calls, calls);
  IN(&strict, guest_end_of(host, "return 1"));
  for (i = 0; i < 100; i++, guest_sleep_ms(1))
    IN(&strict, lp_poll(host, 100));
  calls = strict.calls;
  for (i = 0; i < 1000; i++)
    IN(&strict, lp_poll(host, 100));
  EQUAL(strict.calls, calls);
  IN(&strict, lp_close(host));
}

/* Kilobytes of Lua after ten thousand errors that nobody asks for. */
static double memory_after_flows(lp_host *host) {
  int i;
  for (i = 0; i < 100; i++) {
    guest_run(host, "for i = 1, 100 do\n"
                    "  require 'lambdapool'.async(error, 'lost', 0)\n"
                    "end");
    OK(host, lp_poll(host, 500));
  }
  return guest_run(host, "collectgarbage() collectgarbage()\n"
                         "return collectgarbage 'count'")
      ->values[0]
      .number;
}

static void errors_of_flows(void) {
  lp_host *host = guest_open();
  double first = memory_after_flows(host);
  CHECK(memory_after_flows(host) < first + 10);
  OK(host, lp_close(host));
}

/* What comes into being when there is no memory for it: nothing, an error, or
 * a task that ends. Then there is memory again, and the host goes on unless it
 * says that it cannot. */
static void end_all(lp_host *host, struct strict *strict) {
  const struct lp_result *result;
  struct lp_stats stats = {0};
  int i;
  for (i = 0; lp_wait(host, 0, 20000000) != LP_OK; i++)
    if (i == 10)
      FAIL("tasks do not end: %s", lp_error(host));
  while (next(host, &result))
    continue;
  OK(host, lp_get_stats(host, &stats, sizeof stats));
  EQUAL(stats.running + stats.queued, 0);
  EQUAL(stats.tasks, stats.done + stats.failed + stats.cancelled);
  CHECK(strict->left == NEVER);
}

/* False when it went well with that much memory. */
static int out_of_memory_at(long n) {
  struct strict strict = strict_init();
  struct lp_config config = strict_config(&strict);
  lp_host *host = NULL;
  int code;
  strict.left = n;
  IN(&strict, code = lp_open(&config, &host));
  CHECK(code == LP_OK || code == LP_ENOMEM);
  CHECK((host == NULL) == (code == LP_ENOMEM));
  if (host == NULL) {
    EQUAL(strict.used, 0);
    return 1;
  }
  IN(&strict, all_of_it(host));
  code = strict.left == 0;
  strict.left = NEVER;
  IN(&strict, end_all(host, &strict));
  IN(&strict, lp_close(host));
  EQUAL(strict.used, 0);
  return code;
}

static void out_of_memory_anywhere(void) {
#ifdef __SANITIZE_ADDRESS__
  const long step = 29; /* workers start slowly then */
#else
  const long step = 1;
#endif
  long n;
  for (n = 0; out_of_memory_at(n); n += step)
    continue;
  CHECK(n > 100);
}

static void a_limit_of_bytes(void) {
  uint64_t limit;
  for (limit = 100000; limit < 4000000; limit += limit / 6) {
    struct strict strict = strict_init();
    struct lp_config config = strict_config(&strict);
    lp_host *host = NULL;
    strict.limit = limit;
    IN(&strict, lp_open(&config, &host));
    if (host) {
      IN(&strict, all_of_it(host));
      strict.limit = 0;
      IN(&strict, end_all(host, &strict));
    }
    IN(&strict, lp_close(host));
    EQUAL(strict.used, 0);
  }
}

/* A script that eats all that there is gets an error; the host goes on. */
static void a_greedy_script(void) {
  struct strict strict = strict_init();
  struct lp_config config = strict_config(&strict);
  struct lp_task task =
      guest_task("local t = {} while true do t[#t + 1] = ('x'):rep(#t) end");
  lp_host *host;
  int code;
  IN(&strict, OK(NULL, lp_open(&config, &host)));
  strict.limit = 20000000;
  IN(&strict, code = lp_run(host, &task, NULL));
  CHECK(code == LP_ENOMEM || code == LP_ELUA);
  IN(&strict, HAS(lp_error(host), "memory"));
  IN(&strict, KIND(guest_end_of(host, "return 1"), LP_DONE));
  IN(&strict, lp_close(host));
  EQUAL(strict.used, 0);
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"the allocator gets back every byte", balanced_to_the_byte},
      {"lp_get_stats says how much", stats_say_how_much},
      {"two hosts keep theirs apart", two_hosts_keep_theirs_apart},
      {"from thread to thread", from_thread_to_thread},
      {"nothing comes from malloc", nothing_comes_from_malloc},
      {"idle polls allocate nothing", idle_polls_allocate_nothing},
      {"errors of flows that nobody asks for", errors_of_flows},
      {"out of memory anywhere", out_of_memory_anywhere},
      {"a limit of bytes", a_limit_of_bytes},
      {"a greedy script", a_greedy_script}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
