/*
 * lp_command: the commands of the program inside of another program.
 */
#define _GNU_SOURCE
#include "process_state.h"

#include <sys/mman.h>

static char printed[20000];

/* Runs a command, with what it prints on both streams in `printed`. */
static int command(lp_host *host, const char *first, const char *second,
                   const char *third) {
  char *argv[] = {(char *)"tool", (char *)first, (char *)second, (char *)third,
                  NULL};
  int streams[2] = {dup(1), dup(2)}, argc = 1, code;
  int file = memfd_create("printed", MFD_CLOEXEC);
  ssize_t n;
  while (argv[argc])
    argc++;
  dup2(file, 1);
  dup2(file, 2);
  code = lp_command(host, argc, argv);
  fflush(NULL);
  dup2(streams[0], 1);
  dup2(streams[1], 2);
  close(streams[0]);
  close(streams[1]);
  n = pread(file, printed, sizeof printed - 1, 0);
  printed[n < 0 ? 0 : n] = 0;
  close(file);
  return code;
}

static const char *script(const char *text) {
  static char name[64];
  int fd;
  strcpy(name, "/tmp/guest.XXXXXX");
  fd = mkstemp(name);
  CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
  close(fd);
  return name;
}

static void commands(void) {
  lp_host *host = guest_open();
  EQUAL(command(host, "--version", NULL, NULL), 0);
  HAS(printed, LP_VERSION);
  EQUAL(command(host, "--help", NULL, NULL), 0);
  HAS(printed, "usage:");
  EQUAL(command(host, "no-such-command", NULL, NULL), 2);
  HAS(printed, "no-such-command");
  CHECK(command(host, NULL, NULL, NULL) >= 0);
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  lp_close(host);
}

static void scripts(void) {
  lp_host *host = guest_open();
  const char *name = script("print('it runs', ...) io.write('so')");
  EQUAL(command(host, "run", name, "x"), 0);
  HAS(printed, "it runs\tx\nso");
  unlink(name);
  name = script("error('oh no')");
  EQUAL(command(host, "run", name, NULL), 1);
  HAS(printed, "oh no");
  unlink(name);
  name = script("local lambdapool = require 'lambdapool'\n"
                "local pool <close> = lambdapool.pool { workers = 2 }\n"
                "local sum = 0\n"
                "for _, x in ipairs(pool:map(function(x) return x * x end, "
                "{1, 2, 3})) do sum = sum + x end\n"
                "print(sum)");
  EQUAL(command(host, "run", name, NULL), 0);
  HAS(printed, "14");
  unlink(name);
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  lp_close(host);
}

/* A script that it runs may end the program. */
static void a_script_that_exits(void) {
  const char *name = script("io.write('the end') os.exit(3)");
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    command(guest_open(), "run", name, NULL);
    _exit(0);
  }
  EQUAL(waitpid(pid, &status, 0), pid);
  CHECK(WIFEXITED(status));
  EQUAL(WEXITSTATUS(status), 3);
  unlink(name);
}

/* Signals that it catches are given back, and nothing is left open. */
static void signals_are_given_back(void) {
  char *before = state_text();
  lp_host *host = guest_open();
  const char *name = script("return 1");
  int i;
  for (i = 0; i < 5; i++)
    EQUAL(command(host, "run", name, NULL), 0);
  unlink(name);
  lp_close(host);
  EQUAL(state_threads(1), 1);
  UNCHANGED(before);
  free(before);
}

static void arguments(void) {
  char *argv[] = {(char *)"tool", NULL};
  lp_host *host = guest_open();
  EQUAL(lp_command(host, -1, argv), LP_EINVAL);
  EQUAL(lp_command(host, 2, NULL), LP_EINVAL);
  lp_close(host);
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"commands", commands},
      {"scripts", scripts},
      {"a script that exits", a_script_that_exits},
      {"signals are given back", signals_are_given_back},
      {"arguments", arguments}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
