#include "canonical.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool lp__span_is(struct lp__span span, const char *text) {
  size_t size = strlen(text);
  return span.size == size && memcmp(span.at, text, size) == 0;
}

bool lp__span_next(struct lp__span *rest, char separator,
                   struct lp__span *piece) {
  if (!rest->at)
    return false;
  const char *end = memchr(rest->at, separator, rest->size);
  piece->at = rest->at;
  piece->size = end ? (size_t)(end - rest->at) : rest->size;
  rest->at = end ? end + 1 : NULL;
  rest->size -= piece->size + (end ? 1 : 0);
  return true;
}

/* Sets the top bit of at least one byte when one of eight is not plain:
 * subtracting borrows from the top bit of those below '!', adding one carries
 * into that of DEL, and the others above have it. */
static uint64_t odd_bytes(const char *at) {
  const uint64_t ones = 0x0101010101010101;
  uint64_t bytes;
  memcpy(&bytes, at, sizeof bytes);
  return (bytes - ones * 0x21) | (bytes + ones) | bytes;
}

bool lp__span_is_plain(struct lp__span span) {
  const uint64_t tops = 0x8080808080808080;
  char padded[8];
  uint64_t odd = 0;
  if (span.size < sizeof padded) {
    memset(padded, '!', sizeof padded);
    memcpy(padded, span.at, span.size);
    return (odd_bytes(padded) & tops) == 0;
  }
  for (size_t i = 0; i < span.size - sizeof padded; i += sizeof padded)
    odd |= odd_bytes(span.at + i);
  odd |= odd_bytes(span.at + span.size - sizeof padded);
  return (odd & tops) == 0;
}

int lp__text_reserve(struct lp__text *text, size_t capacity) {
  if (text->capacity >= capacity)
    return 0;
  char *bytes = realloc(text->at, capacity);
  if (!bytes)
    return -1;
  text->at = bytes;
  text->capacity = capacity;
  return 0;
}

void lp__canonical_free(struct lp__canonical *canonical) {
  free(canonical->text.at);
  free(canonical->encoded.at);
  free(canonical->positions.at);
}

static char *put(char *out, struct lp__span span) {
  memcpy(out, span.at, span.size);
  return out + span.size;
}

/* --- encoding ------------------------------------------------------------ */

