/* Two copies of lambdapool in one program, both on functions of AWS at once:
 * one is inside of it, the other a shared library. Prints what their tasks
 * return.
 *
 * Arguments: the library, options of the pools, as JSON. */
#include <lambdapool.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

struct copy {
  void (*config_init)(struct lp_config *, size_t);
  void (*task_init)(struct lp_task *, size_t);
  int (*open)(const struct lp_config *, lp_host **);
  int (*submit)(lp_host *, const struct lp_task *, lp_id *);
  int (*wait)(lp_host *, lp_id, int64_t);
  int (*next)(lp_host *, const struct lp_result **);
  int (*close)(lp_host *);
  const char *(*error)(const lp_host *);
  lp_host *host;
};

static void find(void *library, const char *name, void *pointer) {
  *(void **)pointer = dlsym(library, name);
  if (*(void **)pointer == NULL)
    exit(2);
}

static void load(struct copy *copy, const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL)
    exit(3);
  find(library, "lp_config_init", &copy->config_init);
  find(library, "lp_task_init", &copy->task_init);
  find(library, "lp_open", &copy->open);
  find(library, "lp_submit", &copy->submit);
  find(library, "lp_wait", &copy->wait);
  find(library, "lp_next", &copy->next);
  find(library, "lp_close", &copy->close);
  find(library, "lp_error", &copy->error);
}

static void check(const struct copy *copy, int status) {
  if (status == LP_OK)
    return;
  fprintf(stderr, "%s\n", copy->error(copy->host));
  exit(1);
}

static void begin(struct copy *copy, const char *options, const char *source) {
  struct lp_config config;
  struct lp_task task;
  copy->config_init(&config, sizeof config);
  config.options = options;
  check(copy, copy->open(&config, &copy->host));
  copy->task_init(&task, sizeof task);
  task.source = source;
  check(copy, copy->submit(copy->host, &task, NULL));
}

static void end(struct copy *copy) {
  const struct lp_result *result;
  check(copy, copy->wait(copy->host, 0, -1));
  if (copy->next(copy->host, &result) != 1 || result->kind != LP_DONE) {
    fprintf(stderr, "%s\n", result->message);
    exit(1);
  }
  printf("%s\n", result->values[0].bytes);
  copy->close(copy->host);
}

int main(int argc, char **argv) {
  struct copy inside = {lp_config_init, lp_task_init, lp_open,
                        lp_submit,      lp_wait,      lp_next,
                        lp_close,       lp_error,     NULL};
  struct copy outside = inside;
  if (argc != 3)
    return 4;
  load(&outside, argv[1]);
  begin(&inside, argv[2], "return 'inside'");
  begin(&outside, argv[2], "return 'outside'");
  end(&inside);
  end(&outside);
  return 0;
}
