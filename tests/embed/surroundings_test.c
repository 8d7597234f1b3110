/*
 * Programs that live in strange places: closed streams, few descriptors, no
 * home, no folder, somebody else who waits for every child, no agent.
 */
#define _GNU_SOURCE
#include "process_state.h"

#include <pthread.h>

static lp_host *host;

/* Works, and loses a worker while it does. */
static void works(void) {
  char *big = malloc(300000);
  struct lp_task task = guest_task("return #...");
  struct lp_value value = lp_string(memset(big, 'x', 300000), 300000);
  host = guest_open();
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  KIND(guest_end_of(host, "os.execute('kill -9 $PPID')"), LP_CRASHED);
  task.args = &value;
  task.count = 1;
  KIND(guest_result(host, guest_submit_with(host, &task)), LP_DONE);
  guest_submit(host, "while true do end");
  OK(host, lp_poll(host, 10000));
  OK(host, lp_close(host));
  free(big);
}

static void streams_are_closed(void) {
  int i;
  for (i = 0; i < 8; i++) {
    int k;
    for (k = 0; k < 3; k++)
      if (i >> k & 1)
        close(k);
    works();
    for (k = 0; k < 3; k++)
      if (i >> k & 1)
        EQUAL(fcntl(k, F_GETFD), -1);
  }
}

/* The host must not sit on 0, 1 or 2: the next printf would go into it. */
static void closed_streams_stay_closed(void) {
  char *before, *now;
  close(0);
  close(1);
  close(2);
  before = state_text();
  host = guest_open();
  KIND(guest_end_of(host, "print('x') io.stderr:write('y')"), LP_DONE);
  EQUAL(fcntl(0, F_GETFD), -1);
  EQUAL(fcntl(1, F_GETFD), -1);
  EQUAL(fcntl(2, F_GETFD), -1);
  lp_close(host);
  now = state_text();
  SAME(now, before);
  free(before);
  free(now);
}

/* SIGPIPE ends a program by default; none may come from the library. */
static void pipes_that_break(void) {
  char *big = malloc(3000000);
  struct lp_value value = lp_string(memset(big, 'x', 3000000), 3000000);
  struct lp_task task = guest_task("os.exit(1)");
  int i;
  signal(SIGPIPE, SIG_DFL);
  for (i = 0; i < 3000000; i++)
    big[i] = (char)(i * 2654435761u >> 11);
  host = guest_open();
  task.args = &value;
  task.count = 1;
  for (i = 0; i < 20; i++) {
    guest_submit(host, "os.execute('kill -9 $PPID')");
    guest_submit_with(host, &task);
  }
  OK(host, lp_wait(host, 0, -1));
  OK(host, lp_close(host));
  free(big);
}

static void children_are_ignored(void) {
  signal(SIGCHLD, SIG_IGN);
  works();
}

static void children_do_not_wait(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = SIG_DFL;
  action.sa_flags = SA_NOCLDWAIT;
  sigaction(SIGCHLD, &action, NULL);
  works();
}

static volatile sig_atomic_t stolen;

static void steal(int number) {
  int saved = errno;
  (void)number;
  while (waitpid(-1, NULL, WNOHANG) > 0)
    stolen++;
  errno = saved;
}

/* The textbook's handler: it takes the ends of our workers, too. */
static void children_are_stolen(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = steal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGCHLD, &action, NULL);
  works();
}

static int thief_is_done;

static void *thief(void *data) {
  while (!__atomic_load_n(&thief_is_done, __ATOMIC_SEQ_CST)) {
    waitpid(-1, NULL, 0);
    guest_sleep_ms(1);
  }
  return data;
}

static void a_thread_steals_children(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, thief, NULL);
  works();
  __atomic_store_n(&thief_is_done, 1, __ATOMIC_SEQ_CST);
  pthread_join(thread, NULL);
}

/* The program's own children are its own. */
static void children_of_the_program(void) {
  int status, i;
  host = guest_open();
  for (i = 0; i < 10; i++) {
    pid_t pid = fork();
    if (pid == 0)
      _exit(10 + i);
    KIND(guest_end_of(host, i % 2 ? "os.exit(1)" : "return 1"),
         i % 2 ? LP_CRASHED : LP_DONE);
    EQUAL(waitpid(pid, &status, 0), pid);
    EQUAL(WEXITSTATUS(status), 10 + i);
  }
  lp_close(host);
}

/* A child that is forked while the host lives ends as children do, and the
 * host goes on; what it execs has nothing of ours. */
