/* Threads of ours beside those of the program. See own_thread.h. */
#include "own_thread.h"

#include <signal.h>

int lp__own_thread_start(pthread_t *thread, void *(*run)(void *),
                         void *context) {
  sigset_t all, before;
  int status;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  status = pthread_create(thread, NULL, run, context);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return -status;
}
