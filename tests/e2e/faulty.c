/*
 * A C module that goes wrong in the ways in which C libraries do. The specs of
 * faults build it.
 */
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int luaopen_faulty(lua_State *L);

/* Takes memory until there is no more of it. */
static void take_all(void) {
  const size_t size = 1 << 20;
  void *block;
  while ((block = malloc(size)) != NULL)
    memset(block, 1, size);
}

static int raise_without_memory(lua_State *L) {
  take_all();
  return luaL_error(L, "no memory for a picture");
}

static int abort_without_memory(lua_State *L) {
  (void)L;
  take_all();
  abort();
}

static int segfault(lua_State *L) {
  (void)L;
  *(volatile int *)8 = 1;
  return 0;
}

/* Closes the descriptors from `first` on. */
static int close_all(lua_State *L) {
  int fd;
  for (fd = (int)luaL_checkinteger(L, 1); fd < 256; fd++)
    close(fd);
  return 0;
}

/* Ends the connections of this process, as a broken network would. */
static int disconnect(lua_State *L) {
  int fd;
  (void)L;
  for (fd = 3; fd < 256; fd++)
    shutdown(fd, SHUT_RDWR);
  return 0;
}

/* Says something else than HTTP on them. */
static int babble(lua_State *L) {
  static const char text[] = "what is this?\r\n\r\n";
  int fd;
  (void)L;
  for (fd = 3; fd < 256; fd++)
    send(fd, text, sizeof text - 1, MSG_NOSIGNAL);
  return 0;
}

/* Leaves a process behind that ignores that its parent has ended. */
static int leave_child(lua_State *L) {
  pid_t pid = fork();
  if (pid == 0) {
    sleep((unsigned)luaL_checkinteger(L, 1));
    _exit(0);
  }
  lua_pushinteger(L, pid);
  return 1;
}

int luaopen_faulty(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"raise_without_memory", raise_without_memory},
      {"abort_without_memory", abort_without_memory},
      {"segfault", segfault},
      {"close_all", close_all},
      {"disconnect", disconnect},
      {"babble", babble},
      {"leave_child", leave_child},
      {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
