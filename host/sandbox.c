/* Starting a child in a sandbox. See sandbox.h.
 *
 * The host clones process 1, which makes the new root, clones the child, and
 * becomes the program of sandbox_init.c. Both clones share the host's memory,
 * each on a stack of its own, while the host waits for them to exec: however
 * large the host is, no page is copied. So between clone and exec there are
 * system calls only, and those that change users go past the C library, which
 * would change them for the host's threads as well. */
#define _GNU_SOURCE
#include "memory.h"
#include "sandbox.h"
#include "sandbox_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILURE_FD = 4, NOBODY = 65534, STACK = 64 * 1024 };

struct start {
  const struct lp__sandbox *config;
  const char *path; /* NULL to try whether all the rest works */
  char *const *environment;
  pid_t host;
  bool user_namespace;
  int output, verdict, failure; /* the child's ends */
  char tmp_size[16], uid_map[32], gid_map[32];
  _Alignas(16) char init_stack[STACK], child_stack[STACK];
};

/* --- between clone and exec ---------------------------------------------- */

/* Tells the host why there is no child. Returns an exit code. */
static int fail(int status) {
  ssize_t size = write(FAILURE_FD, &status, sizeof status);
  (void)size;
  return 127;
}

/* A signal that the host ignores would be ignored by the program, too. */
static void reset_signals(void) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  for (int i = 1; i < NSIG; i++)
    sigaction(i, &action, NULL);
}

/* The host has moved its ends up, so that none of them is in the way. */
static int arrange_descriptors(const struct start *start) {
  if (dup3(start->failure, FAILURE_FD, O_CLOEXEC) < 0)
    return -errno;
  int null = open("/dev/null", O_RDONLY);
  if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
      dup2(start->output, STDOUT_FILENO) < 0 ||
      dup2(start->output, STDERR_FILENO) < 0)
    return -errno;
  if (start->verdict < 0)
    close(LP__VERDICT_FD); /* or the end of the host's */
  else if (dup2(start->verdict, LP__VERDICT_FD) < 0)
    return -errno;
  closefrom(FAILURE_FD + 1);
  return 0;
}

/* The host may have ended before it could be noticed: then it is not the
 * parent any more, or nobody reads the verdict. */
static int die_with_host(const struct start *start) {
  struct pollfd verdict = {.fd = LP__VERDICT_FD};
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
    return -errno;
  if (start->verdict < 0)
    return getppid() == start->host ? 0 : -ESRCH;
  return poll(&verdict, 1, 0) == 0 ? 0 : -ESRCH;
}

/* Lower limits than these stay. One of 1 and not 0 for the core: where cores
 * go to a program, only this one is asked for. */
static void set_limits(void) {
  const struct rlimit files = {1024, 1024}, core = {1, 1};
  setrlimit(RLIMIT_NOFILE, &files);
  setrlimit(RLIMIT_CORE, &core);
  umask(022);
}

/* Nobody owns the output, too, to open it as /dev/stderr. */
static int become_nobody(void) {
  if (fchown(STDOUT_FILENO, NOBODY, NOBODY) < 0 ||
      syscall(SYS_setgroups, 0, NULL) < 0 ||
      syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) < 0 ||
      syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) < 0)
    return -errno;
  return 0;
}

static int drop_privileges(const struct start *start) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0, 0, 0}};
  int status = start->user_namespace ? 0 : become_nobody();
  if (status < 0)
    return status;
  if (syscall(SYS_capset, &header, none) < 0 ||
      prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    return -errno;
  return 0;
}

/* The last step of the child. Returns an exit code. */
static int run(const struct start *start) {
  char *const arguments[] = {(char *)start->path, NULL};
  sigset_t none;
  sigemptyset(&none);
  int status = start->config->isolated ? drop_privileges(start) : 0;
  if (status < 0)
    return fail(status);
  set_limits();
  sigprocmask(SIG_SETMASK, &none, NULL);
  execve(start->path, arguments, start->environment);
  return fail(-errno);
}

/* The child in its sandbox. Process 1 has prepared all that both have. */
static int run_inside(void *argument) {
  const struct start *start = argument;
  close(LP__VERDICT_FD);
  return setsid() < 0 ? fail(-errno) : run(start);
}

static int prepare(const struct start *start) {
  reset_signals();
  int status = arrange_descriptors(start);
  if (status == 0 && setsid() < 0)
    status = -errno;
  return status == 0 ? die_with_host(start) : status;
}

/* The child without a sandbox. */
static int run_outside(void *argument) {
  const struct start *start = argument;
  int status = prepare(start);
  if (status == 0 && chdir(start->config->task) < 0)
    status = -errno;
  return status < 0 ? fail(status) : run(start);
}

static int write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  int status = write(fd, text, strlen(text)) < 0 ? -errno : 0;
  close(fd);
  return status;
}

/* The user stays who they are. */
static int map_user(const struct start *start) {
  int status = write_file("/proc/self/setgroups", "deny");
  if (status == 0)
    status = write_file("/proc/self/uid_map", start->uid_map);
  if (status == 0)
    status = write_file("/proc/self/gid_map", start->gid_map);
  return status;
}

