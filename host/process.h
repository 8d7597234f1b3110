/* A child process that ends with its host.
 *
 * The child leads a session and process group of its own, has /dev/null as
 * standard input, one pipe as standard output and error, the read end of the
 * lifeline as descriptor LP__LIFELINE_FD, the page of its progress as
 * LP__PROGRESS_FD, and no other descriptor of ours. All signals are at their
 * defaults and unblocked. The write end of the lifeline
 * is held by this process only: it closes when this process ends, however
 * that happens, and the child is expected to end itself then.
 *
 * Its end is seen through a pidfd and it is awaited by that alone, so neither
 * SIGCHLD nor anybody else's children are touched (uv_spawn would install a
 * SIGCHLD handler). */
#ifndef LP_PROCESS_H
#define LP_PROCESS_H

#include "progress.h"

#include <spawn.h>
#include <stdbool.h>
#include <sys/types.h>

enum { LP__LIFELINE_FD = 3 };

struct lp__process {
  pid_t pid;
  int pidfd;    /* readable when the child has ended; -1 where there is none:
                 * then ask lp__process_has_ended now and then */
  int output;   /* read end of its output, does not block */
  int lifeline; /* write end, never written; of a sandbox, the read end of the
                 * pipe on which its process 1 says how the child ended */
};

/* The processor only when nobody else wants it. */
enum { LP__NICEST = 19 };

/* Starts `path` with `environment` ("NAME=value", NULL at the end) and nothing
 * else in its environment. Above 0, `nice` makes it so much nicer than this
 * process; it stays in the session then, since where the kernel shares out the
 * processor among sessions, it would be nice to its own only. Returns the page
 * owned in *progress. 0 or a negative errno; on failure nothing is left. */
int lp__process_start(struct lp__process *process, const char *path,
                      char *const *environment, int nice,
                      struct lp__progress **progress);

/* SIGKILL to the whole group. Only between start and end. */
void lp__process_kill(const struct lp__process *process);

/* Tells an agent that the time of the task it runs is up (agent/limits.h). Only
 * between start and end; nothing may come of it. */
void lp__process_stop(const struct lp__process *process);

/* True when the child has ended; its status is still to be taken. */
bool lp__process_has_ended(const struct lp__process *process);

/* Waits for the end of the child and takes its status: *code is the exit code
 * or -1, *signal the signal or 0; both are -1 when somebody else has taken the
 * status. */
void lp__process_wait(const struct lp__process *process, int *code,
                      int *signal);

/* Closes the descriptors. */
void lp__process_close(struct lp__process *process);

/* For who starts a child in another way: a pipe with descriptors above those
 * that a child gets, both ends set or both -1. 0 or a negative errno. */
int lp__process_pipe(int *read_end, int *write_end);

/* For the same: a descriptor above those that the child's end of things is
 * copied to (the caller may have closed its standard streams). Takes `fd`,
 * which may be -1; -1 and errno when it fails. */
int lp__process_move_up(int fd);

/* For the same: a session of its own, and signals as a program finds them. 0 or
 * an errno. */
int lp__process_set_attributes(posix_spawnattr_t *attributes);

/* For the same: opens the pidfd of process->pid. 0, also where there is none,
 * or a negative errno, and then the child is gone. */
int lp__process_watch(struct lp__process *process);

/* close() for a variable: nothing when it is -1, which it is afterwards. */
void lp__close_fd(int *fd);

#endif
