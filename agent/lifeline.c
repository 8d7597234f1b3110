/* Workers end with their host.  See lifeline.h. */
#define _GNU_SOURCE /* F_SETOWN, O_ASYNC */
#include "lifeline.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Only a group that was made for this worker is killed: the host makes it the
 * leader of one, a person who starts it by hand may not. */
static void die(void) {
  kill(getpgrp() == getpid() ? 0 : getpid(), SIGKILL);
}

static int host_is_gone(int fd) {
  struct pollfd line = {fd, POLLIN, 0};
  return poll(&line, 1, 0) != 0 && line.revents != 0;
}

static int lifeline;

/* A task may have asked for SIGIO, too: only the end of the line counts. */
static void on_signal(int number) {
  (void)number;
  if (host_is_gone(lifeline))
    die();
}

int lp__lifeline_hold(void) {
  const char *text = getenv("LAMBDAPOOL_LIFELINE");
  struct sigaction action;
  if (text == NULL || *text == '\0')
    return 0;
  lifeline = atoi(text);
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGIO, &action, NULL);
  fcntl(lifeline, F_SETFD, FD_CLOEXEC);
  fcntl(lifeline, F_SETOWN, getpid());
  fcntl(lifeline, F_SETFL, fcntl(lifeline, F_GETFL) | O_ASYNC);
  if (host_is_gone(lifeline)) /* before the signal was asked for */
    die();
  return 1;
}
