/* Other programs: what they write, how they end, and that nothing is left. */
#include "host/command.h"

#include "worker_support.h"

#include <fcntl.h>
#include <time.h>

extern char **environ;

struct result {
  char *output, *errors;
  size_t output_size, errors_size;
  int code, signal;
};

static int check_nothing_open(void **state) {
  *state = (void *)(intptr_t)count_descriptors();
  return 0;
}

static int check_nothing_left(void **state) {
  int left = count_descriptors() - (int)(intptr_t)*state;
  bool childless = waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
  if (left != 0)
    print_error("%d descriptors are left\n", left);
  if (!childless)
    print_error("a child is left\n");
  return left == 0 && childless ? 0 : -1;
}

static int start_script(struct lp__command *command, const char *script,
                        const char *folder) {
  char *arguments[] = {"sh", "-c", (char *)script, NULL};
  struct lp__command_config config = {arguments, environ, folder, "input\n", 6};
  bool no_folder;
  return lp__command_start(command, &config, &no_folder);
}

static void append(char **text, size_t *size, const char *bytes, size_t more) {
  *text = realloc(*text, *size + more + 1);
  memcpy(*text + *size, bytes, more);
  *size += more;
  (*text)[*size] = '\0';
}

/* Reads it to its end. */
static void finish(struct lp__command *command, struct result *result) {
  char buffer[1000];
  size_t size;
  enum lp__command_event event;
  memset(result, 0, sizeof *result);
  append(&result->output, &result->output_size, "", 0);
  append(&result->errors, &result->errors_size, "", 0);
  do {
    size = sizeof buffer;
    event = lp__command_next(command, KILL_MS, buffer, &size);
    if (event == LP__COMMAND_OUTPUT)
      append(&result->output, &result->output_size, buffer, size);
    else if (event == LP__COMMAND_ERRORS)
      append(&result->errors, &result->errors_size, buffer, size);
    assert_int_not_equal(event, LP__COMMAND_NOTHING);
  } while (event != LP__COMMAND_END);
  lp__command_end(command, &result->code, &result->signal);
}

static void free_result(struct result *result) {
  free(result->output);
  free(result->errors);
}

static void run(const char *script, struct result *result) {
  struct lp__command command;
  assert_int_equal(start_script(&command, script, NULL), 0);
  finish(&command, result);
}

static void test_result(void **state) {
  struct result result;
  (void)state;
  run("read -r line; echo \"$line\"; echo errors >&2; exit 3", &result);
  assert_string_equal(result.output, "input\n");
  assert_string_equal(result.errors, "errors\n");
  assert_int_equal(result.code, 3);
  assert_int_equal(result.signal, 0);
  free_result(&result);
  run("kill -9 $$", &result);
  assert_int_equal(result.code, -1);
  assert_int_equal(result.signal, SIGKILL);
  free_result(&result);
}

static void test_much_on_both_streams(void **state) {
  struct result result;
  (void)state;
  run("head -c 1000000 /dev/zero & head -c 2000000 /dev/zero >&2; wait",
      &result);
  assert_int_equal(result.output_size, 1000000);
  assert_int_equal(result.errors_size, 2000000);
  free_result(&result);
}

static void test_nothing_so_far(void **state) {
  struct lp__command command;
  char buffer[10];
  size_t size = sizeof buffer;
  int code, signal;
  (void)state;
  assert_int_equal(start_script(&command, "exec sleep 1000", NULL), 0);
  assert_int_equal(lp__command_next(&command, 20, buffer, &size),
                   LP__COMMAND_NOTHING);
  lp__command_end(&command, &code, &signal);
  assert_int_equal(code, -1);
  assert_int_equal(signal, SIGKILL);
}

/* Waits until a process is gone, or only waits to be reaped by another one. */
static void wait_for_end(int pid) {
  char path[64], line[256];
  for (;;) {
    char kind = 'Z';
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file) {
      const char *end =
          fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
      kind = end ? end[2] : 'Z';
      fclose(file);
    }
    if (kind == 'Z')
      return;
    nanosleep(&(struct timespec){0, 1000000}, NULL);
  }
}

static void test_the_group_ends(void **state) {
  struct result result;
  (void)state;
  run("sleep 1000 & echo $!", &result);
  assert_int_equal(result.code, 0);
  wait_for_end(atoi(result.output));
  free_result(&result);
}

static void test_failures(void **state) {
  struct lp__command command;
  char *nothing[] = {"/none/program", NULL};
  struct lp__command_config config = {nothing, environ, NULL, "", 0};
  bool no_folder;
  (void)state;
  assert_int_equal(lp__command_start(&command, &config, &no_folder), -ENOENT);
  assert_false(no_folder);
  config.folder = "/none";
  assert_int_equal(lp__command_start(&command, &config, &no_folder), -ENOENT);
  assert_true(no_folder);
}

/* One descriptor more each time, until it is enough. */
static void test_few_descriptors(void **state) {
  struct rlimit before, limit;
  struct lp__command command;
  struct result result;
  int status, failures = 0;
  (void)state;
  getrlimit(RLIMIT_NOFILE, &before);
  limit = before;
  limit.rlim_cur = (rlim_t)count_descriptors();
  do {
    setrlimit(RLIMIT_NOFILE, &limit);
    status = start_script(&command, "echo output", "/");
    setrlimit(RLIMIT_NOFILE, &before);
    if (status < 0) {
      /* The latter when the limit is below what a pipe is moved to. */
      assert_true(status == -EMFILE || status == -EINVAL);
      failures++;
      limit.rlim_cur++;
    }
  } while (status < 0);
  finish(&command, &result);
  assert_string_equal(result.output, "output\n");
  assert_true(failures > 3);
  free_result(&result);
}

/* Descriptors 0 to 2 may be anything in this process. */
static void test_without_standard_streams(void **state) {
  struct lp__command command;
  struct result result;
  int kept[3], status;
  (void)state;
  for (int i = 0; i < 3; i++) {
    kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
    close(i);
  }
  status =
      start_script(&command, "cat; echo errors >&2; ls /proc/self/fd", "/");
  if (status == 0)
    finish(&command, &result);
  for (int i = 0; i < 3; i++) {
    if (kept[i] >= 0)
      dup2(kept[i], i);
    close(kept[i]);
  }
  assert_int_equal(status, 0);
  assert_string_equal(result.output, "input\n0\n1\n2\n3\n");
  assert_string_equal(result.errors, "errors\n");
  free_result(&result);
}

static void test_somebody_else_reaps(void **state) {
  struct result result;
  (void)state;
  signal(SIGCHLD, SIG_IGN);
  run("echo output; exit 3", &result);
  signal(SIGCHLD, SIG_DFL);
  assert_string_equal(result.output, "output\n");
  assert_int_equal(result.code, -1);
  assert_int_equal(result.signal, -1);
  free_result(&result);
}

int main(void) {
#define COMMAND_TEST(f)                                                        \
  cmocka_unit_test_setup_teardown(f, check_nothing_open, check_nothing_left)
  const struct CMUnitTest tests[] = {
      COMMAND_TEST(test_result),
      COMMAND_TEST(test_much_on_both_streams),
      COMMAND_TEST(test_nothing_so_far),
      COMMAND_TEST(test_the_group_ends),
      COMMAND_TEST(test_failures),
      COMMAND_TEST(test_few_descriptors),
      COMMAND_TEST(test_without_standard_streams),
      COMMAND_TEST(test_somebody_else_reaps),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
