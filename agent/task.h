/*
 * One event, from its arrival to the answer that is posted: a lambdapool call
 * goes to the codec, anything else to the ordinary handler. Both run within
 * the limits of the event: the deadline that came with it, with a margin in
 * which the answer can still be posted, and the memory of the process.
 */
#ifndef LP__TASK_H
#define LP__TASK_H

#include <lua.h>
#include <stdint.h>

#include "answer.h"
#include "limits.h"
#include "runtime.h"

struct lp__progress;

struct lp__task {
  struct lp__limits *limits;
  int64_t until_ms; /* when it must end, by CLOCK_MONOTONIC; 0: any time */
};

/* Begins the limits of a task that has no other than those of the event. */
void lp__task_begin(const struct lp__task *task, lua_State *L);

/* Runs `event`; `cold`: it is the first one of this process. A call tells its
 * progress on that page, if there is one. Fills in the
 * answer, whose bytes stay on the stack of L until it is cleared. Never
 * raises; needs a few free stack slots. */
void lp__task_run(lua_State *L, const struct lp__event *event, int cold,
                  struct lp__progress *progress, struct lp__answer *answer);

#endif
