/* Which coroutine runs, and how a signal handler stops it. */
#include "host/coroutine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>

enum { SIGNALS = 3000, MICROSECONDS = 50 };

/* Raises "stopped" once for each lp__running_hook. */
static void hook(lua_State *L, lua_Debug *ar) {
  struct lp__running *running = lp__running_of(L);
  (void)ar;
  if (!running->hooked) { /* its creator had it */
    lua_sethook(L, NULL, 0, 0);
    return;
  }
  lp__running_unhook(running);
  lua_pushliteral(L, "stopped");
  lua_error(L);
}

static struct lp__running of_L, of_other;
static lua_State *L, *other;

/* stop(): as if the signal came now. */
static int stop(lua_State *in) {
  lp__running_hook(lp__running_of(in));
  return 0;
}

/* runs(co): whether it is the one that is noted as running. */
static int runs(lua_State *in) {
  lua_pushboolean(in, lp__running_of(in)->thread == lua_tothread(in, 1));
  return 1;
}

/* resume(co): as a C module does it that knows nothing of all this. */
static int resume(lua_State *in) {
  int results;
  lua_State *co = lua_tothread(in, 1);
  lua_pushboolean(in, lua_resume(co, in, 0, &results) <= LUA_YIELD);
  return 1;
}

static lua_State *open_state(struct lp__running *running) {
  lua_State *in = luaL_newstate();
  running->hook = hook;
  lp__coroutine_open(in, running);
  luaL_openlibs(in);
  lua_register(in, "stop", stop);
  lua_register(in, "runs", runs);
  lua_register(in, "resume", resume);
  assert_ptr_equal(running->thread, in);
  return in;
}

static int set_up(void **state) {
  (void)state;
  L = open_state(&of_L);
  other = open_state(&of_other);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  lua_close(L);
  lua_close(other);
  return 0;
}

static void assert_calm(void) {
  assert_ptr_equal(of_L.thread, L);
  assert_false(of_L.hooked);
  assert_null(lua_gethook(L));
}

static void assert_runs(const char *code) {
  lua_settop(L, 0);
  if (luaL_dostring(L, code) != LUA_OK)
    fail_msg("%s: %s", lua_tostring(L, -1), code);
  assert_calm();
}

static void test_notes(void **state) {
  (void)state;
  assert_runs("local main = coroutine.running()\n"
              "local function check() assert(runs(coroutine.running())) end\n"
              "check()\n"
              "local co = coroutine.wrap(function()\n"
              "  check()\n"
              "  local inner = coroutine.create(function()\n"
              "    check() coroutine.yield() check() error 'inner'\n"
              "  end)\n"
              "  assert(coroutine.resume(inner)) check() coroutine.yield()\n"
              "  check() assert(not coroutine.resume(inner)) check()\n"
              "  assert(not coroutine.resume(inner)) check()\n"
              "  error 'outer'\n"
              "end)\n"
              "co() check() assert(not pcall(co)) check()\n"
              "assert(not pcall(co)) check()\n"
              "co = coroutine.create(function()\n"
              "  local x <close> = setmetatable({}, {__close = function()\n"
              "    check() error 'close' end})\n"
              "  coroutine.yield()\n"
              "end)\n"
              "coroutine.resume(co) check()\n"
              "assert(not coroutine.close(co)) check()\n"
              "assert(not pcall(coroutine.close, main)) check()\n");
}

/* Each of these ends in "stopped", and only by that. */
static void test_reaches(void **state) {
  static const char *const calls[] = {
      "stop() local x = 1",
      "coroutine.wrap(function() stop() while true do end end)()",
      "local co = coroutine.create(function() stop() coroutine.yield() end) "
      "error(select(2, coroutine.resume(co)), 0)",
      "coroutine.wrap(function() coroutine.wrap(function() stop() "
      "while true do end end)() end)()",
      "local co = coroutine.create(function() local x <close> = setmetatable("
      "{}, {__close = function() stop() while true do end end}) "
      "coroutine.yield() end) coroutine.resume(co) "
      "error(select(2, coroutine.close(co)), 0)",
      "table.sort({1, 2, 3}, coroutine.wrap(function() while true do stop() "
      "coroutine.yield(1 < 2) end end))",
      "coroutine.wrap(stop)() while true do end",
      "local co = coroutine.create(function() stop() end) resume(co)",
  };
  (void)state;
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    lua_settop(L, 0);
    assert_int_equal(luaL_loadstring(L, calls[i]), LUA_OK);
    if (lua_pcall(L, 0, 0, 0) != LUA_ERRRUN ||
        !strstr(lua_tostring(L, -1), "stopped"))
      fail_msg("not stopped: %s", calls[i]);
    assert_calm();
  }
}

static void test_leaves_nothing(void **state) {
  (void)state;
  assert_runs("local co = coroutine.create(function()\n"
              "  pcall(function()\n"
              "    stop()\n"
              "  end)\n"
              "  assert(not debug.gethook())\n"
              "  coroutine.yield()\n"
              "  return 'alive'\n"
              "end)\n"
              "local main = coroutine.running()\n"
              "assert(coroutine.resume(co))\n"
              "assert(not debug.gethook(co) and not debug.gethook(main))\n"
              "assert(select(2, coroutine.resume(co)) == 'alive')\n");
}

static void test_states(void **state) {
  (void)state;
  lua_settop(other, 0);
  lp__running_hook(&of_other);
  assert_runs("assert(runs((coroutine.running())))");
  assert_true(of_other.hooked);
  assert_int_not_equal(luaL_dostring(other, "local x = 1"), LUA_OK);
  assert_string_equal(lua_tostring(other, -1), "stopped");
  assert_false(of_other.hooked);
}

static volatile int left;

static void on_signal(int number) {
  (void)number;
  lp__running_hook(&of_L);
  left--;
}

static int signals_left(lua_State *in) {
  lua_pushinteger(in, left);
  return 1;
}

static void set_timer(int microseconds) {
  struct itimerval timer = {{0, microseconds}, {0, microseconds}};
  setitimer(ITIMER_REAL, &timer, NULL);
}

/* Signals at any point of switching. */
static void test_races(void **state) {
  struct sigaction action = {.sa_handler = on_signal}, before;
  (void)state;
  left = SIGNALS;
  lua_register(L, "left", signals_left);
  sigaction(SIGALRM, &action, &before);
  lua_settop(L, 0);
  assert_int_equal(
      luaL_loadstring(
          L, "local function once()\n"
             "  local co = coroutine.wrap(function()\n"
             "    local x <close> = setmetatable({}, {__close = "
             "function() end})\n"
             "    while true do pcall(coroutine.yield) end\n"
             "  end)\n"
             "  for _ = 1, 10 do co() end\n"
             "  local co = coroutine.create(function() coroutine.yield() end)\n"
             "  coroutine.resume(co) coroutine.close(co)\n"
             "end\n"
             "while left() > 0 do pcall(pcall, once) end\n"),
      LUA_OK);
  set_timer(MICROSECONDS);
  while (left > 0) {
    lua_pushvalue(L, 1);
    lua_pcall(L, 0, 0, 0);
    lua_settop(L, 1);
  }
  set_timer(0);
  sigaction(SIGALRM, &before, NULL);
  lp__running_unhook(&of_L);
  assert_runs("assert(runs((coroutine.running())))");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_notes, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_reaches, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_leaves_nothing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_states, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_races, set_up, tear_down),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
