/* Who is at the other end of a loopback TCP connection? See peer.h. */
#define _GNU_SOURCE
#include "peer.h"

#include "family.h"

#include <dirent.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The two ends as the other side sees them. */
struct ends {
  struct sockaddr_in here; /* its own address */
  struct sockaddr_in there;
};

static int get_ends(int fd, struct ends *ends) {
  socklen_t size = sizeof ends->here;
  if (getpeername(fd, (struct sockaddr *)&ends->here, &size) < 0)
    return -errno;
  size = sizeof ends->there;
  if (getsockname(fd, (struct sockaddr *)&ends->there, &size) < 0)
    return -errno;
  return 0;
}

/* Sends the question on a netlink socket and reads the answer: 0 with *inode,
 * -ENOENT when there is no such socket, or another negative errno. */
static int exchange(int netlink, const struct ends *ends, unsigned *inode) {
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 body;
  } question = {{sizeof question, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0},
                {.sdiag_family = AF_INET,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = ~0u}};
  struct inet_diag_sockid *id = &question.body.id;
  id->idiag_sport = ends->here.sin_port;
  id->idiag_dport = ends->there.sin_port;
  id->idiag_src[0] = ends->here.sin_addr.s_addr;
  id->idiag_dst[0] = ends->there.sin_addr.s_addr;
  id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  if (send(netlink, &question, sizeof question, 0) < 0)
    return -errno;

  union {
    struct nlmsghdr header;
    char bytes[1024];
  } answer;
  ssize_t size = recv(netlink, &answer, sizeof answer, 0);
  if (size < 0)
    return -errno;
  if (!NLMSG_OK(&answer.header, (size_t)size))
    return -EPROTO;
  if (answer.header.nlmsg_type == NLMSG_ERROR) {
    const struct nlmsgerr *failure = NLMSG_DATA(&answer.header);
    return failure->error < 0 ? failure->error : -EPROTO;
  }
  const struct inet_diag_msg *message = NLMSG_DATA(&answer.header);
  if (answer.header.nlmsg_len < NLMSG_LENGTH(sizeof *message))
    return -EPROTO;
  *inode = message->idiag_inode;
  return 0;
}

static int ask_kernel(const struct ends *ends, unsigned *inode) {
  int netlink =
      socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (netlink < 0)
    return -errno;
  int status = exchange(netlink, ends, inode);
  close(netlink);
  return status;
}

/* The same from /proc/net/tcp, for sandboxes without sock_diag. */
static int ask_proc(const struct ends *ends, unsigned *inode) {
  FILE *file = fopen("/proc/net/tcp", "re");
  if (!file)
    return -errno;
  char line[512];
  int status = -ENOENT;
  while (status == -ENOENT && fgets(line, sizeof line, file)) {
    unsigned here, here_port, there, there_port, number;
    if (sscanf(line, " %*u: %X:%X %X:%X %*X %*X:%*X %*X:%*X %*X %*u %*u %u",
               &here, &here_port, &there, &there_port, &number) != 5)
      continue;
    if (here == ends->here.sin_addr.s_addr &&
        there == ends->there.sin_addr.s_addr &&
        here_port == ntohs(ends->here.sin_port) &&
        there_port == ntohs(ends->there.sin_port)) {
      *inode = number;
      status = 0;
    }
  }
  fclose(file);
  return status;
}

static int holds(pid_t pid, unsigned inode) {
  char path[64], wanted[64], target[64];
  snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
  snprintf(wanted, sizeof wanted, "socket:[%u]", inode);
  DIR *folder = opendir(path);
  if (!folder)
    return errno == ENOENT ? 0 : -errno;
  int found = 0;
  struct dirent *entry;
  while (!found && (entry = readdir(folder))) {
    ssize_t size =
        readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
    if (size > 0) {
      target[size] = '\0';
      found = strcmp(target, wanted) == 0;
    }
  }
  closedir(folder);
  return found;
}

/* 1 with the inode of the socket at the other end; 0 when it has gone, or
 * nobody holds it any more; or a negative errno. */
static int find_peer(int fd, unsigned *inode) {
  struct ends ends;
  *inode = 0;
  int status = get_ends(fd, &ends);
  if (status == 0) {
    status = ask_kernel(&ends, inode);
    if (status < 0 && status != -ENOENT && status != -EMFILE &&
        status != -ENFILE)
      status = ask_proc(&ends, inode);
  }
  if (status == -ENOENT || status == -ENOTCONN)
    return 0;
  return status < 0 ? status : *inode != 0;
}

int lp__peer_is(int fd, pid_t pid) {
  unsigned inode;
  int status = find_peer(fd, &inode);
  return status == 1 ? holds(pid, inode) : status;
}

static int visit(void *context, pid_t pid) {
  return holds(pid, *(unsigned *)context) == 1;
}

/* Descendants first: it is one of them, unless its parent has ended. */
int lp__peer_belongs(int fd, pid_t pid) {
  unsigned inode;
  int status = find_peer(fd, &inode);
  if (status == 1)
    status = lp__family_visit(pid, visit, &inode);
  if (status == 0 && inode != 0)
    status = lp__family_visit_all(pid, visit, &inode);
  return status;
}
