/* From the names of an archive to the items of a folder.  See
 * archive_plan.h. */
#include "archive_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_SIZE_MAX 1000
#define NAME_SIZE_MAX 255

/* So much of a name is shown. */
#define SHOWN 100

int lp__archive_fail(struct lp__archive_report *report, int problem,
                     const char *format, const char *name) {
  char shown[SHOWN + 4];
  size_t i;
  for (i = 0; i < SHOWN && name[i] != '\0'; i++)
    shown[i] = name[i];
  strcpy(shown + i, name[i] != '\0' ? "..." : "");
  for (i = 0; shown[i] != '\0'; i++)
    if (shown[i] < ' ' || shown[i] > '~')
      shown[i] = '?';
  snprintf(report->message, sizeof report->message, format, shown);
  return problem;
}

static int unsafe(struct lp__archive_report *report, const char *format,
                  const char *name) {
  return lp__archive_fail(report, LP__ARCHIVE_UNSAFE, format, name);
}

/* --- names --------------------------------------------------------------- */

static int is_dots(const char *part, size_t size, size_t dots) {
  return size == dots && memcmp(part, "..", dots) == 0;
}

/* Writes the path that a name means to `path`, which has room for as much as
 * the name. It is empty for the folder itself. */
static int make_path(const char *name, char *path,
                     struct lp__archive_report *report) {
  const char *part = name;
  char *to = path;
  if (name[0] == '/')
    return unsafe(report, "the name '%s' is absolute", name);
  if (strchr(name, '\\') != NULL)
    return unsafe(report, "the name '%s' has a backslash", name);
  while (*part != '\0') {
    size_t size = strcspn(part, "/");
    if (is_dots(part, size, 2))
      return unsafe(report, "the name '%s' leads out of the archive", name);
    if (size > NAME_SIZE_MAX)
      return unsafe(report, "the name '%s' is too long", name);
    if (size > 0 && !is_dots(part, size, 1)) {
      if (to > path)
        *to++ = '/';
      memcpy(to, part, size);
      to += size;
    }
    part += size + (part[size] == '/');
  }
  *to = '\0';
  if (to - path > PATH_SIZE_MAX)
    return unsafe(report, "the name '%s' is too long", name);
  return LP__ARCHIVE_OK;
}

static int ends_in_slash(const char *name) {
  size_t size = strlen(name);
  return size > 0 && name[size - 1] == '/';
}

/* --- kinds --------------------------------------------------------------- */

/* The Unix mode of an entry; archives of other systems have none. */
static mode_t entry_mode(zip_t *zip, zip_uint64_t index) {
  zip_uint8_t system = ZIP_OPSYS_DOS;
  zip_uint32_t attributes = 0;
  zip_file_get_external_attributes(zip, index, 0, &system, &attributes);
  if (system == ZIP_OPSYS_UNIX || system == ZIP_OPSYS_OS_X)
    return attributes >> 16;
  return attributes & 0x10 ? S_IFDIR | 0755 : S_IFREG | 0644;
}

static int find_kind(zip_t *zip, struct lp__archive_item *item,
                     const char *name, struct lp__archive_report *report) {
  mode_t mode = entry_mode(zip, item->index);
  int slash = ends_in_slash(name);
  item->mode = (mode & 0755) | 0444;
  switch (mode & S_IFMT) {
  case S_IFDIR:
    item->kind = LP__ARCHIVE_FOLDER;
    return LP__ARCHIVE_OK;
  case S_IFREG:
  case 0:
    item->kind = slash ? LP__ARCHIVE_FOLDER : LP__ARCHIVE_FILE;
    return LP__ARCHIVE_OK;
  case S_IFLNK:
    item->kind = LP__ARCHIVE_LINK;
    if (!slash)
      return LP__ARCHIVE_OK;
    break;
  default:
    break;
  }
  return unsafe(report, "'%s' is neither a file nor a folder nor a link", name);
}

