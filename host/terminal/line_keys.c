/* What the keys of the line editor do that libedit has no commands for. See
 * line_editor.h. */
#include "line_private.h"

#include "text.h"

#include <stdlib.h>

static const wchar_t CTRL_P[] = L"\x10", CTRL_N[] = L"\x0e";

/* --- Tab ----------------------------------------------------------------- */

/* Characters before the cursor that make up so many bytes. */
static int characters_of(const LineInfoW *line, size_t bytes) {
  const wchar_t *at = line->cursor;
  size_t size = 0;
  while (at > line->buffer && size < bytes)
    size += lp__text_size(--at, 1);
  return (int)(line->cursor - at);
}

static bool ask(struct lp__line_editor *editor, const LineInfoW *line,
                struct lp__line_change *change) {
  size_t size, position;
  position = lp__text_size(line->buffer, (size_t)(line->cursor - line->buffer));
  char *text = lp__text_encode(line->buffer,
                               (size_t)(line->lastchar - line->buffer), &size);
  if (!text)
    return false;
  locale_t utf8 = uselocale(LC_GLOBAL_LOCALE);
  bool changed = editor->hooks->complete(editor->hooks->data, text, size,
                                         position, change);
  uselocale(utf8);
  free(text);
  return changed;
}

static void apply(EditLine *el, const struct lp__line_change *change) {
  size_t count;
  wchar_t *text = lp__text_decode(change->text, change->size, &count);
  if (!text)
    return;
  int removed = characters_of(el_wline(el), change->removed);
  if (removed > 0)
    el_wdeletestr(el, removed);
  el_winsertstr(el, text);
  free(text);
}

static unsigned char complete(EditLine *el, int key) {
  struct lp__line_editor *editor = lp__line_of(el);
  struct lp__line_change change = {0, "", 0};
  bool changed = ask(editor, el_wline(el), &change);
  (void)key;
  lp__line_editor_show(editor);
  if (!changed)
    return CC_ERROR;
  apply(el, &change);
  return CC_REFRESH;
}

/* --- pastes -------------------------------------------------------------- */

/* A paste that ends in a newline at the end of the line is Enter, too. */
static unsigned char paste(EditLine *el, int key) {
  size_t size, count;
  const char *bytes = lp__keys_paste(&lp__line_of(el)->keys, &size);
  wchar_t *text = lp__text_decode(bytes, size, &count);
  (void)key;
  if (!text)
    return CC_ERROR;
  const LineInfoW *line = el_wline(el);
  bool enters =
      count > 0 && text[count - 1] == '\n' && line->cursor == line->lastchar;
  while (enters && count > 0 && text[count - 1] == '\n')
    text[--count] = 0;
  el_winsertstr(el, text);
  free(text);
  if (enters)
    el_wpush(el, L"\n");
  return CC_REFRESH;
}

/* --- lines of the line --------------------------------------------------- */

static const wchar_t *line_start(const LineInfoW *line, const wchar_t *at) {
  while (at > line->buffer && at[-1] != '\n')
    at--;
  return at;
}

static const wchar_t *line_stop(const LineInfoW *line, const wchar_t *at) {
  while (at < line->lastchar && *at != '\n')
    at++;
  return at;
}

/* To the same column of the line that begins at `start`. */
static unsigned char move_to(EditLine *el, const wchar_t *start) {
  const LineInfoW *line = el_wline(el);
  const wchar_t *stop = line_stop(line, start);
  const wchar_t *to = start + (line->cursor - line_start(line, line->cursor));
  el_cursor(el, (int)((to < stop ? to : stop) - line->cursor));
  return CC_REFRESH;
}

/* From the first line the arrow goes into the history. */
static unsigned char up(EditLine *el, int key) {
  const LineInfoW *line = el_wline(el);
  const wchar_t *start = line_start(line, line->cursor);
  (void)key;
  if (start > line->buffer)
    return move_to(el, line_start(line, start - 1));
  el_wpush(el, CTRL_P);
  return CC_NORM;
}

static unsigned char down(EditLine *el, int key) {
  const LineInfoW *line = el_wline(el);
  const wchar_t *stop = line_stop(line, line->cursor);
  (void)key;
  if (stop < line->lastchar)
    return move_to(el, stop + 1);
  el_wpush(el, CTRL_N);
  return CC_NORM;
}

/* --- others -------------------------------------------------------------- */

/* Ctrl-D is the end of an empty line, and deletes in others. */
static unsigned char end_or_delete(EditLine *el, int key) {
  const LineInfoW *line = el_wline(el);
  (void)key;
  if (line->lastchar == line->buffer)
    return CC_EOF;
  if (line->cursor == line->lastchar)
    return CC_ERROR;
  el_cursor(el, 1);
  el_wdeletestr(el, 1);
  return CC_REFRESH;
}

static unsigned char nothing(EditLine *el, int key) {
  (void)el;
  (void)key;
  return CC_NORM;
}

static unsigned char refresh(EditLine *el, int key) {
  (void)el;
  (void)key;
  return CC_REFRESH;
}

static void add(EditLine *el, const wchar_t *name,
                unsigned char (*command)(EditLine *, int)) {
  el_wset(el, EL_ADDFN, name, L"", command);
}

static void bind(EditLine *el, int key, const wchar_t *command) {
  wchar_t text[] = {(wchar_t)key, 0};
  el_wset(el, EL_BIND, text, command, NULL);
}

static void add_commands(EditLine *el) {
  add(el, L"lp-complete", complete);
  add(el, L"lp-paste", paste);
  add(el, L"lp-up", up);
  add(el, L"lp-down", down);
  add(el, L"lp-end-or-delete", end_or_delete);
  add(el, L"lp-nothing", nothing);
  add(el, L"lp-refresh", refresh);
}

void lp__line_bind_keys(EditLine *el) {
  static const struct {
    int key;
    const wchar_t *command;
  } bindings[] = {{'\t', L"lp-complete"},
                  {'D' & 31, L"lp-end-or-delete"},
                  {'L' & 31, L"ed-clear-screen"},
                  {'R' & 31, L"em-inc-search-prev"},
                  {'S' & 31, L"em-inc-search-next"},
                  {'U' & 31, L"vi-kill-line-prev"},
                  {'W' & 31, L"ed-delete-prev-word"},
                  {LP__KEY_UP, L"lp-up"},
                  {LP__KEY_DOWN, L"lp-down"},
                  {LP__KEY_LEFT, L"ed-prev-char"},
                  {LP__KEY_RIGHT, L"ed-next-char"},
                  {LP__KEY_HOME, L"ed-move-to-beg"},
                  {LP__KEY_END, L"ed-move-to-end"},
                  {LP__KEY_DELETE, L"ed-delete-next-char"},
                  {LP__KEY_WORD_LEFT, L"ed-prev-word"},
                  {LP__KEY_WORD_RIGHT, L"em-next-word"},
                  {LP__KEY_PASTE, L"lp-paste"},
                  {'X' & 31, L"lp-nothing"},
                  {LP__KEY_NOTHING, L"lp-nothing"},
                  {LP__KEY_REFRESH, L"lp-refresh"}};
  add_commands(el);
  for (size_t i = 0; i < sizeof bindings / sizeof *bindings; i++)
    bind(el, bindings[i].key, bindings[i].command);
}
