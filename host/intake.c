/* A thread that receives for connections. See intake.h. */
#define _GNU_SOURCE
#include "intake.h"

#include "memory.h"
#include "process.h"
#include "own_thread.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  ROOM = 64 * 1024 - 256, /* of a block, at least; a round number with what is
                           * in front of it */
  EVENTS = 16,            /* that the thread takes at a time */
  READS_MAX = 64,         /* of one connection, before others have their turn */
  HEAD_MAX = 4096,        /* of a request whose body is checked, */
  BODY_MAX = 1 << 28      /* and of that; what is longer is no body */
};

struct lp__intake {
  TAILQ_ENTRY(lp__intake) place; /* among those that are open */
  struct lp__receiver *receiver;
  void (*arrived)(void *context);
  void *context;
  int fd;
  size_t taken;     /* bytes of the block; the owner's alone */
  atomic_bool news; /* `arrived` is to be called */

  atomic_bool unwatched; /* the thread is not called when something arrives */

  /* Who sets this may receive, and change what follows. */
  atomic_flag in_use;
  struct lp__block *block;
  atomic_size_t have; /* bytes in the block, of which none changes any more */
  atomic_int ended;   /* see lp__intake_ended; set last */
  bool is_fresh;      /* nobody has looked for a body yet */
  size_t body; /* bytes of the one that the block begins with; 0: it begins with
                * a request */
  atomic_size_t whole,
      whole_size; /* where one is that is right; 0 bytes: none */

  /* Under the receiver's mutex. */
  struct lp__intake *next; /* of a list of those below */
  bool is_listed;          /* among those that have changed */
  bool is_known;           /* to the thread */
  bool closes;
};

struct lp__receiver {
  pthread_t thread;
  uv_async_t told;
  lp__check check;
  int epoll, wake; /* descriptors; the second makes the thread look around */
  TAILQ_HEAD(, lp__intake) open;
  unsigned count;             /* of these */
  pthread_mutex_t mutex;      /* for all that follows, which is rare */
  struct lp__intake *changed; /* opened or closed, to be noticed */
  struct lp__intake *closed;  /* the thread knows them no more */
  bool ends;
};

/* --- checking ------------------------------------------------------------ */

/* The length that the head of a request tells; 0 when it tells none. */
static size_t length_of(const char *head, size_t size) {
  static const char name[] = "\r\nContent-Length: ";
  const char *at = memmem(head, size, name, sizeof name - 1);
  size_t length = 0;
  if (!at)
    return 0;
  for (at += sizeof name - 1; *at >= '0' && *at <= '9' && length <= BODY_MAX;
       at++)
    length = length * 10 + (size_t)(*at - '0');
  return length;
}

/* Where the body begins that the block has first, and in *size its bytes. False
 * when its head is not complete. */
static bool find_body(const struct lp__intake *intake, size_t have,
                      size_t *begin, size_t *size) {
  const char *bytes = intake->block->bytes, *end;
  *begin = 0;
  *size = intake->body;
  if (*size > 0)
    return true;
  end = memmem(bytes, have < HEAD_MAX ? have : HEAD_MAX, "\r\n\r\n", 4);
  if (!end)
    return false;
  *begin = (size_t)(end - bytes) + 4;
  *size = length_of(bytes, *begin);
  return true;
}

/* Checks that body, once it is complete. */
static void look_for_body(struct lp__intake *intake, size_t have,
                          lp__check check) {
  size_t begin, size;
  if (!intake->is_fresh || !find_body(intake, have, &begin, &size) ||
      size > have - begin)
    return;
  intake->is_fresh = false;
  if (size > 0 && check(intake->block->bytes + begin, size)) {
    atomic_store(&intake->whole, begin);
    atomic_store(&intake->whole_size, size);
  }
}

/* --- receiving ----------------------------------------------------------- */

/* `how` is one of EPOLL_CTL_... 0 or a negative errno. */
static int watch(struct lp__intake *intake, int how) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT,
                              .data.ptr = intake};
  int epoll = intake->receiver->epoll;
  return epoll_ctl(epoll, how, intake->fd, &event) < 0 ? -errno : 0;
}

