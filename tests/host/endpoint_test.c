/* The Runtime API without sockets: every route, state and limit, in any cut. */
#include "host/endpoint.h"
#include "host/memory.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define API  "/2018-06-01/runtime/"
#define NEXT "GET " API "invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"

struct seen {
  struct lp__api api;
  struct lp__endpoint endpoint, second; /* two connections */
  int outcomes;
  enum lp__outcome outcome;
  struct lp__body body;
  size_t size;
  char type[128];
  char notices[1024];
  char sent[8192];
};

static void on_outcome(void *context, enum lp__outcome outcome,
                       struct lp__body body, const char *type) {
  struct seen *seen = context;
  lp__body_free(&seen->body);
  seen->outcomes++;
  seen->outcome = outcome;
  seen->body = body;
  snprintf(seen->type, sizeof seen->type, "%s", type);
}

static void on_notice(void *context, enum lp__notice notice, const char *bytes,
                      size_t size) {
  struct seen *seen = context;
  if (notice == LP__NOTICE_READY)
    strcat(seen->notices, "ready ");
  else
    sprintf(seen->notices + strlen(seen->notices), "%s:%.*s ",
            notice == LP__NOTICE_STREAM ? "stream" : "chunk", (int)size, bytes);
}

static int open_with(void **state, const struct lp__api_sink *sink) {
  struct seen *seen = calloc(1, sizeof *seen);
  lp__api_init(&seen->api, sink, seen);
  lp__endpoint_init(&seen->endpoint, &seen->api);
  lp__endpoint_init(&seen->second, &seen->api);
  *state = seen;
  return 0;
}

/* Of a pool. */
static int open_endpoint(void **state) {
  static const struct lp__api_sink sink = {on_outcome, NULL};
  return open_with(state, &sink);
}

/* Of a function. */
static int open_function(void **state) {
  static const struct lp__api_sink sink = {on_outcome, on_notice};
  return open_with(state, &sink);
}

static int close_endpoint(void **state) {
  struct seen *seen = *state;
  lp__endpoint_free(&seen->endpoint);
  lp__endpoint_free(&seen->second);
  lp__body_free(&seen->body);
  free(seen);
  return 0;
}

/* What an endpoint wants to send, taken in steps of at most `step` bytes. */
static const char *flush_from(struct seen *seen, struct lp__endpoint *endpoint,
                              size_t step) {
  struct iovec pieces[LP__ENDPOINT_PIECES];
  size_t used = 0;
  while (lp__endpoint_output(endpoint, pieces) > 0) {
    size_t size = pieces[0].iov_len < step ? pieces[0].iov_len : step;
    assert_true(used + size < sizeof seen->sent);
    memcpy(seen->sent + used, pieces[0].iov_base, size);
    used += size;
    lp__endpoint_sent(endpoint, size);
  }
  seen->sent[used] = '\0';
  return seen->sent;
}

static const char *flush(struct seen *seen, size_t step) {
  return flush_from(seen, &seen->endpoint, step);
}

static int feed(struct seen *seen, const char *text) {
  return lp__endpoint_receive(&seen->endpoint, text, strlen(text));
}

/* The answer to one request. */
static const char *ask(struct seen *seen, const char *request) {
  assert_int_equal(feed(seen, request), 0);
  return flush(seen, SIZE_MAX);
}

/* The same on the second connection. */
static const char *ask_second(struct seen *seen, const char *request) {
  int status = lp__endpoint_receive(&seen->second, request, strlen(request));
  assert_int_equal(status, 0);
  return flush_from(seen, &seen->second, SIZE_MAX);
}

static int invoke_with(struct seen *seen, const char *id, const char *event,
                       const char *headers) {
  struct lp__invocation invocation = {event, strlen(event), 1234, "", headers};
  snprintf(invocation.request_id, sizeof invocation.request_id, "%s", id);
  int status = lp__api_invoke(&seen->api, &invocation);
  if (status == 0 && seen->endpoint.waits)
    lp__endpoint_hand_over(&seen->endpoint);
  return status;
}

