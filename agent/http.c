/*
 * The head is collected in a fixed buffer, then cut into zero-ended strings
 * in place: the status line, and "Name: value" per header. Body bytes that
 * came along with the head are copied to the body buffer, all later ones are
 * received there. Chunks are decoded in place: the buffer holds body_size
 * decoded bytes, then (from `body_received - unread` on) raw ones.
 */
#include "http.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One read of a usual answer; also the least growth of the body buffer. */
#define READ_SIZE 16384

/* A chunk size of more digits than this exceeds every ceiling. */
#define CHUNK_LINE_MAX 256

enum part {
  PART_HEAD,
  PART_LENGTH,     /* `left` more bytes */
  PART_UNTIL_END,  /* until the connection is closed */
  PART_CHUNK_SIZE, /* "1f;name=value\r\n" */
  PART_CHUNK,      /* `left` more bytes of the chunk */
  PART_CHUNK_END,  /* "\r\n" */
  PART_TRAILER,    /* lines, the last one empty */
  PART_DONE
};

void lp__http_init(struct lp__http *http, size_t body_max) {
  /* Not all of it: the head alone is larger than what a call touches. */
  memset(http, 0, offsetof(struct lp__http, head));
  http->body_max = body_max;
}

void lp__http_free(struct lp__http *http) {
  free(http->body);
  http->body = NULL;
  http->body_capacity = 0;
}

void lp__http_begin(struct lp__http *http) {
  http->status = 0;
  http->keep_alive = 1;
  http->body_size = http->body_received = http->left = 0;
  http->head_size = http->head_received = http->head_scanned = 0;
  http->framing = 0;
  http->part = PART_HEAD;
  if (http->next_size > 0)
    memmove(http->head, http->head + http->next_at, http->next_size);
  http->head_received = http->next_size;
  http->next_size = 0;
}

void lp__http_forget(struct lp__http *http) {
  http->next_size = 0;
}

/* --- the head ---------------------------------------------------------- */

static int is_space(char c) {
  return c == ' ' || c == '\t';
}

/* Ends the line that starts at `line` with zero bytes, in the place of the
 * spaces and the CR LF at its end. Returns the start of the next line; NULL
 * when a zero byte or a lone CR is inside. */
static char *cut_line(char *line, char *limit) {
  char *newline = memchr(line, '\n', (size_t)(limit - line));
  char *end = newline;
  if (end > line && end[-1] == '\r')
    end--;
  if (memchr(line, '\0', (size_t)(end - line)) ||
      memchr(line, '\r', (size_t)(end - line)))
    return NULL;
  while (end > line && is_space(end[-1]))
    end--;
  memset(end, '\0', (size_t)(newline + 1 - end));
  return newline + 1;
}

/* "HTTP/1.1 200 OK"; the reason may be missing. */
static int parse_status(struct lp__http *http, const char *line) {
  int i, status = 0;
  if (strncmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
      line[8] != ' ')
    return LP__HTTP_BAD;
  for (i = 9; i < 12; i++) {
    if (line[i] < '0' || line[i] > '9')
      return LP__HTTP_BAD;
    status = status * 10 + (line[i] - '0');
  }
  if ((line[12] != ' ' && line[12] != '\0') || status < 100)
    return LP__HTTP_BAD;
  http->status = status;
  http->keep_alive = line[7] == '1';
  return LP__HTTP_MORE;
}

/* A header line is a name without spaces, a colon and a value. */
static int check_header(const char *line) {
  size_t name = strcspn(line, ":");
  if (name == 0 || line[name] == '\0' || strcspn(line, " \t") < name)
    return LP__HTTP_BAD;
  return LP__HTTP_MORE;
}

/* Cuts the head into lines. */
static int parse_head(struct lp__http *http) {
  char *line = http->head, *limit = http->head + http->head_size;
  char *next = cut_line(line, limit);
  if (next == NULL || parse_status(http, line) < 0)
    return LP__HTTP_BAD;
  for (line = next; line < limit; line = next) {
    if ((next = cut_line(line, limit)) == NULL)
      return LP__HTTP_BAD;
    if (next < limit && check_header(line) < 0)
      return LP__HTTP_BAD;
  }
  return LP__HTTP_MORE;
}

