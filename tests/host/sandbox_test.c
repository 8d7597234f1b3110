/* Children in sandboxes: what surrounds them, and every way in which they end.
 * Where the machine allows no isolation, that it is refused is tested in its
 * place. */
#define _GNU_SOURCE
#include "host/sandbox.h"
#include "worker_support.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* A folder to run from, and one of layers. */
struct place {
  char top[32], task[64], layers[64];
  int descriptors;
  bool can_isolate;
};

/* How a child ended, and what it printed. */
struct outcome {
  int code, signal;
  bool closed; /* nobody has its output open any more */
  char output[16384];
};

static char *const environment[] = {(char *)"PATH=/usr/bin:/bin", NULL};

/* --- starting and ending ------------------------------------------------- */

static void write_file(const char *folder, const char *name, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  unlink(path);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
  chmod(path, 0755);
}

static struct lp__sandbox sandbox(const struct place *place, bool isolated) {
  return (struct lp__sandbox){place->task, place->layers, 1, isolated};
}

static int start_path(const struct place *place, bool isolated,
                      struct lp__process *process, const char *path) {
  struct lp__sandbox config = sandbox(place, isolated);
  return lp__sandbox_start(process, &config, path, environment);
}

static void start_script(const struct place *place, bool isolated,
                         struct lp__process *process, const char *script) {
  char text[4096];
  snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
  write_file(place->task, "bootstrap", text);
  assert_int_equal(start_path(place, isolated, process, "./bootstrap"), 0);
}

static void wait_readable(int fd) {
  struct pollfd poll_fd = {fd, POLLIN, 0};
  assert_int_equal(poll(&poll_fd, 1, 60000), 1);
}

/* Reads what is there, and more for as long as it takes to fill `until`. */
static void read_output(const struct lp__process *process,
                        struct outcome *outcome, const char *until) {
  size_t size = strlen(outcome->output);
  ssize_t more;
  while (size + 1 < sizeof outcome->output) {
    if (until && strstr(outcome->output, until))
      return;
    if (until)
      wait_readable(process->output);
    more = read(process->output, outcome->output + size,
                sizeof outcome->output - 1 - size);
    outcome->closed = more == 0;
    if (more <= 0)
      return;
    size += (size_t)more;
    outcome->output[size] = '\0';
  }
}

/* Waits for the end, as a worker does; valgrind has no pidfds. */
static void finish(struct lp__process *process, struct outcome *outcome) {
  struct pollfd fds[] = {{process->pidfd, POLLIN, 0},
                         {process->output, POLLIN, 0}};
  while (!lp__process_has_ended(process)) {
    int count = poll(fds, outcome->closed ? 1 : 2, fds[0].fd < 0 ? 10 : 60000);
    assert_true(count > 0 || fds[0].fd < 0);
    read_output(process, outcome, NULL);
  }
  lp__process_kill(process);
  read_output(process, outcome, NULL);
  lp__process_wait(process, &outcome->code, &outcome->signal);
  lp__process_close(process);
}

static const struct outcome *run_script(const struct place *place,
                                        bool isolated, const char *script) {
  static struct outcome outcome;
  struct lp__process process;
  memset(&outcome, 0, sizeof outcome);
  start_script(place, isolated, &process, script);
  finish(&process, &outcome);
  return &outcome;
}

/* Isolated, or where that is impossible: that this is said, and NULL. */
static const struct outcome *run_isolated(const struct place *place,
                                          const char *script) {
  struct lp__process process;
  if (place->can_isolate)
    return run_script(place, true, script);
  assert_true(start_path(place, true, &process, "/bin/true") < 0);
  assert_int_equal(process.pid, -1);
  return NULL;
}

static void expect_output(const struct outcome *outcome, const char *output) {
  if (outcome)
    assert_string_equal(outcome->output, output);
}

/* For both kinds of children, or the one that there is. */
#define each_kind(at)                                                          \
  for (int isolated = 0, last = ((const struct place *)(at))->can_isolate;     \
       isolated <= last; isolated++)

