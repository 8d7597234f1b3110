/* Signature Version 4: canonical forms, keys, and what clients may send. The
 * comparison with botocore is in tests/lua/sigv4_spec.lua. */
#include "host/cloud/sigv4.h"
#include "host/cloud/signing_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define KEY    "AKIDEXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define NOW    1440938160 /* 2015-08-30 12:36:00 UTC */

#define VANILLA                                                                \
  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
#define AUTHORIZATION                                                          \
  "AWS4-HMAC-SHA256 Credential=" KEY                                           \
  "/20150830/us-east-1/service/aws4_request, "                                 \
  "SignedHeaders=host;x-amz-date, Signature=" VANILLA

static struct lp__span span(const char *text) {
  return (struct lp__span){text, strlen(text)};
}

static struct lp__field field(const char *name, const char *value) {
  return (struct lp__field){name, value, strlen(name), strlen(value)};
}

static struct lp__request
request_of(const char *target, const struct lp__field *fields, size_t count) {
  return (struct lp__request){
      .method = "GET",
      .target = target,
      .target_size = strlen(target),
      .path_size = strcspn(target, "?"),
      .fields = fields,
      .field_count = count,
      .body = "",
  };
}

/* --- keys ---------------------------------------------------------------- */

static void derive(struct lp__signing_keys *keys, const char *secret,
                   const char *service, char hex[LP__SHA256_HEX + 1]) {
  unsigned char digest[LP__SHA256_SIZE];
  lp__hmac(digest,
           lp__signing_key(keys, span(secret), span("20150830"),
                           span("us-east-1"), span(service)),
           "x", 1);
  lp__sha256_hex(hex, digest);
  hex[LP__SHA256_HEX] = '\0';
}

/* The same without a cache. */
static void derive_plainly(const char *secret, const char *service,
                           char hex[LP__SHA256_HEX + 1]) {
  char text[1024];
  const char *parts[] = {"20150830", "us-east-1", service, "aws4_request", "x"};
  unsigned char digest[LP__SHA256_SIZE];
  struct lp__hmac_key key;
  int size = snprintf(text, sizeof text, "AWS4%s", secret);
  lp__hmac_prepare(&key, text, (size_t)size);
  for (size_t i = 0; i < 5; i++) {
    lp__hmac(digest, &key, parts[i], strlen(parts[i]));
    lp__hmac_prepare(&key, digest, sizeof digest);
  }
  lp__sha256_hex(hex, digest);
  hex[LP__SHA256_HEX] = '\0';
}

/* The example of AWS's documentation. */
static void test_key(void **state) {
  static const unsigned char expected[] = {
      0xc4, 0xaf, 0xb1, 0xcc, 0x57, 0x71, 0xd8, 0x71, 0x76, 0x3a, 0x39,
      0x3e, 0x44, 0xb7, 0x03, 0x57, 0x1b, 0x55, 0xcc, 0x28, 0x42, 0x4d,
      0x1a, 0x5e, 0x86, 0xda, 0x6e, 0xd3, 0xc1, 0x54, 0xa4, 0xb9};
  unsigned char found[LP__SHA256_SIZE], wanted[LP__SHA256_SIZE];
  struct lp__hmac_key key;
  struct lp__signing_keys *keys = calloc(1, sizeof *keys);
  (void)state;
  lp__hmac_prepare(&key, expected, sizeof expected);
  lp__hmac(wanted, &key, "text", 4);
  lp__hmac(found,
           lp__signing_key(keys, span(SECRET), span("20150830"),
                           span("us-east-1"), span("iam")),
           "text", 4);
  assert_memory_equal(found, wanted, sizeof wanted);
  free(keys);
}

/* More of them than are kept, secrets of every length, each several times. */
static void test_keys_kept(void **state) {
  struct lp__signing_keys *keys = calloc(1, sizeof *keys);
  char secret[401], found[LP__SHA256_HEX + 1], wanted[LP__SHA256_HEX + 1];
  (void)state;
  for (int round = 0; round < 3; round++) {
    for (size_t size = 0; size < sizeof secret; size++) {
      memset(secret, 's', size);
      secret[size] = '\0';
      derive(keys, secret, size % 2 ? "iam" : "lambda", found);
      derive_plainly(secret, size % 2 ? "iam" : "lambda", wanted);
      assert_string_equal(found, wanted);
      derive(keys, secret, size % 2 ? "iam" : "lambda", found);
      assert_string_equal(found, wanted);
    }
  }
  free(keys);
}

/* --- canonical requests -------------------------------------------------- */

