/* Values on their way to Lua, to a worker, and back. */
#include "host_support.h"

#include <math.h>

static lp_host *host;

static int open_one(void **state) {
  struct lp_config config = test_config();
  (void)state;
  host = open_host(&config);
  return 0;
}

static int close_one(void **state) {
  (void)state;
  return lp_close(host);
}

/* The value after it went through `source`, here or on a worker. */
static const struct lp_value *through(const char *source, struct lp_value value,
                                      int here) {
  struct lp_task task = source_task(source);
  const struct lp_result *result;
  task.args = &value;
  task.count = 1;
  if (here)
    must(host, lp_run(host, &task, &result));
  else
    result = result_of(host, submit(host, &task));
  assert_int_equal(result->kind, LP_DONE);
  assert_int_equal(result->count, 1);
  return result->values;
}

static void same(struct lp_value value) {
  for (int here = 0; here < 2; here++) {
    const struct lp_value *back = through("return (...)", value, here);
    assert_int_equal(back->type, value.type);
    assert_true(back->integer == value.integer);
    assert_memory_equal(&back->number, &value.number, sizeof value.number);
    assert_int_equal(back->size, value.size);
    if (value.size > 0)
      assert_memory_equal(back->bytes, value.bytes, value.size);
    if (back->type >= LP_STRING)
      assert_int_equal(back->bytes[back->size], '\0');
  }
}

static void test_scalars(void **state) {
  (void)state;
  same(lp_nil());
  same(lp_boolean(0));
  same(lp_boolean(1));
  same(lp_integer(INT64_MIN));
  same(lp_integer(INT64_MAX));
  same(lp_number(0.1));
  same(lp_number(-0.0));
  same(lp_number(3));
  same(lp_number(INFINITY));
  same(lp_string("", 0));
  same(lp_string("a\0b\xff", 4));
}

/* Of every length about the one from which on they are lent (lend.c). */
static void test_lengths(void **state) {
  static const size_t sizes[] = {31,   32,    511,   512,    513,
                                 4096, 65535, 65536, 3000000};
  (void)state;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    char *bytes = malloc(sizes[i]);
    for (size_t k = 0; k < sizes[i]; k++)
      bytes[k] = (char)(k * 7 + k / 251);
    same(lp_string(bytes, sizes[i]));
    free(bytes);
  }
}

/* Results that are lent beside others, which stay until the next call. */
static void test_lent(void **state) {
  static const char source[] =
      "local i = ... local text = ('x'):rep(70000)\n"
      "return i, text .. i, { text, i }, i % 2 == 0 and print or nil, text";
  enum { TASKS = 50 };
  struct lp_task task = source_task(source);
  const struct lp_result *result;
  (void)state;
  for (int i = 0; i < TASKS; i++) {
    struct lp_value value = lp_integer(i);
    task.args = &value;
    task.count = 1;
    task.data = (void *)(intptr_t)i;
    submit(host, &task);
  }
  must(host, lp_wait(host, 0, LONG_US));
  while (lp_next(host, &result) == 1) {
    const struct lp_value *values = result->values;
    int i = (int)(intptr_t)result->data;
    char end[20];
    assert_int_equal(result->kind, LP_DONE);
    assert_int_equal(result->count, 5);
    assert_int_equal(values[0].integer, i);
    snprintf(end, sizeof end, "xx%d", i);
    assert_int_equal(values[1].type, LP_STRING);
    assert_string_equal(values[1].bytes + 69998, end);
    snprintf(end, sizeof end, "xx\",%d]", i);
    assert_int_equal(values[2].type, LP_JSON);
    assert_string_equal(values[2].bytes + 70000, end);
    assert_int_equal(values[3].type, i % 2 == 0 ? LP_DUMP : LP_NIL);
    assert_int_equal(values[4].size, 70000);
    assert_int_equal(strlen(values[4].bytes), 70000);
  }
}

static void becomes(const char *json, const char *source, enum lp_type type,
                    const char *bytes) {
  for (int here = 0; here < 2; here++) {
    struct lp_value value = lp_json(json, strlen(json));
    const struct lp_value *back = through(source, value, here);
    assert_int_equal(back->type, type);
    if (bytes != NULL)
      assert_string_equal(back->bytes, bytes);
  }
}

