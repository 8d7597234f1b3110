/*
 * Values there and back: each type, bytes of any kind, JSON and dumps that
 * make sense, and those that do not.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <math.h>
#include <sys/mman.h>

static lp_host *host;

/* What a worker makes of the value: its results, or NULL when it could not be
 * sent. */
static const struct lp_result *through(const char *source,
                                       struct lp_value value) {
  struct lp_task task = guest_task(source);
  lp_id id;
  int code;
  task.args = &value;
  task.count = 1;
  code = lp_submit(host, &task, &id);
  if (code == LP_OK)
    return guest_result(host, id);
  CHECK(code == LP_ELUA || code == LP_EINVAL);
  CHECK(lp_error(host)[0] != 0);
  return NULL;
}

/* The same in the host's own state. */
static const struct lp_result *here(const char *source, struct lp_value value) {
  struct lp_task task = guest_task(source);
  const struct lp_result *result = NULL;
  int code;
  task.args = &value;
  task.count = 1;
  code = lp_run(host, &task, &result);
  return code == LP_OK ? result : NULL;
}

static int same(const struct lp_value *a, const struct lp_value *b) {
  if (a->type != b->type)
    return 0;
  switch (a->type) {
  case LP_NIL:
    return 1;
  case LP_BOOLEAN:
  case LP_INTEGER:
    return a->integer == b->integer;
  case LP_NUMBER:
    return !memcmp(&a->number, &b->number, sizeof a->number) ||
           (isnan(a->number) && isnan(b->number));
  default:
    return a->size == b->size && a->bytes[a->size] == 0 &&
           (a->size == 0 || !memcmp(a->bytes, b->bytes, a->size));
  }
}

static void comes_back(struct lp_value value) {
  const struct lp_result *result = through("return ...", value);
  CHECK(result != NULL);
  KIND(result, LP_DONE);
  EQUAL(result->count, 1);
  CHECK(same(&result->values[0], &value));
  result = here("return ...", value);
  CHECK(result && result->count == 1 && same(&result->values[0], &value));
}

static void plain_values(void) {
  static char every[65536];
  size_t i;
  for (i = 0; i < sizeof every; i++)
    every[i] = (char)(i ^ i >> 8);
  host = guest_open();
  comes_back(lp_nil());
  comes_back(lp_boolean(0));
  comes_back(lp_boolean(1));
  comes_back(lp_integer(0));
  comes_back(lp_integer(-1));
  comes_back(lp_integer(INT64_MAX));
  comes_back(lp_integer(INT64_MIN));
  comes_back(lp_integer((INT64_C(1) << 53) + 1));
  comes_back(lp_number(0.1));
  comes_back(lp_number(1));
  comes_back(lp_number(-0.0));
  comes_back(lp_number(HUGE_VAL));
  comes_back(lp_number(-HUGE_VAL));
  comes_back(lp_number(NAN));
  comes_back(lp_number(5e-324));
  comes_back(lp_number(1.7976931348623157e308));
  comes_back(lp_string("", 0));
  comes_back(lp_string(NULL, 0));
  comes_back(lp_string("\0", 1));
  comes_back(lp_string("a\0b\xff\xfe", 5));
  comes_back(lp_string("{\"no\": \"json\"}", 14));
  comes_back(lp_string(every, sizeof every));
  lp_close(host);
}

static void many_of_them(void) {
  enum { MANY = 200 };
  struct lp_value values[MANY];
  struct lp_task task = guest_task("return ...");
  const struct lp_result *result;
  int i;
  for (i = 0; i < MANY; i++)
    values[i] = i % 3 ? lp_integer(i) : lp_nil();
  host = guest_open();
  task.args = values;
  task.count = MANY;
  result = guest_result(host, guest_submit_with(host, &task));
  KIND(result, LP_DONE);
  EQUAL(result->count, MANY);
  for (i = 0; i < MANY; i++)
    CHECK(same(&result->values[i], &values[i]));
  KIND(guest_end_of(host, "return"), LP_DONE);
  EQUAL(guest_end_of(host, "return nil, nil")->count, 2);
  EQUAL(guest_end_of(host, "return table.unpack({}, 1, 10000)")->count, 10000);
  task.count = 0;
  task.args = NULL;
  EQUAL(guest_result(host, guest_submit_with(host, &task))->count, 0);
  lp_close(host);
}

