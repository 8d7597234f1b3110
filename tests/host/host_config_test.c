/* struct lp_config: what makes no sense, and what comes of the rest. */
#include "host_support.h"

#include <unistd.h>

/* lp_open refuses the configuration and says why. */
static void refused(const struct lp_config *config, const char *words) {
  lp_host *host;
  struct lp_task task = source_task("return 1");
  assert_int_equal(lp_open(config, &host), LP_EINVAL);
  assert_non_null(host);
  if (strstr(lp_error(host), words) == NULL)
    fail_msg("no '%s' in: %s", words, lp_error(host));
  assert_int_equal(lp_submit(host, &task, NULL), LP_EINVAL);
  assert_int_equal(lp_run(host, &task, NULL), LP_EINVAL);
  assert_int_equal(lp_poll(host, 0), LP_EINVAL);
  assert_int_equal(lp_fd(host), LP_EINVAL);
  if (strstr(lp_error(host), words) == NULL)
    fail_msg("no '%s' any more", words);
  assert_int_equal(lp_close(host), LP_OK);
}

static void test_numbers(void **state) {
  struct lp_config config;
  (void)state;
#define REFUSED(field, value)                                                  \
  config = test_config();                                                      \
  config.field = value;                                                        \
  refused(&config, #field);
  REFUSED(workers, -1)
  REFUSED(workers, 10001)
  REFUSED(memory_mb, 127)
  REFUSED(memory_mb, -1)
  REFUSED(memory_mb, 10241)
  REFUSED(timeout_ms, -1)
  REFUSED(timeout_ms, INT64_MAX)
  REFUSED(retries, -1)
  REFUSED(nice, -1)
  REFUSED(nice, 20)
#undef REFUSED
}

static void test_texts(void **state) {
  static const char *const options[][2] = {
      {"", "options"},
      {"{", "options"},
      {"[]", "options"},
      {"null", "options"},
      {"7", "options"},
      {"{\"bakend\":\"aws\"}", "did you mean 'backend'"},
      {"{\"backend\":\"moon\"}", "'backend' must be"},
      {"{\"retries\":\"many\"}", "'retries' must be"},
      {"{\"retry\":{\"tims\":1}}", "did you mean 'times'"},
      {"{\"workers\":0}", "'workers' must be"},
  };
  struct lp_config config = test_config();
  (void)state;
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    config.options = options[i][0];
    refused(&config, options[i][1]);
  }
  config = test_config();
  config.path = "";
  refused(&config, "path");
  config = test_config();
  config.agent = "";
  refused(&config, "agent");
}

static void test_sizes(void **state) {
  struct lp_config config = test_config();
  lp_host *host = (lp_host *)&config;
  (void)state;
  config.size = sizeof config + 1;
  assert_int_equal(lp_open(&config, &host), LP_EINVAL);
  assert_null(host);
  config.size = 0;
  assert_int_equal(lp_open(&config, &host), LP_EINVAL);
  assert_int_equal(lp_open(&config, NULL), LP_EINVAL);
  config.size = offsetof(struct lp_config, allocate);  /* an older header */
  memset(&config.allocate, 1, sizeof config.allocate); /* is not looked at */
  assert_int_equal(lp_open(&config, &host), LP_OK);
  assert_int_equal(run(host, "return 1")->count, 1);
  lp_close(host);
}

static void test_path(void **state) {
  struct lp_config config = test_config();
  lp_host *host;
  (void)state;
  config.path = "/first/;;/second folder/x";
  host = open_host(&config);
  run(host, "local path = package.path\n"
            "assert(path:find('/first/?.lua;/first/?/init.lua;"
            "/second folder/x/?.lua;/second folder/x/?/init.lua;', 1, true) "
            "== 1, path)\n"
            "assert(not path:find(';;', 1, true))");
  lp_close(host);
}

/* Fields win over options, and both hold for pools of scripts. */
static void test_defaults_of_pools(void **state) {
  struct lp_config config = test_config();
  lp_host *host;
  (void)state;
  config.workers = 3;
  config.options = "{\"workers\": 7, \"memory\": 512, \"retry\": null}";
  host = open_host(&config);
  run(host, "local pool <close> = require('lambdapool').pool()\n"
            "local text = tostring(pool)\n"
            "assert(text:find('3 workers'), text)\n"
            "local own <close> = require('lambdapool').pool { workers = 5 }\n"
            "text = tostring(own)\n"
            "assert(text:find('5 workers'), text)");
  lp_close(host);
}

/* What is configured for the program `lambdapool` is nothing to a host. */
static void test_no_configuration(void **state) {
  struct lp_config config = test_config();
  char folder[] = "/tmp/lambdapool-host-XXXXXX";
  FILE *file;
  lp_host *host;
  (void)state;
  assert_non_null(mkdtemp(folder));
  assert_int_equal(chdir(folder), 0);
  file = fopen("lambdapool.conf.lua", "w");
  fputs("this is no Lua", file);
  fclose(file);
  setenv("LAMBDAPOOL_WORKERS", "no number", 1);
  host = open_host(&config);
  assert_int_equal(work(host, "return 1")->kind, LP_DONE);
  run(host, "local pool <close> = require('lambdapool').pool()");
  lp_close(host);
  unsetenv("LAMBDAPOOL_WORKERS");
  remove("lambdapool.conf.lua");
  assert_int_equal(chdir("/"), 0);
  rmdir(folder);
}

static void test_no_agent(void **state) {
  struct lp_config config = test_config();
  struct lp_task task = source_task("return 1");
  const struct lp_result *result;
  lp_host *host;
  (void)state;
  config.agent = "/nowhere/bootstrap";
  host = open_host(&config);
  result = result_of(host, submit(host, &task));
  assert_int_equal(result->kind, LP_LOST);
  assert_non_null(strstr(result->message, "/nowhere/bootstrap"));
  lp_close(host);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_texts),
      cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_path),
      cmocka_unit_test(test_defaults_of_pools),
      cmocka_unit_test(test_no_configuration),
      cmocka_unit_test(test_no_agent),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
