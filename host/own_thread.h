/* Threads of ours beside those of the program. */
#ifndef LP_OWN_THREAD_H
#define LP_OWN_THREAD_H

#include <pthread.h>

/* Starts one that gets no signals: these are for the program's. A smaller stack
 * than others have would not do, for the thread-local variables of the program
 * are on it. 0 or a negative errno. */
int lp__own_thread_start(pthread_t *thread, void *(*run)(void *),
                         void *context);

#endif
