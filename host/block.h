/* Memory with several owners: what has arrived in one piece, and is handed out
 * in parts without being copied. One thread at a time. */
#ifndef LP_BLOCK_H
#define LP_BLOCK_H

#include <stddef.h>

struct lp__block {
  unsigned holds;
  size_t size; /* of `bytes` */
  char bytes[];
};

/* Makes a block (memory.h) that is held once; NULL when memory is short. */
struct lp__block *lp__block_new(size_t size);

/* Holds it once more. Returns it. */
struct lp__block *lp__block_hold(struct lp__block *block);

/* Gives a hold back; the last one frees it. NULL is fine. */
void lp__block_release(struct lp__block *block);

#endif
