/* One connection to the Lambda Runtime API. See endpoint.h. */
#include "endpoint.h"

#include "base64.h"
#include "memory.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* What AWS calls the function in its emulator, with our name. */
#define FUNCTION_ARN "arn:aws:lambda:us-east-1:012345678912:function:local"
#define API          "/2018-06-01"

/* Posted bodies without a length grow from this size. */
enum { BODY_START = 16 * 1024 };

/* --- answers ------------------------------------------------------------- */

/* Appends to the answer. Only a client that sends many requests without
 * waiting for answers can fill it up. */
__attribute__((format(printf, 2, 3))) static void
append(struct lp__endpoint *endpoint, const char *format, ...) {
  size_t room = sizeof endpoint->answer - endpoint->answer_size;
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(endpoint->answer + endpoint->answer_size, room, format,
                       arguments);
  va_end(arguments);
  if (size < 0 || (size_t)size >= room)
    endpoint->failure = -EPROTO;
  else
    endpoint->answer_size += (size_t)size;
}

/* Also says so when the connection ends with this. */
static void answer(struct lp__endpoint *endpoint, const char *status,
                   const char *type, const char *body) {
  append(endpoint,
         "HTTP/1.1 %s\r\nContent-Type: %s\r\n%sContent-Length: %zu\r\n\r\n%s",
         status, type, endpoint->closes ? "Connection: close\r\n" : "",
         strlen(body), body);
}

static void refuse(struct lp__endpoint *endpoint, const char *status,
                   const char *type, const char *message) {
  char body[320];
  snprintf(body, sizeof body, "{\"errorMessage\":\"%s\",\"errorType\":\"%s\"}",
           message, type);
  answer(endpoint, status, "application/json", body);
}

static void refuse_transition(struct lp__endpoint *endpoint,
                              const char *wanted) {
  char message[192];
  lp__api_refusal(endpoint->api, wanted, message, sizeof message);
  refuse(endpoint, "403 Forbidden", "InvalidStateTransition", message);
}

/* What pools tell about an invocation. The trace id has the form of X-Ray's: a
 * time and 24 hexadecimal digits, here those of the request id. */
static void append_pool_headers(struct lp__endpoint *endpoint) {
  char digits[] = "000000000000000000000000";
  size_t count = 0;
  for (const char *c = endpoint->api->invocation.request_id; *c && count < 24;
       c++)
    if (strchr("0123456789abcdef", *c))
      digits[count++] = *c;
  append(endpoint,
         "Lambda-Runtime-Invoked-Function-Arn: " FUNCTION_ARN "\r\n"
         "Lambda-Runtime-Trace-Id: Root=1-%08x-%s;Sampled=0\r\n\r\n",
         (unsigned)time(NULL), digits);
}

void lp__endpoint_hand_over(struct lp__endpoint *endpoint) {
  const struct lp__invocation *invocation = &endpoint->api->invocation;
  append(endpoint,
         "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
         "%sContent-Length: %zu\r\n"
         "Lambdapool-Pipelining: 1\r\n" /* see agent/runtime.c */
         "Lambda-Runtime-Aws-Request-Id: %s\r\n"
         "Lambda-Runtime-Deadline-Ms: %" PRIu64 "\r\n",
         endpoint->closes ? "Connection: close\r\n" : "",
         invocation->event_size, invocation->request_id,
         invocation->deadline_ms);
  if (invocation->headers)
    endpoint->rest[0] = (struct iovec){(char *)invocation->headers,
                                       strlen(invocation->headers)};
  else
    append_pool_headers(endpoint);
  endpoint->rest[1] =
      (struct iovec){(char *)invocation->event, invocation->event_size};
  endpoint->waits = false;
  lp__api_handed_over(endpoint->api);
}

bool lp__endpoint_hands_over(const struct lp__endpoint *endpoint) {
  return endpoint->rest[0].iov_len + endpoint->rest[1].iov_len > 0;
}

/* --- requests ------------------------------------------------------------ */

static void refuse_post(struct lp__endpoint *endpoint, enum lp__verdict verdict,
                        enum lp__outcome outcome) {
  static const char *const wanted[] = {[LP__RESPONSE] = "InvocationResponse",
                                       [LP__ERROR] = "InvocationErrorResponse",
                                       [LP__INIT_ERROR] = "InitError"};
  if (verdict == LP__WRONG_REQUEST)
    refuse(endpoint, "400 Bad Request", "InvalidRequestID",
           "Invalid request ID");
  else
    refuse_transition(endpoint, wanted[outcome]);
}

