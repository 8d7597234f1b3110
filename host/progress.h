/* The progress of a call on a local worker, in memory that the host and the
 * worker share: which task runs, which have ended and with what results. It
 * outlives the worker's process, so that when that dies the host knows what
 * became of each task of the call; and it lets the host take back tasks that
 * have not begun. One page per worker, used by one call after the other.
 *
 * The worker's side belongs to whatever code the tasks run: the host believes
 * nothing that it reads here beyond what it can check (lp__progress_read). */
#ifndef LP__PROGRESS_H
#define LP__PROGRESS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* The page is the child's descriptor of this number, and the environment
 * variable LAMBDAPOOL_PROGRESS says so. */
enum { LP__PROGRESS_FD = 4, LP__PROGRESS_BYTES = 640 * 1024 };

struct lp__progress {
  _Atomic uint64_t began_ns;  /* when task `begun` began, CLOCK_MONOTONIC */
  _Atomic uint64_t no_memory; /* bytes of a C library's allocation that failed
                               * in the current task; 0: none did */
  _Atomic uint32_t begun;    /* the task of the call, from 1, that began last */
  _Atomic uint32_t finished; /* so many have ended, one after the other */
  _Atomic uint32_t limit;    /* no task beyond this one may begin */
  _Atomic uint32_t kept_tasks; /* of so many the records are in `kept`, */
  _Atomic uint32_t kept_bytes; /* which are so many bytes */
  _Atomic uint32_t mapped;     /* the worker keeps this page; while it is 0,
                                * the rest says nothing about it */
  unsigned char kept[LP__PROGRESS_BYTES];
};

/* The host: makes a page, and the descriptor that a worker inherits. NULL when
 * that fails, with errno set. */
struct lp__progress *lp__progress_create(int *fd);

/* The worker: maps the page behind `fd`, before it asks for its first call;
 * NULL when there is none. */
struct lp__progress *lp__progress_open(int fd);

/* Unmaps the page. NULL is fine. */
void lp__progress_close(struct lp__progress *progress);

/* The host, while the worker is idle: nothing has begun, anything may. */
void lp__progress_reset(struct lp__progress *progress);

/* The worker is about to begin task `k`. False when the host has taken it
 * back. Either this or lp__progress_cut sees what the other one stored. */
static inline int lp__progress_begin(struct lp__progress *progress, uint32_t k,
                                     uint64_t now_ns) {
  atomic_store_explicit(&progress->began_ns, now_ns, memory_order_relaxed);
  atomic_store(&progress->begun, k);
  if (k <= atomic_load(&progress->limit))
    return 1;
  atomic_store(&progress->begun, k - 1);
  return 0;
}

/* The host takes back the tasks beyond `n`. Returns the one that began last:
 * tasks beyond both of them will certainly not begin. */
static inline uint32_t lp__progress_cut(struct lp__progress *progress,
                                        uint32_t n) {
  atomic_store(&progress->limit, n);
  return atomic_load(&progress->begun);
}

/* The worker has ended task `k`, whose record is these bytes: keeps it when
 * those of all before are kept and there is room for it. */
void lp__progress_keep(struct lp__progress *progress, uint32_t k,
                       const void *record, uint32_t size);

/* The same for a record that is written in place: where it goes, NULL when it
 * is not kept; and that it stands there. */
static inline unsigned char *lp__progress_room(struct lp__progress *progress,
                                               uint32_t k, size_t size) {
  uint32_t used =
      atomic_load_explicit(&progress->kept_bytes, memory_order_relaxed);
  uint32_t tasks =
      atomic_load_explicit(&progress->kept_tasks, memory_order_relaxed);
  if (tasks + 1 != k || used > LP__PROGRESS_BYTES ||
      size > LP__PROGRESS_BYTES - used)
    return NULL;
  return progress->kept + used;
}

static inline void lp__progress_kept(struct lp__progress *progress, uint32_t k,
                                     size_t size) {
  uint32_t used =
      atomic_load_explicit(&progress->kept_bytes, memory_order_relaxed);
  atomic_store_explicit(&progress->kept_bytes, used + (uint32_t)size,
                        memory_order_release);
  atomic_store_explicit(&progress->kept_tasks, k, memory_order_release);
}

/* The worker has ended task `k`. */
static inline void lp__progress_end(struct lp__progress *progress, uint32_t k) {
  atomic_store_explicit(&progress->finished, k, memory_order_release);
}

/* What became of a call: begun >= finished >= kept_tasks. */
struct lp__progress_report {
  uint32_t begun;    /* the task that began last; the host alone knows how many
                      * tasks there are, so this may be any number */
  uint32_t finished; /* so many have ended; the records of some may be lost */
  uint32_t kept_tasks; /* the records of so many are kept, or of fewer */
  uint64_t no_memory;  /* bytes of the allocation that failed last; 0: none */
};

/* The host: what the page says, made consistent. *kept are the records, which
 * may be any bytes; returned owned (memory.h), NULL when there are none. When
 * memory is short, none are kept. A worker that does not keep its page may have
 * begun anything: task 1 counts as begun. */
struct lp__progress_report
lp__progress_read(const struct lp__progress *progress, char **kept,
                  size_t *kept_size);

#endif
