/*
 * Folders and files as a store needs them: what is there is whole, also after
 * a kill -9 or a power cut, and what is removed takes no link's target along.
 * Each returns 0, or -1 with errno.
 */
#ifndef LP__TREE_H
#define LP__TREE_H

#include <stddef.h>

/* Makes a folder of mode 0700 and those that it is in. It may be there. */
int lp__tree_make(const char *folder);

/* Writes all bytes to a file. */
int lp__tree_write(int fd, const void *data, size_t size);

/* Writes a file that is on the disk when this returns, under a name that
 * nobody else uses, and then gives it its own, in the same file system. It
 * replaces a file of that name. */
int lp__tree_store(const char *path, const char *temporary, const void *bytes,
                   size_t size);

/* Removes what is at `path`, if anything, with everything in it. Links are
 * removed, not followed. */
int lp__tree_remove(const char *path);

/* Puts what is in the folder `from` into the folder `to`, which is made if it
 * is not there: folders are made, with mode 0755, files and links are linked
 * (both trees have the same one then). What is in `to` under the same name is
 * replaced, unless both are folders. */
int lp__tree_overlay(const char *from, const char *to);

#endif
