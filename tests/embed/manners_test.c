/*
 * A guest's manners: what a process has and is before lp_open it has and is
 * after it, while the host lives and when it is closed.
 */
#define _GNU_SOURCE
#include "process_state.h"

#include <malloc.h>
#include <pthread.h>

/* Opens a host, works with all of it, and closes it. */
static void work(void) {
  const struct lp_result *result;
  lp_host *host = guest_open();
  guest_run(host, "function twice(x) return 2 * x end");
  KIND(guest_end_of(host, "return twice(21), ('x'):rep(100000)"), LP_DONE);
  KIND(guest_end_of(host, "error('no')"), LP_ERROR);
  KIND(guest_end_of(host, "os.exit(3)"), LP_CRASHED);
  CHECK(lp_fd(host) >= 0);
  lp_wake(host);
  guest_submit(host, "while true do end");
  lp_poll(host, 1000);
  lp_next(host, &result);
  OK(host, lp_close(host));
}

static void nothing_is_left(void) {
  char *before = state_text();
  work();
  EQUAL(state_threads(1), 1);
  CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
  UNCHANGED(before);
  free(before);
}

static void open_and_close_alone(void) {
  char *before = state_text();
  lp_host *host = guest_open();
  EQUAL(state_threads(1), 1);
  OK(host, lp_close(host));
  EQUAL(state_threads(1), 1);
  UNCHANGED(before);
  free(before);
}

static void remove_descriptors(char *text) {
  char *found = strstr(text, "\ndescriptor ");
  if (found)
    found[1] = 0;
}

/* But for descriptors. */
static void a_living_host_changes_nothing(void) {
  char *before = state_text(), *now;
  lp_host *host = guest_open();
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  now = state_text();
  remove_descriptors(before);
  remove_descriptors(now);
  SAME(now, before);
  lp_close(host);
  free(before);
  free(now);
}

