/* What tests of the embedding layer share: a host with the agent that was
 * built, and what it has printed. */
#ifndef LP_HOST_SUPPORT_H
#define LP_HOST_SUPPORT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "host/lambdapool.h"

enum { LONG_US = 60000000 };

/* The defaults, with the agent of this build; good until the next call. */
static inline struct lp_config test_config(void) {
  static char agent[4096];
  struct lp_config config;
  lp_config_init(&config, sizeof config);
  snprintf(agent, sizeof agent, "%s/bootstrap", getenv("LAMBDAPOOL_BUILD"));
  config.agent = agent;
  config.workers = 2;
  return config;
}

static inline void must(lp_host *host, int status) {
  if (status < 0)
    fail_msg("%s: %s", lp_strerror(status), lp_error(host));
}

static inline lp_host *open_host(const struct lp_config *config) {
  lp_host *host;
  int status = lp_open(config, &host);
  must(host, status);
  return host;
}

static inline struct lp_task source_task(const char *source) {
  struct lp_task task;
  lp_task_init(&task, sizeof task);
  task.source = source;
  return task;
}

static inline const struct lp_result *run(lp_host *host, const char *source) {
  struct lp_task task = source_task(source);
  const struct lp_result *result;
  must(host, lp_run(host, &task, &result));
  return result;
}

/* The result of a task that has been submitted. */
static inline const struct lp_result *result_of(lp_host *host, lp_id id) {
  const struct lp_result *result;
  must(host, lp_wait(host, id, LONG_US));
  assert_int_equal(lp_next(host, &result), 1);
  assert_true(result->task == id);
  return result;
}

static inline lp_id submit(lp_host *host, const struct lp_task *task) {
  lp_id id = 0;
  must(host, lp_submit(host, task, &id));
  assert_true(id != 0);
  return id;
}

static inline const struct lp_result *work(lp_host *host, const char *source) {
  struct lp_task task = source_task(source);
  return result_of(host, submit(host, &task));
}

#endif
