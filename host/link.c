/* One connection of a worker. See link.h. */
#define _GNU_SOURCE
#include "link.h"

#include "memory.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  /* One callback reads at most this often, or a worker that never stops
   * writing would keep the loop from everything else. */
  READS_MAX = 64,
  /* The receive window to ask for, so that a body of some MB flows without
   * waiting for the host. */
  WINDOW = 2 * 1024 * 1024,
  /* How long an answer waits for the event that goes with it. */
  HOLD_MS = 10
};

/* --- open and closed ----------------------------------------------------- */

static void on_closed(uv_handle_t *handle) {
  struct lp__link *link = handle->data;
  if (--link->handles > 0)
    return;
  lp__endpoint_free(&link->endpoint);
  lp__free(link);
}

void lp__link_close(struct lp__link *link) {
  if (link->fd < 0)
    return;
  lp__loop_forget(link->owner->loop, &link->go_on);
  uv_close((uv_handle_t *)&link->poll, on_closed);
  uv_close((uv_handle_t *)&link->hold, on_closed);
  close(link->fd);
  link->fd = -1;
}

static void set_options(int fd) {
  int on = 1, window = WINDOW, low = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  /* A high mark raises the receive buffer beyond net.core.rmem_max and leaves
   * the kernel's own tuning on; SO_RCVBUF would do neither. */
  setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &window, sizeof window);
  setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
}

static void on_ready(uv_poll_t *poll, int status, int events);
static void go_on(void *link);

/* Watches for room to send or for something to receive, or for neither. */
static void watch(struct lp__link *link) {
  if (link->writing || !link->paused)
    uv_poll_start(&link->poll, link->writing ? UV_WRITABLE : UV_READABLE,
                  on_ready);
  else
    uv_poll_stop(&link->poll);
  lp__loop_watches_more(link->owner->loop);
}

int lp__link_open(struct lp__link **out, int fd, struct lp__api *api,
                  struct lp__link_owner *owner) {
  struct lp__link *link = lp__calloc(1, sizeof *link);
  uv_loop_t *uv = lp__loop_uv(owner->loop);
  int status = link ? uv_poll_init(uv, &link->poll, fd) : -ENOMEM;
  if (status < 0) {
    close(fd);
    lp__free(link);
    return status;
  }
  uv_timer_init(uv, &link->hold);
  link->poll.data = link->hold.data = link;
  link->go_on = (struct lp__turn){.run = go_on, .context = link};
  link->handles = 2;
  link->fd = fd;
  link->owner = owner;
  link->turn = ++owner->turns;
  lp__endpoint_init(&link->endpoint, api);
  set_options(fd);
  watch(link);
  *out = link;
  return 0;
}

/* --- sending ------------------------------------------------------------- */

static void lose(struct lp__link *link, int error) {
  link->owner->lost(link->owner->context, link, error);
}

static void set_writing(struct lp__link *link, bool writing) {
  if (writing == link->writing)
    return;
  link->writing = writing;
  watch(link);
}

/* What to send next, at most as much as the loop wants at a time. Returns the
 * number of pieces. */
static size_t next_output(const struct lp__link *link, struct iovec *pieces) {
  size_t count = (size_t)lp__endpoint_output(&link->endpoint, pieces);
  size_t left = lp__loop_piece(link->owner->loop);
  for (size_t i = 0; i < count; i++) {
    if (pieces[i].iov_len > left)
      pieces[i].iov_len = left;
    left -= pieces[i].iov_len;
  }
  return count;
}

void lp__link_send(struct lp__link *link) {
  struct iovec pieces[LP__ENDPOINT_PIECES];
  struct msghdr message = {.msg_iov = pieces};
  for (bool first = true; (message.msg_iovlen = next_output(link, pieces)) > 0;
       first = false) {
    bool may = first || lp__loop_admits(link->owner->loop, &link->go_on);
    ssize_t size = may ? sendmsg(link->fd, &message, MSG_NOSIGNAL) : -1;
    if (size >= 0) {
      lp__endpoint_sent(&link->endpoint, (size_t)size);
    } else if (!may || errno == EAGAIN) {
      set_writing(link, true);
      return;
    } else if (errno != EINTR) {
      lose(link, errno);
      return;
    }
  }
  set_writing(link, false);
  if (link->endpoint.closes && !link->endpoint.waits)
    lose(link, 0);
}

/* Sends what was held back. */
static void on_hold(uv_timer_t *hold) {
  struct lp__link *link = hold->data;
  if (link->fd >= 0 && !link->writing)
    lp__link_send(link);
}

/* --- receiving ----------------------------------------------------------- */

/* A worker that asks for an event together with its last answer has nothing to
 * do until there is one: what the endpoint has to say goes out in one piece
 * with the next invocation, which spares both sides a system call and the
 * worker a wake-up. After a while it goes out alone, so that the worker can
 * tidy up. */
static void answer(struct lp__link *link) {
  if (link->endpoint.waits)
    uv_timer_start(&link->hold, on_hold, HOLD_MS, 0);
  else
    lp__link_send(link);
}

/* Receives once. False when there is no more to receive now. */
static bool receive(struct lp__link *link) {
  size_t room, most = lp__loop_piece(link->owner->loop);
  char *space = lp__endpoint_space(&link->endpoint, link->owner->scratch,
                                   LP__LINK_READ, &room);
  if (room > most)
    room = most;
  ssize_t size = recv(link->fd, space, room, 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR))
    return errno == EINTR;
  if (size <= 0) {
    lose(link, size < 0 ? errno : 0);
    return false;
  }
  link->turn = ++link->owner->turns;
  int status = lp__endpoint_receive(&link->endpoint, space, (size_t)size);
  if (link->fd < 0)
    return false;
  if (status < 0) {
    link->owner->failed(link->owner->context, link, status);
    return false;
  }
  answer(link);
  return (size_t)size == room && link->fd >= 0 && !link->writing;
}

bool lp__link_receive(struct lp__link *link) {
  for (int i = 0; i < READS_MAX; i++) {
    if (link->fd < 0 || link->writing || link->paused)
      return true;
    if (!lp__loop_admits(link->owner->loop, &link->go_on))
      return false;
    if (!receive(link))
      return true;
  }
  return true;
}

static void go_on(void *context) {
  struct lp__link *link = context;
  if (!link->writing)
    lp__link_receive(link);
  else if (lp__loop_admits(link->owner->loop, &link->go_on))
    lp__link_send(link);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  go_on(poll->data);
}

void lp__link_pause(struct lp__link *link, bool paused) {
  if (paused == link->paused || link->fd < 0)
    return;
  link->paused = paused;
  watch(link);
}
