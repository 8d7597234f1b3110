/*
 * Sixty-four hosts on eight threads, each with tasks, and wakes from other
 * threads meanwhile. `make tsan` runs this with ThreadSanitizer.
 */
#define _GNU_SOURCE
#include "process_state.h"

#include <pthread.h>

enum { THREADS = 8, HOSTS = 8 };

/* One thread: opens eight hosts, gives each some tasks, and takes turns. */
static void submit_some(lp_host *host, int seed) {
  struct lp_task task = guest_task("local n, s = ... return n * 2, s");
  struct lp_value args[2];
  int i;
  task.args = args;
  task.count = 2;
  for (i = 0; i < 3; i++) {
    args[0] = lp_integer(seed + i);
    args[1] = lp_string("some text", 9);
    OK(host, lp_submit(host, &task, NULL));
  }
}

static int take(lp_host *host) {
  const struct lp_result *result;
  int count = 0;
  OK(host, lp_poll(host, 200));
  while (lp_next(host, &result) == 1) {
    KIND(result, LP_DONE);
    SAME(result->values[1].bytes, "some text");
    count++;
  }
  return count;
}

static void *eight_hosts(void *data) {
  lp_host *hosts[HOSTS];
  struct lp_config config = guest_config();
  int i, count = 0;
  config.workers = 1;
  for (i = 0; i < HOSTS; i++)
    hosts[i] = guest_open_with(&config);
  for (i = 0; i < HOSTS; i++)
    submit_some(hosts[i], i);
  while (count < HOSTS * 3)
    for (i = 0; i < HOSTS; i++)
      count += take(hosts[i]);
  for (i = 0; i < HOSTS; i++) {
    if (i % 2)
      guest_submit(hosts[i], "while true do end");
    OK(hosts[i], lp_close(hosts[i]));
  }
  return data;
}

static void sixty_four_hosts(void) {
  char *before = state_text();
  pthread_t threads[THREADS];
  int i;
  for (i = 0; i < THREADS; i++)
    EQUAL(pthread_create(&threads[i], NULL, eight_hosts, NULL), 0);
  for (i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  EQUAL(guest_no_children(0), 1);
  UNCHANGED(before);
  free(before);
}

/* All threads open, work and close at the same time, first of all at the first
 * time in the process. */
static void *open_and_close(void *data) {
  int i;
  for (i = 0; i < 20; i++)
    OK(NULL, lp_close(guest_open()));
  return data;
}

static void the_first_ones_at_once(void) {
  pthread_t threads[THREADS];
  int i;
  for (i = 0; i < THREADS; i++)
    EQUAL(pthread_create(&threads[i], NULL, open_and_close, NULL), 0);
  for (i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
}

static int over;

static void *wake(void *data) {
  while (!__atomic_load_n(&over, __ATOMIC_SEQ_CST)) {
    lp_wake(data);
    guest_sleep_ms(1);
  }
  return NULL;
}

static void wakes_from_other_threads(void) {
  pthread_t threads[THREADS];
  lp_host *host = guest_open();
  int i, count = 0;
  for (i = 0; i < THREADS; i++)
    EQUAL(pthread_create(&threads[i], NULL, wake, host), 0);
  for (i = 0; i < 5; i++)
    submit_some(host, i);
  while (count < 15) {
    int code = lp_wait(host, 0, -1);
    CHECK(code == LP_OK || code == LP_EWOKEN);
    count += take(host);
  }
  __atomic_store_n(&over, 1, __ATOMIC_SEQ_CST);
  for (i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  OK(host, lp_close(host));
}

/* A host that is handed from thread to thread under a lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int taken;

static void *take_turns(void *host) {
  int done = 0;
  while (!done) {
    pthread_mutex_lock(&lock);
    if (taken < 60)
      taken += take(host);
    done = taken >= 60;
    pthread_mutex_unlock(&lock);
  }
  return NULL;
}

static void one_host_under_a_lock(void) {
  pthread_t threads[THREADS];
  lp_host *host = guest_open();
  int i;
  for (i = 0; i < 20; i++)
    submit_some(host, i);
  for (i = 0; i < THREADS; i++)
    EQUAL(pthread_create(&threads[i], NULL, take_turns, host), 0);
  for (i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  EQUAL(taken, 60);
  OK(host, lp_close(host));
}

/* They are on the stack of every thread of the process, ours included. */
static _Thread_local char thread_local_bytes[1 << 20];

static void many_thread_locals(void) {
  lp_host *host = guest_open();
  memset(thread_local_bytes, 'x', sizeof thread_local_bytes);
  RETURNS(guest_end_of(host, "return 1"), 1);
  EQUAL(thread_local_bytes[1000], 'x');
  OK(host, lp_close(host));
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"64 hosts on 8 threads", sixty_four_hosts},
      {"the first ones at once", the_first_ones_at_once},
      {"wakes from other threads", wakes_from_other_threads},
      {"one host under a lock", one_host_under_a_lock},
      {"many thread-local variables", many_thread_locals}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
