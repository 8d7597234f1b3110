/* Restores the terminal at the end of the process. See guard.h. */
#include "guard.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT};

enum { COUNT = sizeof signals / sizeof *signals };

static struct {
  atomic_bool armed;
  int input, output;
  const char *text;
  struct termios modes;
} guard;

/* Runs in a signal handler, too. */
static void restore(void) {
  if (!atomic_exchange(&guard.armed, false))
    return;
  tcsetattr(guard.input, TCSANOW, &guard.modes);
  ssize_t written = write(guard.output, guard.text, strlen(guard.text));
  (void)written;
}

/* The default action has been set by then: it ends the process. */
static void on_signal(int number) {
  restore();
  raise(number);
}

static void set_default(int number) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, NULL);
}

/* A process in the background that sets modes would be stopped for it. */
static void catch (int number) {
  struct sigaction action, before;
  if (sigaction(number, NULL, &before) < 0 || before.sa_handler != SIG_DFL)
    return;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  action.sa_flags = (int)SA_RESETHAND;
  sigemptyset(&action.sa_mask);
  sigaddset(&action.sa_mask, SIGTTOU);
  sigaction(number, &action, NULL);
}

void lp__guard_arm(int input, int output, const char *text) {
  lp__guard_disarm();
  guard.input = input;
  guard.output = output;
  guard.text = text;
  if (tcgetattr(input, &guard.modes) < 0)
    return;
  atomic_store(&guard.armed, true);
  for (int i = 0; i < COUNT; i++)
    catch (signals[i]);
}

void lp__guard_disarm(void) {
  atomic_store(&guard.armed, false);
  for (int i = 0; i < COUNT; i++) {
    struct sigaction now;
    if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler == on_signal)
      set_default(signals[i]);
  }
}

/* exit() with the line on the screen, or the library is unloaded. */
__attribute__((destructor)) static void on_exit_of_process(void) {
  restore();
  lp__guard_disarm();
}
