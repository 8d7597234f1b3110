/* What the halves of the module "lambdapool.workers" share: lib_workers.c has
 * the handle of a loop and its workers, lib_server.c the servers on it. */
#ifndef LP_LIB_LOOP_H
#define LP_LIB_LOOP_H

#include "http_server.h"
#include "loop.h"
#include "loop_port.h"
#include "worker.h"

#include <lua.h>
#include <sys/types.h>

#define LP__LOOP "lambdapool.workers.Loop"

/* Its user value is a table: worker id -> the event that is borrowed, and -id
 * -> what is told about that. */
struct lp__handle {
  struct lp__loop *loop;
  struct lp__workers *workers;
  struct lp__listening *servers;
  struct lp__loop_port port;
  int64_t last_server; /* ids of servers and of ports are -1, -2 ... */
  pid_t process;       /* a child that is forked from it has no part in this:
                        * it does not close what is the parent's */
};

/* The handle at index 1; raises when it is closed, or the parent's. */
struct lp__handle *lp__check_handle(lua_State *L);

/* Raises when it is the parent's. */
void lp__check_process(lua_State *L, const struct lp__handle *handle);

/* Keeps the event of a worker's invocation and what is told about it, which are
 * at the top of the stack; when they are nil, no longer.  [-2, +0, m] */
void lp__lib_keep_request(lua_State *L, lua_Integer id);

/* --- lib_start.c, lib_events.c ------------------------------------------- */

/* handle:start(options), handle:poll(seconds): see lib_workers.c */
int lp__lib_start(lua_State *L);
int lp__lib_poll(lua_State *L);

/* --- lib_server.c -------------------------------------------------------- */

/* handle:listen(options) -> id, port | nil, message; handle:unlisten(id) */
int lp__lib_listen(lua_State *L);
int lp__lib_unlisten(lua_State *L);

/* Closes every server of the handle. */
void lp__lib_close_servers(struct lp__handle *handle);

/* Pushes the request of an event of a server.  [-0, +1, m] */
void lp__lib_push_request(lua_State *L, struct lp__request *request);

/* Makes the metatable of requests.  [-0, +0, m] */
void lp__lib_open_requests(lua_State *L);

#endif
