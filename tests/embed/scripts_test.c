/*
 * Scripts in the host's own state (lp_run) that break what they find: after
 * each the host goes on, and its tasks too.
 */
#define _GNU_SOURCE
#include "guest.h"

static lp_host *host;

static void goes_on(void) {
  KIND(guest_end_of(host, "return 1"), LP_DONE);
}

static void fails(const char *source, const char *words) {
  struct lp_task task = guest_task(source);
  const struct lp_result *result = NULL;
  EQUAL(lp_run(host, &task, &result), LP_ELUA);
  HAS(lp_error(host), words);
  CHECK(result != NULL);
  KIND(result, LP_ERROR);
  HAS(result->message, words);
  EQUAL(result->count, 0);
  EQUAL(result->task, 0);
}

static void errors(void) {
  host = guest_open();
  fails("error('no luck')", "no luck");
  fails("error({})", "table");
  fails("error()", "nil");
  fails("error(setmetatable({}, {__tostring = error}))", "");
  fails("error(setmetatable({}, {__tostring = function() return 1 end}))", "");
  fails("local function f() return 1 + f() end f()", "stack overflow");
  fails("local t = setmetatable({}, {}) getmetatable(t).__index = t\n"
        "return t.x",
        "loop");
  fails("('x'):rep(1 << 45)", "");
  fails("coroutine.yield()", "coroutine");
  fails("coroutine.wrap(error)('inside')", "inside");
  fails("debug.sethook(function() error('hooked') end, '', 1) return 1",
        "hooked");
  goes_on();
  lp_close(host);
}

static void exits(void) {
  host = guest_open();
  fails("os.exit(3)", "exit");
  fails("os.exit()", "exit");
  fails("os.exit(true, true)", "exit");
  fails("coroutine.wrap(os.exit)(0)", "exit");
  guest_run(host, "setmetatable({}, {__gc = os.exit}) collectgarbage()");
  guest_run(host, "pcall(os.exit) setmetatable({}, {__gc = os.exit})");
  goes_on();
  lp_close(host);
}

/* Each of them in a host of its own: nothing that a script can do to its state
 * may break tasks, polling, or closing. */
static void vandals(void) {
  static const char *const scripts[] = {
      "for k in pairs(_G) do _G[k] = nil end",
      "for k in pairs(package.loaded) do package.loaded[k] = nil end",
      "pcall, error, next, pairs, type, select, tostring = 1, 2, 3, 4, 5, 6, 7",
      "setmetatable(_G, {__index = error, __newindex = error})",
      "debug.setmetatable(nil, {__index = function() return 1 end})",
      "debug.setmetatable(1, {__call = error, __index = error})",
      "debug.setmetatable(print, {__index = error, __call = error})",
      "coroutine.create = nil coroutine.wrap = error coroutine = nil",
      "require = error load = error loadstring = nil dofile = nil",
      "math.random = error math = nil",
      "collectgarbage('stop')",
      "collectgarbage('generational')",
      "collectgarbage('incremental', 1000, 1, 1)",
      "local t = {} function t.__gc() setmetatable({}, t) end t.__gc()",
      "setmetatable({}, {__gc = error})",
      "warn('@on') warn = nil print = nil io = nil",
      "io.stdin:close()",
  };
  size_t i;
  for (i = 0; i < COUNT(scripts); i++) {
    struct lp_task task = guest_task(scripts[i]);
    host = guest_open();
    lp_run(host, &task, NULL);
    goes_on();
    OK(host, lp_close(host));
  }
}

/* These break what everything is made of: all that is asked of the host is that
 * it says so, that what was submitted ends, and that it closes. */
static void worse_vandals(void) {
  static const char *const scripts[] = {
      "for k, v in pairs(string) do string[k] = error end",
      "for k, v in pairs(table) do table[k] = nil end",
      "for k in pairs(package) do package[k] = 1 end",
      "for k in pairs(os) do os[k] = nil end",
      "for k in pairs(math) do math[k] = nil end",
      "for k in pairs(coroutine) do coroutine[k] = error end",
      "debug.setmetatable('', nil)",
      "debug.setmetatable('', {__index = error})",
      "setmetatable(package.loaded, {__index = error, __newindex = error})",
      "local r = debug.getregistry() for k in pairs(r) do r[k] = nil end",
  };
  size_t i;
  for (i = 0; i < COUNT(scripts); i++) {
    struct lp_task task = guest_task("return 1");
    host = guest_open();
    lp_submit(host, &task, NULL);
    task.source = scripts[i];
    lp_run(host, &task, NULL);
    lp_submit(host, &task, NULL);
    if (lp_wait(host, 0, 10000000) == LP_ETIMEDOUT)
      FAIL("no end after '%s'", scripts[i]);
    OK(host, lp_close(host));
  }
}

/* Scripts that fan out, and leave pools and futures open. */
static void pools_that_are_left(void) {
  static const char *const scripts[] = {
      "pool = require('lambdapool').pool { workers = 2 }",
      "pool = require('lambdapool').pool { workers = 2 } "
      "future = pool:apply_async(function() while true do end end)",
      "require('lambdapool').pool { workers = 2 }:apply_async("
      "function() return 1 end)",
      "executor = require('lambdapool').executor { workers = 1 } "
      "for i = 1, 100 do executor:submit(function() return 1 end) end",
      "co = coroutine.wrap(function() local p <close> = "
      "require('lambdapool').pool { workers = 1 } coroutine.yield() end) co()",
      "local p = require('lambdapool').pool { workers = 2 } "
      "error('in the middle')",
      "local p <close> = require('lambdapool').pool { workers = 2 } "
      "p:apply_async(function() while true do end end) p:terminate()",
  };
  size_t i;
  for (i = 0; i < COUNT(scripts); i++) {
    struct lp_task task = guest_task(scripts[i]);
    host = guest_open();
    lp_run(host, &task, NULL);
    goes_on();
    lp_poll(host, 1000);
    lp_run(host,
           &(struct lp_task){.size = sizeof task,
                             .source = "collectgarbage()",
                             .retries = -1},
           NULL);
    goes_on();
    OK(host, lp_close(host));
  }
}

