/* How a request becomes libcurl's: the options of an easy handle, those for
 * every request and those for one. */
#include "transfer_private.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lambdapool.h"

enum {
  KEPT_SECONDS = 60,      /* idle connections are used again for so long */
  KEEPALIVE_SECONDS = 45, /* below what firewalls and NAT forget */
  LARGE_BODY = 65536,     /* libcurl sends smaller ones with the headers */
  UPLOAD_SMALL = 16384,   /* libcurl's least; every TLS connection has one */
  UPLOAD_LARGE = 65536
};

/* A large body is read piece by piece, so that it is known how far it came. */
static bool is_large(const struct lp__transfer *transfer) {
  return transfer->body_size >= LARGE_BODY;
}

bool lp__transfer_sent(const struct lp__transfer *transfer) {
  return transfer->connected &&
         (!is_large(transfer) || transfer->body_read == transfer->body_size);
}

/* --- callbacks ----------------------------------------------------------- */

/* CURLOPT_PREREQFUNCTION: called before each sending. libcurl repeats it by
 * itself when a kept connection ends before an answer comes; the server may
 * have worked on it all the same. */
static int on_request(void *data, char *address, char *local, int port,
                      int local_port) {
  struct lp__transfer *transfer = data;
  (void)address;
  (void)local;
  (void)port;
  (void)local_port;
  if (transfer->connected)
    return CURL_PREREQFUNC_ABORT;
  transfer->connected = true;
  if (transfer->announcement)
    lp__thread_tell(transfer, false);
  return CURL_PREREQFUNC_OK;
}

static size_t on_read(char *out, size_t size, size_t count, void *data) {
  struct lp__transfer *transfer = data;
  size_t left = transfer->body_size - transfer->body_read;
  size_t n = size * count < left ? size * count : left;
  memcpy(out, transfer->body + transfer->body_read, n);
  transfer->body_read += n;
  return n;
}

/* libcurl may want to begin a body again, which is refused, or remember from a
 * transfer before that it wanted to. */
static int on_seek(void *data, curl_off_t offset, int origin) {
  struct lp__transfer *transfer = data;
  bool at_start = transfer->body_read == 0 && offset == 0 && origin == SEEK_SET;
  return at_start ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

/* --- for every request --------------------------------------------------- */

static void set_protocol(CURL *easy) {
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_DEFAULT_PROTOCOL, "none");
  curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
  curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "lambdapool/" LP_VERSION);
}

/* A folder of certificates would keep libcurl from reading the file only once
 * for all connections. */
static void set_trust(CURL *easy) {
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
  curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
}

static void set_connections(CURL *easy) {
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)KEPT_SECONDS);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_SECONDS);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_SECONDS);
}

int lp__transfer_equip(struct lp__transfer *transfer) {
  CURL *easy = transfer->easy = curl_easy_init();
  if (!easy)
    return -ENOMEM;
  set_protocol(easy);
  set_trust(easy);
  set_connections(easy);
  curl_easy_setopt(easy, CURLOPT_SHARE, transfer->transfers->share);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
  curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
  curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
  curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
  curl_easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
  lp__transfer_watch(transfer);
  lp__transfer_listen(transfer);
  return 0;
}

/* --- for one request ----------------------------------------------------- */

static size_t count_lines(const char *lines, size_t size) {
  size_t count = 0;
  for (size_t i = 0; i < size; i++)
    count += !lines[i];
  return count;
}

/* libcurl's list is made here: it only reads it, and so all of it is one block
 * of memory, the lines behind the list. */
static int set_headers(struct lp__transfer *transfer,
                       const struct lp__transfer_request *request) {
  size_t count = count_lines(request->headers, request->headers_size);
  size_t size = count * sizeof(struct curl_slist);
  free(transfer->lines);
  transfer->lines = malloc(size + request->headers_size + 1);
  if (!transfer->lines)
    return -ENOMEM;
  struct curl_slist *list = (struct curl_slist *)transfer->lines;
  char *line = transfer->lines + size;
  memcpy(line, request->headers, request->headers_size);
  for (size_t i = 0; i < count; i++) {
    list[i].data = line;
    list[i].next = i + 1 < count ? &list[i + 1] : NULL;
    line += strlen(line) + 1;
  }
  curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, count > 0 ? list : NULL);
  return 0;
}

