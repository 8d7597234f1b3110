/* Somebody else's program: started, read from, ended.
 *
 * The child leads a session and process group of its own, so that no key on a
 * terminal reaches it and it cannot ask there. Standard input is what it is
 * given, or empty; output and errors are pipes; it has no other descriptor of
 * ours. All signals are at their defaults and unblocked. What it has started in
 * its group ends with it. Its end is seen as process.h says. */
#ifndef LP_COMMAND_H
#define LP_COMMAND_H

#include "process.h"

#include <stddef.h>

struct lp__command {
  struct lp__process process; /* its `output` is the standard output */
  int errors;                 /* read end of its errors, does not block */
};

struct lp__command_config {
  char *const *arguments;   /* the first is the program, looked for on PATH when
                             * it has no slash; NULL at the end */
  char *const *environment; /* all of it: "NAME=value", NULL at the end */
  const char *folder;       /* to run in; NULL: the same as this process */
  const void *input;        /* what it reads; copied */
  size_t input_size;
};

/* Starts it. 0 or a negative errno; on failure nothing is left, and
 * *no_folder says whether the folder was to blame. */
int lp__command_start(struct lp__command *command,
                      const struct lp__command_config *config, bool *no_folder);

enum lp__command_event {
  LP__COMMAND_NOTHING, /* so far, or an interrupt is pending */
  LP__COMMAND_OUTPUT,
  LP__COMMAND_ERRORS,
  LP__COMMAND_END /* it has ended, and what it wrote has been read */
};

/* Waits, for at most `timeout_ms`, and puts what it has written into `buffer`,
 * whose size is *size; *size becomes the number of bytes. */
enum lp__command_event lp__command_next(struct lp__command *command,
                                        int timeout_ms, void *buffer,
                                        size_t *size);

/* Kills its whole group, also when it has ended itself, takes its status and
 * closes everything: *code is the exit code or -1, *signal the signal or 0;
 * both are -1 when somebody else has taken the status. */
void lp__command_end(struct lp__command *command, int *code, int *signal);

#endif
