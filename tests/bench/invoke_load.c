/* A load generator for the Invoke operation of Lambda: keeps CONNECTIONS
 * keep-alive connections busy with one signed request each until REQUESTS have
 * been answered, and prints one line:
 *
 *   RATE P50 P99 MAX FAILED       requests per second, microseconds, a count
 *
 * A request has failed when its status is not 200 or the function raised.
 * Requests are signed with Signature Version 4; those of one second are equal,
 * so they are signed once.
 *
 *   invoke_load PORT FUNCTION ACCESS_KEY SECRET_KEY CONNECTIONS REQUESTS
 * [EVENT]
 */
#define _GNU_SOURCE /* strcasestr */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_MAX = 8192, ANSWER_MAX = 16384 };

struct connection {
  int fd;
  bool busy;
  uint64_t since_ns;
  size_t sent;               /* of the request */
  char request[REQUEST_MAX]; /* as it was when it was begun */
  size_t size;
  char answer[ANSWER_MAX];
  size_t received;
};

static struct {
  int port, epoll;
  const char *function, *access_key, *secret_key, *event;
  long wanted, begun, done, failed;
  uint32_t *times_us;
  char request[REQUEST_MAX];
  size_t size;
  time_t signed_at;
} load;

static void die(const char *what) {
  fprintf(stderr, "invoke_load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* --- signing ------------------------------------------------------------- */

static void hex(const unsigned char *bytes, char out[65]) {
  for (int i = 0; i < 32; i++)
    sprintf(out + 2 * i, "%02x", bytes[i]);
}

static void sha256_hex(const char *text, char out[65]) {
  unsigned char digest[32];
  SHA256((const unsigned char *)text, strlen(text), digest);
  hex(digest, out);
}

static void hmac(const void *key, size_t size, const char *text,
                 unsigned char out[32]) {
  unsigned length;
  HMAC(EVP_sha256(), key, (int)size, (const unsigned char *)text, strlen(text),
       out, &length);
}

static void sign(const char *text, const char *date, char out[65]) {
  char first[256];
  unsigned char key[32];
  snprintf(first, sizeof first, "AWS4%s", load.secret_key);
  hmac(first, strlen(first), date, key);
  hmac(key, 32, "us-east-1", key);
  hmac(key, 32, "lambda", key);
  hmac(key, 32, "aws4_request", key);
  hmac(key, 32, text, key);
  hex(key, out);
}

/* Makes the request anew when the second has changed. */
static void prepare_request(void) {
  char stamp[32], date[16], path[256], canonical[1024], text[512];
  char body_hash[65], hash[65], signature[65];
  time_t now = time(NULL);
  if (now == load.signed_at)
    return;
  load.signed_at = now;
  struct tm *utc = gmtime(&now);
  strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", utc);
  strftime(date, sizeof date, "%Y%m%d", utc);
  snprintf(path, sizeof path, "/2015-03-31/functions/%s/invocations",
           load.function);
  sha256_hex(load.event, body_hash);
  snprintf(
      canonical, sizeof canonical,
      "POST\n%s\n\nhost:127.0.0.1:%d\nx-amz-date:%s\n\nhost;x-amz-date\n%s",
      path, load.port, stamp, body_hash);
  sha256_hex(canonical, hash);
  snprintf(text, sizeof text,
           "AWS4-HMAC-SHA256\n%s\n%s/us-east-1/lambda/aws4_request\n%s", stamp,
           date, hash);
  sign(text, date, signature);
  load.size = (size_t)snprintf(
      load.request, sizeof load.request,
      "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Amz-Date: %s\r\n"
      "Authorization: AWS4-HMAC-SHA256 Credential=%s/%s/us-east-1/lambda/"
      "aws4_request, SignedHeaders=host;x-amz-date, Signature=%s\r\n"
      "Content-Length: %zu\r\n\r\n%s",
      path, load.port, stamp, load.access_key, date, signature,
      strlen(load.event), load.event);
}

/* --- connections --------------------------------------------------------- */

static void watch(struct connection *connection, int how, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = connection};
  if (epoll_ctl(load.epoll, how, connection->fd, &event) < 0)
    die("epoll");
}

static void open_connection(struct connection *connection) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)load.port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int on = 1;
  connection->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connection->fd < 0 ||
      connect(connection->fd, (struct sockaddr *)&address, sizeof address) < 0)
    die("cannot connect");
  setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  watch(connection, EPOLL_CTL_ADD, EPOLLIN);
}

