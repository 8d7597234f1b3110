/* Where memory comes from: the allocator of the host that is current when it is
 * asked for, to the byte, and the same one when it is given back. */
#include "host/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>

/* An allocator that checks what it is told. */
struct host {
  struct lp__memory memory;
  size_t used;
  int calls;
  bool refuses;
};

enum { FENCE = 16 };

/* Keeps the size in front of the block, to hold it against what is said. */
static void *allocate(void *data, void *block, size_t old_size,
                      size_t new_size) {
  struct host *host = data;
  char *at = block ? (char *)block - FENCE : NULL;
  host->calls++;
  if (at)
    assert_memory_equal(at, &old_size, sizeof old_size);
  else
    assert_int_equal(old_size, 0);
  if (host->refuses && new_size > old_size)
    return NULL;
  host->used += new_size - old_size;
  if (new_size == 0) {
    free(at);
    return NULL;
  }
  at = realloc(at, new_size + FENCE);
  memcpy(at, &new_size, sizeof new_size);
  return at + FENCE;
}

static void open_host(struct host *host) {
  memset(host, 0, sizeof *host);
  host->memory.function = allocate;
  host->memory.data = host;
}

static void comes_from_the_current_one(void **state) {
  (void)state;
  struct host a, b;
  open_host(&a);
  open_host(&b);
  assert_null(lp__memory_enter(&a.memory));
  char *first = lp__malloc(100);
  assert_ptr_equal(lp__memory_enter(&b.memory), &a.memory);
  char *second = lp__malloc(50);
  assert_ptr_equal(lp__memory_enter(NULL), &b.memory);
  assert_true(a.used >= 100 && a.used == a.memory.used);
  assert_true(b.used >= 50 && b.used == b.memory.used);
  memset(first, 1, 100);
  memset(second, 2, 50);
  lp__free(first);
  lp__free(second);
  assert_int_equal(a.used, 0);
  assert_int_equal(a.memory.used, 0);
  assert_int_equal(b.used, 0);
}

static void a_resized_block_stays_where_it_was(void **state) {
  (void)state;
  struct host a, b;
  open_host(&a);
  open_host(&b);
  lp__memory_enter(&a.memory);
  char *block = lp__realloc(NULL, 3);
  memcpy(block, "abc", 3);
  lp__memory_enter(&b.memory);
  block = lp__realloc(block, 100000);
  assert_memory_equal(block, "abc", 3);
  assert_int_equal(b.calls, 0);
  assert_true(a.used >= 100000);
  block = lp__realloc(block, 1);
  assert_int_equal(*block, 'a');
  assert_true(a.used < 100);
  lp__memory_enter(NULL);
  lp__free(block);
  assert_int_equal(a.used, 0);
}

static void is_malloc_when_there_is_none(void **state) {
  (void)state;
  char *block = lp__malloc(10);
  struct host host;
  open_host(&host);
  lp__memory_enter(&host.memory);
  block = lp__realloc(block, 20);
  lp__free(block);
  lp__memory_enter(NULL);
  assert_int_equal(host.calls, 0);
}

static void counts_without_an_allocator_too(void **state) {
  (void)state;
  struct lp__memory memory = {.function = NULL};
  lp__memory_enter(&memory);
  void *block = lp__calloc(10, 10);
  assert_true(memory.used >= 100);
  void *bare = lp__memory_resize(&memory, NULL, 5, 7);
  bare = lp__memory_resize(&memory, bare, 7, 1000);
  assert_true(memory.used >= 1100 && memory.used < 1150);
  assert_null(lp__memory_resize(&memory, bare, 1000, 0));
  lp__free(block);
  lp__memory_enter(NULL);
  assert_int_equal(memory.used, 0);
}

/* Their sizes are few: one that is a bit larger fits, too. */
static void keeps_large_blocks(void **state) {
  (void)state;
  struct host host;
  open_host(&host);
  host.memory.keeps = 1 << 20;
  void *first = lp__memory_resize(&host.memory, NULL, 0, 66000);
  assert_null(lp__memory_resize(&host.memory, first, 66000, 0));
  int calls = host.calls;
  void *second = lp__memory_resize(&host.memory, NULL, 0, 67000);
  assert_ptr_equal(first, second);
  assert_ptr_equal(lp__memory_resize(&host.memory, second, 67000, 65600),
                   second);
  assert_int_equal(host.calls, calls);
  assert_int_equal(host.memory.used, host.used);
  second = lp__memory_resize(&host.memory, second, 65600, 100);
  assert_int_equal(host.used, 100);
  lp__memory_resize(&host.memory, second, 100, 0);
  assert_int_equal(host.used, 0);
}

