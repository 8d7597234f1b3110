/* The Runtime API client.  See runtime.h. */
#include "runtime.h"

#include "http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define API      "/2018-06-01/runtime"
#define ID_MAX   256
#define HEAD_MAX 1024
/* Lambda's limit of a response. A larger one is still sent, because only the
 * platform can tell the caller; it may cut the connection instead of reading
 * on. */
#define RESPONSE_MAX 6291556
#define ADDRESS_MAX  256

/* Answers of the peer beyond these are HTTP statuses. */
enum exchange_status {
  BROKEN = -1, /* no connection, or it broke, or the answer makes no sense */
  CLOSED = -2  /* the peer closed it, or does not listen any more */
};

struct lp__runtime {
  int fd; /* -1: not connected */
  int local;
  int pipelines; /* the peer said so along with the last event */
  int used;      /* the connection has carried an answer before */
  int asked;     /* an event was asked for along with the last answer */
  char host[ADDRESS_MAX];
  const char *port;            /* inside `host`, behind its end */
  char address[ADDRESS_MAX];   /* for the header Host */
  char request_id[ID_MAX + 1]; /* of the last event */
  char next[HEAD_MAX];         /* the request for an event, always the same */
  size_t next_size;
  char head[HEAD_MAX]; /* of the request that is being sent */
  struct lp__http http;
};

static void report(const char *what, const char *why) {
  fprintf(stderr, "lambdapool: %s: %s\n", what, why);
}

static void sleep_ms(long ms) {
  struct timespec left = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR)
    continue;
}

/* --- the connection ---------------------------------------------------- */

static void disconnect(struct lp__runtime *runtime) {
  if (runtime->fd >= 0)
    close(runtime->fd);
  runtime->fd = -1;
  runtime->asked = 0;
  lp__http_forget(&runtime->http);
}

