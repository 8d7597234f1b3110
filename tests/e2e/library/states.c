/*
 * A program with Lua states of its own, in which scripts require lambdapool.
 *
 *   states run FILE         one state
 *   states threads N FILE   N states, each on a thread of its own
 *   states turns N FILE     N states on one thread: the function that FILE
 *                           returns is called in turn, until it returns false
 *   states close N FILE     a state that is closed after FILE, N times
 *   states memory FILE      states whose allocators fail at the first time, the
 *                           second, the third, until FILE runs
 *
 * Scripts have wait(fd, milliseconds), which is poll(2), and in_child(f), which
 * forks, calls f in the child and closes the state there; it returns whether
 * all of that went well.
 *
 * No state may lose what is in its extra space, and none may leave anything
 * behind when it is closed.
 */
#include <dirent.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *message) {
  fprintf(stderr, "%s\n", message);
  exit(EXIT_FAILURE);
}

/* --- what scripts have --------------------------------------------------- */

/* Entries of a folder of /proc, without "." and "..". */
static int count_entries(const char *folder) {
  DIR *dir = opendir(folder);
  int count = -2;
  while (readdir(dir) != NULL)
    count++;
  closedir(dir);
  return count;
}

static int wait_for(lua_State *L) {
  struct pollfd fd = {.fd = (int)luaL_checkinteger(L, 1), .events = POLLIN};
  lua_pushboolean(L, poll(&fd, 1, (int)luaL_checkinteger(L, 2)) == 1 &&
                         (fd.revents & POLLIN));
  return 1;
}

static int in_child(lua_State *L) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    alarm(30);
    status = lua_pcall(L, 0, 0, 0);
    if (status != LUA_OK)
      fprintf(stderr, "%s\n", lua_tostring(L, -1));
    lua_close(L);
    _exit(status);
  }
  lua_pushboolean(L, waitpid(pid, &status, 0) == pid && status == 0);
  return 1;
}

/* --- states -------------------------------------------------------------- */

static void *mark(lua_State *L) {
  return (char *)L + 1;
}

static int open_libraries(lua_State *L) {
  luaL_openlibs(L);
  lua_register(L, "wait", wait_for);
  lua_register(L, "in_child", in_child);
  return 0;
}

/* load_and_run(file) -> what it returns */
static int load_and_run(lua_State *L) {
  if (luaL_loadfile(L, lua_touserdata(L, 1)) != LUA_OK)
    return lua_error(L);
  lua_call(L, 0, 1);
  return 1;
}

/* Runs `file` and leaves what it returns on the stack. */
static int run_file(lua_State *L, const char *file) {
  lua_pushcfunction(L, load_and_run);
  lua_pushlightuserdata(L, (void *)file);
  return lua_pcall(L, 1, 1, 0);
}

static lua_State *open_state(const char *file) {
  lua_State *L = luaL_newstate();
  void *own = mark(L);
  memcpy(lua_getextraspace(L), &own, sizeof own);
  open_libraries(L);
  if (run_file(L, file) != LUA_OK)
    fail(lua_tostring(L, -1));
  return L;
}

static void close_state(lua_State *L) {
  void *own = mark(L);
  if (memcmp(lua_getextraspace(L), &own, sizeof own) != 0)
    fail("the extra space is not what it was");
  lua_close(L);
}

static void run(const char *file) {
  close_state(open_state(file));
}

static void *run_in_thread(void *file) {
  run(file);
  return NULL;
}

static void run_in_threads(int count, char *file) {
  pthread_t threads[64];
  int i;
  for (i = 0; i < count; i++)
    pthread_create(&threads[i], NULL, run_in_thread, file);
  for (i = 0; i < count; i++)
    pthread_join(threads[i], NULL);
}

/* Calls what the file has returned. Whether it wants to be called again. */
static int take_turn(lua_State *L) {
  int again;
  lua_pushvalue(L, -1);
  if (lua_pcall(L, 0, 1, 0) != LUA_OK)
    fail(lua_tostring(L, -1));
  again = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return again;
}

static void run_in_turns(int count, const char *file) {
  lua_State *states[64];
  int i, left = count;
  for (i = 0; i < count; i++)
    states[i] = open_state(file);
  while (left > 0)
    for (i = 0; i < count; i++)
      if (states[i] != NULL && !take_turn(states[i])) {
        close_state(states[i]);
        states[i] = NULL;
        left--;
      }
}

/* --- an allocator that fails --------------------------------------------- */

static long left; /* allocations until it does; for ever when it is negative */

static void *allocate(void *data, void *block, size_t old, size_t size) {
  (void)data, (void)old;
  if (size == 0) {
    free(block);
    return NULL;
  }
  if ((block == NULL || size > old) && left >= 0 && left-- == 0) {
    left = 0;
    return NULL;
  }
  return realloc(block, size);
}

/* Fails from the nth allocation on, and then, with memory, goes on as if
 * nothing had been. Whether the n allocations were enough. */
static int run_short_of_memory(long n, const char *file) {
  lua_State *L;
  int enough;
  left = -1;
  L = lua_newstate(allocate, NULL);
  open_libraries(L);
  left = n;
  enough = run_file(L, file) == LUA_OK;
  left = -1;
  lua_settop(L, 0);
  if (run_file(L, file) != LUA_OK)
    fail(lua_tostring(L, -1));
  lua_close(L);
  return enough;
}

static void sweep(const char *file) {
  long n = 0;
  while (!run_short_of_memory(n, file))
    n += n < 200 ? 1 : 7;
}

/* --- all ----------------------------------------------------------------- */

int main(int argc, char **argv) {
  const char *what = argc > 2 ? argv[1] : "";
  char *file = argv[argc - 1];
  int count = atoi(argv[argc > 2 ? 2 : 0]), i;
  int descriptors = count_entries("/proc/self/fd");
  if (strcmp(what, "run") == 0)
    run(file);
  else if (strcmp(what, "threads") == 0)
    run_in_threads(count, file);
  else if (strcmp(what, "turns") == 0)
    run_in_turns(count, file);
  else if (strcmp(what, "memory") == 0)
    sweep(file);
  for (i = 0; strcmp(what, "close") == 0 && i < count; i++)
    run(file);
  if (count_entries("/proc/self/fd") != descriptors)
    fail("descriptors are left");
  if (count_entries("/proc/self/task") != 1)
    fail("threads are left");
  if (waitpid(-1, NULL, WNOHANG) != -1)
    fail("processes are left");
  puts("done");
  return EXIT_SUCCESS;
}
