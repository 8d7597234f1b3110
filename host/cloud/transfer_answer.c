/* What comes back: gathering an answer within its limits, and naming what went
 * wrong. */
#include "transfer_private.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
  MOST_HEADERS = 256 * 1024, /* bytes, of all answers to one request */
  FIRST_ROOM = 1024,
  KEPT_ROOM = 16 * 1024 /* a spare transfer keeps no more for its next answer */
};

/* --- bytes --------------------------------------------------------------- */

static bool grow(struct lp__gathered *gathered, size_t room) {
  char *bytes = realloc(gathered->bytes, room);
  if (!bytes)
    return false;
  gathered->bytes = bytes;
  gathered->room = room;
  return true;
}

static bool gather(struct lp__gathered *gathered, const char *bytes,
                   size_t size) {
  size_t needed = gathered->size + size;
  if (needed > gathered->room) {
    size_t room = gathered->room > 0 ? gathered->room : FIRST_ROOM;
    while (room < needed)
      room *= 2;
    if (!grow(gathered, room))
      return false;
  }
  memcpy(gathered->bytes + gathered->size, bytes, size);
  gathered->size = needed;
  return true;
}

static void forget(struct lp__gathered *gathered, bool all) {
  if (all || gathered->room > KEPT_ROOM) {
    free(gathered->bytes);
    gathered->bytes = NULL;
    gathered->room = 0;
  }
  gathered->size = 0;
}

void lp__transfer_forget_answer(struct lp__transfer *transfer, bool all) {
  forget(&transfer->headers, all);
  forget(&transfer->answer, all);
  transfer->headers_seen = 0;
  transfer->headers_complete = transfer->too_large = false;
}

/* --- headers ------------------------------------------------------------- */

static bool is_space(char byte) {
  return byte == ' ' || byte == '\t';
}

static void lower_name(char *line) {
  for (; *line && *line != ':'; line++)
    *line = (char)tolower((unsigned char)*line);
}

/* Adds one line, or what continues the one before. */
static bool add_line(struct lp__gathered *headers, const char *line,
                     size_t size) {
  size_t before = headers->size;
  bool continues = before > 0 && is_space(*line);
  while (size > 0 && is_space(line[size - 1]))
    size--;
  if (!gather(headers, line, size) || !gather(headers, "", 1))
    return false;
  if (continues)
    headers->bytes[before - 1] = ' ';
  else
    lower_name(headers->bytes + before);
  return true;
}

/* The empty line ends the headers, unless the answer is an interim one. What
 * comes as headers later are trailers. */
static void end_headers(struct lp__transfer *transfer) {
  long status = 0;
  curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
  transfer->headers_complete = status >= 200;
}

static size_t on_header(char *line, size_t one, size_t size, void *data) {
  struct lp__transfer *transfer = data;
  size_t length = size * one;
  transfer->headers_seen += length;
  if (transfer->headers_seen > MOST_HEADERS) {
    transfer->too_large = true;
    return 0;
  }
  while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
    length--;
  if (transfer->headers_complete)
    return size * one;
  if (length == 0)
    end_headers(transfer);
  else if (length >= 5 && strncasecmp(line, "HTTP/", 5) == 0)
    transfer->headers.size = 0;
  else if (!add_line(&transfer->headers, line, length))
    return 0;
  return size * one;
}

/* --- body ---------------------------------------------------------------- */

/* Makes room for all of it when the answer says how much that is. */
static bool expect_body(struct lp__transfer *transfer) {
  curl_off_t size = -1;
  curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
  if (size > 0 && (size_t)size > transfer->most_bytes)
    return false;
  return size <= (curl_off_t)transfer->answer.room ||
         grow(&transfer->answer, (size_t)size);
}

static size_t on_body(char *bytes, size_t one, size_t size, void *data) {
  struct lp__transfer *transfer = data;
  struct lp__gathered *answer = &transfer->answer;
  size *= one;
  if (size > transfer->most_bytes - answer->size ||
      (answer->size == 0 && !expect_body(transfer))) {
    transfer->too_large = true;
    return 0;
  }
  return gather(answer, bytes, size) ? size : 0;
}

