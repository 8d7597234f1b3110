/* What workers say: their output, and their calls of the Runtime API on as
 * many connections as they may have. See worker.h. */
#define _GNU_SOURCE
#include "memory.h"
#include "peer.h"
#include "worker_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  OUTPUT_READS = 16,
  OUTPUT_PIECE = 2048, /* while there is a deadline: lines may be short */
  LINKS_MAX = 16,
  LARGER = 4, /* so many times as large as what is in it is a large block */
  CHUNK_MAX = 64 * 1024 /* of chunks that are put together */
};

/* --- output -------------------------------------------------------------- */

/* Copies the bytes. False when memory is short. */
static bool push_bytes(struct lp__worker *worker, enum lp__event_kind kind,
                       const char *bytes, size_t size) {
  struct lp__event *event = lp__event_new(kind, worker->id);
  if (event)
    event->bytes = lp__malloc(size ? size : 1);
  if (!event || !event->bytes) {
    lp__event_free(event);
    return false;
  }
  if (size > 0)
    memcpy(event->bytes, bytes, size);
  event->size = size;
  lp__loop_push(worker->workers->loop, event);
  return true;
}

/* When memory is short a line is lost, not the task. */
static void push_line(void *context, const char *text, size_t size) {
  struct lp__worker *worker = context;
  struct lp__event *last = lp__loop_last(worker->workers->loop);
  if (last && last->id == worker->id && last->kind == LP__EVENT_OUTPUT &&
      lp__event_add_line(last, text, size))
    return;
  struct lp__event *event = lp__event_new(LP__EVENT_OUTPUT, worker->id);
  if (event && lp__event_add_line(event, text, size))
    lp__loop_push(worker->workers->loop, event);
  else
    lp__event_free(event);
}

/* Reads from the pipe, and stops watching it at its end. Whether there may be
 * more: a short read has emptied it, which spares the one that says so. */
static bool read_output(struct lp__worker *worker, size_t most) {
  char *text = worker->workers->text;
  ssize_t size = read(worker->process.output, text, most);
  if (size < 0)
    return errno == EINTR;
  if (size == 0)
    uv_poll_stop(&worker->output);
  lp__lines_feed(&worker->lines, text, (size_t)size, push_line, worker);
  return (size_t)size == most;
}

void lp__worker_flush_output(struct lp__worker *worker) {
  for (int i = 0; i < OUTPUT_READS && read_output(worker, LP__OUTPUT_READ); i++)
    ;
  lp__lines_flush(&worker->lines, push_line, worker);
}

static void go_on_with_output(void *context) {
  struct lp__worker *worker = context;
  struct lp__loop *loop = worker->workers->loop;
  bool hurries = lp__loop_piece(loop) < SIZE_MAX;
  for (int i = 0; i < OUTPUT_READS; i++)
    if (!lp__loop_admits(loop, &worker->read_output) ||
        !read_output(worker, hurries ? OUTPUT_PIECE : LP__OUTPUT_READ))
      return;
}

static void on_output(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  go_on_with_output(poll->data);
}

/* --- what the Runtime API reports ---------------------------------------- */

/* Ends a connection. It may be the one that a list is just being gone through
 * at: its memory, and where it leads on, stay until libuv lets go of it. */
static void drop(struct lp__worker *worker, struct lp__link *link) {
  struct lp__link **at = &worker->links;
  while (*at && *at != link)
    at = &(*at)->next;
  if (*at)
    *at = link->next;
  lp__link_close(link);
}

static void out_of_memory(struct lp__worker *worker) {
  lp__worker_end(worker, "the host is short of memory");
}

/* Whoever is still being sent the invocation that is over gets no more of it:
 * its event need not be kept any longer. */
static void stop_handing_over(struct lp__worker *worker) {
  for (struct lp__link *link = worker->links; link; link = link->next)
    if (lp__endpoint_hands_over(&link->endpoint))
      drop(worker, link);
}

/* A small body does not keep a large block alive, if there is memory for it
 * elsewhere. */
static void move_out(struct lp__body *body) {
  struct lp__block *block;
  if (!body->block || body->size >= body->block->size / LARGER ||
      !(block = lp__block_new(body->size + 1)))
    return;
  memcpy(block->bytes, body->bytes, body->size);
  lp__block_release(body->block);
  body->block = block;
  body->bytes = block->bytes;
}

