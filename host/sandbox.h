/* A child process as a function of AWS Lambda finds its surroundings.
 *
 * Isolated, it has a root of its own: what the machine has is there and cannot
 * be written, /var/task is the task folder, /opt the layers or empty, /tmp an
 * empty file system of its own, /proc shows its own processes, and /dev what
 * every program needs. Started by root it runs as user and group 65534. It has
 * no capabilities and gains none. Process 1 is not the child but a loop of a
 * few instructions, which buries orphans and passes on how the child ended;
 * process.pid is that one, and its end is the end of every process inside. The
 * network is the machine's.
 *
 * Not isolated, it is a process in a session of its own, in the task folder.
 *
 * Either way: /dev/null as standard input, one pipe as standard output and
 * error, no other descriptor, signals at their defaults, 1,024 descriptors, no
 * core dumps, and the kernel kills it when the thread that started it ends.
 *
 * Isolation needs Linux 5.12, and root or user namespaces. */
#ifndef LP_SANDBOX_H
#define LP_SANDBOX_H

#include "process.h"

struct lp__sandbox {
  const char *task;   /* absolute */
  const char *layers; /* absolute; NULL for none */
  int tmp_mb;         /* size of /tmp, above 0 */
  bool isolated;
};

/* Starts `path`, as the child sees it, with `environment` ("NAME=value", NULL
 * at the end) and nothing else in its environment. Returns when the child runs
 * the program; it is used and ended like any struct lp__process. 0 or a
 * negative errno, that of the exec included; on failure nothing is left. */
int lp__sandbox_start(struct lp__process *process,
                      const struct lp__sandbox *config, const char *path,
                      char *const *environment);

/* Tries: true when isolated children can be started. */
bool lp__sandbox_probe(void);

#endif
