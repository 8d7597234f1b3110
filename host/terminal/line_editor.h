/* Edits one line on a terminal, with libedit; a line may be of several lines,
 * when it was pasted or comes from the history.
 *
 * Reading waits, and whoever reads says how: the hooks. In them, and only
 * there, the line may be taken off the screen for a while. One thread; one
 * line at a time. */
#ifndef LP_TERMINAL_LINE_EDITOR_H
#define LP_TERMINAL_LINE_EDITOR_H

#include <stdbool.h>
#include <stddef.h>

struct lp__line_editor;

/* What Tab does to the line. */
struct lp__line_change {
  size_t removed;   /* bytes before the cursor that go */
  const char *text; /* what is put in their place, borrowed */
  size_t size;
};

struct lp__line_hooks {
  void *data;
  /* Returns when there may be something to read; false: the line is given up.
   */
  bool (*wait)(void *data);
  /* Tab was pressed. `text` is borrowed until it returns, `position` is the
   * byte that the cursor is at. What it returns in `change` is borrowed until
   * the next hook. False: nothing can be done. */
  bool (*complete)(void *data, const char *text, size_t size, size_t position,
                   struct lp__line_change *change);
};

enum lp__line_end {
  LP__LINE_READ,
  LP__LINE_CLOSED,  /* Ctrl-D, or the terminal is gone */
  LP__LINE_GIVEN_UP /* the hook said so */
};

/* An editor for a terminal that is read from `input` and written to `output`,
 * which stay open. 0 or a negative errno. */
int lp__line_editor_open(struct lp__line_editor **out, int input, int output);

/* Restores the terminal and frees everything. NULL is fine. */
void lp__line_editor_close(struct lp__line_editor *editor);

/* Reads a line behind `prompt`, which is one line without control characters.
 * The text has no newline at its end, and is borrowed until the next line is
 * read. When it returns, the terminal has its usual modes and the cursor is at
 * the beginning of a row. */
enum lp__line_end lp__line_editor_read(struct lp__line_editor *editor,
                                       const char *prompt, size_t prompt_size,
                                       const struct lp__line_hooks *hooks,
                                       const char **text, size_t *size);

bool lp__line_editor_is_reading(const struct lp__line_editor *editor);

/* Adds what the arrows and the search find. 0 or a negative errno. */
int lp__line_editor_remember(struct lp__line_editor *editor, const char *text,
                             size_t size);

/* --- in hooks ------------------------------------------------------------ */

/* Takes the line off the screen: what is written now stands in its place. May
 * run twice. */
void lp__line_editor_hide(struct lp__line_editor *editor);

/* Draws it again, where the cursor is by now. */
void lp__line_editor_show(struct lp__line_editor *editor);

/* Takes the line off and writes, with a newline at the end. */
void lp__line_editor_write(struct lp__line_editor *editor, const char *text,
                           size_t size);

/* The size of the screen has changed: draws the line again. */
void lp__line_editor_resized(struct lp__line_editor *editor);

/* If the line is given up, it stays on the screen with `mark` at its end, at
 * most 7 bytes. */
void lp__line_editor_mark(struct lp__line_editor *editor, const char *mark);

/* --- at any time --------------------------------------------------------- */

void lp__line_editor_size(struct lp__line_editor *editor, int *rows,
                          int *columns);

#endif
