/*
 * Counts prime numbers on all processors: a first program with lambdapool.
 * Needs no account: the workers are local processes.
 *
 *   cc hello.c -o hello $(pkg-config --cflags --libs lambdapool)
 *   ./hello
 */
#include <lambdapool.h>
#include <stdio.h>

/* The task, in Lua: how many primes there are from one number to another. */
static const char count_primes[] =
    "local first, last = ...\n"
    "local count = 0\n"
    "for n = math.max(first, 2), last do\n"
    "  local prime = 1\n"
    "  for d = 2, n ^ 0.5 do\n"
    "    if n % d == 0 then prime = 0 break end\n"
    "  end\n"
    "  count = count + prime\n"
    "end\n"
    "return first, count\n";

/* What main returns when a call has failed. */
static int fail(lp_host *host) {
  fprintf(stderr, "hello: %s\n", lp_error(host));
  lp_close(host);
  return 1;
}

int main(void) {
  lp_host *host;
  struct lp_task task;
  const struct lp_result *result;
  int first, failed = 0;

  if (lp_open(NULL, &host) != LP_OK)
    return fail(host);

  lp_task_init(&task, sizeof task);
  task.source = count_primes;
  for (first = 1; first < 400000; first += 100000) {
    struct lp_value args[] = {lp_integer(first), lp_integer(first + 99999)};
    task.args = args;
    task.count = 2;
    if (lp_submit(host, &task, NULL) != LP_OK)
      return fail(host);
  }

  if (lp_wait(host, 0, -1) != LP_OK)
    return fail(host);
  while (lp_next(host, &result) == 1) {
    if (result->kind == LP_DONE) {
      printf("%lld primes from %lld on\n", (long long)result->values[1].integer,
             (long long)result->values[0].integer);
    } else {
      fprintf(stderr, "hello: %s\n", result->message);
      failed = 1;
    }
  }
  lp_close(host);
  return failed;
}