/* Notes the size that the data of an entry claims to have. */
static int find_size(zip_t *zip, struct lp__archive_item *item,
                     const char *name, zip_uint64_t unzipped,
                     struct lp__archive_report *report) {
  zip_stat_t status;
  if (item->kind == LP__ARCHIVE_FOLDER)
    return LP__ARCHIVE_OK;
  if (zip_stat_index(zip, item->index, 0, &status) != 0)
    return lp__archive_fail(report, LP__ARCHIVE_INVALID, "'%s' is broken",
                            name);
  if (status.encryption_method != ZIP_EM_NONE)
    return lp__archive_fail(report, LP__ARCHIVE_INVALID, "'%s' is encrypted",
                            name);
  if (status.comp_method != ZIP_CM_STORE &&
      status.comp_method != ZIP_CM_DEFLATE)
    return lp__archive_fail(report, LP__ARCHIVE_INVALID,
                            "'%s' is compressed in a way that is not known",
                            name);
  if (status.size > unzipped - report->unzipped)
    return lp__archive_fail(report, LP__ARCHIVE_TOO_LARGE,
                            "with '%s' the files are too large", name);
  item->size = status.size;
  report->unzipped += status.size;
  return LP__ARCHIVE_OK;
}

/* --- the plan ------------------------------------------------------------ */

/* Appends the entry at `index` to the plan, which has room. */
static int add_item(struct lp__archive_plan *plan, zip_uint64_t index,
                    zip_uint64_t unzipped, struct lp__archive_report *report) {
  struct lp__archive_item *item = plan->items + plan->count;
  const char *name = zip_get_name(plan->zip, index, ZIP_FL_ENC_RAW);
  int problem;
  if (name == NULL)
    return unsafe(report, "an entry has no name%s", "");
  item->index = index;
  item->path = malloc(strlen(name) + 1);
  if (item->path == NULL)
    return lp__archive_fail(report, LP__ARCHIVE_FAILED, "out of memory%s", "");
  plan->count++;
  if ((problem = make_path(name, item->path, report)) ||
      (problem = find_kind(plan->zip, item, name, report)))
    return problem;
  if (item->path[0] == '\0' && item->kind != LP__ARCHIVE_FOLDER)
    return unsafe(report, "'%s' is no name of a file", name);
  return find_size(plan->zip, item, name, unzipped, report);
}

static int rank(char c) {
  return c == '\0' ? 0 : c == '/' ? 1 : (unsigned char)c + 1;
}

/* What is below "a" comes right behind it, before "a.b". */
static int compare_items(const void *a, const void *b) {
  const char *x = ((const struct lp__archive_item *)a)->path;
  const char *y = ((const struct lp__archive_item *)b)->path;
  while (*x == *y && *x != '\0')
    x++, y++;
  return rank(*x) - rank(*y);
}

size_t lp__archive_common(const char *before, const char *path) {
  size_t i, common = 0;
  for (i = 0; path[i] != '\0'; i++) {
    if (path[i] == '/' && (before[i] == '/' || before[i] == '\0'))
      common = i;
    if (path[i] != before[i])
      break;
  }
  return common;
}

/* The number of files and folders that come into being for `path`. */
static size_t count_new(const char *before, const char *path) {
  size_t count = 1, i = lp__archive_common(before, path);
  for (i += path[i] == '/'; path[i] != '\0'; i++)
    count += path[i] == '/';
  return count;
}

