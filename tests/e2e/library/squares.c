/* A program in C, of any standard, or in C++ that has tasks done. Prints what
 * they return. Its arguments are options of the pool, as JSON, and how many
 * tasks there are; by default 3 on this machine. */
#include <lambdapool.h>

#include <stdio.h>
#include <stdlib.h>

static int fail(lp_host *host) {
  fprintf(stderr, "%s\n", lp_error(host));
  lp_close(host);
  return 1;
}

int main(int argc, char **argv) {
  struct lp_config config;
  struct lp_task task;
  struct lp_value number;
  const struct lp_result *result;
  lp_host *host;
  long long sum = 0;
  int i, count = argc > 2 ? atoi(argv[2]) : 3;
  lp_config_init(&config, sizeof config);
  config.workers = 2;
  config.options = argc > 1 ? argv[1] : NULL;
  if (lp_open(&config, &host) != LP_OK)
    return fail(host);
  lp_task_init(&task, sizeof task);
  task.source = "local n = ... assert(math.type(n) == 'integer') return n * n";
  task.args = &number;
  task.count = 1;
  for (i = 1; i <= count; i++) {
    number = lp_integer(i);
    if (lp_submit(host, &task, NULL) != LP_OK)
      return fail(host);
  }
  if (lp_wait(host, 0, -1) != LP_OK)
    return fail(host);
  while (lp_next(host, &result) == 1) {
    if (result->kind != LP_DONE) {
      fprintf(stderr, "%s\n", result->message);
      return 1;
    }
    sum += result->values[0].integer;
  }
  printf("%s %lld\n", lp_version(), sum);
  return lp_close(host);
}
