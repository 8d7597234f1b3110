#define _GNU_SOURCE /* vasprintf */
#include "sigv4.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sigv4_state.h"

#define ALGORITHM "AWS4-HMAC-SHA256\n"
#define UNSIGNED  "UNSIGNED-PAYLOAD"

struct lp__sigv4 *lp__sigv4_new(void) {
  return calloc(1, sizeof(struct lp__sigv4));
}

void lp__sigv4_free(struct lp__sigv4 *sigv4) {
  if (!sigv4)
    return;
  lp__canonical_free(&sigv4->canonical);
  free(sigv4->to_sign.at);
  free(sigv4->decoded.at);
  free(sigv4->message);
  OPENSSL_cleanse(sigv4, sizeof *sigv4);
  free(sigv4);
}

const char *lp__sigv4_message(const struct lp__sigv4 *sigv4) {
  return sigv4->message ? sigv4->message : "";
}

enum lp__sigv4_problem lp__sigv4_say(struct lp__sigv4 *sigv4,
                                     enum lp__sigv4_problem problem,
                                     const char *format, ...) {
  va_list values;
  free(sigv4->message);
  va_start(values, format);
  int size = vasprintf(&sigv4->message, format, values);
  va_end(values);
  if (size >= 0)
    return problem;
  sigv4->message = NULL;
  return LP__SIGV4_NO_MEMORY;
}

struct lp__span lp__sigv4_field(const struct lp__request *request,
                                const char *name) {
  struct lp__span none = {NULL, 0};
  size_t size = strlen(name);
  for (size_t i = 0; i < request->field_count; i++) {
    const struct lp__field *field = &request->fields[i];
    if (field->name_size == size && memcmp(field->name, name, size) == 0)
      return (struct lp__span){field->value, field->value_size};
  }
  return none;
}

/* --- the time ------------------------------------------------------------ */

static const char *format_time(char out[17], int64_t seconds) {
  struct tm utc;
  time_t time = (time_t)seconds;
  gmtime_r(&time, &utc);
  strftime(out, 17, "%Y%m%dT%H%M%SZ", &utc);
  return out;
}

static enum lp__sigv4_problem say_time(struct lp__sigv4 *sigv4,
                                       const struct lp__sigv4_claim *claim,
                                       int64_t now, bool expired) {
  char limit[17], today[17];
  format_time(limit, expired ? now - LP__SIGV4_SKEW : now + LP__SIGV4_SKEW);
  format_time(today, now);
  if (expired)
    return lp__sigv4_say(sigv4, LP__SIGV4_EXPIRED,
                         "Signature expired: %s is now earlier than %s (%s - "
                         "5 min.)",
                         claim->timestamp, limit, today);
  return lp__sigv4_say(sigv4, LP__SIGV4_EARLY,
                       "Signature not yet current: %s is still later than %s "
                       "(%s + 5 min.)",
                       claim->timestamp, limit, today);
}

static enum lp__sigv4_problem check_time(struct lp__sigv4 *sigv4,
                                         const struct lp__sigv4_claim *claim,
                                         int64_t now) {
  if (claim->time > now + LP__SIGV4_SKEW)
    return say_time(sigv4, claim, now, false);
  if (claim->presigned && now > claim->time + claim->expires)
    return lp__sigv4_say(sigv4, LP__SIGV4_EXPIRED_URL, "Request has expired");
  if (!claim->presigned && claim->time < now - LP__SIGV4_SKEW)
    return say_time(sigv4, claim, now, true);
  return LP__SIGV4_OK;
}

/* --- the scope ----------------------------------------------------------- */

static bool signs_host(struct lp__span names) {
  struct lp__span name;
  while (lp__span_next(&names, ';', &name)) {
    if (lp__span_is(name, "host"))
      return true;
  }
  return false;
}

static enum lp__sigv4_problem check_scope(struct lp__sigv4 *sigv4,
                                          const struct lp__sigv4_claim *claim) {
  if (!signs_host(claim->names))
    return lp__sigv4_say(sigv4, LP__SIGV4_MISMATCH,
                         "'Host' or ':authority' must be a 'SignedHeader' in "
                         "the AWS Authorization.");
  if (!lp__span_is(claim->terminator, "aws4_request"))
    return lp__sigv4_say(
        sigv4, LP__SIGV4_MISMATCH,
        "Credential should be scoped with a valid terminator: 'aws4_request', "
        "not '%.*s'.",
        (int)claim->terminator.size, claim->terminator.at);
  if (claim->date.size != 8 || memcmp(claim->date.at, claim->timestamp, 8))
    return lp__sigv4_say(
        sigv4, LP__SIGV4_MISMATCH,
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 "
        "version of date from HTTP: '%.*s' != '%.8s', from '%s'.",
        (int)claim->date.size, claim->date.at, claim->timestamp,
        claim->timestamp);
  return LP__SIGV4_OK;
}

