/* What the parts of the line editor share. See line_editor.h. */
#ifndef LP_TERMINAL_LINE_PRIVATE_H
#define LP_TERMINAL_LINE_PRIVATE_H

#include "keys.h"
#include "line_editor.h"

#include <histedit.h>
#include <locale.h>
#include <stdio.h>

struct lp__line_editor {
  EditLine *el;
  HistoryW *history;
  FILE *out;
  FILE *nowhere; /* for what libedit says of itself */
  int input;
  locale_t utf8;
  struct lp__keys keys;
  unsigned char bytes[4096]; /* that have been read, from `at` to `size` */
  size_t at, size;
  wchar_t *prompt;
  char *text;                         /* of the last line */
  char mark[8];                       /* for a line that is given up */
  const struct lp__line_hooks *hooks; /* while a line is being read */
  bool ansi;            /* the screen can move up and clear what is below */
  bool waits_at_margin; /* the cursor, behind the last column of a row */
  bool given_up;        /* a hook said so */
  bool hidden;          /* the line is off the screen */
  bool searching;       /* as far as the keys tell */
  bool prefix;          /* the last key is the beginning of a command */
  bool drawn;           /* all of the line, since the last key */
};

/* --- line_input.c -------------------------------------------------------- */

/* EL_GETCFN: the next key. */
int lp__line_next_key(EditLine *el, wchar_t *key);

/* --- line_keys.c --------------------------------------------------------- */

void lp__line_bind_keys(EditLine *el);

/* --- line_draw.c --------------------------------------------------------- */

/* Puts the cursor at the beginning of a row, if something without a newline at
 * its end was printed. */
void lp__line_begin_row(struct lp__line_editor *editor);

/* Leaves the line as it is, with `mark` at its end, and goes to the next row.
 */
void lp__line_end_row(struct lp__line_editor *editor, const char *mark);

/* Whether the line has more rows than the screen, or very short ones. */
bool lp__line_is_cramped(struct lp__line_editor *editor);

/* --- line_editor.c ------------------------------------------------------- */

/* The editor that libedit's callbacks are for. */
struct lp__line_editor *lp__line_of(EditLine *el);

/* Pastes come in brackets from now on, and the terminal is restored when the
 * process ends; or no longer. */
void lp__line_enter(struct lp__line_editor *editor);
void lp__line_leave(struct lp__line_editor *editor);

#endif
