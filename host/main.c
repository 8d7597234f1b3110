/* The `lambdapool` program: the command line of the library, and no more. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lambdapool.h"

/* A standard file that is closed would lend its number to the next one that is
 * opened: what is printed would go to a worker, and libuv aborts when it closes
 * such a number. What takes the place fails to read and write, too. */
static void fill_standard_files(void) {
  int fd;
  for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) == -1)
      open("/dev/null", (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
}

int main(int argc, char **argv) {
  lp_host *host;
  int status;
  fill_standard_files();
  status = lp_open(NULL, &host);
  if (status == LP_OK)
    status = lp_command(host, argc, argv);
  if (status < 0)
    fprintf(stderr, "lambdapool: %s\n",
            host != NULL ? lp_error(host) : "not enough memory");
  lp_close(host);
  return status < 0 ? EXIT_FAILURE : status;
}