static void test_json(void **state) {
  (void)state;
  becomes("{\"list\":[1,2.5,\"x\",null,true]}", "return (...)", LP_JSON,
          "{\"list\":[1,2.5,\"x\",null,true]}");
  becomes("[]", "return (...)", LP_JSON, "[]");
  becomes("{}", "return (...)", LP_JSON, "{}");
  becomes("null", "return (...) == nil and 'nothing'", LP_STRING, "nothing");
  becomes("12", "return math.type(...)", LP_STRING, "integer");
  becomes("\"text\"", "return (...)", LP_STRING, "text");
}

/* What JSON would change comes as a dump, which is the same table again. */
static void test_dumps(void **state) {
  static const char *const tables[] = {
      "{ 1, 2, x = 3 }",    "{ [5] = 1 }", "{ 1, nil, 3 }",
      "{ 0 / 0 }",          "{ '\\xff' }", "{ [1.5] = true }",
      "{ math.huge }",      "{ print }",   "{ { [2] = 'deep' } }",
      "{ [true] = 'key' }",
  };
  (void)state;
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    char source[80];
    const struct lp_result *result;
    const struct lp_value *back;
    snprintf(source, sizeof source, "return %s", tables[i]);
    result = run(host, source);
    if (result->values->type != LP_DUMP)
      fail_msg("%s is %d", tables[i], result->values->type);
    struct lp_value dump = *result->values;
    char *copy = malloc(dump.size);
    memcpy(copy, dump.bytes, dump.size);
    dump.bytes = copy;
    back = through("return type(...)", dump, 0);
    assert_string_equal(back->bytes, "table");
    back = through("return (...)", dump, 1);
    assert_int_equal(back->type, LP_DUMP);
    free(copy);
  }
}

/* Arguments that make no sense are the caller's mistake, and are named. */
static void refused(struct lp_value value, const char *words) {
  struct lp_value args[] = {lp_nil(), value};
  struct lp_task task = source_task("return 1");
  task.args = args;
  task.count = 2;
  for (int here = 0; here < 2; here++) {
    int status =
        here ? lp_run(host, &task, NULL) : lp_submit(host, &task, NULL);
    assert_int_equal(status, LP_EINVAL);
    if (strstr(lp_error(host), words) == NULL ||
        strstr(lp_error(host), "argument 2") == NULL)
      fail_msg("no '%s' in: %s", words, lp_error(host));
  }
}

static void test_refused(void **state) {
  struct lp_value strange = lp_integer(1);
  (void)state;
  refused(lp_json("{", 1), "JSON");
  refused(lp_json("", 0), "JSON");
  refused(lp_json("[1] 2", 5), "JSON");
  refused(lp_string(NULL, 5), "bytes");
  strange.type = (enum lp_type)99;
  refused(strange, "99");
  strange = lp_string("no dump", 7);
  strange.type = LP_DUMP;
  refused(strange, "cannot load");
}

/* What cannot leave the host is an error of the script. */
static void test_stays(void **state) {
  struct lp_task task = source_task("return 1, coroutine.create(print)");
  (void)state;
  assert_int_equal(lp_run(host, &task, NULL), LP_ELUA);
  assert_non_null(strstr(lp_error(host), "coroutine"));
  assert_int_equal(run(host, "return 1, print")->values[1].type, LP_DUMP);
}

static void test_many(void **state) {
  const struct lp_result *result;
  (void)state;
  result = work(host, "return table.unpack({}, 1, 200)");
  assert_int_equal(result->count, 200);
  assert_int_equal(result->values[199].type, LP_NIL);
  assert_int_equal(work(host, "return")->count, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scalars), cmocka_unit_test(test_lengths),
      cmocka_unit_test(test_lent),    cmocka_unit_test(test_json),
      cmocka_unit_test(test_dumps),   cmocka_unit_test(test_refused),
      cmocka_unit_test(test_stays),   cmocka_unit_test(test_many),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, open_one, close_one);
}
