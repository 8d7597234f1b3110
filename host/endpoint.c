/* The Lambda Runtime API as one worker sees it. See endpoint.h. */
#include "endpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* What AWS calls the function in its emulator, with our name. */
#define FUNCTION_ARN "arn:aws:lambda:us-east-1:012345678912:function:local"
#define API          "/2018-06-01"

/* Posted bodies without a length grow from this size. */
enum { BODY_START = 16 * 1024 };

static const char *const state_names[] = {[LP__STARTED] = "Started",
                                          [LP__READY] = "Ready",
                                          [LP__RUNNING] = "Running",
                                          [LP__RESPONSE_SENT] =
                                              "RuntimeResponseSentState",
                                          [LP__INIT_FAILED] = "InitError"};

bool lp__request_id_ok(const char *id) {
  size_t size = strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz"
                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.");
  return size > 0 && size < LP__REQUEST_ID_SIZE && id[size] == '\0';
}

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

static void answer(struct lp__endpoint *endpoint, const char *status,
                   const char *type, const char *body) {
  append(endpoint,
         "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
         status, type, strlen(body), body);
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
  snprintf(message, sizeof message,
           "State transition from %s to %s failed for runtime. "
           "Error: State transition is not allowed",
           state_names[endpoint->state], wanted);
  refuse(endpoint, "403 Forbidden", "InvalidStateTransition", message);
}

/* The trace id has the form of X-Ray's: a time and 24 hexadecimal digits, here
 * those of the request id. */
static void append_trace_id(struct lp__endpoint *endpoint) {
  char digits[] = "000000000000000000000000";
  size_t count = 0;
  for (const char *c = endpoint->invocation.request_id; *c && count < 24; c++)
    if (strchr("0123456789abcdef", *c))
      digits[count++] = *c;
  append(endpoint, "Lambda-Runtime-Trace-Id: Root=1-%08x-%s;Sampled=0\r\n\r\n",
         (unsigned)time(NULL), digits);
}

static void hand_over(struct lp__endpoint *endpoint) {
  const struct lp__invocation *invocation = &endpoint->invocation;
  append(endpoint,
         "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
         "Content-Length: %zu\r\n"
         "Lambda-Runtime-Aws-Request-Id: %s\r\n"
         "Lambda-Runtime-Deadline-Ms: %" PRIu64 "\r\n"
         "Lambda-Runtime-Invoked-Function-Arn: " FUNCTION_ARN "\r\n",
         invocation->event_size, invocation->request_id,
         invocation->deadline_ms);
  append_trace_id(endpoint);
  endpoint->event = invocation->event;
  endpoint->event_size = invocation->event_size;
  endpoint->state = LP__RUNNING;
}

/* --- requests ------------------------------------------------------------ */

static void finish(struct lp__endpoint *endpoint, enum lp__outcome outcome,
                   char *body, size_t size, const char *type) {
  endpoint->pending = false;
  endpoint->state =
      outcome == LP__INIT_ERROR ? LP__INIT_FAILED : LP__RESPONSE_SENT;
  endpoint->outcome(endpoint->context, outcome, body, size, type);
}

/* Ends the invocation with an error of the platform, not of the worker. */
static void finish_with(struct lp__endpoint *endpoint, enum lp__outcome outcome,
                        const char *type, const char *message) {
  char text[256];
  int size =
      snprintf(text, sizeof text,
               "{\"errorType\":\"%s\",\"errorMessage\":\"%s\"}", type, message);
  char *body = malloc((size_t)size);
  if (body)
    memcpy(body, text, (size_t)size);
  finish(endpoint, outcome, body, body ? (size_t)size : 0, type);
}

static void on_posted(struct lp__endpoint *endpoint, enum lp__outcome outcome) {
  struct lp__endpoint_request *request = &endpoint->request;
  enum lp__outcome failed = outcome == LP__RESPONSE ? LP__ERROR : outcome;
  if (request->too_large) {
    refuse(endpoint, "413 Request Entity Too Large", "RequestEntityTooLarge",
           "Exceeded maximum allowed payload size (6291556 bytes).");
    finish_with(endpoint, failed, "Function.ResponseSizeTooLarge",
                "Response payload size exceeded maximum allowed payload size "
                "(6291556 bytes).");
  } else if (request->streams) {
    refuse(endpoint, "400 Bad Request", "InvalidFunctionResponseMode",
           "Invalid function response mode");
    finish_with(endpoint, failed, "Runtime.InvalidResponseModeHeader",
                "only buffered responses are offered here");
  } else {
    char *body = request->body;
    request->body = NULL;
    answer(endpoint, "202 Accepted", "application/json", "{\"status\":\"OK\"}");
    finish(endpoint, outcome, body, request->body_size, request->type);
  }
}