static int start_child(struct start *start) {
  int flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
  pid_t pid = clone(run_inside, start->child_stack + STACK, flags, start);
  return pid < 0 ? -errno : 0;
}

/* Process 1. When the child has failed it has said so already, and the verdict
 * is nobody's concern. */
static int run_init(void *argument) {
  struct start *start = argument;
  const struct lp__sandbox *config = start->config;
  int status = prepare(start);
  if (status == 0 && start->user_namespace)
    status = map_user(start);
  if (status == 0)
    status =
        lp__sandbox_enter_root(config->task, config->layers, start->tmp_size);
  if (status == 0 && start->path)
    status = start_child(start);
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    close(fd);
  return fail(status == 0 ? lp__sandbox_become_init() : status);
}

/* --- the host ------------------------------------------------------------ */

static int clone_with(struct start *start, pid_t *pid) {
  int flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
  bool isolated = start->config->isolated;
  if (isolated)
    flags |= CLONE_NEWNS | CLONE_NEWPID;
  if (isolated && start->user_namespace)
    flags |= CLONE_NEWUSER;
  *pid = clone(isolated ? run_init : run_outside, start->init_stack + STACK,
               flags, start);
  return *pid < 0 ? -errno : 0;
}

/* The handlers of the host are not for its memory on a foreign stack. A process
 * that changes its user makes its memory one that cannot be dumped or traced,
 * and here that is the host's. */
static int clone_first(struct start *start, pid_t *pid) {
  sigset_t all, before;
  sigfillset(&all);
  int dumpable = prctl(PR_GET_DUMPABLE);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int status = clone_with(start, pid);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (dumpable == 1)
    prctl(PR_SET_DUMPABLE, 1);
  return status;
}

/* Nothing comes when all have execed. */
static int read_failure(int fd) {
  int status;
  ssize_t size;
  do
    size = read(fd, &status, sizeof status);
  while (size < 0 && errno == EINTR);
  return size == sizeof status ? status : 0;
}

/* Clones, and waits for the program to run. Closes the child's ends. */
static int launch(struct start *start, struct lp__process *process,
                  int failure) {
  int status = clone_first(start, &process->pid);
  lp__close_fd(&start->output);
  lp__close_fd(&start->verdict);
  lp__close_fd(&start->failure);
  if (status < 0)
    return status;
  status = read_failure(failure);
  if (status == 0)
    return lp__process_watch(process);
  kill(process->pid, SIGKILL);
  while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
    ;
  process->pid = -1;
  return status;
}

static int open_pipes(struct start *start, struct lp__process *process,
                      int *failure) {
  int status = lp__process_pipe(&process->output, &start->output);
  if (status == 0 && start->config->isolated)
    status = lp__process_pipe(&process->lifeline, &start->verdict);
  if (status == 0)
    status = lp__process_pipe(failure, &start->failure);
  if (status == 0 && (fcntl(process->output, F_SETFL, O_NONBLOCK) < 0 ||
                      (process->lifeline >= 0 &&
                       fcntl(process->lifeline, F_SETFL, O_NONBLOCK) < 0)))
    status = -errno;
  return status;
}

static struct start *prepare_start(const struct lp__sandbox *config,
                                   const char *path, char *const *environment) {
  struct start *start = lp__malloc(sizeof *start);
  if (!start)
    return NULL;
  start->config = config;
  start->path = path;
  start->environment = environment;
  start->host = getpid();
  start->user_namespace = geteuid() != 0;
  start->output = start->verdict = start->failure = -1;
  snprintf(start->tmp_size, sizeof start->tmp_size, "%dm", config->tmp_mb);
  snprintf(start->uid_map, sizeof start->uid_map, "%u %u 1", geteuid(),
           geteuid());
  snprintf(start->gid_map, sizeof start->gid_map, "%u %u 1", getegid(),
           getegid());
  return start;
}

int lp__sandbox_start(struct lp__process *process,
                      const struct lp__sandbox *config, const char *path,
                      char *const *environment) {
  int failure = -1;
  *process = (struct lp__process){-1, -1, -1, -1};
  struct start *start = prepare_start(config, path, environment);
  if (!start)
    return -ENOMEM;
  int status = open_pipes(start, process, &failure);
  if (status == 0)
    status = launch(start, process, failure);
  lp__close_fd(&start->output);
  lp__close_fd(&start->verdict);
  lp__close_fd(&start->failure);
  lp__close_fd(&failure);
  lp__free(start);
  if (status < 0)
    lp__process_close(process);
  return status;
}

bool lp__sandbox_probe(void) {
  const struct lp__sandbox config = {"/", NULL, 1, true};
  char *const environment[] = {NULL};
  struct lp__process process;
  int code, signal;
  if (lp__sandbox_start(&process, &config, NULL, environment) < 0)
    return false;
  lp__process_kill(&process);
  lp__process_wait(&process, &code, &signal);
  lp__process_close(&process);
  return true;
}