static void check_canonical(const struct lp__request *request,
                            const char *names, bool path_as_is,
                            const char *expected) {
  struct lp__canonical canonical = {.text = {NULL, 0, 0}};
  struct lp__canonical_rules rules = {.path_as_is = path_as_is,
                                      .with_dots = path_as_is,
                                      .names = span(names),
                                      .payload = span("HASH")};
  assert_int_equal(lp__canonical_write(&canonical, request, &rules), 0);
  char *text = strndup(canonical.text.at, canonical.text.size);
  assert_string_equal(text, expected);
  free(text);
  lp__canonical_free(&canonical);
}

static void test_paths(void **state) {
  static const char *const cases[][3] = {
      /* on the wire, canonical, canonical for S3 */
      {"/", "/", "/"},
      {"//", "/", "//"},
      {"/./", "/", "/./"},
      {"/..", "/", "/.."},
      {"/a/..", "/", "/a/.."},
      {"/a/../b", "/b", "/a/../b"},
      {"/../../a", "/a", "/../../a"},
      {"/a/b/.", "/a/b", "/a/b/."},
      {"/a/b/./", "/a/b/", "/a/b/./"},
      {"/a//b/", "/a/b/", "/a//b/"},
      {"/a%3Ab", "/a%253Ab", "/a%3Ab"},
      {"/a b", "/a%20b", "/a b"},
      {"/\xe1\x88\xb4", "/%E1%88%B4", "/\xe1\x88\xb4"},
      {"/-._~Az09", "/-._~Az09", "/-._~Az09"},
      {"/...", "/...", "/..."},
  };
  char expected[256];
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct lp__request request = request_of(cases[i][0], NULL, 0);
    snprintf(expected, sizeof expected, "GET\n%s\n\n\na\nHASH", cases[i][1]);
    check_canonical(&request, "a", false, expected);
    snprintf(expected, sizeof expected, "GET\n%s\n\n\na\nHASH", cases[i][2]);
    check_canonical(&request, "a", true, expected);
  }
}

static void test_queries(void **state) {
  static const char *const cases[][2] = {
      {"", ""},
      {"b=1&a=2", "a=2&b=1"},
      {"List", "List="},
      {"a", "a="},
      {"a=b=c", "a=b%3Dc"},
      {"&&a=1&", "a=1"},
      {"=x", "=x"},
      {"select-type=2&select=1", "select=1&select-type=2"},
      {"a=2&a=10&a=1&a=", "a=&a=1&a=10&a=2"},
      {"a=%2f%2F/", "a=%2F%2F%2F"},
      {"a=b+c%2B", "a=b%20c%2B"},
      {"a=%zz%4", "a=%25zz%254"},
      {"%61=1", "a=1"},
      {"a=%E1%88%B4\xe1", "a=%E1%88%B4%E1"},
      {"X-Amz-Signature=1", "X-Amz-Signature=1"},
  };
  char target[256], expected[256];
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    snprintf(target, sizeof target, "/?%s", cases[i][0]);
    struct lp__request request = request_of(target, NULL, 0);
    snprintf(expected, sizeof expected, "GET\n/\n%s\n\na\nHASH", cases[i][1]);
    check_canonical(&request, "a", false, expected);
  }
}

static void test_fields(void **state) {
  struct lp__field fields[] = {
      field("b", "  x \t  y  "), field("a", ""),
      field("b", "\"p   q\""),   field("b-c", "z"),
      field("not", "signed"),    field("a", ""),
  };
  struct lp__request request =
      request_of("/", fields, sizeof fields / sizeof *fields);
  (void)state;
  check_canonical(&request, "a;b;b-c;d", false,
                  "GET\n/\n\na:,\nb:x y,\"p q\"\nb-c:z\n\na;b;b-c;d\nHASH");
}

/* The room that is made is for the worst; the sanitizers see if it is not. */
static void test_worst_case(void **state) {
  enum { SIZE = 5000 };
  char *target = malloc(3 * SIZE + 1);
  struct lp__field fields[200];
  (void)state;
  for (size_t i = 0; i < 200; i++)
    fields[i] = field("x", "");
  for (const char *filler = " &=%"; *filler; filler++) {
    memset(target, *filler, 2 * SIZE);
    target[0] = '/';
    target[SIZE] = '?';
    target[2 * SIZE] = '\0';
    struct lp__request request = request_of(target, fields, 200);
    struct lp__canonical canonical = {.text = {NULL, 0, 0}};
    struct lp__canonical_rules rules = {.names = span("x"),
                                        .payload = span("")};
    assert_int_equal(lp__canonical_write(&canonical, &request, &rules), 0);
    assert_true(canonical.text.size <= canonical.text.capacity);
    lp__canonical_free(&canonical);
  }
  free(target);
}

/* --- single values ------------------------------------------------------- */