static void huge_numbers_of_arguments(void) {
  int count = 2000000, i, code;
  struct lp_value *values = malloc((size_t)count * sizeof *values);
  struct lp_task task = guest_task("return select('#', ...)");
  lp_id id;
  for (i = 0; i < count; i++)
    values[i] = lp_nil();
  host = guest_open();
  task.args = values;
  for (task.count = 10; task.count < count; task.count *= 7) {
    code = lp_submit(host, &task, &id);
    if (code == LP_OK) {
      const struct lp_result *result = guest_result(host, id);
      CHECK(result->kind != LP_DONE || result->values[0].integer == task.count);
    } else
      CHECK(code == LP_ELUA || code == LP_EINVAL);
    code = lp_run(host, &task, NULL);
    CHECK(code == LP_OK || code == LP_ELUA || code == LP_EINVAL);
  }
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  free(values);
  lp_close(host);
}

/* JSON in, JSON out. */
static void json_is(const char *text, const char *wanted) {
  const struct lp_result *result =
      through("return ...", lp_json(text, strlen(text)));
  if (result == NULL)
    FAIL("'%s' could not be sent: %s", text, lp_error(host));
  KIND(result, LP_DONE);
  EQUAL(result->count, 1);
  if (result->values[0].type != LP_JSON)
    FAIL("'%s' comes back as type %d", text, (int)result->values[0].type);
  if (wanted && strcmp(result->values[0].bytes, wanted) != 0)
    FAIL("'%s' comes back as '%s'", text, result->values[0].bytes);
  EQUAL(strlen(result->values[0].bytes), result->values[0].size);
}

static void json_scalar(const char *text, struct lp_value wanted) {
  const struct lp_result *result =
      through("return ...", lp_json(text, strlen(text)));
  CHECK(result != NULL);
  KIND(result, LP_DONE);
  if (!same(&result->values[0], &wanted))
    FAIL("'%s' comes back as another value, of type %d", text,
         (int)result->values[0].type);
}

static void json_that_makes_sense(void) {
  host = guest_open();
  json_is("[1,2,3]", "[1,2,3]");
  json_is("[1.5,-2,9007199254740993]", "[1.5,-2,9007199254740993]");
  json_is("[9223372036854775807,-9223372036854775808]",
          "[9223372036854775807,-9223372036854775808]");
  json_is("[[],{}]", NULL);
  json_is("{\"a\":{\"b\":[true,false]}}", "{\"a\":{\"b\":[true,false]}}");
  json_is("[\"\\u0000\\ud83d\\ude00\\u00e9/\"]", NULL);
  json_is(" [ 1 , null , 2 ] \n", "[1,null,2]");
  json_is("{\"\":1}", "{\"\":1}");
  json_is("[1e300,0.1]", NULL);
  json_scalar("null", lp_nil());
  json_scalar("true", lp_boolean(1));
  json_scalar("17", lp_integer(17));
  json_scalar("1.5", lp_number(1.5));
  json_scalar("\"a\\u0000b\"", lp_string("a\0b", 3));
  json_scalar(" 3 ", lp_integer(3));
  lp_close(host);
}

static void json_that_makes_none(void) {
  static const char *const texts[] = {"",
                                      "{",
                                      "[1,",
                                      "[1 2]",
                                      "{\"a\"}",
                                      "{a:1}",
                                      "nul",
                                      "\"",
                                      "[1]]",
                                      "01",
                                      "+1",
                                      "1 2",
                                      "'a'",
                                      "[,]",
                                      "[1,]",
                                      "NaN",
                                      "Infinity",
                                      "\"\\x\"",
                                      "// x",
                                      "{1:2}",
                                      "\xff",

                                      "\xef\xbb\xbf[]",
                                      "[\"\n\"]",
                                      "-",
                                      "1e",
                                      "0x10",
                                      "[1]\1",
                                      "undefined"};
  size_t i;
  host = guest_open();
  for (i = 0; i < COUNT(texts); i++) {
    struct lp_value value = lp_json(texts[i], strlen(texts[i]));
    const struct lp_result *result = through("return 1", value);
    if (result)
      FAIL("'%s' is taken for JSON", texts[i]);
    CHECK(here("return 1", value) == NULL);
  }
  CHECK(through("return 1", lp_json("[1]\0", 4)) == NULL);
  EQUAL(lp_wait(host, 0, 0), LP_OK);
  lp_close(host);
}

