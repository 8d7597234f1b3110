/* Cuts a stream of bytes into lines, without input or output of its own. */
#ifndef LP_LINES_H
#define LP_LINES_H

#include <stddef.h>

/* A longer line is cut into pieces of this size. */
enum { LP__LINE_MAX = 64 * 1024 };

/* All zero is an empty one. */
struct lp__lines {
  char *text; /* the beginning of a line whose newline is still to come */
  size_t size;
};

/* Receives one line without its newline, borrowed until it returns. */
typedef void lp__line_sink(void *context, const char *text, size_t size);

/* Passes on every line that `bytes` completes and keeps the rest. When memory
 * is short the line is passed on in pieces instead. */
void lp__lines_feed(struct lp__lines *lines, const char *bytes, size_t size,
                    lp__line_sink *sink, void *context);

/* Passes on what is kept, if anything, as a line. */
void lp__lines_flush(struct lp__lines *lines, lp__line_sink *sink,
                     void *context);

/* Frees what is kept. */
void lp__lines_free(struct lp__lines *lines);

#endif
