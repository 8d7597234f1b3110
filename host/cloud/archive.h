/*
 * Zip archives from strangers: looked through, and unpacked into a folder
 * from which they cannot get out; and archives of our own, of which equal
 * files make equal bytes. libzip reads and writes the format.
 *
 * Sizes are counted while the data is unpacked, and memory does not grow with
 * them: an archive that claims other sizes is broken. archive_plan.h says what
 * is refused.
 */
#ifndef LP__ARCHIVE_H
#define LP__ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

enum lp__archive_problem {
  LP__ARCHIVE_OK,
  LP__ARCHIVE_INVALID,   /* no zip archive, broken, or encrypted */
  LP__ARCHIVE_TOO_LARGE, /* unzipped, or too many files and folders */
  LP__ARCHIVE_UNSAFE,    /* names or links that no honest archive has */
  LP__ARCHIVE_FAILED     /* the disk or the memory is full, and the like */
};

struct lp__archive_report {
  uint64_t entries;  /* without repeated folders */
  uint64_t unzipped; /* bytes */
  char message[512]; /* what is wrong: ASCII, one line */
};

/* Reads all of an archive that holds at most `unzipped` bytes of data. Returns
 * LP__ARCHIVE_OK or the problem. */
int lp__archive_check(const void *bytes, size_t size, uint64_t unzipped,
                      struct lp__archive_report *report);

/* The same, and makes the folder, which must not exist yet, and everything in
 * it: folders of mode 0755, files with the mode that the archive says within
 * 0444 and 0755. On a problem a part is left behind. Nothing is synced. */
int lp__archive_extract(const void *bytes, size_t size, const char *folder,
                        uint64_t unzipped, struct lp__archive_report *report);

struct lp__archive_file {
  const char *name;
  const void *data;
  size_t size;
  unsigned mode; /* with the kind, such as 0100755 */
};

/* Makes an archive, of one file at least, whose bytes depend on nothing but the
 * files and their order, all of 1 January 1980. `*bytes` is owned by the
 * caller, who frees it. */
int lp__archive_create(const struct lp__archive_file *files, size_t count,
                       void **bytes, size_t *size,
                       struct lp__archive_report *report);

#endif