/* One byte stays free, so that there is one behind everything that arrives. */
static size_t room_of(struct lp__intake *intake) {
  return intake->block->size - 1 - atomic_load(&intake->have);
}

/* What has come to an end, as lp__intake_ended says it. */
static int end_of(ssize_t size) {
  if (size == 0)
    return 1;
  return size < 0 && errno != EAGAIN && errno != EINTR ? -errno : 0;
}

/* Receives once, behind *have. False when there is no more now, or no room for
 * it. */
static bool receive_once(struct lp__intake *intake, size_t *have, int *ended) {
  size_t room = intake->block->size - 1 - *have;
  if (room == 0)
    return false;
  ssize_t size =
      recv(intake->fd, intake->block->bytes + *have, room, MSG_DONTWAIT);
  *ended = end_of(size);
  *have += size > 0 ? (size_t)size : 0;
  return size > 0 || (size < 0 && errno == EINTR);
}

/* To be called by who has set in_use. Nobody sees any of it until it has been
 * checked. */
static void receive(struct lp__intake *intake, lp__check check) {
  size_t have = atomic_load(&intake->have);
  int ended = atomic_load(&intake->ended);
  for (int i = 0; i < READS_MAX && ended == 0; i++)
    if (!receive_once(intake, &have, &ended))
      break;
  if (check)
    look_for_body(intake, have, check);
  atomic_store(&intake->have, have);
  atomic_store(&intake->ended, ended);
}

/* Both at once is for one side alone; false: the other one has it. */
static bool begin(struct lp__intake *intake) {
  return !atomic_flag_test_and_set(&intake->in_use);
}

/* For the owner: the thread may have come in vain. */
static void finish(struct lp__intake *intake) {
  atomic_flag_clear(&intake->in_use);
  if (atomic_exchange(&intake->unwatched, false))
    watch(intake, EPOLL_CTL_MOD);
}

/* --- the thread ---------------------------------------------------------- */

static void tell(struct lp__intake *intake) {
  atomic_store(&intake->news, true);
  uv_async_send(&intake->receiver->told);
}

/* The same for the thread, which epoll calls once and no more. The owner that
 * has it has it watched when he is done, unless that was a moment ago. */
static bool begin_here(struct lp__intake *intake) {
  if (begin(intake))
    return true;
  atomic_store(&intake->unwatched, true);
  return begin(intake);
}

/* One that is full is watched again when it has room. */
static void finish_here(struct lp__intake *intake) {
  bool is_full = room_of(intake) == 0;
  bool goes_on = !is_full && atomic_load(&intake->ended) == 0;
  atomic_store(&intake->unwatched, is_full);
  atomic_flag_clear(&intake->in_use);
  if (goes_on)
    watch(intake, EPOLL_CTL_MOD);
}

static void on_arrival(struct lp__intake *intake) {
  if (!begin_here(intake))
    return;
  receive(intake, intake->receiver->check);
  finish_here(intake);
  tell(intake);
}

/* Begins with what is new, and lets go of what is closing. */
static void take_change(struct lp__receiver *receiver,
                        struct lp__intake *intake) {
  int status = intake->is_known ? 0 : watch(intake, EPOLL_CTL_ADD);
  intake->is_known = true;
  intake->is_listed = false;
  if (status < 0) {
    atomic_store(&intake->ended, status);
    tell(intake);
  }
  if (!intake->closes)
    return;
  watch(intake, EPOLL_CTL_DEL);
  intake->next = receiver->closed;
  receiver->closed = intake;
  uv_async_send(&receiver->told);
}

/* Called between two rounds: nothing that epoll has told is left. False when it
 * is time to end. */
static bool look_around(struct lp__receiver *receiver) {
  struct lp__intake *intake;
  uint64_t count;
  bool goes_on;
  if (read(receiver->wake, &count, sizeof count) < 0)
    return true;
  pthread_mutex_lock(&receiver->mutex);
  while ((intake = receiver->changed)) {
    receiver->changed = intake->next;
    take_change(receiver, intake);
  }
  goes_on = !receiver->ends;
  pthread_mutex_unlock(&receiver->mutex);
  return goes_on;
}