static void accept_post(struct lp__endpoint *endpoint) {
  answer(endpoint, "202 Accepted", "application/json", "{\"status\":\"OK\"}");
}

/* The body belongs to the caller from now on. */
static struct lp__body take_away(struct lp__endpoint *endpoint) {
  struct lp__body body = endpoint->request.body;
  memset(&endpoint->request.body, 0, sizeof body);
  body.is_whole = body.size > 0 && body.bytes == endpoint->whole &&
                  body.size == endpoint->whole_size;
  return body;
}

static void take_post(struct lp__endpoint *endpoint, enum lp__outcome outcome) {
  struct lp__endpoint_request *request = &endpoint->request;
  enum lp__outcome failed = outcome == LP__RESPONSE ? LP__ERROR : outcome;
  if (request->too_large) {
    refuse(endpoint, "413 Request Entity Too Large", "RequestEntityTooLarge",
           "Exceeded maximum allowed payload size (6291556 bytes).");
    lp__api_fail(endpoint->api, failed, "Function.ResponseSizeTooLarge",
                 "Response payload size exceeded maximum allowed payload size "
                 "(6291556 bytes).");
  } else if (outcome == LP__RESPONSE && request->has_mode) {
    refuse(endpoint, "400 Bad Request", "InvalidFunctionResponseMode",
           "Invalid function response mode");
    lp__api_fail(endpoint->api, failed, "Runtime.InvalidResponseModeHeader",
                 endpoint->api->sink->notice
                     ? "the response mode can only be streaming"
                     : "only buffered responses are offered here");
  } else {
    struct lp__body body = take_away(endpoint);
    accept_post(endpoint);
    lp__api_finish(endpoint->api, outcome, body, request->type);
  }
}

/* POST of an outcome; `id` begins at the request id, if it has one. */
static void on_post(struct lp__endpoint *endpoint, enum lp__outcome outcome,
                    const char *id, size_t id_size) {
  enum lp__verdict verdict =
      lp__api_may_post(endpoint->api, outcome, id, id_size);
  if (verdict == LP__ALLOWED)
    take_post(endpoint, outcome);
  else
    refuse_post(endpoint, verdict, outcome);
}

/* The error in the trailer is in base64; one that is not, or was too long, is
 * left out. */
static void end_stream(struct lp__endpoint *endpoint) {
  struct lp__endpoint_request *request = &endpoint->request;
  struct lp__body body = take_away(endpoint);
  if (body.bytes &&
      lp__base64_decode(body.bytes, body.bytes, body.size, &body.size) < 0)
    body.size = 0;
  accept_post(endpoint);
  lp__api_finish(endpoint->api, LP__STREAM_END, body, request->type);
}

static void on_next(struct lp__endpoint *endpoint) {
  enum lp__verdict verdict = lp__api_next(endpoint->api);
  if (verdict == LP__ALLOWED)
    lp__endpoint_hand_over(endpoint);
  else if (verdict == LP__NOTHING_YET)
    endpoint->waits = true;
  else
    refuse_transition(endpoint, "Ready");
}

static const char invocation_path[] = API "/runtime/invocation/";

/* Where the request id begins in a path that has one, and in *what what comes
 * after it; or NULL. */
static const char *find_id(const char *url, const char **what) {
  size_t size = sizeof invocation_path - 1;
  const char *id = strncmp(url, invocation_path, size) == 0 ? url + size : NULL;
  *what = id ? strchr(id, '/') : NULL;
  return id;
}

static void dispatch(struct lp__endpoint *endpoint) {
  bool get = endpoint->parser.method == HTTP_GET;
  bool post = endpoint->parser.method == HTTP_POST;
  const char *url = endpoint->request.url, *what;
  const char *id = find_id(url, &what);

  endpoint->closes = endpoint->request.closes;
  if (endpoint->request.streams)
    end_stream(endpoint);
  else if (get && id && strcmp(id, "next") == 0)
    on_next(endpoint);
  else if (post && what && strcmp(what, "/response") == 0)
    on_post(endpoint, LP__RESPONSE, id, (size_t)(what - id));
  else if (post && what && strcmp(what, "/error") == 0)
    on_post(endpoint, LP__ERROR, id, (size_t)(what - id));
  else if (post && strcmp(url, API "/runtime/init/error") == 0)
    on_post(endpoint, LP__INIT_ERROR, "", 0);
  else if (get && strcmp(url, API "/ping") == 0)
    answer(endpoint, "200 OK", "text/plain", "pong");
  else
    refuse(endpoint, "404 Not Found", "NotFound",
           "no such call in the Lambda Runtime API");
}

