/* Feeds any bytes to the reader of HTTP requests, in pieces whose sizes the
 * first byte decides and all at once: both must come to the same requests and
 * the same refusal, and nothing may grow beyond what has arrived. */
#include "host/http_reader.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_BYTES = 4096, BODY_BYTES = 20000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t add(uint64_t sum, const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++)
    sum = (sum ^ (unsigned char)bytes[i]) * 0x100000001b3;
  return (sum ^ size) * 0x100000001b3;
}

/* Reads everything a request offers, so that the sanitizers see it. */
static uint64_t look(const struct lp__reader *reader) {
  struct lp__request request = {0};
  void *memory = malloc(lp__reader_request_size(reader));
  assert(memory);
  lp__reader_request(reader, &request, memory);
  assert(request.target_size > 0 && request.path_size > 0);
  assert(request.path_size <= request.target_size);
  assert(request.target[0] == '/' || strcmp(request.target, "*") == 0);
  assert(strlen(request.target) == request.target_size);
  uint64_t sum = add(0, request.method, strlen(request.method));
  sum = add(sum, request.target, request.target_size);
  for (size_t i = 0; i < request.field_count; i++) {
    const struct lp__field *field = &request.fields[i];
    assert(lp__field_ok(field));
    assert(strlen(field->name) == field->name_size);
    assert(strlen(field->value) == field->value_size);
    sum = add(sum, field->name, field->name_size);
    sum = add(sum, field->value, field->value_size);
  }
  sum = add(sum, reader->too_large ? "" : reader->body,
            reader->too_large ? 0 : reader->body_size);
  free(memory);
  return sum + lp__reader_keeps(reader);
}

/* Gives the reader some bytes in one of the two ways it takes them. */
static ssize_t give(struct lp__reader *reader, const char *bytes, size_t size,
                    bool in_place) {
  size_t room;
  char *space = in_place ? lp__reader_space(reader, &room) : NULL;
  if (!space)
    return lp__reader_take(reader, bytes, size);
  assert(room > 0);
  size = size < room ? size : room;
  memcpy(space, bytes, size);
  lp__reader_took(reader, size);
  return (ssize_t)size;
}

/* What becomes of the bytes when they arrive `step` at a time. */
static uint64_t run(const char *bytes, size_t size, size_t step) {
  struct lp__reader reader;
  size_t at = 0;
  ssize_t used = 0;
  uint64_t sum = 0;
  lp__reader_init(&reader, HEADER_BYTES, BODY_BYTES);
  while (at < size && used >= 0) {
    size_t piece = size - at < step ? size - at : step;
    used = give(&reader, bytes + at, piece, step % 2 == 0);
    if (used < 0)
      break;
    assert(used > 0 && (size_t)used <= piece);
    at += (size_t)used;
    assert(reader.text_room <= 2 * HEADER_BYTES);
    assert(reader.body_room <= BODY_BYTES);
    if (reader.state == LP__READ_DONE) {
      sum = add(look(&reader), (char *)&sum, sizeof sum);
      if (!lp__reader_keeps(&reader))
        break;
      lp__reader_reset(&reader);
      assert(lp__reader_fresh(&reader));
    }
  }
  assert(used >= 0 || (used <= -400 && used >= -505));
  lp__reader_free(&reader);
  return add(sum, (char *)&used, used < 0 ? sizeof used : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0)
    return 0;
  size_t step = (size_t)data[0] * data[0] + 1;
  const char *bytes = (const char *)data + 1;
  assert(run(bytes, size - 1, step) == run(bytes, size - 1, size));
  return 0;
}
