/* In each library beside the program: takes what it is given. See port.h. */
#include "port.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "lua_port.h"
#include "uv_port.h"

const struct lp__lua_port *lp__lua;
const struct lp__uv_port *lp__uv;

/* Whose functions these are. Several threads may come at once. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct lp__port *owner;

LP_API lp__part_open_function lp__part_open;

static const char *take(const struct lp__port *port) {
  if (owner)
    return owner == port ? NULL : LP__PART_BUSY;
  owner = port;
  lp__lua = port->lua;
  lp__uv = port->uv;
  return NULL;
}

const char *lp__part_open(const struct lp__port *port) {
  const char *refusal;
  if (strcmp(port->version, LP_VERSION) != 0 ||
      port->lua_size != sizeof *lp__lua || port->uv_size != sizeof *lp__uv)
    return "it is of another version of lambdapool";
  pthread_mutex_lock(&lock);
  refusal = take(port);
  pthread_mutex_unlock(&lock);
  return refusal;
}