static void on_next(struct lp__endpoint *endpoint) {
  if (endpoint->state == LP__INIT_FAILED)
    refuse_transition(endpoint, state_names[LP__READY]);
  else if (endpoint->pending)
    hand_over(endpoint);
  else
    endpoint->state = LP__READY;
}

static void on_init_error(struct lp__endpoint *endpoint) {
  if (endpoint->state == LP__STARTED)
    on_posted(endpoint, LP__INIT_ERROR);
  else
    refuse_transition(endpoint, state_names[LP__INIT_FAILED]);
}

/* POST /runtime/invocation/ID/WHAT; `id` begins at the ID. */
static void on_result(struct lp__endpoint *endpoint, const char *id,
                      size_t id_size, enum lp__outcome outcome) {
  const char *current = endpoint->invocation.request_id;
  if (id_size != strlen(current) || memcmp(id, current, id_size) != 0)
    refuse(endpoint, "400 Bad Request", "InvalidRequestID",
           "Invalid request ID");
  else if (endpoint->state != LP__RUNNING)
    refuse_transition(endpoint, outcome == LP__RESPONSE
                                    ? "InvocationResponse"
                                    : "InvocationErrorResponse");
  else
    on_posted(endpoint, outcome);
}

static bool begins(const char *text, const char *with) {
  return strncmp(text, with, strlen(with)) == 0;
}

static void dispatch(struct lp__endpoint *endpoint) {
  static const char invocation[] = API "/runtime/invocation/";
  bool get = endpoint->parser.method == HTTP_GET;
  bool post = endpoint->parser.method == HTTP_POST;
  const char *url = endpoint->request.url;
  const char *id = begins(url, invocation) ? url + sizeof invocation - 1 : NULL;
  const char *what = id ? strchr(id, '/') : NULL;

  if (get && id && strcmp(id, "next") == 0)
    on_next(endpoint);
  else if (post && what && strcmp(what, "/response") == 0)
    on_result(endpoint, id, (size_t)(what - id), LP__RESPONSE);
  else if (post && what && strcmp(what, "/error") == 0)
    on_result(endpoint, id, (size_t)(what - id), LP__ERROR);
  else if (post && strcmp(url, API "/runtime/init/error") == 0)
    on_init_error(endpoint);
  else if (get && strcmp(url, API "/ping") == 0)
    answer(endpoint, "200 OK", "text/plain", "pong");
  else
    refuse(endpoint, "404 Not Found", "NotFound",
           "no such call in the Lambda Runtime API");
}

