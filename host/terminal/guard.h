/* Gives the terminal its usual modes back when a signal ends the process while
 * a line is being edited, or when something calls exit(). The process has one:
 * signal handlers have nowhere else to look. */
#ifndef LP_TERMINAL_GUARD_H
#define LP_TERMINAL_GUARD_H

#include <stddef.h>

/* From now on the end restores the modes that the terminal `input` has now,
 * and writes `text`, borrowed, to `output`. Signals that have no default action
 * are left alone: whoever handles them ends in order. */
void lp__guard_arm(int input, int output, const char *text);

/* No longer. May run twice. */
void lp__guard_disarm(void);

#endif