/* Every descriptor that appears while the host lives closes on exec. */
static void descriptors_are_not_inherited(void) {
  char had[1024];
  lp_host *host;
  int i;
  for (i = 0; i < 1024; i++)
    had[i] = fcntl(i, F_GETFD) >= 0;
  host = guest_open();
  guest_submit(host, "while true do end");
  for (i = 0; i < 50; i++, guest_sleep_ms(1))
    OK(host, lp_poll(host, 1000));
  for (i = 0; i < 1024; i++)
    if (!had[i] && fcntl(i, F_GETFD) >= 0)
      EQUAL(fcntl(i, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  lp_close(host);
}

static void cancelled_by_closing(void) {
  char *before = state_text();
  lp_host *host = guest_open();
  int i;
  for (i = 0; i < 100; i++)
    guest_submit(host, "while true do end");
  OK(host, lp_close(host));
  EQUAL(state_threads(1), 1);
  UNCHANGED(before);
  free(before);
}

/* Folders of the user stay empty. */
static void no_files(void) {
  char folder[] = "/tmp/guest.XXXXXX", home[64], temporary[64];
  CHECK(mkdtemp(folder));
  snprintf(home, sizeof home, "%s/home", folder);
  snprintf(temporary, sizeof temporary, "%s/tmp", folder);
  mkdir(home, 0700);
  mkdir(temporary, 0700);
  setenv("HOME", home, 1);
  setenv("TMPDIR", temporary, 1);
  unsetenv("XDG_STATE_HOME");
  unsetenv("XDG_CACHE_HOME");
  work();
  EQUAL(state_entries(home), 0);
  EQUAL(state_entries(temporary), 0);
  rmdir(home);
  rmdir(temporary);
  rmdir(folder);
}

/* Sets a locale as it is in half of the world: 1,5. It need not be installed:
 * this is how a file of the C library says it. */
static void set_comma_locale(void) {
  static const unsigned char numbers[] =
      "\x14\x11\x03\x20\x06\0\0\0\x20\0\0\0\x22\0\0\0\x24\0\0\0\x28\0\0\0"
      "\x2c\0\0\0\x30\0\0\0,\0.\0\3\3\0\0,\0\0\0.\0\0\0UTF-8";
  char folder[] = "/tmp/guest.XXXXXX", path[64];
  int fd;
  CHECK(mkdtemp(folder) && chdir(folder) == 0 && mkdir("comma", 0700) == 0);
  fd = open("comma/LC_NUMERIC", O_WRONLY | O_CREAT, 0600);
  CHECK(write(fd, numbers, sizeof numbers) == sizeof numbers);
  close(fd);
  setenv("LOCPATH", folder, 1);
  CHECK(setlocale(LC_NUMERIC, "comma") != NULL);
  snprintf(path, sizeof path, "%.1f", 1.5);
  SAME(path, "1,5");
  unlink("comma/LC_NUMERIC");
  rmdir("comma");
  CHECK(chdir("/") == 0 && rmdir(folder) == 0);
}

static void numbers_there_and_back(lp_host *host) {
  struct lp_task task =
      guest_task("local t = ... return t[1] + 1, {t[1], -2.5}");
  struct lp_value value = lp_json(" [1.5]", 6);
  const struct lp_result *result;
  task.args = &value;
  task.count = 1;
  result = guest_result(host, guest_submit_with(host, &task));
  KIND(result, LP_DONE);
  CHECK(result->values[0].number == 2.5);
  SAME(result->values[1].bytes, "[1.5,-2.5]");
  OK(host, lp_run(host, &task, &result));
  CHECK(result->values[0].number == 2.5);
  SAME(result->values[1].bytes, "[1.5,-2.5]");
}

/* Set before and after the host is opened, and changed meanwhile. */
static void numbers_in_any_locale(void) {
  struct lp_config config = guest_config();
  lp_host *host = guest_open();
  numbers_there_and_back(host);
  set_comma_locale();
  numbers_there_and_back(host);
  lp_close(host);
  config.options = "{\"max_cost\": 1.5}";
  host = guest_open_with(&config);
  numbers_there_and_back(host);
  setlocale(LC_ALL, "C");
  numbers_there_and_back(host);
  lp_close(host);
}

/* Workers are nice, the program is as it was. */
static void workers_are_nice(void) {
  struct lp_config config = guest_config();
  const struct lp_result *result;
  lp_host *host;
  config.nice = 7;
  host = guest_open_with(&config);
  result = guest_end_of(host, "return io.popen('nice'):read('n')");
  RETURNS(result, getpriority(PRIO_PROCESS, 0) + 7);
  lp_close(host);
}

static void *thread(void *data) {
  work();
  return data;
}

/* Thread-local storage, keys and arenas are given back with the thread. */
static void threads_that_end(void) {
  char *before = state_text();
  pthread_t id;
  int i;
  for (i = 0; i < 3; i++) {
    EQUAL(pthread_create(&id, NULL, thread, NULL), 0);
    pthread_join(id, NULL);
  }
  EQUAL(state_threads(1), 1);
  UNCHANGED(before);
  free(before);
}

/* More than there are keys of thread-local storage, or descriptors. */
static void a_thousand_times(void) {
  char *before = state_text();
  struct mallinfo2 then, now;
  int i;
  lp_close(guest_open());
  then = mallinfo2();
  for (i = 0; i < 1100; i++)
    OK(NULL, lp_close(guest_open()));
  now = mallinfo2();
  UNCHANGED(before);
  if (then.uordblks)
    CHECK(now.uordblks < then.uordblks + 10000);
  free(before);
}

/* The program's own handlers get their signals while the host works. */
static volatile sig_atomic_t alarms;

static void on_alarm(int number) {
  (void)number;
  alarms++;
}

static void interrupted_by_signals(void) {
  struct itimerval timer = {{0, 1000}, {0, 1000}};
  struct sigaction action;
  lp_host *host;
  int i;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_alarm; /* no SA_RESTART: every call is interrupted */
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &timer, NULL);
  host = guest_open();
  for (i = 0; i < 50; i++)
    KIND(guest_end_of(host, "return ('x'):rep(100000)"), LP_DONE);
  lp_close(host);
  CHECK(alarms > 10);
  memset(&timer, 0, sizeof timer);
  setitimer(ITIMER_REAL, &timer, NULL);
}

/* Signals that a program sends to itself reach its own thread, not one of the
 * library's, and not its workers. */
static void signals_reach_the_program(void) {
  sigset_t set;
  struct timespec none = {0, 0};
  lp_host *host;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  host = guest_open();
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  kill(getpid(), SIGUSR1);
  kill(getpid(), SIGTERM);
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  EQUAL(sigtimedwait(&set, NULL, &none), SIGUSR1);
  EQUAL(sigtimedwait(&set, NULL, &none), SIGTERM);
  lp_close(host);
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"nothing is left", nothing_is_left},
      {"open and close alone leave nothing", open_and_close_alone},
      {"a living host changes nothing", a_living_host_changes_nothing},
      {"descriptors are not inherited", descriptors_are_not_inherited},
      {"closing with tasks leaves nothing", cancelled_by_closing},
      {"no files are made", no_files},
      {"numbers in any locale", numbers_in_any_locale},
      {"workers are nice", workers_are_nice},
      {"threads that end leave nothing", threads_that_end},
      {"open and close a thousand times", a_thousand_times},
      {"signals interrupt nothing", interrupted_by_signals},
      {"signals reach the program", signals_reach_the_program}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
