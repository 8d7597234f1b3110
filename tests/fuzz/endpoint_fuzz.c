/* The Runtime API endpoint fed with hostile bytes. The first byte of the input
 * says in what pieces the rest arrives, when the host invokes, whether it is a
 * pool or a function, whose bytes come on two connections, and whether they are
 * received in a block. */
#include "host/endpoint.h"
#include "host/memory.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch(unsigned *sum, const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++)
    *sum += (unsigned char)bytes[i];
}

/* Both touch all they are given. */
static void on_outcome(void *context, enum lp__outcome outcome,
                       struct lp__body body, const char *type) {
  unsigned *sum = context;
  *sum += (unsigned)outcome + (unsigned)strlen(type);
  touch(sum, body.bytes, body.size);
  lp__body_free(&body);
}

static void on_notice(void *context, enum lp__notice notice, const char *bytes,
                      size_t size) {
  unsigned *sum = context;
  *sum += (unsigned)notice;
  touch(sum, bytes, size);
}

static void invoke(struct lp__api *api, struct lp__endpoint *endpoint) {
  static const struct lp__invocation invocation = {"{}", 2, 1, "a", "A: b\r\n"};
  lp__api_invoke(api, &invocation);
  if (api->pending && endpoint->waits)
    lp__endpoint_hand_over(endpoint);
}

static void send_all(struct lp__endpoint *endpoint, size_t step) {
  struct iovec pieces[LP__ENDPOINT_PIECES];
  while (lp__endpoint_output(endpoint, pieces) > 0)
    lp__endpoint_sent(endpoint,
                      pieces[0].iov_len < step ? pieces[0].iov_len : step);
}

/* A block that has the input in it as if all of it had come at once. */
static struct lp__block *copy(const uint8_t *data, size_t size) {
  struct lp__block *block = lp__block_new(size);
  if (block == NULL)
    abort();
  memcpy(block->bytes, data, size);
  return block;
}

/* What arrives in one piece, at most `step` bytes. 0 when the connection has to
 * be closed. */
static size_t receive(struct lp__endpoint *endpoint, const uint8_t *data,
                      size_t size, size_t step) {
  char scratch[512];
  size_t room;
  char *space = lp__endpoint_space(endpoint, scratch, sizeof scratch, &room);
  size_t part = size < step ? size : step;
  part = part < room ? part : room;
  memcpy(space, data, part);
  return lp__endpoint_receive(endpoint, space, part) < 0 ? 0 : part;
}

/* The same where it has come in one block. */
static size_t receive_in_block(struct lp__endpoint *endpoint, size_t at,
                               size_t size, size_t step) {
  size_t part = size < step ? size : step;
  char *bytes = endpoint->block->bytes + at;
  return lp__endpoint_receive(endpoint, bytes, part) < 0 ? 0 : part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const struct lp__api_sink pool = {on_outcome, NULL},
                                   function = {on_outcome, on_notice};
  struct lp__api api;
  struct lp__endpoint ends[2];
  unsigned sum = 0;
  if (size == 0)
    return 0;
  bool two = data[0] & 2;
  size_t step = (size_t)(data[0] >> 3) * 16 + 1, at = 1, part = 1;
  struct lp__block *block = data[0] & 4 && !two ? copy(data, size) : NULL;
  lp__api_init(&api, two ? &function : &pool, &sum);
  for (int i = 0; i < 2; i++)
    lp__endpoint_init(&ends[i], &api);
  if (data[0] & 1)
    invoke(&api, &ends[0]);
  for (unsigned turn = 0; at < size && part > 0; turn += two) {
    struct lp__endpoint *end = &ends[turn / 16 % 2];
    end->block = block;
    part = block ? receive_in_block(end, at, size - at, step)
                 : receive(end, data + at, size - at, step);
    at += part;
    invoke(&api, end);
    send_all(end, step);
  }
  for (int i = 0; i < 2; i++) {
    lp__endpoint_ended(&ends[i]);
    lp__endpoint_free(&ends[i]);
  }
  lp__block_release(block);
  return 0;
}
