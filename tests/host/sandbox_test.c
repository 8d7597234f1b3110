/* Children in sandboxes and without: what they get from the host, and every way
 * in which they end. */
#define _GNU_SOURCE
#include "sandbox_support.h"

#include <sys/prctl.h>

/* --- the end ------------------------------------------------------------- */

static void test_exit_codes(void **state) {
  static const int codes[] = {0, 1, 7, 137, 255};
  each_kind(*state) {
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
      char script[32];
      snprintf(script, sizeof script, "echo it; exit %d", codes[i]);
      const struct outcome *outcome = run_script(*state, isolated, script);
      assert_int_equal(outcome->code, codes[i]);
      assert_int_equal(outcome->signal, 0);
      assert_string_equal(outcome->output, "it\n");
    }
  }
}

static void test_signals(void **state) {
  static const struct {
    int signal;
    const char *script;
  } ends[] = {
      {SIGSEGV, "kill -SEGV $$"},
      {SIGABRT, "kill -ABRT $$"},
      {SIGKILL, "kill -KILL $$"},
      {SIGTERM, "kill -TERM $$"},
      {SIGKILL, "sh -c 'kill -9 $PPID'; sleep 1000"},
      {SIGPIPE, "kill -PIPE $$"},
  };
  signal(SIGPIPE, SIG_IGN);
  each_kind(*state) {
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
      const struct outcome *outcome =
          run_script(*state, isolated, ends[i].script);
      assert_int_equal(outcome->signal, ends[i].signal);
      assert_int_equal(outcome->code, -1);
    }
  }
  signal(SIGPIPE, SIG_DFL);
}

static void test_kill(void **state) {
  each_kind(*state) {
    struct lp__process process;
    struct outcome outcome = {0};
    start_script(*state, isolated, &process,
                 "sleep 1000 & sleep 1000 & echo all; wait");
    read_output(&process, &outcome, "all");
    assert_false(lp__process_has_ended(&process));
    lp__process_kill(&process);
    wait_readable(process.output); /* nobody has it open */
    finish(&process, &outcome);
    assert_true(outcome.closed);
    assert_int_equal(outcome.signal, SIGKILL);
  }
}

/* Whatever they do to get away. */
static void test_daemons_end_too(void **state) {
  static const char script[] =
      "(setsid setsid sleep 1000 &) ; (trap '' HUP TERM; sleep 1000) & exit 5";
  const struct outcome *outcome = run_isolated(*state, script);
  if (!outcome)
    return;
  assert_int_equal(outcome->code, 5);
  assert_true(outcome->closed);
}

/* Orphans are buried while the child runs. */
static void test_orphans(void **state) {
  expect_output(run_isolated(*state, "(true &) ; (true &)\n"
                                     "until ! grep -qs zombie /proc/*/status\n"
                                     "do sleep 0.01; done; echo buried"),
                "buried\n");
}

static void test_process_1_cannot_be_ended(void **state) {
  expect_output(run_isolated(*state, "kill -9 1 2>/dev/null\n"
                                     "kill -TERM 1 2>/dev/null\n"
                                     "kill -STOP 1 2>/dev/null\n"
                                     "cd /proc; ls -d 1"),
                "1\n");
}

static void test_no_other_child_is_touched(void **state) {
  int status;
  pid_t pid = fork();
  if (pid == 0)
    _exit(3);
  each_kind(*state) {
    run_script(*state, isolated, "true");
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(WEXITSTATUS(status), 3);
}

/* --- the end of the host ------------------------------------------------- */

/* A host that starts a child, tells which descriptor its output is, and
 * lingers. */
static void be_host(const struct place *place, bool isolated, int report) {
  struct lp__process process;
  struct outcome outcome = {0};
  start_script(place, isolated, &process,
               isolated ? "(setsid sleep 1000 &) ; echo up; sleep 1000"
                        : "echo up; exec sleep 1000");
  read_output(&process, &outcome, "up");
  check(write(report, &process.output, sizeof process.output) > 0);
  for (;;)
    pause();
}

static void test_killed_host(void **state) {
  each_kind(*state) {
    int report[2], output;
    char path[64], byte;
    assert_int_equal(pipe(report), 0);
    pid_t host = fork();
    if (host == 0)
      be_host(*state, isolated, report[1]);
    assert_int_equal(read(report[0], &output, sizeof output), sizeof output);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)host, output);
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, &byte, 1), -1); /* somebody could write */
    kill(host, SIGKILL);
    waitpid(host, NULL, 0);
    wait_readable(fd);
    assert_int_equal(read(fd, &byte, 1), 0);
    close(fd), close(report[0]), close(report[1]);
  }
}

/* --- failures ------------------------------------------------------------ */

static void test_failed_exec(void **state) {
  const struct place *place = *state;
  write_file(place->task, "words", "no program\n");
  write_file(place->task, "lost", "#!/nowhere/interpreter\n");
  static const struct {
    int status;
    const char *path;
  } failures[] = {{-ENOENT, "./none"},
                  {-ENOENT, "./lost"},
                  {-EACCES, "."},
                  {-EACCES, "/dev/null"},
                  {-ENOEXEC, "./words"}};
  if (is_valgrind())
    return;
  each_kind(place) {
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
      struct lp__process process;
      int status = start_path(place, isolated, &process, failures[i].path);
      assert_int_equal(status, failures[i].status);
      assert_int_equal(process.pid, -1);
      assert_int_equal(process.output, -1);
      assert_int_equal(process.pidfd, -1);
      assert_int_equal(process.lifeline, -1);
    }
  }
}