static void keeps_no_more_than_it_may(void **state) {
  (void)state;
  void *blocks[10];
  struct host host;
  open_host(&host);
  host.memory.keeps = 1 << 20;
  for (int i = 0; i < 10; i++)
    blocks[i] = lp__memory_resize(&host.memory, NULL, 0, 200000);
  for (int i = 0; i < 10; i++)
    lp__memory_resize(&host.memory, blocks[i], 200000, 0);
  assert_true(host.used > 0 && host.used <= 1 << 20);
  assert_int_equal(host.memory.kept, host.used);
  lp__memory_give_back(&host.memory);
  assert_int_equal(host.used, 0);
  assert_int_equal(host.memory.used, 0);
  void *block = lp__memory_resize(&host.memory, NULL, 0, 2 << 20);
  lp__memory_resize(&host.memory, block, 2 << 20, 0);
  assert_int_equal(host.used, 0);
}

static void gives_back_what_it_keeps_when_memory_is_short(void **state) {
  (void)state;
  struct host host;
  open_host(&host);
  host.memory.keeps = 1 << 20;
  void *block = lp__memory_resize(&host.memory, NULL, 0, 100000);
  lp__memory_resize(&host.memory, block, 100000, 0);
  assert_true(host.used > 0);
  host.refuses = true;
  assert_null(lp__memory_resize(&host.memory, NULL, 0, 10));
  assert_true(host.memory.failed);
  assert_int_equal(host.used, 0);
}

static void is_zero_aligned_and_copied(void **state) {
  (void)state;
  struct host host;
  open_host(&host);
  lp__memory_enter(&host.memory);
  unsigned char *zeroes = lp__calloc(3, 11);
  for (int i = 0; i < 33; i++)
    assert_int_equal(zeroes[i], 0);
  assert_int_equal((uintptr_t)zeroes % _Alignof(max_align_t), 0);
  char *text = lp__strdup("some text");
  assert_string_equal(text, "some text");
  lp__free(text);
  lp__free(zeroes);
  lp__free(NULL);
  lp__memory_enter(NULL);
  assert_int_equal(host.used, 0);
}

static void tells_when_it_is_refused(void **state) {
  (void)state;
  struct host host;
  open_host(&host);
  lp__memory_enter(&host.memory);
  char *block = lp__malloc(1);
  *block = 'x';
  host.refuses = true;
  assert_null(lp__malloc(1));
  assert_null(lp__calloc(1, 1));
  assert_null(lp__strdup(""));
  assert_null(lp__realloc(block, 100));
  assert_true(host.memory.failed);
  assert_int_equal(*block, 'x');
  lp__free(block);
  lp__memory_enter(NULL);
  assert_int_equal(host.used, 0);
}

/* volatile: compilers warn of sizes that cannot be. */
static void refuses_what_cannot_be(void **state) {
  (void)state;
  volatile size_t most = SIZE_MAX;
  assert_null(lp__malloc(most));
  assert_null(lp__malloc(most - 15));
  assert_null(lp__calloc(most / 2, 3));
  char *block = lp__malloc(4);
  assert_null(lp__realloc(block, most - 3));
  lp__free(block);
}

static void *allocate_elsewhere(void *data) {
  struct host *host = data;
  int calls = host->calls;
  void *block = lp__malloc(10);
  assert_non_null(block);
  lp__free(block);
  assert_int_equal(host->calls, calls);
  return NULL;
}

static void other_threads_have_malloc(void **state) {
  (void)state;
  struct host host;
  pthread_t thread;
  open_host(&host);
  lp__memory_enter(&host.memory);
  assert_int_equal(pthread_create(&thread, NULL, allocate_elsewhere, &host), 0);
  pthread_join(thread, NULL);
  assert_ptr_equal(lp__memory_enter(NULL), &host.memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(comes_from_the_current_one),
      cmocka_unit_test(a_resized_block_stays_where_it_was),
      cmocka_unit_test(is_malloc_when_there_is_none),
      cmocka_unit_test(counts_without_an_allocator_too),
      cmocka_unit_test(keeps_large_blocks),
      cmocka_unit_test(keeps_no_more_than_it_may),
      cmocka_unit_test(gives_back_what_it_keeps_when_memory_is_short),
      cmocka_unit_test(is_zero_aligned_and_copied),
      cmocka_unit_test(tells_when_it_is_refused),
      cmocka_unit_test(refuses_what_cannot_be),
      cmocka_unit_test(other_threads_have_malloc),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
