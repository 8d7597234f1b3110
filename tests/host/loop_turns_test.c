/* The event loop in somebody else's: short turns, the descriptor, waking. */
#define _GNU_SOURCE
#include "host/loop.h"
#include "host/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { PAST = 1, TURNS = 5 };

static int count_descriptors(void) {
  DIR *folder = opendir("/proc/self/fd");
  int count = -3; /* . and .. and the folder itself */
  while (readdir(folder))
    count++;
  closedir(folder);
  return count;
}

static int open_loop(void **state) {
  return lp__loop_open((struct lp__loop **)state);
}

static int close_loop(void **state) {
  lp__loop_close(*state);
  return 0;
}

/* What a reader of the descriptor would see, within so many milliseconds. */
static bool is_readable(struct lp__loop *loop, int ms) {
  struct pollfd poll_fd = {lp__loop_fd(loop), POLLIN, 0};
  return poll(&poll_fd, 1, ms) == 1;
}

/* --- the first loop of the process --------------------------------------- */

/* To be the first test: libuv would abort. */
static void test_no_room(void **state) {
  (void)state;
  struct lp__loop *loop;
  struct rlimit limit, few;
  int before = count_descriptors();
  getrlimit(RLIMIT_NOFILE, &limit);
  few = limit;
  for (rlim_t most = 3; most < 3 + 6; most++) {
    few.rlim_cur = most;
    setrlimit(RLIMIT_NOFILE, &few);
    assert_int_equal(lp__loop_open(&loop), -EMFILE);
  }
  setrlimit(RLIMIT_NOFILE, &limit);
  assert_int_equal(count_descriptors(), before);
}

static void test_leaves_nothing(void **state) {
  (void)state;
  struct lp__loop *loop;
  struct lp__memory memory = {.function = NULL};
  int before = count_descriptors();
  struct lp__memory *outside = lp__memory_enter(&memory);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(lp__loop_open(&loop), 0);
    assert_true(memory.used > sizeof(uv_loop_t));
    assert_true(lp__loop_fd(loop) >= 0);
    assert_true(count_descriptors() > before);
    lp__loop_wake(loop);
    lp__loop_close(loop);
    assert_int_equal(count_descriptors(), before);
    assert_int_equal(memory.used, 0);
  }
  lp__memory_enter(outside);
}

/* One that another thread is to use has nothing of the host's. */
static void test_apart(void **state) {
  (void)state;
  uv_loop_t uv;
  struct lp__memory memory = {.function = NULL};
  struct lp__memory *outside = lp__memory_enter(&memory);
  assert_int_equal(lp__loop_init_apart(&uv), 0);
  assert_int_equal(memory.used, 0);
  assert_ptr_equal(lp__memory_enter(outside), &memory);
  assert_int_equal(uv_loop_close(&uv), 0);
}

/* A program without standard streams is left without. */
static void test_closed_streams(void **state) {
  (void)state;
  struct lp__loop *loop = NULL;
  int kept[3];
  for (int fd = 0; fd < 3; fd++) {
    kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    close(fd);
  }
  bool free = true;
  int status = lp__loop_open(&loop);
  if (status == 0)
    status = lp__loop_fd(loop) >= 3 ? 0 : -1;
  for (int fd = 0; fd < 3; fd++)
    free = free && fcntl(fd, F_GETFD) < 0;
  lp__loop_close(loop);
  for (int fd = 0; fd < 3; fd++) {
    dup2(kept[fd], fd);
    close(kept[fd]);
  }
  assert_int_equal(status, 0);
  assert_true(free);
}

/* --- short turns --------------------------------------------------------- */

struct task {
  struct lp__loop *loop;
  struct lp__turn turn;
  int left; /* pieces of work */
  int done;
};

/* Which one did something, in order. */
static struct task *log_of[100];
static int logged;

static void work(void *context) {
  struct task *task = context;
  while (task->left > 0 && lp__loop_admits(task->loop, &task->turn)) {
    task->left--;
    task->done++;
    log_of[logged++] = task;
  }
}

static void prepare(struct task *tasks, struct lp__loop *loop, int pieces) {
  logged = 0;
  memset(tasks, 0, TURNS * sizeof *tasks);
  for (int i = 0; i < TURNS; i++) {
    tasks[i].loop = loop;
    tasks[i].left = pieces;
    tasks[i].turn = (struct lp__turn){.run = work, .context = &tasks[i]};
  }
}

