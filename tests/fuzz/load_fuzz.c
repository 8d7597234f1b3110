/*
 * Loading hostile bytes.  The first byte of the input says how the rest is
 * used: as a body, as a whole dump whose checksum is made good, as the
 * response of a worker, or as the records that it kept, of a string or in a
 * block whose parts are lent.  Whatever loads is dumped again.  More memory
 * than the size of the input warrants is a crash.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "host/codec/call.h"
#include "host/codec/dump.h"
#include "host/codec/load.h"
#include "host/codec/seal.h"
#include "host/codec/wire.h"
#include "host/lent.h"
#include "host/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEPT = 0xf0, LENT = 0xf8 }; /* first bytes from here on: records */

enum { STATE_INPUTS = 2000, BASE_MEMORY = 64 << 20, MEMORY_PER_BYTE = 256 };

static size_t used, limit;

static void *allocate(void *context, void *block, size_t old, size_t new) {
  (void)context;
  if (block == NULL)
    old = 0; /* it is the kind of object then */
  if (new > 0 && new > old && used + new - old > limit) {
    fprintf(stderr, "%zu bytes in use, %zu more wanted\n", used, new - old);
    abort();
  }
  used += new - old;
  if (new == 0) {
    free(block);
    return NULL;
  }
  return realloc(block, new);
}

struct input {
  unsigned char *bytes;
  size_t size;
  int whole, lent;
};

static int load_input(lua_State *L) {
  const struct input *input = lua_touserdata(L, 1);
  struct lp__load_options options = {0, 0, 0, 0, 0};
  struct lp__bytes bytes = {input->bytes, input->bytes + input->size};
  return input->whole ? lp__load_values(L, bytes, &options)
                      : lp__load_body(L, bytes, &options);
}

static int dump_values(lua_State *L) {
  lp__dump_values(L, lua_gettop(L));
  return 1;
}

/* Loads, and dumps what came of it. */
static int use_values(lua_State *L) {
  int n;
  lua_pushcfunction(L, load_input);
  lua_pushvalue(L, 1);
  lua_call(L, 1, LUA_MULTRET);
  n = lua_gettop(L) - 1;
  lp__dump_call(L, dump_values, n, 1);
  return 0;
}

/* Upvalues: the response function and a code object. */
static int use_response(lua_State *L) {
  const struct input *input = lua_touserdata(L, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, "code");
  lua_pushcfunction(L, lp__call_response);
  lua_pushlstring(L, (const char *)input->bytes, input->size);
  lua_pushvalue(L, 2);
  lua_newtable(L);
  lua_newtable(L);
  lua_pushinteger(L, 0);
  lua_call(L, 5, 2);
  return 0;
}

/* Pushes what lends the input: a block that ends where it does. */
static void push_lent(lua_State *L, const struct input *input) {
  struct lp__block *block = lp__block_new(input->size);
  memcpy(block->bytes, input->bytes, input->size);
  lp__lent_push(L, block, block->bytes, input->size);
  lp__block_release(block);
}

static int use_kept(lua_State *L) {
  const struct input *input = lua_touserdata(L, 1);
  lua_pushcfunction(L, lp__call_kept);
  if (input->lent)
    push_lent(L, input);
  else
    lua_pushlstring(L, (const char *)input->bytes, input->size);
  lua_pushinteger(L, 1000);
  lua_newtable(L);
  lua_newtable(L);
  lua_pushinteger(L, 0);
  lua_pushinteger(L, 0);
  lua_pushnil(L);
  lua_pushboolean(L, input->lent);
  lua_call(L, 8, 2);
  return 0;
}

static int open_state(lua_State *L) {
  lp__state_open(L);
  luaL_loadstring(L, "return 1");
  lua_pushcfunction(L, lp__call_code);
  lua_insert(L, -2);
  lua_call(L, 1, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, "code");
  return 0;
}

static lua_State *state_for_input(void) {
  static lua_State *L;
  static unsigned inputs;
  if (L != NULL && ++inputs % STATE_INPUTS == 0) {
    lua_close(L);
    L = NULL;
  }
  if (L == NULL) {
    limit = SIZE_MAX;
    L = lua_newstate(allocate, NULL);
    lua_pushcfunction(L, open_state);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK)
      abort();
  }
  return L;
}

/* A dump's header in front of the bytes, made good. */
static void seal(struct input *input, const uint8_t *data, size_t size) {
  int flags = size > 0 ? data[0] & LP__COMPRESSED : 0;
  unsigned char *body = input->bytes + LP__HEADER_SIZE;
  size = size > 0 ? size - 1 : 0;
  memcpy(body, data + 1, size);
  memcpy(input->bytes, LP__MAGIC, 3);
  input->bytes[3] = LP__VERSION;
  input->bytes[4] = (unsigned char)flags;
  lp__put_u64(input->bytes + 5,
              XXH3_64bits_withSeed(body, size, (uint64_t)flags));
  input->size = LP__HEADER_SIZE + size;
}

/* A response's header and the hash of the code in front of the bytes. */
static void seal_response(lua_State *L, struct input *input,
                          const uint8_t *data, size_t size) {
  unsigned char *body = input->bytes + LP__HEADER_SIZE;
  lua_getfield(L, LUA_REGISTRYINDEX, "code");
  lua_rawgeti(L, -1, 2);
  memcpy(body, lua_tostring(L, -1), 16);
  lua_pop(L, 2);
  memcpy(body + 16, data, size);
  memcpy(input->bytes, LP__MAGIC, 3);
  input->bytes[3] = LP__VERSION;
  input->bytes[4] = 0;
  lp__put_u64(input->bytes + 5, XXH3_64bits_withSeed(body, size + 16, 0));
  input->size = LP__HEADER_SIZE + 16 + size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  lua_State *L = state_for_input();
  struct input input;
  lua_CFunction use = use_values;
  if (size == 0)
    return 0;
  input.bytes = malloc(size + 64);
  input.whole = data[0] % 3 == 1;
  input.lent = data[0] >= LENT;
  if (data[0] >= KEPT || data[0] % 3 == 0) {
    memcpy(input.bytes, data + 1, size - 1);
    input.size = size - 1;
    use = data[0] >= KEPT ? use_kept : use_values;
  } else if (data[0] % 3 == 1) {
    seal(&input, data + 1, size - 1);
  } else {
    seal_response(L, &input, data + 1, size - 1);
    use = use_response;
  }
  limit = used + BASE_MEMORY + MEMORY_PER_BYTE * size;
  lua_pushcfunction(L, use);
  lua_pushlightuserdata(L, &input);
  lua_pcall(L, 1, 0, 0);
  lua_settop(L, 0);
  lua_gc(L, LUA_GCSTEP, 0);
  free(input.bytes);
  return 0;
}