static void reset_request(struct lp__endpoint_request *request) {
  free(request->body);
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

/* A header is complete when the next one begins, or when all are. Those after
 * a chunked body (trailers) are not looked at. */
static void end_header(struct lp__endpoint_request *request) {
  if (request->in_value && !request->headers_done) {
    if (strcasecmp(request->field, "Lambda-Runtime-Function-Error-Type") == 0)
      memcpy(request->type, request->value, sizeof request->value);
    else if (strcasecmp(request->field,
                        "Lambda-Runtime-Function-Response-Mode") == 0)
      request->streams = true;
    else if (strcasecmp(request->field, "Expect") == 0)
      request->expects = strcasecmp(request->value, "100-continue") == 0;
  }
  request->in_value = false;
  request->field_size = request->value_size = 0;
  request->field[0] = request->value[0] = '\0';
}

static int on_header_field(http_parser *parser, const char *bytes,
                           size_t size) {
  struct lp__endpoint *endpoint = parser->data;
  struct lp__endpoint_request *request = &endpoint->request;
  if (request->in_value)
    end_header(request);
  add_text(request->field, sizeof request->field, &request->field_size, bytes,
           size);
  return 0;
}

static int on_header_value(http_parser *parser, const char *bytes,
                           size_t size) {
  struct lp__endpoint *endpoint = parser->data;
  struct lp__endpoint_request *request = &endpoint->request;
  request->in_value = true;
  add_text(request->value, sizeof request->value, &request->value_size, bytes,
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
  char *body = realloc(request->body, (size_t)size);
  if (!body) {
    endpoint->failure = -ENOMEM;
    return -1;
  }
  request->body = body;
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
  if (request->expects)
    append(endpoint, "HTTP/1.1 100 Continue\r\n\r\n");
  if (parser->flags & F_CHUNKED)
    return 0;
  if (parser->content_length != ULLONG_MAX)
    request->missing = parser->content_length;
  return reserve_body(endpoint, request->missing) < 0 ? -1 : 1;
}

static int on_body(http_parser *parser, const char *bytes, size_t size) {
  struct lp__endpoint *endpoint = parser->data;
  struct lp__endpoint_request *request = &endpoint->request;
  size_t wanted = request->body_size + size;
  if (!request->too_large && wanted > request->body_room) {
    size_t room = request->body_room ? request->body_room * 2 : BODY_START;
    if (room > LP__BODY_MAX)
      room = LP__BODY_MAX;
    if (reserve_body(endpoint, wanted > room ? wanted : room) < 0)
      return -1;
  }
  if (!request->too_large) {
    memcpy(request->body + request->body_size, bytes, size);
    request->body_size = wanted;
  }
  return 0;
}

/* The pause hands control back to lp__endpoint_receive after each request. */
static int on_message_complete(http_parser *parser) {
  struct lp__endpoint *endpoint = parser->data;
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
  if (endpoint->state == LP__READY || endpoint->event)
    return -EPROTO;
  size_t used = http_parser_execute(parser, &settings, bytes, size);
  if (endpoint->failure < 0)
    return endpoint->failure;
  if (HTTP_PARSER_ERRNO(parser) == HPE_PAUSED)
    http_parser_pause(parser, 0);
  else if (HTTP_PARSER_ERRNO(parser) != HPE_OK)
    return -EPROTO;
  return parser->upgrade ? -EPROTO : (ssize_t)used;
}

static ssize_t take_body(struct lp__endpoint_request *request,
                         const char *bytes, size_t size) {
  if (size > request->missing)
    size = (size_t)request->missing;
  if (!request->too_large) {
    char *end = request->body + request->body_size;
    if (bytes != end)
      memcpy(end, bytes, size);
    request->body_size += size;
  }
  request->missing -= size;
  return (ssize_t)size;
}

/* --- the interface ------------------------------------------------------- */

void lp__endpoint_init(struct lp__endpoint *endpoint, lp__outcome_sink *outcome,
                       void *context) {
  memset(endpoint, 0, sizeof *endpoint);
  endpoint->outcome = outcome;
  endpoint->context = context;
  http_parser_init(&endpoint->parser, HTTP_REQUEST);
  endpoint->parser.data = endpoint;
}

void lp__endpoint_free(struct lp__endpoint *endpoint) {
  free(endpoint->request.body);
  endpoint->request.body = NULL;
}

int lp__endpoint_invoke(struct lp__endpoint *endpoint,
                        const struct lp__invocation *invocation) {
  if (endpoint->pending)
    return -EBUSY;
  if (endpoint->state == LP__INIT_FAILED)
    return -EPIPE;
  endpoint->invocation = *invocation;
  endpoint->pending = true;
  if (endpoint->state == LP__READY)
    hand_over(endpoint);
  return 0;
}

char *lp__endpoint_space(const struct lp__endpoint *endpoint, char *scratch,
                         size_t scratch_size, size_t *size) {
  const struct lp__endpoint_request *request = &endpoint->request;
  if (request->missing == 0 || request->too_large) {
    *size = scratch_size;
    return scratch;
  }
  *size = (size_t)request->missing;
  return request->body + request->body_size;
}

int lp__endpoint_receive(struct lp__endpoint *endpoint, const char *bytes,
                         size_t size) {
  struct lp__endpoint_request *request = &endpoint->request;
  while (size > 0) {
    ssize_t used = request->missing > 0 ? take_body(request, bytes, size)
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

int lp__endpoint_output(const struct lp__endpoint *endpoint,
                        struct iovec pieces[2]) {
  int count = 0;
  if (endpoint->answer_sent < endpoint->answer_size)
    pieces[count++] =
        (struct iovec){(char *)endpoint->answer + endpoint->answer_sent,
                       endpoint->answer_size - endpoint->answer_sent};
  if (endpoint->event_size > 0)
    pieces[count++] =
        (struct iovec){(char *)endpoint->event, endpoint->event_size};
  return count;
}

void lp__endpoint_sent(struct lp__endpoint *endpoint, size_t size) {
  size_t head = endpoint->answer_size - endpoint->answer_sent;
  if (head > size)
    head = size;
  endpoint->answer_sent += head;
  if (endpoint->event) {
    endpoint->event += size - head;
    endpoint->event_size -= size - head;
  }
  if (endpoint->answer_sent == endpoint->answer_size)
    endpoint->answer_sent = endpoint->answer_size = 0;
  if (endpoint->answer_size == 0 && endpoint->event_size == 0)
    endpoint->event = NULL;
}
