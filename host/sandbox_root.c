/* The file system of a sandbox: a tmpfs with a copy of every mount at its
 * place. The new root is put on top of "/", where paths do not reach it, so
 * paths go on meaning those of the machine until it takes over. */
#define _GNU_SOURCE
#include "sandbox_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- mounts -------------------------------------------------------------- */

/* Attaches the mount `fd`, which it closes, at a path below `root`. */
static int attach(int fd, int root, const char *at) {
  if (fd < 0)
    return -errno;
  int moved = move_mount(fd, "", root, at, MOVE_MOUNT_F_EMPTY_PATH);
  int status = moved < 0 ? -errno : 0;
  close(fd);
  return status;
}

/* A copy of the mount at `from`, and of all that is mounted below it. */
static int bind_to(int root, const char *at, const char *from) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
  return attach(open_tree(AT_FDCWD, from, flags), root, at);
}

/* A new file system that nothing can be mounted on yet; -1 with errno. `size`
 * and `mode` are options of a tmpfs, or NULL. */
static int create_fs(const char *type, const char *size, const char *mode) {
  int mount = -1, context = fsopen(type, FSOPEN_CLOEXEC);
  if (context < 0)
    return -1;
  if ((!size || fsconfig(context, FSCONFIG_SET_STRING, "size", size, 0) == 0) &&
      (!mode || fsconfig(context, FSCONFIG_SET_STRING, "mode", mode, 0) == 0) &&
      fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
    mount =
        fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  int failure = errno;
  close(context);
  errno = failure;
  return mount;
}

static int set_attributes(int fd, const char *path, struct mount_attr attr) {
  unsigned flags = AT_RECURSIVE | AT_EMPTY_PATH;
  return mount_setattr(fd, path, flags, &attr, sizeof attr) < 0 ? -errno : 0;
}

/* --- what is in it ------------------------------------------------------- */

/* Shows what the machine has at `path` at the same place below `root`, unless
 * something is there already. What cannot be shown is left out: who needs it
 * will say so. */
static void show(int root, const char *path) {
  char target[PATH_MAX];
  const char *at = path + 1;
  struct stat status;
  if (fstatat(AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
    return;
  if (S_ISLNK(status.st_mode)) {
    ssize_t size = readlink(path, target, sizeof target - 1);
    target[size < 0 ? 0 : size] = '\0';
    symlinkat(target, root, at);
    return;
  }
  int made = S_ISDIR(status.st_mode) ? mkdirat(root, at, 0755)
                                     : mknodat(root, at, S_IFREG | 0444, 0);
  if (made == 0)
    bind_to(root, at, path);
}

/* Shows all that is in a folder, "" for the top. */
static void show_all(int root, const char *folder) {
  _Alignas(struct dirent64) char entries[4096];
  char path[sizeof "/var/" + NAME_MAX];
  int fd = open(folder[0] ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ssize_t size;
  while ((size = getdents64(fd, entries, sizeof entries)) > 0) {
    const struct dirent64 *entry;
    for (ssize_t i = 0; i < size; i += entry->d_reclen) {
      entry = (const void *)(entries + i);
      if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        continue;
      stpcpy(stpcpy(stpcpy(path, folder), "/"), entry->d_name);
      show(root, path);
    }
  }
  close(fd);
}

/* What AWS Lambda has there; no shared memory, for one. */
static void fill_dev(int root) {
  static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full",
                                        "/dev/random", "/dev/urandom"};
  static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"},
                                         {"/proc/self/fd/0", "dev/stdin"},
                                         {"/proc/self/fd/1", "dev/stdout"},
                                         {"/proc/self/fd/2", "dev/stderr"}};
  for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
    show(root, devices[i]);
  for (size_t i = 0; i < sizeof links / sizeof *links; i++)
    symlinkat(links[i][0], root, links[i][1]);
}

static int make_folders(int root) {
  static const char *const folders[] = {"dev", "opt",      "proc",       "tmp",
                                        "var", "var/task", "var/runtime"};
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
    if (mkdirat(root, folders[i], 0755) < 0)
      return -errno;
  return 0;
}

/* A new /proc may show no more than the old one; in a container that hides
 * parts of it, it is the old one that is shown. */
static int add_proc(int root) {
  int status = attach(create_fs("proc", NULL, NULL), root, "proc");
  return status == 0 ? 0 : bind_to(root, "proc", "/proc");
}

static int fill(int root, const char *task, const char *layers,
                const char *tmp_size) {
  const struct mount_attr fixed = {.attr_set =
                                       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
  int status = make_folders(root);
  if (status == 0)
    status = bind_to(root, "var/task", task);
  if (status == 0 && layers)
    status = bind_to(root, "opt", layers);
  if (status < 0)
    return status;
  show_all(root, "");
  show_all(root, "/var");
  fill_dev(root);
  status = set_attributes(root, "", fixed);
  if (status == 0)
    status = add_proc(root);
  if (status == 0)
    status = attach(create_fs("tmpfs", tmp_size, "1777"), root, "tmp");
  return status;
}

/* --- taking over --------------------------------------------------------- */

/* After the pivot both roots are at "/", the old one on top. */
static int switch_to(int root) {
  if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
      umount2(".", MNT_DETACH) < 0 || chdir("/var/task") < 0)
    return -errno;
  return 0;
}

int lp__sandbox_enter_root(const char *task, const char *layers,
                           const char *tmp_size) {
  /* First of all: nothing from here may show on the machine. */
  const struct mount_attr own = {.propagation = MS_PRIVATE};
  int status = set_attributes(AT_FDCWD, "/", own);
  if (status < 0)
    return status;
  int root = create_fs("tmpfs", "64k", "755");
  if (root < 0)
    return -errno;
  if (move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
    status = -errno;
  if (status == 0)
    status = fill(root, task, layers, tmp_size);
  if (status == 0)
    status = switch_to(root);
  close(root);
  return status;
}
