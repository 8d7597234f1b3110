/* Trees of files.  See tree.h.  Each level of a tree that is walked holds a
 * descriptor: with too many levels this ends as EMFILE, not on the stack. */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* Calls `visit` for everything in a folder, until it returns other than 0.
 * Takes the descriptor; -1 stands for a folder that could not be opened. */
static int for_each(int folder, int (*visit)(int, const char *, int), int to) {
  DIR *entries = folder >= 0 ? fdopendir(folder) : NULL;
  struct dirent *entry;
  int status = 0, error;
  if (entries == NULL) {
    if (folder >= 0)
      close(folder);
    return -1;
  }
  errno = 0;
  while (status == 0 && (entry = readdir(entries)) != NULL) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      status = visit(folder, entry->d_name, to);
    if (status == 0)
      errno = 0;
  }
  error = errno;
  closedir(entries);
  errno = error;
  return status == 0 && error == 0 ? 0 : -1;
}

/* --- removing ------------------------------------------------------------ */

static int remove_at(int folder, const char *name, int unused) {
  (void)unused;
  if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
    return 0;
  if (errno != EISDIR)
    return -1;
  if (for_each(openat(folder, name, FOLDER), remove_at, -1) != 0)
    return -1;
  return unlinkat(folder, name, AT_REMOVEDIR);
}

int lp__tree_remove(const char *path) {
  return remove_at(AT_FDCWD, path, -1);
}

/* --- putting one over the other ------------------------------------------ */

/* Makes the folder `name` in place of anything else of this name. Returns its
 * descriptor. */
static int replace_folder(int in, const char *name) {
  struct stat status;
  if (fstatat(in, name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
      !S_ISDIR(status.st_mode)) {
    if (remove_at(in, name, -1) != 0 || mkdirat(in, name, 0755) != 0 ||
        fchmodat(in, name, 0755, 0) != 0)
      return -1;
  }
  return openat(in, name, FOLDER);
}

static int overlay_at(int from, const char *name, int to) {
  struct stat status;
  int inner, result;
  if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
    return -1;
  if (!S_ISDIR(status.st_mode))
    return remove_at(to, name, -1) == 0 ? linkat(from, name, to, name, 0) : -1;
  inner = replace_folder(to, name);
  if (inner < 0)
    return -1;
  result = for_each(openat(from, name, FOLDER), overlay_at, inner);
  close(inner);
  return result;
}

int lp__tree_overlay(const char *from, const char *to) {
  int result, folder = replace_folder(AT_FDCWD, to);
  if (folder < 0)
    return -1;
  result = for_each(open(from, FOLDER), overlay_at, folder);
  close(folder);
  return result;
}

/* --- making -------------------------------------------------------------- */

int lp__tree_make(const char *folder) {
  char path[PATH_MAX];
  char *slash;
  if (strlen(folder) >= sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(path, folder);
  for (slash = path; (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
    *slash = '\0';
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
      return -1;
  }
  return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

int lp__tree_write(int fd, const void *data, size_t size) {
  const char *bytes = data;
  while (size > 0) {
    ssize_t written = write(fd, bytes, size);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return -1;
    bytes += written;
    size -= (size_t)written;
  }
  return 0;
}

/* Writes what the folder of `path` lists to the disk. */
static int sync_folder(const char *path) {
  char folder[PATH_MAX];
  const char *slash = strrchr(path, '/');
  int fd, status;
  snprintf(folder, sizeof folder, "%.*s/", slash ? (int)(slash - path) : 1,
           slash ? path : ".");
  fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  status = fsync(fd);
  close(fd);
  return status;
}

int lp__tree_store(const char *path, const char *temporary, const void *bytes,
                   size_t size) {
  int error, failed;
  int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    return -1;
  failed = lp__tree_write(fd, bytes, size) != 0 || fsync(fd) != 0;
  error = errno;
  if (close(fd) != 0 && !failed) {
    failed = 1;
    error = errno;
  }
  if (!failed && rename(temporary, path) == 0)
    return sync_folder(path);
  error = failed ? error : errno;
  unlink(temporary);
  errno = error;
  return -1;
}
