#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: game [OPTION...]\n"
    "\n"
    "Flies over a terrain that a pool of lambdapool bakes meanwhile.\n"
    "Arrows steer, M is the map, Escape ends.\n"
    "\n"
    "  --frames N         fly for N frames, 60 a second, and end\n"
    "  --seed N           another terrain\n"
    "  --speed N          metres a second; 60 unless it is given\n"
    "  --workers N        local processes that bake\n"
    "  --map              begin with the map\n"
    "  --settle           after the last frame wait until all is baked\n"
    "  --screenshot FILE  write the last frame, as BMP\n"
    "  --stats            print how long frames took\n"
    "  --help             print this\n";

/* Reads a number of at least `least`. Returns whether it is one. */
static int read_number(const char *text, int least, int *number) {
  char *end;
  long value = text ? strtol(text, &end, 10) : 0;
  if (!text || end == text || *end || value < least || value > 1000000)
    return 0;
  *number = (int)value;
  return 1;
}

/* Reads the option `name`, which may be followed by `value`. Returns how many
 * words that were, or 0. */
static int read_option(struct options *options, const char *name,
                       const char *value) {
  if (strcmp(name, "--frames") == 0)
    return 2 * read_number(value, 1, &options->frames);
  if (strcmp(name, "--seed") == 0)
    return 2 * read_number(value, 0, &options->seed);
  if (strcmp(name, "--speed") == 0)
    return 2 * read_number(value, 0, &options->speed);
  if (strcmp(name, "--workers") == 0)
    return 2 * read_number(value, 1, &options->workers);
  if (strcmp(name, "--screenshot") == 0)
    return value ? (options->screenshot = value, 2) : 0;
  if (strcmp(name, "--map") == 0)
    return options->map = 1;
  if (strcmp(name, "--settle") == 0)
    return options->settle = 1;
  if (strcmp(name, "--stats") == 0)
    return options->stats = 1;
  return 0;
}

int options_read(struct options *options, int argc, char **argv) {
  memset(options, 0, sizeof *options);
  options->seed = 3;
  options->speed = 60;
  for (int i = 1; i < argc;) {
    int words = read_option(options, argv[i], argv[i + 1]);
    if (strcmp(argv[i], "--help") == 0)
      return fputs(help, stdout), 1;
    if (!words) {
      fprintf(stderr, "game: cannot use `%s`\n%s", argv[i], help);
      return 2;
    }
    i += words;
  }
  return 0;
}
