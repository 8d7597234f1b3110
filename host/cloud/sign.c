#define _GNU_SOURCE /* gmtime_r */
#include "sign.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sigv4_state.h"

#define ALGORITHM  "AWS4-HMAC-SHA256"
#define TERMINATOR "aws4_request"

enum { ADDED = 3 }; /* fields, at most */

struct lp__signer {
  struct lp__sigv4 *sigv4;
  struct lp__text fields; /* struct lp__field: the signed ones, sorted */
  struct lp__text names;  /* theirs, in lower case */
  struct lp__text list;   /* of the names: "a;b" */
  struct lp__text scope;  /* "date/region/service/aws4_request" */
  struct lp__text result; /* authorization, or the target with its query */
  int64_t time;           /* what `timestamp` says; -1: nothing */
  char timestamp[17];
  char digest[LP__SHA256_HEX]; /* of the body */
};

struct lp__signer *lp__signer_new(void) {
  struct lp__signer *signer = calloc(1, sizeof *signer);
  if (!signer)
    return NULL;
  signer->time = -1;
  signer->sigv4 = lp__sigv4_new();
  if (signer->sigv4)
    return signer;
  free(signer);
  return NULL;
}

void lp__signer_free(struct lp__signer *signer) {
  if (!signer)
    return;
  lp__sigv4_free(signer->sigv4);
  free(signer->fields.at);
  free(signer->names.at);
  free(signer->list.at);
  free(signer->scope.at);
  free(signer->result.at);
  free(signer);
}

static char *put(char *out, struct lp__span span) {
  memcpy(out, span.at, span.size);
  return out + span.size;
}

/* Of a literal. */
#define PUT(out, text) put(out, (struct lp__span){text, sizeof text - 1})

/* --- which fields -------------------------------------------------------- */

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

static bool is_name(struct lp__span name, const char *text, size_t size) {
  if (name.size != size)
    return false;
  for (size_t i = 0; i < size; i++) {
    if (lower(name.at[i]) != text[i])
      return false;
  }
  return true;
}

bool lp__sign_ignores(struct lp__span name) {
#define NAME(text)                                                             \
  { text, sizeof text - 1 }
  static const struct lp__span names[] = {
      NAME("authorization"),
      NAME("connection"),
      NAME("expect"),
      NAME("keep-alive"),
      NAME("proxy-authenticate"),
      NAME("proxy-authorization"),
      NAME("proxy-connection"),
      NAME("te"),
      NAME("trailer"),
      NAME("transfer-encoding"),
      NAME("upgrade"),
      NAME("user-agent"),
      NAME("x-amzn-trace-id"),
  };
#undef NAME
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (is_name(name, names[i].at, names[i].size))
      return true;
  }
  return false;
}

/* Names are not empty. */
static int compare_names(const struct lp__field *a, const struct lp__field *b) {
  if (*a->name != *b->name)
    return (unsigned char)*a->name - (unsigned char)*b->name;
  size_t both = a->name_size < b->name_size ? a->name_size : b->name_size;
  int order = memcmp(a->name, b->name, both);
  return order ? order
               : (a->name_size > b->name_size) - (a->name_size < b->name_size);
}

/* The request that is signed, with the fields of another, sorted. */
struct draft {
  struct lp__request request;
  struct lp__field *fields; /* those of `request` */
  struct lp__span repeated;
};

/* Puts a field in its place, behind those of the same name. */
static void add_field(struct draft *draft, struct lp__field field) {
  size_t i = draft->request.field_count++;
  for (; i > 0; i--) {
    int order = compare_names(&draft->fields[i - 1], &field);
    if (order == 0)
      draft->repeated = (struct lp__span){field.name, field.name_size};
    if (order <= 0)
      break;
    draft->fields[i] = draft->fields[i - 1];
  }
  draft->fields[i] = field;
}

#define ADD(draft, name, value)                                                \
  add_field(draft, (struct lp__field){name, (value).at, sizeof name - 1,       \
                                      (value).size})

/* Makes room for the fields and copies what is signed of them.  0, or -1
 * without memory. */
static int copy_fields(struct lp__signer *signer, struct draft *draft,
                       const struct lp__request *request) {
  size_t size = 0;
  for (size_t i = 0; i < request->field_count; i++)
    size += request->fields[i].name_size;
  if (lp__text_reserve(&signer->fields, (request->field_count + ADDED) *
                                            sizeof *draft->fields) < 0 ||
      lp__text_reserve(&signer->names, size + 1) < 0)
    return -1;
  char *out = signer->names.at;
  draft->fields = (struct lp__field *)(void *)signer->fields.at;
  draft->request = *request;
  draft->request.fields = draft->fields;
  draft->request.field_count = 0;
  draft->repeated = (struct lp__span){NULL, 0};
  for (size_t i = 0; i < request->field_count; i++) {
    struct lp__field field = request->fields[i];
    if (lp__sign_ignores((struct lp__span){field.name, field.name_size}))
      continue;
    for (size_t j = 0; j < field.name_size; j++)
      out[j] = lower(field.name[j]);
    field.name = out;
    out += field.name_size;
    add_field(draft, field);
  }
  return 0;
}

