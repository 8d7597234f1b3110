/* Allocations of C libraries that fail.  See allocation.h. */
#include "allocation.h"

#include <stdlib.h>

static _Atomic uint64_t own;
static _Atomic uint64_t *note = &own;

void lp__allocation_note_at(_Atomic uint64_t *place) {
  note = place;
}

void lp__allocation_failed(size_t size) {
  atomic_store_explicit(note, size ? size : 1, memory_order_relaxed);
}

const _Atomic uint64_t *lp__allocation_note(void) {
  return note;
}

void lp__allocation_forget(void) {
  if (atomic_load_explicit(note, memory_order_relaxed) != 0)
    atomic_store_explicit(note, 0, memory_order_relaxed);
}

/* Without malloc.c there is nothing to get around; it defines this, too. */
__attribute__((weak)) void *lp__allocation_realloc(void *block, size_t size) {
  return realloc(block, size);
}
