/* A process and its descendants, as /proc shows them. */
#ifndef LP_FAMILY_H
#define LP_FAMILY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef int lp__family_visitor(void *context, pid_t pid);

/* Calls `visit` for `root` and each of its descendants, until one of the calls
 * returns something else than 0, which is returned. Processes come and go
 * meanwhile: a visited one may be gone, one that is just being made may be
 * missed. */
int lp__family_visit(pid_t root, lp__family_visitor *visit, void *context);

/* The same for every process of the session that `root` leads, and of the PID
 * namespace that it is in if that is not ours, whoever its parent is. Looks at
 * every process of the machine. */
int lp__family_visit_all(pid_t root, lp__family_visitor *visit, void *context);

/* The resident bytes of the descendants of `root`, and of itself if
 * `with_root`: now, and the sum of the most that each of them had. False when
 * there is none. */
bool lp__family_memory(pid_t root, bool with_root, uint64_t *now,
                       uint64_t *peak);

#endif
