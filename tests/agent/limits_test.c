/* Limits around Lua code: each task here tries to get around them, and after
 * each the state must still work. */
#define _GNU_SOURCE /* tgkill */
#include "agent/limits.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>

#include "host/coroutine.h"

#define MEMORY_MB 40 /* of which 24 are Lua's */

static struct lp__limits *limits;
static lua_State *L;

static int set_up(void **state) {
  (void)state;
  limits = lp__limits_open(MEMORY_MB);
  L = lua_newstate(lp__limits_alloc, limits);
  lp__coroutine_open(L, lp__limits_running(limits));
  luaL_openlibs(L);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  lua_close(L);
  assert_int_equal(lp__limits_memory(limits), 0);
  lp__limits_close(limits);
  return 0;
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Runs code as a task. Its result or error is at the top afterwards. */
static enum lp__limits_end run(const char *code, uint64_t timeout_ms) {
  enum lp__limits_end end;
  int status;
  lua_settop(L, 0);
  assert_int_equal(luaL_loadbuffer(L, code, strlen(code), "=t.lua"), LUA_OK);
  lp__limits_begin(limits, L, timeout_ms, now_ns());
  status = lua_pcall(L, 0, 1, 0);
  end = lp__limits_end(limits, L, status);
  assert_null(lua_gethook(L));
  return end;
}

/* The state works, and a hook of an earlier task does not. */
static void assert_usable(void) {
  assert_int_equal(run("local n = 0 for i = 1, 1000 do n = n + i end "
                       "return coroutine.wrap(function() return n end)()",
                       5000),
                   LP__LIMITS_OK);
  assert_int_equal(lua_tointeger(L, -1), 500500);
}

static void assert_times_out(const char *code) {
  if (run(code, 20) != LP__LIMITS_TIMEOUT)
    fail_msg("no timeout: %s", code);
  if (strcmp(lp__limits_where(limits), "t.lua:2") != 0)
    fail_msg("at %s: %s", lp__limits_where(limits), code);
  assert_usable();
}

static void ends_endless_loops(void **state) {
  (void)state;
  assert_times_out("\nwhile true do end");
  assert_times_out("\nrepeat until false");
  assert_times_out("\nlocal function f() return f() end f()");
  assert_times_out("\nfor i = 1, math.huge do string.rep('x', 10) end");
  assert_times_out("\nlocal t = {} for i = 1, 1e5 do t[i] = i end "
                   "while true do table.sort(t, function(a, b) return a > b "
                   "end) end");
  assert_times_out("local x <close> = setmetatable({}, {__close = function()\n"
                   "while true do end end})");
}

static void ends_loops_around_pcall(void **state) {
  (void)state;
  assert_times_out(
      "\nwhile true do pcall(function() while true do end end) end");
  assert_times_out("\nlocal function f() while true do pcall(f) end end f()");
  assert_times_out("\nwhile true do xpcall(error, function() while true do end "
                   "end) end");
  assert_times_out("\nwhile true do pcall(debug.sethook) end");
}

static void ends_coroutines(void **state) {
  (void)state;
  assert_times_out("coroutine.wrap(function()\nwhile true do end end)()");
  assert_times_out("\nlocal f = coroutine.wrap(function() while true do "
                   "coroutine.yield() end end) while true do f() end");
  assert_times_out("\nwhile true do coroutine.resume(coroutine.create("
                   "function() while true do pcall(coroutine.wrap(function() "
                   "while true do end end)) end end)) end");
  assert_times_out("\nwhile true do local f = coroutine.wrap(function() "
                   "coroutine.yield() end) pcall(f) pcall(f) pcall(f) end");
  assert_times_out("\nlocal co = coroutine.create(function() local x <close> = "
                   "setmetatable({}, {__close = function() while true do end "
                   "end}) coroutine.yield() end) coroutine.resume(co) "
                   "while true do coroutine.close(co) end");
}

static void a_timeout_cannot_be_returned_from(void **state) {
  (void)state;
  lua_settop(L, 0);
  lua_getglobal(L, "pcall");
  assert_int_equal(luaL_loadstring(L, "while true do end"), LUA_OK);
  lp__limits_begin(limits, L, 20, now_ns());
  assert_int_equal(lua_pcall(L, 1, 0, 0), LUA_OK);
  assert_int_equal(lp__limits_end(limits, L, LUA_OK), LP__LIMITS_TIMEOUT);
  assert_usable();
}

static void survivors_of_a_timeout_run_on(void **state) {
  (void)state;
  assert_times_out("co = coroutine.create(function() coroutine.yield() "
                   "return 'alive' end) coroutine.resume(co)\n"
                   "f = coroutine.wrap(function() while true do end end) f()");
  assert_int_equal(run("return select(2, coroutine.resume(co))", 1000),
                   LP__LIMITS_OK);
  assert_string_equal(lua_tostring(L, -1), "alive");
}

static void other_errors_are_not_touched(void **state) {
  (void)state;
  assert_int_equal(run("error({})", 1000), LP__LIMITS_ERROR);
  assert_int_equal(lua_type(L, -1), LUA_TTABLE);
  assert_int_equal(run("return 1", 1000), LP__LIMITS_OK);
  assert_int_equal(run("return 1", 0), LP__LIMITS_OK);
  assert_string_equal(lp__limits_where(limits), "");
}

static void a_timer_of_an_earlier_task_does_no_harm(void **state) {
  (void)state;
  assert_int_equal(run("return 1", 20), LP__LIMITS_OK);
  assert_int_equal(
      run("local t = os.clock() while os.clock() - t < 0.1 do end", 10000),
      LP__LIMITS_OK);
  assert_int_equal(run("return 1", 10000), LP__LIMITS_OK);
  assert_times_out("\nwhile true do end");
  assert_times_out("\nwhile true do end");
}

/* What a host does that has the task stopped. */
static int stop(lua_State *state) {
  (void)state;
  tgkill(getpid(), gettid(), SIGVTALRM);
  return 0;
}

static void a_task_ends_when_the_host_says_so(void **state) {
  (void)state;
  lua_register(L, "stop", stop);
  assert_times_out(
      "\nwhile true do end"); /* the signal is handled from now on */
  stop(L);                    /* between tasks: for nobody */
  assert_usable();
  assert_int_equal(run("\nstop() while true do end", 1000000),
                   LP__LIMITS_TIMEOUT);
  assert_usable();
  assert_int_equal(run("\nwhile true do pcall(stop) end", 1000000),
                   LP__LIMITS_TIMEOUT);
  assert_usable();
}

static void assert_exhausts(const char *code) {
  if (run(code, 0) != LP__LIMITS_OUT_OF_MEMORY)
    fail_msg("not out of memory but %s: %s", lua_tostring(L, -1), code);
  if (strcmp(lp__limits_where(limits), "t.lua:2") != 0)
    fail_msg("at %s: %s", lp__limits_where(limits), code);
  assert_usable();
  lua_settop(L, 0);
  lua_gc(L, LUA_GCCOLLECT);
  assert_true(lp__limits_memory(limits) < 1 << 20);
}

static void bounds_memory(void **state) {
  (void)state;
  assert_exhausts("local t = {}\nwhile true do t[#t + 1] = {} end");
  assert_exhausts("local s = 'x'\nwhile true do s = s .. s end");
  assert_exhausts("\nreturn string.rep('x', 1 << 30)");
  assert_exhausts("local t = {}\nfor i = 1, 100 do t[i] = ('x'):rep(1 << 20) "
                  "t[i] = t[i] .. i end");
  assert_exhausts("coroutine.wrap(function() local t = {}\n"
                  "while true do t = {t, {}} end end)()");
  assert_exhausts("assert(coroutine.resume(coroutine.create(function() local "
                  "t = {}\nwhile true do t = {t, {}} end end)))");
  assert_exhausts("local ok, e = pcall(function() local t = {}\n"
                  "while true do t = {t, {}} end end) error({'later: ' .. e})");
  assert_exhausts("local t = {}\nfor i = 1, 100 do t[i] = ('x'):rep(1e6) "
                  "t[-i] = table.concat(t) end");
}

static void garbage_is_not_memory(void **state) {
  (void)state;
  assert_int_equal(run("for i = 1, 200 do local s = ('x'):rep(1 << 20) end", 0),
                   LP__LIMITS_OK);
  assert_true(lp__limits_peak(limits) <= (MEMORY_MB - 16) << 20);
}

static void an_error_that_is_caught_is_none(void **state) {
  (void)state;
  assert_int_equal(run("return pcall(string.rep, 'x', 1 << 30)", 0),
                   LP__LIMITS_OK);
  assert_false(lua_toboolean(L, -1));
}

static void counts_what_lua_uses(void **state) {
  size_t before;
  (void)state;
  lua_gc(L, LUA_GCCOLLECT);
  before = lp__limits_memory(limits);
  lp__limits_reset_peak(limits);
  assert_int_equal(lp__limits_peak(limits), before);
  assert_int_equal(run("local s = ('x'):rep(5 << 20)", 0), LP__LIMITS_OK);
  assert_true(lp__limits_peak(limits) >= before + (5 << 20));
  assert_true(lp__limits_peak(limits) <= before + (12 << 20));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ends_endless_loops),
      cmocka_unit_test(ends_loops_around_pcall),
      cmocka_unit_test(ends_coroutines),
      cmocka_unit_test(a_timeout_cannot_be_returned_from),
      cmocka_unit_test(survivors_of_a_timeout_run_on),
      cmocka_unit_test(other_errors_are_not_touched),
      cmocka_unit_test(a_timer_of_an_earlier_task_does_no_harm),
      cmocka_unit_test(a_task_ends_when_the_host_says_so),
      cmocka_unit_test(bounds_memory),
      cmocka_unit_test(garbage_is_not_memory),
      cmocka_unit_test(an_error_that_is_caught_is_none),
      cmocka_unit_test(counts_what_lua_uses),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
