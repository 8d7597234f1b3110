/* What the transfer engine waits for: libcurl's sockets and its timer, on the
 * libuv loop.
 *
 * libcurl stops watching a connection when its transfer ends, and watches it
 * again for the next one. That would be five system calls for each transfer, so
 * sockets that we opened stay watched until they are closed. Others, of
 * libcurl's resolver, are closed without telling: there we do as it says. */
#define _GNU_SOURCE /* SOCK_CLOEXEC */
#include "transfer_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct lp__watch {
  uv_poll_t poll;
  struct lp__shard *shard;
  int fd;
  int wanted;  /* UV_READABLE ..., by libcurl */
  int watched; /* by the loop */
  bool ours;   /* we opened the socket */
};

/* --- descriptors --------------------------------------------------------- */

static void on_closed(uv_handle_t *poll) {
  free(poll->data);
}

static struct lp__watch *find(struct lp__transfers *transfers, int fd) {
  return fd < transfers->watches_room ? transfers->watches[fd] : NULL;
}

static int make_room(struct lp__transfers *transfers, int fd) {
  if (fd < transfers->watches_room)
    return 0;
  int room = 2 * fd + 64;
  struct lp__watch **watches =
      realloc(transfers->watches, (size_t)room * sizeof *watches);
  if (!watches)
    return -ENOMEM;
  memset(watches + transfers->watches_room, 0,
         (size_t)(room - transfers->watches_room) * sizeof *watches);
  transfers->watches = watches;
  transfers->watches_room = room;
  return 0;
}

static struct lp__watch *add(struct lp__shard *shard, int fd, bool ours) {
  struct lp__transfers *transfers = shard->transfers;
  if (make_room(transfers, fd) < 0)
    return NULL;
  struct lp__watch *watch = calloc(1, sizeof *watch);
  if (!watch)
    return NULL;
  if (uv_poll_init(transfers->port->uv, &watch->poll, fd) < 0) {
    free(watch);
    return NULL;
  }
  watch->poll.data = watch;
  watch->shard = shard;
  watch->fd = fd;
  watch->ours = ours;
  transfers->watches[fd] = watch;
  return watch;
}

static void drop(struct lp__transfers *transfers, struct lp__watch *watch) {
  transfers->watches[watch->fd] = NULL;
  uv_poll_stop(&watch->poll);
  uv_close((uv_handle_t *)&watch->poll, on_closed);
}

/* Something has come on a connection that nobody uses. If it is not its end, it
 * would be taken for the answer to the next request; with this, libcurl finds
 * that the connection is dead. */
static void give_up(struct lp__watch *watch) {
  char bytes[4096];
  shutdown(watch->fd, SHUT_RDWR);
  while (recv(watch->fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
    ; /* what came before still counts as a sign of life */
  uv_poll_stop(&watch->poll);
  watch->watched = 0;
}

/* After an error libuv has stopped by itself. */
static void on_ready(uv_poll_t *poll, int status, int events) {
  struct lp__watch *watch = poll->data;
  int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
              (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
  if (status < 0) {
    watch->watched = 0;
    flags = CURL_CSELECT_IN | CURL_CSELECT_ERR;
  }
  if (watch->wanted)
    lp__shard_act(watch->shard, watch->fd, flags);
  else
    give_up(watch);
}

static int want(struct lp__watch *watch, int events) {
  const struct lp__loop_port *port = watch->shard->transfers->port;
  watch->wanted = events;
  if (watch->watched == events)
    return 0;
  watch->watched = events;
  port->watches_more(port->loop);
  return uv_poll_start(&watch->poll, events, on_ready);
}

/* CURLMOPT_SOCKETFUNCTION. Failing ends every transfer. */
static int on_wish(CURL *easy, curl_socket_t fd, int what, void *data,
                   void *unused) {
  static const int events[] = {[CURL_POLL_NONE] = 0,
                               [CURL_POLL_IN] = UV_READABLE,
                               [CURL_POLL_OUT] = UV_WRITABLE,
                               [CURL_POLL_INOUT] = UV_READABLE | UV_WRITABLE};
  struct lp__shard *shard = data;
  struct lp__watch *watch = find(shard->transfers, fd);
  (void)easy;
  (void)unused;
  if (what != CURL_POLL_REMOVE) {
    if (!watch)
      watch = add(shard, fd, false);
    return watch && want(watch, events[what]) == 0 ? 0 : -1;
  }
  if (watch && !watch->ours)
    drop(shard->transfers, watch);
  else if (watch && watch->watched & UV_WRITABLE)
    want(watch, UV_READABLE); /* it can be written to all the time */
  if (watch)
    watch->wanted = 0;
  return 0;
}

/* --- sockets ------------------------------------------------------------- */

/* CURLOPT_OPENSOCKETFUNCTION. A transfer whose request is being sent, or was,
 * gets no other connection: libcurl would send it once more when a kept
 * connection dies before an answer. Child processes get no sockets. */
static curl_socket_t on_open(void *data, curlsocktype purpose,
                             struct curl_sockaddr *address) {
  struct lp__transfer *transfer = data;
  (void)purpose;
  if (transfer->connected)
    return CURL_SOCKET_BAD;
  int fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
                  address->protocol);
  if (fd < 0) {
    transfer->os_error = errno;
    return CURL_SOCKET_BAD;
  }
  if (!add(transfer->shard, fd, true)) {
    transfer->os_error = ENOMEM;
    close(fd);
    return CURL_SOCKET_BAD;
  }
  return fd;
}

/* CURLOPT_CLOSESOCKETFUNCTION */
static int on_close(void *data, curl_socket_t fd) {
  struct lp__transfers *transfers = data;
  struct lp__watch *watch = find(transfers, fd);
  if (watch)
    drop(transfers, watch);
  return close(fd);
}

/* --- time ---------------------------------------------------------------- */

/* libuv waits for descriptors after it ran the timers, whatever these did. */
static void on_time(uv_timer_t *timer) {
  struct lp__shard *shard = timer->data;
  lp__shard_act(shard, CURL_SOCKET_TIMEOUT, 0);
  if (shard->transfers->first)
    uv_stop(timer->loop);
}

/* CURLMOPT_TIMERFUNCTION */
static int on_timer_wish(CURLM *multi, long ms, void *data) {
  struct lp__shard *shard = data;
  const struct lp__loop_port *port = shard->transfers->port;
  (void)multi;
  if (ms < 0)
    return uv_timer_stop(&shard->timer);
  if (ms == 0)
    port->watches_more(port->loop);
  return uv_timer_start(&shard->timer, on_time, (uint64_t)ms, 0);
}

/* ------------------------------------------------------------------------- */

void lp__shard_watch(struct lp__shard *shard) {
  CURLM *multi = shard->multi;
  shard->timer.data = shard;
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_wish);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, shard);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, shard);
}

void lp__transfer_watch(struct lp__transfer *transfer) {
  CURL *easy = transfer->easy;
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, transfer->transfers);
}

void lp__transfers_unwatch(struct lp__transfers *transfers) {
  for (int fd = 0; fd < transfers->watches_room; fd++)
    if (transfers->watches[fd])
      drop(transfers, transfers->watches[fd]);
  free(transfers->watches);
  transfers->watches = NULL;
  transfers->watches_room = 0;
}
