/* What a terminal sends, as keys: characters, and for the keys that have none
 * a code between 0x80 and 0x9f, which no text has. What is pasted in brackets
 * is one key, with all of its text. Sequences of keys that mean nothing here
 * are swallowed whole, so that they leave no letters in the line. */
#ifndef LP_TERMINAL_KEYS_H
#define LP_TERMINAL_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <wchar.h>

enum lp__key {
  LP__KEY_UP = 0x80,
  LP__KEY_DOWN,
  LP__KEY_LEFT,
  LP__KEY_RIGHT,
  LP__KEY_HOME,
  LP__KEY_END,
  LP__KEY_DELETE,
  LP__KEY_WORD_LEFT,
  LP__KEY_WORD_RIGHT,
  LP__KEY_PASTE,   /* lp__keys_paste has the text */
  LP__KEY_NOTHING, /* one that means nothing */
  LP__KEY_REFRESH  /* no terminal sends it */
};

enum {
  LP__KEYS_SEQUENCE = 16, /* longer ones mean nothing */
  LP__KEYS_MOST_PASTE = 4 * 1024 * 1024
};

enum lp__keys_state {
  LP__KEYS_PLAIN,
  LP__KEYS_CHARACTER, /* some bytes of one have come */
  LP__KEYS_ESCAPE,    /* ESC has come */
  LP__KEYS_SS3,       /* ESC O */
  LP__KEYS_CSI,       /* ESC [ */
  LP__KEYS_FUNCTION,  /* ESC [ [, on the console of Linux */
  LP__KEYS_PASTE
};

struct lp__keys {
  enum lp__keys_state state;
  wchar_t ready[2];
  int ready_count;
  unsigned char bytes[LP__KEYS_SEQUENCE]; /* of a character or a sequence */
  size_t size;
  char *paste;
  size_t paste_size, paste_room;
  bool paste_too_large;
};

/* All fields zero is a good beginning. */

/* Takes what the terminal sent next. Take the keys before the next byte. */
void lp__keys_take(struct lp__keys *keys, unsigned char byte);

/* The next key; false when more bytes are needed. */
bool lp__keys_get(struct lp__keys *keys, wchar_t *key);

/* Nothing follows at once: an ESC that has come was a key of its own. */
void lp__keys_settle(struct lp__keys *keys);

/* The text of the last LP__KEY_PASTE, borrowed until more is taken. */
const char *lp__keys_paste(const struct lp__keys *keys, size_t *size);

/* Forgets what has come. */
void lp__keys_reset(struct lp__keys *keys);

#endif
