/*
 * Results are lent: a thread of the host's receives what workers answer, into
 * memory of the user's allocator, and there the user finds his strings. What
 * that is for, frames that are kept, is measured elsewhere; here are its traces
 * that are the same on any machine.
 */
#define _GNU_SOURCE
#include "process_state.h"

enum { SIZE = 64 * 1024, LARGE = 1000, LARGE_MAX = 4096 };

/* An allocator that knows where its large blocks are. */
struct known {
  struct {
    char *at;
    size_t size;
    int number; /* of large blocks, in the order in which they were made */
  } large[LARGE_MAX];
  int last; /* number */
};

/* The place of the block that begins at `at`; of NULL, one that is free. */
static int place_of(const struct known *known, const void *at) {
  int i;
  for (i = 0; i < LARGE_MAX && known->large[i].at != at; i++)
    continue;
  CHECK(i < LARGE_MAX);
  return i;
}

static void *known_allocate(void *data, void *block, size_t old, size_t size) {
  struct known *known = data;
  char *moved = NULL;
  int i;
  if (block && old >= LARGE)
    known->large[place_of(known, block)].at = NULL;
  if (size == 0)
    free(block);
  else
    CHECK(moved = realloc(block, size));
  if (size >= LARGE) {
    i = place_of(known, NULL);
    known->large[i].at = moved;
    known->large[i].size = size;
    known->large[i].number = ++known->last;
  }
  return moved;
}

/* The number of the block that has these bytes in it. */
static int block_of(const struct known *known, const struct lp_value *value) {
  int i;
  for (i = 0; i < LARGE_MAX; i++) {
    const char *at = known->large[i].at;
    if (at && value->bytes >= at &&
        value->bytes + value->size < at + known->large[i].size)
      return known->large[i].number;
  }
  FAIL("a result is not in a block of the allocator");
}

static struct known known;

static lp_host *open_known(void) {
  struct lp_config config = guest_config();
  config.allocate = known_allocate;
  config.allocate_data = &known;
  return guest_open_with(&config);
}

static uint64_t memory_of(lp_host *host) {
  struct lp_stats stats = {0};
  OK(host, lp_get_stats(host, &stats, sizeof stats));
  return stats.memory;
}

/* Of a task that gives a string of so many bytes, at the end of which is `i`.
 */
static void submit_string(lp_host *host, int size, int i) {
  struct lp_value args[] = {lp_integer(size), lp_integer(i)};
  struct lp_task task = guest_task("local size, i = ...\n"
                                   "return ('x'):rep(size - 8)"
                                   " .. ('%08d'):format(i)");
  task.args = args;
  task.count = 2;
  guest_submit_with(host, &task);
}

/* Takes one, and stores in *i what is at its end. */
static const struct lp_value *next_string(lp_host *host, size_t size, int *i) {
  const struct lp_result *result;
  const struct lp_value *value;
  EQUAL(lp_next(host, &result), 1);
  KIND(result, LP_DONE);
  EQUAL(result->count, 1);
  value = result->values;
  EQUAL(value->type, LP_STRING);
  EQUAL(value->size, size);
  EQUAL(value->bytes[size], 0);
  EQUAL(strspn(value->bytes, "x"), size - 8);
  *i = atoi(value->bytes + size - 8);
  return value;
}

/* Without threads that start and receive there would be fewer, and with one for
 * each worker more. */
static void three_threads(void) {
  lp_host *host = guest_open();
  int i;
  EQUAL(state_threads(1), 1);
  for (i = 0; i < 20; i++)
    submit_string(host, SIZE, i);
  OK(host, lp_wait(host, 0, -1));
  EQUAL(state_threads(3), 3);
  OK(host, lp_close(host));
  EQUAL(state_threads(1), 1);
}

/* How often a thread of this process has waited for something. */
static long waits_of(const char *thread) {
  char path[64], line[200];
  long count = 0;
  FILE *file;
  snprintf(path, sizeof path, "/proc/self/task/%.20s/status", thread);
  CHECK(file = fopen(path, "r"));
  while (fgets(line, sizeof line, file))
    sscanf(line, "voluntary_ctxt_switches: %ld", &count);
  fclose(file);
  return count;
}

/* The same of all but the first. */
static long waits_of_others(void) {
  DIR *folder = opendir("/proc/self/task");
  struct dirent *entry;
  long count = 0;
  while ((entry = readdir(folder)))
    if (entry->d_name[0] != '.' && atoi(entry->d_name) != getpid())
      count += waits_of(entry->d_name);
  closedir(folder);
  return count;
}