/* The headers are complete: is this a streamed response that may begin? If it
 * may not, dispatch says so when all of it is there. */
static void begin_stream(struct lp__endpoint *endpoint) {
  struct lp__endpoint_request *request = &endpoint->request;
  const char *what, *id = find_id(request->url, &what);
  if (strcmp(request->mode, "streaming") != 0 || !endpoint->api->sink->notice ||
      endpoint->parser.method != HTTP_POST || !what ||
      strcmp(what, "/response") != 0 ||
      lp__api_may_post(endpoint->api, LP__RESPONSE, id, (size_t)(what - id)) !=
          LP__ALLOWED)
    return;
  request->streams = true;
  lp__api_stream(endpoint->api, request->content_type[0]
                                    ? request->content_type
                                    : "application/octet-stream");
}

static void reset_request(struct lp__endpoint_request *request) {
  lp__body_free(&request->body);
  memset(request, 0, sizeof *request);
}

/* --- what http-parser reports -------------------------------------------- */

/* Adds to a text of limited size; one that is too long becomes "" for good. */
static void add_text(char *text, size_t room, size_t *used, const char *bytes,
                     size_t size) {
  if (*used + size < room) {
    memcpy(text + *used, bytes, size);
    text[*used + size] = '\0';
  } else {
    text[0] = '\0';
  }
  *used += size;
}

static int on_url(http_parser *parser, const char *bytes, size_t size) {
  struct lp__endpoint *endpoint = parser->data;
  struct lp__endpoint_request *request = &endpoint->request;
  add_text(request->url, sizeof request->url, &request->url_size, bytes, size);
  return 0;
}

static void keep_value(struct lp__endpoint_request *request, char *to) {
  memcpy(to, request->value, sizeof request->value);
}

static void keep_header(struct lp__endpoint_request *request) {
  const char *field = request->field;
  if (strcasecmp(field, "Lambda-Runtime-Function-Response-Mode") == 0) {
    keep_value(request, request->mode);
    request->has_mode = true;
  } else if (strcasecmp(field, "Content-Type") == 0) {
    keep_value(request, request->content_type);
  } else if (strcasecmp(field, "Expect") == 0) {
    request->expects = strcasecmp(request->value, "100-continue") == 0;
  }
}

/* A header is complete when the next one begins, or when all are; one after a
 * chunked body, a trailer, likewise. */
static void end_header(struct lp__endpoint_request *request) {
  if (!request->in_value)
    return;
  if (strcasecmp(request->field, "Lambda-Runtime-Function-Error-Type") == 0)
    keep_value(request, request->type);
  else if (!request->headers_done)
    keep_header(request);
  request->in_value = false;
  request->field_size = request->value_size = 0;
  request->field[0] = request->value[0] = '\0';
}

static int on_header_field(http_parser *parser, const char *bytes,
                           size_t size) {
  struct lp__endpoint *endpoint = parser->data;
  struct lp__endpoint_request *request = &endpoint->request;
  end_header(request);
  add_text(request->field, sizeof request->field, &request->field_size, bytes,
           size);
  return 0;
}

/* Makes room for a body of `size` bytes; a larger one than allowed is only
 * counted. */
static int reserve_body(struct lp__endpoint *endpoint, uint64_t size) {
  struct lp__endpoint_request *request = &endpoint->request;
  if (size > LP__BODY_MAX) {
    request->too_large = true;
    return 0;
  }
  if (size <= request->body_room)
    return 0;
  char *body = lp__realloc(request->body.bytes, (size_t)size);
  if (!body) {
    endpoint->failure = -ENOMEM;
    return -1;
  }
  request->body.bytes = body;
  request->body_room = (size_t)size;
  return 0;
}

/* A body of known length is not the parser's business: it is told that there
 * is none, and take_body receives it. */
