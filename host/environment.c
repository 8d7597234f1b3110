/* The environment of a worker. See environment.h. */
#define _GNU_SOURCE
#include "environment.h"

#include "memory.h"
#include "process.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void lp__environment_free(struct lp__environment *environment) {
  for (size_t i = 0; i < environment->count; i++)
    lp__free(environment->items[i]);
  lp__free(environment->items);
}

static bool same_name(const char *a, const char *b) {
  size_t size = strcspn(a, "=");
  return size == strcspn(b, "=") && memcmp(a, b, size) == 0;
}

/* Adds a variable, or replaces the one of that name. Takes `item`. */
static int put(struct lp__environment *environment, char *item) {
  size_t at = 0;
  if (!item)
    return -ENOMEM;
  while (at < environment->count && !same_name(environment->items[at], item))
    at++;
  if (at < environment->count) {
    lp__free(environment->items[at]);
    environment->items[at] = item;
    return 0;
  }
  char **items = lp__realloc(environment->items, (at + 2) * sizeof *items);
  if (!items) {
    lp__free(item);
    return -ENOMEM;
  }
  items[at] = item;
  items[at + 1] = NULL;
  environment->items = items;
  environment->count = at + 1;
  return 0;
}

/* Adds the variable that printf makes of the rest, "NAME=value", or replaces
 * the one of that name. 0 or -ENOMEM. */
__attribute__((format(printf, 2, 3))) static int
add(struct lp__environment *environment, const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  size_t size = (size_t)vsnprintf(NULL, 0, format, arguments) + 1;
  char *item = lp__malloc(size);
  if (item)
    vsnprintf(item, size, format, again);
  va_end(again);
  va_end(arguments);
  return put(environment, item);
}

static int put_task_root(struct lp__environment *environment) {
  char folder[PATH_MAX];
  return add(environment, "LAMBDA_TASK_ROOT=%s",
             getcwd(folder, sizeof folder) ? folder : "/");
}

/* What a worker of a pool is told, beside what the configuration adds. */
static int put_pool(struct lp__environment *environment,
                    const struct lp__worker_config *config) {
  static const char *const fixed[] = {
      "AWS_LAMBDA_FUNCTION_NAME=local",
      "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
      "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
      "LANG=en_US.UTF-8",
      "PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
      "TZ=:UTC",
      NULL};
  int status = put_task_root(environment);
  for (const char *const *item = fixed; *item && status == 0; item++)
    status = add(environment, "%s", *item);
  if (status == 0)
    status = add(environment, "_HANDLER=%s", config->handler);
  if (status == 0)
    status =
        add(environment, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=%d", config->memory);
  return status;
}

int lp__environment_make(struct lp__environment *environment,
                         const struct lp__worker_config *config,
                         unsigned port) {
  int status = config->lambda ? 0 : put_pool(environment, config);
  for (char *const *item = config->env; item && *item && status == 0; item++)
    status = add(environment, "%s", *item);
  if (status == 0)
    status = add(environment, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:%u", port);
  if (status == 0 && !config->lambda)
    status = add(environment, "LAMBDAPOOL_LIFELINE=%d", LP__LIFELINE_FD);
  if (status == 0 && !config->lambda)
    status = add(environment, "LAMBDAPOOL_PROGRESS=%d", LP__PROGRESS_FD);
  return status;
}

void lp__worker_config_init(struct lp__worker_config *config) {
  *config = (struct lp__worker_config){.memory = 128, .handler = "lambdapool"};
}

bool lp__worker_env_ok(const char *name) {
  return strcmp(name, "AWS_LAMBDA_RUNTIME_API") != 0 &&
         strcmp(name, "LAMBDAPOOL_LIFELINE") != 0 &&
         strcmp(name, "LAMBDAPOOL_PROGRESS") != 0;
}
