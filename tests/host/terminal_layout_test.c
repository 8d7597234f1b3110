/* Where text ends on the screen. That libedit draws it so is tested on real
 * terminals, in tests/e2e. */
#include "host/terminal/layout.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void expect(const wchar_t *text, int columns, int row, int column) {
  struct lp__place place = {0, 0};
  lp__layout(&place, columns, text, wcslen(text));
  assert_int_equal(place.row, row);
  assert_int_equal(place.column, column);
}

static void rows(void **state) {
  (void)state;
  expect(L"", 10, 0, 0);
  expect(L"abc", 10, 0, 3);
  expect(L"123456789", 10, 0, 9);
  expect(L"1234567890", 10, 1, 0);
  expect(L"12345678901", 10, 1, 1);
  expect(L"ab\nc", 10, 1, 1);
  expect(L"1234567890\nc", 10, 2, 1);
  expect(L"abc", 1, 3, 0);
}

static void wide_characters(void **state) {
  (void)state;
  expect(L"\u6f22\u5b57", 10, 0, 4);
  expect(L"12345678\u6f22", 10, 1, 0);
  expect(L"123456789\u6f22", 10, 1, 2);
  expect(L"\U0001f600", 10, 0, 2);
  expect(L"e\u0301x", 10, 0, 2);
}

static void tabs(void **state) {
  (void)state;
  expect(L"\t", 20, 0, 8);
  expect(L"1234567\t", 20, 0, 8);
  expect(L"12345678\t", 20, 0, 16);
  expect(L"\t\t\tx", 20, 1, 1);
}

static void unprintable_characters(void **state) {
  (void)state;
  expect(L"\x01", 10, 0, 2);
  expect(L"123456789\x01", 10, 1, 1);
  expect(L"\u0378", 20, 0, 7);
  expect(L"\U0010ffff", 20, 0, 8);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rows),
      cmocka_unit_test(wide_characters),
      cmocka_unit_test(tabs),
      cmocka_unit_test(unprintable_characters),
  };
  setlocale(LC_CTYPE, "C.UTF-8");
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
