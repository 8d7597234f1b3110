/*
 * All that belongs to the process and not to a library in it, as a text: what
 * a guest must leave as it was.
 */
#ifndef PROCESS_STATE_H
#define PROCESS_STATE_H

#include <dirent.h>
#include <locale.h>
#include <sched.h>
#include <sys/time.h>

#include "guest.h"

extern char **environ;

/* A flag of sigaction that is the C library's own. */
#define RESTORER 0x04000000u

static inline void state_signals(FILE *out) {
  struct sigaction action;
  sigset_t mask;
  stack_t stack;
  int i;
  sigprocmask(SIG_BLOCK, NULL, &mask);
  for (i = 1; i < NSIG; i++) {
    memset(&action, 0, sizeof action);
    if (sigaction(i, NULL, &action) != 0)
      continue;
    fprintf(out, "signal %d: handler %p, flags %x, blocked %d\n", i,
            *(void **)&action.sa_handler, (unsigned)action.sa_flags & ~RESTORER,
            sigismember(&mask, i));
  }
  sigaltstack(NULL, &stack);
  fprintf(out, "signal stack: %p, flags %d\n", stack.ss_sp, stack.ss_flags);
}

static inline void state_descriptors(FILE *out) {
  char path[64], target[512];
  int i;
  for (i = 0; i < 1024; i++) {
    struct stat stat;
    ssize_t n;
    if (fstat(i, &stat) != 0)
      continue;
    snprintf(path, sizeof path, "/proc/self/fd/%d", i);
    n = readlink(path, target, sizeof target);
    fprintf(out, "descriptor %d: %.*s, flags %x %x\n", i, n < 0 ? 0 : (int)n,
            target, (unsigned)fcntl(i, F_GETFD), (unsigned)fcntl(i, F_GETFL));
  }
}

static inline void state_environment(FILE *out) {
  char folder[4096];
  int i;
  fprintf(out, "environ: %p\n", (void *)environ);
  for (i = 0; environ && environ[i]; i++)
    fprintf(out, "environment: %p %s\n", (void *)environ[i], environ[i]);
  fprintf(out, "folder: %s\n", getcwd(folder, sizeof folder) ? folder : "-");
  fprintf(out, "locale: %s\n", setlocale(LC_ALL, NULL));
}

static inline void state_limits(FILE *out) {
  struct itimerval timer;
  struct rlimit limit;
  int i;
  for (i = 0; i < RLIM_NLIMITS; i++) {
    getrlimit((__rlimit_resource_t)i, &limit);
    fprintf(out, "limit %d: %llu %llu\n", i, (unsigned long long)limit.rlim_cur,
            (unsigned long long)limit.rlim_max);
  }
  for (i = ITIMER_REAL; i <= ITIMER_PROF; i++) {
    getitimer((__itimer_which_t)i, &timer);
    fprintf(out, "timer %d: %ld %ld\n", i, (long)timer.it_value.tv_sec,
            (long)timer.it_interval.tv_sec);
  }
}

static inline void state_process(FILE *out) {
  char name[32] = "";
  int on_death = 0, reaper = 0, processors = -1;
  mode_t mask = umask(0);
  cpu_set_t set;
  umask(mask);
  prctl(PR_GET_NAME, name);
  prctl(PR_GET_PDEATHSIG, &on_death);
  prctl(PR_GET_CHILD_SUBREAPER, &reaper);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    processors = CPU_COUNT(&set);
  fprintf(out, "name %s, death signal %d, reaper %d, dumpable %d\n", name,
          on_death, reaper, prctl(PR_GET_DUMPABLE));
  fprintf(out, "umask %o, group %d, session %d, nice %d, policy %d\n", mask,
          getpgrp(), getsid(0), getpriority(PRIO_PROCESS, 0),
          sched_getscheduler(0));
  fprintf(out, "processors %d\n", processors);
}

/* The whole state; free it. */
static inline char *state_text(void) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  state_signals(out);
  state_environment(out);
  state_limits(out);
  state_process(out);
  state_descriptors(out);
  fclose(out);
  return text;
}

/* Fails, and shows the first line that differs. */
static inline void state_unchanged(const char *before, const char *file,
                                   int line) {
  char *after = state_text();
  size_t i, a, b, start = 0;
  for (i = 0; before[i] == after[i] && before[i]; i++)
    if (before[i] == '\n')
      start = i + 1;
  if (before[i] == after[i]) {
    free(after);
    return;
  }
  a = strcspn(before + start, "\n");
  b = strcspn(after + start, "\n");
  guest_fail(file, line, "was '%.*s', is '%.*s'", (int)a, before + start,
             (int)b, after + start);
}

#define UNCHANGED(before) state_unchanged(before, __FILE__, __LINE__)

/* Entries of a folder but . and .., or -1. */
static inline int state_entries(const char *path) {
  DIR *folder = opendir(path);
  int n = 0;
  if (folder == NULL)
    return -1;
  while (readdir(folder))
    n++;
  closedir(folder);
  return n - 2;
}

/* Threads of this process. One that was joined may still be seen for a moment:
 * this waits until there are `wanted`, or for a second. */
static inline int state_threads(int wanted) {
  int n, i;
  for (i = 0; (n = state_entries("/proc/self/task")) != wanted && i < 500; i++)
    guest_sleep_ms(2);
  return n;
}

#endif
