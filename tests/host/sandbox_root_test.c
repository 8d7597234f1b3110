/* Children in sandboxes: what surrounds them, and what the machine sees of it.
 */
#define _GNU_SOURCE
#include "sandbox_support.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

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
          mount("none", "/", "none", MS_REC | MS_SHARED, NULL) == 0);
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

static void write_somebody(const struct place *place) {
  write_file(place->task, "somebody",
             "#!/bin/sh\n"
             "touch /etc/x /var/task/x 2>/dev/null && echo written\n"
             "touch /tmp/lp-$$ && rm /tmp/lp-$$ 2>/dev/null || echo no tmp\n"
             "[ -e /proc/self/status ] || echo no proc\n"
             "echo $(id -u) $(cat /opt/layer 2>/dev/null) $$; exit 9\n");
}

static void test_another_user(void **state) {
  write_somebody(*state);
  run_apart(be_somebody, *state);
}

/* As in a container that hides some of /proc. Below a changed root, which is
 * no mount, nothing can be hidden. */
static void be_masked(const struct place *place) {
  if (unshare(CLONE_NEWNS) == 0 &&
      mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0)
    check(mount("none", "/proc/sys", "tmpfs", 0, NULL) == 0);
  be_somebody(place);
}

static void test_hidden_proc(void **state) {
  write_somebody(*state);
  run_apart(be_masked, *state);
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

int main(void) {
  static const struct CMUnitTest tests[] = {
      PLACE_TEST(test_nothing_can_be_written),
      PLACE_TEST(test_no_layers),
      PLACE_TEST(test_top_level),
      PLACE_TEST(test_tmp),
      PLACE_TEST(test_devices),
      PLACE_TEST(test_processes),
      PLACE_TEST(test_user),
      PLACE_TEST(test_mounts_are_private),
      PLACE_TEST(test_another_user),
      PLACE_TEST(test_hidden_proc),
      PLACE_TEST(test_without_permission),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