static void on_outcome(void *context, enum lp__outcome outcome,
                       struct lp__body body, const char *type) {
  static const enum lp__event_kind kinds[] = {
      [LP__RESPONSE] = LP__EVENT_RESPONSE,
      [LP__ERROR] = LP__EVENT_ERROR,
      [LP__INIT_ERROR] = LP__EVENT_INIT_ERROR,
      [LP__STREAM_END] = LP__EVENT_STREAM_END};
  struct lp__worker *worker = context;
  lp__worker_flush_output(worker);
  stop_handing_over(worker);
  move_out(&body);
  struct lp__event *event = lp__event_new(kinds[outcome], worker->id);
  if (!event) {
    lp__body_free(&body);
    out_of_memory(worker);
    return;
  }
  event->block = body.block;
  event->bytes = body.bytes;
  event->size = body.size;
  event->is_whole = body.is_whole;
  snprintf(event->type, sizeof event->type, "%s", type);
  lp__loop_push(worker->workers->loop, event);
  if (outcome == LP__INIT_ERROR)
    lp__worker_start_failed(worker);
  else if (!worker->lambda)
    uv_timer_stop(&worker->timer);
}

/* The environment is free again. When nobody has heard of the outcome yet, it
 * comes along with that. */
static void push_ready(struct lp__worker *worker) {
  uv_timer_stop(&worker->timer);
  lp__worker_flush_output(worker);
  struct lp__event *last = lp__loop_last(worker->workers->loop);
  if (last && last->id == worker->id &&
      (last->kind == LP__EVENT_RESPONSE || last->kind == LP__EVENT_ERROR ||
       last->kind == LP__EVENT_STREAM_END))
    last->ready = true;
  else if (!push_bytes(worker, LP__EVENT_READY, NULL, 0))
    out_of_memory(worker);
}

/* Adds to the last chunk, unless somebody has taken that. */
static bool add_to_chunk(struct lp__worker *worker, const char *bytes,
                         size_t size) {
  struct lp__event *last = lp__loop_last(worker->workers->loop);
  if (!last || last->id != worker->id || last->kind != LP__EVENT_CHUNK ||
      last->size + size > CHUNK_MAX)
    return false;
  char *all = lp__realloc(last->bytes, last->size + size);
  if (!all)
    return false;
  memcpy(all + last->size, bytes, size);
  last->bytes = all;
  last->size += size;
  return true;
}

static void on_notice(void *context, enum lp__notice notice, const char *bytes,
                      size_t size) {
  struct lp__worker *worker = context;
  if (notice == LP__NOTICE_READY)
    push_ready(worker);
  else if (notice == LP__NOTICE_STREAM
               ? !push_bytes(worker, LP__EVENT_STREAM, bytes, size)
               : !add_to_chunk(worker, bytes, size) &&
                     !push_bytes(worker, LP__EVENT_CHUNK, bytes, size))
    out_of_memory(worker);
}

/* --- connections --------------------------------------------------------- */

static void on_lost(void *context, struct lp__link *link, int error) {
  struct lp__worker *worker = context;
  if (!worker->lambda) {
    lp__worker_lost(worker, link, error);
    return;
  }
  lp__endpoint_ended(&link->endpoint);
  drop(worker, link);
}

static void on_failed(void *context, struct lp__link *link, int status) {
  struct lp__worker *worker = context;
  if (status == -ENOMEM)
    out_of_memory(worker);
  else if (worker->lambda)
    on_lost(worker, link, 0);
  else
    lp__worker_end(worker, "it sent what is not a request");
}

bool lp__worker_receive(struct lp__worker *worker) {
  for (struct lp__link *link = worker->links; link; link = link->next)
    if (!lp__link_receive(link))
      return false;
  return true;
}

void lp__worker_look(struct lp__worker *worker) {
  for (struct lp__link *link = worker->links; link; link = link->next)
    if (!lp__link_look(link))
      return;
}

bool lp__worker_receive_last(struct lp__worker *worker) {
  for (struct lp__link *link = worker->links; link; link = link->next) {
    lp__link_pause(link, false);
    if (!lp__link_receive(link))
      return false;
    if (link->fd >= 0)
      lp__endpoint_ended(&link->endpoint);
  }
  return true;
}

void lp__worker_set_paused(struct lp__worker *worker, bool paused) {
  for (struct lp__link *link = worker->links; link; link = link->next)
    if (link->endpoint.request.streams || !paused)
      lp__link_pause(link, paused);
}

/* The one that asked first. */
static struct lp__link *find_waiting(const struct lp__worker *worker) {
  struct lp__link *first = NULL;
  for (struct lp__link *link = worker->links; link; link = link->next)
    if (link->endpoint.waits && (!first || link->turn < first->turn))
      first = link;
  return first;
}

/* One that is gone when it is to be sent the invocation does not count. */
void lp__worker_hand_over(struct lp__worker *worker) {
  struct lp__link *link;
  while ((link = find_waiting(worker))) {
    lp__endpoint_hand_over(&link->endpoint);
    if (!link->writing)
      lp__link_send(link);
    if (link->fd >= 0 || worker->ending)
      return;
  }
}

