/* Memory with several owners. See block.h. */
#include "block.h"

#include "memory.h"

#include <stdint.h>

struct lp__block *lp__block_new(size_t size) {
  struct lp__block *block = NULL;
  if (size < SIZE_MAX - sizeof *block)
    block = lp__malloc(sizeof *block + size);
  if (block) {
    block->holds = 1;
    block->size = size;
  }
  return block;
}

struct lp__block *lp__block_hold(struct lp__block *block) {
  block->holds++;
  return block;
}

void lp__block_release(struct lp__block *block) {
  if (block && --block->holds == 0)
    lp__free(block);
}
