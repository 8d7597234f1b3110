/* The first Ctrl-C. See interrupt.h. */
#include "interrupt.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static atomic_bool pending;
static atomic_int last;
static int event_fd = -1;
static atomic_int watchers; /* of that */
static bool terminations;   /* SIGTERM, too */
static void (*notify_caller)(void *);
static void *notify_data;
static pthread_t catcher;

static void on_signal(int number);

static void set_action(int number, void (*handler)(int), int flags) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, NULL);
}

/* The descriptor first: who sees `pending` may rely on it to be readable. */
static void make_pending(int number) {
  uint64_t one = 1;
  ssize_t written = write(event_fd, &one, sizeof one);
  (void)written;
  atomic_store(&last, number);
  atomic_store(&pending, true);
  notify_caller(notify_data);
}

/* Another thread of the process, a library's perhaps, passes the signal on:
 * what is notified belongs to the one that catches. */
static void on_signal(int number) {
  int saved = errno;
  if (pthread_equal(pthread_self(), catcher)) {
    make_pending(number);
  } else {
    set_action(number, on_signal, (int)SA_RESETHAND);
    pthread_kill(catcher, number);
  }
  errno = saved;
}

int lp__interrupt_catch(void (*notify)(void *), void *data) {
  if (event_fd < 0)
    event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (event_fd < 0)
    return -errno;
  set_action(SIGINT, SIG_IGN, 0); /* what follows must not be seen half done */
  lp__interrupt_take();
  notify_caller = notify;
  notify_data = data;
  catcher = pthread_self();
  set_action(SIGINT, on_signal, (int)SA_RESETHAND);
  return 0;
}

void lp__interrupt_catch_termination(void) {
  terminations = true;
  set_action(SIGTERM, on_signal, (int)SA_RESETHAND);
}

int lp__interrupt_signal(void) {
  return atomic_load(&last);
}

static void close_unused(void) {
  if (event_fd >= 0 && watchers == 0 && notify_data == NULL) {
    close(event_fd);
    event_fd = -1;
  }
}

void lp__interrupt_watch(bool on) {
  watchers += on ? 1 : -1;
  if (!on)
    close_unused();
}

void lp__interrupt_release(const void *data) {
  if (data != notify_data)
    return;
  set_action(SIGINT, SIG_DFL, 0);
  if (terminations)
    set_action(SIGTERM, SIG_DFL, 0);
  terminations = false;
  lp__interrupt_take();
  notify_data = NULL;
  close_unused();
}

bool lp__interrupt_pending(void) {
  return atomic_load(&pending);
}

bool lp__interrupt_take(void) {
  uint64_t count;
  if (!atomic_exchange(&pending, false))
    return false;
  return read(event_fd, &count, sizeof count) == sizeof count;
}

int lp__interrupt_fd(void) {
  return event_fd;
}
