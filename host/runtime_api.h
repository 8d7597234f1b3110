/* The Lambda Runtime API as one worker sees it, without HTTP: which call is
 * allowed when, and what becomes of each invocation. A worker has one of these,
 * whatever the number of its connections (endpoint.h). The states are those of
 * AWS:
 *
 *   Started --/next--> Ready --event--> Running --/response|/error--> Sent
 *      |                 ^                 |                           |  |
 *      |                 |             a stream begins --its end-------'  |
 *      |                 '-----------------------/next--------------------'
 *      '--/init/error--> InitError
 *
 * A /next while an invocation runs hands the same event over again, as AWS's
 * emulator does. */
#ifndef LP_RUNTIME_API_H
#define LP_RUNTIME_API_H

#include "block.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LP__REQUEST_ID_SIZE = 65 };

struct lp__invocation {
  const char *event; /* JSON text */
  size_t event_size;
  uint64_t deadline_ms; /* Unix time, in milliseconds */
  char request_id[LP__REQUEST_ID_SIZE];
  /* Further header lines of the answer to /next and the empty line after them,
   * each with its CR LF. NULL: those of pools, which name a function and a
   * trace. */
  const char *headers;
};

/* How an invocation, or the initialisation, ended. */
enum lp__outcome {
  LP__RESPONSE,
  LP__ERROR,
  LP__INIT_ERROR,
  LP__STREAM_END /* type "" when all is well */
};

/* What was posted. Whoever has it last frees it. */
struct lp__body {
  struct lp__block *block; /* held, and the bytes are inside of it; NULL: they
                            * are memory of their own (memory.h), or NULL */
  char *bytes;
  size_t size;
  bool is_whole; /* it has been checked, and found to be right */
};

void lp__body_free(struct lp__body *body);

enum lp__notice {
  LP__NOTICE_READY,  /* /next, and there is no invocation to hand over */
  LP__NOTICE_STREAM, /* a streamed response begins; bytes: its content type */
  LP__NOTICE_CHUNK   /* bytes: the next part of it */
};

/* Who is told what happens. */
struct lp__api_sink {
  /* Takes `body`; borrows `type`, the error type or "". */
  void (*outcome)(void *context, enum lp__outcome outcome, struct lp__body body,
                  const char *type);
  /* Borrows `bytes`. NULL where nobody wants to know: then streamed responses
   * are not offered. */
  void (*notice)(void *context, enum lp__notice notice, const char *bytes,
                 size_t size);
};

enum lp__api_state {
  LP__STARTED,
  LP__READY, /* it has asked for an invocation */
  LP__RUNNING,
  LP__STREAMING,
  LP__RESPONSE_SENT,
  LP__INIT_FAILED
};

struct lp__api {
  const struct lp__api_sink *sink;
  void *context;
  enum lp__api_state state;
  bool pending; /* the invocation has no outcome yet */
  struct lp__invocation invocation;
};

/* What is to be answered. */
enum lp__verdict {
  LP__ALLOWED,
  LP__NOTHING_YET,   /* to /next: as soon as there is an invocation */
  LP__WRONG_REQUEST, /* 400: this is not the current invocation's id */
  LP__WRONG_STATE    /* 403: lp__api_refusal says it in words */
};

/* Makes one in the state Started. Borrows the sink. */
void lp__api_init(struct lp__api *api, const struct lp__api_sink *sink,
                  void *context);

/* True when `id` can be a request id: 1 to 64 letters, digits, - _ or . */
bool lp__request_id_ok(const char *id);

/* Queues an invocation, for whoever asks next or waits already. Borrows the
 * event and the headers until the outcome is reported. 0, -EBUSY when one has
 * no outcome yet, or -EPIPE after an init error. */
int lp__api_invoke(struct lp__api *api,
                   const struct lp__invocation *invocation);

/* /next was called. LP__ALLOWED: hand over the invocation. */
enum lp__verdict lp__api_next(struct lp__api *api);

/* The invocation is being handed over. */
void lp__api_handed_over(struct lp__api *api);

/* May this be posted now, for the invocation of that id? The initialisation
 * has none. */
enum lp__verdict lp__api_may_post(const struct lp__api *api,
                                  enum lp__outcome outcome, const char *id,
                                  size_t id_size);

/* It was posted. Takes `body`. */
void lp__api_finish(struct lp__api *api, enum lp__outcome outcome,
                    struct lp__body body, const char *type);

/* The invocation ends with an error of the platform, not of the worker. */
void lp__api_fail(struct lp__api *api, enum lp__outcome outcome,
                  const char *type, const char *message);

/* A streamed response begins, goes on. It ends with LP__STREAM_END. */
void lp__api_stream(struct lp__api *api, const char *content_type);
void lp__api_chunk(struct lp__api *api, const char *bytes, size_t size);

/* Why the state does not allow the call that `wanted` names, as AWS says it. */
void lp__api_refusal(const struct lp__api *api, const char *wanted,
                     char *message, size_t size);

#endif