static void on_timer(uv_timer_t *timer) {
  struct task *tasks = timer->data;
  for (int i = 0; i < TURNS; i++)
    work(&tasks[i]);
}

/* As descriptors do it: all are told of in every round, in the same order. */
static void start_telling(struct lp__loop *loop, uv_timer_t *timer,
                          struct task *tasks) {
  uv_timer_init(lp__loop_uv(loop), timer);
  timer->data = tasks;
  uv_timer_start(timer, on_timer, 0, 1);
}

static void stop_telling(struct lp__loop *loop, uv_timer_t *timer) {
  uv_close((uv_handle_t *)timer, NULL);
  assert_null(lp__loop_next(loop, 0));
}

static void test_without_a_deadline(void **state) {
  struct lp__loop *loop = *state;
  struct task tasks[TURNS];
  uv_timer_t timer;
  prepare(tasks, loop, 3);
  assert_true(lp__loop_piece(loop) > LP__LOOP_PIECE);
  start_telling(loop, &timer, tasks);
  assert_null(lp__loop_next(loop, 10));
  for (int i = 0; i < TURNS; i++)
    assert_int_equal(tasks[i].done, 3);
  stop_telling(loop, &timer);
}

static void test_with_time(void **state) {
  struct lp__loop *loop = *state;
  struct task tasks[TURNS];
  uv_timer_t timer;
  prepare(tasks, loop, 3);
  lp__loop_set_deadline(loop, uv_hrtime() + 1000000000000);
  assert_int_equal(lp__loop_piece(loop), LP__LOOP_PIECE);
  start_telling(loop, &timer, tasks);
  assert_null(lp__loop_next(loop, 10));
  for (int i = 0; i < TURNS; i++)
    assert_int_equal(tasks[i].done, 3);
  stop_telling(loop, &timer);
}

/* How much further the first is than the last. */
static int lead(const struct task *tasks) {
  int least = tasks[0].done, most = least;
  for (int i = 1; i < TURNS; i++) {
    least = tasks[i].done < least ? tasks[i].done : least;
    most = tasks[i].done > most ? tasks[i].done : most;
  }
  return most - least;
}

/* One piece in every look, and each has its turn. */
static void test_without_time(void **state) {
  struct lp__loop *loop = *state;
  struct task tasks[TURNS];
  uv_timer_t timer;
  prepare(tasks, loop, 10);
  lp__loop_set_deadline(loop, PAST);
  start_telling(loop, &timer, tasks);
  while (logged < TURNS * 10) {
    int before = logged;
    assert_null(lp__loop_next(loop, 0));
    assert_true(logged - before <= 1);
    assert_true(lead(tasks) <= 2);
  }
  stop_telling(loop, &timer);
}

/* When there is time again, those that had to wait go first. */
static void test_who_waited_goes_first(void **state) {
  struct lp__loop *loop = *state;
  struct task tasks[TURNS];
  prepare(tasks, loop, 1);
  lp__loop_set_deadline(loop, PAST);
  assert_null(lp__loop_next(loop, 0));
  for (int i = TURNS - 1; i >= 0; i--) /* the first is admitted */
    work(&tasks[i]);
  assert_int_equal(logged, 1);
  lp__loop_forget(loop, &tasks[2].turn);
  lp__loop_forget(loop, &tasks[4].turn); /* it does not wait */
  lp__loop_set_deadline(loop, 0);
  assert_null(lp__loop_next(loop, 0));
  assert_int_equal(logged, 4);
  assert_ptr_equal(log_of[1], &tasks[3]);
  assert_ptr_equal(log_of[2], &tasks[1]);
  assert_ptr_equal(log_of[3], &tasks[0]);
}

/* A wait has all the time there is, however little a turn has. */
static void test_waits_are_not_turns(void **state) {
  struct lp__loop *loop = *state;
  struct task tasks[TURNS];
  uv_timer_t timer;
  prepare(tasks, loop, 4);
  lp__loop_set_deadline(loop, PAST);
  start_telling(loop, &timer, tasks);
  while (logged < TURNS * 4)
    assert_null(lp__loop_next(loop, 1));
  stop_telling(loop, &timer);
}

/* --- the descriptor ------------------------------------------------------ */

static void rest(struct lp__loop *loop, uint64_t ns) {
  assert_null(lp__loop_next(loop, 0));
  lp__loop_call_at(loop, ns);
}

