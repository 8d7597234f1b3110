/* Local workers. See worker.h. */
#define _GNU_SOURCE
#include "worker.h"

#include "environment.h"
#include "lines.h"
#include "peer.h"
#include "process.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  /* How long a process may live on after its connection has ended, so that its
   * own exit status is seen and not that of our SIGKILL. */
  GRACE_MS = 1000,
  /* One callback reads at most this often, or a worker that never stops
   * writing would keep the loop from everything else. */
  READS_MAX = 64,
  OUTPUT_READS = 16,
  /* Small requests come in one read, of large ones little is copied. */
  REQUEST_READ = 16 * 1024,
  OUTPUT_READ = 64 * 1024, /* what a pipe holds */
  /* The receive window to ask for, so that a body of some MB flows without
   * waiting for the host. */
  WINDOW = 2 * 1024 * 1024,
  REAPER_MS = 10
};

struct lp__workers {
  struct lp__loop *loop;
  struct lp__worker **items; /* by ascending id */
  size_t count, room;
  int64_t last_id;
  uint64_t invocations;
  /* What callbacks read into; used only within one of them. Two, because the
   * output is read while a request is being parsed. */
  char request[REQUEST_READ], text[OUTPUT_READ];
};

struct lp__worker {
  struct lp__workers *workers;
  int64_t id;
  struct lp__process process;
  struct lp__progress *progress; /* of the invocation, or of the last one */
  struct lp__endpoint endpoint;
  struct lp__lines lines;
  struct lp__event *exit; /* made beforehand: it must not fail */
  int listener_fd, fd;    /* -1 when closed */
  bool writing;           /* waits until an answer can be sent */
  bool ending;            /* no more outcomes; `exit` follows */
  bool unread;            /* it ended before it had read all that was sent */
  uv_poll_t listener, connection, output, end;
  uv_prepare_t prepare;       /* for what was held back */
  uv_timer_t timer;           /* of the invocation, or of the grace */
  uint64_t kill_ms, since_ns; /* the invocation's limit, and its begin */
  uint32_t limit;             /* the last task that was not taken back */
  uv_timer_t reaper;          /* in place of `end` where there is no pidfd */
  int handles;                /* open ones */
};

/* --- handles ------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle) {
  struct lp__worker *worker = handle->data;
  if (--worker->handles == 0)
    free(worker);
}

/* Closes a handle unless it was never opened or is closing already. */
static void close_handle(void *handle) {
  uv_handle_t *h = handle;
  if (h->data && !uv_is_closing(h))
    uv_close(h, on_closed);
}

static int watch(struct lp__worker *worker, uv_poll_t *poll, int fd,
                 uv_poll_cb callback) {
  int status = uv_poll_init(lp__loop_uv(worker->workers->loop), poll, fd);
  if (status < 0)
    return status;
  poll->data = worker;
  worker->handles++;
  lp__loop_watches_more(worker->workers->loop);
  return uv_poll_start(poll, UV_READABLE, callback);
}

static void close_connection(struct lp__worker *worker) {
  close_handle(&worker->listener);
  close_handle(&worker->connection);
  lp__close_fd(&worker->listener_fd);
  lp__close_fd(&worker->fd);
}

/* --- the end of a worker ------------------------------------------------- */

static void set_timer(struct lp__worker *worker, uint64_t ms);
static void on_connection(uv_poll_t *poll, int status, int events);

/* The first reason is the one to tell. The signal goes first: an agent whose
 * connection ends would exit by itself. */
static void kill_worker(struct lp__worker *worker, const char *reason) {
  if (!worker->exit->reason)
    worker->exit->reason = reason;
  worker->ending = true;
  lp__process_kill(&worker->process);
  close_connection(worker);
}

/* The connection is gone; normally the process is about to be gone too. The
 * kernel resets a connection whose other end has not read everything, also
 * when that end was closed before we wrote: the error is pending then. */