/* The names of the signed fields: each once.  .at is NULL without memory. */
static struct lp__span list_names(struct lp__signer *signer,
                                  const struct draft *draft) {
  size_t count = draft->request.field_count, size = 0;
  for (size_t i = 0; i < count; i++)
    size += draft->fields[i].name_size + 1;
  if (lp__text_reserve(&signer->list, size + 1) < 0)
    return (struct lp__span){NULL, 0};
  char *out = signer->list.at;
  for (size_t i = 0; i < count; i++) {
    const struct lp__field *field = &draft->fields[i];
    if (i > 0 && draft->repeated.at && compare_names(field - 1, field) == 0)
      continue;
    if (i > 0)
      *out++ = ';';
    out = put(out, (struct lp__span){field->name, field->name_size});
  }
  return (struct lp__span){signer->list.at, (size_t)(out - signer->list.at)};
}

/* --- time, scope and payload --------------------------------------------- */

static const char *timestamp_of(struct lp__signer *signer, int64_t seconds) {
  struct tm utc;
  time_t time = (time_t)seconds;
  if (signer->time != seconds) {
    gmtime_r(&time, &utc);
    strftime(signer->timestamp, sizeof signer->timestamp, "%Y%m%dT%H%M%SZ",
             &utc);
    signer->time = seconds;
  }
  return signer->timestamp;
}

/* What the signature will say of itself.  0, or -1 without memory. */
static int make_claim(struct lp__signer *signer, const struct lp__signing *how,
                      struct lp__sigv4_claim *claim) {
  struct lp__text *text = &signer->scope;
  memset(claim, 0, sizeof *claim);
  memcpy(claim->timestamp, timestamp_of(signer, how->time), 17);
  claim->date = (struct lp__span){claim->timestamp, 8};
  claim->region = how->region;
  claim->service = how->service;
  if (lp__text_reserve(text, how->region.size + how->service.size + 32) < 0)
    return -1;
  char *out = put(text->at, claim->date);
  *out++ = '/';
  out = put(out, how->region);
  *out++ = '/';
  out = put(out, how->service);
  out = PUT(out, "/" TERMINATOR);
  claim->scope = (struct lp__span){text->at, (size_t)(out - text->at)};
  return 0;
}

static struct lp__span payload_of(struct lp__signer *signer,
                                  const struct lp__request *request,
                                  const struct lp__signing *how) {
  unsigned char digest[LP__SHA256_SIZE];
  if (how->payload.at)
    return how->payload;
  lp__sha256(digest, request->body, request->body_size);
  lp__sha256_hex(signer->digest, digest);
  return (struct lp__span){signer->digest, sizeof signer->digest};
}

static struct lp__canonical_rules rules_of(const struct lp__signing *how,
                                           struct lp__span names,
                                           struct lp__span payload) {
  return (struct lp__canonical_rules){.path_as_is = how->path_as_is,
                                      .with_dots = how->with_dots,
                                      .names = names,
                                      .payload = payload};
}

/* --- in a header --------------------------------------------------------- */

/* 0, or -1 without memory. */
static int write_authorization(struct lp__signer *signer,
                               const struct lp__signing *how,
                               const struct lp__sigv4_claim *claim,
                               struct lp__span names, const char *signature) {
  struct lp__text *text = &signer->result;
  if (lp__text_reserve(text, how->access_key.size + claim->scope.size +
                                 names.size + 160) < 0)
    return -1;
  char *out = PUT(text->at, ALGORITHM " Credential=");
  out = put(out, how->access_key);
  *out++ = '/';
  out = put(out, claim->scope);
  out = PUT(out, ", SignedHeaders=");
  out = put(out, names);
  out = PUT(out, ", Signature=");
  out = put(out, (struct lp__span){signature, LP__SHA256_HEX});
  text->size = (size_t)(out - text->at);
  return 0;
}

