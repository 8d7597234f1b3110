/*
 * Counts prime numbers on all processors: a first program with lambdapool.
 * Needs no account: the workers are local processes.
 *
 *   cc hello.c -o hello $(pkg-config --cflags --libs lambdapool)
 *   ./hello
 */
#include <lambdapool.h>
#include <stdio.h>

/* The task, in Lua. */
static const char count_primes[] =
    "local million = ...\n"
    "local count = 0\n"
    "for n = (million - 1) * 1000000, million * 1000000 - 1 do\n"
    "  local prime = n > 1\n"
    "  for d = 2, n ^ 0.5 do\n"
    "    if n % d == 0 then prime = false break end\n"
    "  end\n"
    "  if prime then count = count + 1 end\n"
    "end\n"
    "return million, count\n";

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
  int million, failed = 0;

  if (lp_open(NULL, &host) != LP_OK)
    return fail(host);

  lp_task_init(&task, sizeof task);
  task.source = count_primes;
  for (million = 1; million <= 4; million++) {
    struct lp_value argument = lp_integer(million);
    task.args = &argument;
    task.count = 1;
    if (lp_submit(host, &task, NULL) != LP_OK)
      return fail(host);
  }

  if (lp_wait(host, 0, -1) != LP_OK)
    return fail(host);
  while (lp_next(host, &result) == 1) {
    if (result->kind == LP_DONE) {
      printf("%lld primes in million %lld\n",
             (long long)result->values[1].integer,
             (long long)result->values[0].integer);
    } else {
      fprintf(stderr, "hello: %s\n", result->message);
      failed = 1;
    }
  }
  lp_close(host);
  return failed;
}
