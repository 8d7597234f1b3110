/*
 * Any request that can be sent: a line with the service and whether it is
 * presigned, a line with the target, one "name:value" for each field, an empty
 * line, the body. Whatever is signed is verified as what was signed.
 */
#define _GNU_SOURCE /* memmem */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/cloud/sign.h"

#define NOW         1440938160 /* 2015-08-30 12:36:00 UTC */
#define MOST_FIELDS 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
  struct lp__request request;
  struct lp__field fields[MOST_FIELDS + 4];
  struct lp__signing how;
};

static struct lp__span span(const char *text) {
  return (struct lp__span){text, strlen(text)};
}

static bool is_name(struct lp__span text) {
  for (size_t i = 0; i < text.size; i++) {
    if (!((text.at[i] >= 'a' && text.at[i] <= 'z') || text.at[i] == '-'))
      return false;
  }
  return text.size > 0;
}

static void read_fields(struct input *input, struct lp__span *rest) {
  struct lp__span line, name;
  size_t *count = &input->request.field_count;
  input->fields[(*count)++] = (struct lp__field){"host", "h:1", 4, 3};
  while (*count < MOST_FIELDS && lp__span_next(rest, '\n', &line) &&
         line.size > 0) {
    struct lp__span value = line;
    lp__span_next(&value, ':', &name);
    if (!value.at || !is_name(name) || memchr(line.at, '\0', line.size) ||
        (name.size > 5 && memcmp(name.at, "x-amz-", 6) == 0) ||
        lp__sign_ignores(name))
      continue;
    input->fields[(*count)++] =
        (struct lp__field){name.at, value.at, name.size, value.size};
  }
}

static void read_input(struct input *input, struct lp__span rest,
                       struct lp__span *service, struct lp__span *target) {
  lp__span_next(&rest, '\n', service);
  if (!lp__span_next(&rest, '\n', target) || target->size == 0 ||
      *target->at != '/')
    *target = span("/");
  const char *query = memchr(target->at, '?', target->size);
  input->request = (struct lp__request){
      .method = "POST",
      .target = target->at,
      .target_size = target->size,
      .path_size = query ? (size_t)(query - target->at) : target->size,
      .fields = input->fields};
  read_fields(input, &rest);
  input->request.body = rest.at;
  input->request.body_size = rest.at ? rest.size : 0;
}

/* The request as the server gets it; `target` has room for it. */
static void receive(struct input *input, const struct lp__signed *result,
                    char *target) {
  struct lp__request *request = &input->request;
  struct lp__field *next = &input->fields[request->field_count];
  if (input->how.expires) {
    memcpy(target, request->target, request->path_size);
    target[request->path_size] = '?';
    memcpy(target + request->path_size + 1, result->text.at, result->text.size);
    request->target = target;
    request->target_size = request->path_size + 1 + result->text.size;
    return;
  }
  next[0] = (struct lp__field){"authorization", result->text.at, 13,
                               result->text.size};
  next[1] = (struct lp__field){"x-amz-date", result->timestamp, 10, 16};
  next[2] = (struct lp__field){"x-amz-content-sha256", result->payload.at, 20,
                               result->payload.size};
  next[3] = (struct lp__field){"x-amz-security-token", "T/=", 20, 3};
  request->field_count += 4;
}

static void verify(const struct lp__request *request) {
  struct lp__sigv4_claim claim;
  struct lp__sigv4 *sigv4 = lp__sigv4_new();
  enum lp__sigv4_problem problem = lp__sigv4_parse(sigv4, request, &claim);
  if (!problem)
    problem = lp__sigv4_check(sigv4, &claim, NOW);
  if (!problem)
    problem = lp__sigv4_verify(sigv4, request, &claim, span("secret"));
  if (problem)
    abort();
  lp__sigv4_free(sigv4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct input input;
  struct lp__span service, target;
  struct lp__signed result;
  memset(&input, 0, sizeof input);
  read_input(&input, (struct lp__span){(const char *)data, size}, &service,
             &target);
  bool is_s3 = service.size > 0 && *service.at == '3';
  bool presigned = service.size > 1;
  if (presigned && memmem(target.at, target.size, "X-Amz-", 6))
    return 0;
  input.how = (struct lp__signing){.access_key = span("AK"),
                                   .secret = span("secret"),
                                   .token = span("T/="),
                                   .region = span("r"),
                                   .service = span(is_s3 ? "s3" : "lambda"),
                                   .time = NOW,
                                   .expires = presigned ? 60 : 0,
                                   .path_as_is = is_s3,
                                   .with_dots = is_s3};
  if (presigned && is_s3)
    input.how.payload = span("UNSIGNED-PAYLOAD");
  struct lp__signer *signer = lp__signer_new();
  if (presigned)
    lp__sign_query(signer, &input.request, &input.how, &result);
  else
    lp__sign_headers(signer, &input.request, &input.how, &result);
  char *received = malloc(input.request.target_size + result.text.size + 2);
  receive(&input, &result, received);
  verify(&input.request);
  free(received);
  lp__signer_free(signer);
  return 0;
}