/* The line after the one at `line`, behind all the zero bytes that end it. */
static const char *next_line(const char *line, const char *limit) {
  line += strlen(line);
  while (line < limit && *line == '\0')
    line++;
  return line;
}

/* The value of the first header `name` in the lines from `line` on; *rest
 * becomes the line after it. NULL when there is none. */
static const char *find_header(const char *line, const char *limit,
                               const char *name, const char **rest) {
  size_t size = strlen(name);
  while (line < limit) {
    const char *next = next_line(line, limit);
    if ((size_t)(next - line) > size && line[size] == ':' &&
        strncasecmp(line, name, size) == 0) {
      const char *value = line + size + 1;
      while (is_space(*value))
        value++;
      *rest = next;
      return value;
    }
    line = next;
  }
  return NULL;
}

static const char *head_limit(const struct lp__http *http) {
  return http->head + http->head_size;
}

static const char *first_header(const struct lp__http *http) {
  return next_line(http->head, head_limit(http));
}

const char *lp__http_header(const struct lp__http *http, const char *name) {
  const char *rest;
  const char *value =
      find_header(first_header(http), head_limit(http), name, &rest);
  return value && *value ? value : NULL;
}

/* Reads a decimal number that fills all of `text`. */
static int parse_length(const char *text, size_t *length) {
  size_t value = 0;
  if (*text == '\0')
    return LP__HTTP_BAD;
  for (; *text; text++) {
    if (*text < '0' || *text > '9')
      return LP__HTTP_BAD;
    if (value > (SIZE_MAX - 9) / 10)
      return LP__HTTP_LARGE;
    value = value * 10 + (size_t)(*text - '0');
  }
  *length = value;
  return LP__HTTP_MORE;
}

/* Finds Content-Length: 1 when it is there, 0 when not, or an error. Several
 * are fine when they agree. */
static int content_length(struct lp__http *http, size_t *length) {
  const char *line = first_header(http), *value;
  int found = 0;
  while ((value = find_header(line, head_limit(http), "Content-Length",
                              &line)) != NULL) {
    size_t one;
    int state = parse_length(value, &one);
    if (state < 0)
      return state;
    if (found && one != *length)
      return LP__HTTP_BAD;
    *length = one;
    found = 1;
  }
  return found;
}

static int finish(struct lp__http *http) {
  http->part = PART_DONE;
  return LP__HTTP_DONE;
}

/* Decides how the body ends, from the headers. */
static int begin_body(struct lp__http *http) {
  const char *coding = lp__http_header(http, "Transfer-Encoding");
  const char *connection = lp__http_header(http, "Connection");
  int found = content_length(http, &http->left);
  if (connection && strcasecmp(connection, "close") == 0)
    http->keep_alive = 0;
  if (connection && strcasecmp(connection, "keep-alive") == 0)
    http->keep_alive = 1;
  if (found < 0)
    return found;
  if (http->status == 204 || http->status == 304)
    return finish(http);
  if (coding) {
    http->part = PART_CHUNK_SIZE;
    return strcasecmp(coding, "chunked") == 0 && !found ? LP__HTTP_MORE
                                                        : LP__HTTP_BAD;
  }
  if (!found) {
    http->part = PART_UNTIL_END;
    http->keep_alive = 0;
    return LP__HTTP_MORE;
  }
  if (http->left > http->body_max)
    return LP__HTTP_LARGE;
  http->part = PART_LENGTH;
  return http->left == 0 ? finish(http) : LP__HTTP_MORE;
}

/* --- the body ---------------------------------------------------------- */

/* Makes room for at least one more byte in the body buffer; doubles it, but
 * not past `wanted` or the ceiling. The extra space lets chunk sizes in. */
static int grow_body(struct lp__http *http) {
  size_t capacity = http->body_capacity;
  size_t most = http->body_max + READ_SIZE;
  char *body;
  if (http->body_received < capacity)
    return LP__HTTP_MORE;
  capacity = capacity < READ_SIZE ? READ_SIZE : capacity * 2;
  if (capacity > most)
    capacity = most;
  if (http->body_received >= capacity)
    return LP__HTTP_LARGE;
  if ((body = realloc(http->body, capacity)) == NULL)
    return LP__HTTP_MEMORY;
  http->body = body;
  http->body_capacity = capacity;
  return LP__HTTP_MORE;
}