static CURLcode set_body(struct lp__transfer *transfer) {
  CURL *easy = transfer->easy;
  bool large = is_large(transfer);
  curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE,
                   (long)(large ? UPLOAD_LARGE : UPLOAD_SMALL));
  curl_easy_setopt(easy, CURLOPT_POST, 1L);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                   (curl_off_t)transfer->body_size);
  const char *body = transfer->body ? transfer->body : "";
  return curl_easy_setopt(easy, CURLOPT_POSTFIELDS, large ? NULL : body);
}

/* An answer that tells too much is not waited for. What it tells to HEAD is not
 * sent. Zero is no limit, so nothing at all is left to be counted. */
static void set_limit(struct lp__transfer *transfer, bool head) {
  curl_off_t most = head ? 0 : (curl_off_t)transfer->most_bytes;
  curl_easy_setopt(transfer->easy, CURLOPT_MAXFILESIZE_LARGE, most);
}

static bool is_one_of(const char *method, const char *const *names) {
  while (*names && strcmp(*names, method) != 0)
    names++;
  return *names != NULL;
}

static CURLcode set_method(struct lp__transfer *transfer, const char *method) {
  static const char *const with_size[] = {"POST", "PUT", "PATCH", NULL};
  CURL *easy = transfer->easy;
  const char *usual = "GET";
  bool head = transfer->body_size == 0 && strcmp(method, "HEAD") == 0;
  curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
  if (transfer->body_size > 0 || is_one_of(method, with_size)) {
    usual = "POST";
    CURLcode code = set_body(transfer);
    if (code != CURLE_OK)
      return code;
  } else if (head) {
    usual = "HEAD";
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  }
  set_limit(transfer, head);
  return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST,
                          strcmp(method, usual) == 0 ? NULL : method);
}

static long milliseconds(int64_t ms) {
  return ms < 1 ? 1 : ms < INT_MAX ? (long)ms : INT_MAX;
}

static CURLcode set_way(struct lp__transfer *transfer,
                        const struct lp__transfer_request *request) {
  CURL *easy = transfer->easy;
  const char *ca = request->ca ? request->ca : transfer->transfers->system_ca;
  transfer->total_ms = milliseconds(request->total_ms);
  transfer->connect_ms = milliseconds(request->connect_ms);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)transfer->connect_ms);
  CURLcode code = curl_easy_setopt(easy, CURLOPT_URL, request->url);
  if (code == CURLE_OK)
    code = curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
  if (code == CURLE_OK)
    code = curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, ca);
  if (code == CURLE_OK)
    code = curl_easy_setopt(easy, CURLOPT_PROXY, request->proxy);
  return code;
}

int lp__transfer_set(struct lp__transfer *transfer,
                     const struct lp__transfer_request *request) {
  transfer->connected = transfer->ended = false;
  transfer->body = request->body;
  transfer->body_size = request->body ? request->body_size : 0;
  transfer->body_read = 0;
  transfer->most_bytes = request->most_bytes;
  transfer->prepared_ns = uv_hrtime();
  transfer->os_error = 0;
  transfer->error[0] = '\0';
  if (set_headers(transfer, request) < 0)
    return -ENOMEM;
  CURLcode code = set_way(transfer, request);
  if (code == CURLE_OK)
    code = set_method(transfer, request->method);
  return code == CURLE_OK ? 0 : -ENOMEM;
}

void lp__transfer_start_clock(struct lp__transfer *transfer) {
  uint64_t passed_ms = (uv_hrtime() - transfer->prepared_ns) / 1000000;
  curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS,
                   milliseconds(transfer->total_ms - (int64_t)passed_ms));
}
