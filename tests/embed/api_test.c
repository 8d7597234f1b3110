/*
 * The functions of the header one by one, called as they should not be: wrong
 * sizes, no host, stale ids, fields that make no sense, at the wrong time.
 */
#define _GNU_SOURCE
#include "guest.h"

static void versions_agree(void) {
  char text[40];
  int major = LP_VERSION_MAJOR, minor = LP_VERSION_MINOR;
  snprintf(text, sizeof text, "%d.%d.%d", major, minor, LP_VERSION_PATCH);
  SAME(LP_VERSION, text);
  SAME(lp_version(), LP_VERSION);
  EQUAL(lp_version_number(), LP_VERSION_NUMBER);
  EQUAL(LP_VERSION_NUMBER, major * 10000 + minor * 100 + LP_VERSION_PATCH);
}

static void codes_have_words(void) {
  int code;
  for (code = -100; code <= 100; code++) {
    CHECK(lp_strerror(code) != NULL);
    CHECK(lp_strerror(code)[0] != 0);
  }
  for (code = LP_ESYSTEM; code < LP_OK; code++)
    CHECK(strcmp(lp_strerror(code), lp_strerror(code + 1)) != 0);
  CHECK(lp_strerror(INT32_MIN) && lp_strerror(INT32_MAX));
}

static void nobody_home(void) {
  const struct lp_result *result;
  struct lp_stats stats;
  struct lp_task task = guest_task("return 1");
  char *argv[] = {(char *)"x", (char *)"--version", NULL};
  lp_id id = 7;
  CHECK(lp_error(NULL)[0] != 0);
  EQUAL(lp_close(NULL), LP_OK);
  EQUAL(lp_run(NULL, &task, &result), LP_EINVAL);
  EQUAL(lp_submit(NULL, &task, &id), LP_EINVAL);
  EQUAL(lp_poll(NULL, 0), LP_EINVAL);
  EQUAL(lp_wait(NULL, 0, 0), LP_EINVAL);
  EQUAL(lp_next(NULL, &result), LP_EINVAL);
  EQUAL(lp_cancel(NULL, 1), LP_EINVAL);
  EQUAL(lp_state(NULL, 1), LP_EINVAL);
  EQUAL(lp_fd(NULL), LP_EINVAL);
  EQUAL(lp_get_stats(NULL, &stats, sizeof stats), LP_EINVAL);
  EQUAL(lp_register(NULL, "x", NULL, NULL), LP_EINVAL);
  EQUAL(lp_command(NULL, 2, argv), LP_EINVAL);
  lp_wake(NULL);
}

/* A host that failed to open tells why, does nothing, and closes. */
static void refused(const struct lp_config *config, int code,
                    const char *words) {
  lp_host *host = NULL;
  const struct lp_result *result;
  struct lp_task task = guest_task("return 1");
  struct lp_stats stats;
  EQUAL(lp_open(config, &host), code);
  CHECK(host != NULL);
  HAS(lp_error(host), words);
  CHECK(lp_run(host, &task, &result) < 0);
  CHECK(lp_submit(host, &task, NULL) < 0);
  CHECK(lp_poll(host, 0) < 0);
  CHECK(lp_wait(host, 0, -1) < 0);
  CHECK(lp_next(host, &result) <= 0);
  CHECK(lp_cancel(host, 1) < 0);
  CHECK(lp_state(host, 1) < 0);
  CHECK(lp_fd(host) < 0);
  lp_get_stats(host, &stats, sizeof stats);
  CHECK(lp_register(host, "x", NULL, NULL) < 0);
  lp_wake(host);
  CHECK(lp_error(host)[0] != 0);
  EQUAL(lp_close(host), LP_OK);
}

