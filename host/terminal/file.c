/* A file that several programs add to. See file.h. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Makes the folders above `path` that are missing. */
static int make_folders(const char *path) {
  char folder[PATH_MAX];
  if (strlen(path) >= sizeof folder)
    return -ENAMETOOLONG;
  for (const char *slash = strchr(path + 1, '/'); slash;
       slash = strchr(slash + 1, '/')) {
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = 0;
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
      return -errno;
  }
  return 0;
}

/* Never waits for somebody to open the other end of a pipe. */
static int open_to_append(const char *path) {
  int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  int fd = open(path, flags, 0600);
  if (fd < 0 && errno == ENOENT) {
    int status = make_folders(path);
    if (status < 0)
      return status;
    fd = open(path, flags, 0600);
  }
  return fd < 0 ? -errno : fd;
}

static bool ends_in_line(int fd) {
  char last;
  off_t size = lseek(fd, 0, SEEK_END);
  return size <= 0 || pread(fd, &last, 1, size - 1) != 1 || last == '\n';
}

int lp__file_append(const char *path, const char *line, size_t size) {
  int fd = open_to_append(path);
  if (fd < 0)
    return fd;
  struct iovec parts[] = {{.iov_base = "\n", .iov_len = !ends_in_line(fd)},
                          {.iov_base = (char *)line, .iov_len = size}};
  ssize_t written = writev(fd, parts, 2);
  int status = written < 0 ? -errno : 0;
  if (written >= 0 && (size_t)written < size)
    status = -ENOSPC;
  close(fd);
  return status;
}

static int read_tail(int fd, char *bytes, size_t most, size_t *size,
                     size_t *total) {
  struct stat about;
  if (fstat(fd, &about) < 0)
    return -errno;
  *total = S_ISREG(about.st_mode) ? (size_t)about.st_size : 0;
  size_t wanted = *total < most ? *total : most;
  ssize_t count =
      wanted > 0 ? pread(fd, bytes, wanted, (off_t)(*total - wanted)) : 0;
  *size = count > 0 ? (size_t)count : 0;
  return count < 0 ? -errno : 0;
}

int lp__file_tail(const char *path, char *bytes, size_t most, size_t *size,
                  size_t *total) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0)
    return -errno;
  int status = read_tail(fd, bytes, most, size, total);
  close(fd);
  return status;
}
