/* What the parts of the transfer engine share. On the engine's side, which is
 * the host's: transfer.c with the transfers, their numbers and their news, and
 * transfer_setup.c, how a request becomes libcurl's. In a thread of its own:
 * transfer_shard.c with what libcurl does, transfer_sockets.c with what it
 * waits for, and transfer_answer.c with what comes back. transfer_thread.c is
 * between the two. See transfer.h.
 *
 * The fields of a transfer are the thread's while it is under way, and else the
 * engine's; some are always the engine's. */
#ifndef LP_TRANSFER_PRIVATE_H
#define LP_TRANSFER_PRIVATE_H

#include <curl/curl.h>
#include <pthread.h>

#include "transfer.h"
#include "uv_port.h"

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
  bool in_use;               /* the engine's: its number has been given */
  bool under_way;            /* the engine's: it has gone and has not ended */
  bool ended;                /* the engine's */
  bool added;                /* libcurl has it */
  bool connected;            /* the request is being sent, or was */
  struct lp__transfer *next; /* the engine's: with news */
  bool has_news;             /* the engine's */
  struct lp__transfer *next_there, *next_back; /* of a thread's lists */
  bool comes_back, finished;                   /* under the thread's lock */
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
struct lp__thread;

/* The thread's loop and what is watched on it. */
struct lp__lane {
  uv_loop_t uv;
  struct lp__watch **watches; /* by their descriptors */
  int watches_room;
};

/* Some of the transfers, always the same ones by their numbers, with their
 * connections: libcurl walks through all that it has to find one for a
 * transfer, which takes longer than all the rest when these are a thousand. */
struct lp__shard {
  struct lp__lane *lane;
  CURLM *multi; /* NULL until the first transfer */
  uv_timer_t *timer;
};

enum { LP__SHARD_SIZE = 128 };

struct lp__transfers {
  const struct lp__loop_port *port;
  int64_t id;
  CURLSH *share;
  pthread_mutex_t locks[CURL_LOCK_DATA_LAST]; /* of what is shared */
  const char *system_ca;
  struct lp__thread *thread;
  struct lp__shard **shards;
  int shard_count;
  struct lp__transfer **all; /* by their numbers, from 1 */
  int count, room;
  int *spare; /* numbers of those that are not in use */
  int spares;
  struct lp__transfer *first; /* with news */
  struct lp__transfer **last; /* the `next` to fill in */
};

/* --- transfer.c ---------------------------------------------------------- */

/* The request is about to be sent, on a connection that is there; it has
 * ended. */
void lp__transfer_announce(struct lp__transfer *transfer);
void lp__transfer_end(struct lp__transfer *transfer);

/* --- transfer_thread.c --------------------------------------------------- */

/* Starts the thread; NULL when that cannot be. */
struct lp__thread *lp__thread_open(struct lp__transfers *transfers);

/* Closes the shards, of which no transfer is under way, and ends the thread.
 * NULL is fine. */
void lp__thread_close(struct lp__thread *thread);

/* Has the thread add a transfer, or remove it, which has been done then. */
void lp__thread_add(struct lp__thread *thread, struct lp__transfer *transfer);
void lp__thread_remove(struct lp__thread *thread,
                       struct lp__transfer *transfer);

/* In the thread: the engine is to be told of this transfer, which has
 * `finished` or is connected. */
void lp__thread_tell(struct lp__transfer *transfer, bool finished);

struct lp__lane *lp__thread_lane(struct lp__thread *thread);

/* --- transfer_shard.c ---------------------------------------------------- */

/* Gives a transfer to libcurl, and takes it back. */
void lp__shard_add(struct lp__transfer *transfer);
void lp__shard_remove(struct lp__transfer *transfer);

/* Tells libcurl what a descriptor is ready for, or that time has passed. */
void lp__shard_act(struct lp__shard *shard, curl_socket_t fd, int flags);

/* Ends its connections; libcurl must have none of its transfers. Its timer goes
 * when the loop runs next. */
void lp__shard_close(struct lp__shard *shard);

/* --- transfer_sockets.c -------------------------------------------------- */

/* Makes libcurl's sockets and timeouts ours: of the multi handle, and of each
 * easy one. */
int lp__shard_watch(struct lp__shard *shard);
void lp__shard_unwatch(struct lp__shard *shard);
void lp__transfer_watch(struct lp__transfer *transfer);

/* Frees what is left; connections are closed. */
void lp__lane_close(struct lp__lane *lane);

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
