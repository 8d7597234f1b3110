/* Memory for a Lua state: an allocator for lua_newstate.
 *
 * Lua makes and frees small blocks all the time and says how large each was,
 * so they can be had without the search and the headers of malloc: blocks up to
 * 512 bytes come from lists of free ones, one for every 16 bytes of size, and
 * the lists are filled from large pieces. A piece is given back with the heap;
 * blocks of one size are not used for another. Pieces, and larger blocks, come
 * from the memory of the host. */
#ifndef LP__HEAP_H
#define LP__HEAP_H

#include "memory.h"

struct lp__heap;

/* Borrows `memory` until lp__heap_free. NULL without memory. */
struct lp__heap *lp__heap_new(struct lp__memory *memory);

/* After lua_close. NULL is fine. */
void lp__heap_free(struct lp__heap *heap);

/* A lua_Alloc; `heap` is the heap. */
void *lp__heap_alloc(void *heap, void *block, size_t old_size, size_t new_size);

/* How often Lua has raised "not enough memory", about: how often the same
 * request was refused twice in a row. */
uint64_t lp__heap_failures(const struct lp__heap *heap);

#endif
