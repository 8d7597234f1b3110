/* What a game loses to the library: a loop that draws 60 frames a second while
 * 1,000 tasks are in flight whose results have 64 KB. One processor is left to
 * it, as games do, but by `crowd`.
 *
 *   frame bake SECONDS [OPTIONS]    tasks of about 20 ms
 *   frame crowd SECONDS [OPTIONS]   the same on all processors
 *   frame burst SECONDS [OPTIONS]   tasks that return at once
 *   frame start ROUNDS              opening, the first result, idle polls
 *
 * OPTIONS is the JSON of lp_config. Prints lines of "name microseconds"; those
 * of these three are percentiles of
 *
 *   without  the frame, its drawing alone
 *   with     the same with the library
 *   share    of that what the library took: lp_poll and lp_submit
 *   cost     the same by the clock of the thread, which stands still while
 *            others have the processor, other machines included
 *   poll     lp_poll alone, which had BUDGET_US
 *   work     the same by the clock of the thread
 *
 * and `done`, the tasks that ended in a second. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/lambdapool.h"

enum {
  RATE = 60,
  IN_FLIGHT = 1000,
  BUDGET_US = 300,
  DRAWING_US = 4000,
  IDLE_POLLS = 20000
};

static const char bake[] = "local limit = os.clock() + 0.02\n"
                           "repeat until os.clock() >= limit\n"
                           "return ('x'):rep(65536)";
static const char burst[] = "return ('x'):rep(65536)";

static int larger(int a, int b) {
  return a > b ? a : b;
}

static double now_us(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double wall(void) {
  return now_us(CLOCK_MONOTONIC);
}

static double processor(void) {
  return now_us(CLOCK_THREAD_CPUTIME_ID);
}

static void sleep_until(double us) {
  struct timespec t = {(time_t)(us / 1e6), 0};
  t.tv_nsec = (long)((us - (double)t.tv_sec * 1e6) * 1e3);
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void check(lp_host *host, int status) {
  if (status >= 0)
    return;
  fprintf(stderr, "%s: %s\n", lp_strerror(status), lp_error(host));
  exit(1);
}

/* --- percentiles --------------------------------------------------------- */

struct samples {
  double *values;
  size_t count, room;
};

