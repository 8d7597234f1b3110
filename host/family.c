/* A process and its descendants. See family.h. */
#define _GNU_SOURCE
#include "family.h"

#include "memory.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A tree may grow while it is looked at; beyond this it is looked at no more.
 */
enum { VISITED_MAX = 8192 };

/* Processes still to be visited. */
struct list {
  pid_t *items;
  size_t count, room, total;
};

static void add(struct list *list, pid_t pid) {
  if (list->total == VISITED_MAX)
    return;
  if (list->count == list->room) {
    size_t room = list->room ? list->room * 2 : 16;
    pid_t *items = lp__realloc(list->items, room * sizeof *items);
    if (!items)
      return;
    list->items = items;
    list->room = room;
  }
  list->items[list->count++] = pid;
  list->total++;
}

/* The number that names a process or thread in /proc, or 0. */
static pid_t number_of(const char *name) {
  char *end;
  long number = strtol(name, &end, 10);
  return *end == '\0' && number > 0 ? (pid_t)number : 0;
}

/* The kernel keeps children per thread that made them. */
static void add_children(struct list *list, pid_t pid) {
  char path[96];
  snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
  DIR *threads = opendir(path);
  struct dirent *entry;
  while (threads && (entry = readdir(threads))) {
    pid_t thread = number_of(entry->d_name);
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid,
             (int)thread);
    FILE *file = thread ? fopen(path, "re") : NULL;
    int child;
    while (file && fscanf(file, "%d", &child) == 1)
      add(list, child);
    if (file)
      fclose(file);
  }
  if (threads)
    closedir(threads);
}

int lp__family_visit(pid_t root, lp__family_visitor *visit, void *context) {
  struct list list = {NULL, 0, 0, 0};
  int result = 0;
  add(&list, root);
  while (list.count > 0 && result == 0) {
    pid_t pid = list.items[--list.count];
    result = visit(context, pid);
    if (result == 0)
      add_children(&list, pid);
  }
  lp__free(list.items);
  return result;
}

/* What tells the PID namespace of a process, 0 when that is not known. */
static ino_t namespace_of(pid_t pid) {
  char path[64];
  struct stat status;
  snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
  return stat(path, &status) == 0 ? status.st_ino : 0;
}

int lp__family_visit_all(pid_t root, lp__family_visitor *visit, void *context) {
  ino_t space = namespace_of(root);
  if (space == namespace_of(getpid()))
    space = 0;
  DIR *processes = opendir("/proc");
  struct dirent *entry;
  int result = 0;
  while (processes && result == 0 && (entry = readdir(processes))) {
    pid_t pid = number_of(entry->d_name);
    if (pid > 0 &&
        (getsid(pid) == root || (space && namespace_of(pid) == space)))
      result = visit(context, pid);
  }
  if (processes)
    closedir(processes);
  return result;
}

/* --- memory -------------------------------------------------------------- */

struct sum {
  pid_t left_out;
  bool found;
  uint64_t now, peak;
};

static int add_memory(void *context, pid_t pid) {
  struct sum *sum = context;
  char text[256];
  unsigned long now = 0, peak = 0;
  snprintf(text, sizeof text, "/proc/%d/status", (int)pid);
  FILE *file = pid == sum->left_out ? NULL : fopen(text, "re");
  if (!file)
    return 0;
  while (fgets(text, sizeof text, file))
    if (sscanf(text, "VmHWM: %lu kB", &peak) == 0 &&
        sscanf(text, "VmRSS: %lu kB", &now) == 1)
      break;
  fclose(file);
  sum->found = true;
  sum->now += (uint64_t)now * 1024;
  sum->peak += (uint64_t)peak * 1024;
  return 0;
}

bool lp__family_memory(pid_t root, bool with_root, uint64_t *now,
                       uint64_t *peak) {
  struct sum sum = {.left_out = with_root ? 0 : root};
  lp__family_visit(root, add_memory, &sum);
  *now = sum.now;
  *peak = sum.peak;
  return sum.found;
}
