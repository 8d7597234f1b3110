/* What libcurl alone takes to invoke a function that is far away: keeps
 * INFLIGHT transfers busy on one multi handle until COUNT of them have ended,
 * and prints lines of "name number" as distant.lua does. The requests are
 * always the same, with headers as ours have, and BYTES of body; answers are
 * thrown away.
 *
 *   curl_load URL INFLIGHT COUNT BYTES
 */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

static struct {
  CURLM *multi;
  struct curl_slist *headers;
  const char *url;
  char *body;
  long bytes, count, begun, ended;
  double due; /* when libcurl wants to be called again; 0: never */
  int epoll;
} load;

static void die(const char *what) {
  fprintf(stderr, "curl_load: %s\n", what);
  exit(1);
}

static double seconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- what libcurl asks for ----------------------------------------------- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user,
                     void *known) {
  struct epoll_event event = {.data.fd = fd};
  (void)easy;
  (void)user;
  if (what & CURL_POLL_IN)
    event.events |= EPOLLIN;
  if (what & CURL_POLL_OUT)
    event.events |= EPOLLOUT;
  if (what == CURL_POLL_REMOVE) {
    epoll_ctl(load.epoll, EPOLL_CTL_DEL, fd, NULL);
    curl_multi_assign(load.multi, fd, NULL);
    return 0;
  }
  epoll_ctl(load.epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
  curl_multi_assign(load.multi, fd, &load);
  return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *user) {
  (void)multi;
  (void)user;
  load.due =
      timeout_ms < 0 ? 0 : seconds(CLOCK_MONOTONIC) + (double)timeout_ms / 1e3;
  return 0;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *user) {
  (void)bytes;
  (void)user;
  return size * count;
}

/* --- transfers ----------------------------------------------------------- */

static void begin(CURL *easy) {
  if (load.begun == load.count)
    return;
  load.begun++;
  curl_easy_setopt(easy, CURLOPT_URL, load.url);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, load.headers);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, load.bytes);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, load.body);
  if (curl_multi_add_handle(load.multi, easy) != CURLM_OK)
    die("cannot add a transfer");
}

static CURL *new_easy(void) {
  CURL *easy = curl_easy_init();
  if (!easy)
    die("no memory");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_bytes);
  return easy;
}

static void reap(void) {
  CURLMsg *message;
  int left;
  while ((message = curl_multi_info_read(load.multi, &left))) {
    CURL *easy = message->easy_handle;
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (message->data.result != CURLE_OK || status != 200)
      die("a request has failed");
    curl_multi_remove_handle(load.multi, easy);
    load.ended++;
    begin(easy);
  }
}

static void act(int fd, uint32_t events) {
  int running, mask = 0;
  if (events & EPOLLIN)
    mask |= CURL_CSELECT_IN;
  if (events & EPOLLOUT)
    mask |= CURL_CSELECT_OUT;
  if (events & (EPOLLERR | EPOLLHUP))
    mask |= CURL_CSELECT_ERR;
  curl_multi_socket_action(load.multi, fd, mask, &running);
}

/* Milliseconds to wait; -1: without end. */
static int patience(void) {
  double left = load.due - seconds(CLOCK_MONOTONIC);
  if (load.due == 0)
    return -1;
  return left > 0 ? (int)(left * 1e3) + 1 : 0;
}

static void run_until(long ended) {
  struct epoll_event events[256];
  while (load.ended < ended) {
    int count = epoll_wait(load.epoll, events, 256, patience());
    for (int i = 0; i < count; i++)
      act(events[i].data.fd, events[i].events);
    if (load.due != 0 && load.due <= seconds(CLOCK_MONOTONIC)) {
      load.due = 0; /* it counts once */
      act(CURL_SOCKET_TIMEOUT, 0);
    }
    reap();
  }
}

/* --- the run ------------------------------------------------------------- */

static void start(const char *authorization) {
  static const char *const lines[] = {
      "content-type: application/octet-stream",
      "x-amz-log-type: Tail",
      "x-amz-date: 20150830T123600Z",
      ("x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934c"
       "a495991b7852b855"),
      "Expect:",
      "Accept:",
  };
  load.headers = curl_slist_append(NULL, authorization);
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    load.headers = curl_slist_append(load.headers, lines[i]);
  load.body = calloc(1, (size_t)load.bytes + 1);
  load.epoll = epoll_create1(0);
  load.multi = curl_multi_init();
  if (!load.headers || !load.body || load.epoll < 0 || !load.multi)
    die("cannot start");
  curl_multi_setopt(load.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(load.multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(load.multi, CURLMOPT_MAXCONNECTS, 4096L);
}

static void raise_descriptors(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/* With connections already made, as in distant.lua. */
static void measure(long in_flight, long count) {
  CURL **all = calloc((size_t)in_flight, sizeof *all);
  struct rusage usage;
  if (!all)
    die("no memory");
  load.count = 2 * in_flight;
  for (long i = 0; i < in_flight; i++)
    begin(all[i] = new_easy());
  run_until(load.count);
  double began = seconds(CLOCK_MONOTONIC);
  double used = seconds(CLOCK_PROCESS_CPUTIME_ID);
  load.count += count;
  for (long i = 0; i < in_flight; i++)
    begin(all[i]);
  run_until(load.count);
  began = (seconds(CLOCK_MONOTONIC) - began) * 1e6;
  used = (seconds(CLOCK_PROCESS_CPUTIME_ID) - used) * 1e6;
  printf("time %f\ncpu %f\n", began / (double)count, used / (double)count);
  getrusage(RUSAGE_SELF, &usage);
  printf("memory %ld\n", usage.ru_maxrss * 1024);
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fputs("usage: curl_load URL INFLIGHT COUNT BYTES\n", stderr);
    return 2;
  }
  raise_descriptors();
  load.url = argv[1];
  load.bytes = atol(argv[4]);
  start("authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-"
        "east-1/lambda/aws4_request, SignedHeaders=content-type;host;x-amz-"
        "content-sha256;x-amz-date;x-amz-log-type, Signature=5fa00fa31553b73ebf"
        "1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  measure(atol(argv[2]), atol(argv[3]));
  return 0;
}