static void test_times(void **state) {
  static const char *const bad[] = {
      "",
      "20150830T123600",
      "20150830T123600Z0",
      "20150830 123600Z",
      "20150030T123600Z",
      "20151330T123600Z",
      "20150800T123600Z",
      "20150832T123600Z",
      "20150830T243600Z",
      "20150830T126000Z",
      "20150830T123661Z",
      "2015083-T123600Z",
      "19690830T123600Z",
  };
  int64_t seconds = 0;
  (void)state;
  assert_true(lp__sigv4_time(span("20150830T123600Z"), &seconds));
  assert_int_equal(seconds, NOW);
  assert_true(lp__sigv4_time(span("19700101T000000Z"), &seconds));
  assert_int_equal(seconds, 0);
  assert_true(lp__sigv4_time(span("99991231T235960Z"), &seconds));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(lp__sigv4_time(span(bad[i]), &seconds));
}

static void test_names(void **state) {
  static const char *const good[] = {"host", "a;b", "a;a-b;ab", "x-amz-date"};
  static const char *const bad[] = {"",  ";",   "a;",   ";a",  "b;a", "a;a",
                                    "A", "a b", "a;;b", "a\n", "ab;a"};
  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    assert_true(lp__sigv4_names_ok(span(good[i])));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(lp__sigv4_names_ok(span(bad[i])));
}

/* --- requests ------------------------------------------------------------ */

static enum lp__sigv4_problem run(struct lp__sigv4 *sigv4,
                                  const struct lp__request *request) {
  struct lp__sigv4_claim claim;
  enum lp__sigv4_problem problem = lp__sigv4_parse(sigv4, request, &claim);
  if (!problem)
    problem = lp__sigv4_check(sigv4, &claim, NOW);
  return problem ? problem
                 : lp__sigv4_verify(sigv4, request, &claim, span(SECRET));
}

/* The vector get-vanilla of AWS's test suite, and every part of its header. */
static void test_vanilla(void **state) {
  struct lp__sigv4 *sigv4 = lp__sigv4_new();
  char authorization[] = AUTHORIZATION;
  struct lp__field fields[] = {
      field("host", "example.amazonaws.com"),
      field("x-amz-date", "20150830T123600Z"),
      field("authorization", authorization),
  };
  struct lp__request request = request_of("/", fields, 3);
  (void)state;
  assert_int_equal(run(sigv4, &request), LP__SIGV4_OK);
  assert_string_equal(lp__sigv4_message(sigv4), "");
  for (size_t size = 0; size < sizeof authorization - 1; size++) {
    char *part = strndup(authorization, size); /* nothing is read beyond it */
    fields[2] = field("authorization", part);
    enum lp__sigv4_problem problem = run(sigv4, &request);
    assert_true(problem == LP__SIGV4_MALFORMED ||
                problem == LP__SIGV4_MISMATCH);
    assert_string_not_equal(lp__sigv4_message(sigv4), "");
    free(part);
  }
  lp__sigv4_free(sigv4);
}

/* Any single byte that changes ends in a refusal, unless it stands between the
 * parameters. */
static void test_changed_bytes(void **state) {
  struct lp__sigv4 *sigv4 = lp__sigv4_new();
  char authorization[] = AUTHORIZATION;
  struct lp__field fields[] = {
      field("host", "example.amazonaws.com"),
      field("x-amz-date", "20150830T123600Z"),
      field("authorization", authorization),
  };
  struct lp__request request = request_of("/", fields, 3);
  (void)state;
  for (size_t i = 0; i < sizeof authorization - 1; i++) {
    char original = authorization[i];
    if (strchr(", ", original))
      continue;
    authorization[i] ^= 1;
    bool in_key = i >= strlen("AWS4-HMAC-SHA256 Credential=") &&
                  i < strlen("AWS4-HMAC-SHA256 Credential=" KEY);
    assert_int_equal(run(sigv4, &request) == LP__SIGV4_OK, in_key);
    authorization[i] = original;
  }
  assert_int_equal(run(sigv4, &request), LP__SIGV4_OK);
  lp__sigv4_free(sigv4);
}

static void test_free_nothing(void **state) {
  (void)state;
  lp__sigv4_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_key),          cmocka_unit_test(test_keys_kept),
      cmocka_unit_test(test_paths),        cmocka_unit_test(test_queries),
      cmocka_unit_test(test_fields),       cmocka_unit_test(test_worst_case),
      cmocka_unit_test(test_times),        cmocka_unit_test(test_names),
      cmocka_unit_test(test_vanilla),      cmocka_unit_test(test_changed_bytes),
      cmocka_unit_test(test_free_nothing),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
