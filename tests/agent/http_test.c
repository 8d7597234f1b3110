/* The HTTP parser: answers in one piece and byte by byte, and what it must
 * refuse. */
#include "agent/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BODY_MAX 100000

static struct lp__http http;

/* Parses `size` bytes in pieces of `step`, then ends the connection when the
 * answer is not complete. */
static int parse_bytes(const char *in, size_t size, size_t step) {
  size_t at = 0;
  int state = LP__HTTP_MORE;
  lp__http_begin(&http);
  while (state == LP__HTTP_MORE && at < size) {
    char *space;
    size_t room;
    if ((state = lp__http_space(&http, &space, &room)) < 0)
      return state;
    assert_true(room > 0);
    room = room < step ? room : step;
    room = room < size - at ? room : size - at;
    memcpy(space, in + at, room);
    at += room;
    state = lp__http_received(&http, room);
  }
  return state == LP__HTTP_MORE ? lp__http_end(&http) : state;
}

static int parse(const char *in) {
  return parse_bytes(in, strlen(in), SIZE_MAX);
}

static void assert_body(const char *expected) {
  assert_int_equal(http.body_size, strlen(expected));
  assert_memory_equal(http.body, expected, strlen(expected));
}

static int set_up(void **state) {
  (void)state;
  lp__http_init(&http, BODY_MAX);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  lp__http_free(&http);
  return 0;
}

static void reads_an_event(void **state) {
  static const char in[] = "HTTP/1.1 200 OK\r\n"
                           "Lambda-Runtime-Aws-Request-Id:  id-1 \t\r\n"
                           "X-Empty:\r\n"
                           "X-Spaces:   \r\n"
                           "content-length: 7\r\n\r\n{\"a\":1}";
  size_t step;
  (void)state;
  for (step = 1; step < sizeof in; step++) {
    assert_int_equal(parse_bytes(in, sizeof in - 1, step), LP__HTTP_DONE);
    assert_int_equal(http.status, 200);
    assert_true(http.keep_alive);
    assert_string_equal(lp__http_header(&http, "LAMBDA-runtime-aws-request-id"),
                        "id-1");
    assert_null(lp__http_header(&http, "X-Empty"));
    assert_null(lp__http_header(&http, "X-Spaces"));
    assert_null(lp__http_header(&http, "X"));
    assert_body("{\"a\":1}");
  }
}

static void reads_chunks(void **state) {
  static const char in[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                           "\r\n5;x=y\r\nhello\r\n1 \r\n \r\n0A\r\nchunked "
                           "on\r\n000\r\nTrailer: 1\r\n\r\n";
  size_t step;
  (void)state;
  for (step = 1; step < sizeof in; step++) {
    assert_int_equal(parse_bytes(in, sizeof in - 1, step), LP__HTTP_DONE);
    assert_true(http.keep_alive);
    assert_body("hello chunked on");
  }
}

static void reads_a_body_that_lasts_until_the_end(void **state) {
  (void)state;
  assert_int_equal(parse("HTTP/1.0 500\n\nall of this"), LP__HTTP_DONE);
  assert_int_equal(http.status, 500);
  assert_false(http.keep_alive);
  assert_body("all of this");
}

static void skips_interim_answers(void **state) {
  (void)state;
  assert_int_equal(parse("HTTP/1.1 100 Continue\r\nA: b\r\n\r\n"
                         "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n"
                         "\r\nok"),
                   LP__HTTP_DONE);
  assert_int_equal(http.status, 202);
  assert_null(lp__http_header(&http, "A"));
  assert_body("ok");
}

static void knows_when_the_connection_is_over(void **state) {
  (void)state;
  assert_int_equal(
      parse("HTTP/1.1 202 A\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n"),
      LP__HTTP_DONE);
  assert_false(http.keep_alive);
  assert_int_equal(parse("HTTP/1.1 204 No Content\r\n\r\n"), LP__HTTP_DONE);
  assert_true(http.keep_alive);
  assert_int_equal(parse("HTTP/1.1 200 A\r\nContent-Length: 1\r\n\r\nab"),
                   LP__HTTP_DONE);
  assert_false(http.keep_alive);
  assert_body("a");
}

static void tells_how_a_connection_broke(void **state) {
  (void)state;
  assert_int_equal(parse(""), LP__HTTP_NOTHING);
  assert_int_equal(parse("H"), LP__HTTP_PARTIAL);
  assert_int_equal(parse("HTTP/1.1 200 A\r\nContent-Length: 2\r\n\r\na"),
                   LP__HTTP_PARTIAL);
  assert_int_equal(
      parse("HTTP/1.1 200 A\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"),
      LP__HTTP_PARTIAL);
}

static void refuses_what_is_not_http(void **state) {
  static const char *const bad[] = {
      "hello\r\n\r\n",
      "HTTP/2.0 200 OK\r\n\r\n",
      "HTTP/1.1 20 OK\r\n\r\n",
      "HTTP/1.1 2000 OK\r\n\r\n",
      "HTTP/1.1 099 OK\r\n\r\n",
      "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
      "HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA: b\r\n folded: c\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA : space\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA: lone\rCR\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
       "Transfer-Encoding: chunked\r\n\r\n"),
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
  };
  size_t i;
  (void)state;
  for (i = 0; i < sizeof bad / sizeof *bad; i++) {
    if (parse(bad[i]) != LP__HTTP_BAD)
      fail_msg("accepted: %s", bad[i]);
  }
  assert_int_equal(parse_bytes("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", 25, 25),
                   LP__HTTP_BAD);
}

