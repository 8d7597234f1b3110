/*
 * What a zip archive would make of a folder, decided before anything is
 * written: every name is taken apart, every pair of names compared. A plan
 * that was made has these properties, on which extracting relies:
 *
 * - Paths are relative, without ".", ".." and backslashes (libzip makes spaces
 *   of NULs), and stand in an order in which a folder comes before what is in
 *   it.
 * - No path stands there twice, except for folders, of which one is kept. What
 *   is below a path is only there when that is a folder, never a file or a
 *   link: so nothing is ever written through a link.
 * - Kinds are files, folders and symbolic links. Data is stored or deflated
 *   (other methods may want any amount of memory) and not encrypted.
 * - At most LP__ARCHIVE_ITEMS_MAX files and folders come into being, with
 *   those that are in no entry of their own: deep names cost no more than wide
 *   ones.
 *
 * Sizes are what the archive claims, and as much as was allowed, together;
 * reading has to show that they are true.
 */
#ifndef LP__ARCHIVE_PLAN_H
#define LP__ARCHIVE_PLAN_H

#include <sys/types.h>
#include <zip.h>

#include "archive.h"

#define LP__ARCHIVE_ITEMS_MAX 100000

enum lp__archive_kind {
  LP__ARCHIVE_FOLDER,
  LP__ARCHIVE_FILE,
  LP__ARCHIVE_LINK
};

struct lp__archive_item {
  zip_uint64_t index; /* in the archive */
  char *path;         /* owned by the plan */
  enum lp__archive_kind kind;
  mode_t mode; /* of a file: 0444 at least, 0755 at most */
  zip_uint64_t size;
};

struct lp__archive_plan {
  zip_t *zip; /* borrows the bytes */
  struct lp__archive_item *items;
  size_t count;
};

/* LP__ARCHIVE_OK or what is wrong, with the message in `report`. Free the plan
 * in any case. */
int lp__archive_plan_make(struct lp__archive_plan *plan, const void *bytes,
                          size_t size, zip_uint64_t unzipped,
                          struct lp__archive_report *report);
void lp__archive_plan_free(struct lp__archive_plan *plan);

/* The number of bytes at the beginning of `path` that are folders which the
 * path that comes before it in the plan needs, too. */
size_t lp__archive_common(const char *before, const char *path);

/* Whether the link at `path` leads to a place in the folder, whatever the
 * other links of the plan are: ".." may only stand at the beginning, where
 * folders are left that are none of links. */
int lp__archive_leads_inside(const char *path, const char *target);

/* Fills in the message: the format's only "%s" is the name, made fit to be
 * shown. Returns `problem`. */
int lp__archive_fail(struct lp__archive_report *report, int problem,
                     const char *format, const char *name);

#endif
