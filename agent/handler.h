/*
 * Ordinary Lambda handlers: `function(event, context)` for any JSON event,
 * named by the variable _HANDLER as "module.function".
 *
 * The context is a table: request_id, deadline_ms (Unix time), remaining_ms()
 * (a function), function_arn, function_name, function_version,
 * memory_limit_mb, trace_id, client_context and identity (tables); what the
 * platform did not tell is nil.
 */
#ifndef LP__HANDLER_H
#define LP__HANDLER_H

#include <lua.h>

#include "answer.h"
#include "runtime.h"
#include "task.h"

/* Opens the library "package", so that modules are found in LAMBDA_TASK_ROOT
 * (?.lua, ?/init.lua, the same below lua/, C modules ?.so) and in layers
 * (/opt/lua) before the places where Lua looks anyway. Called before the other
 * libraries are opened, in a fresh state, so that these paths are the standard
 * ones of this state.  [-0, +0, e] */
void lp__handler_open(lua_State *L);

/* Loads the handler called `name`. A name without a dot, or NULL, means that
 * there is none, which is fine until a plain event arrives. Returns 1, or 0
 * with a failure in *answer, whose body is pushed. Never raises.
 * [-0, +(0|1), -] */
int lp__handler_load(lua_State *L, const char *name, struct lp__answer *answer);

/* Runs the handler on `event` within its limits and pushes the bytes of
 * *answer. Globals that earlier events have set are gone, those of modules and
 * the modules themselves are still there. Never raises.  [-0, +1, -] */
void lp__handler_run(lua_State *L, const struct lp__event *event,
                     struct lp__task *task, struct lp__answer *answer);

#endif
