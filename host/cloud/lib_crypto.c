/*
 * The Lua module "lambdapool.crypto".
 *
 *   crypto.sha256(bytes) -> 64 hex digits
 *   crypto.sha256_base64(bytes)
 *   crypto.sha1(bytes) -> 40 hex digits        for names, it proves nothing
 *   crypto.file_sha256(path) -> 64 hex digits | nil, message, errno
 *   crypto.hmac(key, bytes) -> 32 bytes, with SHA-256
 *   crypto.base64(bytes) -> text, padded
 *   crypto.unbase64(text) -> bytes | nil       nothing but base64, padded
 *   crypto.crc32(bytes[, start]) -> integer    `start`: of the bytes before
 *   crypto.random(n) -> n bytes that nobody can foresee, at most 1 MB
 *   crypto.uuid() -> a random UUID
 *
 * and what lib_sigv4.c has.
 */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <zlib.h>

#include "base64.h"
#include "lambdapool.h"
#include "lib_sigv4.h"
#include "sha256.h"

LP_API int luaopen_lambdapool_crypto(lua_State *L);

#define MOST_RANDOM (1 << 20)

static void push_hex(lua_State *L, const unsigned char *digest) {
  char hex[LP__SHA256_HEX];
  lp__sha256_hex(hex, digest);
  lua_pushlstring(L, hex, sizeof hex);
}

static void push_base64(lua_State *L, const void *bytes, size_t size) {
  luaL_Buffer buffer;
  struct lp__base64 encoder = {.count = 0};
  char *start = luaL_buffinitsize(L, &buffer, lp__base64_size(size));
  char *end = lp__base64_encode(&encoder, start, bytes, size);
  end = lp__base64_finish(&encoder, end);
  luaL_pushresultsize(&buffer, (size_t)(end - start));
}

static int crypto_sha256(lua_State *L) {
  size_t size;
  unsigned char digest[LP__SHA256_SIZE];
  const char *bytes = luaL_checklstring(L, 1, &size);
  lp__sha256(digest, bytes, size);
  push_hex(L, digest);
  return 1;
}

static int crypto_sha256_base64(lua_State *L) {
  size_t size;
  unsigned char digest[LP__SHA256_SIZE];
  const char *bytes = luaL_checklstring(L, 1, &size);
  lp__sha256(digest, bytes, size);
  push_base64(L, digest, sizeof digest);
  return 1;
}

static int crypto_sha1(lua_State *L) {
  static const char digits[] = "0123456789abcdef";
  size_t size;
  unsigned char digest[SHA_DIGEST_LENGTH];
  char hex[2 * sizeof digest];
  const char *bytes = luaL_checklstring(L, 1, &size);
  SHA1((const unsigned char *)bytes, size, digest);
  for (size_t i = 0; i < sizeof digest; i++) {
    hex[2 * i] = digits[digest[i] >> 4];
    hex[2 * i + 1] = digits[digest[i] & 15];
  }
  lua_pushlstring(L, hex, sizeof hex);
  return 1;
}

/* 0 or an errno. */
static int digest_file(const char *path,
                       unsigned char digest[LP__SHA256_SIZE]) {
  char bytes[65536];
  SHA256_CTX state;
  size_t size;
  FILE *file = fopen(path, "rbe");
  if (!file)
    return errno;
  SHA256_Init(&state);
  while ((size = fread(bytes, 1, sizeof bytes, file)) > 0)
    SHA256_Update(&state, bytes, size);
  int status = ferror(file) ? errno : 0;
  fclose(file);
  SHA256_Final(digest, &state);
  return status;
}

static int crypto_file_sha256(lua_State *L) {
  unsigned char digest[LP__SHA256_SIZE];
  const char *path = luaL_checkstring(L, 1);
  int status = digest_file(path, digest);
  if (status) {
    errno = status;
    return luaL_fileresult(L, 0, path);
  }
  push_hex(L, digest);
  return 1;
}

