/* The environment of a process that is to be started. See environment.h. */
#define _GNU_SOURCE
#include "environment.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lp__environment_free(struct lp__environment *environment) {
  for (size_t i = 0; i < environment->count; i++)
    free(environment->items[i]);
  free(environment->items);
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
    free(environment->items[at]);
    environment->items[at] = item;
    return 0;
  }
  char **items = realloc(environment->items, (at + 2) * sizeof *items);
  if (!items) {
    free(item);
    return -ENOMEM;
  }
  items[at] = item;
  items[at + 1] = NULL;
  environment->items = items;
  environment->count = at + 1;
  return 0;
}

int lp__environment_put(struct lp__environment *environment, const char *format,
                        ...) {
  char *item;
  va_list arguments;
  va_start(arguments, format);
  int size = vasprintf(&item, format, arguments);
  va_end(arguments);
  return put(environment, size < 0 ? NULL : item);
}