/* Compares what stands side by side, and drops repeated folders. */
static int compare_neighbours(struct lp__archive_plan *plan,
                              struct lp__archive_report *report) {
  size_t i, kept = 0, made = 0;
  for (i = 0; i < plan->count; i++) {
    struct lp__archive_item *item = plan->items + i;
    struct lp__archive_item *last = kept ? plan->items + kept - 1 : NULL;
    const char *before = last ? last->path : "";
    int both_folders = item->kind == LP__ARCHIVE_FOLDER &&
                       (!last || last->kind == LP__ARCHIVE_FOLDER);
    if (strcmp(before, item->path) == 0) {
      if (!both_folders)
        return unsafe(report, "the archive has '%s' twice", item->path);
      free(item->path);
      item->path = NULL;
      continue;
    }
    if (last && last->kind != LP__ARCHIVE_FOLDER &&
        lp__archive_common(before, item->path) == strlen(before))
      return unsafe(report, "'%s' is a file and a folder", before);
    made += count_new(before, item->path);
    if (made > LP__ARCHIVE_ITEMS_MAX)
      break;
    struct lp__archive_item moved = *item;
    item->path = NULL;
    plan->items[kept++] = moved;
  }
  if (i < plan->count)
    return lp__archive_fail(report, LP__ARCHIVE_TOO_LARGE,
                            "the archive has more than 100000 files and "
                            "folders%s",
                            "");
  report->entries = plan->count = kept;
  return LP__ARCHIVE_OK;
}

static int open_zip(struct lp__archive_plan *plan, const void *bytes,
                    size_t size, struct lp__archive_report *report) {
  zip_error_t error;
  zip_source_t *source;
  int problem = LP__ARCHIVE_OK;
  zip_error_init(&error);
  source = zip_source_buffer_create(bytes, size, 0, &error);
  if (source != NULL)
    plan->zip = zip_open_from_source(source, ZIP_RDONLY, &error);
  if (plan->zip == NULL) {
    problem = zip_error_code_zip(&error) == ZIP_ER_MEMORY ? LP__ARCHIVE_FAILED
                                                          : LP__ARCHIVE_INVALID;
    lp__archive_fail(report, problem, "%s", zip_error_strerror(&error));
    if (source != NULL)
      zip_source_free(source);
  }
  zip_error_fini(&error);
  return problem;
}

int lp__archive_plan_make(struct lp__archive_plan *plan, const void *bytes,
                          size_t size, zip_uint64_t unzipped,
                          struct lp__archive_report *report) {
  zip_uint64_t i, entries;
  int problem;
  memset(plan, 0, sizeof *plan);
  memset(report, 0, sizeof *report);
  if (size == 0) /* libzip takes it for an archive of nothing */
    return lp__archive_fail(report, LP__ARCHIVE_INVALID, "no bytes%s", "");
  if ((problem = open_zip(plan, bytes, size, report)))
    return problem;
  entries = (zip_uint64_t)zip_get_num_entries(plan->zip, 0);
  if (entries > LP__ARCHIVE_ITEMS_MAX)
    return lp__archive_fail(report, LP__ARCHIVE_TOO_LARGE,
                            "the archive has more than 100000 entries%s", "");
  plan->items = calloc(entries + 1, sizeof *plan->items);
  if (plan->items == NULL)
    return lp__archive_fail(report, LP__ARCHIVE_FAILED, "out of memory%s", "");
  for (i = 0; i < entries; i++)
    if ((problem = add_item(plan, i, unzipped, report)))
      return problem;
  qsort(plan->items, plan->count, sizeof *plan->items, compare_items);
  return compare_neighbours(plan, report);
}

void lp__archive_plan_free(struct lp__archive_plan *plan) {
  size_t i;
  for (i = 0; i < plan->count; i++)
    free(plan->items[i].path);
  free(plan->items);
  if (plan->zip != NULL)
    zip_discard(plan->zip);
}

int lp__archive_leads_inside(const char *path, const char *target) {
  const char *part;
  size_t depth = 0, size;
  int left = 0;
  for (; *path != '\0'; path++)
    depth += *path == '/';
  if (target[0] == '\0' || target[0] == '/')
    return 0;
  for (part = target; *part != '\0'; part += size + (part[size] == '/')) {
    size = strcspn(part, "/");
    if (size == 0 || is_dots(part, size, 1))
      continue;
    if (!is_dots(part, size, 2))
      left = 1;
    else if (left || depth-- == 0)
      return 0;
  }
  return 1;
}