static void *work(void *context) {
  struct lp__receiver *receiver = context;
  struct epoll_event events[EVENTS];
  int count;
  do {
    count = epoll_wait(receiver->epoll, events, EVENTS, -1);
    for (int i = 0; i < count; i++)
      if (events[i].data.ptr)
        on_arrival(events[i].data.ptr);
  } while (look_around(receiver));
  return NULL;
}

/* --- the owner of the thread --------------------------------------------- */

static void free_intake(struct lp__intake *intake) {
  close(intake->fd);
  lp__block_release(intake->block);
  lp__free(intake);
}

static void free_closed(struct lp__receiver *receiver) {
  struct lp__intake *intake, *next;
  pthread_mutex_lock(&receiver->mutex);
  intake = receiver->closed;
  receiver->closed = NULL;
  pthread_mutex_unlock(&receiver->mutex);
  for (; intake; intake = next) {
    next = intake->next;
    free_intake(intake);
  }
}

/* One that has news, which has none then. */
static struct lp__intake *find_news(struct lp__receiver *receiver) {
  struct lp__intake *intake = TAILQ_FIRST(&receiver->open);
  while (intake && !atomic_exchange(&intake->news, false))
    intake = TAILQ_NEXT(intake, place);
  return intake;
}

/* What is called may close any of them. The thread tells again what has come
 * meanwhile. */
static void on_told(uv_async_t *told) {
  struct lp__receiver *receiver = told->data;
  struct lp__intake *intake;
  free_closed(receiver);
  for (unsigned left = receiver->count; left > 0; left--)
    if ((intake = find_news(receiver)))
      intake->arrived(intake->context);
}

static void call_thread(struct lp__receiver *receiver) {
  uint64_t one = 1;
  ssize_t written = write(receiver->wake, &one, sizeof one);
  (void)written; /* it fails only when there is a call already */
}

static void on_handle_closed(uv_handle_t *handle) {
  struct lp__receiver *receiver = handle->data;
  pthread_mutex_destroy(&receiver->mutex);
  lp__free(receiver);
}

