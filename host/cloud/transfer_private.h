/* What the parts of the transfer engine share: transfer.c has the engine,
 * transfer_sockets.c what it watches, transfer_setup.c how a request becomes
 * libcurl's, transfer_answer.c what comes back. See transfer.h. */
#ifndef LP_TRANSFER_PRIVATE_H
#define LP_TRANSFER_PRIVATE_H

#include <curl/curl.h>

#include "transfer.h"

/* Bytes that grow; all zero is empty. */
struct lp__gathered {
  char *bytes;
  size_t size, room;
};

struct lp__shard;

struct lp__transfer {
  struct lp__transfers *transfers;
  struct lp__shard *shard;
  CURL *easy;
  int number;
  bool in_use;    /* its number has been given */
  bool under_way; /* libcurl has it */
  bool connected; /* the request is being sent, or was */
  bool ended;
  struct lp__transfer *next; /* with news */
  bool has_news;
  struct lp__event *event;        /* for the end; so that it cannot fail */
  struct lp__event *announcement; /* for being connected, or NULL */

  char *lines; /* copy of the headers and libcurl's list of them, one block */
  const char *body;
  size_t body_size, body_read; /* read: only of large ones, see is_large */
  uint64_t prepared_ns;
  int64_t total_ms, connect_ms;
  size_t most_bytes;

  struct lp__gathered headers, answer;
  size_t headers_seen; /* of all answers, interim ones included */
  bool headers_complete;
  bool too_large;
  int os_error; /* why there was no socket, or 0 */
  CURLcode code;
  char error[CURL_ERROR_SIZE];
};

struct lp__watch;

/* Some of the transfers, always the same ones by their numbers, with their
 * connections: libcurl walks through all that it has to find one for a
 * transfer, which takes longer than all the rest when these are a thousand. */
struct lp__shard {
  struct lp__transfers *transfers;
  CURLM *multi;
  uv_timer_t timer;
};

enum { LP__SHARD_SIZE = 128 };

struct lp__transfers {
  const struct lp__loop_port *port;
  int64_t id;
  CURLSH *share;
  const char *system_ca;
  struct lp__shard **shards;
  int shard_count;
  struct lp__transfer **all; /* by their numbers, from 1 */
  int count, room;
  int *spare; /* numbers of those that are not in use */
  int spares;
  struct lp__transfer *first; /* with news */
  struct lp__transfer **last; /* the `next` to fill in */
  struct lp__watch **watches; /* by their descriptors */
  int watches_room;
};

/* --- transfer.c ---------------------------------------------------------- */

/* Tells libcurl what a descriptor is ready for, or that time has passed. */
void lp__shard_act(struct lp__shard *shard, curl_socket_t fd, int flags);

/* The request is about to be sent, on a connection that is there. */
void lp__transfer_announce(struct lp__transfer *transfer);

/* --- transfer_sockets.c -------------------------------------------------- */

/* Makes libcurl's sockets and timeouts ours: of the multi handle, and of each
 * easy one. */
void lp__shard_watch(struct lp__shard *shard);
void lp__transfer_watch(struct lp__transfer *transfer);

/* Frees what is left; connections are closed. */
void lp__transfers_unwatch(struct lp__transfers *transfers);

/* --- transfer_setup.c ---------------------------------------------------- */

/* Makes the easy handle of a new transfer; 0 or a negative errno. */
int lp__transfer_equip(struct lp__transfer *transfer);

/* Gives it a request; 0 or a negative errno. */
int lp__transfer_set(struct lp__transfer *transfer,
                     const struct lp__transfer_request *request);

/* Leaves it the time that it has since then. */
void lp__transfer_start_clock(struct lp__transfer *transfer);

/* Whether the server may have got all of the request. */
bool lp__transfer_sent(const struct lp__transfer *transfer);

/* --- transfer_answer.c --------------------------------------------------- */

/* Has the answer gathered. */
void lp__transfer_listen(struct lp__transfer *transfer);

/* Forgets the answer; keeps some of its memory unless `all`. */
void lp__transfer_forget_answer(struct lp__transfer *transfer, bool all);

/* What became of a transfer that has ended. */
void lp__transfer_report(const struct lp__transfer *transfer,
                         struct lp__transfer_end *end);

#endif
