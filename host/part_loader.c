/* Libraries beside the program. See part_loader.h. */
#define _GNU_SOURCE /* memfd_create */
#include "part_loader.h"

#include "port.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *open_part(void *part) {
  lp__part_open_function *open;
  *(void **)&open = dlsym(part, LP__PART_OPEN); /* as POSIX has it */
  return open ? open(&lp__port) : "it is no library of lambdapool";
}

/* --- a program that has the same libraries ------------------------------- */

static const char *file_of(void *address) {
  Dl_info info;
  return address && dladdr(address, &info) ? info.dli_fname : NULL;
}

/* Whether the first of that name that libraries find is somebody else's: of
 * the program itself, for example, which has that library inside. */
static bool is_taken(const char *name, const char *library) {
  const char *file = file_of(dlsym(RTLD_DEFAULT, name));
  return file && !strstr(file, library);
}

static bool are_taken(void) {
  return is_taken("EVP_MD_CTX_new", "/libcrypto.so") ||
         is_taken("SSL_CTX_new", "/libssl.so") ||
         is_taken("curl_easy_init", "/libcurl.so") ||
         is_taken("sqlite3_open_v2", "/libsqlite3.so") ||
         is_taken("XML_ParserCreate", "/libexpat.so") ||
         is_taken("zip_open", "/libzip.so") ||
         is_taken("deflate", "/libz.so") ||
         is_taken("ZSTD_compress", "/libzstd.so");
}

/* What our libraries need is to be found in the libraries that they name, when
 * the program has functions of these names: of other versions, perhaps. But
 * not when it has a malloc of its own: then what the C library allocates with
 * that would be freed with the C library's. */
static int binding(void) {
  const char *libc = file_of(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"));
  const char *allocator = file_of(dlsym(RTLD_DEFAULT, "malloc"));
  bool plain = libc && allocator && strcmp(libc, allocator) == 0;
  return plain && are_taken() ? RTLD_DEEPBIND : 0;
}

/* --- loading ------------------------------------------------------------- */

struct reason {
  char *text;
  size_t size;
};

/* Loads and opens; NULL and a reason, which goes with the part when it is not
 * copied before. */
static void *load(const char *path, const struct reason *to) {
  void *part = dlopen(path, RTLD_NOW | RTLD_LOCAL | binding());
  const char *reason = part ? open_part(part) : dlerror();
  if (!reason)
    return part;
  snprintf(to->text, to->size, "%s", reason);
  if (part)
    dlclose(part);
  return NULL;
}

/* A file without a name that has the bytes of the one at `path`; -1. */
static int copy_file(const char *path) {
  struct stat status;
  off_t done = 0;
  int from = open(path, O_RDONLY | O_CLOEXEC);
  int to = memfd_create("lambdapool", MFD_CLOEXEC);
  if (from >= 0 && to >= 0 && fstat(from, &status) == 0)
    while (done < status.st_size &&
           sendfile(to, from, &done, (size_t)(status.st_size - done)) > 0)
      ;
  if (to >= 0 && (done == 0 || done < status.st_size)) {
    close(to);
    to = -1;
  }
  if (from >= 0)
    close(from);
  return to;
}

/* The file is loaded already, for another copy of lambdapool in this process,
 * which has other functions. The linker takes what has another inode for
 * another library. */
static void *load_again(const char *path, const struct reason *to) {
  char name[32];
  void *part;
  int fd = copy_file(path);
  if (fd < 0)
    return NULL;
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  part = load(name, to);
  close(fd);
  return part;
}

void *lp__part_load(const char *path, char *message, size_t size) {
  const struct reason reason = {message, size};
  void *part = load(path, &reason);
  if (!part && strcmp(message, LP__PART_BUSY) == 0)
    part = load_again(path, &reason);
  return part;
}

/* --- where this is ------------------------------------------------------- */

/* The lines of a file, without any memory but this. */
struct lines {
  int fd;
  size_t begin, end; /* of what was read and is not yet taken */
  char bytes[PATH_MAX + 256];
};

static bool read_more(struct lines *lines) {
  ssize_t got;
  memmove(lines->bytes, lines->bytes + lines->begin, lines->end - lines->begin);
  lines->end -= lines->begin;
  lines->begin = 0;
  got = read(lines->fd, lines->bytes + lines->end,
             sizeof lines->bytes - lines->end);
  lines->end += got > 0 ? (size_t)got : 0;
  return got > 0;
}

/* Borrowed until the next; NULL at the end, and for a line that is too long. */
static char *next_line(struct lines *lines) {
  char *line, *end;
  while (!(end = memchr(lines->bytes + lines->begin, '\n',
                        lines->end - lines->begin)))
    if (!read_more(lines))
      return NULL;
  line = lines->bytes + lines->begin;
  lines->begin = (size_t)(end - lines->bytes) + 1;
  *end = '\0';
  return line;
}

/* The file that is mapped at `address`, from a line of /proc/self/maps such as
 *   7f0c000-7f0d000 r-xp 00000000 fe:00 12345   /usr/lib/liblambdapool.so.0
 * or NULL. */
static const char *file_of_line(const char *line, uintptr_t address) {
  uintmax_t first, end;
  return sscanf(line, "%jx-%jx", &first, &end) == 2 && first <= address &&
                 address < end
             ? strchr(line, '/')
             : NULL;
}

static int copy_path(char *path, size_t size, const char *from) {
  if (strlen(from) >= size)
    return -ENAMETOOLONG;
  strcpy(path, from);
  return 0;
}

/* From the lines of /proc/self/maps. */
static int find_in_maps(char *path, size_t size) {
  struct lines lines;
  const char *line, *file = NULL;
  int status;
  lines.begin = lines.end = 0;
  lines.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (lines.fd < 0)
    return -errno;
  while (!file && (line = next_line(&lines)))
    file = file_of_line(line, (uintptr_t)&lp__port);
  status = file ? copy_path(path, size, file) : -ENOENT;
  close(lines.fd);
  return status;
}

/* The linker knows only by which path a file was found, which may be relative
 * to the working directory of that time. */
int lp__part_self(char *path, size_t size) {
  char found[PATH_MAX];
  const char *file;
  if (find_in_maps(path, size) == 0)
    return 0;
  file = file_of((void *)&lp__port); /* there may be no /proc */
  return file && realpath(file, found) ? copy_path(path, size, found) : -ENOENT;
}
