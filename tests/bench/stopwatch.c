/*
 * stopwatch first|last COUNT PROGRAM ARGUMENT...: runs the program COUNT times
 * and prints the median, in microseconds, from before its start to the first
 * byte it writes, or to the end of its output.
 */
#define _GNU_SOURCE /* pipe2 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double run(char **argv, int until_end) {
  posix_spawn_file_actions_t actions;
  char buffer[4096];
  double begin, end;
  int pipes[2], status;
  pid_t pid;
  ssize_t got;
  if (pipe2(pipes, O_CLOEXEC) != 0)
    exit(1);
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
  begin = microseconds();
  if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) != 0)
    exit(1);
  close(pipes[1]);
  got = read(pipes[0], buffer, sizeof buffer);
  end = microseconds();
  while (got > 0)
    got = read(pipes[0], buffer, sizeof buffer);
  if (until_end)
    end = microseconds();
  waitpid(pid, &status, 0);
  close(pipes[0]);
  posix_spawn_file_actions_destroy(&actions);
  if (status != 0)
    exit(1);
  return end - begin;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  int count = argc > 3 ? atoi(argv[2]) : 0;
  double *samples = calloc((size_t)count + 1, sizeof *samples);
  for (int i = 0; i < count; i++)
    samples[i] = run(argv + 3, strcmp(argv[1], "last") == 0);
  qsort(samples, (size_t)count, sizeof *samples, ascending);
  printf("%.3f\n", samples[count / 2]);
  free(samples);
  return 0;
}
