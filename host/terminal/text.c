/* UTF-8. See text.h. */
#include "text.h"

#include <stdbool.h>
#include <stdlib.h>

size_t lp__utf8_length(unsigned char first) {
  if (first < 0x80)
    return 1;
  if (first < 0xc2 || first > 0xf4)
    return 0;
  return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static bool is_character(unsigned long code, size_t size) {
  static const unsigned long least[] = {0, 0, 0x80, 0x800, 0x10000};
  bool surrogate = code >= 0xd800 && code < 0xe000;
  return code >= least[size] && code <= 0x10ffff && !surrogate;
}

wchar_t lp__utf8_character(const unsigned char *bytes, size_t size) {
  if (size == 1)
    return bytes[0];
  unsigned long code = bytes[0] & (0xffu >> (size + 1));
  for (size_t i = 1; i < size; i++) {
    if ((bytes[i] & 0xc0) != 0x80)
      return 0;
    code = code << 6 | (bytes[i] & 0x3f);
  }
  return is_character(code, size) ? (wchar_t)code : 0;
}

/* Takes a character off the front; of broken ones, one byte. */
static wchar_t take(const unsigned char **bytes, const unsigned char *end) {
  size_t length = lp__utf8_length(**bytes);
  wchar_t character = 0;
  if (length > 0 && length <= (size_t)(end - *bytes))
    character = lp__utf8_character(*bytes, length);
  if (!character && length != 1) {
    character = LP__REPLACEMENT;
    length = 1;
  }
  *bytes += length;
  return character;
}

static bool is_control(wchar_t character) {
  return character < ' ' || (character >= 0x7f && character < 0xa0);
}

wchar_t *lp__text_decode(const char *bytes, size_t size, size_t *count) {
  const unsigned char *at = (const unsigned char *)bytes, *end = at + size;
  wchar_t *text = malloc((size + 1) * sizeof *text);
  if (!text)
    return NULL;
  *count = 0;
  while (at < end) {
    wchar_t character = take(&at, end);
    if (character == '\r') {
      character = '\n';
      at += at < end && *at == '\n';
    }
    if (!is_control(character) || character == '\n' || character == '\t')
      text[(*count)++] = character;
  }
  text[*count] = 0;
  return text;
}

static size_t length_of(wchar_t character) {
  return character < 0x80      ? 1
         : character < 0x800   ? 2
         : character < 0x10000 ? 3
                               : 4;
}

size_t lp__text_size(const wchar_t *text, size_t count) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++)
    size += length_of(text[i]);
  return size;
}

static char *put(char *to, wchar_t character) {
  static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
  size_t length = length_of(character);
  if (length == 1) {
    *to = (char)character;
    return to + 1;
  }
  for (size_t i = length - 1; i > 0; i--) {
    to[i] = (char)(0x80 | (character & 0x3f));
    character >>= 6;
  }
  to[0] = (char)(marks[length] | character);
  return to + length;
}

char *lp__text_encode(const wchar_t *text, size_t count, size_t *size) {
  *size = lp__text_size(text, count);
  char *bytes = malloc(*size + 1);
  if (!bytes)
    return NULL;
  char *to = bytes;
  for (size_t i = 0; i < count; i++)
    to = put(to, text[i]);
  *to = 0;
  return bytes;
}