static void lose_connection(struct lp__worker *worker, int error) {
  socklen_t size = sizeof error;
  if (error == 0)
    getsockopt(worker->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  worker->unread = error == ECONNRESET || error == EPIPE || worker->writing;
  worker->ending = true;
  close_connection(worker);
  set_timer(worker, GRACE_MS / 2);
}

/* Closes everything. The worker is freed when libuv lets go of the handles. */
static void release(struct lp__worker *worker) {
  close_connection(worker);
  close_handle(&worker->output);
  close_handle(&worker->end);
  close_handle(&worker->timer);
  close_handle(&worker->reaper);
  close_handle(&worker->prepare);
  lp__process_close(&worker->process);
  lp__progress_close(worker->progress);
  worker->progress = NULL;
  lp__endpoint_free(&worker->endpoint);
  lp__lines_free(&worker->lines);
  lp__event_free(worker->exit);
  worker->exit = NULL;
  if (worker->handles == 0)
    free(worker);
}

/* --- output -------------------------------------------------------------- */

static void push_line(void *context, const char *text, size_t size) {
  struct lp__worker *worker = context;
  struct lp__event *event = lp__event_new(LP__EVENT_OUTPUT, worker->id);
  if (event)
    event->bytes = malloc(size ? size : 1);
  if (!event || !event->bytes) { /* a line is lost, not the task */
    lp__event_free(event);
    return;
  }
  memcpy(event->bytes, text, size);
  event->size = size;
  lp__loop_push(worker->workers->loop, event);
}

/* Reads what is in the pipe now. True at its end. */
static bool read_output(struct lp__worker *worker) {
  char *text = worker->workers->text;
  for (int i = 0; i < OUTPUT_READS; i++) {
    ssize_t size = read(worker->process.output, text, OUTPUT_READ);
    if (size == 0)
      return true;
    if (size < 0 && errno == EINTR)
      continue;
    if (size < 0)
      return false;
    /* A short read has emptied the pipe: spare the one that says so. */
    lp__lines_feed(&worker->lines, text, (size_t)size, push_line, worker);
    if (size < OUTPUT_READ)
      return false;
  }
  return false;
}

/* Everything that was written until now becomes lines, the last one too. */
static void flush_output(struct lp__worker *worker) {
  read_output(worker);
  lp__lines_flush(&worker->lines, push_line, worker);
}

static void on_output(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  if (read_output(poll->data))
    uv_poll_stop(poll);
}

/* --- the connection ------------------------------------------------------ */

static void push_outcome(void *context, enum lp__outcome outcome, char *body,
                         size_t size, const char *type) {
  static const enum lp__event_kind kinds[] = {
      [LP__RESPONSE] = LP__EVENT_RESPONSE,
      [LP__ERROR] = LP__EVENT_ERROR,
      [LP__INIT_ERROR] = LP__EVENT_INIT_ERROR};
  struct lp__worker *worker = context;
  flush_output(worker);
  struct lp__event *event = lp__event_new(kinds[outcome], worker->id);
  if (!event) {
    free(body);
    kill_worker(worker, "the host is short of memory");
    return;
  }
  event->bytes = body;
  event->size = size;
  snprintf(event->type, sizeof event->type, "%s", type);
  lp__loop_push(worker->workers->loop, event);
  if (outcome == LP__INIT_ERROR)
    set_timer(worker, GRACE_MS / 2); /* it has to end now */
  else
    uv_timer_stop(&worker->timer);
}

/* Watches for either room to send or something to receive. */
static void wait_to_send(struct lp__worker *worker, bool writing) {
  if (writing == worker->writing)
    return;
  worker->writing = writing;
  uv_poll_start(&worker->connection, writing ? UV_WRITABLE : UV_READABLE,
                on_connection);
  lp__loop_watches_more(worker->workers->loop);
}

/* Sends what the endpoint has to say. When the socket is full, the rest waits
 * until it is not, and nothing is received meanwhile. */
static void send_output(struct lp__worker *worker) {
  struct iovec pieces[2];
  struct msghdr message = {.msg_iov = pieces};
  while ((message.msg_iovlen =
              (size_t)lp__endpoint_output(&worker->endpoint, pieces)) > 0) {
    ssize_t size = sendmsg(worker->fd, &message, MSG_NOSIGNAL);
    if (size >= 0) {
      lp__endpoint_sent(&worker->endpoint, (size_t)size);
    } else if (errno == EAGAIN) {
      wait_to_send(worker, true);
      return;
    } else if (errno != EINTR) {
      lose_connection(worker, errno);
      return;
    }
  }
  wait_to_send(worker, false);
}

/* Sends what was held back. */
static void on_prepare(uv_prepare_t *prepare) {
  struct lp__worker *worker = prepare->data;
  uv_prepare_stop(prepare);
  if (worker->fd >= 0 && !worker->writing)
    send_output(worker);
}

/* The worker has asked for an event together with its last answer, and the
 * caller is about to hear of that: what it invokes now goes out in one piece
 * with what the endpoint has to say. Otherwise that goes out when the loop
 * runs again. */
static void hold_output(struct lp__worker *worker) {
  uv_prepare_start(&worker->prepare, on_prepare);
}

/* Receives once. False when there is no more to receive now. */
static bool receive(struct lp__worker *worker) {
  size_t room;
  char *space = lp__endpoint_space(&worker->endpoint, worker->workers->request,
                                   REQUEST_READ, &room);
  ssize_t size = recv(worker->fd, space, room, 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR))
    return errno == EINTR;
  if (size <= 0) {
    lose_connection(worker, size < 0 ? errno : 0);
    return false;
  }
  int status = lp__endpoint_receive(&worker->endpoint, space, (size_t)size);
  if (worker->ending)
    return false;
  if (status < 0) {
    kill_worker(worker, status == -ENOMEM ? "the host is short of memory"
                                          : "it sent what is not a request");
    return false;
  }
  if (worker->endpoint.state == LP__READY && !worker->endpoint.pending) {
    hold_output(worker);
  } else {
    send_output(worker);
  }
  return (size_t)size == room && !worker->ending && !worker->writing;
}

