/* Where the memory of a host comes from. See memory.h. */
#include "memory.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

/* In front of every block. */
struct header {
  alignas(max_align_t) struct lp__memory *owner; /* NULL: malloc */
  size_t size;                                   /* with this header */
};

static _Thread_local struct lp__memory *current;

struct lp__memory *lp__memory_enter(struct lp__memory *memory) {
  struct lp__memory *previous = current;
  current = memory;
  return previous;
}

static void *from_malloc(void *block, size_t new_size) {
  if (new_size > 0)
    return realloc(block, new_size);
  free(block);
  return NULL;
}

/* --- large blocks -------------------------------------------------------- */

enum { LARGE = 16 << 10 };

/* In a block that is kept. */
struct lp__spare {
  struct lp__spare *next;
  size_t size;
};

/* What a block of that size is allocated with: where they are kept, large ones
 * come in few sizes. */
static size_t size_of(const struct lp__memory *memory, size_t size) {
  if (memory->keeps == 0 || size < LARGE || size > memory->keeps)
    return size;
  return (size + LARGE - 1) / LARGE * LARGE;
}

static void *take_spare(struct lp__memory *memory, size_t size) {
  struct lp__spare **place = &memory->spares, *spare;
  if (size < LARGE)
    return NULL;
  while ((spare = *place) && spare->size != size)
    place = &spare->next;
  if (!spare)
    return NULL;
  *place = spare->next;
  memory->kept -= size;
  return spare;
}

static bool keep_spare(struct lp__memory *memory, void *block, size_t size) {
  struct lp__spare *spare = block;
  if (size < LARGE || memory->kept + size > memory->keeps)
    return false;
  *spare = (struct lp__spare){memory->spares, size};
  memory->spares = spare;
  memory->kept += size;
  return true;
}

static void *call(struct lp__memory *memory, void *block, size_t old_size,
                  size_t new_size) {
  void *moved = memory->function
                    ? memory->function(memory->data, block, old_size, new_size)
                    : from_malloc(block, new_size);
  if (moved || new_size == 0)
    memory->used += new_size - old_size;
  return moved;
}

void lp__memory_give_back(struct lp__memory *memory) {
  while (memory->spares) {
    struct lp__spare *spare = memory->spares;
    memory->spares = spare->next;
    call(memory, spare, spare->size, 0);
  }
  memory->kept = 0;
}

/* --- all blocks ---------------------------------------------------------- */

void *lp__memory_resize(struct lp__memory *memory, void *block, size_t old_size,
                        size_t new_size) {
  size_t before = block ? size_of(memory, old_size) : 0; /* else Lua says there
                                                          * what it is for */
  size_t after = size_of(memory, new_size);
  void *moved;
  if (block && before == after)
    return block;
  if (!block && (moved = take_spare(memory, after)))
    return moved;
  if (block && after == 0 && keep_spare(memory, block, before))
    return NULL;
  moved = call(memory, block, before, after);
  if (!moved && after > 0 && memory->spares) {
    lp__memory_give_back(memory);
    moved = call(memory, block, before, after);
  }
  if (!moved && after > 0)
    memory->failed = true;
  return moved;
}

/* `header` is NULL, or the block to resize. */
static void *resize(struct lp__memory *owner, struct header *header,
                    size_t size) {
  size_t old_size = header ? header->size : 0;
  if (size > SIZE_MAX - sizeof *header)
    return NULL;
  size += sizeof *header;
  header = owner ? lp__memory_resize(owner, header, old_size, size)
                 : realloc(header, size);
  if (!header)
    return NULL;
  header->owner = owner;
  header->size = size;
  return header + 1;
}

void *lp__malloc(size_t size) {
  return resize(current, NULL, size);
}

void *lp__calloc(size_t count, size_t size) {
  size_t all;
  if (__builtin_mul_overflow(count, size, &all))
    return NULL;
  void *block = lp__malloc(all);
  if (block)
    memset(block, 0, all);
  return block;
}

void *lp__realloc(void *block, size_t size) {
  struct header *header = block ? (struct header *)block - 1 : NULL;
  return resize(header ? header->owner : current, header, size);
}

void *lp__realloc_anyhow(void *block, size_t size) {
  struct header *header = block ? (struct header *)block - 1 : NULL;
  void *moved = lp__realloc(block, size);
  if (moved)
    return moved;
  moved = resize(NULL, NULL, size);
  if (moved && header) {
    size_t old_size = header->size - sizeof *header;
    memcpy(moved, block, old_size < size ? old_size : size);
    lp__free(block);
  }
  return moved;
}

char *lp__strdup(const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = lp__malloc(size);
  return copy ? memcpy(copy, text, size) : NULL;
}

void lp__free(void *block) {
  if (!block)
    return;
  struct header *header = (struct header *)block - 1;
  if (header->owner)
    lp__memory_resize(header->owner, header, header->size, 0);
  else
    free(header);
}
