/* Loads the libraries beside the program, cloud.so and terminal.so, and gives
 * them the functions of Lua and libuv that they use (port.h). Without Lua; any
 * thread. */
#ifndef LP_PART_LOADER_H
#define LP_PART_LOADER_H

#include <stddef.h>

/* Loads the library at `path`. Returns a handle for dlsym and dlclose; or NULL,
 * with a reason in `message`, of `size` bytes. */
void *lp__part_load(const char *path, char *message, size_t size);

/* Stores the absolute path of the file that this code is in: of the program,
 * liblambdapool.so or the Lua module. 0 or a negative errno. */
int lp__part_self(char *path, size_t size);

#endif
