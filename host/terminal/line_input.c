/* The keys of the line editor. See line_editor.h. */
#include "line_private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

enum { CTRL_R = 'R' & 31, CTRL_S = 'S' & 31, CTRL_W = 'W' & 31 };
enum { CTRL_V = 'V' & 31, CTRL_H = 'H' & 31, CTRL_Z = 'Z' & 31, ESCAPE = 27 };

enum { MOST_SEARCHED = 16384 };

static bool is_readable(const struct lp__line_editor *editor) {
  struct pollfd input = {.fd = editor->input, .events = POLLIN};
  return poll(&input, 1, 0) > 0;
}

/* Hooks are not concerned with the locale. */
static bool call_wait(struct lp__line_editor *editor) {
  locale_t utf8 = uselocale(LC_GLOBAL_LOCALE);
  bool go_on = editor->hooks->wait(editor->hooks->data);
  uselocale(utf8);
  editor->given_up = !go_on;
  return go_on;
}

/* Byte by byte, except in a paste: what follows the line is for the code that
 * it runs, which may read from the terminal. */
static bool read_bytes(struct lp__line_editor *editor) {
  bool pasting = editor->keys.state == LP__KEYS_PASTE;
  ssize_t count =
      read(editor->input, editor->bytes, pasting ? sizeof editor->bytes : 1);
  editor->at = 0;
  editor->size = count > 0 ? (size_t)count : 0;
  return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN));
}

/* Gets more bytes, or waits for some; false at the end. */
static bool fill(struct lp__line_editor *editor) {
  if (is_readable(editor))
    return read_bytes(editor);
  if (editor->keys.state == LP__KEYS_ESCAPE) {
    lp__keys_settle(&editor->keys);
    return true;
  }
  return call_wait(editor);
}

static void suspend(struct lp__line_editor *editor) {
  lp__line_end_row(editor, "");
  lp__line_leave(editor);
  el_wset(editor->el, EL_PREP_TERM, 0);
  kill(0, SIGTSTP); /* all that the terminal would stop; goes on here */
  lp__line_enter(editor);
  el_wset(editor->el, EL_PREP_TERM, 1);
  el_resize(editor->el);
  el_wset(editor->el, EL_REFRESH);
}

/* While libedit searches the history it does not say so. */
static void notice_search(struct lp__line_editor *editor, wchar_t key) {
  if (key == CTRL_R || key == CTRL_S)
    editor->searching = true;
  else if (key != CTRL_H && key != CTRL_W &&
           (key < ' ' || (key >= 0x80 && key < 0xa0)))
    editor->searching = false;
}

static bool next_key(struct lp__line_editor *editor, wchar_t *key) {
  while (!lp__keys_get(&editor->keys, key)) {
    if (editor->at < editor->size)
      lp__keys_take(&editor->keys, editor->bytes[editor->at++]);
    else if (!fill(editor))
      return false;
  }
  return true;
}

static void notice(struct lp__line_editor *editor, wchar_t key) {
  notice_search(editor, key);
  editor->prefix = !editor->prefix && (key == ESCAPE || key == CTRL_V);
  editor->drawn = false;
}

/* In a line with more rows than the screen libedit loses the row of a cursor
 * that it has only moved, and would write beyond its picture of the screen with
 * the next characters; on very narrow ones, too. Drawing all of the line before
 * each of them makes it find the row again. */
static bool needs_refresh(struct lp__line_editor *editor) {
  bool between_commands = !editor->prefix && !editor->searching;
  if (editor->drawn || !between_commands || !lp__line_is_cramped(editor))
    return false;
  editor->drawn = true;
  return true;
}

/* A search has to be ended before the line can be given up. */
static int give_up(struct lp__line_editor *editor, wchar_t *key) {
  bool searching = editor->searching;
  editor->searching = false;
  *key = ESCAPE;
  return searching;
}

/* libedit's search takes time that grows with the square of a line's length. */
static bool is_searchable(struct lp__line_editor *editor) {
  const LineInfoW *line = el_wline(editor->el);
  return line->lastchar - line->buffer <= MOST_SEARCHED;
}

/* The key, or one that does nothing in its place. */
static wchar_t allowed(struct lp__line_editor *editor, wchar_t key) {
  bool searches = (key == CTRL_R || key == CTRL_S) && !editor->searching;
  return searches && !is_searchable(editor) ? LP__KEY_NOTHING : key;
}

int lp__line_next_key(EditLine *el, wchar_t *key) {
  struct lp__line_editor *editor = lp__line_of(el);
  if (needs_refresh(editor)) {
    *key = LP__KEY_REFRESH;
    return 1;
  }
  while (!editor->given_up && next_key(editor, key)) {
    if (*key != CTRL_Z) {
      *key = allowed(editor, *key);
      notice(editor, *key);
      return 1;
    }
    suspend(editor);
  }
  return editor->given_up ? give_up(editor, key) : 0;
}
