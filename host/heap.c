#include "heap.h"

#include <stdbool.h>
#include <string.h>

/* A sanitizer is to see every block. */
#if defined(__SANITIZE_ADDRESS__)
#define MOST 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define MOST 0
#endif
#endif
#ifndef MOST
#define MOST 512 /* bytes of what comes from the lists */
#endif

enum { STEP = 16, CLASSES = MOST / STEP + 1, PIECE = 65536 };

struct block {
  struct block *next;
};

struct piece {
  struct piece *next;
  size_t padding; /* blocks begin at a multiple of 16 */
  char bytes[PIECE - 2 * sizeof(void *)];
};

/* What Lua has asked for. */
struct request {
  void *block;
  size_t old_size, new_size;
};

struct lp__heap {
  struct lp__memory *memory;
  struct block *free[CLASSES];
  char *at, *end; /* what is left of the last piece */
  struct piece *pieces;
  struct request refused; /* the last one that was refused, and */
  bool pending;           /* has not been made again since */
  uint64_t failures;
};

struct lp__heap *lp__heap_new(struct lp__memory *memory) {
  struct lp__heap *heap = lp__memory_resize(memory, NULL, 0, sizeof *heap);
  if (!heap)
    return NULL;
  memset(heap, 0, sizeof *heap);
  heap->memory = memory;
  return heap;
}

void lp__heap_free(struct lp__heap *heap) {
  if (!heap)
    return;
  while (heap->pieces) {
    struct piece *piece = heap->pieces;
    heap->pieces = piece->next;
    lp__memory_resize(heap->memory, piece, sizeof *piece, 0);
  }
  lp__memory_resize(heap->memory, heap, sizeof *heap, 0);
}

static size_t class_of(size_t size) {
  return (size + STEP - 1) / STEP;
}

/* Cuts a block off the last piece, or off a new one; what is left of the old
 * one is lost when it is too small.  NULL without memory. */
static void *cut(struct lp__heap *heap, size_t class) {
  size_t size = class * STEP;
  if ((size_t)(heap->end - heap->at) < size) {
    struct piece *piece =
        lp__memory_resize(heap->memory, NULL, 0, sizeof *piece);
    if (!piece)
      return NULL;
    piece->next = heap->pieces;
    heap->pieces = piece;
    heap->at = piece->bytes;
    heap->end = piece->bytes + sizeof piece->bytes;
  }
  heap->at += size;
  return heap->at - size;
}

static void *take(struct lp__heap *heap, size_t size) {
  if (size > MOST)
    return lp__memory_resize(heap->memory, NULL, 0, size);
  size_t class = class_of(size);
  struct block *block = heap->free[class];
  if (!block)
    return cut(heap, class);
  heap->free[class] = block->next;
  return block;
}

static void give(struct lp__heap *heap, void *block, size_t size) {
  if (size > MOST) {
    lp__memory_resize(heap->memory, block, size, 0);
    return;
  }
  struct block *freed = block;
  size_t class = class_of(size);
  freed->next = heap->free[class];
  heap->free[class] = freed;
}

static void *resize(struct lp__heap *heap, void *block, size_t old_size,
                    size_t new_size) {
  if (!block)
    return new_size > 0 ? take(heap, new_size) : NULL;
  if (new_size == 0) {
    give(heap, block, old_size);
    return NULL;
  }
  if (old_size > MOST && new_size > MOST)
    return lp__memory_resize(heap->memory, block, old_size, new_size);
  if (old_size <= MOST && class_of(old_size) == class_of(new_size))
    return block;
  void *moved = take(heap, new_size);
  if (moved) {
    memcpy(moved, block, old_size < new_size ? old_size : new_size);
    give(heap, block, old_size);
  }
  return moved;
}

/* Lua asks again when it has collected its garbage. When it is refused once
 * more, it raises an error. */
static void note(struct lp__heap *heap, const struct request *request,
                 bool refused) {
  bool again = heap->pending && heap->refused.block == request->block &&
               heap->refused.old_size == request->old_size &&
               heap->refused.new_size == request->new_size;
  if (again)
    heap->failures += refused;
  heap->pending = again ? false : heap->pending || refused;
  if (refused)
    heap->refused = *request;
}

void *lp__heap_alloc(void *data, void *block, size_t old_size,
                     size_t new_size) {
  struct lp__heap *heap = data;
  void *moved = resize(heap, block, old_size, new_size);
  bool refused = !moved && new_size > 0;
  if (refused || heap->pending) {
    struct request request = {block, old_size, new_size};
    note(heap, &request, refused);
  }
  return moved;
}

uint64_t lp__heap_failures(const struct lp__heap *heap) {
  return heap->failures;
}
