/* Somebody else's program. See command.h. */
#define _GNU_SOURCE
#include "command.h"

#include "interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <unistd.h>

/* How long a child without pidfd can have ended before that is seen. */
enum { GLANCE_MS = 10 };

/* The child's ends. */
struct ends {
  int input, output, errors, folder;
};

static int write_all(int fd, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t written = write(fd, bytes, size);
    if (written < 0 && errno != EINTR)
      return -errno;
    if (written > 0) {
      bytes += written;
      size -= (size_t)written;
    }
  }
  return lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

/* A file in memory: a child that reads nothing of it blocks nobody. */
static int open_input(int *fd, const void *bytes, size_t size) {
  int file = memfd_create("input", MFD_CLOEXEC);
  *fd = lp__process_move_up(file);
  return *fd < 0 ? -errno : write_all(*fd, bytes, size);
}

static int open_folder(int *fd, const char *path) {
  int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  *fd = lp__process_move_up(folder);
  return *fd < 0 ? -errno : 0;
}

static int add_files(posix_spawn_file_actions_t *files,
                     const struct ends *ends) {
  const int fds[] = {ends->input, ends->output, ends->errors};
  int status = 0;
  for (int i = 0; i < 3 && status == 0; i++)
    status = posix_spawn_file_actions_adddup2(files, fds[i], i);
  if (status == 0 && ends->folder >= 0)
    status = posix_spawn_file_actions_addfchdir_np(files, ends->folder);
  if (status == 0)
    status = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
  return status;
}

static int spawn(pid_t *pid, const struct lp__command_config *config,
                 const struct ends *ends) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  int status = posix_spawn_file_actions_init(&files);
  if (status != 0)
    return -status;
  status = add_files(&files, ends);
  if (status == 0)
    status = posix_spawnattr_init(&attributes);
  if (status == 0) {
    status = lp__process_set_attributes(&attributes);
    if (status == 0)
      status = posix_spawnp(pid, config->arguments[0], &files, &attributes,
                            config->arguments, config->environment);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_destroy(&files);
  return -status;
}

static void close_all(struct lp__command *command) {
  lp__process_close(&command->process);
  lp__close_fd(&command->errors);
}

static int open_pipe(int *read_end, int *write_end) {
  int status = lp__process_pipe(read_end, write_end);
  if (status == 0 && fcntl(*read_end, F_SETFL, O_NONBLOCK) < 0)
    status = -errno;
  return status;
}

int lp__command_start(struct lp__command *command,
                      const struct lp__command_config *config,
                      bool *no_folder) {
  struct ends ends = {-1, -1, -1, -1};
  int status = 0;
  *command = (struct lp__command){{-1, -1, -1, -1}, -1};
  if (config->folder)
    status = open_folder(&ends.folder, config->folder);
  *no_folder = status < 0;
  if (status == 0)
    status = open_input(&ends.input, config->input, config->input_size);
  if (status == 0)
    status = open_pipe(&command->process.output, &ends.output);
  if (status == 0)
    status = open_pipe(&command->errors, &ends.errors);
  if (status == 0)
    status = spawn(&command->process.pid, config, &ends);
  if (status == 0)
    status = lp__process_watch(&command->process);
  if (status == -ESRCH) /* it has ended, and its status is lost */
    status = 0;
  lp__close_fd(&ends.input);
  lp__close_fd(&ends.output);
  lp__close_fd(&ends.errors);
  lp__close_fd(&ends.folder);
  if (status < 0)
    close_all(command);
  return status;
}

/* The number of bytes that are there; closes the pipe at its end. */
static size_t take(int *fd, void *buffer, size_t size) {
  ssize_t got;
  if (*fd < 0)
    return 0;
  do
    got = read(*fd, buffer, size);
  while (got < 0 && errno == EINTR);
  if (got == 0 || (got < 0 && errno != EAGAIN))
    lp__close_fd(fd);
  return got > 0 ? (size_t)got : 0;
}

/* Waits until it makes sense to look again; false when the time is over. */
static bool wait_for(const struct lp__command *command, int timeout_ms) {
  int interrupt = lp__interrupt_fd();
  struct pollfd fds[] = {{command->process.output, POLLIN, 0},
                         {command->errors, POLLIN, 0},
                         {command->process.pidfd, POLLIN, 0},
                         {interrupt, POLLIN, 0}};
  if (command->process.pidfd < 0 && timeout_ms > GLANCE_MS)
    timeout_ms = GLANCE_MS;
  return poll(fds, sizeof fds / sizeof *fds, timeout_ms) > 0 &&
         !lp__interrupt_pending();
}

enum lp__command_event lp__command_next(struct lp__command *command,
                                        int timeout_ms, void *buffer,
                                        size_t *size) {
  size_t room = *size;
  do {
    /* Asked first: what it wrote before its end is in the pipes then. */
    bool ended = lp__process_has_ended(&command->process);
    *size = take(&command->process.output, buffer, room);
    if (*size > 0)
      return LP__COMMAND_OUTPUT;
    *size = take(&command->errors, buffer, room);
    if (*size > 0)
      return LP__COMMAND_ERRORS;
    if (ended)
      return LP__COMMAND_END;
  } while (wait_for(command, timeout_ms));
  return LP__COMMAND_NOTHING;
}

void lp__command_end(struct lp__command *command, int *code, int *signal) {
  /* Not awaited yet, so the group is still its own. */
  lp__process_kill(&command->process);
  lp__process_wait(&command->process, code, signal);
  close_all(command);
}
