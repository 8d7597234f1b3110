/*
 * Runs a Lua script over the files of folders: a command-line tool that offers
 * a C function to its scripts, and they fan out. Needs no account: the workers
 * are local processes.
 *
 *   cc tool.c -o tool $(pkg-config --cflags --libs lambdapool)
 *   ./tool lines.lua /usr/include
 *
 * Lua cannot read folders. `tree.files(folder)` can: it returns all files below
 * the folder, each as its size, a space, its name and a zero byte. lines.lua
 * hands them to a pool, and the workers read them.
 *
 * The exit code is the number that the script returns, 0 without one; 1 when it
 * raises an error, 2 for wrong usage. Ctrl-C needs no code here: workers end
 * with the program that has started them, however that ends.
 */
#include <lambdapool.h>

#include <errno.h>
#include <fts.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- the function that scripts get ---------------------------------------- */

/* What tree.files has returned: it stays until the next call. */
struct listing {
  char *text;
  size_t size;
  char message[512];
};

/* Writes every file below `folder` to `out`. Folders that may not be read are
 * left out, as are links. Returns 0, or an errno. */
static int write_files(FILE *out, char *folder) {
  char *folders[] = {folder, NULL};
  FTS *walk = fts_open(folders, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
  FTSENT *entry;
  int error;
  if (walk == NULL)
    return errno;
  while (errno = 0, (entry = fts_read(walk)) != NULL) {
    if (entry->fts_info == FTS_F)
      fprintf(out, "%lld %s%c", (long long)entry->fts_statp->st_size,
              entry->fts_path, '\0');
    else if (entry->fts_level == 0 && entry->fts_errno != 0)
      break;
  }
  error = entry != NULL ? entry->fts_errno : errno;
  fts_close(walk);
  return error;
}

static int list_files(lp_host *host, struct lp_call *call, void *data) {
  struct listing *listing = data;
  FILE *out;
  char *folder;
  int error;
  (void)host;
  call->message = "tree.files needs the name of a folder";
  if (call->count < 1 || call->args[0].type != LP_STRING)
    return LP_EINVAL;

  free(listing->text);
  listing->text = NULL;
  out = open_memstream(&listing->text, &listing->size);
  folder = strdup(call->args[0].bytes);
  error = out != NULL && folder != NULL ? write_files(out, folder) : ENOMEM;
  if (out != NULL && fclose(out) != 0 && error == 0)
    error = errno;
  free(folder);
  if (error != 0) {
    snprintf(listing->message, sizeof listing->message, "%s: %s",
             call->args[0].bytes, strerror(error));
    call->message = listing->message;
    return LP_ESYSTEM;
  }
  call->results[0] = lp_string(listing->text, listing->size);
  call->result_count = 1;
  return LP_OK;
}

/* --- the tool ------------------------------------------------------------- */

/* What the script prints is the output of the tool. What tasks print, and what
 * lambdapool has to say, is for whoever watches. */
static void write_line(void *data, enum lp_log_level level, const char *text,
                       size_t size) {
  FILE *out = level == LP_LOG_PRINT ? stdout : stderr;
  (void)data;
  fwrite(text, 1, size, out);
  fputc('\n', out);
}

/* Opens a host whose scripts find their modules beside them. */
static int open_host(lp_host **host, const char *script) {
  struct lp_config config;
  char *copy = strdup(script);
  int status = LP_ENOMEM;
  lp_config_init(&config, sizeof config);
  config.log = write_line;
  if (copy != NULL) {
    config.path = dirname(copy);
    status = lp_open(&config, host);
  }
  free(copy);
  return status;
}

/* Runs the script with the arguments behind its name. Stores its exit code. */
static int run_script(lp_host *host, char **argv, int argc, int *code) {
  struct lp_value *args = calloc(argc, sizeof *args);
  struct lp_task task;
  const struct lp_result *result;
  int i, status;
  if (args == NULL)
    return LP_ENOMEM;
  lp_task_init(&task, sizeof task);
  task.file = argv[1];
  task.args = args;
  for (i = 2; i < argc; i++)
    args[task.count++] = lp_string(argv[i], strlen(argv[i]));
  status = lp_run(host, &task, &result);
  free(args);
  if (status == LP_OK && result->count > 0 &&
      result->values[0].type == LP_INTEGER)
    *code = (int)result->values[0].integer;
  return status;
}

int main(int argc, char **argv) {
  struct listing listing = {0};
  lp_host *host = NULL;
  int code = 0, status;
  if (argc < 2) {
    fputs("usage: tool SCRIPT [ARGUMENT...]\n", stderr);
    return 2;
  }
  status = open_host(&host, argv[1]);
  if (status == LP_OK)
    status = lp_register(host, "tree.files", list_files, &listing);
  if (status == LP_OK)
    status = run_script(host, argv, argc, &code);
  if (status != LP_OK) {
    fprintf(stderr, "tool: %s\n",
            host != NULL ? lp_error(host) : lp_strerror(status));
    code = 1;
  }
  lp_close(host);
  free(listing.text);
  return code;
}
