/* Reading and cutting what lua_dump writes.  See prototype.h. */
#include "prototype.h"

#include <string.h>

static int read_size(struct lp__bytes *at, size_t *value) {
  size_t v = 0;
  while (at->at < at->end) {
    unsigned char byte = *at->at++;
    if (v >> (sizeof v * 8 - 7))
      return -1;
    v = (v << 7) | (byte & 0x7f);
    if (byte & 0x80) {
      *value = v;
      return 0;
    }
  }
  return -1;
}

static int skip(struct lp__bytes *at, size_t n) {
  if ((size_t)(at->end - at->at) < n)
    return -1;
  at->at += n;
  return 0;
}

/* A vector of `n` elements of `width` bytes each. */
static int read_vector(struct lp__bytes *at, size_t width,
                       struct lp__bytes *vector, size_t *n) {
  if (read_size(at, n) || *n > (size_t)(at->end - at->at) / width)
    return -1;
  vector->at = at->at;
  vector->end = at->at += *n * width;
  return 0;
}

int lp__proto_string(struct lp__bytes *at, struct lp__bytes *text, int *null) {
  size_t size;
  if (read_size(at, &size))
    return -1;
  *null = size == 0;
  text->at = text->end = at->at;
  if (size == 0)
    return 0;
  if (skip(at, size - 1))
    return -1;
  text->end = at->at;
  return 0;
}

int lp__proto_constant(struct lp__bytes *at, int *type,
                       struct lp__bytes *text) {
  int null;
  text->at = text->end = NULL;
  if (at->at >= at->end)
    return -1;
  *type = *at->at++;
  switch (*type) {
  case 0x00:
  case 0x01:
  case 0x11:
    return 0; /* nil, false, true */
  case 0x03:
  case 0x13:
    return skip(at, 8); /* integer, float */
  case LP__CONSTANT_SHORT:
  case LP__CONSTANT_LONG:
    return lp__proto_string(at, text, &null);
  default:
    return -1;
  }
}

static int read_shape(struct lp__bytes *at, struct lp__proto *p) {
  size_t line, last_line;
  if (read_size(at, &line) || read_size(at, &last_line))
    return -1;
  p->line = (unsigned)line;
  p->last_line = (unsigned)last_line;
  if (at->at >= at->end)
    return -1;
  p->parameter_count = *at->at;
  return skip(at, 3);
}

static int read_constants(struct lp__bytes *at, struct lp__proto *p) {
  size_t i;
  struct lp__bytes text;
  int type;
  if (read_size(at, &p->constant_count))
    return -1;
  p->constants.at = at->at;
  for (i = 0; i < p->constant_count; i++) {
    if (lp__proto_constant(at, &type, &text))
      return -1;
  }
  p->constants.end = at->at;
  return 0;
}

static int read_strings(struct lp__bytes *at, struct lp__bytes *vector,
                        size_t *n, size_t sizes_behind) {
  size_t i, j, ignored;
  struct lp__bytes text;
  int null;
  if (read_size(at, n))
    return -1;
  vector->at = at->at;
  for (i = 0; i < *n; i++) {
    if (lp__proto_string(at, &text, &null))
      return -1;
    for (j = 0; j < sizes_behind; j++) {
      if (read_size(at, &ignored))
        return -1;
    }
  }
  vector->end = at->at;
  return 0;
}

static int read_debug(struct lp__bytes *at, struct lp__proto *p) {
  struct lp__bytes ignored;
  size_t n, i, size;
  if (read_vector(at, 1, &ignored, &p->line_count))
    return -1;
  if (read_size(at, &n))
    return -1;
  for (i = 0; i < n; i++) { /* absolute line information */
    if (read_size(at, &size) || read_size(at, &size))
      return -1;
  }
  if (read_strings(at, &ignored, &n, 2))
    return -1; /* local variables */
  return read_strings(at, &p->names, &p->name_count, 0);
}

/* Called for every function, children first, the path to it in `path`.
 * Returns non-zero to stop. */
typedef int visitor(const struct lp__proto *p, const void *context);

struct walk {
  struct lp__path *path; /* may be NULL */
  visitor *visit;        /* may be NULL */
  const void *context;
  int stopped; /* what the visitor returned */
};

static int read_function(struct lp__bytes *at, struct lp__proto *p,
                         struct walk *walk, unsigned depth);

