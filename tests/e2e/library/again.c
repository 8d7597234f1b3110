/* Loads a plugin that has tasks done, calls it and unloads it, again and again.
 * Prints how many mappings and descriptors there are after the second time and
 * after the last.
 *
 * Arguments: those of the plugin. */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>

static int mappings(void) {
  FILE *file = fopen("/proc/self/maps", "r");
  int character, count = 0;
  while ((character = getc(file)) != EOF)
    count += character == '\n';
  fclose(file);
  return count;
}

static int descriptors(void) {
  DIR *folder = opendir("/proc/self/fd");
  int count = 0;
  while (readdir(folder))
    count++;
  closedir(folder);
  return count;
}

int main(int argc, char **argv) {
  int i;
  for (i = 1; i <= 6; i++) {
    int (*run)(int, char **);
    void *plugin = dlopen("./plugin.so", RTLD_NOW);
    if (!plugin) {
      fprintf(stderr, "%s\n", dlerror());
      return 1;
    }
    *(void **)&run = dlsym(plugin, "squares");
    if (run(argc, argv) != 0 || dlclose(plugin) != 0)
      return 1;
    if (i == 2 || i == 6)
      printf("%d mappings, %d descriptors\n", mappings(), descriptors());
  }
  return 0;
}
