/* The memory of a Lua state: whatever is asked for is there, and stays. */
#include "host/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BLOCKS = 500, ROUNDS = 200000, LARGEST = 2000 };

struct block {
  unsigned char *at;
  size_t size;
  unsigned char fill;
};

static void check(const struct block *block) {
  for (size_t i = 0; i < block->size; i++)
    assert_int_equal(block->at[i], block->fill);
}

static uint32_t next_random(uint32_t *seed) {
  *seed = *seed * 1664525 + 1013904223;
  return *seed >> 8;
}

/* Small sizes for the most part, as Lua's are. */
static size_t random_size(uint32_t *seed) {
  return next_random(seed) % (next_random(seed) % 4 ? 100 : LARGEST);
}

static void resize(struct lp__heap *heap, struct block *block, size_t size) {
  size_t kept = block->size < size ? block->size : size;
  block->at = lp__heap_alloc(heap, block->at, block->size, size);
  if (size == 0) {
    assert_null(block->at);
  } else {
    assert_non_null(block->at);
    assert_int_equal((uintptr_t)block->at % 16, 0);
    for (size_t i = 0; i < kept; i++)
      assert_int_equal(block->at[i], block->fill);
    memset(block->at, ++block->fill, size);
  }
  block->size = size;
}

static void test_blocks(void **state) {
  static struct block blocks[BLOCKS];
  struct lp__memory memory = {.function = NULL};
  struct lp__heap *heap = lp__heap_new(&memory);
  uint32_t seed = 1;
  (void)state;
  for (int round = 0; round < ROUNDS; round++) {
    struct block *block = &blocks[next_random(&seed) % BLOCKS];
    resize(heap, block, next_random(&seed) % 3 ? random_size(&seed) : 0);
  }
  for (int i = 0; i < BLOCKS; i++)
    check(&blocks[i]);
  for (int i = 0; i < BLOCKS; i++)
    resize(heap, &blocks[i], 0);
  lp__heap_free(heap);
}

static void test_every_size(void **state) {
  struct lp__memory memory = {.function = NULL};
  struct lp__heap *heap = lp__heap_new(&memory);
  (void)state;
  for (size_t from = 0; from <= 600; from += 7) {
    for (size_t to = 0; to <= 600; to += 5) {
      struct block block = {NULL, 0, 0};
      resize(heap, &block, from);
      resize(heap, &block, to);
      resize(heap, &block, 0);
    }
  }
  lp__heap_free(heap);
  lp__heap_free(NULL);
}

/* With no block `old_size` says what kind of object it is for. */
static void test_kinds(void **state) {
  struct lp__memory memory = {.function = NULL};
  struct lp__heap *heap = lp__heap_new(&memory);
  void *block = lp__heap_alloc(heap, NULL, 8, 24);
  (void)state;
  assert_non_null(block);
  assert_null(lp__heap_alloc(heap, NULL, 5, 0));
  block = lp__heap_alloc(heap, block, 24, 32);
  assert_non_null(block);
  assert_null(lp__heap_alloc(heap, block, 32, 0));
  lp__heap_free(heap);
}

static void *refuse(void *data, void *block, size_t old, size_t new) {
  int *left = data;
  (void)old;
  if (new > 0 && *left == 0)
    return NULL;
  *left -= new > 0;
  if (new > 0)
    return realloc(block, new);
  free(block);
  return NULL;
}

/* A request that is refused and made again is one failure, unless it is served
 * then. */
static void test_failures(void **state) {
  int left = 1;
  struct lp__memory memory = {.function = refuse, .data = &left};
  struct lp__heap *heap = lp__heap_new(&memory);
  void *block;
  (void)state;
  assert_null(lp__heap_alloc(heap, NULL, 4, 5000));
  assert_int_equal(lp__heap_failures(heap), 0);
  left = 1;
  block = lp__heap_alloc(heap, NULL, 4, 5000);
  assert_non_null(block);
  assert_null(lp__heap_alloc(heap, block, 5000, 9000));
  assert_null(lp__heap_alloc(heap, NULL, 4, 5000)); /* another one */
  assert_int_equal(lp__heap_failures(heap), 0);
  assert_null(lp__heap_alloc(heap, NULL, 4, 5000));
  assert_int_equal(lp__heap_failures(heap), 1);
  assert_null(lp__heap_alloc(heap, NULL, 4, 5000));
  assert_int_equal(lp__heap_failures(heap), 1);
  assert_null(lp__heap_alloc(heap, NULL, 4, 5000));
  assert_int_equal(lp__heap_failures(heap), 2);
  lp__heap_alloc(heap, block, 5000, 0);
  lp__heap_free(heap);
  assert_int_equal(memory.used, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_blocks),
      cmocka_unit_test(test_every_size),
      cmocka_unit_test(test_kinds),
      cmocka_unit_test(test_failures),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
