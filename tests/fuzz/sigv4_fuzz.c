/*
 * Any signed request: a line with the target, one "name:value" for each field,
 * an empty line, the body. What is refused says why; what is not, is what was
 * signed. The clock is that of the seeds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/cloud/sigv4.h"

#define NOW         1440938160 /* 2015-08-30 12:36:00 UTC */
#define MOST_FIELDS 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly these bytes and a zero, so that nothing else is read. */
static char *copy(struct lp__span span) {
  char *text = malloc(span.size + 1);
  if (!text)
    abort();
  memcpy(text, span.at, span.size);
  text[span.size] = '\0';
  return text;
}

static struct lp__field read_field(struct lp__span line) {
  struct lp__field field;
  struct lp__span name, value = line;
  lp__span_next(&value, ':', &name);
  field.name = copy(name);
  field.name_size = name.size;
  field.value = copy(value.at ? value : (struct lp__span){"", 0});
  field.value_size = value.size;
  return field;
}

static void check(struct lp__sigv4 *sigv4, const struct lp__request *request) {
  struct lp__sigv4_claim claim;
  struct lp__canonical_rules rules = {.payload = {"x", 1}};
  char again[LP__SHA256_HEX];
  struct lp__span secret = {"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 40};
  enum lp__sigv4_problem problem = lp__sigv4_parse(sigv4, request, &claim);
  if (!problem)
    problem = lp__sigv4_check(sigv4, &claim, NOW);
  if (!problem)
    problem = lp__sigv4_verify(sigv4, request, &claim, secret);
  if (problem && *lp__sigv4_message(sigv4) == '\0')
    abort();
  rules.names = claim.names;
  if (!problem &&
      (claim.date.size != 8 || claim.signature.size != 64 ||
       lp__sigv4_calculate(sigv4, request, &claim, &rules, secret, again) < 0 ||
       memcmp(again, claim.signature.at, sizeof again) == 0))
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct lp__field fields[MOST_FIELDS];
  struct lp__span rest = {(const char *)data, size}, line = {"", 0};
  struct lp__sigv4 *sigv4 = lp__sigv4_new();
  lp__span_next(&rest, '\n', &line);
  char *target = copy(line);
  struct lp__request request = {.method = "GET",
                                .target = target,
                                .target_size = strlen(target),
                                .path_size = strcspn(target, "?"),
                                .fields = fields};
  while (request.field_count < MOST_FIELDS &&
         lp__span_next(&rest, '\n', &line) && line.size > 0)
    fields[request.field_count++] = read_field(line);
  request.body = rest.at;
  request.body_size = rest.at ? rest.size : 0;
  check(sigv4, &request);
  for (size_t i = 0; i < request.field_count; i++) {
    free((void *)(uintptr_t)fields[i].name);
    free((void *)(uintptr_t)fields[i].value);
  }
  free(target);
  lp__sigv4_free(sigv4);
  return 0;
}
