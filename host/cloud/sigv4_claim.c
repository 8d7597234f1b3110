/* Reading what a request says of its signature. The texts are AWS's, which
 * names an Authorization header only by its hash: it may get into a log. */
#define _GNU_SOURCE /* timegm */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sigv4_state.h"

#define ALGORITHM  "AWS4-HMAC-SHA256"
#define MOST_NAMES 256
#define WEEK       604800

/* --- single values ------------------------------------------------------- */

static int number(const char *digits, int count) {
  int value = 0;
  for (int i = 0; i < count; i++) {
    if (digits[i] < '0' || digits[i] > '9')
      return -1;
    value = value * 10 + digits[i] - '0';
  }
  return value;
}

static bool in_range(int value, int least, int most) {
  return value >= least && value <= most;
}

bool lp__sigv4_time(struct lp__span text, int64_t *seconds) {
  if (text.size != 16 || text.at[8] != 'T' || text.at[15] != 'Z')
    return false;
  int year = number(text.at, 4), month = number(text.at + 4, 2),
      day = number(text.at + 6, 2), hour = number(text.at + 9, 2),
      minute = number(text.at + 11, 2), second = number(text.at + 13, 2);
  if (!in_range(year, 1970, 9999) || !in_range(month, 1, 12) ||
      !in_range(day, 1, 31) || !in_range(hour, 0, 23) ||
      !in_range(minute, 0, 59) || !in_range(second, 0, 60))
    return false;
  struct tm utc = {.tm_year = year - 1900,
                   .tm_mon = month - 1,
                   .tm_mday = day,
                   .tm_hour = hour,
                   .tm_min = minute,
                   .tm_sec = second};
  *seconds = timegm(&utc);
  return true;
}

/* "Sun, 30 Aug 2015 12:36:00 GMT", as in the Date header, in the form of the
 * other. */
static bool convert_date(struct lp__span text, char out[17]) {
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  unsigned day, year, hour, minute, second;
  char name[4];
  int end = 0;
  if (text.size != 29 ||
      sscanf(text.at, "%*3s, %2u %3s %4u %2u:%2u:%2u GMT%n", &day, name, &year,
             &hour, &minute, &second, &end) != 6 ||
      end != 29)
    return false;
  const char *month = strstr(months, name);
  if (!month || (month - months) % 3 != 0)
    return false;
  snprintf(out, 17, "%04u%02u%02uT%02u%02u%02uZ", year % 10000,
           ((unsigned)(month - months) / 3 + 1) % 100, day % 100, hour % 100,
           minute % 100, second % 100);
  return true;
}

static enum lp__sigv4_problem parse_time(struct lp__sigv4 *sigv4,
                                         struct lp__sigv4_claim *claim,
                                         struct lp__span date) {
  struct lp__span timestamp = {claim->timestamp, 16};
  if (date.size == 16)
    memcpy(claim->timestamp, date.at, 16);
  else if (!convert_date(date, claim->timestamp))
    timestamp.size = 0;
  if (!lp__sigv4_time(timestamp, &claim->time))
    return lp__sigv4_say(sigv4, LP__SIGV4_MALFORMED,
                         "Date must be in ISO-8601 'basic format'. Got '%.*s'. "
                         "See http://en.wikipedia.org/wiki/ISO_8601",
                         (int)date.size, date.at);
  return LP__SIGV4_OK;
}

static enum lp__sigv4_problem parse_credential(struct lp__sigv4 *sigv4,
                                               struct lp__sigv4_claim *claim,
                                               struct lp__span credential) {
  struct lp__span rest = credential;
  struct lp__span *parts[] = {&claim->access_key, &claim->date, &claim->region,
                              &claim->service, &claim->terminator};
  size_t count = 0;
  while (count < 5 && lp__span_next(&rest, '/', parts[count]))
    count++;
  if (count < 5 || rest.at)
    return lp__sigv4_say(sigv4, LP__SIGV4_MALFORMED,
                         "Credential must have exactly 5 slash-delimited "
                         "elements, e.g. keyid/date/region/service/term, got "
                         "'%.*s'",
                         (int)credential.size, credential.at);
  claim->scope.at = claim->date.at;
  claim->scope.size =
      (size_t)(credential.at + credential.size - claim->date.at);
  return LP__SIGV4_OK;
}

static bool is_field_name(struct lp__span name) {
  for (size_t i = 0; i < name.size; i++) {
    if (name.at[i] <= ' ' || (name.at[i] >= 'A' && name.at[i] <= 'Z'))
      return false;
  }
  return name.size > 0;
}

static bool is_greater(struct lp__span a, struct lp__span b) {
  size_t both = a.size < b.size ? a.size : b.size;
  int order = both > 0 ? memcmp(a.at, b.at, both) : 0;
  return order ? order > 0 : a.size > b.size;
}