static void receive_all(struct lp__worker *worker) {
  if (worker->fd < 0 || worker->writing)
    return;
  for (int i = 0; i < READS_MAX && receive(worker); i++)
    ;
}

static void on_connection(uv_poll_t *poll, int status, int events) {
  struct lp__worker *worker = poll->data;
  (void)status, (void)events;
  if (worker->writing)
    send_output(worker);
  else
    receive_all(worker);
}

/* Takes over the connection of the worker and stops listening. */
static void adopt(struct lp__worker *worker, int fd) {
  int on = 1, window = WINDOW, low = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  /* A high mark raises the receive buffer beyond net.core.rmem_max and leaves
   * the kernel's own tuning on; SO_RCVBUF would do neither. */
  setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &window, sizeof window);
  setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
  close_handle(&worker->listener);
  lp__close_fd(&worker->listener_fd);
  worker->fd = fd;
  if (watch(worker, &worker->connection, fd, on_connection) < 0)
    kill_worker(worker, "the host cannot watch its connection");
}

/* Anybody on the machine can connect; only the worker is let in. */
static void on_listener(uv_poll_t *poll, int status, int events) {
  struct lp__worker *worker = poll->data;
  (void)status, (void)events;
  int fd =
      accept4(worker->listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
      kill_worker(worker, "the host has too many open files");
    return;
  }
  int is_worker = lp__peer_is(fd, worker->process.pid);
  if (is_worker == 1) {
    adopt(worker, fd);
    return;
  }
  close(fd);
  if (is_worker < 0)
    kill_worker(worker, "the host cannot tell who connected to it");
}

static int listen_on_loopback(struct lp__worker *worker, unsigned *port) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  worker->listener_fd =
      socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (worker->listener_fd < 0)
    return -errno;
  if (bind(worker->listener_fd, (struct sockaddr *)&address, size) < 0 ||
      listen(worker->listener_fd, 16) < 0 ||
      getsockname(worker->listener_fd, (struct sockaddr *)&address, &size) < 0)
    return -errno;
  *port = ntohs(address.sin_port);
  return 0;
}

/* --- time and death ------------------------------------------------------ */

/* The limit counts from the task that began last, so the time that is left may
 * be more than none. A time in the future is none that a task began at. */
static uint64_t time_left(struct lp__worker *worker) {
  uint64_t now = uv_hrtime(), began = atomic_load(&worker->progress->began_ns);
  if (began > worker->since_ns && began <= now)
    worker->since_ns = began;
  uint64_t spent_ms = (now - worker->since_ns) / 1000000;
  return spent_ms < worker->kill_ms ? worker->kill_ms - spent_ms : 0;
}

static void end_limit(struct lp__worker *worker) {
  uint64_t left = time_left(worker);
  if (left > 0) {
    set_timer(worker, left);
    return;
  }
  struct lp__event *event = lp__event_new(LP__EVENT_TIMEOUT, worker->id);
  if (event)
    lp__loop_push(worker->workers->loop, event);
  kill_worker(worker, "it took too long");
}

/* Half of the grace is for a process that has closed its connection by ending;
 * one that lives longer is said to have outlived it, however it ends then. */
static void end_grace(struct lp__worker *worker) {
  if (lp__process_has_ended(&worker->process))
    return; /* the next round of the loop takes its status */
  if (worker->exit->reason) {
    kill_worker(worker, worker->exit->reason);
    return;
  }
  worker->exit->reason = worker->endpoint.state == LP__INIT_FAILED
                             ? "it could not start and did not end"
                             : "its connection ended and it did not";
  set_timer(worker, GRACE_MS / 2);
}