void lp__transfer_listen(struct lp__transfer *transfer) {
  CURL *easy = transfer->easy;
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
}

/* --- failures ------------------------------------------------------------ */

static bool is_tls(CURLcode code) {
  switch (code) {
  case CURLE_SSL_CONNECT_ERROR:
  case CURLE_SSL_ENGINE_NOTFOUND:
  case CURLE_SSL_ENGINE_SETFAILED:
  case CURLE_SSL_CERTPROBLEM:
  case CURLE_SSL_CIPHER:
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_ENGINE_INITFAILED:
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_SSL_CRL_BADFILE:
  case CURLE_SSL_ISSUER_ERROR:
  case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
  case CURLE_SSL_INVALIDCERTSTATUS:
  case CURLE_USE_SSL_FAILED:
    return true;
  default:
    return false;
  }
}

static const char *name_before_connected(const struct lp__transfer *transfer) {
  switch (transfer->code) {
  case CURLE_COULDNT_RESOLVE_HOST:
    return "resolve";
  case CURLE_COULDNT_RESOLVE_PROXY:
  case CURLE_PROXY:
    return "proxy";
  case CURLE_UNSUPPORTED_PROTOCOL:
  case CURLE_URL_MALFORMAT:
  case CURLE_LOGIN_DENIED:
    return "refused_url";
  case CURLE_OPERATION_TIMEDOUT:
    return transfer->connect_ms < transfer->total_ms ? "connect" : "timeout";
  default:
    if (is_tls(transfer->code))
      return "tls";
    return strstr(transfer->error, "CONNECT") ||
                   strstr(transfer->error, "proxy")
               ? "proxy"
               : "connect";
  }
}

static const char *name_after_connected(const struct lp__transfer *transfer) {
  switch (transfer->code) {
  case CURLE_OK:
    return transfer->headers_complete ? "malformed" : "reset";
  case CURLE_OPERATION_TIMEDOUT:
    return "timeout";
  case CURLE_WEIRD_SERVER_REPLY:
  case CURLE_UNSUPPORTED_PROTOCOL: /* another version of HTTP */
  case CURLE_BAD_CONTENT_ENCODING:
    return "malformed";
  case CURLE_RECV_ERROR:
    return strstr(transfer->error, "chunk") ? "malformed" : "reset";
  default:
    return "reset";
  }
}

static bool is_http1(const struct lp__transfer *transfer) {
  long version = CURL_HTTP_VERSION_NONE;
  curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
  return version <= CURL_HTTP_VERSION_1_1;
}

/* libcurl takes headers that the end of the connection cuts off for whole, and
 * versions that were not spoken for what they say. */
static bool is_whole(const struct lp__transfer *transfer) {
  return transfer->code == CURLE_OK && transfer->headers_complete &&
         is_http1(transfer);
}

static const char *name_failure(const struct lp__transfer *transfer) {
  if (transfer->too_large || transfer->code == CURLE_FILESIZE_EXCEEDED)
    return "too_large";
  return transfer->connected ? name_after_connected(transfer)
                             : name_before_connected(transfer);
}

/* libcurl keeps the number of an earlier failure, too. */
static const char *system_says(const struct lp__transfer *transfer) {
  long error = transfer->os_error;
  if (error == 0 && strncmp(transfer->error, "Failed to connect", 17) == 0)
    curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &error);
  return error != 0 ? strerror((int)error) : NULL;
}

void lp__transfer_report(const struct lp__transfer *transfer,
                         struct lp__transfer_end *end) {
  memset(end, 0, sizeof *end);
  end->sent = lp__transfer_sent(transfer);
  end->headers = transfer->headers.bytes;
  end->headers_size = transfer->headers.size;
  end->body = transfer->answer.bytes;
  end->body_size = transfer->answer.size;
  if (is_whole(transfer)) {
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &end->status);
    return;
  }
  end->failure = name_failure(transfer);
  end->detail = transfer->error[0] ? transfer->error
                : transfer->code
                    ? curl_easy_strerror(transfer->code)
                    : "Its headers are cut off, or of another version";
  end->system = system_says(transfer);
}
