/* A checker of JSON texts: a loop over values with one bit of memory for each
 * level.  See json_check.h. */
#include "json_check.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lambdapool.h"

#define DEPTH_MAX 1000

/* So much of a word that is no token is told. */
#define WORD_MAX 256

#define TOKENS                                                                 \
  "JSON String, Number, Array, Object or token 'null', 'true' or 'false'"

struct checker {
  const unsigned char *at, *start, *end;
  struct lp__json_problem *problem;
  enum lp__json_bytes bytes;
  int depth;
  uint64_t is_object[DEPTH_MAX / 64 + 1]; /* a bit for each level */
};

/* --- what is wrong ------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static int fail(struct checker *c,
                                                      const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(c->problem->message, sizeof c->problem->message, format, arguments);
  va_end(arguments);
  c->problem->offset = (size_t)(c->at - c->start);
  return LP_EINVAL;
}

/* Describes a byte as Jackson does, which takes it for a character of
 * Latin-1. */
static const char *describe(unsigned char byte, char text[40]) {
  if (byte < ' ' || (byte >= 0x7f && byte < 0xa0))
    snprintf(text, 40, "(CTRL-CHAR, code %d)", byte);
  else if (byte < 0x80)
    snprintf(text, 40, "'%c' (code %d)", byte, byte);
  else
    snprintf(text, 40, "'%c%c' (code %d)", 0xc0 | byte >> 6,
             0x80 | (byte & 0x3f), byte);
  return text;
}

/* The byte at hand is none of those that may stand here; there is one. */
static int unexpected(struct checker *c, const char *expected) {
  char text[40];
  return fail(c, "Unexpected character (%s): %s", describe(*c->at, text),
              expected);
}

/* --- strings ------------------------------------------------------------- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Whether one of eight bytes may be a control character, a quote, a backslash
 * or not ASCII: borrows make it wrong only when another one of them is. */
static int has_special(const unsigned char *bytes) {
  uint64_t word, quotes, escapes;
  memcpy(&word, bytes, sizeof word);
  quotes = word ^ EACH('"');
  escapes = word ^ EACH('\\');
  return (((word - EACH(' ')) | (quotes - EACH(1)) | (escapes - EACH(1)) |
           word) &
          EACH(0x80)) != 0;
}

static int is_special(unsigned char byte) {
  return byte < ' ' || byte == '"' || byte == '\\' || byte >= 0x80;
}

static void skip_plain(struct checker *c) {
  const unsigned char *at = c->at;
  while (c->end - at >= 8 && !has_special(at))
    at += 8;
  while (at < c->end && !is_special(*at))
    at++;
  c->at = at;
}

static int is_between(unsigned char byte, int least, int most) {
  return byte >= least && byte <= most;
}

/* Skips a character that is not ASCII, or all bytes that are not when they may
 * be any. The second byte says whether it is written too long, half of a
 * surrogate pair, or beyond the last one. */
static int skip_character(struct checker *c) {
  unsigned char first = *c->at;
  int i, more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
  int least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  int most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (c->bytes == LP__JSON_ANY_BYTES) {
    while (c->at < c->end && *c->at >= 0x80)
      c->at++;
    return LP_OK;
  }
  if (first < 0xc2 || first > 0xf4)
    return fail(c, "Invalid UTF-8 start byte 0x%x", first);
  c->at++;
  for (i = 0; i < more; i++, c->at++) {
    if (c->at == c->end)
      return fail(c, "Unexpected end-of-input in a UTF-8 character");
    if (!is_between(*c->at, least, most))
      return fail(c, "Invalid UTF-8 middle byte 0x%x", *c->at);
    least = 0x80;
    most = 0xbf;
  }
  return LP_OK;
}

static int is_digit(unsigned char byte) {
  return is_between(byte, '0', '9');
}

static int is_hex(unsigned char byte) {
  return is_digit(byte) || is_between(byte | ' ', 'a', 'f');
}