static void fan_out(void) {
  const struct lp_result *result;
  host = guest_open();
  guest_submit(host, "return 'from C'");
  result = guest_run(host, "local lambdapool = require 'lambdapool'\n"
                           "local pool <close> = lambdapool.pool()\n"
                           "local sum = 0\n"
                           "for _, x in pool:imap(function(x) return x * x "
                           "end, {1, 2, 3, 4}) do sum = sum + x end\n"
                           "return sum");
  EQUAL(result->values[0].integer, 30);
  OK(host, lp_wait(host, 0, -1));
  EQUAL(lp_next(host, &result), 1);
  SAME(result->values[0].bytes, "from C");
  lp_close(host);
}

/* What tasks use of the state travels as it is when they are submitted. */
static void what_travels(void) {
  struct lp_task task = guest_task(NULL);
  lp_id id;
  host = guest_open();
  guest_run(host, "scale = 2 function twice(x) return x * scale end");
  task.function = "twice";
  task.args = &(struct lp_value){LP_INTEGER, 20, 0, NULL, 0};
  task.count = 1;
  id = guest_submit_with(host, &task);
  guest_run(host, "scale = 1000 twice = nil");
  RETURNS(guest_result(host, id), 40);
  EQUAL(lp_submit(host, &task, &id), LP_ELUA);
  RETURNS(guest_end_of(host, "return scale"), 1000);
  RETURNS(guest_end_of(host, "scale = 1 return scale"), 1);
  RETURNS(guest_run(host, "return scale"), 1000);
  lp_close(host);
}

static void what_does_not(void) {
  static const char *const sources[] = {"return co", "return file:read()",
                                        "return nested.a.b.c", "return up()"};
  size_t i;
  host = guest_open();
  guest_run(host, "co = coroutine.create(print) file = io.tmpfile()\n"
                  "nested = {a = {b = {c = co}}}\n"
                  "local hidden = co function up() return hidden end");
  for (i = 0; i < COUNT(sources); i++) {
    struct lp_task task = guest_task(sources[i]);
    EQUAL(lp_submit(host, &task, NULL), LP_ELUA);
    CHECK(lp_error(host)[0] != 0);
  }
  EQUAL(lp_wait(host, 0, -1), LP_OK);
  goes_on();
  lp_close(host);
}

/* Modules of C need a Lua that the process exports: this one does not. */
static void modules_of_c(void) {
  host = guest_open();
  fails("package.cpath = '/nowhere/?.so' require 'nothing_like_it'",
        "nothing_like_it");
  fails("assert(package.loadlib('/nowhere/x.so', 'luaopen_x'))", "");
  guest_run(host, "package.loadlib('libm.so.6', '*')");
  goes_on();
  lp_close(host);
}

static void a_script_from_a_file(void) {
  char name[] = "/tmp/guest.XXXXXX";
  static const char text[] = "#!/usr/bin/lambdapool\nreturn 6 * 7, ...\n";
  struct lp_task task = guest_task(NULL);
  const struct lp_result *result;
  int fd = mkstemp(name);
  CHECK(write(fd, text, sizeof text - 1) == sizeof text - 1);
  close(fd);
  host = guest_open();
  task.file = name;
  OK(host, lp_run(host, &task, &result));
  EQUAL(result->values[0].integer, 42);
  RETURNS(guest_result(host, guest_submit_with(host, &task)), 42);
  unlink(name);
  EQUAL(lp_run(host, &task, &result), LP_ELUA);
  lp_close(host);
}

/* Results are lent until the next call that may change them. */
static void results_are_lent(void) {
  const struct lp_result *result;
  struct lp_task broken = guest_task("this is not Lua");
  struct lp_stats stats;
  lp_host *other = guest_open();
  host = guest_open();
  result = guest_run(host, "return ('x'):rep(100000), {1, 2, 3}");
  lp_get_stats(host, &stats, sizeof stats);
  lp_state(host, 1);
  lp_wake(host);
  lp_error(host);
  guest_run(other, "collectgarbage()");
  EQUAL(result->values[0].size, 100000);
  EQUAL(strlen(result->values[0].bytes), 100000);
  SAME(result->values[1].bytes, "[1,2,3]");
  EQUAL(lp_run(host, &broken, &result), LP_ELUA);
  EQUAL(lp_register(host, "no name", NULL, NULL), LP_EINVAL);
  HAS(lp_error(host), "a name must be");
  HAS(result->message, "syntax error");
  lp_close(other);
  lp_close(host);
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"errors of any kind", errors},
      {"os.exit raises", exits},
      {"vandals", vandals},
      {"worse vandals", worse_vandals},
      {"pools that are left open", pools_that_are_left},
      {"scripts that fan out", fan_out},
      {"what travels", what_travels},
      {"what does not", what_does_not},
      {"modules of C", modules_of_c},
      {"a script from a file", a_script_from_a_file},
      {"results are lent", results_are_lent}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
