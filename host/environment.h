/* The environment of a process that is to be started. */
#ifndef LP_ENVIRONMENT_H
#define LP_ENVIRONMENT_H

#include <stddef.h>

/* All zero is an empty one. */
struct lp__environment {
  char **items; /* "NAME=value", owned; NULL at the end, or no list at all */
  size_t count;
};

/* Adds the variable that printf makes of the rest, "NAME=value", or replaces
 * the one of that name. 0 or -ENOMEM. */
__attribute__((format(printf, 2, 3))) int
lp__environment_put(struct lp__environment *environment, const char *format,
                    ...);

/* Frees the variables. */
void lp__environment_free(struct lp__environment *environment);

#endif
