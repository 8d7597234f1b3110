/* Where the memory of a host comes from.
 *
 * An embedder may bring an allocator of its own, per host. Mechanism does not
 * know about hosts, so the host says on entry whose call this is, for this
 * thread, and takes it back on the way out; lp__malloc and the like allocate
 * from there, and lp__free gives a block back to where it came from, whichever
 * host is current by then. On threads of our own, and outside of any call,
 * they are malloc.
 *
 * A block must be freed by the thread that is inside a call of the host that it
 * belongs to: embedders hear of their allocator on no other thread. So what two
 * threads share is allocated with plain malloc. */
#ifndef LP_MEMORY_H
#define LP_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lp__memory {
  /* lp_allocate of lambdapool.h; NULL for malloc. */
  void *(*function)(void *data, void *block, size_t old_size, size_t new_size);
  void *data;
  uint64_t used; /* bytes that are allocated now */
  bool failed;   /* it was refused memory; for the owner to put back */

  /* Large blocks that were freed are kept for the next ones, up to so many
   * bytes: from malloc they come as pages that the system must make first, and
   * go again, which takes longer than all that is done with an answer. */
  size_t keeps;
  size_t kept; /* bytes now, of `used` */
  struct lp__spare *spares;
};

/* Makes `memory`, borrowed until it is left, what this thread allocates from;
 * NULL is malloc. Returns what was that before, to be entered again. */
struct lp__memory *lp__memory_enter(struct lp__memory *memory);

/* Resizes a block without the note of where it came from: what its owner makes
 * with `block` NULL, and frees with a `new_size` of 0, saying the size that it
 * has. Counts. NULL when it is freed or memory is short. */
void *lp__memory_resize(struct lp__memory *memory, void *block, size_t old_size,
                        size_t new_size);

/* Gives back what is kept. Before the owner is gone: with `keeps` 0. */
void lp__memory_give_back(struct lp__memory *memory);

/* As malloc, calloc, realloc and strdup; to be freed with lp__free. */
void *lp__malloc(size_t size);
void *lp__calloc(size_t count, size_t size);
void *lp__realloc(void *block, size_t size);
char *lp__strdup(const char *text);

/* The same as lp__realloc, but from malloc when the host has no memory: for
 * libraries that would end the process. */
void *lp__realloc_anyhow(void *block, size_t size);

void lp__free(void *block);

#endif
