/* Bytes that stand for themselves in a JSON string, found in large blocks. */
#ifndef LP__JSON_PLAIN_H
#define LP__JSON_PLAIN_H

#include <stddef.h>

/* Bytes looked at together: enough that vectors of several bytes pay, little
 * enough to look again one by one. */
#define LP__JSON_BLOCK 128
#define LP__JSON_SHORT 24

static inline int lp__json_is_special(unsigned char c) {
  return (c < ' ') | (c == '"') | (c == '\\') | (c == 0x7f);
}

static inline unsigned char lp__json_least(unsigned char a, unsigned char b) {
  return a < b ? a : b;
}

/* Whether a block has a special byte. Least values, all to the end and without
 * a branch, are what compilers make the fewest vector instructions of. A byte
 * that is equal to another differs from it by nothing. */
static inline int lp__json_has_special(const char *block) {
  unsigned char lowest = 0xff, difference = 0xff;
  int i;
  for (i = 0; i < LP__JSON_BLOCK; i++) {
    unsigned char c = (unsigned char)block[i];
    lowest = lp__json_least(lowest, c);
    difference = lp__json_least(difference, c ^ '"');
    difference = lp__json_least(difference, c ^ '\\');
    difference = lp__json_least(difference, c ^ 0x7f);
  }
  return lowest < ' ' || difference == 0;
}

/* The number of bytes in front of the first special one. Most strings are
 * short, and a block would be too large for them. */
static inline size_t lp__json_plain_length(const char *text, size_t size) {
  size_t n = 0;
  while (n < size && n < LP__JSON_SHORT) {
    if (lp__json_is_special((unsigned char)text[n]))
      return n;
    n++;
  }
  while (size - n >= LP__JSON_BLOCK && !lp__json_has_special(text + n))
    n += LP__JSON_BLOCK;
  while (n < size && !lp__json_is_special((unsigned char)text[n]))
    n++;
  return n;
}

#endif
