/* Cutting output into lines. */
#include "host/lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The lines that came, joined by '|'. */
struct seen {
  char text[400000];
  size_t size;
};

static void on_line(void *context, const char *text, size_t size) {
  struct seen *seen = context;
  memcpy(seen->text + seen->size, text, size);
  seen->size += size;
  seen->text[seen->size++] = '|';
}

static void check(const char *input, const char *expected) {
  for (size_t step = 1; step <= strlen(input); step++) {
    static struct seen seen;
    struct lp__lines lines = {NULL, 0};
    seen.size = 0;
    for (size_t at = 0; at < strlen(input); at += step) {
      size_t left = strlen(input) - at;
      lp__lines_feed(&lines, input + at, left < step ? left : step, on_line,
                     &seen);
    }
    lp__lines_flush(&lines, on_line, &seen);
    seen.text[seen.size] = '\0';
    assert_string_equal(seen.text, expected);
    assert_null(lines.text);
  }
}

static void test_lines(void **state) {
  (void)state;
  check("a\n", "a|");
  check("a", "a|");
  check("a\nb", "a|b|");
  check("\n", "|");
  check("one\n\n\ntwo\r\n", "one|||two\r|");
}

static void test_flush_of_nothing(void **state) {
  (void)state;
  static struct seen seen;
  struct lp__lines lines = {NULL, 0};
  lp__lines_flush(&lines, on_line, &seen);
  assert_int_equal(seen.size, 0);
}

/* Lines at and around the limit, received in several ways. */
static void test_long_lines(void **state) {
  (void)state;
  static struct seen seen;
  static char input[LP__LINE_MAX * 3];
  for (size_t extra = 0; extra <= 2; extra++) {
    for (size_t step = 1000; step < sizeof input; step *= 7) {
      struct lp__lines lines = {NULL, 0};
      size_t size = LP__LINE_MAX + extra;
      memset(input, 'x', size);
      input[size++] = '\n';
      seen.size = 0;
      for (size_t at = 0; at < size; at += step)
        lp__lines_feed(&lines, input + at, size - at < step ? size - at : step,
                       on_line, &seen);
      assert_int_equal(lines.size, 0);
      assert_int_equal(seen.size, LP__LINE_MAX + 1 + (extra ? extra + 1 : 0));
      assert_int_equal(seen.text[LP__LINE_MAX], '|');
      lp__lines_free(&lines);
    }
  }
}

static void test_line_without_end(void **state) {
  (void)state;
  static struct seen seen;
  static char input[100000];
  struct lp__lines lines = {NULL, 0};
  memset(input, 'x', sizeof input);
  for (int i = 0; i < 3; i++)
    lp__lines_feed(&lines, input, sizeof input, on_line, &seen);
  assert_int_equal(seen.size, 4 * (LP__LINE_MAX + 1));
  assert_int_equal(lines.size, 300000 - 4 * LP__LINE_MAX);
  lp__lines_free(&lines);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lines),
      cmocka_unit_test(test_flush_of_nothing),
      cmocka_unit_test(test_long_lines),
      cmocka_unit_test(test_line_without_end),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
