/*
 * A call: a function and the argument lists to run it with.
 *
 *   request  = {"lambdapool":3,"call":"<base64 of a sealed call>"}
 *   call     = varint(timeout in ms, 0: none) varint(compress from)
 *              varint(stop in ms, 0: 1000) varint(1: results as JSON)
 *              u64(seed) varint(position) u32(size) code
 *              u32(tasks) { u32(size) body }
 *   code     = the dump of the function
 *   body     = the task's arguments, as in wire.h
 *
 *   response = sealed, compressed from that size on
 *              16 bytes (XXH3-128 of the code that ran) byte(cold)
 *              u64(us) u64(peak memory in bytes) u32(tasks that ran)
 *              { record } module*
 *   record   = byte(end) u32(size) body
 *   end      = enum lp__task_end; the body has the task's results, with
 *              OK_JSON behind an integer whose bit k tells that the text of
 *              result k + 1 is JSON; for other ends than these two it has
 *              message, traceback and error value
 *   module   = 16 bytes u32(size) name: a module that the worker has of its
 *              own was used, and this is the hash of its text (deployed.h)
 *
 * The number in front, LP__CALL_VERSION, changes with any of this.
 *
 * Lambda takes only JSON requests, but answers any bytes.  A response may
 * report fewer tasks than the call has: the others did certainly not start.
 * That is so when the call has run for "stop" already, and when the response
 * has grown large.
 *
 * Task k of the call, from 1, has the index position + k.  math.random is
 * seeded from the seed and the index before each task, and from the seed and 0
 * before the function and its modules are loaded.
 */
#ifndef LP__CALL_H
#define LP__CALL_H

#include <lua.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* A worker runs calls of its own version only: one that was deployed long ago,
 * or by a newer client, says so instead of guessing. */
#define LP__CALL_VERSION 3
#define LP__CALL_PREFIX  "{\"lambdapool\":3,\"call\":\""
#define LP__CALL_SUFFIX  "\"}"

/* AWS's limits of a synchronous invocation, in bytes. */
enum { LP__MAX_REQUEST = 6291456, LP__MAX_RESPONSE = 6291556 };

enum lp__task_end {
  LP__TASK_OK,
  LP__TASK_ERROR,
  LP__TASK_TIMEOUT,
  LP__TASK_OUT_OF_MEMORY,
  LP__TASK_TOO_LARGE,
  LP__TASK_OK_JSON
};

/* --- the caller's side: functions of the module "lambdapool.codec" ---------
 *
 * A body is a string; a record is what the values in a body may be referred
 * to by, or nil when there is nothing: bodies that are made ahead are put into
 * a request with theirs.
 */

/* code(function [, previous]) -> code, an object for those below: `previous`
 * itself when it is the code of an equal function, that refers to the very
 * same classes */
int lp__call_code(lua_State *L);

/* arguments(code, ...) -> body, record
 * The arguments of one task. */
int lp__call_arguments(lua_State *L);

/* encode(code, list, first, last, star) -> bodies, records
 * The tasks that request would make of these items; both results are tables
 * indexed by `first` to `last`.  records may be nil. */
int lp__call_encode(lua_State *L);

/* request(code, list, first, last, options) -> request, origins, taken
 * or nil, size when the first item alone is too large: the request would have
 * `size` bytes, more than LP__MAX_REQUEST.  `taken` is the last item that is
 * in the request; the next one would be too much.  options, by default 0:
 *   star           items are lists of arguments
 *   encoded        items are bodies,
 *   records        and these the records of some of them, by item
 *   timeout_ms     for each task; 0: none
 *   compress_from  bytes of the response; 0: never
 *   stop_ms        no task begins that long after the call has; 0: 1000
 *   json           tables among the results come as JSON text, where that can
 *                  say them
 *   seed           of math.random; an integer
 *   position       of list[0]: list[i] has the index position + i
 *   soft_limit     bytes: a request that is larger takes no more; 0: any */
int lp__call_request(lua_State *L);

/* Bytes of workers, as the functions below take them, are a string or an object
 * that lends them (../lent.h); with one that was released they raise.  Whoever
 * has read all that he wants of it says so: */

/* release(bytes)
 * They are not looked at any more.  Does nothing for what is not lent. */
int lp__call_release(lua_State *L);

/* response(bytes, code, origins, columns, base [, lend]) -> report, errors
 * Value j of task k goes to columns[j][base + k].  When columns.counts is a
 * table, counts[base + k] is how many values there are, unless that is 1; when
 * columns.n is a number, columns are made with room for n rows. For tasks with
 * results that are JSON, columns.json[base + k] tells which: an integer, see
 * above.
 * report: { done, values, max_values, cold, run_us, peak_memory, stale }, where
 * `values` is the last task's number of values, and `stale` the name of a
 * module that the worker has in another version than this state, or nil.
 * errors: task -> { kind, message, traceback, value }, or nil.
 * With `lend`, from bytes that are lent and were not compressed: strings of
 * some size among results that are all simple become such objects themselves,
 * behind which there is a zero.  They are for C, not for users' code.  What
 * they lend was changed for that: it is not read again. */
int lp__call_response(lua_State *L);

/* answer(bytes, code) -> report, position
 * What stands around the records of a response, of which all are there: they
 * are to be read piece by piece, with `kept`, from that position on.  report:
 * { done, cold, run_us, peak_memory, stale }.  Nothing when the response is
 * compressed. */
int lp__call_answer(lua_State *L);

/* kept(bytes, tasks, origins, columns, base [, position [, most [, lend]]])
 *   -> report, errors, position
 * The same for the records of up to so many tasks, without what stands around
 * them in a response.  report: { done, values, max_values }.  The bytes may be
 * any: reading ends where no whole record follows.  It begins at a position in
 * the bytes, 0 being the first, and no record is begun after `most` bytes, of
 * which those of results that are lent do not count; the position behind the
 * last one comes back. */
int lp__call_kept(lua_State *L);

/* --- the worker's side ------------------------------------------------------
 */

struct lp__progress;

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
   * OUT_OF_MEMORY *where is "file:line", or "", valid until the next begin;
   * or NULL when the error's own message says it best. */
  enum lp__task_end (*end)(void *context, lua_State *L, int status,
                           const char **where);

  /* The most memory that was used, in bytes. */
  uint64_t (*peak_memory)(void *context);

  /* Where the host watches the tasks and may take some back; or NULL. */
  struct lp__progress *progress;

  /* Not 0 after an allocation of a C library has failed, until the next
   * begin; or NULL.  Tasks may have begin and end in common, but not beyond
   * that. */
  const _Atomic uint64_t *no_memory;
};

/* Whether the event is a call: JSON with "lambdapool" and "call". */
int lp__call_is_envelope(const char *event, size_t size);

/* The version of the call in an envelope; 0 when it cannot be read. */
int lp__call_version(const char *event, size_t size);

/* Runs the call in the event.  Pushes the response and returns LP_OK; or
 * pushes why it is no call that can be run and returns LP_ELUA.  Never raises.
 * [-0, +1, -] */
int lp__call_run(lua_State *L, const char *event, size_t size,
                 const struct lp__call_hooks *hooks, int cold);

#endif