static int invoke(struct seen *seen, const char *id, const char *event) {
  return invoke_with(seen, id, event, NULL);
}

static void assert_begins(const char *text, const char *with) {
  if (strncmp(text, with, strlen(with)) != 0)
    fail_msg("'%s' does not begin with '%s'", text, with);
}

static void assert_contains(const char *text, const char *part) {
  if (!strstr(text, part))
    fail_msg("'%s' does not contain '%s'", text, part);
}

static void test_invocation(void **state) {
  struct seen *seen = *state;
  assert_string_equal(ask(seen, NEXT), "");
  assert_int_equal(invoke(seen, "a-1", "{\"k\":1}"), 0);
  assert_int_equal(invoke(seen, "a-2", "{}"), -EBUSY);
  const char *event = flush(seen, SIZE_MAX);
  assert_begins(event, "HTTP/1.1 200 OK\r\n");
  assert_contains(event, "\r\nLambda-Runtime-Aws-Request-Id: a-1\r\n");
  assert_contains(event, "\r\nLambda-Runtime-Deadline-Ms: 1234\r\n");
  assert_contains(event, "\r\nLambda-Runtime-Invoked-Function-Arn: arn:aws:");
  assert_contains(event, "\r\nLambda-Runtime-Trace-Id: Root=1-");
  assert_contains(event, "\r\nContent-Length: 7\r\n");
  assert_contains(event, "\r\n\r\n{\"k\":1}");
  const char *answer = ask(seen, "POST " API "invocation/a-1/response "
                                 "HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
  assert_begins(answer, "HTTP/1.1 202 Accepted\r\n");
  assert_contains(answer, "{\"status\":\"OK\"}");
  assert_int_equal(seen->outcomes, 1);
  assert_int_equal(seen->outcome, LP__RESPONSE);
  assert_int_equal(seen->body.size, 5);
  assert_memory_equal(seen->body.bytes, "hello", 5);
}

static void test_invoked_before_ready(void **state) {
  struct seen *seen = *state;
  assert_int_equal(invoke(seen, "a", "{}"), 0);
  assert_string_equal(flush(seen, SIZE_MAX), "");
  assert_begins(ask(seen, NEXT), "HTTP/1.1 200 OK\r\n");
}

static void test_empty_event(void **state) {
  struct seen *seen = *state;
  assert_int_equal(invoke(seen, "a", ""), 0);
  assert_contains(ask(seen, NEXT), "Content-Length: 0\r\n");
  assert_begins(ask(seen, "POST " API "invocation/a/response HTTP/1.1\r\n\r\n"),
                "HTTP/1.1 202 ");
  assert_int_equal(seen->body.size, 0);
}

static void test_next_again(void **state) {
  struct seen *seen = *state;
  invoke(seen, "a", "{}");
  assert_begins(ask(seen, NEXT), "HTTP/1.1 200 ");
  assert_contains(ask(seen, NEXT), "Request-Id: a\r\n");
}

static void test_error(void **state) {
  struct seen *seen = *state;
  invoke(seen, "a", "{}");
  ask(seen, NEXT);
  ask(seen, "POST " API "invocation/a/error HTTP/1.1\r\n"
            "lambda-runtime-function-error-type: Runtime.Oh\r\n"
            "Content-Length: 2\r\n\r\n{}");
  assert_int_equal(seen->outcome, LP__ERROR);
  assert_string_equal(seen->type, "Runtime.Oh");
}

static void test_second_response(void **state) {
  struct seen *seen = *state;
  static const char post[] =
      "POST " API "invocation/a/response HTTP/1.1\r\n\r\n";
  invoke(seen, "a", "{}");
  ask(seen, NEXT);
  ask(seen, post);
  const char *answer = ask(seen, post);
  assert_begins(answer, "HTTP/1.1 403 Forbidden\r\n");
  assert_contains(
      answer,
      "{\"errorMessage\":\"State transition from RuntimeResponseSentState to "
      "InvocationResponse failed for runtime. Error: State transition is not "
      "allowed\",\"errorType\":\"InvalidStateTransition\"}");
  assert_int_equal(seen->outcomes, 1);
}

static void test_response_before_next(void **state) {
  struct seen *seen = *state;
  invoke(seen, "a", "{}");
  assert_begins(ask(seen, "POST " API "invocation/a/error HTTP/1.1\r\n\r\n"),
                "HTTP/1.1 403 ");
  assert_begins(ask(seen, NEXT), "HTTP/1.1 200 ");
  assert_int_equal(seen->outcomes, 0);
}

static void test_unknown_id(void **state) {
  struct seen *seen = *state;
  static const char *const ids[] = {"b", "aa", "", "a%00"};
  invoke(seen, "a", "{}");
  ask(seen, NEXT);
  for (size_t i = 0; i < 4; i++) {
    char request[128];
    snprintf(request, sizeof request,
             "POST " API "invocation/%s/response HTTP/1.1\r\n\r\n", ids[i]);
    const char *answer = ask(seen, request);
    assert_begins(answer, "HTTP/1.1 400 Bad Request\r\n");
    assert_contains(answer, "{\"errorMessage\":\"Invalid request ID\","
                            "\"errorType\":\"InvalidRequestID\"}");
  }
  assert_int_equal(seen->outcomes, 0);
}

static void test_init_error(void **state) {
  struct seen *seen = *state;
  assert_begins(ask(seen, "POST " API "init/error HTTP/1.1\r\n"
                          "Content-Length: 2\r\n\r\n{}"),
                "HTTP/1.1 202 ");
  assert_int_equal(seen->outcome, LP__INIT_ERROR);
  assert_contains(ask(seen, NEXT), "from InitError to Ready failed");
  assert_int_equal(invoke(seen, "a", "{}"), -EPIPE);
}

static void test_late_init_error(void **state) {
  struct seen *seen = *state;
  invoke(seen, "a", "{}");
  ask(seen, NEXT);
  assert_begins(ask(seen, "POST " API "init/error HTTP/1.1\r\n\r\n"),
                "HTTP/1.1 403 ");
  assert_int_equal(seen->outcomes, 0);
}

static void test_other_routes(void **state) {
  struct seen *seen = *state;
  const char *pong = ask(seen, "GET /2018-06-01/ping HTTP/1.1\r\n\r\n");
  assert_begins(pong, "HTTP/1.1 200 OK\r\n");
  assert_contains(pong, "\r\n\r\npong");
  static const char *const missing[] = {
      "GET / HTTP/1.1\r\n\r\n", "GET " API "invocation/a/next HTTP/1.1\r\n\r\n",
      "POST " API "invocation/next HTTP/1.1\r\n\r\n",
      "GET " API "init/error HTTP/1.1\r\n\r\n",
      "PUT /2018-06-01/ping HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"};
  for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
    assert_begins(ask(seen, missing[i]), "HTTP/1.1 404 ");
  char long_url[2000] = "GET " API "invocation/next";
  memset(long_url + strlen(long_url), 'a', 1000);
  strcat(long_url, " HTTP/1.1\r\n\r\n");
  assert_begins(ask(seen, long_url), "HTTP/1.1 404 ");
}

static void test_limit(void **state) {
  struct seen *seen = *state;
  char *body = calloc(1, LP__BODY_MAX + 1);
  for (int over = 0; over <= 1; over++) {
    char head[128], id[8];
    snprintf(id, sizeof id, "id%d", over);
    invoke(seen, id, "{}");
    ask(seen, NEXT);
    snprintf(head, sizeof head,
             "POST " API "invocation/%s/response HTTP/1.1\r\n"
             "Content-Length: %d\r\n\r\n",
             id, LP__BODY_MAX + over);
    assert_string_equal(ask(seen, head), "");
    assert_int_equal(lp__endpoint_receive(&seen->endpoint, body,
                                          (size_t)LP__BODY_MAX + (size_t)over),
                     0);
    const char *answer = flush(seen, SIZE_MAX);
    assert_begins(answer, over ? "HTTP/1.1 413 " : "HTTP/1.1 202 ");
    if (over)
      assert_contains(answer, "{\"errorMessage\":\"Exceeded maximum allowed "
                              "payload size (6291556 bytes).\",\"errorType\":"
                              "\"RequestEntityTooLarge\"}");
    assert_int_equal(seen->outcome, over ? LP__ERROR : LP__RESPONSE);
  }
  assert_string_equal(seen->type, "Function.ResponseSizeTooLarge");
  assert_memory_equal(seen->body.bytes, "{\"errorType\":\"Function.Response",
                      31);
  free(body);
}

static void test_endless_length(void **state) {
  struct seen *seen = *state;
  size_t size;
  char scratch[10];
  invoke(seen, "a", "{}");
  ask(seen, NEXT);
  assert_string_equal(ask(seen, "POST " API "invocation/a/response HTTP/1.1\r\n"
                                "Content-Length: 1000000000000000000\r\n\r\n"),
                      "");
  assert_ptr_equal(
      lp__endpoint_space(&seen->endpoint, scratch, sizeof scratch, &size),
      scratch);
  assert_int_equal(size, sizeof scratch);
  assert_null(seen->endpoint.request.body.bytes);
}

/* A body of known length is read to where it stays. */
static void test_body_in_place(void **state) {
  struct seen *seen = *state;
  char scratch[16];
  size_t size;
  invoke(seen, "a", "{}");
  ask(seen, NEXT);
  ask(seen, "POST " API "invocation/a/response HTTP/1.1\r\n"
            "Content-Length: 100000\r\n\r\nabc");
  char *space = lp__endpoint_space(&seen->endpoint, scratch, 16, &size);
  assert_int_equal(size, 99997);
  memset(space, 'd', size);
  assert_int_equal(lp__endpoint_receive(&seen->endpoint, space, size), 0);
  assert_int_equal(seen->body.size, 100000);
  assert_ptr_equal(seen->body.bytes + 3, space);
  assert_memory_equal(seen->body.bytes, "abcd", 4);
}

static void test_chunked(void **state) {
  struct seen *seen = *state;
  invoke(seen, "a", "{}");
  ask(seen, NEXT);
  ask(seen,
      "POST " API "invocation/a/response HTTP/1.1\r\n"
      "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  assert_int_equal(seen->body.size, 5);
  assert_memory_equal(seen->body.bytes, "abcde", 5);
}

static void test_chunked_without_end(void **state) {
  struct seen *seen = *state;
  char *piece = malloc(65536 + 16);
  invoke(seen, "a", "{}");
  ask(seen, NEXT);
  ask(seen, "POST " API "invocation/a/response HTTP/1.1\r\n"
            "Transfer-Encoding: chunked\r\n\r\n");
  size_t size = (size_t)sprintf(piece, "10000\r\n");
  memset(piece + size, 'x', 65536);
  memcpy(piece + size + 65536, "\r\n", 2);
  for (int i = 0; i < 200; i++)
    assert_int_equal(
        lp__endpoint_receive(&seen->endpoint, piece, size + 65536 + 2), 0);
  assert_true(seen->endpoint.request.body_room <= LP__BODY_MAX);
  assert_begins(ask(seen, "0\r\n\r\n"), "HTTP/1.1 413 ");
  free(piece);
}

static void test_expect(void **state) {
  struct seen *seen = *state;
  invoke(seen, "a", "{}");
  ask(seen, NEXT);
  assert_string_equal(ask(seen, "POST " API "invocation/a/response HTTP/1.1\r\n"
                                "Expect: 100-continue\r\n"
                                "Content-Length: 1\r\n\r\n"),
                      "HTTP/1.1 100 Continue\r\n\r\n");
  assert_begins(ask(seen, "x"), "HTTP/1.1 202 ");
}

static void test_streaming_is_refused(void **state) {
  struct seen *seen = *state;
  invoke(seen, "a", "{}");
  ask(seen, NEXT);
  assert_begins(ask(seen, "POST " API "invocation/a/response HTTP/1.1\r\n"
                          "Lambda-Runtime-Function-Response-Mode: streaming"
                          "\r\n\r\n"),
                "HTTP/1.1 400 ");
  assert_int_equal(seen->outcome, LP__ERROR);
  assert_string_equal(seen->type, "Runtime.InvalidResponseModeHeader");
}

/* The response and the next /next in one piece, as a hasty client sends them.
 */
static void test_pipelined(void **state) {
  struct seen *seen = *state;
  invoke(seen, "a", "{}");
  ask(seen, NEXT);
  assert_begins(ask(seen, "POST " API "invocation/a/response HTTP/1.1\r\n"
                          "Content-Length: 1\r\n\r\nx" NEXT),
                "HTTP/1.1 202 ");
  assert_int_equal(seen->outcomes, 1);
  assert_int_equal(invoke(seen, "b", "{}"), 0);
  assert_contains(flush(seen, SIZE_MAX), "Request-Id: b\r\n");
}

static void test_any_cut(void **state) {
  (void)state;
  static const char text[] =
      NEXT "POST " API "invocation/a/response HTTP/1.1\r\nContent-Length: 5"
           "\r\nX-Other: 1\r\n\r\nhello" NEXT;
  size_t first = strlen(NEXT), size = sizeof text - 1;
  for (size_t step = 1; step < 40; step++) {
    struct seen *seen;
    open_endpoint((void **)&seen);
    invoke(seen, "a", "{\"event\":1}");
    for (size_t at = 0; at < size;) {
      size_t limit = at < first ? first : size;
      size_t part = limit - at < step ? limit - at : step;
      assert_int_equal(lp__endpoint_receive(&seen->endpoint, text + at, part),
                       0);
      if ((at += part) == first)
        assert_contains(flush(seen, step), "\r\n\r\n{\"event\":1}");
    }
    assert_begins(flush(seen, step), "HTTP/1.1 202 ");
    assert_int_equal(seen->outcomes, 1);
    assert_memory_equal(seen->body.bytes, "hello", 5);
    assert_int_equal(seen->api.state, LP__READY);
    close_endpoint((void **)&seen);
  }
}

static void test_not_http(void **state) {
  (void)state;
  static const char *const texts[] = {
      "\1\2\3\4",
      "GET\r\n\r\n",
      "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
      "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"
      "\r\n",
      "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      "GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
      "CONNECT x:1 HTTP/1.1\r\n\r\n",
      NEXT NEXT,
      "HTTP/1.1 200 OK\r\n\r\n"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct seen *seen;
    open_endpoint((void **)&seen);
    assert_int_equal(feed(seen, texts[i]), -EPROTO);
    close_endpoint((void **)&seen);
  }
}

static void test_headers_are_limited(void **state) {
  struct seen *seen = *state;
  int status = feed(seen, "GET / HTTP/1.1\r\nX: ");
  for (int i = 0; i < 1000 && status == 0; i++)
    status =
        feed(seen, "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
                   "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy");
  assert_int_equal(status, -EPROTO);
}

static void test_answers_are_limited(void **state) {
  struct seen *seen = *state;
  int status = 0;
  for (int i = 0; i < 1000 && status == 0; i++)
    status = feed(seen, "GET /2018-06-01/ping HTTP/1.1\r\n\r\n");
  assert_int_equal(status, -EPROTO);
}

static void test_long_header_is_ignored(void **state) {
  struct seen *seen = *state;
  char request[1024];
  invoke(seen, "a", "{}");
  ask(seen, NEXT);
  snprintf(request, sizeof request,
           "POST " API "invocation/a/error HTTP/1.1\r\n"
           "Lambda-Runtime-Function-Error-Type: %0500d\r\n\r\n",
           1);
  assert_begins(ask(seen, request), "HTTP/1.1 202 ");
  assert_string_equal(seen->type, "");
}

/* --- functions: any client, on several connections ------------------------ */

static void test_two_connections(void **state) {
  struct seen *seen = *state;
  assert_string_equal(ask(seen, NEXT), "");
  assert_string_equal(seen->notices, "ready ");
  assert_int_equal(invoke_with(seen, "a", "{}", "A: b\r\n\r\n"), 0);
  assert_contains(flush(seen, 1), "Deadline-Ms: 1234\r\nA: b\r\n\r\n{}");
  /* The same event again, and who answers first has answered. */
  assert_contains(ask_second(seen, NEXT), "Request-Id: a\r\n");
  assert_begins(ask_second(seen,
                           "POST " API "invocation/a/response HTTP/1.1\r\n"
                           "Content-Length: 1\r\n\r\nx"),
                "HTTP/1.1 202 ");
  assert_begins(ask(seen, "POST " API "invocation/a/error HTTP/1.1\r\n\r\n"),
                "HTTP/1.1 403 ");
  assert_string_equal(ask_second(seen, NEXT), "");
  assert_string_equal(ask(seen, NEXT), "");
  assert_string_equal(seen->notices, "ready ready ");
  assert_int_equal(seen->outcomes, 1);
}

static void test_connection_closes(void **state) {
  static const char *const heads[] = {"HTTP/1.1\r\nConnection: close",
                                      "HTTP/1.0"};
  struct seen *seen = *state;
  for (size_t i = 0; i < 2; i++) {
    char request[128];
    lp__endpoint_init(&seen->second, &seen->api);
    snprintf(request, sizeof request, "GET /2018-06-01/ping %s\r\n\r\n",
             heads[i]);
    const char *answer = ask_second(seen, request);
    assert_contains(answer, "\r\nConnection: close\r\n");
    assert_true(seen->second.closes);
    assert_string_equal(ask_second(seen, "GET / HTTP/1.1\r\n\r\n"), "");
  }
  assert_null(strstr(ask(seen, "GET / HTTP/1.1\r\n\r\n"), "Connection"));
  assert_false(seen->endpoint.closes);
}

#define STREAM                                                                 \
  "POST " API "invocation/a/response HTTP/1.1\r\n"                             \
  "lambda-runtime-function-response-mode: streaming\r\n"

static void begin(struct seen *seen) {
  invoke(seen, "a", "{}");
  ask(seen, NEXT);
}

static void test_stream(void **state) {
  struct seen *seen = *state;
  begin(seen);
  assert_string_equal(ask(seen, STREAM
                          "Content-Type: text/html\r\n"
                          "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
                      "");
  assert_string_equal(seen->notices, "stream:text/html chunk:abc ");
  assert_int_equal(seen->outcomes, 0);
  /* Meanwhile nothing else may be posted or asked for. */
  assert_contains(ask_second(seen, NEXT), "from InvocationResponse to Ready");
  assert_begins(ask_second(seen, "POST " API "invocation/a/error HTTP/1.1\r\n"
                                 "\r\n"),
                "HTTP/1.1 403 ");
  assert_begins(ask(seen, "2\r\nde\r\n0\r\n\r\n"), "HTTP/1.1 202 ");
  assert_string_equal(seen->notices, "stream:text/html chunk:abc chunk:de ");
  assert_int_equal(seen->outcome, LP__STREAM_END);
  assert_string_equal(seen->type, "");
  assert_null(seen->body.bytes);
}

static void test_stream_of_known_length(void **state) {
  struct seen *seen = *state;
  begin(seen);
  assert_begins(ask(seen, STREAM "Content-Length: 7\r\n\r\nabc"), "");
  assert_begins(ask(seen, "defg"), "HTTP/1.1 202 ");
  assert_string_equal(seen->notices,
                      "stream:application/octet-stream chunk:abc chunk:defg ");
}

static void test_stream_ends_in_error(void **state) {
  struct seen *seen = *state;
  static const char *const bodies[] = {"eyJhIjoxfQ==", "not base64"};
  for (size_t i = 0; i < 2; i++) {
    char text[256];
    begin(seen);
    ask(seen, STREAM "Transfer-Encoding: chunked\r\n\r\n");
    snprintf(text, sizeof text,
             "0\r\nLambda-Runtime-Function-Error-Type: Runtime.Late\r\n"
             "lambda-runtime-function-error-body: %s\r\n\r\n",
             bodies[i]);
    assert_begins(ask(seen, text), "HTTP/1.1 202 ");
    assert_string_equal(seen->type, "Runtime.Late");
    assert_int_equal(seen->body.size, i == 0 ? 7 : 0);
  }
}

static void test_stream_is_cut(void **state) {
  struct seen *seen = *state;
  begin(seen);
  ask(seen, STREAM "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  lp__endpoint_ended(&seen->endpoint);
  lp__endpoint_ended(&seen->endpoint);
  assert_int_equal(seen->outcomes, 1);
  assert_int_equal(seen->outcome, LP__STREAM_END);
  assert_string_equal(seen->type, "Runtime.TruncatedResponse");
  assert_string_equal(ask_second(seen, NEXT), "");
}

static void test_stream_for_nothing(void **state) {
  struct seen *seen = *state;
  begin(seen);
  ask(seen, "POST " API "invocation/a/response HTTP/1.1\r\n\r\n");
  assert_begins(
      ask(seen, STREAM "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
      "HTTP/1.1 403 ");
  assert_string_equal(seen->notices, "");
}

static void test_other_mode(void **state) {
  struct seen *seen = *state;
  begin(seen);
  assert_begins(ask(seen, "POST " API "invocation/a/response HTTP/1.1\r\n"
                          "Lambda-Runtime-Function-Response-Mode: slow\r\n"
                          "\r\n"),
                "HTTP/1.1 400 ");
  assert_string_equal(seen->type, "Runtime.InvalidResponseModeHeader");
}

static void test_request_ids(void **state) {
  (void)state;
  char id[LP__REQUEST_ID_SIZE + 1] = "";
  assert_true(lp__request_id_ok("8a-B_c.9"));
  assert_false(lp__request_id_ok(""));
  assert_false(lp__request_id_ok("a b"));
  assert_false(lp__request_id_ok("a\r\nb"));
  assert_false(lp__request_id_ok("a/b"));
  memset(id, 'a', LP__REQUEST_ID_SIZE - 1);
  assert_true(lp__request_id_ok(id));
  memset(id, 'a', LP__REQUEST_ID_SIZE);
  assert_false(lp__request_id_ok(id));
}

#define TEST(name)                                                             \
  cmocka_unit_test_setup_teardown(name, open_endpoint, close_endpoint)

#define FUNCTION(name)                                                         \
  cmocka_unit_test_setup_teardown(name, open_function, close_endpoint)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_invocation),
      TEST(test_invoked_before_ready),
      TEST(test_empty_event),
      TEST(test_next_again),
      TEST(test_error),
      TEST(test_second_response),
      TEST(test_response_before_next),
      TEST(test_unknown_id),
      TEST(test_init_error),
      TEST(test_late_init_error),
      TEST(test_other_routes),
      TEST(test_limit),
      TEST(test_endless_length),
      TEST(test_body_in_place),
      TEST(test_chunked),
      TEST(test_chunked_without_end),
      TEST(test_expect),
      TEST(test_streaming_is_refused),
      TEST(test_pipelined),
      cmocka_unit_test(test_any_cut),
      cmocka_unit_test(test_not_http),
      TEST(test_headers_are_limited),
      TEST(test_answers_are_limited),
      TEST(test_long_header_is_ignored),
      FUNCTION(test_two_connections),
      FUNCTION(test_connection_closes),
      FUNCTION(test_stream),
      FUNCTION(test_stream_of_known_length),
      FUNCTION(test_stream_ends_in_error),
      FUNCTION(test_stream_is_cut),
      FUNCTION(test_stream_for_nothing),
      FUNCTION(test_other_mode),
      cmocka_unit_test(test_request_ids),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