static int on_headers_complete(http_parser *parser) {
  struct lp__endpoint *endpoint = parser->data;
  struct lp__endpoint_request *request = &endpoint->request;
  end_header(request);
  request->headers_done = true;
  request->closes = !http_should_keep_alive(parser);
  begin_stream(endpoint);
  if (request->expects)
    append(endpoint, "HTTP/1.1 100 Continue\r\n\r\n");
  if (parser->flags & F_CHUNKED)
    return 0;
  if (parser->content_length != ULLONG_MAX)
    request->missing = parser->content_length;
  if (request->streams)
    return 1;
  request->in_place = endpoint->block && request->missing <= LP__BODY_MAX;
  if (request->in_place)
    return 1;
  return reserve_body(endpoint, request->missing) < 0 ? -1 : 1;
}

/* Adds to a body whose length is not known. */
static int add_body(struct lp__endpoint *endpoint, const char *bytes,
                    size_t size) {
  struct lp__endpoint_request *request = &endpoint->request;
  size_t wanted = request->body.size + size;
  if (!request->too_large && wanted > request->body_room) {
    size_t room = request->body_room ? request->body_room * 2 : BODY_START;
    if (room > LP__BODY_MAX)
      room = LP__BODY_MAX;
    if (reserve_body(endpoint, wanted > room ? wanted : room) < 0)
      return -1;
  }
  if (!request->too_large) {
    memcpy(request->body.bytes + request->body.size, bytes, size);
    request->body.size = wanted;
  }
  return 0;
}

static int on_body(http_parser *parser, const char *bytes, size_t size) {
  struct lp__endpoint *endpoint = parser->data;
  if (!endpoint->request.streams)
    return add_body(endpoint, bytes, size);
  lp__api_chunk(endpoint->api, bytes, size);
  return 0;
}

/* The error in the trailer of a streamed response is kept as its body. */
static int on_header_value(http_parser *parser, const char *bytes,
                           size_t size) {
  struct lp__endpoint *endpoint = parser->data;
  struct lp__endpoint_request *request = &endpoint->request;
  request->in_value = true;
  if (request->headers_done && request->streams &&
      strcasecmp(request->field, "Lambda-Runtime-Function-Error-Body") == 0)
    return add_body(endpoint, bytes, size);
  add_text(request->value, sizeof request->value, &request->value_size, bytes,
           size);
  return 0;
}

/* The pause hands control back to lp__endpoint_receive after each request. */
static int on_message_complete(http_parser *parser) {
  struct lp__endpoint *endpoint = parser->data;
  end_header(&endpoint->request);
  endpoint->request.complete = true;
  http_parser_pause(parser, 1);
  return 0;
}

/* Gives the parser bytes; the number it used, or negative. After /next nothing
 * may come before the event was sent. */
static ssize_t parse(struct lp__endpoint *endpoint, const char *bytes,
                     size_t size) {
  static const http_parser_settings settings = {
      .on_url = on_url,
      .on_header_field = on_header_field,
      .on_header_value = on_header_value,
      .on_headers_complete = on_headers_complete,
      .on_body = on_body,
      .on_message_complete = on_message_complete};
  http_parser *parser = &endpoint->parser;
  if (endpoint->waits || lp__endpoint_hands_over(endpoint))
    return -EPROTO;
  if (endpoint->closes)
    return (ssize_t)size; /* nobody is to answer that */
  size_t used = http_parser_execute(parser, &settings, bytes, size);
  if (endpoint->failure < 0)
    return endpoint->failure;
  if (HTTP_PARSER_ERRNO(parser) == HPE_PAUSED)
    http_parser_pause(parser, 0);
  else if (HTTP_PARSER_ERRNO(parser) != HPE_OK)
    return -EPROTO;
  return parser->upgrade ? -EPROTO : (ssize_t)used;
}

static ssize_t take_body(struct lp__endpoint *endpoint, const char *bytes,
                         size_t size) {
  struct lp__endpoint_request *request = &endpoint->request;
  if (size > request->missing)
    size = (size_t)request->missing;
  if (request->streams) {
    lp__api_chunk(endpoint->api, bytes, size);
  } else if (request->in_place) {
    if (!request->body.block)
      lp__endpoint_moved(endpoint, endpoint->block, (char *)bytes);
    request->body.size += size;
  } else if (!request->too_large) {
    char *end = request->body.bytes + request->body.size;
    if (bytes != end)
      memcpy(end, bytes, size);
    request->body.size += size;
  }
  request->missing -= size;
  return (ssize_t)size;
}

