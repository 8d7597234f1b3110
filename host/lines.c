/* Cuts a stream of bytes into lines. See lines.h. */
#include "lines.h"

#include "memory.h"

#include <string.h>

/* Keeps `size` more bytes, or passes everything on when that cannot be. */
static void keep(struct lp__lines *lines, const char *bytes, size_t size,
                 lp__line_sink *sink, void *context) {
  if (size == 0)
    return;
  char *text = lp__realloc(lines->text, lines->size + size);
  if (text) {
    memcpy(text + lines->size, bytes, size);
    lines->text = text;
    lines->size += size;
  } else {
    lp__lines_flush(lines, sink, context);
    sink(context, bytes, size);
  }
}

static void end_line(struct lp__lines *lines, const char *bytes, size_t size,
                     lp__line_sink *sink, void *context) {
  if (lines->size == 0) {
    sink(context, bytes, size);
  } else {
    keep(lines, bytes, size, sink, context);
    lp__lines_flush(lines, sink, context);
  }
}

void lp__lines_feed(struct lp__lines *lines, const char *bytes, size_t size,
                    lp__line_sink *sink, void *context) {
  while (size > 0) {
    const char *newline = memchr(bytes, '\n', size);
    size_t length = newline ? (size_t)(newline - bytes) : size;
    size_t room = LP__LINE_MAX - lines->size;
    size_t used = length;
    if (length > room) { /* too long: cut */
      end_line(lines, bytes, room, sink, context);
      used = room;
    } else if (newline) {
      end_line(lines, bytes, length, sink, context);
      used = length + 1;
    } else {
      keep(lines, bytes, length, sink, context);
    }
    bytes += used;
    size -= used;
  }
}

void lp__lines_flush(struct lp__lines *lines, lp__line_sink *sink,
                     void *context) {
  if (lines->size > 0)
    sink(context, lines->text, lines->size);
  lp__lines_free(lines);
}

void lp__lines_free(struct lp__lines *lines) {
  lp__free(lines->text);
  lines->text = NULL;
  lines->size = 0;
}
