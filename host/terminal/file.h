/* A file that several programs add to at the same time: the history. */
#ifndef LP_TERMINAL_FILE_H
#define LP_TERMINAL_FILE_H

#include <stddef.h>

/* Adds a line, which must end in '\n', in one piece, after making the folder
 * and the file where they are missing, for the user alone. Where the last line
 * there has no end, it gets one. 0 or a negative errno. */
int lp__file_append(const char *path, const char *line, size_t size);

/* At most the last `most` bytes, into `bytes`; `size` is how many, `total` the
 * size of the whole file. 0 or a negative errno; what is no ordinary file is
 * empty. */
int lp__file_tail(const char *path, char *bytes, size_t most, size_t *size,
                  size_t *total);

#endif