int lp__sign_headers(struct lp__signer *signer,
                     const struct lp__request *request,
                     const struct lp__signing *how, struct lp__signed *result) {
  struct draft draft;
  struct lp__sigv4_claim claim;
  char signature[LP__SHA256_HEX];
  if (copy_fields(signer, &draft, request) < 0 ||
      make_claim(signer, how, &claim) < 0)
    return -1;
  struct lp__span payload = payload_of(signer, request, how);
  struct lp__span timestamp = {claim.timestamp, 16};
  ADD(&draft, "x-amz-date", timestamp);
  if (!how->hide_payload)
    ADD(&draft, "x-amz-content-sha256", payload);
  if (how->token.at && !how->hide_token)
    ADD(&draft, "x-amz-security-token", how->token);
  struct lp__span names = list_names(signer, &draft);
  if (!names.at)
    return -1;
  struct lp__canonical_rules rules = rules_of(how, names, payload);
  if (lp__sigv4_calculate(signer->sigv4, &draft.request, &claim, &rules,
                          how->secret, signature) < 0 ||
      write_authorization(signer, how, &claim, names, signature) < 0)
    return -1;
  *result = (struct lp__signed){
      .timestamp = signer->timestamp,
      .payload = payload,
      .text = {signer->result.at, signer->result.size},
      .repeated = draft.repeated,
  };
  return 0;
}

/* --- in the query -------------------------------------------------------- */

/* At most 3 bytes for each. */
static char *put_parameter(char *out, const char *name, struct lp__span value) {
  out = put(out, (struct lp__span){name, strlen(name)});
  return lp__span_encode(out, value);
}

static char *put_credential(char *out, struct lp__span access_key,
                            struct lp__span scope) {
  out = put_parameter(out, "&X-Amz-Credential=", access_key);
  out = PUT(out, "%2F");
  return put_parameter(out, "", scope);
}

/* Writes the target with all that is to be signed of the query.  0, or -1
 * without memory. */
static int write_target(struct lp__signer *signer, struct draft *draft,
                        const struct lp__signing *how,
                        const struct lp__sigv4_claim *claim,
                        struct lp__span names) {
  struct lp__text *text = &signer->result;
  struct lp__request *request = &draft->request;
  bool has_query = request->target_size > request->path_size + 1;
  if (lp__text_reserve(text, request->target_size +
                                 3 * (how->access_key.size + claim->scope.size +
                                      names.size + how->token.size) +
                                 400) < 0)
    return -1;
  char *out =
      put(text->at, (struct lp__span){request->target, request->target_size});
  if (request->target_size == request->path_size)
    *out++ = '?';
  if (has_query)
    *out++ = '&';
  out = PUT(out, "X-Amz-Algorithm=" ALGORITHM);
  out = put_credential(out, how->access_key, claim->scope);
  out = put_parameter(out,
                      "&X-Amz-Date=", (struct lp__span){claim->timestamp, 16});
  out += sprintf(out, "&X-Amz-Expires=%d", how->expires);
  out = put_parameter(out, "&X-Amz-SignedHeaders=", names);
  if (how->token.at && !how->hide_token)
    out = put_parameter(out, "&X-Amz-Security-Token=", how->token);
  text->size = (size_t)(out - text->at);
  request->target = text->at;
  request->target_size = text->size;
  return 0;
}

/* There is room. */
static void finish_target(struct lp__text *text, const struct lp__signing *how,
                          const char *signature) {
  char *out = text->at + text->size;
  if (how->token.at && how->hide_token)
    out = put_parameter(out, "&X-Amz-Security-Token=", how->token);
  out = put_parameter(
      out, "&X-Amz-Signature=", (struct lp__span){signature, LP__SHA256_HEX});
  text->size = (size_t)(out - text->at);
}

int lp__sign_query(struct lp__signer *signer, const struct lp__request *request,
                   const struct lp__signing *how, struct lp__signed *result) {
  struct draft draft;
  struct lp__sigv4_claim claim;
  char signature[LP__SHA256_HEX];
  if (copy_fields(signer, &draft, request) < 0 ||
      make_claim(signer, how, &claim) < 0)
    return -1;
  struct lp__span payload = payload_of(signer, request, how);
  struct lp__span names = list_names(signer, &draft);
  if (!names.at || write_target(signer, &draft, how, &claim, names) < 0)
    return -1;
  struct lp__canonical_rules rules = rules_of(how, names, payload);
  if (lp__sigv4_calculate(signer->sigv4, &draft.request, &claim, &rules,
                          how->secret, signature) < 0)
    return -1;
  finish_target(&signer->result, how, signature);
  *result = (struct lp__signed){
      .timestamp = signer->timestamp,
      .payload = payload,
      .text = {signer->result.at + request->path_size + 1,
               signer->result.size - request->path_size - 1},
      .repeated = draft.repeated,
  };
  return 0;
}
