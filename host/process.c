/* A child process that ends with its host. See process.h. */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void lp__close_fd(int *fd) {
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
}

int lp__process_move_up(int fd) {
  if (fd < 0 || fd > LP__PROGRESS_FD)
    return fd;
  int moved = fcntl(fd, F_DUPFD_CLOEXEC, LP__PROGRESS_FD + 1);
  int failure = errno;
  close(fd);
  errno = failure;
  return moved;
}

int lp__process_pipe(int *read_end, int *write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0)
    return -errno;
  *read_end = lp__process_move_up(ends[0]);
  *write_end = lp__process_move_up(ends[1]);
  if (*read_end >= 0 && *write_end >= 0)
    return 0;
  int status = -errno;
  lp__close_fd(read_end);
  lp__close_fd(write_end);
  return status;
}

/* A page and a descriptor of it, or neither. */
static int open_progress(struct lp__progress **progress, int *fd) {
  *progress = lp__progress_create(fd);
  if (*progress)
    *fd = lp__process_move_up(*fd);
  if (*progress && *fd >= 0)
    return 0;
  int status = -errno;
  lp__progress_close(*progress);
  *progress = NULL;
  return status;
}

/* The child's ends of what it shares with this process. */
struct ends {
  int output, lifeline, progress;
};

static int add_files(posix_spawn_file_actions_t *files,
                     const struct ends *ends) {
  const int pairs[][2] = {{ends->output, STDOUT_FILENO},
                          {ends->output, STDERR_FILENO},
                          {ends->lifeline, LP__LIFELINE_FD},
                          {ends->progress, LP__PROGRESS_FD}};
  int status = posix_spawn_file_actions_addopen(files, STDIN_FILENO,
                                                "/dev/null", O_RDONLY, 0);
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs && status == 0; i++)
    status = posix_spawn_file_actions_adddup2(files, pairs[i][0], pairs[i][1]);
  if (status == 0)
    status =
        posix_spawn_file_actions_addclosefrom_np(files, LP__PROGRESS_FD + 1);
  return status;
}

int lp__process_set_attributes(posix_spawnattr_t *attributes) {
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  int status = posix_spawnattr_setsigmask(attributes, &none);
  if (status == 0)
    status = posix_spawnattr_setsigdefault(attributes, &all);
  if (status == 0)
    status = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID |
                                                      POSIX_SPAWN_SETSIGMASK |
                                                      POSIX_SPAWN_SETSIGDEF);
  return status;
}

/* What lp__process_start says of `nice`. 0 or an errno. */
static int set_attributes(posix_spawnattr_t *attributes, int nice) {
  int status = lp__process_set_attributes(attributes);
  if (status == 0 && nice > 0)
    status = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP |
                                                      POSIX_SPAWN_SETSIGMASK |
                                                      POSIX_SPAWN_SETSIGDEF);
  return status;
}

/* It has only just begun, and has no threads yet. A batch process that is woken
 * does not take the processor from whoever runs: handing a worker its next task
 * would cost a frame a millisecond. But it keeps the processor that it has for
 * some milliseconds; an idle one goes at once. Where the system refuses a
 * policy, the child is as nice as it can be. */
static void be_nice(pid_t pid, int nice) {
  const struct sched_param none = {0};
  if (nice <= 0)
    return;
  setpriority(PRIO_PROCESS, (id_t)pid, getpriority(PRIO_PROCESS, 0) + nice);
  sched_setscheduler(pid, nice < LP__NICEST ? SCHED_BATCH : SCHED_IDLE, &none);
}

/* posix_spawn runs between a vfork and an exec, with signals held back and on
 * its own stack, and reports the failure of the exec. */