bool lp__sigv4_names_ok(struct lp__span names) {
  struct lp__span name, last = {NULL, 0};
  for (size_t i = 0; lp__span_next(&names, ';', &name); i++) {
    if (i == MOST_NAMES || !is_field_name(name) || !is_greater(name, last))
      return false;
    last = name;
  }
  return true;
}

static enum lp__sigv4_problem parse_names(struct lp__sigv4 *sigv4,
                                          struct lp__sigv4_claim *claim) {
  if (lp__sigv4_names_ok(claim->names))
    return LP__SIGV4_OK;
  return lp__sigv4_say(sigv4, LP__SIGV4_MALFORMED,
                       "SignedHeaders must be names in lower case, sorted, "
                       "each once, at most %d of them. Got '%.*s'.",
                       MOST_NAMES, (int)claim->names.size, claim->names.at);
}

static enum lp__sigv4_problem parse_values(struct lp__sigv4 *sigv4,
                                           struct lp__sigv4_claim *claim,
                                           struct lp__span credential,
                                           struct lp__span date) {
  enum lp__sigv4_problem problem = parse_credential(sigv4, claim, credential);
  if (!problem)
    problem = parse_time(sigv4, claim, date);
  return problem ? problem : parse_names(sigv4, claim);
}

static enum lp__sigv4_problem parse_algorithm(struct lp__sigv4 *sigv4,
                                              struct lp__span algorithm) {
  if (lp__span_is(algorithm, ALGORITHM))
    return LP__SIGV4_OK;
  return lp__sigv4_say(
      sigv4, LP__SIGV4_MALFORMED,
      "Unsupported AWS 'algorithm': '%.*s' (only AWS4-HMAC-SHA256 for now).",
      algorithm.size < 64 ? (int)algorithm.size : 64, algorithm.at);
}

/* --- the header ---------------------------------------------------------- */

/* The hash of `text` in base64. */
static const char *hashed(char out[48], struct lp__span text) {
  unsigned char digest[LP__SHA256_SIZE];
  lp__sha256(digest, text.at, text.size);
  EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
  return out;
}

/* Takes the next "name=value" off, after commas and spaces. */
static bool next_pair(struct lp__span *rest, struct lp__span *pair) {
  static const char ends[] = ", \t";
  while (rest->size > 0 && strchr(ends, *rest->at)) {
    rest->at++;
    rest->size--;
  }
  pair->at = rest->at;
  while (rest->size > 0 && !strchr(ends, *rest->at)) {
    rest->at++;
    rest->size--;
  }
  pair->size = (size_t)(rest->at - pair->at);
  return pair->size > 0;
}

static enum lp__sigv4_problem read_pairs(struct lp__sigv4 *sigv4,
                                         struct lp__sigv4_claim *claim,
                                         struct lp__span authorization,
                                         struct lp__span *credential) {
  struct lp__span rest = authorization, pair, name;
  char hash[48];
  next_pair(&rest, &pair); /* the algorithm */
  while (next_pair(&rest, &pair)) {
    lp__span_next(&pair, '=', &name);
    if (!pair.at)
      return lp__sigv4_say(sigv4, LP__SIGV4_MALFORMED,
                           "Invalid key=value pair (missing equal-sign) in "
                           "Authorization header (hashed with SHA-256 and "
                           "encoded with Base64): '%s'.",
                           hashed(hash, authorization));
    if (lp__span_is(name, "Credential"))
      *credential = pair;
    else if (lp__span_is(name, "SignedHeaders"))
      claim->names = pair;
    else if (lp__span_is(name, "Signature"))
      claim->signature = pair;
  }
  return LP__SIGV4_OK;
}

#define NO_DATE                                                                \
  "Authorization header requires existence of either a 'X-Amz-Date' or a "     \
  "'Date' header. "

static enum lp__sigv4_problem
say_incomplete(struct lp__sigv4 *sigv4, const struct lp__sigv4_claim *claim,
               struct lp__span authorization, bool credential, bool date) {
  char hash[48];
  return lp__sigv4_say(
      sigv4, LP__SIGV4_MALFORMED,
      "%s%s%s%s(Hashed with SHA-256 and encoded with Base64) Authorization=%s",
      credential ? ""
                 : "Authorization header requires 'Credential' parameter. ",
      claim->signature.at
          ? ""
          : "Authorization header requires 'Signature' parameter. ",
      claim->names.at
          ? ""
          : "Authorization header requires 'SignedHeaders' parameter. ",
      date ? "" : NO_DATE, hashed(hash, authorization));
}

