/* What a terminal sends, as keys. See keys.h. */
#include "keys.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

enum { ESCAPE = 27 };

static void emit(struct lp__keys *keys, wchar_t key) {
  keys->ready[keys->ready_count++] = key;
  keys->state = LP__KEYS_PLAIN;
}

bool lp__keys_get(struct lp__keys *keys, wchar_t *key) {
  if (keys->ready_count == 0)
    return false;
  *key = keys->ready[0];
  keys->ready[0] = keys->ready[1];
  keys->ready_count--;
  return true;
}

void lp__keys_settle(struct lp__keys *keys) {
  if (keys->state == LP__KEYS_ESCAPE)
    emit(keys, ESCAPE);
}

void lp__keys_reset(struct lp__keys *keys) {
  free(keys->paste);
  memset(keys, 0, sizeof *keys);
}

/* --- characters ---------------------------------------------------------- */

static void begin(struct lp__keys *keys, enum lp__keys_state state) {
  keys->state = state;
  keys->size = 0;
}

static void take_plain(struct lp__keys *keys, unsigned char byte) {
  if (byte == ESCAPE) {
    begin(keys, LP__KEYS_ESCAPE);
  } else if (lp__utf8_length(byte) == 1) {
    emit(keys, byte);
  } else if (lp__utf8_length(byte) == 0) {
    emit(keys, LP__REPLACEMENT);
  } else {
    begin(keys, LP__KEYS_CHARACTER);
    keys->bytes[keys->size++] = byte;
  }
}

/* Characters between 0x80 and 0x9f are no text, and here they are keys. */
static void end_character(struct lp__keys *keys) {
  wchar_t character = lp__utf8_character(keys->bytes, keys->size);
  if (!character)
    character = LP__REPLACEMENT;
  emit(keys, character < 0xa0 ? LP__KEY_NOTHING : character);
}

static void take_character(struct lp__keys *keys, unsigned char byte) {
  if ((byte & 0xc0) != 0x80) {
    emit(keys, LP__REPLACEMENT);
    take_plain(keys, byte);
    return;
  }
  keys->bytes[keys->size++] = byte;
  if (keys->size == lp__utf8_length(keys->bytes[0]))
    end_character(keys);
}

/* --- sequences ----------------------------------------------------------- */

static void take_escape(struct lp__keys *keys, unsigned char byte) {
  if (byte == '[') {
    begin(keys, LP__KEYS_CSI);
  } else if (byte == 'O') {
    begin(keys, LP__KEYS_SS3);
  } else {
    emit(keys, ESCAPE);
    take_plain(keys, byte);
  }
}

/* With Ctrl or Alt the arrows go by words. */
static wchar_t key_of_letter(unsigned char letter, bool modified) {
  switch (letter) {
  case 'A':
    return LP__KEY_UP;
  case 'B':
    return LP__KEY_DOWN;
  case 'C':
    return modified ? LP__KEY_WORD_RIGHT : LP__KEY_RIGHT;
  case 'D':
    return modified ? LP__KEY_WORD_LEFT : LP__KEY_LEFT;
  case 'H':
    return LP__KEY_HOME;
  case 'F':
    return LP__KEY_END;
  default:
    return LP__KEY_NOTHING;
  }
}

static wchar_t key_of_number(int number) {
  switch (number) {
  case 1:
  case 7:
    return LP__KEY_HOME;
  case 4:
  case 8:
    return LP__KEY_END;
  case 3:
    return LP__KEY_DELETE;
  default:
    return LP__KEY_NOTHING;
  }
}

static void begin_paste(struct lp__keys *keys) {
  keys->state = LP__KEYS_PASTE;
  keys->paste_size = 0;
  keys->paste_too_large = false;
}

/* `final` ends ESC [ and what is in `bytes`. */
static void end_sequence(struct lp__keys *keys, unsigned char final) {
  keys->bytes[keys->size] = 0;
  const char *parameters = (const char *)keys->bytes;
  if (final != '~')
    emit(keys, key_of_letter(final, strchr(parameters, ';') != NULL));
  else if (strcmp(parameters, "200") == 0)
    begin_paste(keys);
  else
    emit(keys, key_of_number(atoi(parameters)));
}

static void take_csi(struct lp__keys *keys, unsigned char byte) {
  if (byte < ' ' || byte >= 0x7f) { /* it was none */
    emit(keys, LP__KEY_NOTHING);
    take_plain(keys, byte);
  } else if (byte == '[' && keys->size == 0) {
    keys->state = LP__KEYS_FUNCTION;
  } else if (byte >= '@') {
    end_sequence(keys, byte);
  } else if (keys->size < sizeof keys->bytes - 1) {
    keys->bytes[keys->size++] = byte;
  }
}

/* ESC O M is Enter beside the digits. */
static void take_ss3(struct lp__keys *keys, unsigned char byte) {
  emit(keys, byte == 'M' ? '\r' : key_of_letter(byte, false));
}

/* --- pastes -------------------------------------------------------------- */

/* Ends the paste; what may be too large to be kept is not run in part. */
static void end_paste(struct lp__keys *keys) {
  emit(keys, keys->paste_too_large ? LP__KEY_NOTHING : LP__KEY_PASTE);
}

static bool make_room(struct lp__keys *keys) {
  if (keys->paste_size < keys->paste_room)
    return true;
  size_t room = keys->paste_room ? 2 * keys->paste_room : 1024;
  char *paste = room <= LP__KEYS_MOST_PASTE ? realloc(keys->paste, room) : NULL;
  if (!paste)
    return false;
  keys->paste = paste;
  keys->paste_room = room;
  return true;
}

static void take_paste(struct lp__keys *keys, unsigned char byte) {
  static const char end[] = "\033[201~";
  enum { SIZE = sizeof end - 1 };
  if (!make_room(keys)) { /* its end is still to be found */
    keys->paste_too_large = true;
    if (keys->paste_size < SIZE)
      return;
    memmove(keys->paste, keys->paste + keys->paste_size - SIZE, SIZE);
    keys->paste_size = SIZE;
  }
  keys->paste[keys->paste_size++] = (char)byte;
  size_t size = keys->paste_size;
  if (byte == '~' && size >= SIZE &&
      memcmp(keys->paste + size - SIZE, end, SIZE) == 0) {
    keys->paste_size -= SIZE;
    end_paste(keys);
  }
}

const char *lp__keys_paste(const struct lp__keys *keys, size_t *size) {
  *size = keys->paste_size;
  return keys->paste;
}

void lp__keys_take(struct lp__keys *keys, unsigned char byte) {
  static void (*const takers[])(struct lp__keys *, unsigned char) = {
      [LP__KEYS_PLAIN] = take_plain,   [LP__KEYS_CHARACTER] = take_character,
      [LP__KEYS_ESCAPE] = take_escape, [LP__KEYS_SS3] = take_ss3,
      [LP__KEYS_CSI] = take_csi,       [LP__KEYS_PASTE] = take_paste};
  if (keys->state == LP__KEYS_FUNCTION)
    emit(keys, LP__KEY_NOTHING);
  else
    takers[keys->state](keys, byte);
}
