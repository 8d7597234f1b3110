/* One HTTP request while it arrives. See http_reader.h. */
#define _GNU_SOURCE
#include "http_reader.h"

#include "memory.h"

#include <string.h>
#include <strings.h>

enum {
  TEXT_START = 2048,
  TEXT_KEPT = 16 * 1024, /* larger ones are freed between two requests */
  BODY_START = 64 * 1024,
  METHOD_MAX = 16,
  CHUNK_LINE_MAX = 1024 /* with its extensions */
};

/* Steps of a chunk. */
enum { SIZE, EXTENSION, SIZE_END, DATA, DATA_CR, DATA_LF };

/* --- characters ---------------------------------------------------------- */

/* The lower case of what may be in a token, else 0. */
static const char tokens[256] = {
    ['!'] = '!', ['#'] = '#',   ['$'] = '$', ['%'] = '%', ['&'] = '&',
    ['*'] = '*', ['\''] = '\'', ['+'] = '+', ['-'] = '-', ['.'] = '.',
    ['^'] = '^', ['_'] = '_',   ['`'] = '`', ['|'] = '|', ['~'] = '~',
    ['0'] = '0', ['1'] = '1',   ['2'] = '2', ['3'] = '3', ['4'] = '4',
    ['5'] = '5', ['6'] = '6',   ['7'] = '7', ['8'] = '8', ['9'] = '9',
    ['a'] = 'a', ['b'] = 'b',   ['c'] = 'c', ['d'] = 'd', ['e'] = 'e',
    ['f'] = 'f', ['g'] = 'g',   ['h'] = 'h', ['i'] = 'i', ['j'] = 'j',
    ['k'] = 'k', ['l'] = 'l',   ['m'] = 'm', ['n'] = 'n', ['o'] = 'o',
    ['p'] = 'p', ['q'] = 'q',   ['r'] = 'r', ['s'] = 's', ['t'] = 't',
    ['u'] = 'u', ['v'] = 'v',   ['w'] = 'w', ['x'] = 'x', ['y'] = 'y',
    ['z'] = 'z', ['A'] = 'a',   ['B'] = 'b', ['C'] = 'c', ['D'] = 'd',
    ['E'] = 'e', ['F'] = 'f',   ['G'] = 'g', ['H'] = 'h', ['I'] = 'i',
    ['J'] = 'j', ['K'] = 'k',   ['L'] = 'l', ['M'] = 'm', ['N'] = 'n',
    ['O'] = 'o', ['P'] = 'p',   ['Q'] = 'q', ['R'] = 'r', ['S'] = 's',
    ['T'] = 't', ['U'] = 'u',   ['V'] = 'v', ['W'] = 'w', ['X'] = 'x',
    ['Y'] = 'y', ['Z'] = 'z'};

static bool is_space(char c) {
  return c == ' ' || c == '\t';
}

static bool value_ok(const char *value, size_t size) {
  for (size_t i = 0; i < size; i++) {
    unsigned char c = (unsigned char)value[i];
    if ((c < 0x20 && c != '\t') || c == 0x7f)
      return false;
  }
  return true;
}