static void on_timer(uv_timer_t *timer) {
  struct lp__worker *worker = timer->data;
  if (worker->ending || worker->endpoint.state == LP__INIT_FAILED) {
    end_grace(worker);
    return;
  }
  /* The answer may have come in time while the host was busy elsewhere. */
  if (worker->endpoint.pending)
    receive_all(worker);
  if (!worker->ending && worker->endpoint.pending)
    end_limit(worker);
}

/* libuv keeps the time of its last round, which may be long ago. */
static void set_timer(struct lp__worker *worker, uint64_t ms) {
  uv_update_time(lp__loop_uv(worker->workers->loop));
  uv_timer_start(&worker->timer, on_timer, ms, 0);
}

/* From now on. */
static void limit_time(struct lp__worker *worker, uint64_t ms) {
  worker->kill_ms = ms;
  worker->since_ns = uv_hrtime();
  set_timer(worker, ms);
}

/* Position of the first worker whose id is not below `id`. */
static size_t position(const struct lp__workers *workers, int64_t id) {
  size_t low = 0, high = workers->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (workers->items[middle]->id < id)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static struct lp__worker *find(const struct lp__workers *workers, int64_t id) {
  size_t at = position(workers, id);
  bool found = at < workers->count && workers->items[at]->id == id;
  return found ? workers->items[at] : NULL;
}

static void forget(struct lp__worker *worker) {
  struct lp__workers *workers = worker->workers;
  size_t at = position(workers, worker->id);
  workers->count--;
  memmove(workers->items + at, workers->items + at + 1,
          (workers->count - at) * sizeof *workers->items);
  lp__loop_count(workers->loop, -1);
}

/* What became of the invocation that has no outcome. One that was never sent,
 * or not read, cannot have begun. */
static void report_progress(const struct lp__worker *worker,
                            struct lp__event *event) {
  event->unfinished = worker->endpoint.pending;
  if (!event->unfinished || worker->endpoint.state != LP__RUNNING)
    return;
  event->progress =
      lp__progress_read(worker->progress, &event->bytes, &event->size);
  if (worker->unread && !atomic_load(&worker->progress->mapped))
    event->progress.begun = 0;
}

/* Reports the end of the process if it has come. Its last words first: what it
 * posted, what it printed. */
static void reap(struct lp__worker *worker) {
  int code, signal;
  if (!lp__process_has_ended(&worker->process))
    return;
  lp__process_kill(&worker->process); /* those it leaves behind */
  receive_all(worker);
  lp__process_wait(&worker->process, &code, &signal);
  flush_output(worker);
  struct lp__event *event = worker->exit;
  worker->exit = NULL;
  event->code = code;
  event->signal = signal;
  report_progress(worker, event);
  lp__loop_push(worker->workers->loop, event);
  forget(worker);
  release(worker);
}

static void on_end(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  reap(poll->data);
}

static void on_reaper(uv_timer_t *timer) {
  reap(timer->data);
}

/* --- starting ------------------------------------------------------------ */

static int start_process(struct lp__worker *worker,
                         const struct lp__worker_config *config) {
  struct lp__environment environment = {NULL, 0};
  unsigned port = 0;
  int status = listen_on_loopback(worker, &port);
  if (status == 0)
    status = lp__environment_make(&environment, config, port);
  if (status == 0)
    status = lp__process_start(&worker->process, config->agent,
                               environment.items, &worker->progress);
  lp__environment_free(&environment);
  return status;
}

static void open_timer(struct lp__worker *worker, uv_timer_t *timer) {
  uv_timer_init(lp__loop_uv(worker->workers->loop), timer);
  timer->data = worker;
  worker->handles++;
}

static void open_prepare(struct lp__worker *worker) {
  uv_prepare_init(lp__loop_uv(worker->workers->loop), &worker->prepare);
  worker->prepare.data = worker;
  worker->handles++;
}

static int watch_process(struct lp__worker *worker) {
  open_timer(worker, &worker->timer);
  open_prepare(worker);
  int status =
      watch(worker, &worker->listener, worker->listener_fd, on_listener);
  if (status == 0)
    status = watch(worker, &worker->output, worker->process.output, on_output);
  if (status < 0)
    return status;
  if (worker->process.pidfd >= 0)
    return watch(worker, &worker->end, worker->process.pidfd, on_end);
  open_timer(worker, &worker->reaper);
  return uv_timer_start(&worker->reaper, on_reaper, REAPER_MS, REAPER_MS);
}

/* Kills and reaps without an event. */
static void abandon(struct lp__worker *worker) {
  int code, signal;
  lp__process_kill(&worker->process);
  lp__process_wait(&worker->process, &code, &signal);
  release(worker);
}

static int add(struct lp__workers *workers, struct lp__worker *worker) {
  if (workers->count == workers->room) {
    size_t room = workers->room ? workers->room * 2 : 16;
    void *items = realloc(workers->items, room * sizeof *workers->items);
    if (!items)
      return -ENOMEM;
    workers->items = items;
    workers->room = room;
  }
  workers->items[workers->count++] = worker;
  lp__loop_count(workers->loop, 1);
  return 0;
}

int64_t lp__worker_start(struct lp__workers *workers,
                         const struct lp__worker_config *config) {
  struct lp__worker *worker = calloc(1, sizeof *worker);
  if (!worker)
    return -ENOMEM;
  worker->workers = workers;
  worker->id = ++workers->last_id;
  worker->listener_fd = worker->fd = -1;
  worker->process = (struct lp__process){-1, -1, -1, -1};
  worker->exit = lp__event_new(LP__EVENT_EXIT, worker->id);
  lp__endpoint_init(&worker->endpoint, push_outcome, worker);

  int status = worker->exit ? start_process(worker, config) : -ENOMEM;
  if (status < 0) {
    release(worker);
    return status;
  }
  status = watch_process(worker);
  if (status == 0)
    status = add(workers, worker);
  if (status < 0) {
    abandon(worker);
    return status;
  }
  return worker->id;
}

/* --- using --------------------------------------------------------------- */

int lp__workers_open(struct lp__workers **out, struct lp__loop *loop) {
  struct lp__workers *workers = calloc(1, sizeof *workers);
  if (!workers)
    return -ENOMEM;
  workers->loop = loop;
  *out = workers;
  return 0;
}

void lp__workers_close(struct lp__workers *workers) {
  if (!workers)
    return;
  for (size_t i = 0; i < workers->count; i++)
    lp__process_kill(&workers->items[i]->process);
  while (workers->count > 0) {
    struct lp__worker *worker = workers->items[workers->count - 1];
    forget(worker);
    abandon(worker);
  }
  free(workers->items);
  free(workers);
}

int lp__worker_invoke(struct lp__workers *workers, int64_t id,
                      const struct lp__invocation *invocation,
                      uint64_t kill_ms) {
  struct lp__worker *worker = find(workers, id);
  if (!worker || worker->ending)
    return -ESRCH;
  receive_all(worker); /* it may have gone unnoticed while it was idle */
  if (worker->ending)
    return -ESRCH;
  if (worker->endpoint.pending)
    return -EBUSY;
  struct lp__invocation named = *invocation;
  if (!named.request_id[0])
    snprintf(named.request_id, sizeof named.request_id,
             "00000000-0000-4000-8000-%012" PRIx64, ++workers->invocations);
  lp__progress_reset(worker->progress);
  worker->limit = UINT32_MAX;
  if (lp__endpoint_invoke(&worker->endpoint, &named) < 0)
    return -ESRCH;
  if (kill_ms > 0)
    limit_time(worker, kill_ms);
  if (worker->fd >= 0 && !worker->writing)
    send_output(worker);
  return 0;
}

bool lp__worker_progress(struct lp__workers *workers, int64_t id,
                         uint32_t *begun, uint32_t *finished) {
  const struct lp__worker *worker = find(workers, id);
  if (!worker)
    return false;
  uint32_t ended = atomic_load(&worker->progress->finished);
  *begun = atomic_load(&worker->progress->begun);
  *finished = ended < *begun ? ended : *begun;
  return true;
}

/* The page may say anything by now: what was taken back is remembered here. */
bool lp__worker_cut(struct lp__workers *workers, int64_t id, uint32_t n,
                    uint32_t *begun) {
  struct lp__worker *worker = find(workers, id);
  if (!worker || worker->ending || !worker->endpoint.pending ||
      !atomic_load(&worker->progress->mapped))
    return false;
  if (n < worker->limit)
    worker->limit = n;
  *begun = lp__progress_cut(worker->progress, worker->limit);
  return true;
}

bool lp__worker_kill(struct lp__workers *workers, int64_t id) {
  struct lp__worker *worker = find(workers, id);
  if (worker)
    kill_worker(worker, "it was killed by the host");
  return worker != NULL;
}
