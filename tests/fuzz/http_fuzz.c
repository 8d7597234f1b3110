/*
 * Feeds any bytes to the HTTP parser of the agent, in pieces whose sizes the
 * first byte decides, and uses everything that a complete response offers.
 */
#include "agent/http.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define BODY_MAX 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads what the accessors give, so that the sanitizers see it. */
static void look(const struct lp__http *http) {
  static volatile size_t sum;
  const char *names[] = {"Lambda-Runtime-Aws-Request-Id", "A", ""};
  size_t i;
  for (i = 0; i < sizeof names / sizeof *names; i++) {
    const char *value = lp__http_header(http, names[i]);
    sum += value ? strlen(value) : 0;
  }
  for (i = 0; i < http->body_size; i++)
    sum += (unsigned char)http->body[i];
  (void)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct lp__http http;
  size_t step = size > 0 ? (size_t)data[0] * data[0] + 1 : 1;
  size_t at = 1;
  int state = LP__HTTP_MORE;
  lp__http_init(&http, BODY_MAX);
  lp__http_begin(&http);
  while (state == LP__HTTP_MORE && at < size) {
    char *space;
    size_t room;
    if ((state = lp__http_space(&http, &space, &room)) != LP__HTTP_MORE)
      break;
    assert(room > 0);
    room = room < step ? room : step;
    room = room < size - at ? room : size - at;
    memcpy(space, data + at, room);
    at += room;
    state = lp__http_received(&http, room);
    assert(http.body_capacity <= 2 * size + 2 * 16384 + 32768);
  }
  if (state == LP__HTTP_MORE)
    state = lp__http_end(&http);
  if (state == LP__HTTP_DONE)
    look(&http);
  assert(http.body_size <= BODY_MAX || state != LP__HTTP_DONE);
  lp__http_free(&http);
  return 0;
}