static void test_missing_folders(void **state) {
  each_kind(*state) {
    struct lp__process process;
    struct lp__sandbox config = sandbox(*state, isolated);
    config.task = "/nowhere/task";
    assert_int_equal(
        lp__sandbox_start(&process, &config, "/bin/true", environment),
        -ENOENT);
    config = sandbox(*state, isolated);
    config.layers = "/nowhere/layers";
    if (isolated)
      assert_int_equal(
          lp__sandbox_start(&process, &config, "/bin/true", environment),
          -ENOENT);
  }
}

static void test_no_descriptors(void **state) {
  each_kind(*state) {
    struct lp__process process;
    struct rlimit before, none;
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 6;
    setrlimit(RLIMIT_NOFILE, &none);
    int status = start_path(*state, isolated, &process, "/bin/true");
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(status, -EMFILE);
  }
}

/* --- what every child has ------------------------------------------------ */

static void test_environment(void **state) {
  char *const variables[] = {(char *)"A=1", (char *)"B=two words", NULL};
  each_kind(*state) {
    struct lp__process process;
    struct outcome outcome = {0};
    struct lp__sandbox config = sandbox(*state, isolated);
    assert_int_equal(
        lp__sandbox_start(&process, &config, "/usr/bin/env", variables), 0);
    finish(&process, &outcome);
    assert_string_equal(outcome.output, "A=1\nB=two words\n");
  }
}

/* Also not those that the host forgot to mark. */
static void test_descriptors(void **state) {
  int leak = dup(STDERR_FILENO), high = fcntl(leak, F_DUPFD, 100);
  each_kind(*state) {
    expect_output(run_script(*state, isolated, "exec ls /proc/self/fd"),
                  "0\n1\n2\n3\n"); /* 3: the folder itself */
  }
  close(leak);
  close(high);
}

/* glibc keeps signals 32 and 33 for itself; make leaves them ignored. */
static void test_limits(void **state) {
  static const char script[] =
      "ulimit -n; ulimit -Hn; ulimit -c; umask; cat; "
      "grep -E 'Sig(Blk|Ign)' /proc/self/status | sed s/0180000000/0000000000/";
  static const char output[] = "1024\n1024\n0\n0022\n"
                               "SigBlk:\t0000000000000000\n"
                               "SigIgn:\t0000000000000000\n";
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  signal(SIGPIPE, SIG_IGN);
  mode_t mask = umask(077);
  each_kind(*state) {
    const struct outcome *outcome = run_script(*state, isolated, script);
    if (!is_valgrind())
      assert_string_equal(outcome->output, output);
  }
  umask(mask);
  signal(SIGPIPE, SIG_DFL);
  sigprocmask(SIG_SETMASK, &before, NULL);
}

static void test_session_and_folder(void **state) {
  each_kind(*state) {
    expect_output(run_script(*state, isolated,
                             "set -- $(cat /proc/$$/stat)\n"
                             "[ $5 = $$ ] && [ $6 = $$ ] && echo leader\n"
                             "[ -x bootstrap ] && echo here\n"),
                  "leader\nhere\n");
  }
}

/* A change of user inside of it is none of the host's. */
static void test_host_stays_itself(void **state) {
  int dumpable = prctl(PR_GET_DUMPABLE);
  uid_t user = geteuid();
  each_kind(*state) {
    run_script(*state, isolated, "true");
  }
  assert_int_equal(prctl(PR_GET_DUMPABLE), dumpable);
  assert_int_equal(geteuid(), user);
}

static void test_many_at_once(void **state) {
  enum { COUNT = 200 };
  const struct place *place = *state;
  static struct lp__process processes[COUNT];
  struct rlimit before, many;
  getrlimit(RLIMIT_NOFILE, &before);
  many = before;
  many.rlim_cur = before.rlim_max;
  setrlimit(RLIMIT_NOFILE, &many);
  write_file(place->task, "nap", "#!/bin/sh\nexec sleep 1000\n");
  for (int i = 0; i < COUNT; i++)
    assert_int_equal(
        start_path(place, place->can_isolate, processes + i, "./nap"), 0);
  for (int i = 0; i < COUNT; i++) {
    assert_false(lp__process_has_ended(processes + i));
    lp__process_kill(processes + i);
  }
  for (int i = 0; i < COUNT; i++) {
    struct outcome outcome = {0};
    finish(processes + i, &outcome);
    assert_int_equal(outcome.signal, SIGKILL);
  }
  setrlimit(RLIMIT_NOFILE, &before);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      PLACE_TEST(test_exit_codes),
      PLACE_TEST(test_signals),
      PLACE_TEST(test_kill),
      PLACE_TEST(test_daemons_end_too),
      PLACE_TEST(test_orphans),
      PLACE_TEST(test_process_1_cannot_be_ended),
      PLACE_TEST(test_no_other_child_is_touched),
      PLACE_TEST(test_killed_host),
      PLACE_TEST(test_failed_exec),
      PLACE_TEST(test_missing_folders),
      PLACE_TEST(test_no_descriptors),
      PLACE_TEST(test_environment),
      PLACE_TEST(test_descriptors),
      PLACE_TEST(test_limits),
      PLACE_TEST(test_session_and_folder),
      PLACE_TEST(test_host_stays_itself),
      PLACE_TEST(test_many_at_once),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