/* Waits for one after the other, and has them taken. */
static void take_one_by_one(lp_host *host, int count, uint64_t *memory) {
  int i, found;
  for (i = 0; i < count; i++) {
    submit_string(host, SIZE, i);
    OK(host, lp_wait(host, 0, -1));
    next_string(host, SIZE, &found);
    EQUAL(found, i);
    if (memory_of(host) > *memory)
      *memory = memory_of(host);
  }
}

/* What starts processes has nothing to do any more. */
static void a_thread_receives(void) {
  lp_host *host = guest_open();
  uint64_t memory = 0;
  long had;
  take_one_by_one(host, 5, &memory);
  had = waits_of_others();
  take_one_by_one(host, 200, &memory);
  CHECK(waits_of_others() > had + 100);
  OK(host, lp_close(host));
}

/* Copies would be a block each. */
static void results_lie_in_their_answer(void) {
  enum { TASKS = 400, SMALL = 2000 };
  lp_host *host = open_known();
  int i, found, number, last = 0, blocks = 0;
  char seen[TASKS] = {0};
  for (i = 0; i < TASKS; i++)
    submit_string(host, SMALL, i);
  OK(host, lp_wait(host, 0, -1));
  for (i = 0; i < TASKS; i++) {
    number = block_of(&known, next_string(host, SMALL, &found));
    CHECK(found >= 0 && found < TASKS && !seen[found]);
    seen[found] = 1;
    blocks += number != last;
    last = number;
  }
  CHECK(blocks < TASKS / 2);
  OK(host, lp_close(host));
}

/* Copies would be garbage, of which there is always some. */
static void results_one_by_one(void) {
  lp_host *host = guest_open();
  uint64_t first = 0, most = 0;
  take_one_by_one(host, 1, &first);
  take_one_by_one(host, 200, &most);
  if (most > first + (3 << 20))
    FAIL("%" PRIu64 " bytes grow to %" PRIu64, first, most);
  OK(host, lp_close(host));
}

static void take_large(lp_host *host, int size) {
  const struct lp_result *result;
  struct lp_task task;
  struct lp_value n = lp_integer(size);
  lp_task_init(&task, sizeof task);
  task.source = "return ('x'):rep((...))";
  task.args = &n;
  task.count = 1;
  OK(host, lp_submit(host, &task, NULL));
  OK(host, lp_wait(host, 0, -1));
  EQUAL(lp_next(host, &result), 1);
  EQUAL(result->values[0].size, (size_t)size);
}

/* The memory that is ready for large answers is not lent with small results. */
static void small_results_keep_little(void) {
  enum { TASKS = 200, SMALL = 600 };
  lp_host *host = guest_open();
  uint64_t before;
  int i, found;
  for (i = 0; i < 5; i++)
    take_large(host, 1000000);
  before = memory_of(host);
  for (i = 0; i < TASKS; i++) {
    submit_string(host, SMALL, i);
    OK(host, lp_wait(host, 0, -1));
  }
  if (memory_of(host) > before + (4 << 20))
    FAIL("%" PRIu64 " bytes grow to %" PRIu64, before, memory_of(host));
  for (i = 0; i < TASKS; i++)
    next_string(host, SMALL, &found);
  OK(host, lp_close(host));
}

/* At once, and not with the garbage; but for some blocks that are kept. */
static void memory_comes_back(void) {
  enum { TASKS = 200 };
  lp_host *host = guest_open();
  const struct lp_result *none;
  uint64_t before = 0, after;
  int i, found;
  take_one_by_one(host, 1, &before);
  for (i = 0; i < TASKS; i++)
    submit_string(host, SIZE, i);
  OK(host, lp_wait(host, 0, -1));
  CHECK(memory_of(host) > before + TASKS * SIZE);
  for (i = 0; i < TASKS; i++)
    next_string(host, SIZE, &found);
  EQUAL(lp_next(host, &none), 0);
  after = memory_of(host);
  if (after > before + (8 << 20))
    FAIL("%" PRIu64 " bytes are %" PRIu64 " afterwards", before, after);
  OK(host, lp_close(host));
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"one thread starts processes, one receives", three_threads},
      {"a thread receives", a_thread_receives},
      {"results lie in their answer", results_lie_in_their_answer},
      {"results one by one", results_one_by_one},
      {"small results keep little", small_results_keep_little},
      {"memory comes back", memory_comes_back}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
