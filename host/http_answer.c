/* The bytes of an HTTP answer. See http_answer.h. */
#include "http_answer.h"

#include "memory.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { BYTES_START = 1024 };

static const struct {
  int status;
  const char *text;
} reasons[] = {{200, "OK"},
               {201, "Created"},
               {202, "Accepted"},
               {204, "No Content"},
               {206, "Partial Content"},
               {301, "Moved Permanently"},
               {302, "Found"},
               {303, "See Other"},
               {304, "Not Modified"},
               {307, "Temporary Redirect"},
               {308, "Permanent Redirect"},
               {400, "Bad Request"},
               {401, "Unauthorized"},
               {403, "Forbidden"},
               {404, "Not Found"},
               {405, "Method Not Allowed"},
               {406, "Not Acceptable"},
               {408, "Request Timeout"},
               {409, "Conflict"},
               {410, "Gone"},
               {412, "Precondition Failed"},
               {413, "Request Entity Too Large"},
               {415, "Unsupported Media Type"},
               {429, "Too Many Requests"},
               {431, "Request Header Fields Too Large"},
               {500, "Internal Server Error"},
               {501, "Not Implemented"},
               {502, "Bad Gateway"},
               {503, "Service Unavailable"},
               {504, "Gateway Timeout"},
               {505, "HTTP Version Not Supported"}};

static const char *reason_of(int status) {
  size_t count = sizeof reasons / sizeof *reasons;
  for (size_t i = 0; i < count; i++)
    if (reasons[i].status == status)
      return reasons[i].text;
  return "";
}

/* --- bytes --------------------------------------------------------------- */

/* What is there moves only when as much as that has been taken: a slow client
 * must not make every addition expensive. */
static bool make_room(struct lp__bytes *bytes, size_t more) {
  size_t size = lp__bytes_size(bytes);
  if (more <= bytes->room - bytes->end)
    return true;
  if (bytes->start >= size && more <= bytes->room - size) {
    memcpy(bytes->data, bytes->data + bytes->start, size);
    bytes->start = 0;
    bytes->end = size;
    return true;
  }
  size_t room = bytes->room ? bytes->room * 2 : BYTES_START;
  if (room < bytes->end + more)
    room = bytes->end + more;
  char *data = lp__realloc(bytes->data, room);
  if (!data)
    return false;
  bytes->data = data;
  bytes->room = room;
  return true;
}

void lp__bytes_add(struct lp__bytes *bytes, const void *data, size_t size) {
  if (size == 0 || bytes->failed)
    return;
  if (!make_room(bytes, size)) {
    bytes->failed = true;
    return;
  }
  memcpy(bytes->data + bytes->end, data, size);
  bytes->end += size;
}

void lp__bytes_take(struct lp__bytes *bytes, size_t size) {
  bytes->start += size;
  if (bytes->start == bytes->end)
    lp__bytes_free(bytes);
}

size_t lp__bytes_size(const struct lp__bytes *bytes) {
  return bytes->end - bytes->start;
}

void lp__bytes_free(struct lp__bytes *bytes) {
  lp__free(bytes->data);
  bytes->data = NULL;
  bytes->start = bytes->end = bytes->room = 0;
}

/* --- heads --------------------------------------------------------------- */

static void add_text(struct lp__bytes *bytes, const char *text) {
  lp__bytes_add(bytes, text, strlen(text));
}

static bool is_ours(const struct lp__field *field) {
  switch (field->name_size) {
  case 4:
    return strcasecmp(field->name, "date") == 0;
  case 10:
    return strcasecmp(field->name, "connection") == 0;
  case 14:
    return strcasecmp(field->name, "content-length") == 0;
  case 17:
    return strcasecmp(field->name, "transfer-encoding") == 0;
  default:
    return false;
  }
}

static void add_field(struct lp__bytes *bytes, const struct lp__field *field) {
  if (is_ours(field))
    return;
  lp__bytes_add(bytes, field->name, field->name_size);
  lp__bytes_add(bytes, ": ", 2);
  lp__bytes_add(bytes, field->value, field->value_size);
  lp__bytes_add(bytes, "\r\n", 2);
}

static const char *date_text(struct lp__date *date) {
  time_t now = time(NULL);
  struct tm parts;
  if (now != date->time && gmtime_r(&now, &parts)) {
    date->time = now;
    strftime(date->text, sizeof date->text, "%a, %d %b %Y %H:%M:%S GMT",
             &parts);
  }
  return date->text;
}

static void add_framing(struct lp__bytes *bytes,
                        const struct lp__answer *answer) {
  char text[48];
  if (answer->framing == LP__LENGTH) {
    int size =
        snprintf(text, sizeof text, "Content-Length: %zu\r\n", answer->length);
    lp__bytes_add(bytes, text, (size_t)size);
  } else if (answer->framing == LP__CHUNKS) {
    add_text(bytes, "Transfer-Encoding: chunked\r\n");
  }
}

void lp__answer_head(struct lp__bytes *bytes, const struct lp__answer *answer,
                     struct lp__date *date) {
  char line[128];
  int size =
      snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\nDate: %s\r\n",
               answer->status, reason_of(answer->status), date_text(date));
  lp__bytes_add(bytes, line, (size_t)size);
  add_framing(bytes, answer);
  if (!answer->keep)
    add_text(bytes, "Connection: close\r\n");
  else if (answer->old)
    add_text(bytes, "Connection: keep-alive\r\n");
  for (size_t i = 0; i < answer->field_count; i++)
    add_field(bytes, &answer->fields[i]);
  lp__bytes_add(bytes, "\r\n", 2);
}
