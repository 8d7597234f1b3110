/* The line on the screen and off it. See line_editor.h.
 *
 * libedit does not tell in which row the cursor is, so it is worked out. On a
 * screen where the cursor cannot go up, what is printed begins in a new row. */
#include "line_private.h"

#include "layout.h"

#include <wchar.h>

enum { NARROW = 10 };

void lp__line_editor_size(struct lp__line_editor *editor, int *rows,
                          int *columns) {
  *rows = 24;
  *columns = 80;
  el_wget(editor->el, EL_GETTC, "li", rows);
  el_wget(editor->el, EL_GETTC, "co", columns);
}

/* Where the character `until` of the line is; `rows` is how many the screen
 * has. */
static struct lp__place locate(struct lp__line_editor *editor,
                               const wchar_t *until, int *rows) {
  struct lp__place place = {0, 0};
  const LineInfoW *line = el_wline(editor->el);
  int columns;
  lp__line_editor_size(editor, rows, &columns);
  if (editor->prompt)
    lp__layout(&place, columns, editor->prompt, wcslen(editor->prompt));
  lp__layout(&place, columns, line->buffer, (size_t)(until - line->buffer));
  return place;
}

/* The same on the screen, which the first rows of a tall line have left. */
static struct lp__place find(struct lp__line_editor *editor,
                             const wchar_t *until) {
  int rows;
  struct lp__place place = locate(editor, until, &rows);
  if (place.row >= rows)
    place.row = rows - 1;
  return place;
}

bool lp__line_is_cramped(struct lp__line_editor *editor) {
  int rows, columns;
  lp__line_editor_size(editor, &rows, &columns);
  return columns < NARROW ||
         locate(editor, el_wline(editor->el)->lastchar, &rows).row >= rows;
}

static void erase(struct lp__line_editor *editor) {
  int row = find(editor, el_wline(editor->el)->cursor).row;
  if (!editor->ansi) {
    fputs("\n", editor->out);
    return;
  }
  fputs("\r", editor->out);
  if (row > 0)
    fprintf(editor->out, "\033[%dA", row);
  fputs("\033[J", editor->out);
}

void lp__line_editor_hide(struct lp__line_editor *editor) {
  if (!editor->hooks || editor->hidden)
    return;
  locale_t before = uselocale(editor->utf8);
  erase(editor);
  uselocale(before);
  fflush(editor->out);
  editor->hidden = true;
}

void lp__line_editor_show(struct lp__line_editor *editor) {
  if (!editor->hooks || !editor->hidden)
    return;
  locale_t before = uselocale(editor->utf8);
  el_wset(editor->el, EL_REFRESH);
  uselocale(before);
  editor->hidden = false;
}

void lp__line_editor_write(struct lp__line_editor *editor, const char *text,
                           size_t size) {
  lp__line_editor_hide(editor);
  fwrite(text, 1, size, editor->out);
  if (size > 0 && text[size - 1] != '\n')
    fputs("\n", editor->out);
  fflush(editor->out);
}

/* Terminals wrap lines again for their new width, so the cursor is where it
 * would be if the line had been drawn with it. */
void lp__line_editor_resized(struct lp__line_editor *editor) {
  locale_t before = uselocale(editor->utf8);
  el_resize(editor->el);
  uselocale(before);
  lp__line_editor_hide(editor);
  lp__line_editor_show(editor);
}

void lp__line_end_row(struct lp__line_editor *editor, const char *mark) {
  lp__line_editor_show(editor);
  const LineInfoW *line = el_wline(editor->el);
  struct lp__place cursor = find(editor, line->cursor);
  struct lp__place end = find(editor, line->lastchar);
  if (editor->ansi && end.row > cursor.row)
    fprintf(editor->out, "\033[%dB", end.row - cursor.row);
  if (editor->ansi)
    fprintf(editor->out, "\033[%dG", end.column + 1);
  fputs(mark, editor->out);
  fputs("\n", editor->out);
  fflush(editor->out);
}

void lp__line_editor_mark(struct lp__line_editor *editor, const char *mark) {
  snprintf(editor->mark, sizeof editor->mark, "%s", mark);
}

/* As many spaces as a row has end in the next one, unless they began at the
 * beginning: then the cursor waits at the end of this one. */
void lp__line_begin_row(struct lp__line_editor *editor) {
  int rows, columns;
  if (!editor->waits_at_margin)
    return;
  el_resize(editor->el);
  lp__line_editor_size(editor, &rows, &columns);
  fprintf(editor->out, "%*s\r\033[K", columns, "");
}
