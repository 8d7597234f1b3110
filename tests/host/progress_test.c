/* The page that a worker keeps: both sides of it, and whatever else is written
 * there. */
#define _GNU_SOURCE
#include "host/memory.h"
#include "host/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
  int fd;
  struct lp__progress *host, *worker;
};

static int open_page(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  *state = fixture;
  fixture->host = lp__progress_create(&fixture->fd);
  if (!fixture->host)
    return -1;
  fixture->worker = lp__progress_open(fixture->fd);
  return fixture->worker ? 0 : -1;
}

static int close_page(void **state) {
  struct fixture *fixture = *state;
  lp__progress_close(fixture->host);
  lp__progress_close(fixture->worker);
  close(fixture->fd);
  free(fixture);
  return 0;
}

/* What the host reads; expects these records. */
static struct lp__progress_report read_page(const struct fixture *fixture,
                                            const char *records) {
  char *kept;
  size_t size;
  struct lp__progress_report report =
      lp__progress_read(fixture->host, &kept, &size);
  assert_int_equal(size, strlen(records));
  if (size > 0)
    assert_memory_equal(kept, records, size);
  else
    assert_null(kept);
  lp__free(kept);
  return report;
}

static void expect(const struct fixture *fixture, uint32_t begun,
                   uint32_t finished, uint32_t kept_tasks,
                   const char *records) {
  struct lp__progress_report report = read_page(fixture, records);
  assert_int_equal(report.begun, begun);
  assert_int_equal(report.finished, finished);
  assert_int_equal(report.kept_tasks, kept_tasks);
}

static void keep(struct lp__progress *page, uint32_t k, const char *record) {
  lp__progress_keep(page, k, record, (uint32_t)strlen(record));
}

/* --- one page ------------------------------------------------------------ */

static void test_tasks(void **state) {
  struct fixture *fixture = *state;
  expect(fixture, 0, 0, 0, "");
  assert_true(lp__progress_begin(fixture->worker, 1, 11));
  assert_int_equal(fixture->host->began_ns, 11);
  expect(fixture, 1, 0, 0, "");
  keep(fixture->worker, 1, "one");
  expect(fixture, 1, 1, 1, "one"); /* it ends here: the task had ended */
  lp__progress_end(fixture->worker, 1);
  expect(fixture, 1, 1, 1, "one");
  assert_true(lp__progress_begin(fixture->worker, 2, 12));
  fixture->worker->no_memory = 4096;
  keep(fixture->worker, 2, "two");
  lp__progress_end(fixture->worker, 2);
  expect(fixture, 2, 2, 2, "onetwo");
  assert_int_equal(read_page(fixture, "onetwo").no_memory, 4096);
  lp__progress_reset(fixture->host);
  expect(fixture, 0, 0, 0, "");
  assert_int_equal(fixture->host->began_ns, 0);
  assert_int_equal(read_page(fixture, "").no_memory, 0);
}

/* After a record that is not kept, none is: they have no numbers. */
static void test_records_are_a_prefix(void **state) {
  struct fixture *fixture = *state;
  static char large[LP__PROGRESS_BYTES];
  fixture->worker->begun = 4;
  keep(fixture->worker, 1, "one");
  lp__progress_keep(fixture->worker, 2, large, sizeof large);
  lp__progress_end(fixture->worker, 2);
  keep(fixture->worker, 3, "three");
  lp__progress_end(fixture->worker, 3);
  expect(fixture, 4, 3, 1, "one");
}

static void test_full_page(void **state) {
  struct fixture *fixture = *state;
  static char large[LP__PROGRESS_BYTES + 1];
  memset(large, 'x', LP__PROGRESS_BYTES);
  fixture->worker->begun = 2;
  lp__progress_keep(fixture->worker, 1, large, sizeof large);
  expect(fixture, 2, 0, 0, "");
  lp__progress_keep(fixture->worker, 1, large, LP__PROGRESS_BYTES);
  expect(fixture, 2, 1, 1, large);
  keep(fixture->worker, 2, "y");
  expect(fixture, 2, 1, 1, large);
}

static void test_cut(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(lp__progress_cut(fixture->host, 2), 0);
  assert_true(lp__progress_begin(fixture->worker, 1, 1));
  assert_true(lp__progress_begin(fixture->worker, 2, 1));
  assert_int_equal(lp__progress_cut(fixture->host, 1), 2);
  assert_false(lp__progress_begin(fixture->worker, 3, 1));
  expect(fixture, 2, 0, 0, "");
  lp__progress_reset(fixture->host);
  assert_true(lp__progress_begin(fixture->worker, UINT32_MAX, 1));
}

static void test_page_that_nobody_keeps(void **state) {
  (void)state;
  struct fixture fixture;
  fixture.host = lp__progress_create(&fixture.fd);
  assert_non_null(fixture.host);
  expect(&fixture, 1, 0, 0, "");
  fixture.host->begun = 7;
  fixture.host->kept_tasks = fixture.host->kept_bytes = 7;
  expect(&fixture, 1, 0, 0, "");
  lp__progress_reset(fixture.host);
  expect(&fixture, 1, 0, 0, "");
  lp__progress_close(fixture.host);
  close(fixture.fd);
}

/* --- its memory ---------------------------------------------------------- */

