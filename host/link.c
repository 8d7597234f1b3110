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
  /* Answers for which room is made before they come. */
  USUAL_MAX = 1024 * 1024,
  /* How long an answer waits for the event that goes with it, and how large
   * all are that wait. */
  HOLD_MS = 10,
  HOLD_MAX = 1024
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
  if (link->intake)
    lp__intake_close(link->intake);
  else
    close(link->fd);
  link->intake = NULL;
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
  if (link->writing || (!link->paused && !link->intake))
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
  if (owner->receiver)
    status = lp__intake_open(&link->intake, owner->receiver, fd, go_on, link);
  if (status < 0) {
    lp__link_close(link);
    return status;
  }
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

/* Whether the worker asks for an event with its last answer, or probably does:
 * where a receiver receives, that may come a moment later. */
static bool may_wait(const struct lp__link *link) {
  const struct lp__endpoint *endpoint = &link->endpoint;
  return endpoint->waits ||
         (link->intake && !lp__endpoint_hands_over(endpoint) &&
          endpoint->request.url_size == 0 && endpoint->answer_size < HOLD_MAX);
}

/* A worker that asks for an event together with its last answer has nothing to
 * do until there is one: what the endpoint has to say goes out in one piece
 * with the next invocation, which spares both sides a system call and the
 * worker a wake-up. After a while it goes out alone, so that the worker can
 * tidy up. */
static void answer(struct lp__link *link) {
  if (!may_wait(link))
    lp__link_send(link);
  else if (!uv_is_active((uv_handle_t *)&link->hold))
    uv_timer_start(&link->hold, on_hold, HOLD_MS, 0);
}

/* Hands what has come to the endpoint. False when the link is of no use any
 * more. */
static bool feed(struct lp__link *link, const char *bytes, size_t size) {
  link->turn = ++link->owner->turns;
  int status = lp__endpoint_receive(&link->endpoint, bytes, size);
  if (link->fd >= 0 && status < 0)
    link->owner->failed(link->owner->context, link, status);
  if (link->fd < 0 || status < 0)
    return false;
  answer(link);
  return link->fd >= 0;
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
  return feed(link, space, (size_t)size) && (size_t)size == room &&
         !link->writing;
}

/* What is expected to come next: the rest of a body, one that may be of any
 * size, or a body as large as others were. */
static size_t expected(const struct lp__link *link, size_t missing) {
  if (missing > 0)
    return missing;
  return link->endpoint.request.headers_done ? USUAL_MAX : link->usual;
}

/* Sees to it that this has room, and the head of a request. */
static bool make_room(struct lp__link *link) {
  size_t size, missing;
  char *body = lp__endpoint_begun(&link->endpoint, &size, &missing);
  char *before = body;
  if (missing > 0 && size + missing > link->usual &&
      size + missing <= USUAL_MAX)
    link->usual = size + missing;
  int status = lp__intake_make_room(link->intake, &body, size + missing,
                                    expected(link, missing) + LP__LINK_READ);
  if (body != before)
    lp__endpoint_moved(&link->endpoint, lp__intake_block(link->intake), body);
  if (status == -ENOMEM)
    link->owner->failed(link->owner->context, link, status);
  return status != -ENOMEM;
}

/* Takes in what the receiver has received. False when there is no more now. */
static bool take_in(struct lp__link *link) {
  size_t size;
  int ended = lp__intake_ended(link->intake); /* before: it comes last */
  char *bytes = lp__intake_arrived(link->intake, &size);
  if (size == 0 && ended != 0) {
    lose(link, ended < 0 ? -ended : 0);
    return false;
  }
  link->endpoint.block = lp__intake_block(link->intake);
  link->endpoint.whole =
      lp__intake_whole(link->intake, &link->endpoint.whole_size);
  lp__intake_take(link->intake, size);
  return (size == 0 || feed(link, bytes, size)) && make_room(link) &&
         size > 0 && !link->writing;
}

/* Receives by `step` as long as that says that there is more. */
static bool repeat(struct lp__link *link, bool (*step)(struct lp__link *link)) {
  for (int i = 0; i < READS_MAX; i++) {
    if (link->fd < 0 || link->writing || link->paused)
      return true;
    if (!lp__loop_admits(link->owner->loop, &link->go_on))
      return false;
    if (!step(link))
      return true;
  }
  return true;
}

/* Does what the receiver would do, and takes it in. False when that is at it,
 * and tells when it is done. */
static bool overtake(struct lp__link *link) {
  for (int i = 0; i < READS_MAX; i++) {
    if (link->writing || !lp__loop_admits(link->owner->loop, &link->go_on))
      return link->writing;
    if (!lp__intake_receive(link->intake))
      return false;
    if (!take_in(link))
      break;
  }
  return true;
}

bool lp__link_receive(struct lp__link *link) {
  return link->intake ? overtake(link) : repeat(link, receive);
}

bool lp__link_look(struct lp__link *link) {
  return repeat(link, link->intake ? take_in : receive);
}

/* What the receiver has told while there was something to send is not told
 * again. */
static void go_on(void *context) {
  struct lp__link *link = context;
  bool sends = link->writing;
  if (sends && lp__loop_admits(link->owner->loop, &link->go_on))
    lp__link_send(link);
  if (link->intake || !sends)
    lp__link_look(link);
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
