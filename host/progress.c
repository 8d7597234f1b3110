/* Memory shared with a worker.  See progress.h. */
#define _GNU_SOURCE /* memfd_create */
#include "progress.h"

#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct lp__progress *map(int fd) {
  void *page = mmap(NULL, sizeof(struct lp__progress), PROT_READ | PROT_WRITE,
                    MAP_SHARED, fd, 0);
  return page == MAP_FAILED ? NULL : page;
}

/* The size is sealed: a worker that shrank it could make the host's next look
 * at the page a SIGBUS. */
static int set_size(int fd) {
  return ftruncate(fd, sizeof(struct lp__progress)) == 0 &&
         fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
}

struct lp__progress *lp__progress_create(int *fd) {
  struct lp__progress *progress = NULL;
  *fd = memfd_create("lambdapool", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (*fd < 0)
    return NULL;
  if (set_size(*fd))
    progress = map(*fd);
  if (progress != NULL) {
    lp__progress_reset(progress);
    return progress;
  }
  int failure = errno;
  close(*fd);
  *fd = -1;
  errno = failure;
  return NULL;
}

struct lp__progress *lp__progress_open(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0 ||
      status.st_size < (off_t)sizeof(struct lp__progress))
    return NULL;
  struct lp__progress *progress = map(fd);
  if (progress != NULL)
    atomic_store(&progress->mapped, 1);
  return progress;
}

void lp__progress_close(struct lp__progress *progress) {
  if (progress != NULL)
    munmap(progress, sizeof *progress);
}

void lp__progress_reset(struct lp__progress *progress) {
  atomic_store(&progress->began_ns, 0);
  atomic_store(&progress->no_memory, 0);
  atomic_store(&progress->begun, 0);
  atomic_store(&progress->finished, 0);
  atomic_store(&progress->limit, UINT32_MAX);
  atomic_store(&progress->kept_tasks, 0);
  atomic_store(&progress->kept_bytes, 0);
}

void lp__progress_keep(struct lp__progress *progress, uint32_t k,
                       const void *record, uint32_t size) {
  unsigned char *room = lp__progress_room(progress, k, size);
  if (room == NULL)
    return;
  memcpy(room, record, size);
  lp__progress_kept(progress, k, size);
}

static uint32_t min(uint32_t a, uint32_t b) {
  return a < b ? a : b;
}

/* A copy of the first `size` bytes of the records, or NULL. */
static char *copy_kept(const struct lp__progress *progress, size_t size) {
  char *copy = size > 0 ? lp__malloc(size) : NULL;
  if (copy != NULL)
    memcpy(copy, progress->kept, size);
  return copy;
}

/* Each field is read once: something that the worker left behind may still be
 * writing. A worker that ended between lp__progress_keep and lp__progress_end
 * had finished the task. No record is shorter than a byte. */
struct lp__progress_report
lp__progress_read(const struct lp__progress *progress, char **kept,
                  size_t *kept_size) {
  struct lp__progress_report report = {.begun = 1};
  *kept = NULL;
  *kept_size = 0;
  if (!atomic_load(&progress->mapped))
    return report;
  uint32_t kept_tasks = atomic_load(&progress->kept_tasks);
  uint32_t size = min(atomic_load(&progress->kept_bytes), LP__PROGRESS_BYTES);
  report.begun = atomic_load(&progress->begun);
  report.finished = min(atomic_load(&progress->finished), report.begun);
  report.no_memory = atomic_load(&progress->no_memory);
  kept_tasks = min(min(kept_tasks, report.begun), size);
  if (report.finished < kept_tasks)
    report.finished = kept_tasks;
  *kept = kept_tasks > 0 ? copy_kept(progress, size) : NULL;
  if (*kept != NULL) {
    *kept_size = size;
    report.kept_tasks = kept_tasks;
  }
  return report;
}
