/* A terminal on the loop. See watch.h.
 *
 * libuv would make the descriptor non-blocking, and with it that of the shell
 * and of everybody else who has the terminal open. So it watches an epoll
 * instance, in which the terminal is. Its signals are not for us: they need
 * two descriptors that it would keep for ever. */
#include "watch.h"

#include "uv_port.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct lp__watch {
  const struct lp__loop_port *port;
  int64_t id;
  int epoll;
  uv_poll_t input;
  uv_poll_t size; /* of size_fd */
  int handles;
  bool waiting, resized;
};

/* What the handler of SIGWINCH adds to: of the one watch that hears of it, -1
 * when there is none. */
static volatile int size_fd = -1;
static struct sigaction action_before;

static void tell(struct lp__watch *watch) {
  struct lp__event *event =
      watch->waiting ? watch->port->event_new(LP__EVENT_TRANSFER, watch->id)
                     : NULL;
  if (!event)
    return;
  lp__watch_stop(watch);
  watch->port->push(watch->port->loop, event);
}

static void on_input(uv_poll_t *input, int status, int events) {
  (void)status; /* whoever reads meets the error */
  (void)events;
  tell(input->data);
}

static void on_signal(int number) {
  uint64_t one = 1;
  int before = errno;
  (void)number;
  if (write(size_fd, &one, sizeof one) < 0)
    errno = before;
}

static void on_size(uv_poll_t *size, int status, int events) {
  struct lp__watch *watch = size->data;
  uint64_t count;
  (void)status, (void)events;
  if (read(size_fd, &count, sizeof count) < 0)
    return;
  watch->resized = true;
  tell(watch);
}

static void on_closed(uv_handle_t *handle) {
  struct lp__watch *watch = handle->data;
  if (--watch->handles > 0)
    return;
  close(watch->epoll);
  free(watch);
}

/* Neither keeps the loop alive by itself. */
static void add_handle(struct lp__watch *watch, uv_handle_t *handle) {
  handle->data = watch;
  watch->handles++;
  uv_unref(handle);
}

static int open_epoll(int fd) {
  struct epoll_event event = {.events = EPOLLIN};
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0)
    return -errno;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0)
    return epoll;
  int failure = errno;
  close(epoll);
  return -failure;
}

static int watch_size(struct lp__watch *watch) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0)
    return -errno;
  int status = uv_poll_init(watch->port->uv, &watch->size, fd);
  if (status < 0) {
    close(fd);
    return status;
  }
  size_fd = fd;
  add_handle(watch, (uv_handle_t *)&watch->size);
  sigaction(SIGWINCH, &action, &action_before);
  return uv_poll_start(&watch->size, UV_READABLE, on_size);
}

static void forget_size(struct lp__watch *watch) {
  sigaction(SIGWINCH, &action_before, NULL);
  uv_close((uv_handle_t *)&watch->size, on_closed);
  close(size_fd);
  size_fd = -1;
}

static int open_handles(struct lp__watch *watch) {
  uv_loop_t *uv = watch->port->uv;
  int status = uv_poll_init(uv, &watch->input, watch->epoll);
  if (status < 0)
    return status;
  add_handle(watch, (uv_handle_t *)&watch->input);
  return size_fd < 0 ? watch_size(watch) : 0;
}

int lp__watch_open(struct lp__watch **out, const struct lp__loop_port *port,
                   int64_t id, int fd) {
  struct lp__watch *watch = calloc(1, sizeof *watch);
  if (!watch)
    return -ENOMEM;
  watch->port = port;
  watch->id = id;
  watch->epoll = open_epoll(fd);
  int status = watch->epoll;
  if (status >= 0)
    status = open_handles(watch);
  if (status < 0) {
    lp__watch_close(watch);
    return status;
  }
  *out = watch;
  return 0;
}

void lp__watch_start(struct lp__watch *watch) {
  if (watch->waiting)
    return;
  watch->waiting = true;
  watch->port->count_far(watch->port->loop, 1);
  uv_poll_start(&watch->input, UV_READABLE, on_input);
  uv_ref((uv_handle_t *)&watch->input);
  watch->port->watches_more(watch->port->loop);
}

void lp__watch_stop(struct lp__watch *watch) {
  if (!watch->waiting)
    return;
  watch->waiting = false;
  watch->port->count_far(watch->port->loop, -1);
  uv_poll_stop(&watch->input);
  uv_unref((uv_handle_t *)&watch->input);
}

bool lp__watch_resized(struct lp__watch *watch) {
  bool resized = watch->resized;
  watch->resized = false;
  return resized;
}

void lp__watch_close(struct lp__watch *watch) {
  if (!watch)
    return;
  lp__watch_stop(watch);
  if (watch->handles == 0) {
    if (watch->epoll >= 0)
      close(watch->epoll);
    free(watch);
    return;
  }
  int handles = watch->handles; /* closing them may free the watch, later */
  uv_close((uv_handle_t *)&watch->input, on_closed);
  if (handles > 1)
    forget_size(watch);
}