/* Body bytes that came with the head go to where the others will. */
static int move_rest(struct lp__http *http) {
  const char *rest = http->head + http->head_size;
  size_t left = http->head_received - http->head_size;
  if (http->pipelined && http->part == PART_LENGTH && left > http->left) {
    http->next_at = http->head_size + http->left;
    http->next_size = left - http->left;
    left = http->left;
  }
  while (left > 0) {
    size_t size;
    int state = grow_body(http);
    if (state < 0)
      return state;
    size = http->body_capacity - http->body_received;
    size = size < left ? size : left;
    memcpy(http->body + http->body_received, rest, size);
    http->body_received += size;
    rest += size;
    left -= size;
  }
  http->head_received = http->head_size;
  return LP__HTTP_MORE;
}

/* Takes what is there, up to http->left, out of the raw bytes at *raw. */
static void take(struct lp__http *http, size_t *raw) {
  size_t size = http->body_received - *raw;
  size = size < http->left ? size : http->left;
  if (*raw != http->body_size)
    memmove(http->body + http->body_size, http->body + *raw, size);
  http->body_size += size;
  http->left -= size;
  *raw += size;
}

/* Bytes after the response: the peer is confused, do not trust its next. */
static int finish_at(struct lp__http *http, size_t raw) {
  if (raw < http->body_received)
    http->keep_alive = 0;
  return finish(http);
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "1f" and then the end of the line, spaces or an extension. */
static int parse_chunk_size(struct lp__http *http, const char *line,
                            const char *end) {
  const char *at = line;
  size_t size = 0;
  for (; at < end && hex_digit(*at) >= 0; at++) {
    if (size > http->body_max)
      return LP__HTTP_LARGE;
    size = size * 16 + (size_t)hex_digit(*at);
  }
  if (at == line || (at < end && *at != ';' && !is_space(*at)))
    return LP__HTTP_BAD;
  if (size > http->body_max - http->body_size)
    return LP__HTTP_LARGE;
  http->left = size;
  return LP__HTTP_MORE;
}

/* What a complete line means depends on the part it stands in. */
static int chunk_line(struct lp__http *http, const char *line,
                      const char *end) {
  int state;
  switch (http->part) {
  case PART_CHUNK_SIZE:
    if ((state = parse_chunk_size(http, line, end)) < 0)
      return state;
    http->part = http->left > 0 ? PART_CHUNK : PART_TRAILER;
    return LP__HTTP_MORE;
  case PART_CHUNK_END:
    http->part = PART_CHUNK_SIZE;
    return line == end ? LP__HTTP_MORE : LP__HTTP_BAD;
  default: /* PART_TRAILER */
    return line == end ? LP__HTTP_DONE : LP__HTTP_MORE;
  }
}

/* Consumes one line of framing at *raw. LP__HTTP_MORE with *raw unchanged:
 * the line is not complete. */
static int take_line(struct lp__http *http, size_t *raw) {
  const char *line = http->body + *raw;
  size_t size = http->body_received - *raw;
  const char *newline = memchr(line, '\n', size);
  const char *end = newline;
  size_t longest =
      http->part == PART_TRAILER ? LP__HTTP_HEAD_MAX : CHUNK_LINE_MAX;
  if (newline == NULL)
    return size > longest ? LP__HTTP_LARGE : LP__HTTP_MORE;
  if (end > line && end[-1] == '\r')
    end--;
  *raw += (size_t)(newline - line) + 1;
  if (http->part == PART_TRAILER)
    http->framing += (size_t)(newline - line) + 1;
  if (http->framing > LP__HTTP_HEAD_MAX)
    return LP__HTTP_LARGE;
  return chunk_line(http, line, end);
}

/* Decodes the raw bytes behind the decoded ones as far as they go. */
static int decode_chunks(struct lp__http *http) {
  size_t raw = http->body_size, before;
  int state = LP__HTTP_MORE;
  do {
    before = raw;
    if (http->part == PART_CHUNK) {
      take(http, &raw);
      if (http->left == 0)
        http->part = PART_CHUNK_END;
    } else {
      state = take_line(http, &raw);
    }
  } while (state == LP__HTTP_MORE && raw > before && raw < http->body_received);
  if (state == LP__HTTP_DONE)
    return finish_at(http, raw);
  memmove(http->body + http->body_size, http->body + raw,
          http->body_received - raw);
  http->body_received = http->body_size + (http->body_received - raw);
  return state;
}

static int decode_body(struct lp__http *http) {
  size_t raw = http->body_size;
  switch (http->part) {
  case PART_LENGTH:
    take(http, &raw);
    return http->left == 0 ? finish_at(http, raw) : LP__HTTP_MORE;
  case PART_UNTIL_END:
    http->body_size = http->body_received;
    return http->body_size > http->body_max ? LP__HTTP_LARGE : LP__HTTP_MORE;
  case PART_DONE:
    return finish_at(http, raw);
  default:
    return http->body_received > raw ? decode_chunks(http) : LP__HTTP_MORE;
  }
}

/* --- receiving --------------------------------------------------------- */

/* The size of the head, up to and with its empty line; 0: not there yet. */
static size_t find_head(struct lp__http *http) {
  const char *at = http->head + http->head_scanned;
  const char *limit = http->head + http->head_received;
  while ((at = memchr(at, '\n', (size_t)(limit - at))) != NULL) {
    at++;
    if (at < limit && *at == '\n')
      return (size_t)(at + 1 - http->head);
    if (at + 1 < limit && at[0] == '\r' && at[1] == '\n')
      return (size_t)(at + 2 - http->head);
  }
  /* The last three bytes may be the first ones of the empty line. */
  http->head_scanned = http->head_received > 3 ? http->head_received - 3 : 0;
  return 0;
}

static int receive_head(struct lp__http *http) {
  int state;
  http->head_size = find_head(http);
  if (http->head_size == 0)
    return http->head_received == sizeof http->head ? LP__HTTP_LARGE
                                                    : LP__HTTP_MORE;
  if ((state = parse_head(http)) < 0)
    return state;
  if (http->status < 200) { /* "100 Continue": the answer follows */
    size_t rest = http->head_received - http->head_size;
    memmove(http->head, http->head + http->head_size, rest);
    lp__http_begin(http);
    return lp__http_received(http, rest);
  }
  if ((state = begin_body(http)) < 0 || (state = move_rest(http)) < 0)
    return state;
  return decode_body(http);
}

int lp__http_space(struct lp__http *http, char **at, size_t *size) {
  int state;
  if (http->part == PART_HEAD) {
    *at = http->head + http->head_received;
    *size = sizeof http->head - http->head_received;
    return LP__HTTP_MORE;
  }
  if ((state = grow_body(http)) < 0)
    return state;
  *at = http->body + http->body_received;
  *size = http->body_capacity - http->body_received;
  if (http->part == PART_LENGTH && *size > http->left)
    *size = http->left;
  return LP__HTTP_MORE;
}

int lp__http_resume(struct lp__http *http) {
  return http->part == PART_HEAD && http->head_received > 0 ? receive_head(http)
                                                            : LP__HTTP_MORE;
}

int lp__http_received(struct lp__http *http, size_t size) {
  if (http->part == PART_HEAD) {
    http->head_received += size;
    return receive_head(http);
  }
  http->body_received += size;
  return decode_body(http);
}

int lp__http_end(struct lp__http *http) {
  if (http->part == PART_UNTIL_END)
    return finish(http);
  if (http->part == PART_HEAD && http->head_received == 0)
    return LP__HTTP_NOTHING;
  return LP__HTTP_PARTIAL;
}

const char *lp__http_message(int state) {
  switch (state) {
  case LP__HTTP_BAD:
    return "the answer is not HTTP/1.1";
  case LP__HTTP_LARGE:
    return "the answer is too large";
  case LP__HTTP_MEMORY:
    return "not enough memory for the answer";
  case LP__HTTP_PARTIAL:
    return "the connection was closed inside the answer";
  case LP__HTTP_NOTHING:
    return "the connection was closed";
  default:
    return "no error";
  }
}