bool lp__field_ok(const struct lp__field *field) {
  for (size_t i = 0; i < field->name_size; i++)
    if (!tokens[(unsigned char)field->name[i]])
      return false;
  return field->name_size > 0 && value_ok(field->value, field->value_size);
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* --- the request line ---------------------------------------------------- */

/* Reduces http://host/path to /path, in place; the new size, or 0. */
static size_t reduce(char *target, size_t size) {
  size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                  : strncasecmp(target, "https://", 8) == 0 ? 8
                                                            : 0;
  size_t host = scheme ? strcspn(target + scheme, "/?") : 0;
  size_t start = scheme + host;
  if (host == 0)
    return 0;
  if (target[start] != '/')
    target[--start] = '/';
  memmove(target, target + start, size - start + 1);
  return size - start;
}

/* Looks at `size` bytes of target with a zero after them; the size to keep, or
 * 0 when it is none. */
static size_t check_target(char *target, size_t size, bool options) {
  for (size_t i = 0; i < size; i++)
    if ((unsigned char)target[i] <= ' ' || target[i] == 0x7f)
      return 0;
  if (target[0] == '/')
    return size;
  return size == 1 && target[0] == '*' && options ? 1 : reduce(target, size);
}

static int check_version(struct lp__reader *reader, const char *version) {
  if (strncmp(version, "HTTP/", 5) != 0 || strlen(version) != 8 ||
      version[6] != '.' || !strchr("0123456789", version[5]) ||
      !strchr("0123456789", version[7]))
    return -400;
  reader->old = version[7] == '0';
  return version[5] == '1' ? 0 : -505;
}

/* Any method will do, as long as it looks like one. */
static size_t method_size(const char *line) {
  size_t size = 0;
  while ((line[size] >= 'A' && line[size] <= 'Z') || line[size] == '-')
    size++;
  return size <= METHOD_MAX && line[size] == ' ' ? size : 0;
}

/* "METHOD target HTTP/1.1", with a zero after it. */
static int take_request_line(struct lp__reader *reader, char *line,
                             size_t size) {
  size_t method = method_size(line);
  char *target = line + method + 1;
  char *end = memrchr(line, ' ', size);
  if (method == 0 || end < target || memchr(line, '\0', size))
    return -400;
  *end = line[method] = '\0';
  int status = check_version(reader, end + 1);
  if (status < 0)
    return status;
  if (strcmp(line, "CONNECT") == 0)
    return -501;
  size_t target_size = check_target(target, (size_t)(end - target),
                                    strcmp(line, "OPTIONS") == 0);
  if (target_size == 0)
    return -400;
  reader->is_head = strcmp(line, "HEAD") == 0;
  reader->method_size = (uint16_t)method;
  reader->target_size = (uint16_t)target_size;
  reader->has_line = true;
  reader->text_size = method + 1 + target_size + 1;
  return 0;
}

/* --- fields -------------------------------------------------------------- */

static int take_length(struct lp__reader *reader, const char *value,
                       size_t size) {
  uint64_t length = 0;
  if (size == 0 || size > 18 || strspn(value, "0123456789") != size)
    return -400;
  for (size_t i = 0; i < size; i++)
    length = length * 10 + (uint64_t)(value[i] - '0');
  if (reader->has_length && length != reader->missing)
    return -400;
  reader->has_length = true;
  reader->missing = length;
  return 0;
}

static int take_encoding(struct lp__reader *reader, const char *value) {
  if (reader->chunked || reader->old)
    return -400;
  if (strcasecmp(value, "chunked") != 0)
    return -501;
  reader->chunked = true;
  return 0;
}

/* "close, TE" and the like. */
static int take_options(struct lp__reader *reader, const char *value) {
  while (*value) {
    size_t size = strcspn(value, ", \t");
    if (size == 5 && strncasecmp(value, "close", size) == 0)
      reader->close = true;
    if (size == 10 && strncasecmp(value, "keep-alive", size) == 0)
      reader->keep = true;
    value += size + (value[size] != '\0');
  }
  return 0;
}

/* What the fields say about the connection and the body. */
static int heed(struct lp__reader *reader, const char *name, size_t name_size,
                const char *value, size_t size) {
  switch (name_size) {
  case 4:
    reader->host_count += strcmp(name, "host") == 0;
    return reader->host_count > 1 ? -400 : 0;
  case 6:
    if (strcmp(name, "expect") == 0)
      reader->expects = strcasecmp(value, "100-continue") == 0;
    return 0;
  case 10:
    return strcmp(name, "connection") == 0 ? take_options(reader, value) : 0;
  case 14:
    return strcmp(name, "content-length") == 0
               ? take_length(reader, value, size)
               : 0;
  case 17:
    return strcmp(name, "transfer-encoding") == 0 ? take_encoding(reader, value)
                                                  : 0;
  default:
    return 0;
  }
}

/* "Name: value", with a zero after it, becomes name \0 value \0. */
static int take_field(struct lp__reader *reader, char *line, size_t size) {
  size_t name_size = 0;
  for (char c; name_size < size &&
               (c = tokens[(unsigned char)line[name_size]]) != '\0';)
    line[name_size++] = c;
  if (name_size == 0 || line[name_size] != ':')
    return -400;
  if (reader->field_count == LP__FIELDS_MAX)
    return -431;
  char *value = line + name_size + 1, *end = line + size;
  while (value < end && is_space(*value))
    value++;
  while (end > value && is_space(end[-1]))
    end--;
  size_t value_size = (size_t)(end - value);
  if (!value_ok(value, value_size))
    return -400;
  line[name_size] = '\0';
  memmove(line + name_size + 1, value, value_size);
  value = line + name_size + 1;
  value[value_size] = '\0';
  reader->sizes[reader->field_count].name = (uint16_t)name_size;
  reader->sizes[reader->field_count++].value = (uint16_t)value_size;
  reader->text_size += name_size + value_size + 2;
  return heed(reader, line, name_size, value, value_size);
}

/* --- the head ------------------------------------------------------------ */

/* The empty line after the fields: what is to come? */
static int end_head(struct lp__reader *reader) {
  if (reader->has_length && reader->chunked)
    return -400;
  if (reader->host_count == 0 && !reader->old)
    return -400;
  if (reader->has_length && reader->missing > reader->body_bytes)
    reader->too_large = true;
  if (reader->chunked)
    reader->state = LP__READ_CHUNK;
  else if (reader->missing > 0 && !reader->too_large)
    reader->state = LP__READ_BODY;
  else
    reader->state = LP__READ_DONE;
  return 0;
}

/* The line that is complete now. Empty ones before the first are left out, as
 * RFC 9112 asks for. */
static int take_line(struct lp__reader *reader) {
  char *line = reader->text + reader->line;
  size_t size = reader->text_size - reader->line;
  int status = 0;
  if (size < 2 || line[size - 2] != '\r')
    return -400;
  size -= 2;
  line[size] = '\0';
  reader->text_size = reader->line;
  if (reader->has_line && size == 0)
    status = end_head(reader);
  else if (reader->has_line)
    status = take_field(reader, line, size);
  else if (size > 0)
    status = take_request_line(reader, line, size);
  reader->line = reader->text_size;
  return status;
}

static int add_text(struct lp__reader *reader, const char *bytes, size_t size) {
  size_t wanted = reader->text_size + size;
  reader->received += size;
  if (reader->received > reader->header_bytes)
    return -431;
  if (wanted > reader->text_room) {
    size_t room = reader->text_room ? reader->text_room : TEXT_START;
    while (room < wanted)
      room *= 2;
    char *text = lp__realloc(reader->text, room);
    if (!text)
      return -503;
    reader->text = text;
    reader->text_room = room;
  }
  memcpy(reader->text + reader->text_size, bytes, size);
  reader->text_size = wanted;
  return 0;
}

/* Whether it can be the begin of a request: whoever speaks TLS, for example,
 * would wait for an answer to the first bytes. */
static bool begins_well(char c) {
  return (c >= 'A' && c <= 'Z') || c == '\r';
}

static ssize_t take_head(struct lp__reader *reader, const char *bytes,
                         size_t size) {
  size_t used = 0;
  while (used < size && reader->state == LP__READ_HEAD) {
    const char *newline = memchr(bytes + used, '\n', size - used);
    size_t piece = newline ? (size_t)(newline - bytes) + 1 - used : size - used;
    int status = add_text(reader, bytes + used, piece);
    if (status == 0 && !reader->has_line &&
        !begins_well(reader->text[reader->line]))
      status = -400;
    if (status == 0 && newline)
      status = take_line(reader);
    if (status < 0)
      return status;
    used += piece;
  }
  return (ssize_t)used;
}

/* --- the body ------------------------------------------------------------ */

/* Makes room for `more` bytes, of which the body will not have more than
 * `most` in all. */
static int reserve(struct lp__reader *reader, size_t more, uint64_t most) {
  size_t wanted = reader->body_size + more;
  size_t room = reader->body_room ? reader->body_room : BODY_START;
  if (wanted <= reader->body_room)
    return 0;
  while (room < wanted)
    room *= 2;
  if (room > most)
    room = (size_t)most;
  char *body = lp__realloc(reader->body, room);
  if (!body)
    return -503;
  reader->body = body;
  reader->body_room = room;
  return 0;
}

static size_t at_most(size_t size, uint64_t limit) {
  return size < limit ? size : (size_t)limit;
}

static ssize_t take_body(struct lp__reader *reader, const char *bytes,
                         size_t size) {
  size = at_most(size, reader->missing);
  int status = reserve(reader, size, reader->body_size + reader->missing);
  if (status < 0)
    return status;
  memcpy(reader->body + reader->body_size, bytes, size);
  lp__reader_took(reader, size);
  return (ssize_t)size;
}

static ssize_t take_chunk_data(struct lp__reader *reader, const char *bytes,
                               size_t size) {
  size = at_most(size, reader->missing);
  int status = reserve(reader, size, reader->body_bytes);
  if (status < 0)
    return status;
  memcpy(reader->body + reader->body_size, bytes, size);
  reader->body_size += size;
  reader->missing -= size;
  if (reader->missing == 0)
    reader->chunk_step = DATA_CR;
  return (ssize_t)size;
}

static int begin_chunk_line(struct lp__reader *reader) {
  reader->chunk_step = SIZE;
  reader->chunk_line = 0;
  return 0;
}

static int end_chunk_line(struct lp__reader *reader) {
  reader->chunk_step = DATA;
  if (reader->missing == 0) {
    reader->state = LP__READ_TRAILER;
    reader->received = reader->chunk_line = 0;
  } else if (reader->missing > reader->body_bytes - reader->body_size) {
    reader->too_large = true;
    reader->state = LP__READ_DONE;
  }
  return 0;
}

/* A byte of "1F; extension\r\n". A size of 2^60 or more is none. */
static int take_chunk_line(struct lp__reader *reader, char c) {
  int digit = hex_digit(c);
  if (++reader->chunk_line > CHUNK_LINE_MAX)
    return -400;
  if (reader->chunk_step == SIZE && digit >= 0) {
    reader->missing = reader->missing << 4 | (unsigned)digit;
    return reader->missing >> 60 ? -400 : 0;
  }
  if (reader->chunk_step == SIZE && reader->chunk_line == 1)
    return -400;
  if (c == '\r') {
    reader->chunk_step = SIZE_END;
    return 0;
  }
  if (reader->chunk_step == SIZE && c != ';' && !is_space(c))
    return -400;
  reader->chunk_step = EXTENSION;
  return value_ok(&c, 1) ? 0 : -400;
}

static int take_chunk_byte(struct lp__reader *reader, char c) {
  switch (reader->chunk_step) {
  case SIZE_END:
    return c == '\n' ? end_chunk_line(reader) : -400;
  case DATA_CR:
    reader->chunk_step = DATA_LF;
    return c == '\r' ? 0 : -400;
  case DATA_LF:
    return c == '\n' ? begin_chunk_line(reader) : -400;
  default:
    return take_chunk_line(reader, c);
  }
}

static ssize_t take_chunk(struct lp__reader *reader, const char *bytes,
                          size_t size) {
  if (reader->chunk_step == DATA)
    return take_chunk_data(reader, bytes, size);
  int status = take_chunk_byte(reader, *bytes);
  return status < 0 ? status : 1;
}

/* The trailer ends with an empty line. */
static ssize_t take_trailer(struct lp__reader *reader, char c) {
  if (++reader->received > reader->header_bytes)
    return -431;
  if (c == '\n' && reader->chunk_line == 0)
    reader->state = LP__READ_DONE;
  if (c == '\n')
    reader->chunk_line = 0;
  else if (c != '\r')
    reader->chunk_line = 1;
  return 1;
}

/* --- the interface ------------------------------------------------------- */

void lp__reader_init(struct lp__reader *reader, size_t header_bytes,
                     uint64_t body_bytes) {
  memset(reader, 0, sizeof *reader);
  reader->header_bytes = at_most(header_bytes, LP__HEADER_BYTES_MAX);
  reader->body_bytes = body_bytes;
}

void lp__reader_free(struct lp__reader *reader) {
  lp__free(reader->text);
  lp__free(reader->body);
  reader->text = reader->body = NULL;
}

void lp__reader_reset(struct lp__reader *reader) {
  char *text = reader->text;
  size_t room = reader->text_room;
  lp__free(reader->body);
  if (room > TEXT_KEPT) {
    lp__free(text);
    text = NULL;
    room = 0;
  }
  lp__reader_init(reader, reader->header_bytes, reader->body_bytes);
  reader->text = text;
  reader->text_room = room;
}

bool lp__reader_fresh(const struct lp__reader *reader) {
  return !reader->has_line && reader->text_size == 0;
}

bool lp__reader_keeps(const struct lp__reader *reader) {
  return !reader->close && !reader->too_large && (!reader->old || reader->keep);
}

ssize_t lp__reader_take(struct lp__reader *reader, const char *bytes,
                        size_t size) {
  size_t used = 0;
  enum lp__reader_state first = reader->state;
  while (used < size && reader->state != LP__READ_DONE &&
         (first != LP__READ_HEAD || reader->state == LP__READ_HEAD)) {
    const char *rest = bytes + used;
    ssize_t piece;
    if (reader->state == LP__READ_HEAD)
      piece = take_head(reader, rest, size - used);
    else if (reader->state == LP__READ_BODY)
      piece = take_body(reader, rest, size - used);
    else if (reader->state == LP__READ_CHUNK)
      piece = take_chunk(reader, rest, size - used);
    else
      piece = take_trailer(reader, *rest);
    if (piece < 0)
      return piece;
    used += (size_t)piece;
  }
  return (ssize_t)used;
}

char *lp__reader_space(struct lp__reader *reader, size_t *size) {
  if (reader->state != LP__READ_BODY ||
      reserve(reader, at_most(BODY_START, reader->missing),
              reader->body_size + reader->missing) < 0)
    return NULL;
  *size = at_most(reader->body_room - reader->body_size, reader->missing);
  return reader->body + reader->body_size;
}

void lp__reader_took(struct lp__reader *reader, size_t size) {
  reader->body_size += size;
  reader->missing -= size;
  if (reader->missing == 0)
    reader->state = LP__READ_DONE;
}

size_t lp__reader_request_size(const struct lp__reader *reader) {
  return reader->field_count * sizeof(struct lp__field) + reader->text_size;
}

void lp__reader_request(const struct lp__reader *reader,
                        struct lp__request *request, void *memory) {
  struct lp__field *fields = memory;
  char *text = (char *)(fields + reader->field_count);
  memcpy(text, reader->text, reader->text_size);
  request->method = text;
  request->target = text += reader->method_size + 1;
  request->target_size = reader->target_size;
  const char *query = memchr(text, '?', reader->target_size);
  request->path_size = query ? (size_t)(query - text) : request->target_size;
  text += reader->target_size + 1;
  for (size_t i = 0; i < reader->field_count; i++) {
    fields[i].name = text;
    fields[i].name_size = reader->sizes[i].name;
    fields[i].value = text += fields[i].name_size + 1;
    fields[i].value_size = reader->sizes[i].value;
    text += fields[i].value_size + 1;
  }
  request->fields = fields;
  request->field_count = reader->field_count;
  request->problem = reader->too_large ? "body_too_large" : NULL;
}