/* Connects a new socket, without Nagle's delay. */
static int connect_to(const struct sockaddr *address, socklen_t size) {
  int one = 1;
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  if (connect(fd, address, size) != 0) {
    int code = errno;
    close(fd);
    errno = code;
    return -1;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

/* Resolves the host; an address in digits needs no name service. */
static int connect_by_name(const char *host, const char *port) {
  struct addrinfo hints, *found, *one;
  int fd = -1, code;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  if ((code = getaddrinfo(host, port, &hints, &found)) != 0) {
    report(host, gai_strerror(code));
    errno = EHOSTUNREACH;
    return -1;
  }
  for (one = found; one && fd < 0; one = one->ai_next)
    fd = connect_to(one->ai_addr, one->ai_addrlen);
  freeaddrinfo(found);
  return fd;
}

static int ensure_connected(struct lp__runtime *runtime) {
  if (runtime->fd >= 0)
    return 0;
  runtime->used = 0;
  runtime->fd = connect_by_name(runtime->host, runtime->port);
  if (runtime->fd >= 0)
    return 0;
  report("cannot connect to the Runtime API", strerror(errno));
  return errno == ECONNREFUSED ? CLOSED : BROKEN;
}

/* --- one request and its answer ---------------------------------------- */

/* Sends everything in as few calls as the socket allows. */
static int send_all(int fd, struct iovec *parts, int count) {
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = parts;
  message.msg_iovlen = (size_t)count;
  while (message.msg_iovlen > 0) {
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR)
      continue;
    if (sent < 0)
      return -1;
    while (message.msg_iovlen > 0 && (size_t)sent >= message.msg_iov->iov_len) {
      sent -= (ssize_t)message.msg_iov->iov_len;
      message.msg_iov++;
      message.msg_iovlen--;
    }
    if (message.msg_iovlen > 0) {
      message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + sent;
      message.msg_iov->iov_len -= (size_t)sent;
    }
  }
  return 0;
}

static ssize_t receive_some(int fd, char *at, size_t size) {
  ssize_t got;
  do {
    got = recv(fd, at, size, 0);
  } while (got < 0 && errno == EINTR);
  return got;
}

/* Reads one answer. Returns an enum lp__http_state. */
static int receive(struct lp__runtime *runtime) {
  struct lp__http *http = &runtime->http;
  int state;
  lp__http_begin(http);
  state = lp__http_resume(http);
  while (state == LP__HTTP_MORE) {
    char *at;
    size_t size;
    ssize_t got;
    if ((state = lp__http_space(http, &at, &size)) < 0)
      return state;
    got = receive_some(runtime->fd, at, size);
    if (got > 0)
      state = lp__http_received(http, (size_t)got);
    else
      state = lp__http_end(http);
  }
  return state;
}

/* What the state of an answer means; the connection is as good as it says. */
static int status_of(struct lp__runtime *runtime, int state, int sent) {
  if (state < 0 || sent < 0 || !runtime->http.keep_alive)
    disconnect(runtime);
  runtime->used = 1;
  if (state >= 0)
    return runtime->http.status;
  if (!runtime->local && state != LP__HTTP_NOTHING)
    report("Runtime API", lp__http_message(state));
  return state == LP__HTTP_NOTHING || state == LP__HTTP_PARTIAL ? CLOSED
                                                                : BROKEN;
}

/* The host takes the answer and the request for the next event in one piece,
 * which saves both sides half of their system calls and wake-ups. AWS does not
 * say that its own API does, so only who says so is asked that way. */
static int may_ask(const struct lp__runtime *runtime, size_t body_size) {
  return runtime->pipelines && body_size > 0 && body_size <= RESPONSE_MAX;
}

/* Sends one request and reads its answer. Returns the HTTP status, BROKEN or
 * CLOSED. A peer may refuse a large body before it has read all of it: its
 * answer is looked for even when sending has failed. */
static int exchange(struct lp__runtime *runtime, const void *head,
                    size_t head_size, const void *body, size_t body_size) {
  struct iovec parts[3] = {{(void *)head, head_size},
                           {(void *)body, body_size},
                           {runtime->next, runtime->next_size}};
  int ask = may_ask(runtime, body_size);
  int status, state, sent;
  if ((status = ensure_connected(runtime)) < 0)
    return status;
  sent = send_all(runtime->fd, parts, body_size == 0 ? 1 : ask ? 3 : 2);
  runtime->http.pipelined = ask;
  state = receive(runtime);
  runtime->http.pipelined = 0;
  status = status_of(runtime, state, sent);
  if (status < 0 && sent < 0 && body_size > RESPONSE_MAX)
    return 413;
  runtime->asked = ask && runtime->fd >= 0;
  return status;
}

/* Exchanges until there is an answer below 500. Returns it, or an enum
 * lp__runtime_status. A connection that was used before may have been closed
 * while it was idle: the first new attempt comes at once. */
static int call(struct lp__runtime *runtime, const void *head, size_t head_size,
                const void *body, size_t body_size) {
  static const long delays[] = {50, 250, 1000};
  size_t attempt = 0;
  for (;;) {
    int idle = runtime->fd >= 0 && runtime->used;
    int status = exchange(runtime, head, head_size, body, body_size);
    if (status > 0 && status < 500)
      return status;
    if (status == CLOSED && runtime->local)
      return LP__RUNTIME_GONE;
    if (status > 0)
      fprintf(stderr, "lambdapool: the Runtime API answers %d\n", status);
    if (status == CLOSED && idle)
      continue;
    if (attempt == sizeof delays / sizeof *delays)
      break;
    sleep_ms(delays[attempt++]);
  }
  report("Runtime API", "given up after four attempts");
  return LP__RUNTIME_FAILED;
}

/* --- the API ----------------------------------------------------------- */

/* Splits "host:port" or "[host]:port" and keeps both. */
static int keep_address(struct lp__runtime *runtime, const char *address) {
  size_t size = strlen(address);
  char *host = runtime->host, *colon;
  if (size >= sizeof runtime->host)
    return -1;
  memcpy(runtime->address, address, size + 1);
  memcpy(host, address, size + 1);
  colon = strrchr(host, ':');
  if (colon == NULL || colon == host || colon[1] == '\0')
    return -1;
  *colon = '\0';
  runtime->port = colon + 1;
  if (host[0] == '[' && colon[-1] == ']') {
    colon[-1] = '\0';
    memmove(host, host + 1, strlen(host));
  }
  return 0;
}

struct lp__runtime *lp__runtime_open(const char *address, int local) {
  struct lp__runtime *runtime = malloc(sizeof *runtime);
  if (runtime == NULL) {
    report("cannot start", strerror(ENOMEM));
    return NULL;
  }
  runtime->fd = -1;
  runtime->local = local;
  runtime->pipelines = 0;
  runtime->used = runtime->asked = 0;
  runtime->request_id[0] = '\0';
  lp__http_init(&runtime->http, LP__EVENT_MAX);
  if (keep_address(runtime, address) != 0) {
    report(address, "not the host:port of a Runtime API");
    lp__runtime_close(runtime);
    return NULL;
  }
  runtime->next_size =
      (size_t)snprintf(runtime->next, sizeof runtime->next,
                       "GET " API "/invocation/next HTTP/1.1\r\n"
                       "Host: %s\r\n"
                       "User-Agent: lambdapool\r\n\r\n",
                       runtime->address);
  return runtime;
}

/* A request id becomes part of a request line: only what is harmless there. */
static int keep_request_id(struct lp__runtime *runtime) {
  const char *id =
      lp__http_header(&runtime->http, "Lambda-Runtime-Aws-Request-Id");
  size_t i, size = id ? strlen(id) : 0;
  if (size == 0 || size > ID_MAX)
    return -1;
  for (i = 0; i < size; i++) {
    if (id[i] <= ' ' || id[i] > '~' || strchr("/?#%", id[i]))
      return -1;
  }
  memcpy(runtime->request_id, id, size + 1);
  return 0;
}

static void fill_event(struct lp__runtime *runtime, struct lp__event *event) {
  const struct lp__http *http = &runtime->http;
  const char *deadline = lp__http_header(http, "Lambda-Runtime-Deadline-Ms");
  runtime->pipelines = lp__http_header(http, "Lambdapool-Pipelining") != NULL;
  event->request_id = runtime->request_id;
  event->function_arn =
      lp__http_header(http, "Lambda-Runtime-Invoked-Function-Arn");
  event->trace_id = lp__http_header(http, "Lambda-Runtime-Trace-Id");
  event->client_context =
      lp__http_header(http, "Lambda-Runtime-Client-Context");
  event->identity = lp__http_header(http, "Lambda-Runtime-Cognito-Identity");
  event->deadline_ms = deadline ? strtoll(deadline, NULL, 10) : 0;
  event->body = http->body_size > 0 ? http->body : "";
  event->size = http->body_size;
}

/* The answer to what was asked along with the last one. */
static int await_event(struct lp__runtime *runtime) {
  int status;
  runtime->asked = 0;
  status = status_of(runtime, receive(runtime), 0);
  return status == CLOSED || status == BROKEN ? LP__RUNTIME_GONE : status;
}

int lp__runtime_next(struct lp__runtime *runtime, struct lp__event *event) {
  int status = runtime->asked
                   ? await_event(runtime)
                   : call(runtime, runtime->next, runtime->next_size, NULL, 0);
  if (status < 0)
    return status;
  if (status != 200) {
    fprintf(stderr, "lambdapool: asking for an event: the answer is %d\n",
            status);
    return LP__RUNTIME_FAILED;
  }
  if (keep_request_id(runtime) != 0) {
    report("the Runtime API sent an event", "without a usable request id");
    return LP__RUNTIME_FAILED;
  }
  fill_event(runtime, event);
  return LP__RUNTIME_OK;
}

/* Posts a body to `path`, in front of which goes API. `failure`: its kind, or
 * NULL. */
static int post(struct lp__runtime *runtime, const char *path,
                const char *content_type, const char *failure, const void *body,
                size_t size) {
  int status,
      head_size =
          snprintf(runtime->head, sizeof runtime->head,
                   "POST " API "%s HTTP/1.1\r\n"
                   "Host: %s\r\n"
                   "User-Agent: lambdapool\r\n"
                   "Content-Type: %s\r\n"
                   "%s%s%s"
                   "Content-Length: %zu\r\n\r\n",
                   path, runtime->address, content_type,
                   failure ? "Lambda-Runtime-Function-Error-Type: " : "",
                   failure ? failure : "", failure ? "\r\n" : "", size);
  status = call(runtime, runtime->head, (size_t)head_size, body, size);
  if (status >= 300)
    fprintf(stderr, "lambdapool: posting %zu bytes to %s: the answer is %d\n",
            size, path, status);
  return status < 0 ? status : LP__RUNTIME_OK;
}

int lp__runtime_response(struct lp__runtime *runtime, const char *content_type,
                         const void *bytes, size_t size) {
  char path[ID_MAX + 64];
  snprintf(path, sizeof path, "/invocation/%s/response", runtime->request_id);
  return post(runtime, path, content_type, NULL, bytes, size);
}

int lp__runtime_error(struct lp__runtime *runtime, const char *type,
                      const char *json, size_t size) {
  char path[ID_MAX + 64];
  snprintf(path, sizeof path, "/invocation/%s/error", runtime->request_id);
  return post(runtime, path, "application/json", type, json, size);
}

int lp__runtime_init_error(struct lp__runtime *runtime, const char *type,
                           const char *json, size_t size) {
  return post(runtime, "/init/error", "application/json", type, json, size);
}

void lp__runtime_close(struct lp__runtime *runtime) {
  if (runtime == NULL)
    return;
  disconnect(runtime);
  lp__http_free(&runtime->http);
  free(runtime);
}