static enum lp__sigv4_problem parse_header(struct lp__sigv4 *sigv4,
                                           const struct lp__request *request,
                                           struct lp__sigv4_claim *claim,
                                           struct lp__span authorization) {
  struct lp__span rest = authorization, algorithm, credential = {NULL, 0};
  struct lp__span date = lp__sigv4_field(request, "x-amz-date");
  if (!date.at)
    date = lp__sigv4_field(request, "date");
  next_pair(&rest, &algorithm);
  enum lp__sigv4_problem problem = parse_algorithm(sigv4, algorithm);
  if (!problem)
    problem = read_pairs(sigv4, claim, authorization, &credential);
  if (problem)
    return problem;
  if (!credential.at || !claim->signature.at || !claim->names.at || !date.at)
    return say_incomplete(sigv4, claim, authorization, credential.at, date.at);
  claim->token = lp__sigv4_field(request, "x-amz-security-token");
  return parse_values(sigv4, claim, credential, date);
}

/* --- the query ----------------------------------------------------------- */

/* What a presigned request has, in the order of the names below. */
enum { QUERY_ALGORITHM, CREDENTIAL, SIGNATURE, NAMES, DATE, EXPIRES, TOKEN };

static const char *const parameters[] = {
    "X-Amz-Algorithm",     "X-Amz-Credential", "X-Amz-Signature",
    "X-Amz-SignedHeaders", "X-Amz-Date",       "X-Amz-Expires",
    "X-Amz-Security-Token"};

enum { REQUIRED = EXPIRES, PARAMETERS = TOKEN + 1 };

/* Finds the first of each, decoded.  The number found, or -1 without memory. */
static int read_query(struct lp__text *decoded, struct lp__span query,
                      struct lp__span found[PARAMETERS]) {
  struct lp__span name, value;
  int count = 0;
  if (lp__text_reserve(decoded, query.size + 1) < 0)
    return -1;
  char *out = decoded->at;
  while (lp__span_next(&query, '&', &value)) {
    lp__span_next(&value, '=', &name);
    for (int i = 0; i < PARAMETERS; i++) {
      if (found[i].at || !value.at || !lp__span_is(name, parameters[i]))
        continue;
      found[i].at = out;
      out = lp__query_decode(out, value);
      found[i].size = (size_t)(out - found[i].at);
      count++;
    }
  }
  return count;
}

static enum lp__sigv4_problem check_parameters(struct lp__sigv4 *sigv4,
                                               const struct lp__span *found) {
  char list[400] = "";
  for (int i = 0; i < REQUIRED; i++) {
    if (!found[i].at)
      snprintf(list + strlen(list), sizeof list - strlen(list),
               "AWS query-string parameters must include '%s'. ",
               parameters[i]);
  }
  if (!*list)
    return LP__SIGV4_OK;
  return lp__sigv4_say(sigv4, LP__SIGV4_MALFORMED,
                       "%sRe-examine the query-string parameters.", list);
}

/* Without a number, a URL is good for as long as a header. */
static enum lp__sigv4_problem parse_expires(struct lp__sigv4 *sigv4,
                                            struct lp__sigv4_claim *claim,
                                            struct lp__span text) {
  int seconds = text.at ? -1 : LP__SIGV4_SKEW;
  if (text.at && text.size > 0 && text.size <= 6)
    seconds = number(text.at, (int)text.size);
  claim->expires = seconds;
  if (in_range(seconds, 1, WEEK))
    return LP__SIGV4_OK;
  return lp__sigv4_say(sigv4, LP__SIGV4_MALFORMED,
                       "X-Amz-Expires must be a number of seconds from 1 to "
                       "%d. Got '%.*s'.",
                       WEEK, (int)text.size, text.at);
}

static enum lp__sigv4_problem parse_query(struct lp__sigv4 *sigv4,
                                          const struct lp__request *request,
                                          struct lp__sigv4_claim *claim) {
  struct lp__span found[PARAMETERS] = {{NULL, 0}};
  int count = read_query(&sigv4->decoded, lp__request_query(request), found);
  if (count < 0)
    return LP__SIGV4_NO_MEMORY;
  if (!found[QUERY_ALGORITHM].at && !found[CREDENTIAL].at &&
      !found[SIGNATURE].at)
    return lp__sigv4_say(sigv4, LP__SIGV4_MISSING,
                         "Missing Authentication Token");
  enum lp__sigv4_problem problem = check_parameters(sigv4, found);
  if (!problem)
    problem = parse_algorithm(sigv4, found[QUERY_ALGORITHM]);
  if (!problem)
    problem = parse_expires(sigv4, claim, found[EXPIRES]);
  claim->presigned = true;
  claim->signature = found[SIGNATURE];
  claim->names = found[NAMES];
  claim->token = found[TOKEN];
  return problem ? problem
                 : parse_values(sigv4, claim, found[CREDENTIAL], found[DATE]);
}

enum lp__sigv4_problem lp__sigv4_parse(struct lp__sigv4 *sigv4,
                                       const struct lp__request *request,
                                       struct lp__sigv4_claim *claim) {
  struct lp__span authorization = lp__sigv4_field(request, "authorization");
  memset(claim, 0, sizeof *claim);
  if (authorization.at)
    return parse_header(sigv4, request, claim, authorization);
  return parse_query(sigv4, request, claim);
}
