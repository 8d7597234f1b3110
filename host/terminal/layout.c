/* Where text ends on the screen. See layout.h. */
#define _GNU_SOURCE /* wcwidth */
#include "layout.h"

#include <wctype.h>

static void next_row(struct lp__place *place) {
  place->row++;
  place->column = 0;
}

/* A character that does not fit in the row goes to the next. */
static void put(struct lp__place *place, int columns, int width) {
  if (place->column + width > columns)
    next_row(place);
  place->column += width;
  if (place->column >= columns)
    next_row(place);
}

/* One column after the other: these may be cut at the end of a row. */
static void put_cells(struct lp__place *place, int columns, int count) {
  for (int i = 0; i < count; i++)
    put(place, columns, 1);
}

static void put_tab(struct lp__place *place, int columns) {
  do
    put(place, columns, 1);
  while (place->column & 7);
}

/* What cannot be printed is drawn as ^X, \U+xxxx or \U+xxxxx. */
static int cells_of_unprintable(wchar_t character) {
  return character < 0x100 ? 2 : character < 0x10000 ? 7 : 8;
}

void lp__layout(struct lp__place *place, int columns, const wchar_t *text,
                size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (text[i] == '\n')
      next_row(place);
    else if (text[i] == '\t')
      put_tab(place, columns);
    else if (iswprint((wint_t)text[i]))
      put(place, columns, wcwidth(text[i]) > 0 ? wcwidth(text[i]) : 0);
    else
      put_cells(place, columns, cells_of_unprintable(text[i]));
  }
}
