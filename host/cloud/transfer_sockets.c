/* What the transfer engine waits for: libcurl's sockets and its timers, on the
 * loop of its thread.
 *
 * libcurl stops watching a connection when its transfer ends, and watches it
 * again for the next one. That would be five system calls for each transfer, so
 * a socket stays watched until it is closed. That is told (CURLOPT_CLOSESOCKET-
 * FUNCTION), but for sockets on which there never was a connection; so these
 * are not watched for longer than libcurl asks for, and whether it still is the
 * same socket is looked at before it is watched again.
 *
 * There are others, which libcurl's resolver opens, and closes without telling:
 * these are not watched. libcurl looks for what was resolved now and then, too:
 * first after a millisecond, and never later than twice the time it took. */
#define _GNU_SOURCE /* SOCK_CLOEXEC */
#include "transfer_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct lp__watch {
  uv_poll_t poll;
  struct lp__shard *shard;
  int fd;
  int wanted;    /* UV_READABLE ..., by libcurl */
  int watched;   /* by the loop */
  bool doubtful; /* it may be closed by now */
  ino_t inode;
};

/* --- descriptors --------------------------------------------------------- */

static void on_closed(uv_handle_t *poll) {
  free(poll->data);
}

static struct lp__watch *find(struct lp__lane *lane, int fd) {
  return fd < lane->watches_room ? lane->watches[fd] : NULL;
}

static int make_room(struct lp__lane *lane, int fd) {
  if (fd < lane->watches_room)
    return 0;
  int room = 2 * fd + 64;
  struct lp__watch **watches =
      realloc(lane->watches, (size_t)room * sizeof *watches);
  if (!watches)
    return -ENOMEM;
  memset(watches + lane->watches_room, 0,
         (size_t)(room - lane->watches_room) * sizeof *watches);
  lane->watches = watches;
  lane->watches_room = room;
  return 0;
}

static void drop(struct lp__watch *watch) {
  watch->shard->lane->watches[watch->fd] = NULL;
  uv_poll_stop(&watch->poll);
  uv_close((uv_handle_t *)&watch->poll, on_closed);
}

/* The number of a socket, which no other one has at the same time; 0 for what
 * is none. */
static ino_t inode_of(int fd) {
  struct stat status;
  bool is_socket = fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
  return is_socket ? status.st_ino : 0;
}

static int add(struct lp__shard *shard, int fd) {
  struct lp__lane *lane = shard->lane;
  if (make_room(lane, fd) < 0)
    return -ENOMEM;
  if (lane->watches[fd])
    drop(lane->watches[fd]); /* that socket was closed */
  struct lp__watch *watch = calloc(1, sizeof *watch);
  if (!watch)
    return -ENOMEM;
  int status = uv_poll_init(&lane->uv, &watch->poll, fd);
  if (status < 0) {
    free(watch);
    return status;
  }
  watch->poll.data = watch;
  watch->shard = shard;
  watch->fd = fd;
  watch->inode = inode_of(fd);
  lane->watches[fd] = watch;
  return 0;
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

/* After an error libuv has stopped by itself. libcurl finds the error where it
 * reads or writes, whichever it still does. */
static void on_ready(uv_poll_t *poll, int status, int events) {
  struct lp__watch *watch = poll->data;
  int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
              (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
  if (status < 0) {
    watch->watched = 0;
    flags = CURL_CSELECT_IN | CURL_CSELECT_OUT | CURL_CSELECT_ERR;
  }
  if (watch->wanted)
    lp__shard_act(watch->shard, watch->fd, flags);
  else
    give_up(watch);
}

static void watch_for(struct lp__watch *watch, int events) {
  if (watch->watched == events)
    return;
  watch->watched = events;
  if (events != 0)
    uv_poll_start(&watch->poll, events, on_ready);
  else
    uv_poll_stop(&watch->poll);
}

static void want(struct lp__watch *watch, int events) {
  if (watch->doubtful && inode_of(watch->fd) != watch->inode) {
    drop(watch);
    return;
  }
  watch->doubtful = false;
  watch->wanted = events;
  watch_for(watch, events);
}

/* libcurl does not wait for it any more. A connection can be written to all the
 * time, but what there is to read would be a surprise. */
static void forget(struct lp__watch *watch, bool connected) {
  watch->doubtful = !connected;
  watch->wanted = 0;
  watch_for(watch, connected ? UV_READABLE : 0);
}

/* Handles of libcurl's own have kept connections. */
static bool is_connected(CURL *easy) {
  struct lp__transfer *transfer = NULL;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
  return !transfer || transfer->connected;
}

/* CURLMOPT_SOCKETFUNCTION */
static int on_wish(CURL *easy, curl_socket_t fd, int what, void *data,
                   void *unused) {
  static const int events[] = {[CURL_POLL_NONE] = 0,
                               [CURL_POLL_IN] = UV_READABLE,
                               [CURL_POLL_OUT] = UV_WRITABLE,
                               [CURL_POLL_INOUT] = UV_READABLE | UV_WRITABLE};
  struct lp__shard *shard = data;
  struct lp__watch *watch = find(shard->lane, fd);
  (void)unused;
  if (watch && what == CURL_POLL_REMOVE)
    forget(watch, is_connected(easy));
  else if (watch)
    want(watch, events[what]);
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
  transfer->os_error = -add(transfer->shard, fd);
  if (transfer->os_error != 0) {
    close(fd);
    return CURL_SOCKET_BAD;
  }
  return fd;
}

/* CURLOPT_CLOSESOCKETFUNCTION */
static int on_close(void *data, curl_socket_t fd) {
  struct lp__watch *watch = find(data, fd);
  if (watch)
    drop(watch);
  return close(fd);
}

/* --- time ---------------------------------------------------------------- */

static void on_time(uv_timer_t *timer) {
  lp__shard_act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

/* CURLMOPT_TIMERFUNCTION */
static int on_timer_wish(CURLM *multi, long ms, void *data) {
  struct lp__shard *shard = data;
  (void)multi;
  if (ms < 0)
    return uv_timer_stop(shard->timer);
  return uv_timer_start(shard->timer, on_time, (uint64_t)ms, 0);
}

static void on_timer_closed(uv_handle_t *timer) {
  free(timer);
}

/* ------------------------------------------------------------------------- */

int lp__shard_watch(struct lp__shard *shard) {
  CURLM *multi = shard->multi;
  shard->timer = malloc(sizeof *shard->timer);
  if (!shard->timer)
    return -ENOMEM;
  uv_timer_init(&shard->lane->uv, shard->timer);
  shard->timer->data = shard;
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_wish);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, shard);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, shard);
  return 0;
}

void lp__shard_unwatch(struct lp__shard *shard) {
  uv_close((uv_handle_t *)shard->timer, on_timer_closed);
}

void lp__transfer_watch(struct lp__transfer *transfer) {
  CURL *easy = transfer->easy;
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, transfer->shard->lane);
}

void lp__lane_close(struct lp__lane *lane) {
  for (int fd = 0; fd < lane->watches_room; fd++)
    if (lane->watches[fd])
      drop(lane->watches[fd]);
  free(lane->watches);
  lane->watches = NULL;
  lane->watches_room = 0;
}