static void forks_of_the_program(void) {
  const struct lp_result *result;
  int i, status;
  host = guest_open();
  for (i = 0; i < 6; i++) {
    pid_t pid;
    guest_submit(host, "return ('x'):rep(100000)");
    OK(host, lp_poll(host, 100));
    pid = fork();
    if (pid == 0) {
      if (i % 3 == 0)
        execl("/bin/sh", "sh", "-c",
              "for f in /proc/$$/fd/*; do case $(readlink $f) in "
              "*socket*|*event*|*timer*) exit 9;; esac; done; exit 0",
              (char *)NULL);
      if (i % 3 == 1)
        _exit(0);
      execl("/bin/true", "true", (char *)NULL);
    }
    EQUAL(waitpid(pid, &status, 0), pid);
    EQUAL(status, 0);
    OK(host, lp_wait(host, 0, -1));
  }
  EQUAL(lp_next(host, &result), 1);
  SAME(result->message, "");
  lp_close(host);
}

/* As a destructor does in a child that exits. */
static void a_child_closes_the_host(void) {
  struct lp_task task = guest_task("return 1");
  const struct lp_result *result;
  lp_id id;
  pid_t pid;
  int status;
  host = guest_open();
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  id = guest_submit(host, "return ('x'):rep(100000)");
  OK(host, lp_poll(host, 100));
  pid = fork();
  if (pid == 0) {
    EQUAL(lp_submit(host, &task, NULL), LP_EBUSY);
    EQUAL(lp_poll(host, 1000), LP_EBUSY);
    EQUAL(lp_wait(host, id, -1), LP_EBUSY);
    EQUAL(lp_run(host, &task, &result), LP_EBUSY);
    EQUAL(lp_close(host), LP_OK);
    _exit(5);
  }
  EQUAL(waitpid(pid, &status, 0), pid);
  EQUAL(WEXITSTATUS(status), 5);
  KIND(guest_result(host, id), LP_DONE);
  OK(host, lp_close(host));
}

static void a_child_wakes_nobody(void) {
  struct pollfd readable = {-1, POLLIN, 0};
  pid_t pid;
  host = guest_open();
  readable.fd = lp_fd(host);
  OK(host, readable.fd);
  OK(host, lp_poll(host, 10000));
  EQUAL(poll(&readable, 1, 0), 0);
  pid = fork();
  if (pid == 0) {
    lp_wake(host);
    _exit(5);
  }
  EQUAL(waitpid(pid, NULL, 0), pid);
  EQUAL(poll(&readable, 1, 0), 0);
  lp_wake(host);
  EQUAL(poll(&readable, 1, 0), 1);
  OK(host, lp_close(host));
}

/* A child that opens one of its own. No thread allocates while it is forked:
 * the allocator of AddressSanitizer would stay locked in the child. */
static void a_child_opens_a_host(void) {
  pid_t pid;
  int status;
  host = guest_open();
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  pid = fork();
  if (pid == 0) {
    works();
    _exit(5);
  }
  EQUAL(waitpid(pid, &status, 0), pid);
  EQUAL(WEXITSTATUS(status), 5);
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  OK(host, lp_close(host));
}

/* The folder of the program is gone, and nothing of its environment is left. */
static void nowhere(void) {
  char folder[] = "/tmp/guest.XXXXXX";
  CHECK(mkdtemp(folder) && chdir(folder) == 0 && rmdir(folder) == 0);
  unsetenv("HOME");
  unsetenv("PATH");
  unsetenv("USER");
  unsetenv("LANG");
  setenv("TMPDIR", "/nowhere/at/all", 1);
  works();
}

static void no_environment(void) {
  clearenv();
  works();
}

/* Whatever the number of descriptors, it works or says that it does not. */
static void few_descriptors(void) {
  struct rlimit limit, usual;
  getrlimit(RLIMIT_NOFILE, &usual);
  limit = usual;
  for (limit.rlim_cur = 3; limit.rlim_cur < 60;
       limit.rlim_cur += 1 + limit.rlim_cur / 8) {
    struct lp_config config = guest_config();
    char *before = state_text();
    struct lp_task task = guest_task("return 1");
    const struct lp_result *result;
    int code;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    code = lp_open(&config, &host);
    CHECK(code == LP_OK || code == LP_ESYSTEM);
    if (code == LP_OK) {
      code = lp_fd(host);
      CHECK(code >= 0 || code == LP_ESYSTEM);
      code = lp_submit(host, &task, NULL);
      CHECK(code == LP_OK || code == LP_ESYSTEM || code == LP_ELUA);
      CHECK(code != LP_OK || lp_wait(host, 0, 20000000) == LP_OK);
      CHECK(code != LP_OK || lp_next(host, &result) == 1);
      CHECK(code != LP_OK || result->kind == LP_DONE || result->message[0]);
    } else
      CHECK(lp_error(host)[0] != 0);
    lp_close(host);
    setrlimit(RLIMIT_NOFILE, &usual);
    UNCHANGED(before);
    free(before);
  }
}

/* Descriptors run out while it works, and come back. */
static void descriptors_run_out(void) {
  int taken[2000], count = 0, i;
  const struct lp_result *result;
  host = guest_open();
  while (count < 2000 && (taken[count] = open("/dev/null", O_RDONLY)) >= 0)
    count++;
  for (i = 0; i < 10; i++) {
    struct lp_task task = guest_task("return 1");
    lp_submit(host, &task, NULL);
    OK(host, lp_poll(host, 1000));
  }
  guest_sleep_ms(10);
  OK(host, lp_poll(host, 1000));
  while (count > 0)
    close(taken[--count]);
  OK(host, lp_wait(host, 0, 20000000));
  while (lp_next(host, &result) == 1)
    CHECK(result->kind == LP_DONE || result->message[0]);
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  lp_close(host);
}

