/* Reading and writing archives.  See archive.h. */
#include "archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include "archive_plan.h"
#include "tree.h"

#define BLOCK    65536
#define LINK_MAX 4000

/* 1 January 1980, the first day of the format. */
#define FIRST_DAY (1 << 5 | 1)

struct reader {
  struct lp__archive_plan plan;
  struct lp__archive_report *report;
  uint64_t left; /* bytes that the item at hand still has to have */
  int folder;    /* descriptor, or -1: nothing is written */
};

/* --- data ---------------------------------------------------------------- */

static int fail_errno(struct reader *r, const char *path) {
  lp__archive_fail(r->report, LP__ARCHIVE_FAILED, "cannot make '%s': ", path);
  strncat(r->report->message, strerror(errno),
          sizeof r->report->message - strlen(r->report->message) - 1);
  return LP__ARCHIVE_FAILED;
}

static int broken(struct reader *r, const char *path) {
  return lp__archive_fail(r->report, LP__ARCHIVE_INVALID,
                          "the data of '%s' is broken", path);
}

/* Takes the next bytes of an item's data; none at its end, where libzip has
 * compared the checksum. An archive that gives other sizes than it has is
 * broken, and found out at the first byte too many. */
static int next_block(struct reader *r, const char *path, zip_file_t *data,
                      char *block, size_t *size) {
  zip_int64_t got = zip_fread(data, block, *size);
  if (got < 0 || (uint64_t)got > r->left || (got == 0 && r->left > 0))
    return broken(r, path);
  r->left -= (uint64_t)got;
  *size = (size_t)got;
  return LP__ARCHIVE_OK;
}

static int open_data(struct reader *r, const struct lp__archive_item *item,
                     zip_file_t **data) {
  r->left = item->size;
  *data = zip_fopen_index(r->plan.zip, item->index, 0);
  return *data != NULL ? LP__ARCHIVE_OK : broken(r, item->path);
}

/* --- items --------------------------------------------------------------- */

static int make_folder(struct reader *r, const char *path) {
  if (r->folder < 0)
    return LP__ARCHIVE_OK;
  if (mkdirat(r->folder, path, 0755) != 0 ||
      fchmodat(r->folder, path, 0755, 0) != 0)
    return fail_errno(r, path);
  return LP__ARCHIVE_OK;
}

/* Makes the folders that the item at `i` is in and the one before it is not. */
static int make_parents(struct reader *r, size_t i) {
  char *path = r->plan.items[i].path;
  const char *before = i > 0 ? r->plan.items[i - 1].path : "";
  size_t common = lp__archive_common(before, path);
  char *slash = strchr(path + common + (path[common] == '/'), '/');
  int problem = LP__ARCHIVE_OK;
  for (; slash != NULL && !problem; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    problem = make_folder(r, path);
    *slash = '/';
  }
  return problem;
}

/* Nothing in the folder is a link yet, and no name comes twice: this is a new
 * file, and inside. */
