/* A loop for libraries beside the program: cloud.so has its own code and must
 * name none of the program's functions, so it gets them as pointers. */
#ifndef LP_LOOP_PORT_H
#define LP_LOOP_PORT_H

#include "loop.h"

/* What these do is written in loop.h. */
struct lp__loop_port {
  struct lp__loop *loop;
  uv_loop_t *uv;
  struct lp__event *(*event_new)(enum lp__event_kind kind, int64_t id);
  void (*event_free)(struct lp__event *event);
  void (*push)(struct lp__loop *loop, struct lp__event *event);
  void (*count_far)(struct lp__loop *loop, int change);
  void (*watches_more)(struct lp__loop *loop);
  int (*init_apart)(uv_loop_t *uv);
};

/* Fills in the functions. */
static inline void lp__loop_port_init(struct lp__loop_port *port,
                                      struct lp__loop *loop) {
  *port = (struct lp__loop_port){.loop = loop,
                                 .uv = lp__loop_uv(loop),
                                 .event_new = lp__event_new,
                                 .event_free = lp__event_free,
                                 .push = lp__loop_push,
                                 .count_far = lp__loop_count_far,
                                 .watches_more = lp__loop_watches_more,
                                 .init_apart = lp__loop_init_apart};
}

#endif
