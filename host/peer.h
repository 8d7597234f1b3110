/* Who is at the other end of a loopback TCP connection?
 *
 * Any process of the machine can connect to a port on 127.0.0.1, also before
 * the worker it is meant for does. Unix sockets answer the question with
 * SO_PEERCRED, TCP does not, and the Runtime API is TCP. So the kernel is
 * asked for the inode of the socket at the other end (sock_diag, one exact
 * look-up; /proc/net/tcp where that is missing), and the descriptors of the
 * process are searched for that inode. */
#ifndef LP_PEER_H
#define LP_PEER_H

#include <sys/types.h>

/* 1 when process `pid` itself holds the other end of the connected IPv4 socket
 * `fd`, 0 when it does not, or a negative errno when that cannot be found out.
 */
int lp__peer_is(int fd, pid_t pid);

/* The same for `pid`, its descendants, and whoever else is in the session that
 * it leads or in its PID namespace. A process whose descriptors may not be
 * looked at is none of them. */
int lp__peer_belongs(int fd, pid_t pid);

#endif
