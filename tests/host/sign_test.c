#define _GNU_SOURCE /* memmem */
/* Signing without Lua: what is signed, in which order, and memory that grows.
 * The comparison with botocore is in tests/lua/aws_sigv4_spec.lua. */
#include "host/cloud/sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct lp__span span(const char *text) {
  return (struct lp__span){text, strlen(text)};
}

static struct lp__field field(const char *name, const char *value) {
  return (struct lp__field){name, value, strlen(name), strlen(value)};
}

static struct lp__signing how(void) {
  return (struct lp__signing){
      .access_key = span("AKIDEXAMPLE"),
      .secret = span("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
      .region = span("us-east-1"),
      .service = span("service"),
      .time = 1440938160, /* 2015-08-30 12:36:00 UTC */
      .expires = 3600,
      .hide_payload = true,
  };
}

static struct lp__request request_of(const struct lp__field *fields,
                                     size_t count) {
  return (struct lp__request){.method = "GET",
                              .target = "/",
                              .target_size = 1,
                              .path_size = 1,
                              .fields = fields,
                              .field_count = count,
                              .body = ""};
}

static void assert_text(const struct lp__signed *result, const char *expected) {
  assert_int_equal(result->text.size, strlen(expected));
  assert_memory_equal(result->text.at, expected, strlen(expected));
}

/* The vector get-vanilla of AWS's test suite. */
static void test_vanilla(void **state) {
  struct lp__field fields[] = {field("Host", "example.amazonaws.com")};
  struct lp__request request = request_of(fields, 1);
  struct lp__signing with = how();
  struct lp__signer *signer = lp__signer_new();
  struct lp__signed result;
  (void)state;
  assert_int_equal(lp__sign_headers(signer, &request, &with, &result), 0);
  assert_string_equal(result.timestamp, "20150830T123600Z");
  assert_null(result.repeated.at);
  assert_text(
      &result,
      "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/"
      "aws4_request, SignedHeaders=host;x-amz-date, Signature="
      "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  assert_int_equal(lp__sign_query(signer, &request, &with, &result), 0);
  assert_text(
      &result,
      "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F"
      "20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date="
      "20150830T123600Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&"
      "X-Amz-Signature="
      "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d");
  lp__signer_free(signer);
}

static void test_fields(void **state) {
  struct lp__field fields[] = {field("x-b", "1"),    field("X-A-B", "2"),
                               field("Host", "h"),   field("User-Agent", "3"),
                               field("X-A", "4"),    field("x-B", "5"),
                               field("EXPECT", "6"), field("te", "7")};
  struct lp__request request = request_of(fields, 8);
  struct lp__signing with = how();
  struct lp__signer *signer = lp__signer_new();
  struct lp__signed result;
  (void)state;
  with.token = span("T");
  with.hide_payload = false;
  assert_int_equal(lp__sign_headers(signer, &request, &with, &result), 0);
  assert_non_null(memmem(result.text.at, result.text.size,
                         "SignedHeaders=host;x-a;x-a-b;x-amz-content-sha256;"
                         "x-amz-date;x-amz-security-token;x-b, ",
                         86));
  assert_true(lp__span_is(result.repeated, "x-b"));
  assert_int_equal(result.payload.size, LP__SHA256_HEX);
  with.hide_token = true;
  assert_int_equal(lp__sign_headers(signer, &request, &with, &result), 0);
  assert_null(memmem(result.text.at, result.text.size, "token", 5));
  lp__signer_free(signer);
}

/* The same signer for small and large, in turn: the same signatures. */
static void test_memory(void **state) {
  enum { SIZE = 20000, COUNT = 200 };
  struct lp__signer *signer = lp__signer_new();
  struct lp__signing with = how();
  struct lp__field fields[COUNT];
  char *value = malloc(SIZE + 1), names[COUNT][8], first[LP__SHA256_HEX];
  struct lp__signed result;
  (void)state;
  memset(value, 'v', SIZE);
  value[SIZE] = '\0';
  for (int i = 0; i < COUNT; i++) {
    snprintf(names[i], sizeof names[i], "N%d", COUNT - i);
    fields[i] = field(names[i], value + i);
  }
  for (int round = 0; round < 4; round++) {
    struct lp__request request = request_of(fields, round % 2 ? COUNT : 1);
    with.token = span(value + (round % 2 ? 0 : SIZE - 1));
    assert_int_equal(lp__sign_query(signer, &request, &with, &result), 0);
    assert_int_equal(lp__sign_headers(signer, &request, &with, &result), 0);
    const char *end = result.text.at + result.text.size - LP__SHA256_HEX;
    if (round == 0)
      memcpy(first, end, sizeof first);
    if (round == 2)
      assert_memory_equal(first, end, sizeof first);
  }
  lp__signer_free(signer);
  lp__signer_free(NULL);
  free(value);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_vanilla),
      cmocka_unit_test(test_fields),
      cmocka_unit_test(test_memory),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
