/* Ctrl-C, for a program that wants to end in order: the first SIGINT is
 * remembered and wakes whoever waits, the second kills the process.
 *
 * This is the only state of the process that the library has, and it has it
 * only when asked: without lp__interrupt_catch there is no handler, nothing
 * is ever pending and the descriptor is -1. The signal may come to any
 * thread; the functions belong to the one that catches, and the handler does
 * its work there. */
#ifndef LP_INTERRUPT_H
#define LP_INTERRUPT_H

#include <stdbool.h>

/* Catches the next SIGINT, even where it was ignored, as `lua` does. The
 * handler makes the interrupt pending, calls notify(data) and leaves SIGINT
 * at its default action. `notify` runs in a signal handler, in the thread that
 * has called this: it may call only what is safe there. System calls that block
 * are not resumed after it, so that a script which reads from a terminal is
 * woken. Calling it again replaces `notify` and `data`, forgets what is pending
 * and catches one more. 0 or a negative errno. */
int lp__interrupt_catch(void (*notify)(void *), void *data);

/* From now on SIGTERM is like the SIGINT that is caught: for servers, which
 * are ended that way. Only after lp__interrupt_catch. */
void lp__interrupt_catch_termination(void);

/* Which of the two came last: SIGINT or SIGTERM; 0 before the first. */
int lp__interrupt_signal(void);

/* Gives the signals their default action back and forgets what is pending,
 * provided `data` is what it is caught for: `data` is not touched any more. */
void lp__interrupt_release(const void *data);

/* Whether a SIGINT came that nobody has taken. */
bool lp__interrupt_pending(void);

/* The same, and takes it: true once for each. */
bool lp__interrupt_take(void);

/* A descriptor that is readable while an interrupt is pending; -1 before the
 * first lp__interrupt_catch. It stays open until lp__interrupt_release, and as
 * long as somebody watches it. */
int lp__interrupt_fd(void);

/* Somebody watches the descriptor, which is open, or does no more. */
void lp__interrupt_watch(bool on);

#endif
