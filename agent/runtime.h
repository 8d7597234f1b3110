/*
 * The Lambda Runtime API, from the side of the program that does the work:
 * ask for an event, post what became of it.
 *
 * One blocking keep-alive connection to a trusted peer on the same machine
 * (AWS Lambda, its emulator, or the lambdapool host). A warm invocation costs
 * two writes and two reads, and allocates nothing. What does not work out is
 * handled here, by the rules that AWS's own clients follow:
 *   - waiting for an event has no time limit: the machine may be frozen;
 *   - an answer of 400 to 499 to a post is logged and accepted: the platform
 *     has already told the caller;
 *   - 500 and up, a broken connection and a refused one are tried again three
 *     times within 1.3 seconds; then the agent has to give up.
 * When the peer is the lambdapool host, a closed connection means that the
 * host is gone: nothing is tried again.
 *
 * Nothing here knows Lua. A runtime belongs to one thread.
 */
#ifndef LP__RUNTIME_H
#define LP__RUNTIME_H

#include <stddef.h>
#include <stdint.h>

/* The largest event that is accepted: Lambda's 6 MiB and some slack. */
#define LP__EVENT_MAX (6291456 + 65536)

enum lp__runtime_status {
  LP__RUNTIME_OK = 0,
  LP__RUNTIME_FAILED = -1, /* given up; the reason was logged to stderr */
  LP__RUNTIME_GONE = -2    /* the lambdapool host closed the connection */
};

/* One event. The strings are NULL when the platform did not send them. All
 * of it is borrowed from the runtime until the next call on it. */
struct lp__event {
  const char *request_id; /* never NULL */
  const char *function_arn;
  const char *trace_id;       /* for the variable _X_AMZN_TRACE_ID */
  const char *client_context; /* JSON text */
  const char *identity;       /* JSON text, of Amazon Cognito */
  int64_t deadline_ms;        /* Unix time in ms; 0: unknown */
  const char *body;
  size_t size;
};

struct lp__runtime;

/* Opens a runtime for the API at `address`, "host:port" (copied). `local`:
 * the peer is the lambdapool host. Connects at the first call, so that it
 * cannot fail but for memory or an address that makes no sense: then it
 * returns NULL and has logged why. Returned owned. */
struct lp__runtime *lp__runtime_open(const char *address, int local);

/* Waits for the next event, for as long as it takes. */
int lp__runtime_next(struct lp__runtime *runtime, struct lp__event *event);

/* Posts the result of the last event: any bytes, borrowed like the type of
 * their content, such as "application/json". */
int lp__runtime_response(struct lp__runtime *runtime, const char *content_type,
                         const void *bytes, size_t size);

/* Posts that the last event failed. `type` is the kind of failure for the
 * platform's metrics, of the form "Function.Name" or "Runtime.Name"; `json`
 * is what the caller gets. Both borrowed. */
int lp__runtime_error(struct lp__runtime *runtime, const char *type,
                      const char *json, size_t size);

/* Posts that the agent cannot start; before the first lp__runtime_next. The
 * process should end then. */
int lp__runtime_init_error(struct lp__runtime *runtime, const char *type,
                           const char *json, size_t size);

/* Closes the connection and frees the runtime. NULL is fine. */
void lp__runtime_close(struct lp__runtime *runtime);

#endif