static void json_that_is_deep(void) {
  size_t depth = 1;
  host = guest_open();
  for (; depth <= 1000000; depth *= 10) {
    char *text = malloc(2 * depth + 1);
    const struct lp_result *result;
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    text[2 * depth] = 0;
    result = through("return 1", lp_json(text, 2 * depth));
    CHECK(result != NULL || depth > 100);
    result = through("return 1", lp_json(text, depth));
    CHECK(result == NULL);
    free(text);
  }
  KIND(guest_end_of(host, "local t = {} for i = 1, 1e5 do t = {t} end "
                          "return t"),
       LP_DONE);
  lp_close(host);
}

/* Tables that JSON cannot say come as dumps, and go back as what they were. */
static void dumped(const char *source, const char *check) {
  const struct lp_result *result = guest_end_of(host, source);
  struct lp_value value;
  char *bytes;
  KIND(result, LP_DONE);
  EQUAL(result->count, 1);
  if (result->values[0].type != LP_DUMP)
    FAIL("'%s' gives type %d: %s", source, (int)result->values[0].type,
         result->values[0].bytes);
  value = result->values[0];
  bytes = malloc(value.size);
  memcpy(bytes, value.bytes, value.size);
  value.bytes = bytes;
  result = through(check, value);
  CHECK(result != NULL);
  KIND(result, LP_DONE);
  if (result->count != 1 || result->values[0].integer != 1)
    FAIL("'%s' does not come back: %s", source, check);
  result = here(check, value);
  CHECK(result && result->values[0].integer == 1);
  free(bytes);
}

static void tables_that_json_cannot_say(void) {
  host = guest_open();
  dumped("local t = {} t.t = t return t",
         "local t = ... return t.t == t and 1 or 0");
  dumped("return {[true] = 1}", "local t = ... return t[true]");
  dumped("return {1, 2, x = 3}",
         "local t = ... return t[2] == 2 and t.x == 3 and 1");
  dumped("return {[1.5] = 2}", "local t = ... return t[1.5] == 2 and 1");
  dumped("return {0 / 0}", "local t = ... return t[1] ~= t[1] and 1");
  dumped("return {1 / 0}", "local t = ... return t[1] == math.huge and 1");
  dumped("return {'\\xff'}", "local t = ... return t[1] == '\\xff' and 1");
  dumped("return {['\\xff'] = 1}", "local t = ... return t['\\xff']");
  dumped("return {function() return 1 end}", "local t = ... return t[1]()");
  dumped("return {[{}] = 1}", "local t = ... return select(2, next(t))");
  dumped("return function() return 1 end", "local f = ... return f()");
  dumped("return {[2^53] = 1}", "local t = ... return t[2^53]");
  lp_close(host);
}

static void results_that_cannot_travel(void) {
  const struct lp_result *result;
  host = guest_open();
  result = guest_end_of(host, "return coroutine.create(print)");
  KIND(result, LP_ERROR);
  CHECK(result->message[0] != 0);
  KIND(guest_end_of(host, "return io.tmpfile()"), LP_ERROR);
  KIND(guest_end_of(host, "return {1, {coroutine.create(print)}}"), LP_ERROR);
  lp_close(host);
}