static int crypto_hmac(lua_State *L) {
  size_t key_size, size;
  struct lp__hmac_key key;
  unsigned char digest[LP__SHA256_SIZE];
  const char *key_bytes = luaL_checklstring(L, 1, &key_size);
  const char *bytes = luaL_checklstring(L, 2, &size);
  lp__hmac_prepare(&key, key_bytes, key_size);
  lp__hmac(digest, &key, bytes, size);
  lua_pushlstring(L, (const char *)digest, sizeof digest);
  return 1;
}

static int crypto_base64(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size);
  push_base64(L, bytes, size);
  return 1;
}

static int crypto_unbase64(lua_State *L) {
  size_t size, written;
  luaL_Buffer buffer;
  const char *text = luaL_checklstring(L, 1, &size);
  char *bytes = luaL_buffinitsize(L, &buffer, size / 4 * 3 + 1);
  if (lp__base64_decode(bytes, text, size, &written) < 0) {
    luaL_pushfail(L);
    return 1;
  }
  luaL_pushresultsize(&buffer, written);
  return 1;
}

static int crypto_crc32(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size);
  lua_Integer start = luaL_optinteger(L, 2, 0);
  luaL_argcheck(L, start >= 0 && start <= 0xffffffff, 2,
                "must be an earlier result");
  lua_pushinteger(
      L, (lua_Integer)crc32_z((uLong)start, (const Bytef *)bytes, size));
  return 1;
}

/* Once the system has started, Linux always has some. */
static void fill_random(lua_State *L, void *bytes, size_t size) {
  char *out = bytes;
  while (size > 0) {
    ssize_t got = getrandom(out, size, 0);
    if (got < 0 && errno != EINTR)
      luaL_error(L, "no random bytes: %s", strerror(errno));
    out += got > 0 ? got : 0;
    size -= got > 0 ? (size_t)got : 0;
  }
}

static int crypto_random(lua_State *L) {
  luaL_Buffer buffer;
  lua_Integer size = luaL_checkinteger(L, 1);
  luaL_argcheck(L, size >= 0 && size <= MOST_RANDOM, 1, "is out of range");
  fill_random(L, luaL_buffinitsize(L, &buffer, (size_t)size), (size_t)size);
  luaL_pushresultsize(&buffer, (size_t)size);
  return 1;
}

/* --- UUIDs --------------------------------------------------------------- */

/* Random bytes for the next UUIDs: asking the system for each of them would
 * cost more than all the rest. Upvalue 1 of uuid(). */
struct pool {
  unsigned char bytes[1024];
  size_t used;
};

static int crypto_uuid(lua_State *L) {
  static const char digits[] = "0123456789abcdef";
  struct pool *pool = lua_touserdata(L, lua_upvalueindex(1));
  char text[36], *out = text;
  if (pool->used == sizeof pool->bytes) {
    fill_random(L, pool->bytes, sizeof pool->bytes);
    pool->used = 0;
  }
  unsigned char *id = pool->bytes + pool->used;
  pool->used += 16;
  id[6] = (unsigned char)((id[6] & 0x0f) | 0x40); /* version 4 */
  id[8] = (unsigned char)((id[8] & 0x3f) | 0x80); /* variant of RFC 4122 */
  for (int i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      *out++ = '-';
    *out++ = digits[id[i] >> 4];
    *out++ = digits[id[i] & 15];
  }
  lua_pushlstring(L, text, sizeof text);
  return 1;
}

/* Sets crypto.uuid in the table on top.  [-0, +0, m] */
static void add_uuid(lua_State *L) {
  struct pool *pool = lua_newuserdatauv(L, sizeof *pool, 0);
  pool->used = sizeof pool->bytes;
  lua_pushcclosure(L, crypto_uuid, 1);
  lua_setfield(L, -2, "uuid");
}

static const luaL_Reg functions[] = {
    {"sha256", crypto_sha256},     {"sha256_base64", crypto_sha256_base64},
    {"sha1", crypto_sha1},         {"file_sha256", crypto_file_sha256},
    {"hmac", crypto_hmac},         {"base64", crypto_base64},
    {"unbase64", crypto_unbase64}, {"crc32", crypto_crc32},
    {"random", crypto_random},     {NULL, NULL},
};

int luaopen_lambdapool_crypto(lua_State *L) {
  luaL_newlib(L, functions);
  add_uuid(L);
  lp__sigv4_add(L);
  return 1;
}
