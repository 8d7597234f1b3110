/* The `lambdapool` program: the command line of the library, and no more. */
#include <stdio.h>
#include <stdlib.h>

#include "lambdapool.h"

int main(int argc, char **argv) {
  lp_host *host;
  int status = lp_open(NULL, &host);
  if (status == LP_OK)
    status = lp_command(host, argc, argv);
  if (status < 0)
    fprintf(stderr, "lambdapool: %s\n",
            host != NULL ? lp_error(host) : "not enough memory");
  lp_close(host);
  return status < 0 ? EXIT_FAILURE : status;
}
