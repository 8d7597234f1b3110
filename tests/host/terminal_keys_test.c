/* What a terminal sends, as keys. */
#include "host/terminal/keys.h"
#include "host/terminal/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Takes the bytes, after which nothing follows for a while; the keys of them
 * end in 0. */
static const wchar_t *keys_of(struct lp__keys *keys, const char *bytes,
                              size_t size) {
  static wchar_t found[100];
  size_t count = 0;
  for (size_t i = 0; i < size; i++) {
    lp__keys_take(keys, (unsigned char)bytes[i]);
    while (lp__keys_get(keys, &found[count]))
      assert_true(++count < 99);
  }
  lp__keys_settle(keys);
  while (lp__keys_get(keys, &found[count]))
    count++;
  found[count] = 0;
  return found;
}

static void expect(const char *bytes, const wchar_t *expected) {
  struct lp__keys keys = {0};
  const wchar_t *found = keys_of(&keys, bytes, strlen(bytes));
  assert_int_equal(wcslen(found), wcslen(expected));
  assert_memory_equal(found, expected, wcslen(expected) * sizeof *expected);
  assert_int_equal(keys.state, LP__KEYS_PLAIN);
  lp__keys_reset(&keys);
}

static void characters(void **state) {
  (void)state;
  expect("ab\r\t\x7f\x01", L"ab\r\t\x7f\x01");
  expect("\u00e9\u6f22\U0001f600", L"\u00e9\u6f22\U0001f600");
  expect("\xff\xc0", L"\ufffd\ufffd");
  expect("\xed\xa0\x80x", L"\ufffdx");
  expect("\xe6\xbc!", L"\ufffd!");
  expect("\xe6\x1b[A", (wchar_t[]){0xfffd, LP__KEY_UP, 0});
  expect("\xc2\x85", (wchar_t[]){LP__KEY_NOTHING, 0});
}

static void special_keys(void **state) {
  (void)state;
  expect("\x1b[A\x1b[B\x1b[C\x1b[D",
         (wchar_t[]){LP__KEY_UP, LP__KEY_DOWN, LP__KEY_RIGHT, LP__KEY_LEFT, 0});
  expect("\x1bOA\x1bOH\x1bOM", (wchar_t[]){LP__KEY_UP, LP__KEY_HOME, '\r', 0});
  expect("\x1b[1~\x1b[4~\x1b[3~\x1b[H\x1b[F",
         (wchar_t[]){LP__KEY_HOME, LP__KEY_END, LP__KEY_DELETE, LP__KEY_HOME,
                     LP__KEY_END, 0});
  expect("\x1b[1;5C\x1b[1;3D",
         (wchar_t[]){LP__KEY_WORD_RIGHT, LP__KEY_WORD_LEFT, 0});
}

static void meaningless_sequences(void **state) {
  (void)state;
  expect("\x1b[15~a\x1b[[Ab\x1b[?1;2cd\x1bOze\x1b[201~",
         (wchar_t[]){LP__KEY_NOTHING, 'a', LP__KEY_NOTHING, 'b',
                     LP__KEY_NOTHING, 'd', LP__KEY_NOTHING, 'e',
                     LP__KEY_NOTHING, 0});
  expect("\x1b[111111111111111111111111111111111111111111~x",
         (wchar_t[]){LP__KEY_NOTHING, 'x', 0});
  expect("\x1b[1\x03\x1b[\x1b[A",
         (wchar_t[]){LP__KEY_NOTHING, 3, LP__KEY_NOTHING, LP__KEY_UP, 0});
}

static void escapes(void **state) {
  (void)state;
  expect("\x1b", L"\x1b");
  expect("\x1b"
         "b",
         L"\x1b"
         L"b");
  expect("\x1b\x1b[A", (wchar_t[]){27, LP__KEY_UP, 0});
}

static void expect_paste(struct lp__keys *keys, const char *text) {
  size_t size;
  const char *paste = lp__keys_paste(keys, &size);
  assert_int_equal(size, strlen(text));
  assert_memory_equal(paste, text, size);
}

static void pastes(void **state) {
  struct lp__keys keys = {0};
  static const char bytes[] = "a\x1b[200~one\r\n\ttwo\x1b[20\x1b[201~b";
  (void)state;
  const wchar_t *found = keys_of(&keys, bytes, sizeof bytes - 1);
  assert_memory_equal(found, ((wchar_t[]){'a', LP__KEY_PASTE, 'b', 0}),
                      4 * sizeof *found);
  expect_paste(&keys, "one\r\n\ttwo\x1b[20");
  keys_of(&keys, "\x1b[200~\x1b[201~", 12);
  expect_paste(&keys, "");
  lp__keys_reset(&keys);
}

static void too_large_pastes(void **state) {
  struct lp__keys keys = {0};
  (void)state;
  keys_of(&keys, "\x1b[200~", 6);
  for (int i = 0; i < LP__KEYS_MOST_PASTE + 5; i++)
    lp__keys_take(&keys, 'x');
  const wchar_t *found = keys_of(&keys, "\x1b[201~y", 7);
  assert_int_equal(found[0], LP__KEY_NOTHING);
  assert_int_equal(found[1], 'y');
  found = keys_of(&keys, "\x1b[200~z\x1b[201~", 13);
  assert_int_equal(found[0], LP__KEY_PASTE);
  expect_paste(&keys, "z");
  lp__keys_reset(&keys);
}

static void any_bytes(void **state) {
  struct lp__keys keys = {0};
  static const char few[] = "\x1b\x1b[[O20013456789~;AZ\xc3\xa9\xe6\x03";
  uint64_t random = 1;
  (void)state;
  for (int i = 0; i < 300000; i++) {
    wchar_t key;
    random = random * 6364136223846793005u + 1442695040888963407u;
    lp__keys_take(&keys, (unsigned char)few[(random >> 33) % sizeof few]);
    while (lp__keys_get(&keys, &key))
      assert_true(key >= 0 && key <= 0x10ffff);
  }
  lp__keys_reset(&keys);
}

static void expect_text(const char *bytes, size_t size, const char *expected) {
  size_t count, encoded_size;
  wchar_t *text = lp__text_decode(bytes, size, &count);
  assert_non_null(text);
  assert_int_equal(text[count], 0);
  char *encoded = lp__text_encode(text, count, &encoded_size);
  assert_non_null(encoded);
  assert_string_equal(encoded, expected);
  assert_int_equal(encoded_size, strlen(expected));
  assert_int_equal(encoded_size, lp__text_size(text, count));
  free(text);
  free(encoded);
}

static void text(void **state) {
  (void)state;
  expect_text("", 0, "");
  expect_text("a\r\nb\rc\n\td\r", 10, "a\nb\nc\n\td\n");
  expect_text("a\0\x1b\x7f"
              "b\xc2\x85",
              7, "ab");
  expect_text("\u00e9\u6f22\U0001f600\ufffd", 12,
              "\u00e9\u6f22\U0001f600\ufffd");
  expect_text("\xff\xe6\xbc", 3, "\ufffd\ufffd\ufffd");
  expect_text("\xf4\x90\x80\x80", 4, "\ufffd\ufffd\ufffd\ufffd");
  expect_text("\xe0\x80\xaf!", 4, "\ufffd\ufffd\ufffd!");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(characters),
      cmocka_unit_test(special_keys),
      cmocka_unit_test(meaningless_sequences),
      cmocka_unit_test(escapes),
      cmocka_unit_test(pastes),
      cmocka_unit_test(too_large_pastes),
      cmocka_unit_test(any_bytes),
      cmocka_unit_test(text),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