/* Letters, digits and -._~, which stand for themselves. */
static const char unreserved[256] = {
    ['-'] = 1, ['.'] = 1, ['_'] = 1, ['~'] = 1, ['0'] = 1, ['1'] = 1, ['2'] = 1,
    ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1,
    ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['G'] = 1,
    ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1,
    ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,
    ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['a'] = 1, ['b'] = 1,
    ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1,
    ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1,
    ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1,
    ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

static char *put_encoded(char *out, unsigned char c) {
  static const char digits[] = "0123456789ABCDEF";
  if (unreserved[c]) {
    *out++ = (char)c;
  } else {
    *out++ = '%';
    *out++ = digits[c >> 4];
    *out++ = digits[c & 15];
  }
  return out;
}

char *lp__span_encode(char *out, struct lp__span span) {
  for (size_t i = 0; i < span.size; i++)
    out = put_encoded(out, (unsigned char)span.at[i]);
  return out;
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c = (char)(c | 32);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes one byte of a query off the front of a span that is not empty. */
static unsigned char next_byte(struct lp__span *span) {
  unsigned char c = (unsigned char)*span->at++;
  span->size--;
  if (c == '+')
    return ' ';
  if (c != '%' || span->size < 2)
    return c;
  int high = hex_value(span->at[0]), low = hex_value(span->at[1]);
  if (high < 0 || low < 0)
    return c;
  span->at += 2;
  span->size -= 2;
  return (unsigned char)(high << 4 | low);
}

char *lp__query_decode(char *out, struct lp__span span) {
  while (span.size > 0)
    *out++ = (char)next_byte(&span);
  return out;
}

/* --- path ---------------------------------------------------------------- */

/* Goes back to before the last "/name" of what begins at `start`. */
static char *parent(char *start, char *end) {
  while (end > start && *--end != '/')
    ;
  return end;
}

/* Whether a name is `dots`: few names begin with one. */
static bool is_dots(struct lp__span name, const char *dots) {
  return *name.at == '.' && lp__span_is(name, dots);
}

static char *put_name(char *out, struct lp__span name, bool as_is) {
  return as_is ? put(out, name) : lp__span_encode(out, name);
}

/* At most 3 bytes for each, and one. */
static char *put_resolved(char *out, struct lp__span path, bool as_is) {
  char *start = out;
  struct lp__span rest = path, name;
  while (lp__span_next(&rest, '/', &name)) {
    if (name.size == 0 || is_dots(name, "."))
      continue;
    if (is_dots(name, "..")) {
      out = parent(start, out);
      continue;
    }
    *out++ = '/';
    out = put_name(out, name, as_is);
  }
  if (out == start || path.at[path.size - 1] == '/')
    *out++ = '/';
  return out;
}

/* At most 3 bytes for each, and one. */
static char *put_path(char *out, struct lp__span path,
                      const struct lp__canonical_rules *rules) {
  struct lp__span rest = path, name;
  if (!rules->with_dots)
    return put_resolved(out, path, rules->path_as_is);
  while (lp__span_next(&rest, '/', &name)) {
    if (name.at > path.at)
      *out++ = '/';
    out = put_name(out, name, rules->path_as_is);
  }
  return out;
}

/* --- query --------------------------------------------------------------- */

struct parameter {
  struct lp__span name, value;
};

struct lp__span lp__request_query(const struct lp__request *request) {
  struct lp__span query = {request->target + request->path_size,
                           request->target_size - request->path_size};
  if (query.size > 0) { /* the "?" */
    query.at++;
    query.size--;
  }
  return query;
}

static int compare_spans(struct lp__span a, struct lp__span b) {
  int order = memcmp(a.at, b.at, a.size < b.size ? a.size : b.size);
  return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_parameters(const void *a, const void *b) {
  const struct parameter *first = a, *second = b;
  int order = compare_spans(first->name, second->name);
  return order ? order : compare_spans(first->value, second->value);
}

/* Encodes `span` anew at *out, moves that on, and returns where it is. */
static struct lp__span recode(char **out, struct lp__span span) {
  struct lp__span result = {*out, 0};
  while (span.size > 0)
    *out = put_encoded(*out, next_byte(&span));
  result.size = (size_t)(*out - result.at);
  return result;
}

static size_t count(struct lp__span span, char c) {
  size_t found = 0;
  for (size_t i = 0; i < span.size; i++)
    found += span.at[i] == c;
  return found;
}

/* Encodes the parameters of a query and sorts them.  Their number, or -1
 * without memory. */
static long read_parameters(struct lp__canonical *canonical,
                            struct lp__span query, bool without_signature,
                            struct parameter **list) {
  struct lp__span piece, name, value;
  long found = 0;
  if (query.size == 0)
    return 0;
  size_t most = count(query, '&') + 1;
  if (lp__text_reserve(&canonical->encoded, query.size * 3 + 1) < 0 ||
      lp__text_reserve(&canonical->positions, most * sizeof **list) < 0)
    return -1;
  *list = (struct parameter *)(void *)canonical->positions.at;
  char *out = canonical->encoded.at;
  while (lp__span_next(&query, '&', &piece)) {
    value = piece;
    lp__span_next(&value, '=', &name);
    if (piece.size == 0 ||
        (without_signature && lp__span_is(name, "X-Amz-Signature")))
      continue;
    (*list)[found].name = recode(&out, name);
    (*list)[found++].value = recode(&out, value);
  }
  qsort(*list, (size_t)found, sizeof **list, compare_parameters);
  return found;
}

/* At most 3 bytes for each, and two for each parameter. */
static char *put_parameters(char *out, const struct parameter *list,
                            long total) {
  for (long i = 0; i < total; i++) {
    if (i > 0)
      *out++ = '&';
    out = put(out, list[i].name);
    *out++ = '=';
    out = put(out, list[i].value);
  }
  return out;
}

/* --- fields -------------------------------------------------------------- */

static bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/* At most as many bytes. */
static char *put_trimmed(char *out, const char *value, size_t size) {
  bool gap = false;
  char *start = out;
  if (lp__span_is_plain((struct lp__span){value, size}))
    return put(out, (struct lp__span){value, size});
  for (size_t i = 0; i < size; i++) {
    if (is_space(value[i])) {
      gap = out > start;
      continue;
    }
    if (gap)
      *out++ = ' ';
    gap = false;
    *out++ = value[i];
  }
  return out;
}

/* The line of all fields with this name. Nothing when there is none: what the
 * client signed was there.  At most the bytes of those fields, with two more
 * for each. */
static char *put_field(char *out, const struct lp__request *request,
                       struct lp__span name) {
  bool first = true;
  for (size_t i = 0; i < request->field_count; i++) {
    const struct lp__field *field = &request->fields[i];
    if (field->name_size != name.size ||
        memcmp(field->name, name.at, name.size) != 0)
      continue;
    if (first)
      out = put(out, name);
    *out++ = first ? ':' : ',';
    out = put_trimmed(out, field->value, field->value_size);
    first = false;
  }
  if (!first)
    *out++ = '\n';
  return out;
}

/* --- all ----------------------------------------------------------------- */

static size_t most_bytes(const struct lp__request *request,
                         const struct lp__canonical_rules *rules,
                         long parameters) {
  size_t size = strlen(request->method) + 3 * request->target_size +
                2 * (size_t)parameters + rules->names.size +
                rules->payload.size + 16;
  for (size_t i = 0; i < request->field_count; i++)
    size += request->fields[i].name_size + request->fields[i].value_size + 2;
  return size;
}

int lp__canonical_write(struct lp__canonical *canonical,
                        const struct lp__request *request,
                        const struct lp__canonical_rules *rules) {
  struct lp__span path = {request->target, request->path_size};
  struct lp__span method = {request->method, strlen(request->method)};
  struct lp__span rest = rules->names, name;
  struct parameter *list = NULL;
  long parameters = read_parameters(canonical, lp__request_query(request),
                                    rules->without_signature, &list);
  if (parameters < 0 ||
      lp__text_reserve(&canonical->text,
                       most_bytes(request, rules, parameters)) < 0)
    return -1;
  char *out = put(canonical->text.at, method);
  *out++ = '\n';
  out = put_path(out, path, rules);
  *out++ = '\n';
  out = put_parameters(out, list, parameters);
  *out++ = '\n';
  while (lp__span_next(&rest, ';', &name))
    out = put_field(out, request, name);
  *out++ = '\n';
  out = put(out, rules->names);
  *out++ = '\n';
  out = put(out, rules->payload);
  canonical->text.size = (size_t)(out - canonical->text.at);
  return 0;
}
