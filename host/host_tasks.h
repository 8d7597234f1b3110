/*
 * The tasks of a host that were submitted and whose results were not taken:
 * what a task id stands for. Without Lua, and complete from the beginning: when
 * a task has ended, that can be told without any memory.
 */
#ifndef LP__HOST_TASKS_H
#define LP__HOST_TASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block.h"
#include "lambdapool.h"

/* A result, and what holds that which it points to. */
struct lp__ended {
  struct lp_result result;
  struct lp_value *values;   /* of the result: owned, or NULL */
  struct lp__block **blocks; /* in the same memory: what each of them lies in,
                              * held; NULL for those that are Lua's */
  int count;                 /* of both */
  int anchor;                /* a reference in the registry of Lua, or 0 */
  char *copy; /* its message when that is not of Lua's: owned, or NULL */
};

/* Gives back all that is not Lua's. The result has no values then. */
void lp__ended_free(struct lp__ended *ended);

enum lp__task_state { LP__TASK_FREE, LP__TASK_OPEN, LP__TASK_HAS_ENDED };

typedef void (*lp__on_end)(lp_host *host, const struct lp_result *result,
                           void *data);

struct lp__task {
  lp_id id; /* of this task, or, when it is free, the last one here */
  enum lp__task_state state;
  uint32_t next; /* place + 1 of the next one in its list */
  lp__on_end on_end;
  struct lp__ended ended; /* result.data is set at the beginning */
};

/* First in, first out: tasks by place + 1; 0 at the end. */
struct lp__task_list {
  uint32_t first, last;
};

struct lp__tasks {
  struct lp__task *all;
  uint32_t count; /* places in `all` that were used, ever */
  uint32_t room;
  uint32_t free;                 /* place + 1 of the first that is free */
  struct lp__task_list for_next; /* ended, without a callback */
  struct lp__task_list for_callbacks;
  uint64_t open, tasks, done, failed, cancelled;
};

/* Adds a task and stores its id. LP_OK or LP_ENOMEM. */
int lp__tasks_add(struct lp__tasks *tasks, lp__on_end on_end, void *data,
                  lp_id *id);

/* There is no such task after all. */
void lp__tasks_drop(struct lp__tasks *tasks, lp_id id);

/* The task, as long as its result was not taken; or NULL. Good until the next
 * lp__tasks_add. */
struct lp__task *lp__tasks_find(struct lp__tasks *tasks, lp_id id);

/* An open task has ended, as its `ended` says. */
void lp__tasks_end(struct lp__tasks *tasks, struct lp__task *task);

/* All that are open have ended, for this reason. `message` is static. */
void lp__tasks_end_all(struct lp__tasks *tasks, enum lp_kind kind,
                       const char *message);

/* Takes the next result of those with a callback, or of the others: the task is
 * gone, and what holds its result is the caller's. False when there is none. */
bool lp__tasks_take(struct lp__tasks *tasks, bool with_callback,
                    struct lp__ended *ended, lp__on_end *on_end);

/* Frees everything; after the state of Lua, where the anchors were. */
void lp__tasks_free(struct lp__tasks *tasks);

#endif
