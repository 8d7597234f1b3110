/* A thread on which what takes too long for a caller is done: starting
 * processes, where the kernel makes whoever starts one wait until it has begun.
 *
 * One for each set of workers, made with its first job. It handles no signals,
 * calls nobody's code but that of its jobs, and stays until it is closed, since
 * the kernel may end a child together with the thread that started it. What it
 * allocates is malloc's (memory.h). */
#ifndef LP_STARTER_H
#define LP_STARTER_H

#include "loop.h"

struct lp__starter;

/* To be the first member of what is to be done. */
struct lp__job {
  struct lp__job *next;
  /* On the thread, one after the other in the order in which they were added.
   */
  void (*run)(struct lp__job *job);
  /* Afterwards, in a look of the loop. */
  void (*done)(struct lp__job *job);
};

/* Starts the thread. 0 or a negative errno. */
int lp__starter_open(struct lp__starter **out, struct lp__loop *loop);

/* Adds a job. Borrows it until it is done. */
void lp__starter_add(struct lp__starter *starter, struct lp__job *job);

/* Waits until no job is being run, and keeps the next one from it until it is
 * let go: a process that starts needs more descriptors than it keeps. */
void lp__starter_hold(struct lp__starter *starter);
void lp__starter_let_go(struct lp__starter *starter);

/* Ends the thread, after the job that it is at. Calls job->done for what it
 * has run since, and `drop` for the others. The memory stays until libuv lets
 * go of it. NULL is fine. */
void lp__starter_close(struct lp__starter *starter,
                       void (*drop)(struct lp__job *job));

#endif