static int make_file(struct reader *r, const struct lp__archive_item *item) {
  char block[BLOCK];
  size_t size;
  zip_file_t *data;
  int fd = -1, problem = open_data(r, item, &data);
  if (problem)
    return problem;
  if (r->folder >= 0) {
    fd = openat(r->folder, item->path,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
      problem = fail_errno(r, item->path);
  }
  do {
    size = sizeof block;
    if (!problem)
      problem = next_block(r, item->path, data, block, &size);
    if (!problem && fd >= 0 && lp__tree_write(fd, block, size) != 0)
      problem = fail_errno(r, item->path);
  } while (!problem && size > 0);
  if (!problem && fd >= 0 && fchmod(fd, item->mode) != 0)
    problem = fail_errno(r, item->path);
  if (fd >= 0 && close(fd) != 0 && !problem)
    problem = fail_errno(r, item->path);
  zip_fclose(data);
  return problem;
}

/* Reads where a link leads; `target` ends with a NUL then. */
static int read_target(struct reader *r, const struct lp__archive_item *item,
                       char target[LINK_MAX]) {
  size_t size, total = 0;
  zip_file_t *data;
  int problem = open_data(r, item, &data);
  if (problem)
    return problem;
  do {
    size = LINK_MAX - total;
    problem = next_block(r, item->path, data, target + total, &size);
    total += problem ? 0 : size;
  } while (!problem && size > 0 && total < LINK_MAX);
  zip_fclose(data);
  if (problem)
    return problem;
  if (total < LINK_MAX) {
    target[total] = '\0';
    if (strlen(target) == total && lp__archive_leads_inside(item->path, target))
      return LP__ARCHIVE_OK;
  }
  return lp__archive_fail(r->report, LP__ARCHIVE_UNSAFE,
                          "the link '%s' leads out of the archive", item->path);
}

static int make_link(struct reader *r, const struct lp__archive_item *item) {
  char target[LINK_MAX];
  int problem = read_target(r, item, target);
  if (problem || r->folder < 0)
    return problem;
  return symlinkat(target, r->folder, item->path) == 0
             ? LP__ARCHIVE_OK
             : fail_errno(r, item->path);
}

/* --- archives ------------------------------------------------------------ */

/* Links come last: until then none of ours can be on the way to a file. */
static int make_items(struct reader *r) {
  size_t i;
  int problem = LP__ARCHIVE_OK;
  for (i = 0; i < r->plan.count && !problem; i++) {
    const struct lp__archive_item *item = r->plan.items + i;
    problem = make_parents(r, i);
    if (!problem && item->kind == LP__ARCHIVE_FOLDER)
      problem = make_folder(r, item->path);
    else if (!problem && item->kind == LP__ARCHIVE_FILE)
      problem = make_file(r, item);
  }
  for (i = 0; i < r->plan.count && !problem; i++)
    if (r->plan.items[i].kind == LP__ARCHIVE_LINK)
      problem = make_link(r, r->plan.items + i);
  return problem;
}

/* Makes the folder unless `folder` is NULL; `r->folder` is open then. */
static int open_folder(struct reader *r, const char *folder) {
  r->folder = -1;
  if (folder == NULL)
    return LP__ARCHIVE_OK;
  if (mkdir(folder, 0755) == 0 && chmod(folder, 0755) == 0)
    r->folder = open(folder, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return r->folder >= 0 ? LP__ARCHIVE_OK : fail_errno(r, folder);
}

static int read_archive(const void *bytes, size_t size, const char *folder,
                        uint64_t unzipped, struct lp__archive_report *report) {
  struct reader r;
  int problem = lp__archive_plan_make(&r.plan, bytes, size, unzipped, report);
  r.report = report;
  if (!problem) {
    problem = open_folder(&r, folder);
    if (!problem)
      problem = make_items(&r);
    if (r.folder >= 0)
      close(r.folder);
  }
  lp__archive_plan_free(&r.plan);
  return problem;
}

int lp__archive_check(const void *bytes, size_t size, uint64_t unzipped,
                      struct lp__archive_report *report) {
  return read_archive(bytes, size, NULL, unzipped, report);
}

int lp__archive_extract(const void *bytes, size_t size, const char *folder,
                        uint64_t unzipped, struct lp__archive_report *report) {
  return read_archive(bytes, size, folder, unzipped, report);
}

/* --- writing ------------------------------------------------------------- */

static int add_file(zip_t *zip, const struct lp__archive_file *file) {
  zip_source_t *source = zip_source_buffer(zip, file->data, file->size, 0);
  zip_int64_t index;
  if (source == NULL)
    return -1;
  index = zip_file_add(zip, file->name, source, ZIP_FL_ENC_UTF_8);
  if (index < 0) {
    zip_source_free(source);
    return -1;
  }
  return zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_DEFLATE,
                                  9) == 0 &&
                 zip_file_set_dostime(zip, (zip_uint64_t)index, 0, FIRST_DAY,
                                      0) == 0 &&
                 zip_file_set_external_attributes(
                     zip, (zip_uint64_t)index, 0, ZIP_OPSYS_UNIX,
                     (zip_uint32_t)file->mode << 16) == 0
             ? 0
             : -1;
}

/* Writes the files to `source`, which stays the caller's. */
static int write_archive(zip_source_t *source,
                         const struct lp__archive_file *files, size_t count,
                         zip_error_t *error) {
  size_t i;
  int status = 0;
  zip_t *zip = zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, error);
  if (zip == NULL)
    return -1;
  zip_source_keep(source);
  for (i = 0; i < count && status == 0; i++)
    status = add_file(zip, files + i);
  if (status == 0)
    status = zip_close(zip);
  if (status != 0) {
    *error = *zip_get_error(zip);
    error->str = NULL;
    zip_discard(zip);
  }
  return status;
}

/* Copies what was written out of `source`. */
static int take_bytes(zip_source_t *source, void **bytes, size_t *size) {
  zip_stat_t status;
  int taken;
  if (zip_source_stat(source, &status) != 0 || zip_source_open(source) != 0)
    return -1;
  *size = status.size;
  *bytes = malloc(*size);
  taken = *bytes != NULL &&
          zip_source_read(source, *bytes, *size) == (zip_int64_t)*size;
  zip_source_close(source);
  if (!taken)
    free(*bytes);
  return taken ? 0 : -1;
}

int lp__archive_create(const struct lp__archive_file *files, size_t count,
                       void **bytes, size_t *size,
                       struct lp__archive_report *report) {
  zip_error_t error;
  zip_source_t *source;
  int status = -1;
  zip_error_init(&error);
  source = zip_source_buffer_create(NULL, 0, 0, &error);
  if (source != NULL) {
    status = write_archive(source, files, count, &error);
    if (status == 0)
      status = take_bytes(source, bytes, size);
    zip_source_free(source);
  }
  if (status != 0)
    lp__archive_fail(report, LP__ARCHIVE_FAILED, "%s",
                     zip_error_strerror(&error));
  zip_error_fini(&error);
  return status == 0 ? LP__ARCHIVE_OK : LP__ARCHIVE_FAILED;
}