static void send_rest(struct connection *connection) {
  ssize_t size = send(connection->fd, connection->request + connection->sent,
                      connection->size - connection->sent, MSG_NOSIGNAL);
  if (size < 0 && errno != EINTR)
    die("cannot send");
  connection->sent += size > 0 ? (size_t)size : 0;
}

/* Requests are small and the socket is empty, so sending may block. */
static void begin(struct connection *connection) {
  if (load.begun == load.wanted)
    return;
  load.begun++;
  prepare_request();
  memcpy(connection->request, load.request, load.size);
  connection->size = load.size;
  connection->sent = connection->received = 0;
  connection->busy = true;
  connection->since_ns = now_ns();
  while (connection->sent < connection->size)
    send_rest(connection);
}

/* The size of the whole answer, or 0 while that cannot be told. */
static size_t answer_size(const struct connection *connection) {
  const char *end = strstr(connection->answer, "\r\n\r\n");
  const char *line =
      end ? strcasestr(connection->answer, "\r\ncontent-length:") : NULL;
  if (!end)
    return 0;
  return (size_t)(end + 4 - connection->answer) +
         (line && line < end ? strtoul(line + 17, NULL, 10) : 0);
}

static void finish(struct connection *connection) {
  bool ok = strncmp(connection->answer, "HTTP/1.1 200", 12) == 0 &&
            !strcasestr(connection->answer, "\r\nx-amz-function-error:");
  if (!ok && load.failed++ == 0)
    fprintf(stderr, "%s\n", connection->answer);
  load.times_us[load.done++] =
      (uint32_t)((now_ns() - connection->since_ns) / 1000);
  connection->busy = false;
  begin(connection);
}

static void receive(struct connection *connection) {
  ssize_t size = recv(connection->fd, connection->answer + connection->received,
                      ANSWER_MAX - 1 - connection->received, 0);
  if (size <= 0) {
    if (size < 0)
      die("cannot receive");
    fputs("invoke_load: the server has closed a connection\n", stderr);
    exit(1);
  }
  connection->received += (size_t)size;
  connection->answer[connection->received] = '\0';
  size_t whole = answer_size(connection);
  if (whole > ANSWER_MAX - 1) {
    fputs("invoke_load: the answer is too large\n", stderr);
    exit(1);
  }
  if (whole > 0 && connection->received >= whole)
    finish(connection);
}

/* --- the run ------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static void report(uint64_t ns) {
  size_t count = (size_t)load.done;
  qsort(load.times_us, count, sizeof *load.times_us, compare);
  printf("%.0f %u %u %u %ld\n", (double)count * 1e9 / (double)ns,
         load.times_us[count / 2], load.times_us[count * 99 / 100],
         load.times_us[count - 1], load.failed);
}

static void run(void) {
  struct epoll_event events[256];
  while (load.done < load.wanted) {
    int count = epoll_wait(load.epoll, events, 256, -1);
    if (count < 0 && errno != EINTR)
      die("epoll");
    for (int i = 0; i < count; i++)
      receive(events[i].data.ptr);
  }
}

int main(int argc, char **argv) {
  if (argc < 7) {
    fputs("usage: invoke_load PORT FUNCTION ACCESS_KEY SECRET_KEY CONNECTIONS "
          "REQUESTS [EVENT]\n",
          stderr);
    return 2;
  }
  load.port = atoi(argv[1]);
  load.function = argv[2];
  load.access_key = argv[3];
  load.secret_key = argv[4];
  load.event = argc > 7 ? argv[7] : "{}";
  size_t connections = strtoul(argv[5], NULL, 10);
  load.wanted = atol(argv[6]);
  load.epoll = epoll_create1(0);
  load.times_us = calloc((size_t)load.wanted + 1, sizeof *load.times_us);
  struct connection *all = calloc(connections, sizeof *all);
  if (load.epoll < 0 || !load.times_us || !all || load.wanted < 1)
    die("cannot start");
  for (size_t i = 0; i < connections; i++)
    open_connection(&all[i]);
  uint64_t start = now_ns();
  for (size_t i = 0; i < connections; i++)
    begin(&all[i]);
  run();
  report(now_ns() - start);
  return load.failed > 0;
}
