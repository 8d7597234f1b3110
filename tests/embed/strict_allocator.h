/*
 * An allocator that believes nothing: it remembers how large each block is and
 * whom it belongs to, moves every block that is resized, spoils what is freed
 * or, if it is large, has the process crash that touches it, and fails from a
 * given allocation on.
 */
#ifndef STRICT_ALLOCATOR_H
#define STRICT_ALLOCATOR_H

#include <sys/mman.h>
#include <sys/syscall.h>

#include "guest.h"

enum { ALIVE = 0x1ab5eed, DEAD = 0xdead, NEVER = -1 };

struct strict {
  uint64_t used;  /* bytes */
  uint64_t count; /* blocks */
  uint64_t peak;
  uint64_t calls;
  long left;      /* allocations until there is no memory; NEVER */
  uint64_t limit; /* of `used`; 0: none */
  long thread;    /* that may call now; 0: none may */
};

struct strict_block {
  struct strict *owner;
  size_t size;
  uint64_t state;
  uint64_t spare; /* what follows is aligned as malloc's */
};

/* Large blocks have pages of their own, which stay out of bounds for ever when
 * they are freed: that also shows what code does that no sanitizer sees into.
 * Where AddressSanitizer does it, it does it better. */
static inline size_t strict_pages(size_t size) {
#ifdef __SANITIZE_ADDRESS__
  return size * 0;
#else
  return size < 1024 ? 0 : (size + sizeof(struct strict_block) + 4095) & ~4095u;
#endif
}

static inline struct strict_block *strict_take(size_t size) {
  struct strict_block *block;
  if (strict_pages(size) == 0)
    return malloc(sizeof *block + size);
  block = mmap(NULL, strict_pages(size), PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return block == MAP_FAILED ? NULL : block;
}

static inline void strict_give(struct strict_block *block) {
  size_t pages = strict_pages(block->size);
  if (pages == 0)
    free(block);
  else
    CHECK(mmap(block, pages, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
               0) == block);
}

static inline void *strict_new(struct strict *strict, size_t size) {
  struct strict_block *block;
  if (strict->left == 0)
    return NULL;
  if (strict->limit && strict->used + size > strict->limit)
    return NULL;
  if (strict->left != NEVER)
    strict->left--;
  block = strict_take(size);
  if (block == NULL)
    return NULL;
  memset(block + 1, 0xa5, size);
  block->owner = strict;
  block->size = size;
  block->state = ALIVE;
  strict->used += size;
  strict->count++;
  if (strict->used > strict->peak)
    strict->peak = strict->used;
  return block + 1;
}

static inline void strict_free(struct strict *strict, void *at, size_t size) {
  struct strict_block *block = (struct strict_block *)at - 1;
  CHECK(block->state == ALIVE);
  CHECK(block->owner == strict);
  EQUAL(size, block->size);
  memset(at, 0xdd, size);
  block->state = DEAD;
  strict->used -= size;
  strict->count--;
  strict_give(block);
}

static inline void *strict_resize(struct strict *strict, void *at, size_t old,
                                  size_t size) {
  long left = strict->left;
  uint64_t limit = strict->limit;
  void *new;
  if (size <= old) { /* a smaller size never fails */
    strict->left = NEVER;
    strict->limit = 0;
  }
  new = strict_new(strict, size);
  if (size <= old) {
    strict->left = left;
    strict->limit = limit;
  }
  if (new == NULL)
    return NULL;
  memcpy(new, at, old < size ? old : size);
  strict_free(strict, at, old);
  return new;
}

static inline void *strict_allocate(void *data, void *at, size_t old,
                                    size_t size) {
  struct strict *strict = data;
  CHECK(strict->thread == syscall(SYS_gettid));
  strict->calls++;
  if (at == NULL) {
    EQUAL(old, 0);
    return size ? strict_new(strict, size) : NULL;
  }
  if (size)
    return strict_resize(strict, at, old, size);
  strict_free(strict, at, old);
  return NULL;
}

static inline struct strict strict_init(void) {
  struct strict strict = {0, 0, 0, 0, NEVER, 0, 0};
  return strict;
}

static inline struct lp_config strict_config(struct strict *strict) {
  struct lp_config config = guest_config();
  config.allocate = strict_allocate;
  config.allocate_data = strict;
  return config;
}

/* Around calls of the host: the allocator may be called here only. */
#define IN(strict, call)                                                       \
  do {                                                                         \
    (strict)->thread = syscall(SYS_gettid);                                    \
    call;                                                                      \
    (strict)->thread = 0;                                                      \
  } while (0)

#endif