/* Damaged dumps: an error or another value, nothing else. */
static void dumps_that_are_damaged(void) {
  const struct lp_result *result;
  char bytes[4096];
  uint32_t seed = 7;
  size_t size;
  int i;
  host = guest_open();
  result = guest_end_of(host, "local t = {function(x) return x end, 1.5, 'a'} "
                              "t[true] = t return t");
  KIND(result, LP_DONE);
  EQUAL(result->values[0].type, LP_DUMP);
  size = result->values[0].size;
  CHECK(size < sizeof bytes);
  memcpy(bytes, result->values[0].bytes, size);
  for (i = 0; i < 1500; i++) {
    char damaged[4096];
    size_t length = size, k;
    memcpy(damaged, bytes, size);
    for (k = 0; k <= (seed >> 8) % 4; k++) {
      seed = seed * 1664525 + 1013904223;
      damaged[(seed >> 8) % size] ^= (char)(1 << (seed >> 28) % 8);
    }
    if (i % 5 == 0)
      length = (seed >> 8) % size;
    here("return ...", lp_json(damaged, length));
    result =
        here("return ...", (struct lp_value){LP_DUMP, 0, 0, damaged, length});
    CHECK(result == NULL || result->kind == LP_DONE);
    if (i % 20 == 0)
      through("return ...", (struct lp_value){LP_DUMP, 0, 0, damaged, length});
  }
  for (i = 0; i < 500; i++) {
    for (size = 0; size < 64; size++)
      bytes[size] = (char)((seed = seed * 1664525 + 1013904223) >> 24);
    CHECK(!here("return ...",
                (struct lp_value){LP_DUMP, 0, 0, bytes, (size_t)i % 64}));
  }
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  lp_close(host);
}

/* A result is lent until the next one: whatever else is called meanwhile. */
static void results_stay(void) {
  struct lp_task task = guest_task("return ...");
  struct lp_value value = lp_json("[1,[2]]", 7);
  const struct lp_result *result;
  struct lp_stats stats;
  int i;
  host = guest_open();
  result = guest_end_of(host, "return ('x'):rep(100000), {1, 2}, {[{}] = 1}");
  KIND(result, LP_DONE);
  task.args = &value;
  task.count = 1;
  for (i = 0; i < 1000; i++) {
    lp_id id = guest_submit_with(host, &task);
    if (i % 2)
      OK(host, lp_cancel(host, id));
    task.source = i % 3 ? "return (" : "return 1, ...";
    lp_submit(host, &task, NULL);
    task.source = "return ...";
    lp_get_stats(host, &stats, sizeof stats);
    lp_register(host, "tool", NULL, NULL);
  }
  EQUAL(strspn(result->values[0].bytes, "x"), 100000);
  SAME(result->values[1].bytes, "[1,2]");
  EQUAL(result->values[2].type, LP_DUMP);
  value = result->values[2]; /* and what is lent may be given */
  task.source = "return select(2, next((...)))";
  OK(host, lp_submit(host, &task, NULL));
  lp_close(host);
}

/* `text` at the end of a page, before one that cannot be read. */
static const char *at_the_edge(const char *text) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), size = strlen(text);
  char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(pages != MAP_FAILED);
  CHECK(mprotect(pages + page, page, PROT_NONE) == 0);
  memcpy(pages + page - size, text, size);
  return pages + page - size;
}

static void nothing_is_read_behind(void) {
  static const char *const texts[] = {"[1,2]", "[1,2", "12", "\"ab", "tru"};
  struct lp_task task = guest_task(at_the_edge("return 1"));
  size_t i;
  host = guest_open();
  task.source_size = 8;
  OK(host, lp_run(host, &task, NULL));
  KIND(guest_result(host, guest_submit_with(host, &task)), LP_DONE);
  for (i = 0; i < COUNT(texts); i++) {
    const char *text = at_the_edge(texts[i]);
    through("return ...", lp_json(text, strlen(texts[i])));
    through("return ...", lp_string(text, strlen(texts[i])));
    here("return ...", lp_json(text, strlen(texts[i])));
  }
  lp_close(host);
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"plain values come back", plain_values},
      {"many of them", many_of_them},
      {"huge numbers of arguments", huge_numbers_of_arguments},
      {"JSON that makes sense", json_that_makes_sense},
      {"JSON that makes none", json_that_makes_none},
      {"JSON that is deep", json_that_is_deep},
      {"tables that JSON cannot say", tables_that_json_cannot_say},
      {"results that cannot travel", results_that_cannot_travel},
      {"dumps that are damaged", dumps_that_are_damaged},
      {"results stay", results_stay},
      {"nothing is read behind the bytes", nothing_is_read_behind}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