static int skip_escape(struct checker *c) {
  char text[40];
  int i;
  c->at++;
  if (c->at < c->end && *c->at != 'u') {
    if (*c->at == '\0' || strchr("\"\\/bfnrt", *c->at) == NULL)
      return fail(c, "Unrecognized character escape %s",
                  describe(*c->at, text));
    c->at++;
    return LP_OK;
  }
  for (i = 0, c->at++; i < 4; i++, c->at++) {
    if (c->at >= c->end) {
      c->at = c->end;
      return fail(c, "Unexpected end-of-input in character escape sequence");
    }
    if (!is_hex(*c->at))
      return unexpected(c,
                        "expected a hex-digit for character escape sequence");
  }
  return LP_OK;
}

/* Skips a string whose quote is at hand; `what` it is. */
static int skip_string(struct checker *c, const char *unended) {
  char text[40];
  int status = LP_OK;
  c->at++;
  for (skip_plain(c); c->at < c->end && *c->at != '"'; skip_plain(c)) {
    if (*c->at == '\\')
      status = skip_escape(c);
    else if (*c->at >= 0x80)
      status = skip_character(c);
    else
      status = fail(c,
                    "Illegal unquoted character (%s): has to be escaped using "
                    "backslash to be included in string value",
                    describe(*c->at, text));
    if (status != LP_OK)
      return status;
  }
  if (c->at == c->end)
    return fail(c, "Unexpected end-of-input%s", unended);
  c->at++;
  return LP_OK;
}

/* --- numbers and words --------------------------------------------------- */

static int skip_digits(struct checker *c, const char *expected) {
  char text[40];
  if (c->at == c->end)
    return fail(c, "Unexpected end-of-input in numeric value");
  if (!is_digit(*c->at))
    return fail(c, "Unexpected character (%s) in numeric value: %s",
                describe(*c->at, text), expected);
  while (c->at < c->end && is_digit(*c->at))
    c->at++;
  return LP_OK;
}

static int skip_number(struct checker *c) {
  int status;
  const unsigned char *first;
  if (*c->at == '-')
    c->at++;
  first = c->at;
  status = skip_digits(
      c, "expected digit (0-9) to follow minus sign, for valid numeric value");
  if (status == LP_OK && *first == '0' && c->at - first > 1)
    return fail(c, "Invalid numeric value: Leading zeroes not allowed");
  if (status == LP_OK && c->at < c->end && *c->at == '.') {
    c->at++;
    status = skip_digits(c, "Decimal point not followed by a digit");
  }
  if (status == LP_OK && c->at < c->end && (*c->at | ' ') == 'e') {
    c->at++;
    if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
      c->at++;
    status = skip_digits(c, "Exponent indicator not followed by a digit");
  }
  return status;
}

static int is_word(unsigned char byte) {
  return is_between(byte | ' ', 'a', 'z') || is_digit(byte) || byte == '_' ||
         byte == '$';
}

/* Skips null, true or false; other words are no tokens. */
static int skip_word(struct checker *c) {
  static const char *const words[] = {"null", "true", "false"};
  const unsigned char *end = c->at;
  int size, i;
  while (end < c->end && end - c->at <= WORD_MAX && is_word(*end))
    end++;
  size = (int)(end - c->at);
  for (i = 0; i < 3; i++) {
    if ((size_t)size == strlen(words[i]) && !memcmp(c->at, words[i], size)) {
      c->at = end;
      return LP_OK;
    }
  }
  return fail(c, "Unrecognized token '%.*s%s': was expecting (" TOKENS ")",
              size > WORD_MAX ? WORD_MAX : size, (const char *)c->at,
              size > WORD_MAX ? "..." : "");
}

/* --- structure ----------------------------------------------------------- */

