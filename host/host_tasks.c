/* The tasks of a host. See host_tasks.h. */
#include "host_tasks.h"

#include <string.h>

#include "memory.h"

/* An id is a place + 1 in its lower bits, and above them how often that place
 * was used. A place that was used up, after a trillion tasks, stays empty. */
enum { PLACE_BITS = 24, MOST = (1 << PLACE_BITS) - 2, FIRST_ROOM = 16 };

static const lp_id PLACE = ((lp_id)1 << PLACE_BITS) - 1;
static const lp_id USE = (lp_id)1 << PLACE_BITS;

void lp__ended_free(struct lp__ended *ended) {
  for (int i = 0; i < ended->count; i++)
    lp__block_release(ended->blocks[i]);
  lp__free(ended->values);
  lp__free(ended->copy);
  ended->values = NULL;
  ended->blocks = NULL;
  ended->count = 0;
  ended->copy = NULL;
  ended->result.values = NULL;
  ended->result.count = 0;
}

/* Makes room for one more at the end. */
static int grow(struct lp__tasks *tasks) {
  uint32_t room = tasks->room > 0 ? tasks->room * 2 : FIRST_ROOM;
  struct lp__task *all;
  if (tasks->count < tasks->room)
    return LP_OK;
  if (tasks->count >= MOST)
    return LP_ENOMEM;
  all = lp__realloc(tasks->all, room * sizeof *all);
  if (!all)
    return LP_ENOMEM;
  tasks->all = all;
  tasks->room = room;
  return LP_OK;
}

/* A free place, with its last id; NULL without memory. */
static struct lp__task *find_place(struct lp__tasks *tasks) {
  struct lp__task *task;
  if (tasks->free > 0) {
    task = &tasks->all[tasks->free - 1];
    tasks->free = task->next;
    return task;
  }
  if (grow(tasks) != LP_OK)
    return NULL;
  task = &tasks->all[tasks->count++];
  task->id = tasks->count;
  return task;
}

int lp__tasks_add(struct lp__tasks *tasks, lp__on_end on_end, void *data,
                  lp_id *id) {
  struct lp__task *task = find_place(tasks);
  if (!task)
    return LP_ENOMEM;
  lp_id next = task->id + USE;
  memset(task, 0, sizeof *task);
  task->id = next;
  task->state = LP__TASK_OPEN;
  task->on_end = on_end;
  task->ended.result.task = next;
  task->ended.result.data = data;
  tasks->open++;
  tasks->tasks++;
  *id = next;
  return LP_OK;
}

static uint32_t place_of(const struct lp__tasks *tasks,
                         const struct lp__task *task) {
  return (uint32_t)(task - tasks->all) + 1;
}

static void release(struct lp__tasks *tasks, struct lp__task *task) {
  task->state = LP__TASK_FREE;
  if (task->id > UINT64_MAX - USE)
    return;
  task->next = tasks->free;
  tasks->free = place_of(tasks, task);
}

struct lp__task *lp__tasks_find(struct lp__tasks *tasks, lp_id id) {
  uint32_t place = (uint32_t)(id & PLACE);
  struct lp__task *task;
  if (place == 0 || place > tasks->count)
    return NULL;
  task = &tasks->all[place - 1];
  return task->state != LP__TASK_FREE && task->id == id ? task : NULL;
}

void lp__tasks_drop(struct lp__tasks *tasks, lp_id id) {
  struct lp__task *task = lp__tasks_find(tasks, id);
  if (!task || task->state != LP__TASK_OPEN)
    return;
  tasks->open--;
  tasks->tasks--;
  release(tasks, task);
}

static void append(struct lp__tasks *tasks, struct lp__task_list *list,
                   struct lp__task *task) {
  uint32_t place = place_of(tasks, task);
  task->next = 0;
  if (list->last > 0)
    tasks->all[list->last - 1].next = place;
  else
    list->first = place;
  list->last = place;
}

static void count(struct lp__tasks *tasks, enum lp_kind kind) {
  tasks->open--;
  if (kind == LP_DONE)
    tasks->done++;
  else if (kind == LP_CANCELLED)
    tasks->cancelled++;
  else
    tasks->failed++;
}

void lp__tasks_end(struct lp__tasks *tasks, struct lp__task *task) {
  task->state = LP__TASK_HAS_ENDED;
  count(tasks, task->ended.result.kind);
  append(tasks, task->on_end ? &tasks->for_callbacks : &tasks->for_next, task);
}

void lp__tasks_end_all(struct lp__tasks *tasks, enum lp_kind kind,
                       const char *message) {
  for (uint32_t i = 0; i < tasks->count; i++) {
    struct lp__task *task = &tasks->all[i];
    if (task->state == LP__TASK_OPEN) {
      task->ended.result.kind = kind;
      task->ended.result.message = message;
      task->ended.result.traceback = "";
      lp__tasks_end(tasks, task);
    }
  }
}

bool lp__tasks_take(struct lp__tasks *tasks, bool with_callback,
                    struct lp__ended *ended, lp__on_end *on_end) {
  struct lp__task_list *list =
      with_callback ? &tasks->for_callbacks : &tasks->for_next;
  struct lp__task *task;
  if (list->first == 0)
    return false;
  task = &tasks->all[list->first - 1];
  list->first = task->next;
  if (list->first == 0)
    list->last = 0;
  *ended = task->ended;
  *on_end = task->on_end;
  release(tasks, task);
  return true;
}

void lp__tasks_free(struct lp__tasks *tasks) {
  for (uint32_t i = 0; i < tasks->count; i++)
    if (tasks->all[i].state == LP__TASK_HAS_ENDED)
      lp__ended_free(&tasks->all[i].ended);
  lp__free(tasks->all);
  memset(tasks, 0, sizeof *tasks);
}
