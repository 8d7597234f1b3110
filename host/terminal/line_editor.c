/* One line on a terminal: its beginning and its end. See line_editor.h.
 *
 * libedit draws what the locale can print. Whatever locale the program has,
 * here it is one with UTF-8, for this thread and as long as libedit runs. */
#define _GNU_SOURCE
#include "line_private.h"

#include "guard.h"
#include "text.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HISTORY_SIZE = 1000 };

static const char paste_on[] = "\033[?2004h";
static const char paste_off[] = "\033[?2004l";
static const char last_words[] = "\033[?2004l\n";

struct lp__line_editor *lp__line_of(EditLine *el) {
  struct lp__line_editor *editor = NULL;
  el_wget(el, EL_CLIENTDATA, &editor);
  return editor;
}

/* --- opening ------------------------------------------------------------- */

static wchar_t *prompt_of(EditLine *el) {
  static wchar_t none[] = L"";
  struct lp__line_editor *editor = lp__line_of(el);
  return editor->prompt ? editor->prompt : none;
}

/* A stream of our own for the terminal: those of the program may be buffered
 * otherwise, or closed. */
static FILE *open_stream(int fd) {
  int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  FILE *stream = own < 0 ? NULL : fdopen(own, "w");
  if (!stream && own >= 0)
    close(own);
  return stream;
}

static bool begins_as_ansi(EditLine *el, const char *capability) {
  char *sequence = NULL;
  return el_wget(el, EL_GETTC, capability, &sequence) == 0 && sequence &&
         strncmp(sequence, "\033[", 2) == 0;
}

static bool has_flag(EditLine *el, const char *capability) {
  char *answer = NULL;
  return el_wget(el, EL_GETTC, capability, &answer) == 0 && answer &&
         strcmp(answer, "yes") == 0;
}

/* Ctrl-C stays a signal, so that it reaches code that runs while the line is
 * being edited. Ctrl-Z is a key: the terminal has to be restored before. The
 * lines of a paste may end in "\r\n", which must not become two newlines. */
static void set_modes(EditLine *el) {
  el_wset(el, EL_SETTY, L"-d", L"-ixon", L"-icrnl", L"-inlcr", L"-susp",
          L"-quit", L"susp=", L"quit=", NULL);
}

/* Where libedit shifts characters on the screen to insert or delete some, it
 * counts wide ones as one column. Lines are overwritten instead. */
static void forget_shifts(EditLine *el) {
  static const wchar_t *const shifts[] = {L"ic", L"im", L"ei", L"IC", L"ip",
                                          L"dc", L"dm", L"ed", L"DC"};
  for (size_t i = 0; i < sizeof shifts / sizeof *shifts; i++)
    el_wset(el, EL_SETTC, shifts[i], L"", NULL);
}

static int open_history(struct lp__line_editor *editor) {
  HistEventW event;
  editor->history = history_winit();
  if (!editor->history)
    return -ENOMEM;
  history_w(editor->history, &event, H_SETSIZE, HISTORY_SIZE);
  el_wset(editor->el, EL_HIST, history_w, editor->history);
  return 0;
}

/* libedit and libtinfo keep what they know of terminals until the process ends:
 * unloaded with the state, they would leave it behind. */
static void pin_libedit(void) {
  dlopen("libedit.so.2", RTLD_LAZY | RTLD_NODELETE);
}

static int open_libedit(struct lp__line_editor *editor) {
  EditLine *el =
      el_init_fd("lambdapool", stdin, editor->out, editor->nowhere,
                 editor->input, fileno(editor->out), fileno(editor->nowhere));
  pin_libedit();
  if (!el)
    return -ENOMEM;
  editor->el = el;
  el_wset(el, EL_CLIENTDATA, editor);
  el_wset(el, EL_SIGNAL, 0);
  el_wset(el, EL_EDITOR, L"emacs");
  el_wset(el, EL_PROMPT, prompt_of);
  el_wset(el, EL_GETCFN, lp__line_next_key);
  set_modes(el);
  forget_shifts(el);
  lp__line_bind_keys(el);
  editor->ansi = begins_as_ansi(el, "UP") && begins_as_ansi(el, "cd");
  editor->waits_at_margin = editor->ansi && has_flag(el, "xn");
  return open_history(editor);
}

