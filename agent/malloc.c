/*
 * malloc and its kin for the whole process: the C library's own, with a note of
 * what fails (allocation.h). Only `bootstrap` links this file. A sanitizer has
 * a malloc of its own, and then this file is empty.
 *
 * The C library calls these, too, for what it allocates itself; its free takes
 * what they return.
 */
#include "allocation.h"

#include <errno.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) ||     \
    __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED

/* For everybody, unlike the rest of the program. */
#pragma GCC visibility push(default)

/* What glibc keeps under these names since its beginnings, for this purpose. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
  void *block = __libc_malloc(size);
  if (block == NULL)
    lp__allocation_failed(size);
  return block;
}

void *calloc(size_t count, size_t size) {
  void *block = __libc_calloc(count, size);
  size_t all;
  if (block == NULL)
    lp__allocation_failed(__builtin_mul_overflow(count, size, &all) ? SIZE_MAX
                                                                    : all);
  return block;
}

void *realloc(void *block, size_t size) {
  void *moved = __libc_realloc(block, size);
  if (moved == NULL && size > 0) /* 0 frees the block */
    lp__allocation_failed(size);
  return moved;
}

void *memalign(size_t alignment, size_t size) {
  void *block = __libc_memalign(alignment, size);
  if (block == NULL)
    lp__allocation_failed(size);
  return block;
}

void *aligned_alloc(size_t alignment, size_t size) {
  return memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
  int before = errno;
  void *made;
  if (alignment % sizeof(void *) != 0 || alignment == 0 ||
      (alignment & (alignment - 1)) != 0)
    return EINVAL;
  made = memalign(alignment, size);
  errno = before;
  if (made == NULL)
    return ENOMEM;
  *block = made;
  return 0;
}

#pragma GCC visibility pop

void *lp__allocation_realloc(void *block, size_t size) {
  return __libc_realloc(block, size);
}

#endif