/* --- the interface ------------------------------------------------------- */

void lp__endpoint_init(struct lp__endpoint *endpoint, struct lp__api *api) {
  memset(endpoint, 0, sizeof *endpoint);
  endpoint->api = api;
  http_parser_init(&endpoint->parser, HTTP_REQUEST);
  endpoint->parser.data = endpoint;
}

void lp__endpoint_ended(struct lp__endpoint *endpoint) {
  if (endpoint->request.streams)
    lp__api_finish(endpoint->api, LP__STREAM_END,
                   (struct lp__body){.bytes = NULL},
                   "Runtime.TruncatedResponse");
  endpoint->request.streams = false;
  endpoint->waits = false;
}

void lp__endpoint_free(struct lp__endpoint *endpoint) {
  lp__body_free(&endpoint->request.body);
}

char *lp__endpoint_space(const struct lp__endpoint *endpoint, char *scratch,
                         size_t scratch_size, size_t *size) {
  const struct lp__endpoint_request *request = &endpoint->request;
  if (request->missing == 0 || request->too_large || request->streams ||
      request->in_place) {
    *size = scratch_size;
    return scratch;
  }
  *size = (size_t)request->missing;
  return request->body.bytes + request->body.size;
}

int lp__endpoint_receive(struct lp__endpoint *endpoint, const char *bytes,
                         size_t size) {
  struct lp__endpoint_request *request = &endpoint->request;
  while (size > 0) {
    ssize_t used = request->missing > 0 ? take_body(endpoint, bytes, size)
                                        : parse(endpoint, bytes, size);
    if (used < 0)
      return (int)used;
    bytes += used;
    size -= (size_t)used;
    if (request->complete && request->missing == 0) {
      dispatch(endpoint);
      reset_request(request);
    }
    if (endpoint->failure < 0)
      return endpoint->failure;
  }
  return 0;
}

char *lp__endpoint_begun(const struct lp__endpoint *endpoint, size_t *size,
                         size_t *missing) {
  const struct lp__endpoint_request *request = &endpoint->request;
  *size = request->body.size;
  *missing = request->in_place ? (size_t)request->missing : 0;
  return request->in_place ? request->body.bytes : NULL;
}

void lp__endpoint_moved(struct lp__endpoint *endpoint, struct lp__block *block,
                        char *bytes) {
  struct lp__body *body = &endpoint->request.body;
  lp__block_hold(block);
  lp__block_release(body->block);
  body->block = block;
  body->bytes = bytes;
}

bool lp__endpoint_busy(const struct lp__endpoint *endpoint) {
  return endpoint->waits || endpoint->request.url_size > 0 ||
         endpoint->answer_size > 0 || lp__endpoint_hands_over(endpoint);
}

int lp__endpoint_output(const struct lp__endpoint *endpoint,
                        struct iovec pieces[LP__ENDPOINT_PIECES]) {
  int count = 0;
  if (endpoint->answer_sent < endpoint->answer_size)
    pieces[count++] =
        (struct iovec){(char *)endpoint->answer + endpoint->answer_sent,
                       endpoint->answer_size - endpoint->answer_sent};
  for (int i = 0; i < 2; i++)
    if (endpoint->rest[i].iov_len > 0)
      pieces[count++] = endpoint->rest[i];
  return count;
}

/* Takes what was sent of one piece from *size. */
static void advance(struct iovec *piece, size_t *size) {
  size_t part = *size < piece->iov_len ? *size : piece->iov_len;
  if (part == 0)
    return;
  piece->iov_base = (char *)piece->iov_base + part;
  piece->iov_len -= part;
  *size -= part;
}

void lp__endpoint_sent(struct lp__endpoint *endpoint, size_t size) {
  size_t head = endpoint->answer_size - endpoint->answer_sent;
  if (head > size)
    head = size;
  endpoint->answer_sent += head;
  if (endpoint->answer_sent == endpoint->answer_size)
    endpoint->answer_sent = endpoint->answer_size = 0;
  size -= head;
  advance(&endpoint->rest[0], &size);
  advance(&endpoint->rest[1], &size);
}