/* What could make the host's next look at the page a SIGBUS. */
static void test_size_stays(void **state) {
  struct fixture *fixture = *state;
  struct stat status;
  assert_int_equal(ftruncate(fixture->fd, 0), -1);
  assert_int_equal(ftruncate(fixture->fd, 1 << 20), -1);
  assert_int_equal(fcntl(fixture->fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
  assert_int_equal(fstat(fixture->fd, &status), 0);
  assert_int_equal(status.st_size, sizeof(struct lp__progress));
  assert_true(fcntl(fixture->fd, F_GETFD) & FD_CLOEXEC);
  fixture->worker->begun = 1;
  fallocate(fixture->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
            sizeof(struct lp__progress));
  expect(fixture, 1, 0, 0, ""); /* all zero: nobody keeps it */
}

static void test_no_page(void **state) {
  (void)state;
  int ends[2];
  assert_null(lp__progress_open(-1));
  assert_int_equal(pipe(ends), 0);
  assert_null(lp__progress_open(ends[0]));
  int small = memfd_create("small", 0);
  assert_int_equal(ftruncate(small, 4096), 0);
  assert_null(lp__progress_open(small));
  close(small);
  close(ends[0]);
  close(ends[1]);
  lp__progress_close(NULL);
}

/* A page that cannot be made or mapped leaves nothing and says why. */
static void test_too_little(void **state) {
  (void)state;
  static const struct {
    int resource, failure;
  } cases[] = {{RLIMIT_NOFILE, EMFILE}, {RLIMIT_AS, ENOMEM}};
  for (int i = 0; i < 2; i++) {
    struct rlimit limit, none;
    int fd = 0, next = dup(0);
    close(next);
    getrlimit((__rlimit_resource_t)cases[i].resource, &limit);
    none = limit;
    none.rlim_cur = 0;
    setrlimit((__rlimit_resource_t)cases[i].resource, &none);
    errno = 0;
    struct lp__progress *page = lp__progress_create(&fd);
    int failure = errno;
    setrlimit((__rlimit_resource_t)cases[i].resource, &limit);
    if (page) { /* valgrind keeps these limits from the program */
      lp__progress_close(page);
      close(fd);
      continue;
    }
    assert_int_equal(fd, -1);
    assert_int_equal(failure, cases[i].failure);
    fd = dup(0);
    assert_int_equal(fd, next);
    close(fd);
  }
}

/* --- both sides at once -------------------------------------------------- */

enum { TASKS = 2000, ROUNDS = 200 };

static atomic_uint last_run;

/* A worker that runs tasks until it may not; where it stopped is `last_run`. */
static void *run_tasks(void *page) {
  uint32_t k = 0;
  while (k < TASKS && lp__progress_begin(page, k + 1, 1)) {
    k++;
    keep(page, k, "r");
    lp__progress_end(page, k);
  }
  atomic_store(&last_run, k);
  return NULL;
}

/* Tasks that were taken back never ran, and what was read on the way was
 * consistent. */
static void test_cut_while_tasks_run(void **state) {
  struct fixture *fixture = *state;
  char records[TASKS + 1];
  for (uint32_t round = 0; round < ROUNDS; round++) {
    pthread_t thread;
    char *kept;
    size_t size;
    uint32_t n = round * TASKS / ROUNDS;
    lp__progress_reset(fixture->host);
    pthread_create(&thread, NULL, run_tasks, fixture->worker);
    while (round % 2 && fixture->host->begun < n / 2)
      ;
    uint32_t begun = lp__progress_cut(fixture->host, n);
    struct lp__progress_report report =
        lp__progress_read(fixture->host, &kept, &size);
    pthread_join(thread, NULL);
    assert_true(last_run <= (begun > n ? begun : n));
    assert_true(report.kept_tasks <= size);
    assert_true(report.finished <= report.begun);
    lp__free(kept);
    memset(records, 'r', last_run);
    records[last_run] = '\0';
    expect(fixture, last_run, last_run, last_run, records);
  }
}

static atomic_bool done;

/* Anything at all, in every field but `mapped`. */
static void *scribble(void *argument) {
  struct lp__progress *page = argument;
  uint64_t noise = 1;
  while (!atomic_load(&done)) {
    noise = noise * 6364136223846793005u + 1442695040888963407u;
    uint32_t value = (uint32_t)(noise >> 32) >> (noise >> 27 & 31);
    _Atomic uint32_t *fields[] = {&page->begun, &page->finished, &page->limit,
                                  &page->kept_tasks};
    atomic_store(fields[noise >> 20 & 3], value);
    atomic_store(&page->kept_bytes, (uint32_t)(noise >> 40));
    memset(page->kept + (value & 0xffff), (int)value, 100);
  }
  return NULL;
}

static void test_scribbled_page(void **state) {
  struct fixture *fixture = *state;
  pthread_t thread;
  atomic_store(&done, false);
  pthread_create(&thread, NULL, scribble, fixture->worker);
  for (int i = 0; i < 2000; i++) {
    char *kept;
    size_t size;
    struct lp__progress_report report =
        lp__progress_read(fixture->host, &kept, &size);
    assert_true(report.finished <= report.begun);
    assert_true(report.kept_tasks <= report.finished);
    assert_true(report.kept_tasks <= size);
    assert_true(size <= LP__PROGRESS_BYTES);
    assert_true((kept == NULL) == (size == 0));
    lp__free(kept);
  }
  atomic_store(&done, true);
  pthread_join(thread, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_page, close_page)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_tasks),
      TEST(test_records_are_a_prefix),
      TEST(test_full_page),
      TEST(test_cut),
      cmocka_unit_test(test_page_that_nobody_keeps),
      TEST(test_size_stays),
      cmocka_unit_test(test_no_page),
      cmocka_unit_test(test_too_little),
      TEST(test_cut_while_tasks_run),
      TEST(test_scribbled_page),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
