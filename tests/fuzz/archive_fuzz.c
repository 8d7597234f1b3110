/*
 * Any bytes as a zip archive. Looking through it and unpacking it agree; and
 * after unpacking, the folder around the one it was for has nothing else in
 * it. The archive's own checksums are left as they are: libzip is not what is
 * tested here.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cloud/archive.h"
#include "host/cloud/tree.h"

#define UNZIPPED (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char outside[] = "/tmp/archive_fuzz_XXXXXX";

static void remove_outside(void) {
  lp__tree_remove(outside);
}

static int count_entries(const char *path) {
  DIR *entries = opendir(path);
  int count = 0;
  if (entries == NULL)
    abort();
  while (readdir(entries) != NULL)
    count++;
  closedir(entries);
  return count - 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static int made;
  struct lp__archive_report report, again;
  char inside[sizeof outside + 8];
  int problem;
  if (!made) {
    if (mkdtemp(outside) == NULL)
      abort();
    atexit(remove_outside);
    made = 1;
  }
  problem = lp__archive_check(data, size, UNZIPPED, &report);
  if (report.unzipped > UNZIPPED ||
      (problem != LP__ARCHIVE_OK && report.message[0] == '\0'))
    abort();
  /* Unpacking what is refused only repeats the refusal, slowly. */
  if (problem != LP__ARCHIVE_OK && size % 16 != 0)
    return 0;
  snprintf(inside, sizeof inside, "%s/inside", outside);
  if (lp__archive_extract(data, size, inside, UNZIPPED, &again) != problem ||
      strcmp(report.message, again.message) != 0)
    abort();
  if (lp__tree_remove(inside) != 0 || count_entries(outside) != 0)
    abort();
  return 0;
}