/* --- the port ------------------------------------------------------------ */

static void close_port(struct lp__worker *worker) {
  lp__worker_close_handle(&worker->listener);
  lp__close_fd(&worker->listener_fd);
}

void lp__worker_hang_up(struct lp__worker *worker) {
  while (worker->links)
    drop(worker, worker->links);
  close_port(worker);
}

/* Makes room for one more connection: of too many, the one goes that nothing
 * has come from for longest. False when all of them are in use. */
static bool make_room(struct lp__worker *worker) {
  struct lp__link *oldest = NULL;
  int count = 0;
  for (struct lp__link *link = worker->links; link; link = link->next) {
    count++;
    if (!lp__endpoint_busy(&link->endpoint) &&
        (!oldest || link->turn < oldest->turn))
      oldest = link;
  }
  if (count < LINKS_MAX)
    return true;
  if (oldest)
    drop(worker, oldest);
  return oldest != NULL;
}

/* Takes over a connection of the worker; a pool's has no other. */
static void adopt(struct lp__worker *worker, int fd) {
  struct lp__link *link;
  if (!worker->lambda)
    close_port(worker);
  if (lp__link_open(&link, fd, &worker->api, &worker->owner) < 0) {
    lp__worker_end(worker, "the host cannot watch its connection");
    return;
  }
  link->next = worker->links;
  worker->links = link;
}

static int is_let_in(const struct lp__worker *worker, int fd) {
  return worker->lambda ? lp__peer_belongs(fd, worker->process.pid)
                        : lp__peer_is(fd, worker->process.pid);
}

/* Accepts a connection: 1, 0 when it is not let in, or a negative errno. With a
 * connection there already, only finds out about that. */
static int accept_one(const struct lp__worker *worker, int *fd) {
  if (*fd < 0)
    *fd = lp__process_move_up(
        accept4(worker->listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
  return *fd < 0 ? -errno : is_let_in(worker, *fd);
}

static bool is_short(int status) {
  return status == -EMFILE || status == -ENFILE || status == -ENOMEM;
}

/* A start that goes on may have the last descriptors for a moment. */
static int accept_patiently(const struct lp__worker *worker, int *fd) {
  int status = accept_one(worker, fd);
  if (!is_short(status) || worker->workers->starting == 0)
    return status;
  lp__starter_hold(worker->workers->starter);
  status = accept_one(worker, fd);
  lp__starter_let_go(worker->workers->starter);
  return status;
}

/* Anybody on the machine can connect; only the worker is let in. */
static void on_listener(uv_poll_t *poll, int status, int events) {
  struct lp__worker *worker = poll->data;
  int fd = -1, let_in = accept_patiently(worker, &fd);
  (void)status, (void)events;
  if (let_in == 1 && make_room(worker)) {
    adopt(worker, fd);
    return;
  }
  if (fd >= 0 && let_in < 0)
    lp__worker_end(worker, "the host cannot tell who connected to it");
  else if (is_short(let_in))
    lp__worker_end(worker, "the host has too many open files");
  lp__close_fd(&fd);
}

int lp__worker_open_port(int *fd, unsigned *port) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  *fd = lp__process_move_up(
      socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (*fd < 0)
    return -errno;
  if (bind(*fd, (struct sockaddr *)&address, size) < 0 ||
      listen(*fd, LINKS_MAX) < 0 ||
      getsockname(*fd, (struct sockaddr *)&address, &size) < 0)
    return -errno;
  *port = ntohs(address.sin_port);
  return 0;
}

/* --- beginning ----------------------------------------------------------- */

int lp__worker_prepare_talk(struct lp__worker *worker, lp__check check) {
  static const struct lp__api_sink of_pool = {on_outcome, NULL},
                                   of_function = {on_outcome, on_notice};
  lp__api_init(&worker->api, worker->lambda ? &of_function : &of_pool, worker);
  worker->read_output =
      (struct lp__turn){.run = go_on_with_output, .context = worker};
  worker->owner = (struct lp__link_owner){.loop = worker->workers->loop,
                                          .scratch = worker->workers->request,
                                          .lost = on_lost,
                                          .failed = on_failed,
                                          .context = worker};
  if (!check || worker->lambda)
    return 0;
  struct lp__workers *workers = worker->workers;
  int status = workers->receiver ? 0
                                 : lp__receiver_open(&workers->receiver,
                                                     workers->loop, check);
  worker->owner.receiver = workers->receiver;
  return status;
}

int lp__worker_watch_talk(struct lp__worker *worker) {
  int status = lp__worker_watch(worker, &worker->listener, worker->listener_fd,
                                on_listener);
  if (status == 0)
    status = lp__worker_watch(worker, &worker->output, worker->process.output,
                              on_output);
  return status;
}
