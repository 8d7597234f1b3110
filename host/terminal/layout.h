/* Where on the screen text ends that libedit draws. libedit does not tell, and
 * whoever takes the line off the screen must know. */
#ifndef LP_TERMINAL_LAYOUT_H
#define LP_TERMINAL_LAYOUT_H

#include <stddef.h>
#include <wchar.h>

/* Counted from where the prompt begins. */
struct lp__place {
  int row, column;
};

/* Moves `place` behind `count` characters, on a screen with that many columns:
 * as refresh.c of libedit draws them. Widths are those of the thread's locale.
 */
void lp__layout(struct lp__place *place, int columns, const wchar_t *text,
                size_t count);

#endif
