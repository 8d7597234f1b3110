/* UTF-8 as characters, and back. Whatever locale the program has: the editor's
 * characters are code points. */
#ifndef LP_TERMINAL_TEXT_H
#define LP_TERMINAL_TEXT_H

#include <stddef.h>
#include <wchar.h>

enum { LP__REPLACEMENT = 0xfffd };

/* Bytes of the character that begins with `first`; 0 when none does. */
size_t lp__utf8_length(unsigned char first);

/* The character of exactly `size` bytes, as lp__utf8_length said; 0 when they
 * are not well formed. */
wchar_t lp__utf8_character(const unsigned char *bytes, size_t size);

/* The characters of `size` bytes as the editor may have them: line ends are
 * '\n', control characters but that and '\t' are left out, broken bytes become
 * LP__REPLACEMENT. Ends in 0; NULL when memory is short. Returned owned. */
wchar_t *lp__text_decode(const char *bytes, size_t size, size_t *count);

/* The bytes of `count` characters. Ends in 0; NULL when memory is short.
 * Returned owned. */
char *lp__text_encode(const wchar_t *text, size_t count, size_t *size);

/* How many bytes lp__text_encode makes of them. */
size_t lp__text_size(const wchar_t *text, size_t count);

#endif