static int spawn(pid_t *pid, const char *path, char *const *environment,
                 int nice, const struct ends *ends) {
  char *const arguments[] = {(char *)path, NULL};
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  int status = posix_spawn_file_actions_init(&files);
  if (status != 0)
    return -status;
  status = posix_spawnattr_init(&attributes);
  if (status == 0) {
    status = add_files(&files, ends);
    if (status == 0)
      status = set_attributes(&attributes, nice);
    if (status == 0)
      status =
          posix_spawn(pid, path, &files, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_destroy(&files);
  return -status;
}

/* A pidfd is close-on-exec by itself. Where the kernel, a container or valgrind
 * has none, the child lives without. */
int lp__process_watch(struct lp__process *process) {
  process->pidfd =
      lp__process_move_up((int)syscall(SYS_pidfd_open, process->pid, 0));
  if (process->pidfd >= 0 || errno == ENOSYS || errno == EPERM)
    return 0;
  int status = -errno;
  lp__process_kill(process);
  while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
    ;
  return status;
}

int lp__process_start(struct lp__process *process, const char *path,
                      char *const *environment, int nice,
                      struct lp__progress **progress) {
  struct ends ends = {-1, -1, -1};
  *process = (struct lp__process){-1, -1, -1, -1};
  *progress = NULL;
  int status = lp__process_pipe(&process->output, &ends.output);
  if (status == 0)
    status = lp__process_pipe(&ends.lifeline, &process->lifeline);
  if (status == 0)
    status = open_progress(progress, &ends.progress);
  if (status == 0 && fcntl(process->output, F_SETFL, O_NONBLOCK) < 0)
    status = -errno;
  if (status == 0)
    status = spawn(&process->pid, path, environment, nice, &ends);
  if (status == 0)
    be_nice(process->pid, nice);
  if (status == 0)
    status = lp__process_watch(process);
  lp__close_fd(&ends.output);
  lp__close_fd(&ends.lifeline);
  lp__close_fd(&ends.progress);
  if (status < 0) {
    lp__process_close(process);
    lp__progress_close(*progress);
    *progress = NULL;
  }
  return status;
}

/* Somebody else has taken the status, as a program may that waits for all
 * children: the number may mean another process by now. */
static bool is_forgotten(const struct lp__process *process) {
  siginfo_t info;
  return waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) <
             0 &&
         errno == ECHILD;
}

void lp__process_kill(const struct lp__process *process) {
  if (process->pid > 1 && !is_forgotten(process))
    kill(-process->pid, SIGKILL);
}

void lp__process_stop(const struct lp__process *process) {
  if (!is_forgotten(process))
    tgkill(process->pid, process->pid, SIGVTALRM);
}

bool lp__process_has_ended(const struct lp__process *process) {
  siginfo_t info = {.si_pid = 0};
  int status =
      waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT);
  return status < 0 || info.si_pid != 0;
}

/* What process 1 of a sandbox has said of the child, in the form of wait(2).
 * It may have been killed before, and nobody speaks on a lifeline, of which the
 * descriptor is the write end. */
static bool read_verdict(const struct lp__process *process, int *status) {
  return process->lifeline >= 0 &&
         read(process->lifeline, status, sizeof *status) == sizeof *status;
}

void lp__process_wait(const struct lp__process *process, int *code,
                      int *signal) {
  siginfo_t info = {.si_pid = 0};
  int status, verdict;
  do
    status = waitid(P_PID, (id_t)process->pid, &info, WEXITED);
  while (status < 0 && errno == EINTR);
  if (read_verdict(process, &verdict)) {
    *code = WIFEXITED(verdict) ? WEXITSTATUS(verdict) : -1;
    *signal = WIFSIGNALED(verdict) ? WTERMSIG(verdict) : 0;
    return;
  }
  bool exited = status == 0 && info.si_code == CLD_EXITED;
  bool killed = status == 0 && info.si_code != CLD_EXITED;
  *code = exited ? info.si_status : -1;
  *signal = killed ? info.si_status : exited ? 0 : -1;
}

void lp__process_close(struct lp__process *process) {
  lp__close_fd(&process->pidfd);
  lp__close_fd(&process->output);
  lp__close_fd(&process->lifeline);
}
