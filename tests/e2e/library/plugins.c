/* Loads the libraries that are its arguments up to "--", in that order and for
 * all to see, and calls run_beside of the last one with the others. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  int (*run)(int, char **);
  void *library = NULL;
  int i;
  for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
    library = dlopen(argv[i], RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
      fprintf(stderr, "%s\n", dlerror());
      return 1;
    }
  }
  *(void **)&run = dlsym(library, "run_beside");
  return run(argc - i, argv + i);
}
