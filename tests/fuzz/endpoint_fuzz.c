/* The Runtime API endpoint fed with hostile bytes. The first byte of the input
 * says in what pieces the rest arrives and when the host invokes. */
#include "host/endpoint.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touches all it is given. */
static void on_outcome(void *context, enum lp__outcome outcome, char *body,
                       size_t size, const char *type) {
  unsigned *sum = context;
  *sum += (unsigned)outcome + (unsigned)strlen(type);
  for (size_t i = 0; i < size; i++)
    *sum += (unsigned char)body[i];
  free(body);
}

static void send_all(struct lp__endpoint *endpoint, size_t step) {
  struct iovec pieces[2];
  while (lp__endpoint_output(endpoint, pieces) > 0)
    lp__endpoint_sent(endpoint,
                      pieces[0].iov_len < step ? pieces[0].iov_len : step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const struct lp__invocation invocation = {"{}", 2, 1, "a"};
  struct lp__endpoint endpoint;
  unsigned sum = 0;
  char scratch[512];
  if (size == 0)
    return 0;
  size_t step = (size_t)(data[0] >> 1) * 4 + 1, at = 1;
  lp__endpoint_init(&endpoint, on_outcome, &sum);
  if (data[0] & 1)
    lp__endpoint_invoke(&endpoint, &invocation);
  while (at < size) {
    size_t room;
    char *space = lp__endpoint_space(&endpoint, scratch, sizeof scratch, &room);
    size_t part = size - at < step ? size - at : step;
    part = part < room ? part : room;
    memcpy(space, data + at, part);
    at += part;
    if (lp__endpoint_receive(&endpoint, space, part) < 0)
      break;
    lp__endpoint_invoke(&endpoint, &invocation);
    send_all(&endpoint, step);
  }
  lp__endpoint_free(&endpoint);
  return 0;
}