static void test_call_at(void **state) {
  struct lp__loop *loop = *state;
  int fd = lp__loop_fd(loop);
  rest(loop, UINT64_MAX);
  assert_false(is_readable(loop, 0));
  rest(loop, 0);
  assert_true(is_readable(loop, 0));
  assert_true(is_readable(loop, 0));
  rest(loop, UINT64_MAX);
  assert_false(is_readable(loop, 0));
  uint64_t time = uv_hrtime() + 5000000;
  rest(loop, time);
  assert_true(is_readable(loop, 60000));
  assert_true(uv_hrtime() >= time);
  rest(loop, uv_hrtime() + 1000000000000);
  assert_false(is_readable(loop, 0));
  assert_int_equal(lp__loop_fd(loop), fd);
}

/* Looks do not change it: whoever stops before all is done comes back. */
static void test_due_until_told(void **state) {
  struct lp__loop *loop = *state;
  lp__loop_fd(loop);
  rest(loop, 0);
  for (int i = 0; i < 3; i++) {
    assert_null(lp__loop_next(loop, 0));
    assert_true(is_readable(loop, 0));
  }
  lp__loop_call_at(loop, UINT64_MAX);
  assert_false(is_readable(loop, 0));
}

/* It ends no wait, and is as it was afterwards. */
static void test_waits_go_on_when_due(void **state) {
  struct lp__loop *loop = *state;
  struct timespec used[2];
  lp__loop_fd(loop);
  rest(loop, 0);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used[0]);
  assert_null(lp__loop_next(loop, 500));
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used[1]);
  assert_true(used[1].tv_sec - used[0].tv_sec <= 1);
  assert_true((used[1].tv_sec - used[0].tv_sec) * 1000000000 + used[1].tv_nsec -
                  used[0].tv_nsec <
              250000000);
  assert_true(is_readable(loop, 0));
}

/* What waits for its turn is something to do. */
static void test_turns_at_the_descriptor(void **state) {
  struct lp__loop *loop = *state;
  struct task tasks[TURNS];
  prepare(tasks, loop, 1);
  lp__loop_fd(loop);
  lp__loop_set_deadline(loop, PAST);
  rest(loop, UINT64_MAX);
  work(&tasks[0]);
  work(&tasks[1]);
  work(&tasks[2]);
  lp__loop_call_at(loop, UINT64_MAX);
  assert_true(is_readable(loop, 0));
  rest(loop, UINT64_MAX);
  assert_true(is_readable(loop, 0));
  rest(loop, UINT64_MAX);
  assert_false(is_readable(loop, 0));
  assert_int_equal(logged, 3);
}

/* Before anybody has asked for it there is nothing to be set. */
static void test_call_at_without_descriptor(void **state) {
  int before = count_descriptors();
  rest(*state, 0);
  assert_int_equal(count_descriptors(), before);
  assert_false(is_readable(*state, 0));
}

static void on_time(uv_timer_t *timer) {
  lp__loop_push(timer->data, lp__event_new(LP__EVENT_OUTPUT, 7));
}

static void test_timers_of_libuv(void **state) {
  struct lp__loop *loop = *state;
  uv_timer_t timer = {.data = loop};
  lp__loop_fd(loop);
  uv_timer_init(lp__loop_uv(loop), &timer);
  uv_timer_start(&timer, on_time, 5, 0);
  rest(loop, UINT64_MAX);
  assert_true(is_readable(loop, 60000));
  assert_int_equal(lp__loop_next(loop, 0)->id, 7);
  lp__loop_call_at(loop, UINT64_MAX); /* the event is still there */
  assert_true(is_readable(loop, 0));
  lp__loop_drop(loop);
  rest(loop, UINT64_MAX);
  assert_false(is_readable(loop, 0));
  uv_close((uv_handle_t *)&timer, NULL);
  assert_null(lp__loop_next(loop, 0));
}

static void on_input(uv_poll_t *poll_handle, int status, int events) {
  (void)status, (void)events;
  *(int *)poll_handle->data += 1;
  uv_poll_stop(poll_handle);
}

/* The kernel does not know yet what has been started since the last look. */
static void test_new_watches(void **state) {
  struct lp__loop *loop = *state;
  int ends[2], calls = 0;
  uv_poll_t watch = {.data = &calls};
  assert_int_equal(pipe(ends), 0);
  assert_int_equal(write(ends[1], "x", 1), 1);
  lp__loop_fd(loop);
  rest(loop, UINT64_MAX);
  uv_poll_init(lp__loop_uv(loop), &watch, ends[0]);
  uv_poll_start(&watch, UV_READABLE, on_input);
  lp__loop_watches_more(loop);
  lp__loop_call_at(loop, UINT64_MAX);
  assert_true(is_readable(loop, 0));
  assert_null(lp__loop_next(loop, 0));
  assert_int_equal(calls, 1);
  rest(loop, UINT64_MAX);
  assert_false(is_readable(loop, 0));
  uv_close((uv_handle_t *)&watch, NULL);
  assert_null(lp__loop_next(loop, 0));
  close(ends[0]);
  close(ends[1]);
}