static int open_descriptors(struct lp__receiver *receiver) {
  struct epoll_event event = {.events = EPOLLIN};
  receiver->wake = lp__process_move_up(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  receiver->epoll = lp__process_move_up(epoll_create1(EPOLL_CLOEXEC));
  if (receiver->wake < 0 || receiver->epoll < 0 ||
      epoll_ctl(receiver->epoll, EPOLL_CTL_ADD, receiver->wake, &event) < 0)
    return -errno;
  return 0;
}

static void close_descriptors(struct lp__receiver *receiver) {
  lp__close_fd(&receiver->epoll);
  lp__close_fd(&receiver->wake);
}

int lp__receiver_open(struct lp__receiver **out, struct lp__loop *loop,
                      lp__check check) {
  struct lp__receiver *receiver = lp__calloc(1, sizeof *receiver);
  if (!receiver)
    return -ENOMEM;
  int status = uv_async_init(lp__loop_uv(loop), &receiver->told, on_told);
  if (status < 0) {
    lp__free(receiver);
    return status;
  }
  receiver->told.data = receiver;
  receiver->check = check;
  receiver->epoll = receiver->wake = -1;
  TAILQ_INIT(&receiver->open);
  pthread_mutex_init(&receiver->mutex, NULL);
  status = open_descriptors(receiver);
  if (status == 0)
    status = lp__own_thread_start(&receiver->thread, work, receiver);
  if (status < 0) {
    close_descriptors(receiver);
    uv_close((uv_handle_t *)&receiver->told, on_handle_closed);
    return status;
  }
  *out = receiver;
  return 0;
}

void lp__receiver_close(struct lp__receiver *receiver) {
  if (!receiver)
    return;
  pthread_mutex_lock(&receiver->mutex);
  receiver->ends = true;
  pthread_mutex_unlock(&receiver->mutex);
  call_thread(receiver);
  pthread_join(receiver->thread, NULL);
  free_closed(receiver);
  close_descriptors(receiver);
  uv_close((uv_handle_t *)&receiver->told, on_handle_closed);
}

/* --- the owner of a connection ------------------------------------------- */

/* The thread is told that it has been opened, or closed. */
static void change(struct lp__intake *intake, bool closes) {
  struct lp__receiver *receiver = intake->receiver;
  pthread_mutex_lock(&receiver->mutex);
  intake->closes = closes;
  if (!intake->is_listed) {
    intake->next = receiver->changed;
    receiver->changed = intake;
    intake->is_listed = true;
  }
  pthread_mutex_unlock(&receiver->mutex);
  call_thread(receiver);
}

int lp__intake_open(struct lp__intake **out, struct lp__receiver *receiver,
                    int fd, void (*arrived)(void *context), void *context) {
  struct lp__intake *intake = lp__calloc(1, sizeof *intake);
  struct lp__block *block = lp__block_new(ROOM);
  if (!intake || !block) {
    lp__free(intake);
    lp__block_release(block);
    return -ENOMEM;
  }
  intake->receiver = receiver;
  intake->fd = fd;
  intake->arrived = arrived;
  intake->context = context;
  intake->block = block;
  intake->is_fresh = true;
  atomic_flag_clear(&intake->in_use);
  TAILQ_INSERT_TAIL(&receiver->open, intake, place);
  receiver->count++;
  change(intake, false);
  *out = intake;
  return 0;
}

void lp__intake_close(struct lp__intake *intake) {
  TAILQ_REMOVE(&intake->receiver->open, intake, place);
  intake->receiver->count--;
  change(intake, true);
}

char *lp__intake_arrived(struct lp__intake *intake, size_t *size) {
  *size = atomic_load(&intake->have) - intake->taken;
  return intake->block->bytes + intake->taken;
}

void lp__intake_take(struct lp__intake *intake, size_t size) {
  intake->taken += size;
}

const char *lp__intake_whole(struct lp__intake *intake, size_t *size) {
  *size = atomic_load(&intake->whole_size);
  return *size > 0 ? intake->block->bytes + atomic_load(&intake->whole) : NULL;
}

struct lp__block *lp__intake_block(struct lp__intake *intake) {
  return intake->block;
}

int lp__intake_ended(struct lp__intake *intake) {
  return atomic_load(&intake->ended);
}

/* Puts what is kept, `size` bytes from `keep` on, at the beginning of a block
 * with room for so many more: of this one, when nobody else uses it. */
static int move(struct lp__intake *intake, const char *keep, size_t size,
                size_t more) {
  struct lp__block *block = intake->block;
  size_t room = size + more + 1 > ROOM ? size + more + 1 : ROOM;
  if (block->holds > 1 || block->size < room)
    block = lp__block_new(room);
  if (!block)
    return -ENOMEM;
  memmove(block->bytes, keep, size);
  if (block != intake->block)
    lp__block_release(intake->block);
  intake->block = block;
  return 0;
}

int lp__intake_make_room(struct lp__intake *intake, char **keep, size_t body,
                         size_t size) {
  if (room_of(intake) >= size)
    return 0;
  if (!begin(intake))
    return -EAGAIN;
  char *start = *keep ? *keep : intake->block->bytes + intake->taken;
  size_t before = (size_t)(start - intake->block->bytes);
  int status = move(intake, start, atomic_load(&intake->have) - before, size);
  if (status == 0) {
    atomic_fetch_sub(&intake->have, before);
    intake->taken -= before;
    intake->is_fresh = true;
    intake->body = *keep ? body : 0;
    atomic_store(&intake->whole_size, 0);
    if (*keep)
      *keep = intake->block->bytes;
  }
  finish(intake);
  return status;
}

/* The owner may change what he has received himself. */
bool lp__intake_receive(struct lp__intake *intake) {
  if (!begin(intake))
    return false;
  receive(intake, NULL);
  intake->is_fresh = false;
  finish(intake);
  return true;
}