static int open_parts(struct lp__line_editor *editor, int output) {
  editor->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
  if (!editor->utf8)
    return -errno;
  editor->out = open_stream(output);
  editor->nowhere = fopen("/dev/null", "we");
  if (!editor->out || !editor->nowhere)
    return -errno;
  locale_t before = uselocale(editor->utf8);
  int status = open_libedit(editor);
  uselocale(before);
  return status;
}

int lp__line_editor_open(struct lp__line_editor **out, int input, int output) {
  struct lp__line_editor *editor = calloc(1, sizeof *editor);
  if (!editor)
    return -ENOMEM;
  editor->input = input;
  int status = open_parts(editor, output);
  if (status < 0)
    lp__line_editor_close(editor);
  else
    *out = editor;
  return status;
}

static void close_libedit(struct lp__line_editor *editor) {
  locale_t before = uselocale(editor->utf8);
  if (editor->hooks)
    lp__line_leave(editor);
  el_end(editor->el);
  if (editor->history)
    history_wend(editor->history);
  uselocale(before);
}

void lp__line_editor_close(struct lp__line_editor *editor) {
  if (!editor)
    return;
  if (editor->el)
    close_libedit(editor);
  if (editor->out)
    fclose(editor->out);
  if (editor->nowhere)
    fclose(editor->nowhere);
  if (editor->utf8)
    freelocale(editor->utf8);
  lp__keys_reset(&editor->keys);
  free(editor->prompt);
  free(editor->text);
  free(editor);
}

/* --- reading ------------------------------------------------------------- */

void lp__line_enter(struct lp__line_editor *editor) {
  lp__guard_arm(editor->input, fileno(editor->out),
                editor->ansi ? last_words : "\n");
  fputs(editor->ansi ? paste_on : "", editor->out);
  fflush(editor->out);
}

void lp__line_leave(struct lp__line_editor *editor) {
  fputs(editor->ansi ? paste_off : "", editor->out);
  fflush(editor->out);
  lp__guard_disarm();
}

static void begin(struct lp__line_editor *editor, const char *prompt,
                  size_t prompt_size, const struct lp__line_hooks *hooks) {
  size_t count;
  free(editor->prompt);
  editor->prompt = lp__text_decode(prompt, prompt_size, &count);
  editor->hooks = hooks;
  editor->given_up = editor->hidden = editor->searching = false;
  editor->prefix = false;
  editor->drawn = true;
  editor->mark[0] = 0;
  lp__keys_reset(&editor->keys);
  lp__line_begin_row(editor);
  lp__line_enter(editor);
}

/* Keeps the line without its newline, which was Enter. */
static bool keep(struct lp__line_editor *editor, const wchar_t *line, int count,
                 size_t *size) {
  free(editor->text);
  editor->text = lp__text_encode(line, (size_t)count - 1, size);
  return editor->text != NULL;
}

static enum lp__line_end finish(struct lp__line_editor *editor,
                                const wchar_t *line, int count, size_t *size) {
  enum lp__line_end end = LP__LINE_CLOSED;
  if (editor->given_up)
    end = LP__LINE_GIVEN_UP;
  else if (line && keep(editor, line, count, size))
    end = LP__LINE_READ;
  if (end == LP__LINE_GIVEN_UP)
    lp__line_end_row(editor, editor->mark);
  else if (end == LP__LINE_CLOSED)
    fputs("\n", editor->out);
  lp__line_leave(editor);
  editor->hooks = NULL;
  return end;
}

enum lp__line_end lp__line_editor_read(struct lp__line_editor *editor,
                                       const char *prompt, size_t prompt_size,
                                       const struct lp__line_hooks *hooks,
                                       const char **text, size_t *size) {
  int count = 0;
  locale_t before = uselocale(editor->utf8);
  begin(editor, prompt, prompt_size, hooks);
  const wchar_t *line = el_wgets(editor->el, &count);
  enum lp__line_end end = finish(editor, line, count, size);
  uselocale(before);
  *text = editor->text;
  return end;
}

bool lp__line_editor_is_reading(const struct lp__line_editor *editor) {
  return editor->hooks != NULL;
}

int lp__line_editor_remember(struct lp__line_editor *editor, const char *text,
                             size_t size) {
  HistEventW event;
  size_t count;
  wchar_t *entry = lp__text_decode(text, size, &count);
  if (!entry)
    return -ENOMEM;
  int status = history_w(editor->history, &event, H_ENTER, entry);
  free(entry);
  return status < 0 ? -ENOMEM : 0;
}