enum lp__sigv4_problem lp__sigv4_check(struct lp__sigv4 *sigv4,
                                       const struct lp__sigv4_claim *claim,
                                       int64_t now) {
  enum lp__sigv4_problem problem = check_time(sigv4, claim, now);
  return problem ? problem : check_scope(sigv4, claim);
}

/* --- the signature ------------------------------------------------------- */

static char *put(char *out, const char *bytes, size_t size) {
  memcpy(out, bytes, size);
  return out + size;
}

static int write_to_sign(struct lp__sigv4 *sigv4,
                         const struct lp__sigv4_claim *claim) {
  struct lp__text *text = &sigv4->to_sign;
  unsigned char digest[LP__SHA256_SIZE];
  if (lp__text_reserve(text, claim->scope.size + 128) < 0)
    return -1;
  char *out = put(text->at, ALGORITHM, sizeof ALGORITHM - 1);
  out = put(out, claim->timestamp, 16);
  *out++ = '\n';
  out = put(out, claim->scope.at, claim->scope.size);
  *out++ = '\n';
  lp__sha256(digest, sigv4->canonical.text.at, sigv4->canonical.text.size);
  lp__sha256_hex(out, digest);
  text->size = (size_t)(out + LP__SHA256_HEX - text->at);
  return 0;
}

int lp__sigv4_calculate(struct lp__sigv4 *sigv4,
                        const struct lp__request *request,
                        const struct lp__sigv4_claim *claim,
                        const struct lp__canonical_rules *rules,
                        struct lp__span secret,
                        char signature[LP__SHA256_HEX]) {
  unsigned char digest[LP__SHA256_SIZE];
  if (lp__canonical_write(&sigv4->canonical, request, rules) < 0 ||
      write_to_sign(sigv4, claim) < 0)
    return -1;
  lp__hmac(digest,
           lp__signing_key(&sigv4->keys, secret, claim->date, claim->region,
                           claim->service),
           sigv4->to_sign.at, sigv4->to_sign.size);
  lp__sha256_hex(signature, digest);
  return 0;
}

static enum lp__sigv4_problem say_mismatch(struct lp__sigv4 *sigv4) {
  return lp__sigv4_say(
      sigv4, LP__SIGV4_MISMATCH,
      "The request signature we calculated does not match the signature you "
      "provided. Check your AWS Secret Access Key and signing method. Consult "
      "the service documentation for details.\n\n"
      "The Canonical String for this request should have been\n'%.*s'\n\n"
      "The String-to-Sign should have been\n'%.*s'\n",
      (int)sigv4->canonical.text.size, sigv4->canonical.text.at,
      (int)sigv4->to_sign.size, sigv4->to_sign.at);
}

/* Only a URL may leave its body open, and one for S3 does so unless it says
 * otherwise. */
static bool is_open(const struct lp__sigv4_claim *claim,
                    struct lp__span declared) {
  return claim->presigned && (declared.at ? lp__span_is(declared, UNSIGNED)
                                          : lp__span_is(claim->service, "s3"));
}

enum lp__sigv4_problem lp__sigv4_verify(struct lp__sigv4 *sigv4,
                                        const struct lp__request *request,
                                        const struct lp__sigv4_claim *claim,
                                        struct lp__span secret) {
  unsigned char digest[LP__SHA256_SIZE];
  char hex[LP__SHA256_HEX], signature[LP__SHA256_HEX];
  struct lp__canonical_rules rules = {
      .path_as_is = lp__span_is(claim->service, "s3"),
      .with_dots = lp__span_is(claim->service, "s3"),
      .without_signature = claim->presigned,
      .names = claim->names,
      .payload = {UNSIGNED, sizeof UNSIGNED - 1},
  };
  struct lp__span declared = lp__sigv4_field(request, "x-amz-content-sha256");
  if (!is_open(claim, declared)) {
    lp__sha256(digest, request->body, request->body_size);
    lp__sha256_hex(hex, digest);
    rules.payload = (struct lp__span){hex, sizeof hex};
    if (declared.at && (declared.size != sizeof hex ||
                        memcmp(declared.at, hex, sizeof hex) != 0))
      return lp__sigv4_say(sigv4, LP__SIGV4_PAYLOAD,
                           "The provided 'x-amz-content-sha256' header does "
                           "not match what was computed.");
  }
  if (lp__sigv4_calculate(sigv4, request, claim, &rules, secret, signature))
    return LP__SIGV4_NO_MEMORY;
  if (claim->signature.size != sizeof signature ||
      CRYPTO_memcmp(claim->signature.at, signature, sizeof signature) != 0)
    return say_mismatch(sigv4);
  return LP__SIGV4_OK;
}
