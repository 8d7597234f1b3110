/* The environment of a worker's process. */
#ifndef LP_ENVIRONMENT_H
#define LP_ENVIRONMENT_H

#include "worker.h"

#include <stddef.h>

/* All zero is an empty one. */
struct lp__environment {
  char **items; /* "NAME=value", owned; NULL at the end, or no list at all */
  size_t count;
};

/* Adds what worker.h says; the Runtime API is at `port`. 0 or -ENOMEM. */
int lp__environment_make(struct lp__environment *environment,
                         const struct lp__worker_config *config, unsigned port);

/* Frees the variables. */
void lp__environment_free(struct lp__environment *environment);

#endif
