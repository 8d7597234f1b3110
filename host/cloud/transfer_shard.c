/* Shards: what libcurl does with transfers, in the thread. */
#include "transfer_private.h"

#include <stdlib.h>

enum { MOST_CONNECTIONS = 2 * LP__SHARD_SIZE };

static bool open_multi(struct lp__shard *shard) {
  if (shard->multi)
    return true;
  CURLM *multi = shard->multi = curl_multi_init();
  if (!multi)
    return false;
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)MOST_CONNECTIONS);
  if (lp__shard_watch(shard) == 0)
    return true;
  curl_multi_cleanup(multi);
  shard->multi = NULL;
  return false;
}

static void finish(struct lp__transfer *transfer, CURLcode code) {
  transfer->code = code;
  lp__shard_remove(transfer);
  lp__thread_tell(transfer, true);
}

void lp__shard_add(struct lp__transfer *transfer) {
  struct lp__shard *shard = transfer->shard;
  transfer->added =
      open_multi(shard) &&
      curl_multi_add_handle(shard->multi, transfer->easy) == CURLM_OK;
  if (!transfer->added)
    finish(transfer, CURLE_OUT_OF_MEMORY);
}

void lp__shard_remove(struct lp__transfer *transfer) {
  if (transfer->added)
    curl_multi_remove_handle(transfer->shard->multi, transfer->easy);
  transfer->added = false;
}

void lp__shard_act(struct lp__shard *shard, curl_socket_t fd, int flags) {
  int running, left;
  curl_multi_socket_action(shard->multi, fd, flags, &running);
  for (CURLMsg *message;
       (message = curl_multi_info_read(shard->multi, &left));) {
    struct lp__transfer *transfer;
    CURLcode code = message->data.result;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    finish(transfer, code);
  }
}

void lp__shard_close(struct lp__shard *shard) {
  if (!shard->multi)
    return;
  curl_multi_cleanup(shard->multi);
  shard->multi = NULL;
  lp__shard_unwatch(shard);
}