static int read_children(struct lp__bytes *at, struct lp__proto *p,
                         struct walk *walk, unsigned depth) {
  size_t i;
  if (read_size(at, &p->child_count))
    return -1;
  if (p->child_count &&
      depth + 1 >= sizeof walk->path->index / sizeof walk->path->index[0])
    return -1;
  p->children.at = at->at;
  for (i = 0; i < p->child_count; i++) {
    struct lp__proto child;
    if (walk->path)
      walk->path->index[depth] = (unsigned)i;
    if (read_function(at, &child, walk, depth + 1) || walk->stopped)
      return -1;
  }
  p->children.end = at->at;
  return 0;
}

/* Recursion is as deep as functions nest, which the compiler bounds by 200. */
static int read_function(struct lp__bytes *at, struct lp__proto *p,
                         struct walk *walk, unsigned depth) {
  size_t n;
  int null;
  p->whole.at = at->at;
  if (lp__proto_string(at, &p->source, &null))
    return -1;
  p->body.at = at->at;
  if (read_shape(at, p) || read_vector(at, 4, &p->code, &n) ||
      read_constants(at, p) || read_vector(at, 3, &p->upvalues, &n) ||
      read_children(at, p, walk, depth) || read_debug(at, p))
    return -1;
  p->whole.end = p->body.end = at->at;
  if (walk->visit) {
    if (walk->path)
      walk->path->depth = depth;
    walk->stopped = walk->visit(p, walk->context);
  }
  return 0;
}

int lp__proto_read(struct lp__bytes *at, struct lp__proto *proto) {
  struct walk walk = {NULL, NULL, NULL, 0};
  return read_function(at, proto, &walk, 0);
}

int lp__proto_main(const void *chunk, size_t size, struct lp__proto *proto) {
  struct lp__bytes at;
  at.at = chunk;
  at.end = at.at + size;
  if (skip(&at, LP__CHUNK_HEADER + 1))
    return -1;
  return lp__proto_read(&at, proto);
}

static size_t size_of(struct lp__bytes bytes) {
  return (size_t)(bytes.end - bytes.at);
}

static int equal(struct lp__bytes a, struct lp__bytes b) {
  return size_of(a) == size_of(b) && memcmp(a.at, b.at, size_of(a)) == 0;
}

static int is_wanted(const struct lp__proto *p, const void *context) {
  return equal(p->body, *(const struct lp__bytes *)context);
}

int lp__proto_find(const struct lp__proto *root, struct lp__bytes wanted,
                   struct lp__path *path) {
  struct walk walk = {path, is_wanted, &wanted, 0};
  struct lp__bytes at = root->whole;
  struct lp__proto p;
  int failed = read_function(&at, &p, &walk, 0);
  if (walk.stopped)
    return 1;
  return failed ? -1 : 0;
}

int lp__proto_walk(const struct lp__proto *root, const struct lp__path *path,
                   struct lp__proto *found) {
  unsigned depth, i;
  *found = *root;
  for (depth = 0; depth < path->depth; depth++) {
    struct lp__bytes at = found->children;
    if (path->index[depth] >= found->child_count)
      return -1;
    for (i = 0; i <= path->index[depth]; i++) {
      if (lp__proto_read(&at, found))
        return -1;
    }
  }
  return 0;
}

int lp__proto_same_code(const struct lp__proto *a, const struct lp__proto *b) {
  struct lp__bytes head_a = {a->body.at, a->upvalues.at};
  struct lp__bytes head_b = {b->body.at, b->upvalues.at};
  struct lp__bytes tail_a = {a->upvalues.end, a->body.end};
  struct lp__bytes tail_b = {b->upvalues.end, b->body.end};
  return size_of(a->upvalues) == size_of(b->upvalues) &&
         equal(head_a, head_b) && equal(tail_a, tail_b);
}

static unsigned char *put_size(unsigned char *out, size_t v) {
  unsigned char digits[10];
  unsigned n = 0;
  do {
    digits[n++] = (unsigned char)(v & 0x7f);
    v >>= 7;
  } while (v);
  digits[0] |= 0x80;
  while (n)
    *out++ = digits[--n];
  return out;
}

size_t lp__proto_lift_size(const struct lp__proto *proto, size_t source_size) {
  return LP__CHUNK_HEADER + 1 + 10 + source_size + size_of(proto->body);
}

size_t lp__proto_lift(const struct lp__proto *proto, const void *header,
                      const char *source, size_t source_size,
                      unsigned char *out) {
  unsigned char *at = out;
  memcpy(at, header, LP__CHUNK_HEADER);
  at += LP__CHUNK_HEADER;
  *at++ = (unsigned char)(size_of(proto->upvalues) / 3);
  at = put_size(at, source_size + 1);
  memcpy(at, source, source_size);
  at += source_size;
  memcpy(at, proto->body.at, size_of(proto->body));
  at += size_of(proto->body);
  return (size_t)(at - out);
}
