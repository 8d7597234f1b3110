/*
 * Reading and cutting what lua_dump writes.
 *
 * A Lua 5.4 binary chunk (ldump.c, lundump.c of 5.4.0 to 5.4.7) is a header of
 * 31 bytes, one byte with the number of upvalues of the main function, and the
 * main function:
 *
 *   source     string, NULL when it is that of the enclosing function
 *   lines      size linedefined, size lastlinedefined
 *   shape      byte numparams, byte is_vararg, byte maxstacksize
 *   code       size n, n instructions of 4 bytes
 *   constants  size n, n times a type byte and its value
 *   upvalues   size n, n times (instack, index, kind) bytes
 *   functions  size n, n functions
 *   debug      size n, n line deltas of a byte; size n, n (pc, line) sizes;
 *              size n, n local variables (string, size, size);
 *              size n, n upvalue names (string)
 *
 * A size is base 128, high digits first, the last byte marked with 0x80; a
 * string is its length plus one as a size, and its bytes (0 is NULL).
 *
 * Apart from the source name, the bytes of a function do not depend on where
 * it stands: equal bytes are equal code, constants, lines and names.  That is
 * how a running function is found in a chunk compiled anew, and why cutting
 * one out and giving it a header makes a chunk of its own.
 *
 * Only bytes that lua_dump of this very process wrote are ever read here;
 * lengths are checked all the same.
 */
#ifndef LP__PROTOTYPE_H
#define LP__PROTOTYPE_H

#include <stddef.h>
#include <stdint.h>

enum { LP__CHUNK_HEADER = 31 };

struct lp__bytes {
  const unsigned char *at;
  const unsigned char *end;
};

/* One function of a binary chunk; every pointer is into the chunk. */
struct lp__proto {
  struct lp__bytes whole;
  struct lp__bytes source; /* empty when NULL */
  struct lp__bytes body;   /* everything behind the source name */
  unsigned line, last_line;
  struct lp__bytes code; /* instructions, 4 bytes each */
  struct lp__bytes constants;
  size_t constant_count;
  struct lp__bytes upvalues; /* 3 bytes each */
  struct lp__bytes children; /* functions, one behind the other */
  size_t child_count;
  size_t line_count; /* 0: stripped */
  size_t parameter_count;
  struct lp__bytes names; /* of the upvalues: strings */
  size_t name_count;
};

/* Reads the function at *at and moves behind it.  Returns 0, or -1 when the
 * bytes are no function. */
int lp__proto_read(struct lp__bytes *at, struct lp__proto *proto);

/* Reads the main function of a whole binary chunk. */
int lp__proto_main(const void *chunk, size_t size, struct lp__proto *proto);

/* A string of the format: its bytes in *text (empty for NULL), *null told.
 * Moves `at` behind it.  Returns 0 or -1. */
int lp__proto_string(struct lp__bytes *at, struct lp__bytes *text, int *null);

/* A constant: the type byte in *type, for strings the bytes in *text. */
enum { LP__CONSTANT_SHORT = 0x04, LP__CONSTANT_LONG = 0x14 };
int lp__proto_constant(struct lp__bytes *at, int *type, struct lp__bytes *text);

/* Where a function stands in its chunk: the indexes (from 0) to walk down. */
struct lp__path {
  unsigned depth;
  unsigned index[250];
};

/* Finds the first function in `root` whose bytes behind the source name are
 * those of `wanted`.  Returns 1 and fills *path, 0 when there is none, -1 on
 * malformed bytes. */
int lp__proto_find(const struct lp__proto *root, struct lp__bytes wanted,
                   struct lp__path *path);

/* Walks `path` down from `root`.  Returns 0 or -1. */
int lp__proto_walk(const struct lp__proto *root, const struct lp__path *path,
                   struct lp__proto *found);

/* Whether two functions are the same but for how the outermost one gets its
 * upvalues (a slice declares them in another order). */
int lp__proto_same_code(const struct lp__proto *a, const struct lp__proto *b);

/* The size of the chunk that lp__proto_lift makes. */
size_t lp__proto_lift_size(const struct lp__proto *proto, size_t source_size);

/* Writes a binary chunk whose main function is `proto`: `header` is any
 * chunk's, `source` the chunk name it shall carry.  Returns its size. */
size_t lp__proto_lift(const struct lp__proto *proto, const void *header,
                      const char *source, size_t source_size,
                      unsigned char *out);

#endif
