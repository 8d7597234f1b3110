/* What runs in a sandbox between clone and exec. The memory may still be that
 * of the host, which waits meanwhile: nothing here allocates or locks. See
 * sandbox.h. */
#ifndef LP_SANDBOX_PARTS_H
#define LP_SANDBOX_PARTS_H

/* What process 1 writes the end of the child to, as wait(2) tells it, and which
 * process that is: the first after itself. */
enum { LP__VERDICT_FD = 3, LP__SANDBOX_CHILD = 2 };

/* Leaves the root of the machine for a new one, in a mount namespace of this
 * process's own, and goes to /var/task. `layers` may be NULL; `tmp_size` is for
 * the tmpfs ("512m"). 0 or a negative errno. */
int lp__sandbox_enter_root(const char *task, const char *layers,
                           const char *tmp_size);

/* Becomes process 1 of the sandbox: a program that waits for children, writes
 * how LP__SANDBOX_CHILD ended to LP__VERDICT_FD, and ends then. Returns only on
 * failure, a negative errno. */
int lp__sandbox_become_init(void);

#endif
