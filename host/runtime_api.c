/* The Lambda Runtime API without HTTP. See runtime_api.h. */
#include "runtime_api.h"

#include "memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool lp__request_id_ok(const char *id) {
  size_t size = strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz"
                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.");
  return size > 0 && size < LP__REQUEST_ID_SIZE && id[size] == '\0';
}

void lp__api_init(struct lp__api *api, const struct lp__api_sink *sink,
                  void *context) {
  memset(api, 0, sizeof *api);
  api->sink = sink;
  api->context = context;
}

int lp__api_invoke(struct lp__api *api,
                   const struct lp__invocation *invocation) {
  if (api->pending)
    return -EBUSY;
  if (api->state == LP__INIT_FAILED)
    return -EPIPE;
  api->invocation = *invocation;
  api->pending = true;
  return 0;
}

static void notify(struct lp__api *api, enum lp__notice notice,
                   const char *bytes, size_t size) {
  if (api->sink->notice)
    api->sink->notice(api->context, notice, bytes, size);
}

enum lp__verdict lp__api_next(struct lp__api *api) {
  if (api->state == LP__INIT_FAILED || api->state == LP__STREAMING)
    return LP__WRONG_STATE;
  if (api->pending)
    return LP__ALLOWED;
  if (api->state != LP__READY) {
    api->state = LP__READY;
    notify(api, LP__NOTICE_READY, NULL, 0);
  }
  return LP__NOTHING_YET;
}

void lp__api_handed_over(struct lp__api *api) {
  api->state = LP__RUNNING;
}

enum lp__verdict lp__api_may_post(const struct lp__api *api,
                                  enum lp__outcome outcome, const char *id,
                                  size_t id_size) {
  const char *current = api->invocation.request_id;
  if (outcome == LP__INIT_ERROR)
    return api->state == LP__STARTED ? LP__ALLOWED : LP__WRONG_STATE;
  if (id_size != strlen(current) || memcmp(id, current, id_size) != 0)
    return LP__WRONG_REQUEST;
  return api->state == LP__RUNNING ? LP__ALLOWED : LP__WRONG_STATE;
}

void lp__body_free(struct lp__body *body) {
  if (body->block)
    lp__block_release(body->block);
  else
    lp__free(body->bytes);
  memset(body, 0, sizeof *body);
}

void lp__api_finish(struct lp__api *api, enum lp__outcome outcome,
                    struct lp__body body, const char *type) {
  api->pending = false;
  api->state = outcome == LP__INIT_ERROR ? LP__INIT_FAILED : LP__RESPONSE_SENT;
  api->sink->outcome(api->context, outcome, body, type);
}

void lp__api_fail(struct lp__api *api, enum lp__outcome outcome,
                  const char *type, const char *message) {
  char text[256];
  int size =
      snprintf(text, sizeof text,
               "{\"errorType\":\"%s\",\"errorMessage\":\"%s\"}", type, message);
  struct lp__body body = {.bytes = lp__malloc((size_t)size)};
  if (body.bytes) {
    memcpy(body.bytes, text, (size_t)size);
    body.size = (size_t)size;
  }
  lp__api_finish(api, outcome, body, type);
}

void lp__api_stream(struct lp__api *api, const char *content_type) {
  api->state = LP__STREAMING;
  notify(api, LP__NOTICE_STREAM, content_type, strlen(content_type));
}

void lp__api_chunk(struct lp__api *api, const char *bytes, size_t size) {
  if (size > 0)
    notify(api, LP__NOTICE_CHUNK, bytes, size);
}

void lp__api_refusal(const struct lp__api *api, const char *wanted,
                     char *message, size_t size) {
  static const char *const names[] = {[LP__STARTED] = "Started",
                                      [LP__READY] = "Ready",
                                      [LP__RUNNING] = "Running",
                                      [LP__STREAMING] = "InvocationResponse",
                                      [LP__RESPONSE_SENT] =
                                          "RuntimeResponseSentState",
                                      [LP__INIT_FAILED] = "InitError"};
  snprintf(message, size,
           "State transition from %s to %s failed for runtime. "
           "Error: State transition is not allowed",
           names[api->state], wanted);
}