static void skip_space(struct checker *c) {
  while (c->at < c->end &&
         (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
    c->at++;
}

static int in_object(const struct checker *c) {
  return c->is_object[c->depth / 64] >> c->depth % 64 & 1;
}

static int enter(struct checker *c, int is_object) {
  uint64_t bit;
  if (c->depth == DEPTH_MAX)
    return fail(c,
                "Document nesting depth (%d) exceeds the maximum allowed (%d)",
                DEPTH_MAX + 1, DEPTH_MAX);
  c->depth++;
  c->at++;
  bit = UINT64_C(1) << c->depth % 64;
  c->is_object[c->depth / 64] &= ~bit;
  c->is_object[c->depth / 64] |= is_object ? bit : 0;
  return LP_OK;
}

/* Nothing but space is left where something has to come. */
static int ended(struct checker *c) {
  if (c->depth == 0)
    return fail(c, "No content to map due to end-of-input");
  return fail(c, "Unexpected end-of-input: expected close marker for %s",
              in_object(c) ? "Object" : "Array");
}

/* Skips the name of a member and its colon. */
static int skip_name(struct checker *c) {
  int status;
  skip_space(c);
  if (c->at == c->end)
    return ended(c);
  if (*c->at != '"')
    return unexpected(c, "was expecting double-quote to start field name");
  status = skip_string(c, " in field name");
  if (status != LP_OK)
    return status;
  skip_space(c);
  if (c->at == c->end)
    return ended(c);
  if (*c->at != ':')
    return unexpected(c,
                      "was expecting a colon to separate field name and value");
  c->at++;
  return LP_OK;
}

/* Skips a value, or the beginning of an array or object that is not empty:
 * sets `opened` then, and a value comes next. */
static int skip_value(struct checker *c, int *opened) {
  int is_object;
  *opened = 0;
  skip_space(c);
  if (c->at == c->end)
    return ended(c);
  if (*c->at == '"')
    return skip_string(c, ": was expecting closing quote for a string value");
  if (*c->at == '-' || is_digit(*c->at))
    return skip_number(c);
  if (is_word(*c->at))
    return skip_word(c);
  if (*c->at != '{' && *c->at != '[')
    return unexpected(c, "expected a valid value (" TOKENS ")");
  is_object = *c->at == '{';
  if (enter(c, is_object) != LP_OK)
    return LP_EINVAL;
  skip_space(c);
  if (c->at < c->end && *c->at == (is_object ? '}' : ']'))
    return LP_OK;
  *opened = 1;
  return is_object ? skip_name(c) : LP_OK;
}

/* Skips what follows a value: closing brackets, and up to the next value.
 * Sets `more` to whether there is one. */
static int skip_rest(struct checker *c, int *more) {
  *more = 0;
  for (skip_space(c); c->depth > 0; skip_space(c)) {
    int object = in_object(c);
    if (c->at == c->end)
      return ended(c);
    if (*c->at == ',') {
      *more = 1;
      c->at++;
      return object ? skip_name(c) : LP_OK;
    }
    if (*c->at == (object ? ']' : '}'))
      return fail(c, "Unexpected close marker '%c': expected '%c'", *c->at,
                  object ? '}' : ']');
    if (*c->at != (object ? '}' : ']'))
      return unexpected(
          c, object ? "was expecting comma to separate Object entries"
                    : "was expecting comma to separate Array entries");
    c->depth--;
    c->at++;
  }
  return c->at == c->end ? LP_OK : unexpected(c, "expected end-of-input");
}

int lp__json_check(const char *text, size_t size, enum lp__json_bytes bytes,
                   struct lp__json_problem *problem) {
  struct checker c;
  int status, more = 1;
  c.at = c.start = (const unsigned char *)text;
  c.end = c.at + size;
  c.problem = problem;
  c.bytes = bytes;
  c.depth = 0;
  do {
    status = skip_value(&c, &more);
    if (status == LP_OK && !more)
      status = skip_rest(&c, &more);
  } while (status == LP_OK && more);
  return status;
}