static int open_place(void **state) {
  struct place *place = calloc(1, sizeof *place);
  *state = place;
  place->descriptors = count_descriptors();
  place->can_isolate = lp__sandbox_probe();
  strcpy(place->top, "/tmp/lp-sandbox-XXXXXX");
  if (!mkdtemp(place->top))
    return -1;
  snprintf(place->task, sizeof place->task, "%s/task", place->top);
  snprintf(place->layers, sizeof place->layers, "%s/layers", place->top);
  if (mkdir(place->task, 0755) < 0 || mkdir(place->layers, 0755) < 0)
    return -1;
  write_file(place->layers, "layer", "of a layer\n");
  return chmod(place->top, 0755);
}

static int close_place(void **state) {
  struct place *place = *state;
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", place->top);
  int removed = system(command);
  int left = count_descriptors() - place->descriptors;
  bool childless = waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
  free(place);
  if (left != 0)
    print_error("%d descriptors are left\n", left);
  if (!childless)
    print_error("a child is left\n");
  return removed == 0 && left == 0 && childless ? 0 : -1;
}

/* Runs `body` in a process of its own, of which it may change whatever it
 * likes. */
static void run_apart(void (*body)(const struct place *),
                      const struct place *place) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    body(place);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
}

/* An assertion for there. */
#define check(condition)                                                       \
  ((condition) ? (void)0                                                       \
               : (print_error("%s:%d: %s\n", __FILE__, __LINE__, #condition),  \
                  _exit(1)))

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

static void test_limits(void **state) {
  static const char script[] = "ulimit -n; ulimit -Hn; ulimit -c; umask; cat; "
                               "grep -E 'Sig(Blk|Ign)' /proc/self/status";
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

/* --- the isolated root --------------------------------------------------- */

static void test_nothing_can_be_written(void **state) {
  expect_output(
      run_isolated(*state, "pwd; cat /opt/layer; ls -A /var/runtime\n"
                           "for folder in / /usr /etc /var /var/tmp /var/task "
                           "/var/runtime /opt /dev /run /home\n"
                           "do touch $folder/lp-x 2>/dev/null && echo $folder\n"
                           "done; exit 0"),
      "/var/task\nof a layer\n");
}

static void test_no_layers(void **state) {
  struct place place = *(struct place *)*state;
  struct lp__sandbox config = sandbox(&place, true);
  struct lp__process process;
  struct outcome outcome = {0};
  config.layers = NULL;
  if (!place.can_isolate)
    return;
  write_file(place.task, "bootstrap", "#!/bin/sh\nls -A /opt\n");
  assert_int_equal(
      lp__sandbox_start(&process, &config, "/var/task/bootstrap", environment),
      0);
  finish(&process, &outcome);
  assert_string_equal(outcome.output, "");
  assert_int_equal(outcome.code, 0);
}

/* The top level is that of the machine, its links included. */
static void test_top_level(void **state) {
  const struct outcome *outcome = run_isolated(*state, "readlink /bin; exit 0");
  char target[64] = "";
  ssize_t size = readlink("/bin", target, sizeof target - 2);
  if (size > 0)
    target[size] = '\n';
  expect_output(outcome, target);
  expect_output(run_isolated(*state, "ls -d /etc/passwd /usr/bin/env"),
                "/etc/passwd\n/usr/bin/env\n");
}

static void test_tmp(void **state) {
  expect_output(run_isolated(*state,
                             "ls -A /tmp; stat -c %a /tmp\n"
                             "echo kept > /tmp/x; cat /tmp/x\n"
                             "head -c 3000000 /dev/zero >/tmp/y 2>/dev/null\n"
                             "stat -c %s /tmp/y"),
                "1777\nkept\n1044480\n");
  expect_output(run_isolated(*state, "ls -A /tmp"), "");
}

static void test_devices(void **state) {
  expect_output(run_isolated(*state,
                             "echo x >/dev/null; head -c 3 /dev/zero | wc -c\n"
                             "head -c 3 /dev/urandom | wc -c\n"
                             "echo out >/dev/stdout; echo err >/dev/stderr\n"
                             "echo full 2>/dev/null >/dev/full || echo full\n"
                             "echo in | cat /dev/stdin"),
                "3\n3\nout\nerr\nfull\nin\n");
}

static void test_processes(void **state) {
  expect_output(run_isolated(*state, "echo $$; cd /proc; echo [0-9]*"),
                "2\n1 2\n");
}

/* Root is nobody there, and others are who they are. */
static void test_user(void **state) {
  char output[256];
  unsigned user = geteuid() == 0 ? 65534 : geteuid();
  snprintf(output, sizeof output,
           "%u\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
           "CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n"
           "NoNewPrivs:\t1\n",
           user);
  expect_output(
      run_isolated(*state, "id -u; grep -E 'Cap[IPEA]|NoNew' /proc/$$/status"),
      output);
}

/* --- the machine --------------------------------------------------------- */

static size_t read_mounts(char *bytes, size_t size) {
  int fd = open("/proc/self/mountinfo", O_RDONLY);
  size_t filled = 0;
  ssize_t more;
  while ((more = read(fd, bytes + filled, size - filled)) > 0)
    filled += (size_t)more;
  close(fd);
  return filled;
}

/* Nothing of it shows outside, where mounts are shared by default. */
static void share_mounts(const struct place *place) {
  static char before[65536], during[65536];
  struct lp__process process;
  struct outcome outcome = {0};
  if (geteuid() == 0 && place->can_isolate)
    check(unshare(CLONE_NEWNS) == 0 &&
          mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) == 0);
  size_t size = read_mounts(before, sizeof before);
  start_script(place, place->can_isolate, &process, "echo up; sleep 1000");
  read_output(&process, &outcome, "up");
  check(read_mounts(during, sizeof during) == size);
  check(memcmp(before, during, size) == 0);
  lp__process_kill(&process);
  finish(&process, &outcome);
}

static void test_mounts_are_private(void **state) {
  run_apart(share_mounts, *state);
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

/* --- other users --------------------------------------------------------- */

/* Somebody who is not root, which has other ways. A process that changes its
 * user is not dumpable any more until it execs, as a host would have. */
static void be_somebody(const struct place *place) {
  struct place own = *place;
  if (syscall(SYS_setgroups, 0, NULL) == 0 && setgid(12345) == 0 &&
      setuid(12345) == 0)
    check(prctl(PR_SET_DUMPABLE, 1) == 0);
  own.can_isolate = lp__sandbox_probe();
  struct lp__process process;
  struct outcome outcome = {0};
  char output[64];
  snprintf(output, sizeof output, "%u of a layer 2\n", geteuid());
  check(start_path(&own, own.can_isolate, &process, "./somebody") == 0);
  finish(&process, &outcome);
  check(outcome.code == 9);
  if (own.can_isolate)
    check(strcmp(outcome.output, output) == 0);
}

static void test_another_user(void **state) {
  const struct place *place = *state;
  write_file(place->task, "somebody",
             "#!/bin/sh\n"
             "touch /etc/x /var/task/x 2>/dev/null && echo written\n"
             "touch /tmp/lp-$$ && rm /tmp/lp-$$ 2>/dev/null || echo no tmp\n"
             "echo $(id -u) $(cat /opt/layer 2>/dev/null) $$; exit 9\n");
  run_apart(be_somebody, place);
}

/* As in a container that allows no namespaces. */
static void forbid_namespaces(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEWNS | CLONE_NEWUSER, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void be_confined(const struct place *place) {
  struct lp__process process;
  forbid_namespaces();
  check(!lp__sandbox_probe());
  check(start_path(place, true, &process, "./bootstrap") == -EPERM);
  check(strcmp(run_script(place, false, "echo works")->output, "works\n") == 0);
}

static void test_without_permission(void **state) {
  if (!is_valgrind()) /* which has no isolation anyway */
    run_apart(be_confined, *state);
}

#define PLACE_TEST(name)                                                       \
  cmocka_unit_test_setup_teardown(name, open_place, close_place)

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
      PLACE_TEST(test_nothing_can_be_written),
      PLACE_TEST(test_no_layers),
      PLACE_TEST(test_top_level),
      PLACE_TEST(test_tmp),
      PLACE_TEST(test_devices),
      PLACE_TEST(test_processes),
      PLACE_TEST(test_user),
      PLACE_TEST(test_mounts_are_private),
      PLACE_TEST(test_many_at_once),
      PLACE_TEST(test_another_user),
      PLACE_TEST(test_without_permission),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