static void fields_that_make_no_sense(void) {
  struct lp_config config;
#define REFUSED(field, value)                                                  \
  do {                                                                         \
    config = guest_config();                                                   \
    config.field = (value);                                                    \
    refused(&config, LP_EINVAL, #field);                                       \
  } while (0)
  REFUSED(workers, -1);
  REFUSED(workers, INT32_MIN);
  REFUSED(memory_mb, -1);
  REFUSED(memory_mb, 127);
  REFUSED(memory_mb, 10241);
  REFUSED(timeout_ms, -1);
  REFUSED(timeout_ms, INT64_MIN);
  REFUSED(retries, -1);
  REFUSED(nice, -1);
  REFUSED(nice, 20);
  REFUSED(options, "[1");
  REFUSED(options, "3");
  REFUSED(options, "");
}

static void options_that_make_no_sense(void) {
  struct lp_config config = guest_config();
  config.options = "{\"bakend\": \"aws\"}";
  refused(&config, LP_EINVAL, "backend");
  config.options = "{\"retries\": \"many\"}";
  config.retries = 0;
  refused(&config, LP_EINVAL, "retries");
  config.options = "{\"backend\": \"moon\"}";
  refused(&config, LP_EINVAL, "moon");
}

/* A program that was compiled with another header. */
static void sizes_of_the_config(void) {
  struct {
    struct lp_config config;
    char more[64];
  } newer;
  struct lp_config config;
  lp_host *host;
  size_t size;
  memset(&newer, 0xee, sizeof newer);
  lp_config_init(&newer.config, sizeof newer);
  EQUAL(newer.config.workers, 0);
  memset(&config, 0xee, sizeof config);
  lp_config_init(&config, offsetof(struct lp_config, allocate));
  EQUAL(*(unsigned char *)&config.allocate, 0xee);
  OK(NULL, lp_open(&config, &host));
  EQUAL(lp_close(host), LP_OK);
  for (size = 0; size < sizeof(size_t); size++) {
    unsigned char bytes[sizeof(size_t)];
    memset(bytes, 0xee, sizeof bytes);
    lp_config_init((struct lp_config *)bytes, size);
    EQUAL(bytes[size], 0xee);
  }
}

/* The fields that an older header lacks have their defaults; those of a newer
 * one cannot be heeded, and the library says so. */
static void sizes_of_the_task(void) {
  struct {
    struct lp_task task;
    char more[64];
  } newer;
  lp_host *host = guest_open();
  struct lp_task task;
  memset(&task, 0xee, sizeof task);
  lp_task_init(&task, offsetof(struct lp_task, timeout_ms));
  task.source = "return 7";
  RETURNS(guest_result(host, guest_submit_with(host, &task)), 7);
  OK(host, lp_run(host, &task, NULL));
  memset(&newer, 0xee, sizeof newer);
  lp_task_init(&newer.task, sizeof newer);
  newer.task.source = "return 7";
  EQUAL(lp_submit(host, &newer.task, NULL), LP_EINVAL);
  EQUAL(lp_run(host, &newer.task, NULL), LP_EINVAL);
  CHECK(lp_error(host)[0] != 0);
  lp_close(host);
}

static void no_config_of_ours(void) {
  struct lp_config config = guest_config();
  lp_host *host = (lp_host *)&config;
  config.size = 0;
  EQUAL(lp_open(&config, &host), LP_EINVAL);
  CHECK(host == NULL);
  config.size = 3;
  EQUAL(lp_open(&config, &host), LP_EINVAL);
  CHECK(host == NULL);
  config.size = (size_t)-1;
  EQUAL(lp_open(&config, &host), LP_EINVAL);
  CHECK(host == NULL);
  EQUAL(lp_open(&config, NULL), LP_EINVAL);
  OK(NULL, lp_open(NULL, &host));
  lp_close(host);
}

/* Everything in a config is copied. */
static void the_config_is_borrowed(void) {
  struct lp_config config = guest_config();
  char path[] = "/tmp/nowhere", options[] = "{\"retries\":1}";
  lp_host *host;
  config.path = path;
  config.options = options;
  host = guest_open_with(&config);
  memset(path, 'x', sizeof path - 1);
  memset(options, 'x', sizeof options - 1);
  memset(&config, 0xee, sizeof config);
  SAME(guest_run(host, "return (package.path:match('/tmp/nowhere'))")
           ->values[0]
           .bytes,
       "/tmp/nowhere");
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  lp_close(host);
}

static void cannot_run(lp_host *host, const struct lp_task *task, int code) {
  const struct lp_result *result = NULL;
  lp_id id = 99;
  EQUAL(lp_submit(host, task, &id), code);
  CHECK(lp_error(host)[0] != 0);
  EQUAL(lp_run(host, task, &result), code);
  CHECK(lp_error(host)[0] != 0);
  EQUAL(lp_next(host, &result), 0);
  EQUAL(lp_wait(host, 0, 0), LP_OK);
}

static void tasks_that_make_no_sense(void) {
  lp_host *host = guest_open();
  struct lp_task task = guest_task("return 1");
  struct lp_value value = lp_integer(1);
  cannot_run(host, NULL, LP_EINVAL);
  task.function = "math.abs";
  cannot_run(host, &task, LP_EINVAL);
  task = guest_task(NULL);
  cannot_run(host, &task, LP_EINVAL);
  task = guest_task("return 1");
  task.size = 0;
  cannot_run(host, &task, LP_EINVAL);
  task = guest_task("return 1");
  task.count = -1;
  cannot_run(host, &task, LP_EINVAL);
  task.count = 1;
  cannot_run(host, &task, LP_EINVAL);
  task.args = &value;
  value.type = (enum lp_type)99;
  cannot_run(host, &task, LP_EINVAL);
  value = lp_string(NULL, 3);
  cannot_run(host, &task, LP_EINVAL);
  lp_close(host);
}

static void sources_that_do_not_compile(void) {
  lp_host *host = guest_open();
  struct lp_task task = guest_task("return (");
  cannot_run(host, &task, LP_ELUA);
  HAS(lp_error(host), "task:1:");
  task.name = "=bake";
  cannot_run(host, &task, LP_ELUA);
  HAS(lp_error(host), "bake:1:");
  task.name = "@a/b.lua";
  cannot_run(host, &task, LP_ELUA);
  HAS(lp_error(host), "a/b.lua:1:");
  task = guest_task("\033Lua\x54\0\x19\x93\r\n\x1a\n");
  task.source_size = 12;
  cannot_run(host, &task, LP_ELUA);
  task = guest_task(NULL);
  task.file = "/nowhere/at/all.lua";
  cannot_run(host, &task, LP_ELUA);
  HAS(lp_error(host), "/nowhere/at/all.lua");
  task.file = "/tmp";
  cannot_run(host, &task, LP_ELUA);
  lp_close(host);
}

static void functions_that_are_not_there(void) {
  static const char *const names[] = {
      "",   ".",  "..",     "a.",     ".a",   "no such", "x\n",
      "//", "_G", "../x.y", "nobody", "a.b ", "%s%s%s.f"};
  lp_host *host = guest_open();
  struct lp_task task = guest_task(NULL);
  size_t i;
  for (i = 0; i < COUNT(names); i++) {
    int code;
    task.function = names[i];
    code = lp_submit(host, &task, NULL);
    if (code != LP_ELUA && code != LP_EINVAL)
      FAIL("'%s' gives %d", names[i], code);
    CHECK(lp_error(host)[0] != 0);
    EQUAL(lp_run(host, &task, NULL), code);
  }
  EQUAL(lp_wait(host, 0, 0), LP_OK);
  lp_close(host);
}

/* A module may be there for workers only. */
static void modules_that_are_not_there(void) {
  static const char *const names[] = {"no_module.f", "string.nothing",
                                      "math.pi"};
  lp_host *host = guest_open();
  struct lp_task task = guest_task(NULL);
  size_t i;
  for (i = 0; i < COUNT(names); i++) {
    lp_id id;
    task.function = names[i];
    if (lp_submit(host, &task, &id) == LP_OK)
      KIND(guest_result(host, id), LP_ERROR);
    EQUAL(lp_run(host, &task, NULL), LP_ELUA);
    CHECK(lp_error(host)[0] != 0);
  }
  lp_close(host);
}

static void ids_that_are_stale(void) {
  lp_host *host = guest_open(), *other = guest_open();
  lp_id id = guest_submit(host, "return 1"), strange;
  const struct lp_result *result;
  EQUAL(lp_state(other, id) < 0, 1);
  KIND(guest_result(host, id), LP_DONE);
  EQUAL(lp_state(host, id), LP_ESTALE);
  EQUAL(lp_cancel(host, id), LP_ESTALE);
  EQUAL(lp_wait(host, id, 0), LP_ESTALE);
  EQUAL(lp_next(host, &result), 0);
  for (strange = 1; strange; strange <<= 1) {
    EQUAL(lp_state(host, strange), LP_ESTALE);
    EQUAL(lp_cancel(host, strange), LP_ESTALE);
    EQUAL(lp_wait(host, strange, -1), LP_ESTALE);
    EQUAL(lp_state(host, ~strange), LP_ESTALE);
    EQUAL(lp_cancel(host, id ^ strange), LP_ESTALE);
  }
  EQUAL(lp_state(host, 0), LP_ESTALE);
  EQUAL(lp_cancel(host, 0), LP_ESTALE);
  lp_close(host);
  lp_close(other);
}

/* A place that is used again is another task. */
static void ids_are_never_used_again(void) {
  lp_host *host = guest_open();
  lp_id old[300];
  int i, j;
  for (i = 0; i < 300; i++) {
    old[i] = guest_submit(host, "return 1");
    EQUAL(lp_cancel(host, old[i]), LP_OK);
    KIND(guest_result(host, old[i]), LP_CANCELLED);
    for (j = 0; j <= i; j++) {
      EQUAL(lp_state(host, old[j]), LP_ESTALE);
      CHECK(j == i || old[j] != old[i]);
    }
  }
  lp_close(host);
}

static void states_of_a_task(void) {
  lp_host *host = guest_open();
  lp_id id = guest_submit(host, "while true do end");
  const struct lp_result *result;
  int i;
  CHECK(lp_state(host, id) == 0 || lp_state(host, id) == 1);
  for (i = 0; lp_state(host, id) == 0 && i < 5000; i++, guest_sleep_ms(1))
    OK(host, lp_poll(host, 1000));
  EQUAL(lp_state(host, id), 1);
  EQUAL(lp_cancel(host, id), LP_OK);
  EQUAL(lp_wait(host, id, -1), LP_OK);
  EQUAL(lp_state(host, id), 2);
  EQUAL(lp_cancel(host, id), LP_OK);
  EQUAL(lp_wait(host, id, 0), LP_OK);
  EQUAL(lp_next(host, &result), 1);
  KIND(result, LP_CANCELLED);
  EQUAL(lp_state(host, id), LP_ESTALE);
  lp_close(host);
}

static void errors_are_forgotten(void) {
  lp_host *host = guest_open();
  struct lp_task task = guest_task("error('first')");
  SAME(lp_error(host), "");
  EQUAL(lp_run(host, &task, NULL), LP_ELUA);
  HAS(lp_error(host), "first");
  EQUAL(lp_cancel(host, 12345), LP_ESTALE);
  CHECK(!strstr(lp_error(host), "first"));
  lp_close(host);
}

static void stats_of_any_size(void) {
  union {
    struct lp_stats stats;
    unsigned char bytes[sizeof(struct lp_stats) + 64];
  } u;
  lp_host *host = guest_open();
  size_t size;
  KIND(guest_end_of(host, "return 1"), LP_DONE);
  for (size = 0; size <= sizeof u; size++) {
    memset(&u, 0xee, sizeof u);
    CHECK(lp_get_stats(host, &u.stats, size) == LP_OK || size < 8 ||
          size > sizeof u.stats);
    if (size < sizeof u)
      EQUAL(u.bytes[size], 0xee);
  }
  EQUAL(lp_get_stats(host, NULL, sizeof u.stats), LP_EINVAL);
  OK(host, lp_get_stats(host, &u.stats, sizeof u.stats));
  EQUAL(u.stats.tasks, 1);
  EQUAL(u.stats.done, 1);
  EQUAL(u.stats.attempts, 1);
  EQUAL(u.stats.running, 0);
  CHECK(u.stats.workers >= 1 && u.stats.bytes_sent && u.stats.bytes_received);
  CHECK(u.stats.memory > 10000 && u.stats.cost == 0);
  lp_close(host);
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"versions agree", versions_agree},
      {"codes have words", codes_have_words},
      {"nobody is home", nobody_home},
      {"fields that make no sense", fields_that_make_no_sense},
      {"options that make no sense", options_that_make_no_sense},
      {"configs of other sizes", sizes_of_the_config},
      {"tasks of other sizes", sizes_of_the_task},
      {"no config of ours", no_config_of_ours},
      {"the config is only borrowed", the_config_is_borrowed},
      {"tasks that make no sense", tasks_that_make_no_sense},
      {"sources that do not compile", sources_that_do_not_compile},
      {"functions that are not there", functions_that_are_not_there},
      {"modules that are not there", modules_that_are_not_there},
      {"ids that are stale", ids_that_are_stale},
      {"ids are never used again", ids_are_never_used_again},
      {"states of a task", states_of_a_task},
      {"errors are forgotten", errors_are_forgotten},
      {"stats of any size", stats_of_any_size}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
