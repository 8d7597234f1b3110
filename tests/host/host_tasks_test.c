/* The tasks of a host: ids, and the order of ends. */
#include "host_support.h"

#include "host/host_tasks.h"
#include "host/memory.h"

static void on_end(lp_host *host, const struct lp_result *result, void *data) {
  (void)host, (void)result, (void)data;
}

static lp_id add(struct lp__tasks *tasks, lp__on_end callback, void *data) {
  lp_id id = 0;
  assert_int_equal(lp__tasks_add(tasks, callback, data, &id), LP_OK);
  return id;
}

static void end(struct lp__tasks *tasks, lp_id id, enum lp_kind kind) {
  struct lp__task *task = lp__tasks_find(tasks, id);
  assert_non_null(task);
  task->ended.result.kind = kind;
  lp__tasks_end(tasks, task);
}

/* An id is that of one task for ever. */
static void test_ids(void **state) {
  enum { TURNS = 1000 };
  static lp_id seen[TURNS];
  struct lp__tasks tasks = {0};
  struct lp__ended ended;
  lp__on_end callback;
  (void)state;
  for (int i = 0; i < TURNS; i++) {
    seen[i] = add(&tasks, NULL, NULL);
    for (int k = 0; k < i; k++) {
      assert_true(seen[k] != seen[i]);
      assert_null(lp__tasks_find(&tasks, seen[k]));
    }
    end(&tasks, seen[i], LP_DONE);
    assert_true(lp__tasks_take(&tasks, false, &ended, &callback));
    assert_true(ended.result.task == seen[i]);
  }
  assert_int_equal(tasks.count, 1); /* one place was enough */
  lp__tasks_free(&tasks);
}

static void test_strange_ids(void **state) {
  static const lp_id ids[] = {0,          1,          2,
                              1ULL << 24, 1ULL << 63, UINT64_MAX,
                              0xffffff,   0x1ffffff,  0xffffffff};
  struct lp__tasks tasks = {0};
  lp_id id = add(&tasks, NULL, NULL);
  (void)state;
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
    assert_null(lp__tasks_find(&tasks, ids[i]));
  assert_null(lp__tasks_find(&tasks, id + 1));
  assert_null(lp__tasks_find(&tasks, id + (1 << 24)));
  assert_null(lp__tasks_find(&tasks, id - (1 << 24)));
  assert_non_null(lp__tasks_find(&tasks, id));
  lp__tasks_free(&tasks);
}

/* A place that has been used as often as can be told is not used any more. */
static void test_last_use(void **state) {
  struct lp__tasks tasks = {0};
  struct lp__ended ended;
  lp__on_end callback;
  lp_id id = add(&tasks, NULL, NULL), last = UINT64_MAX - 0xffffff + 1;
  (void)state;
  lp__tasks_find(&tasks, id)->id = last;
  end(&tasks, last, LP_DONE);
  assert_true(lp__tasks_take(&tasks, false, &ended, &callback));
  id = add(&tasks, NULL, NULL);
  assert_int_equal(id & 0xffffff, 2);
  lp__tasks_free(&tasks);
}

static void test_order(void **state) {
  struct lp__tasks tasks = {0};
  struct lp__ended ended;
  lp__on_end callback;
  lp_id ids[6];
  int data[6];
  (void)state;
  for (int i = 0; i < 6; i++)
    ids[i] = add(&tasks, i % 2 ? on_end : NULL, &data[i]);
  for (int i = 5; i >= 0; i--)
    end(&tasks, ids[i], LP_DONE);
  for (int i = 4; i >= 0; i -= 2) {
    assert_true(lp__tasks_take(&tasks, false, &ended, &callback));
    assert_true(ended.result.task == ids[i]);
    assert_null(callback);
    assert_true(lp__tasks_take(&tasks, true, &ended, &callback));
    assert_ptr_equal(ended.result.data, &data[i + 1]);
    assert_true(callback == on_end);
  }
  assert_false(lp__tasks_take(&tasks, false, &ended, &callback));
  assert_false(lp__tasks_take(&tasks, true, &ended, &callback));
  lp__tasks_free(&tasks);
}

static void test_counts(void **state) {
  struct lp__tasks tasks = {0};
  lp_id ids[5];
  (void)state;
  for (int i = 0; i < 5; i++)
    ids[i] = add(&tasks, NULL, NULL);
  lp__tasks_drop(&tasks, ids[4]);
  end(&tasks, ids[0], LP_DONE);
  end(&tasks, ids[1], LP_CANCELLED);
  lp__tasks_drop(&tasks, ids[1]); /* too late */
  assert_non_null(lp__tasks_find(&tasks, ids[1]));
  lp__tasks_end_all(&tasks, LP_LOST, "why");
  assert_string_equal(lp__tasks_find(&tasks, ids[3])->ended.result.message,
                      "why");
  assert_int_equal(tasks.tasks, 4);
  assert_int_equal(tasks.open, 0);
  assert_int_equal(tasks.done, 1);
  assert_int_equal(tasks.cancelled, 1);
  assert_int_equal(tasks.failed, 2);
  lp__tasks_free(&tasks);
}

/* Gives the result of a task a value that lies in the block. */
static void lend(struct lp__ended *ended, struct lp__block *block) {
  size_t size = sizeof *ended->values + sizeof *ended->blocks;
  ended->values = lp__calloc(1, size);
  ended->blocks = (struct lp__block **)(void *)(ended->values + 1);
  ended->blocks[0] = lp__block_hold(block);
  ended->count = 1;
  ended->copy = lp__strdup("message");
  ended->result.values = ended->values;
  ended->result.count = 1;
}

/* What results hold is given back by whoever takes them, or with the rest. */
static void test_held(void **state) {
  struct lp__memory memory = {0};
  struct lp__tasks tasks = {0};
  struct lp__block *block;
  struct lp__ended ended;
  lp__on_end callback;
  (void)state;
  lp__memory_enter(&memory);
  block = lp__block_new(10);
  for (int i = 0; i < 3; i++) {
    lp_id id = add(&tasks, i == 1 ? on_end : NULL, NULL);
    lend(&lp__tasks_find(&tasks, id)->ended, block);
    end(&tasks, id, LP_DONE);
  }
  assert_true(lp__tasks_take(&tasks, false, &ended, &callback));
  lp__ended_free(&ended);
  lp__ended_free(&ended);
  assert_null(ended.result.values);
  assert_int_equal(ended.result.count, 0);
  assert_int_equal(block->holds, 3);
  lp__tasks_free(&tasks);
  assert_int_equal(block->holds, 1);
  lp__block_release(block);
  assert_int_equal(memory.used, 0);
  lp__memory_enter(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ids),      cmocka_unit_test(test_strange_ids),
      cmocka_unit_test(test_last_use), cmocka_unit_test(test_order),
      cmocka_unit_test(test_counts),   cmocka_unit_test(test_held),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