static void add(struct samples *samples, double value) {
  if (samples->count == samples->room) {
    samples->room = samples->room ? 2 * samples->room : 1024;
    samples->values =
        realloc(samples->values, samples->room * sizeof *samples->values);
    if (samples->values == NULL)
      abort();
  }
  samples->values[samples->count++] = value;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double percentile(struct samples *samples, double part) {
  size_t i = (size_t)(part * (double)(samples->count - 1) + 0.5);
  qsort(samples->values, samples->count, sizeof *samples->values, compare);
  return samples->values[i];
}

static void print(const char *name, struct samples *samples) {
  printf("%s.p50 %.2f\n", name, percentile(samples, 0.5));
  printf("%s.p99 %.2f\n", name, percentile(samples, 0.99));
  printf("%s.p999 %.2f\n", name, percentile(samples, 0.999));
  printf("%s.max %.2f\n", name, percentile(samples, 1));
}

/* --- frames -------------------------------------------------------------- */

struct game {
  lp_host *host;
  const char *source;
  int in_flight;
  long done, failed;
};

static void on_end(lp_host *host, const struct lp_result *result, void *data) {
  struct game *game = data;
  (void)host;
  game->in_flight--;
  if (result->kind == LP_DONE && result->values[0].size == 65536)
    game->done++;
  else if (game->failed++ == 0)
    fprintf(stderr, "a task has failed: %s\n", result->message);
}

static void submit(struct game *game) {
  struct lp_task task;
  lp_task_init(&task, sizeof task);
  task.source = game->source;
  task.on_end = on_end;
  task.data = game;
  check(game->host, lp_submit(game->host, &task, NULL));
  game->in_flight++;
}

static void draw(void) {
  double end = processor() + DRAWING_US;
  while (processor() < end)
    ;
}

static void draw_without(int seconds) {
  struct samples frames = {0};
  double next = wall();
  for (int i = 0; i < seconds * RATE; i++) {
    double start = wall();
    draw();
    add(&frames, wall() - start);
    sleep_until(next += 1e6 / RATE);
  }
  print("without", &frames);
  free(frames.values);
}

struct report {
  struct samples frames, share, cost, poll, work;
};

static void draw_one(struct game *game, struct report *report) {
  double start = wall(), begun = processor();
  check(game->host, lp_poll(game->host, BUDGET_US));
  add(&report->poll, wall() - start);
  add(&report->work, processor() - begun);
  while (game->in_flight < IN_FLIGHT)
    submit(game);
  add(&report->share, wall() - start);
  add(&report->cost, processor() - begun);
  draw();
  add(&report->frames, wall() - start);
}

static void draw_with(struct game *game, int seconds) {
  struct report report = {0};
  double next;
  while (game->in_flight < IN_FLIGHT)
    submit(game);
  while (game->done < 10 && game->failed == 0)
    check(game->host, lp_poll(game->host, BUDGET_US));
  next = wall();
  game->done = 0;
  for (int i = 0; i < seconds * RATE; i++) {
    draw_one(game, &report);
    sleep_until(next += 1e6 / RATE);
  }
  print("with", &report.frames);
  print("share", &report.share);
  print("cost", &report.cost);
  print("poll", &report.poll);
  print("work", &report.work);
  printf("done %.1f\n", (double)game->done / seconds);
}

/* `left`: the processors that have no worker. */
static int play(const char *source, int seconds, int left,
                const char *options) {
  struct game game = {.source = source};
  struct lp_config config;
  lp_config_init(&config, sizeof config);
  config.nice = 10;
  config.workers = larger((int)sysconf(_SC_NPROCESSORS_ONLN) - left, 1);
  config.options = options;
  draw_without(seconds);
  check(game.host, lp_open(&config, &game.host));
  draw_with(&game, seconds);
  lp_close(game.host);
  return game.failed > 0;
}

/* --- starting and idling ------------------------------------------------- */

struct memory {
  long calls;
};

static void *allocate(void *data, void *block, size_t old_size,
                      size_t new_size) {
  struct memory *memory = data;
  (void)old_size;
  memory->calls++;
  if (new_size > 0)
    return realloc(block, new_size);
  free(block);
  return NULL;
}

/* A host that has had its first result; notes how long that took. */
static lp_host *start(struct memory *memory, struct samples *opening,
                      struct samples *submission, struct samples *first) {
  struct lp_config config;
  struct lp_task task;
  lp_host *host;
  double begin = wall(), begun;
  lp_config_init(&config, sizeof config);
  config.workers = 2;
  config.allocate = allocate;
  config.allocate_data = memory;
  check(NULL, lp_open(&config, &host));
  add(opening, wall() - begin);
  lp_task_init(&task, sizeof task);
  task.source = "return 1";
  begun = wall();
  check(host, lp_submit(host, &task, NULL));
  add(submission, wall() - begun);
  check(host, lp_wait(host, 0, -1));
  add(first, wall() - begin);
  return host;
}

static void poll_idly(lp_host *host, struct memory *memory,
                      struct samples *idle, struct samples *allocations) {
  while (lp_poll(host, 1000) > 0)
    ;
  long calls = memory->calls;
  double begin = wall();
  for (int i = 0; i < IDLE_POLLS; i++)
    check(host, lp_poll(host, BUDGET_US));
  add(idle, (wall() - begin) / IDLE_POLLS);
  add(allocations, (double)(memory->calls - calls));
}

static int start_and_idle(int rounds) {
  struct samples opening = {0}, submission = {0}, first = {0}, idle = {0},
                 allocations = {0};
  for (int i = 0; i < rounds; i++) {
    struct memory memory = {0};
    lp_host *host = start(&memory, &opening, &submission, &first);
    poll_idly(host, &memory, &idle, &allocations);
    lp_close(host);
  }
  printf("open.first %.2f\n", opening.values[0]);
  printf("open %.2f\n", percentile(&opening, 0.5));
  printf("submit %.2f\n", percentile(&submission, 0.5));
  printf("first %.2f\n", percentile(&first, 0.5));
  printf("idle %.3f\n", percentile(&idle, 0.5));
  printf("allocations %.0f\n", percentile(&allocations, 1));
  return 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 2 ? argv[1] : "";
  int count = argc > 2 ? atoi(argv[2]) : 0;
  const char *options = argc > 3 ? argv[3] : NULL;
  if (strcmp(what, "bake") == 0 && count > 0)
    return play(bake, count, 1, options);
  if (strcmp(what, "crowd") == 0 && count > 0)
    return play(bake, count, 0, options);
  if (strcmp(what, "burst") == 0 && count > 0)
    return play(burst, count, 1, options);
  if (strcmp(what, "start") == 0 && count > 0)
    return start_and_idle(count);
  fprintf(stderr, "usage: frame bake|crowd|burst|start COUNT [OPTIONS]\n");
  return 2;
}