static void does_not_believe_lengths(void **state) {
  (void)state;
  assert_int_equal(parse("HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n"),
                   LP__HTTP_LARGE);
  assert_int_equal(
      parse("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n"
            "\r\n"),
      LP__HTTP_LARGE);
  assert_int_equal(parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "fffffffffffffffff\r\n"),
                   LP__HTTP_LARGE);
  assert_int_equal(parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "186A1\r\n"),
                   LP__HTTP_LARGE);
  assert_int_equal(parse("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx"),
                   LP__HTTP_PARTIAL);
  assert_true(http.body_capacity <= 16384);
}

/* `prefix`, then `byte` without end. */
static int parse_endless(const char *prefix, char byte) {
  size_t size = strlen(prefix), total = 300000;
  char *in = malloc(total);
  int state;
  memcpy(in, prefix, size);
  memset(in + size, byte, total - size);
  state = parse_bytes(in, total, 1000);
  free(in);
  return state;
}

static void bounds_everything(void **state) {
  (void)state;
  assert_int_equal(parse_endless("HTTP/1.1 200 ", 'x'), LP__HTTP_LARGE);
  assert_int_equal(parse_endless("HTTP/1.1 200 OK\r\n\r\n", 'x'),
                   LP__HTTP_LARGE);
  assert_true(http.body_capacity < 2 * BODY_MAX);
  assert_int_equal(
      parse_endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
                    'x'),
      LP__HTTP_LARGE);
  assert_int_equal(
      parse_endless(
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA:", 'x'),
      LP__HTTP_LARGE);
}

static void receives_large_bodies_in_place(void **state) {
  static char body[BODY_MAX];
  static char in[BODY_MAX + 100];
  size_t i, size, step;
  (void)state;
  for (i = 0; i < sizeof body; i++)
    body[i] = (char)(i * 7 + i / 256);
  size = (size_t)sprintf(in, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                         sizeof body);
  memcpy(in + size, body, sizeof body);
  for (step = 999; step < sizeof in; step *= 3) {
    assert_int_equal(parse_bytes(in, size + sizeof body, step), LP__HTTP_DONE);
    assert_int_equal(http.body_size, sizeof body);
    assert_memory_equal(http.body, body, sizeof body);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_an_event),
      cmocka_unit_test(reads_chunks),
      cmocka_unit_test(reads_a_body_that_lasts_until_the_end),
      cmocka_unit_test(skips_interim_answers),
      cmocka_unit_test(knows_when_the_connection_is_over),
      cmocka_unit_test(tells_how_a_connection_broke),
      cmocka_unit_test(refuses_what_is_not_http),
      cmocka_unit_test(does_not_believe_lengths),
      cmocka_unit_test(bounds_everything),
      cmocka_unit_test(receives_large_bodies_in_place),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
