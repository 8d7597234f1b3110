/* The transfer engine: its transfers, their numbers and their news. See
 * transfer.h. */
#include "transfer_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- shards -------------------------------------------------------------- */

/* The shard of the next new transfer. The thread opens it. */
static struct lp__shard *find_shard(struct lp__transfers *transfers) {
  int i = transfers->count / LP__SHARD_SIZE;
  if (i < transfers->shard_count)
    return transfers->shards[i];
  size_t size = (size_t)(i + 1) * sizeof *transfers->shards;
  struct lp__shard **shards = realloc(transfers->shards, size);
  if (!shards)
    return NULL;
  transfers->shards = shards;
  shards[i] = calloc(1, sizeof *shards[i]);
  if (!shards[i])
    return NULL;
  shards[i]->lane = lp__thread_lane(transfers->thread);
  transfers->shard_count++;
  return shards[i];
}

static void free_shards(struct lp__transfers *transfers) {
  for (int i = 0; i < transfers->shard_count; i++)
    free(transfers->shards[i]);
  free(transfers->shards);
}

/* --- what they share ----------------------------------------------------- */

static void on_lock(CURL *easy, curl_lock_data data, curl_lock_access access,
                    void *transfers) {
  (void)easy;
  (void)access;
  pthread_mutex_lock(&((struct lp__transfers *)transfers)->locks[data]);
}

static void on_unlock(CURL *easy, curl_lock_data data, void *transfers) {
  (void)easy;
  pthread_mutex_unlock(&((struct lp__transfers *)transfers)->locks[data]);
}

static int open_share(struct lp__transfers *transfers) {
  CURLSH *share = transfers->share = curl_share_init();
  if (!share)
    return -ENOMEM;
  for (int i = 0; i < CURL_LOCK_DATA_LAST; i++)
    pthread_mutex_init(&transfers->locks[i], NULL);
  curl_share_setopt(share, CURLSHOPT_USERDATA, transfers);
  curl_share_setopt(share, CURLSHOPT_LOCKFUNC, on_lock);
  curl_share_setopt(share, CURLSHOPT_UNLOCKFUNC, on_unlock);
  curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
  curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
  return 0;
}

static void close_share(struct lp__transfers *transfers) {
  if (!transfers->share)
    return;
  curl_share_cleanup(transfers->share);
  for (int i = 0; i < CURL_LOCK_DATA_LAST; i++)
    pthread_mutex_destroy(&transfers->locks[i]);
}

/* --- the engine ---------------------------------------------------------- */

static int open_all(struct lp__transfers *transfers) {
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
    return -ENOMEM;
  int status = open_share(transfers);
  if (status < 0)
    return status;
  transfers->system_ca = curl_version_info(CURLVERSION_NOW)->cainfo;
  transfers->thread = lp__thread_open(transfers);
  return transfers->thread ? 0 : -EAGAIN;
}

int lp__transfers_open(struct lp__transfers **out,
                       const struct lp__loop_port *port, int64_t id) {
  struct lp__transfers *transfers = calloc(1, sizeof *transfers);
  if (!transfers)
    return -ENOMEM;
  transfers->port = port;
  transfers->id = id;
  transfers->last = &transfers->first;
  int status = open_all(transfers);
  if (status == 0)
    *out = transfers;
  else
    lp__transfers_close(transfers);
  return status;
}

static void free_transfer(struct lp__transfer *transfer) {
  if (!transfer)
    return;
  lp__transfer_forget_answer(transfer, true);
  curl_easy_cleanup(transfer->easy);
  free(transfer->lines);
  free(transfer);
}

void lp__transfers_close(struct lp__transfers *transfers) {
  if (!transfers)
    return;
  for (int number = 1; number <= transfers->count; number++)
    lp__transfer_release(transfers, number);
  lp__thread_close(transfers->thread);
  free_shards(transfers);
  for (int number = 1; number <= transfers->count; number++)
    free_transfer(transfers->all[number]);
  close_share(transfers);
  free(transfers->all);
  free(transfers->spare);
  free(transfers);
}

/* --- news ---------------------------------------------------------------- */

static void push_news(struct lp__transfer *transfer, struct lp__event **event) {
  struct lp__transfers *transfers = transfer->transfers;
  if (!transfer->has_news) {
    transfer->has_news = true;
    transfer->next = NULL;
    *transfers->last = transfer;
    transfers->last = &transfer->next;
  }
  transfers->port->push(transfers->port->loop, *event);
  *event = NULL;
}

static void remove_news(struct lp__transfer *transfer) {
  struct lp__transfers *transfers = transfer->transfers;
  struct lp__transfer **place = &transfers->first;
  if (!transfer->has_news)
    return;
  while (*place != transfer)
    place = &(*place)->next;
  *place = transfer->next;
  if (!*place)
    transfers->last = place;
  transfer->has_news = false;
}