static void no_agent(void) {
  static const char *const agents[] = {"/nowhere/at/all", "/tmp",
                                       "/dev/null",       "/etc/passwd",
                                       "/bin/false",      "/bin/true"};
  size_t i;
  for (i = 0; i < COUNT(agents); i++) {
    struct lp_config config = guest_config();
    struct lp_task task = guest_task("return 1");
    const struct lp_result *result;
    int code;
    config.agent = agents[i];
    code = lp_open(&config, &host);
    if (code == LP_OK)
      code = lp_submit(host, &task, NULL);
    if (code == LP_OK) {
      OK(host, lp_wait(host, 0, 20000000));
      EQUAL(lp_next(host, &result), 1);
      CHECK(result->kind == LP_LOST || result->kind == LP_CRASHED);
      CHECK(result->message[0] != 0);
    } else
      CHECK(lp_error(host)[0] != 0);
    lp_close(host);
  }
}

/* Large tables of everything: many arguments, a large environment. */
static void a_large_environment(void) {
  char name[40], value[1000];
  int i;
  memset(value, 'v', sizeof value - 1);
  value[sizeof value - 1] = 0;
  for (i = 0; i < 1000; i++) {
    snprintf(name, sizeof name, "GUEST_%d", i);
    setenv(name, value, 1);
  }
  works();
}

/* Workers begin with the usual signals, but for the two of the C library. */
static void workers_have_signals(void) {
  host = guest_open();
  KIND(guest_end_of(host, "local s = io.open('/proc/self/status'):read('a')\n"
                          "for name in ('SigBlk SigIgn'):gmatch('%a+') do\n"
                          "  local set = s:match(name .. ':%s*(%x+)')\n"
                          "  local bits = tonumber(set, 16) & 0x7fffffff\n"
                          "  assert(bits == 0, name .. set)\n"
                          "end"),
       LP_DONE);
  lp_close(host);
}

/* As in threads of careful programs. */
static void all_signals_blocked(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  works();
  workers_have_signals();
}

static void all_signals_ignored(void) {
  int i;
  for (i = 1; i < 32; i++)
    if (i != SIGKILL && i != SIGSTOP)
      signal(i, SIG_IGN);
  works();
  workers_have_signals();
}

static void *work_in_thread(void *data) {
  works();
  return data;
}

static void stacks_that_are_small(void) {
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  EQUAL(pthread_attr_setstacksize(&attributes, 256 * 1024), 0);
  EQUAL(pthread_create(&thread, &attributes, work_in_thread, NULL), 0);
  pthread_join(thread, NULL);
  pthread_attr_destroy(&attributes);
}

/* The program dies: so do its workers. The runner sees to that. */
static void the_program_dies(void) {
  pid_t pid = fork();
  int status;
  if (pid == 0) {
    host = guest_open();
    KIND(guest_end_of(host, "return 1"), LP_DONE);
    guest_submit(host, "while true do end");
    OK(host, lp_poll(host, 100000));
    raise(SIGKILL);
  }
  EQUAL(waitpid(pid, &status, 0), pid);
  EQUAL(WTERMSIG(status), SIGKILL);
}

static void the_program_exits_without_closing(void) {
  pid_t pid;
  int status;
  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    host = guest_open();
    guest_submit(host, "while true do end");
    OK(host, lp_poll(host, 100000));
    _exit(7);
  }
  EQUAL(waitpid(pid, &status, 0), pid);
  EQUAL(WEXITSTATUS(status), 7);
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"streams are closed", streams_are_closed},
      {"closed streams stay closed", closed_streams_stay_closed},
      {"pipes that break", pipes_that_break},
      {"SIGCHLD is ignored", children_are_ignored},
      {"SA_NOCLDWAIT", children_do_not_wait},
      {"a handler steals children", children_are_stolen},
      {"a thread steals children", a_thread_steals_children},
      {"children of the program", children_of_the_program},
      {"forks of the program", forks_of_the_program},
      {"a child closes the host", a_child_closes_the_host},
      {"a child wakes nobody", a_child_wakes_nobody},
      {"a child opens a host", a_child_opens_a_host},
      {"no folder, no home", nowhere},
      {"no environment", no_environment},
      {"few descriptors", few_descriptors},
      {"descriptors run out", descriptors_run_out},
      {"no agent", no_agent},
      {"a large environment", a_large_environment},
      {"all signals blocked", all_signals_blocked},
      {"all signals ignored", all_signals_ignored},
      {"a small stack", stacks_that_are_small},
      {"the program dies", the_program_dies},
      {"it exits without closing", the_program_exits_without_closing}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
