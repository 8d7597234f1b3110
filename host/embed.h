/* The Lua library inside the program. `make build` compiles every file under
 * lua/lambdapool/ (host/embed.lua does) into build/embed.c, which defines the
 * table below. The bytes are constant and live as long as the program. */
#ifndef LP_EMBED_H
#define LP_EMBED_H

#include <stddef.h>

struct lp__module {
  const char *name;           /* as for require: "lambdapool.pool" */
  const unsigned char *bytes; /* precompiled, with line numbers and names */
  size_t size;
};

/* Sorted by name; the last entry has a NULL name. */
extern const struct lp__module lp__modules[];

#endif