enum lp__transfer_news lp__transfers_take(struct lp__transfers *transfers,
                                          int *number,
                                          struct lp__transfer_end *end) {
  struct lp__transfer *transfer = transfers->first;
  if (!transfer)
    return LP__TRANSFER_NO_NEWS;
  remove_news(transfer);
  *number = transfer->number;
  if (!transfer->ended)
    return LP__TRANSFER_CONNECTED;
  lp__transfer_report(transfer, end);
  return LP__TRANSFER_ENDED;
}

void lp__transfer_announce(struct lp__transfer *transfer) {
  if (transfer->announcement)
    push_news(transfer, &transfer->announcement);
}

static void set_over(struct lp__transfer *transfer) {
  const struct lp__loop_port *port = transfer->transfers->port;
  transfer->under_way = false;
  port->count_far(port->loop, -1);
}

void lp__transfer_end(struct lp__transfer *transfer) {
  transfer->ended = true;
  push_news(transfer, &transfer->event);
  set_over(transfer);
}

/* Ends it without news. */
static void stop(struct lp__transfer *transfer) {
  if (!transfer->under_way)
    return;
  lp__thread_remove(transfer->transfers->thread, transfer);
  set_over(transfer);
}

/* --- numbers ------------------------------------------------------------- */

static struct lp__transfer *find(struct lp__transfers *transfers, int number) {
  bool there = number > 0 && number <= transfers->count;
  struct lp__transfer *transfer = there ? transfers->all[number] : NULL;
  return transfer && transfer->in_use ? transfer : NULL;
}

/* Makes room for one more, and for its number among the spare ones. */
static int grow(struct lp__transfers *transfers) {
  if (transfers->count + 1 < transfers->room)
    return 0;
  int room = transfers->room > 0 ? 2 * transfers->room : 64;
  void *all = realloc(transfers->all, (size_t)room * sizeof *transfers->all);
  if (all)
    transfers->all = all;
  void *spare =
      realloc(transfers->spare, (size_t)room * sizeof *transfers->spare);
  if (spare)
    transfers->spare = spare;
  if (!all || !spare)
    return -ENOMEM;
  transfers->room = room;
  return 0;
}

static int add(struct lp__transfers *transfers) {
  int status = grow(transfers);
  if (status < 0)
    return status;
  struct lp__transfer *transfer = calloc(1, sizeof *transfer);
  if (!transfer)
    return -ENOMEM;
  transfer->transfers = transfers;
  transfer->shard = find_shard(transfers);
  status = transfer->shard ? lp__transfer_equip(transfer) : -ENOMEM;
  if (status < 0) {
    free_transfer(transfer);
    return status;
  }
  transfer->number = ++transfers->count;
  transfers->all[transfer->number] = transfer;
  transfers->spare[transfers->spares++] = transfer->number;
  return 0;
}

int lp__transfer_prepare(struct lp__transfers *transfers,
                         const struct lp__transfer_request *request) {
  const struct lp__loop_port *port = transfers->port;
  int status = transfers->spares > 0 ? 0 : add(transfers);
  if (status < 0)
    return status;
  int number = transfers->spare[--transfers->spares];
  struct lp__transfer *transfer = transfers->all[number];
  transfer->in_use = true;
  transfer->event = port->event_new(LP__EVENT_TRANSFER, transfers->id);
  status = transfer->event ? lp__transfer_set(transfer, request) : -ENOMEM;
  if (status == 0)
    return number;
  lp__transfer_release(transfers, number);
  return status;
}

void lp__transfer_go(struct lp__transfers *transfers, int number,
                     bool announce) {
  const struct lp__loop_port *port = transfers->port;
  struct lp__transfer *transfer = find(transfers, number);
  if (!transfer || transfer->under_way || transfer->ended)
    return;
  if (announce)
    transfer->announcement = port->event_new(LP__EVENT_TRANSFER, transfers->id);
  lp__transfer_start_clock(transfer);
  transfer->under_way = true;
  port->count_far(port->loop, 1);
  lp__thread_add(transfers->thread, transfer);
}

void lp__transfer_release(struct lp__transfers *transfers, int number) {
  struct lp__transfer *transfer = find(transfers, number);
  if (!transfer)
    return;
  stop(transfer);
  remove_news(transfer);
  transfers->port->event_free(transfer->event);
  transfers->port->event_free(transfer->announcement);
  transfer->event = transfer->announcement = NULL;
  lp__transfer_forget_answer(transfer, false);
  transfer->in_use = false;
  transfers->spare[transfers->spares++] = number;
}
