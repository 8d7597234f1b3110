/* libuv as libraries beside the program have it: see port.h. */
#ifndef LP_UV_PORT_H
#define LP_UV_PORT_H

#include <uv.h>

/* Every function that is passed. A new one stands here and below. */
/* clang-format off */
#define LP__UV_PORT(F)                                                         \
  F(uv_async_init) F(uv_async_send) F(uv_close) F(uv_hrtime)                   \
  F(uv_loop_close) F(uv_now) F(uv_poll_init) F(uv_poll_start)                  \
  F(uv_poll_stop) F(uv_ref) F(uv_run) F(uv_stop) F(uv_timer_init)              \
  F(uv_timer_start) F(uv_timer_stop) F(uv_unref) F(uv_update_time)
/* clang-format on */

#define LP__POINTER(name) __typeof__(name) *name;
struct lp__uv_port {
  LP__UV_PORT(LP__POINTER)
};
#undef LP__POINTER

#ifdef LP__PART
extern const struct lp__uv_port *lp__uv; /* part.c */

#define uv_async_init  lp__uv->uv_async_init
#define uv_async_send  lp__uv->uv_async_send
#define uv_close       lp__uv->uv_close
#define uv_hrtime      lp__uv->uv_hrtime
#define uv_loop_close  lp__uv->uv_loop_close
#define uv_now         lp__uv->uv_now
#define uv_poll_init   lp__uv->uv_poll_init
#define uv_poll_start  lp__uv->uv_poll_start
#define uv_poll_stop   lp__uv->uv_poll_stop
#define uv_ref         lp__uv->uv_ref
#define uv_run         lp__uv->uv_run
#define uv_stop        lp__uv->uv_stop
#define uv_timer_init  lp__uv->uv_timer_init
#define uv_timer_start lp__uv->uv_timer_start
#define uv_timer_stop  lp__uv->uv_timer_stop
#define uv_unref       lp__uv->uv_unref
#define uv_update_time lp__uv->uv_update_time
#endif

#endif
