/*
 * Manners with a function of AWS, whose place `lambdapool serve` takes: what
 * brings curl and OpenSSL into the process, and threads.
 */
#define _GNU_SOURCE
#include "process_state.h"
#include "strict_allocator.h"

static pid_t server;
static char folder[] = "/tmp/guest.XXXXXX";

/* Runs a command of the installed program; its output goes to `log`. */
static pid_t start(const char *words) {
  char line[1000];
  pid_t pid;
  snprintf(line, sizeof line, "exec $LAMBDAPOOL_BUILD/stage/bin/lambdapool %s",
           words);
  pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execl("/bin/sh", "sh", "-c", line, (char *)NULL);
    _exit(127);
  }
  return pid;
}

static void end_server(void) {
  char line[64];
  kill(server, SIGTERM);
  waitpid(server, NULL, 0);
  snprintf(line, sizeof line, "rm -rf %s", folder);
  CHECK(system(line) == 0);
}

/* The address is in what the server prints. */
static const char *address_of_server(void) {
  static char text[400];
  char path[64];
  int i;
  snprintf(path, sizeof path, "%s/log", folder);
  for (i = 0; i < 10000; i++, guest_sleep_ms(2)) {
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    char *found;
    close(fd);
    text[n < 0 ? 0 : n] = 0;
    found = strstr(text, "http://");
    if (found && strchr(found, '\n')) {
      found[strcspn(found, " \n")] = 0;
      return found;
    }
  }
  FAIL("the server does not start");
}

/* A server with one function, "guest", and the environment that leads there. */
static void start_server(void) {
  char line[400];
  int status;
  CHECK(mkdtemp(folder));
  setenv("HOME", folder, 1);
  setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
  setenv("AWS_REGION", "us-east-1", 1);
  snprintf(line, sizeof line,
           "serve --port 0 --quiet --dir %s/data --access-key AKIDEXAMPLE "
           "--secret-key secret >%s/log 2>&1",
           folder, folder);
  server = start(line);
  setenv("AWS_ENDPOINT_URL", address_of_server(), 1);
  snprintf(line, sizeof line, "create guest --backend aws >%s/created 2>&1",
           folder);
  waitpid(start(line), &status, 0);
  EQUAL(status, 0);
}

static struct lp_config cloud_config(struct strict *strict) {
  struct lp_config config = strict_config(strict);
  config.workers = 10;
  config.options = "{\"backend\": \"aws\", \"function_name\": \"guest\"}";
  return config;
}

/* Some of each kind, and one that is cancelled by closing. */
static void work(struct strict *strict) {
  struct lp_config config = cloud_config(strict);
  const struct lp_result *result;
  lp_host *host;
  int i, kinds[9] = {0};
  IN(strict, host = guest_open_with(&config));
  for (i = 0; i < 20; i++)
    IN(strict, guest_submit(host, "print('one') return ('x'):rep(50000)"));
  IN(strict, guest_submit(host, "error('two')"));
  IN(strict, guest_submit(host, "os.exit(3)"));
  IN(strict, OK(host, lp_wait(host, 0, -1)));
  IN(strict, i = lp_next(host, &result));
  while (i == 1) {
    kinds[result->kind]++;
    IN(strict, i = lp_next(host, &result));
  }
  EQUAL(kinds[LP_DONE], 20);
  EQUAL(kinds[LP_ERROR], 1);
  EQUAL(kinds[LP_CRASHED], 1);
  IN(strict, guest_submit(host, "while true do end"));
  IN(strict, OK(host, lp_poll(host, 1000)));
  IN(strict, OK(host, lp_close(host)));
  EQUAL(strict->used, 0);
}

static void nothing_is_left(void) {
  struct strict strict = strict_init();
  char *before;
  int i;
  start_server();
  before = state_text();
  for (i = 0; i < 3; i++)
    work(&strict);
  EQUAL(state_threads(1), 1);
  UNCHANGED(before);
  free(before);
  end_server();
}

/* The other end is gone in the middle: no SIGPIPE, and every task ends. */
static void the_server_dies(void) {
  struct strict strict = strict_init();
  struct lp_config config = cloud_config(&strict);
  char *before, *bytes = malloc(1000000);
  struct lp_task task = guest_task("while true do end");
  struct lp_value value = lp_string(bytes, 1000000);
  const struct lp_result *result;
  lp_host *host;
  int i;
  for (i = 0; i < 1000000; i++)
    bytes[i] = (char)(i * 2654435761u >> 11);
  start_server();
  signal(SIGPIPE, SIG_DFL);
  before = state_text();
  task.args = &value;
  task.count = 1;
  IN(&strict, host = guest_open_with(&config));
  for (i = 0; i < 10; i++)
    IN(&strict, guest_submit_with(host, &task));
  for (i = 0; i < 20; i++, guest_sleep_ms(5))
    IN(&strict, OK(host, lp_poll(host, 2000)));
  kill(server, SIGKILL);
  IN(&strict, OK(host, lp_wait(host, 0, -1)));
  for (i = 0; lp_next(host, &result) == 1; i++)
    KIND(result, LP_LOST);
  EQUAL(i, 10);
  IN(&strict, OK(host, lp_close(host)));
  EQUAL(strict.used, 0);
  EQUAL(state_threads(1), 1);
  UNCHANGED(before);
  free(before);
  free(bytes);
  end_server();
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"nothing is left", nothing_is_left},
      {"the server dies", the_server_dies}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