/* --- waking -------------------------------------------------------------- */

static void test_wake_at_the_descriptor(void **state) {
  struct lp__loop *loop = *state;
  lp__loop_fd(loop);
  rest(loop, UINT64_MAX);
  assert_false(lp__loop_take_wake(loop));
  for (int i = 0; i < 3; i++)
    lp__loop_wake(loop);
  assert_true(is_readable(loop, 0));
  rest(loop, UINT64_MAX);
  assert_false(is_readable(loop, 0));
  assert_true(lp__loop_take_wake(loop));
  assert_false(lp__loop_take_wake(loop));
}

static void *wake_there(void *loop) {
  usleep(5000);
  lp__loop_wake(loop);
  return NULL;
}

/* The waits are far longer than the time that a test may take. */
static void test_wake_ends_waits(void **state) {
  struct lp__loop *loop = *state;
  pthread_t thread;
  lp__loop_count_far(loop, 1);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(pthread_create(&thread, NULL, wake_there, loop), 0);
    assert_null(lp__loop_next(loop, i % 2 ? 1000000 : -1));
    pthread_join(thread, NULL);
    assert_true(lp__loop_take_wake(loop));
  }
  lp__loop_count_far(loop, -1);
}

static void test_wake_before_a_wait(void **state) {
  lp__loop_wake(*state);
  assert_null(lp__loop_next(*state, 1000000));
  assert_true(lp__loop_take_wake(*state));
}

/* One that a look has found ends no later wait: whoever waits has to ask. */
static void test_wake_of_the_past(void **state) {
  lp__loop_wake(*state);
  assert_null(lp__loop_next(*state, 0));
  assert_null(lp__loop_next(*state, 5));
  assert_true(lp__loop_take_wake(*state));
  assert_null(lp__loop_next(*state, 5));
  assert_false(lp__loop_take_wake(*state));
}

static struct lp__loop *of_handler;

static void on_signal(int number) {
  (void)number;
  lp__loop_wake(of_handler);
}

static void test_wake_in_a_signal_handler(void **state) {
  struct sigaction action = {.sa_handler = on_signal}, before;
  of_handler = *state;
  sigaction(SIGALRM, &action, &before);
  unsigned left = alarm(0);
  errno = EXDEV;
  raise(SIGALRM);
  assert_int_equal(errno, EXDEV);
  assert_null(lp__loop_next(*state, 1000000));
  assert_true(lp__loop_take_wake(*state));
  sigaction(SIGALRM, &before, NULL);
  alarm(left);
}

static void *storm(void *loop) {
  for (int i = 0; i < 20000; i++)
    lp__loop_wake(loop);
  return NULL;
}

static void test_storm(void **state) {
  struct lp__loop *loop = *state;
  pthread_t threads[4];
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, storm, loop), 0);
  for (int i = 0; i < 1000; i++) {
    assert_null(lp__loop_next(loop, i % 2));
    lp__loop_take_wake(loop);
  }
  for (int i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  lp__loop_wake(loop);
  assert_null(lp__loop_next(loop, 1000000));
  assert_true(lp__loop_take_wake(loop));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_room),
      cmocka_unit_test(test_leaves_nothing),
      cmocka_unit_test(test_apart),
      cmocka_unit_test(test_closed_streams),
      TEST(test_without_a_deadline),
      TEST(test_with_time),
      TEST(test_without_time),
      TEST(test_who_waited_goes_first),
      TEST(test_waits_are_not_turns),
      TEST(test_call_at),
      TEST(test_due_until_told),
      TEST(test_waits_go_on_when_due),
      TEST(test_turns_at_the_descriptor),
      TEST(test_call_at_without_descriptor),
      TEST(test_timers_of_libuv),
      TEST(test_new_watches),
      TEST(test_wake_at_the_descriptor),
      TEST(test_wake_ends_waits),
      TEST(test_wake_before_a_wait),
      TEST(test_wake_of_the_past),
      TEST(test_wake_in_a_signal_handler),
      TEST(test_storm),
  };
  alarm(60); /* a wait that does not end is a failure */
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
