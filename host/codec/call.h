/*
 * A call: a function and the argument lists to run it with.
 *
 *   request  = {"lambdapool":1,"call":"<base64 of a sealed call>"}
 *   call     = varint(timeout in ms, 0: none) varint(compress from)
 *              u32(size) code  varint(tasks)  { u32(size) body }
 *   code     = the dump of the function
 *   body     = the task's arguments, as in wire.h
 *
 *   response = sealed, compressed from that size on
 *              16 bytes (XXH3-128 of the code that ran) byte(cold)
 *              u64(us) u64(peak memory in bytes) u32(tasks that ran)
 *              { byte(end) u32(size) body }
 *   end      = enum lp__task_end; the body has the task's results, or for
 *              another end than OK message, traceback and error value
 *
 * Lambda takes only JSON requests, but answers any bytes.  A response may
 * report fewer tasks than the call has: the others did certainly not start.
 */
#ifndef LP__CALL_H
#define LP__CALL_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

/* AWS's limits of a synchronous invocation, in bytes. */
enum { LP__MAX_REQUEST = 6291456, LP__MAX_RESPONSE = 6291556 };

enum lp__task_end {
  LP__TASK_OK,
  LP__TASK_ERROR,
  LP__TASK_TIMEOUT,
  LP__TASK_OUT_OF_MEMORY,
  LP__TASK_TOO_LARGE
};

/* --- the caller's side: functions of the module "lambdapool.codec" ---------
 */

/* code(function) -> code, an object for the two below */
int lp__call_code(lua_State *L);

/* request(code, list, first, last, options) -> request, origins
 * or nil, size when it would be larger than LP__MAX_REQUEST.
 * options: { star = list items are lists of arguments, timeout_ms = ,
 * compress_from = bytes } */
int lp__call_request(lua_State *L);

/* response(bytes, code, origins, columns, base) -> report, errors */
int lp__call_response(lua_State *L);

/* --- the worker's side ------------------------------------------------------
 */

/* The limits around each task, given by the agent. */
struct lp__call_hooks {
  void *context;

  /* A task starts at `now_ns` by CLOCK_MONOTONIC_COARSE, which is read once
   * for a task since reading clocks is what costs a small task most;
   * `timeout_ms` (0: none) bounds its running time.  Returns the bound in
   * force, which may be tighter. */
  uint64_t (*begin)(void *context, lua_State *L, uint64_t timeout_ms,
                    uint64_t now_ns);

  /* It ended, pcall's status tells how: disarms, and returns what happened;
   * TIMEOUT also when the task swallowed the error.  For TIMEOUT and
   * OUT_OF_MEMORY *where is "file:line", or "", valid until the next begin. */
  enum lp__task_end (*end)(void *context, lua_State *L, int status,
                           const char **where);

  /* The most memory that was used, in bytes. */
  uint64_t (*peak_memory)(void *context);
};

/* Whether the event is a call: JSON with "lambdapool" and "call". */
int lp__call_is_envelope(const char *event, size_t size);

/* Runs the call in the event.  Pushes the response and returns LP_OK; or
 * pushes why it is no call that can be run and returns LP_ELUA.  Never raises.
 * [-0, +1, -] */
int lp__call_run(lua_State *L, const char *event, size_t size,
                 const struct lp__call_hooks *hooks, int cold);

#endif
