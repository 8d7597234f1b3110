/* One HTTP request while it arrives, without the socket: bytes in, a struct
 * lp__request out. It is stricter than it would have to be, because whatever
 * can be read in two ways will be: lines end in CR LF, nothing is folded, a
 * name is followed by its colon at once, a body has one length.
 *
 * Any bytes lead to a request, to the wish for more, or to a status to refuse
 * them with. Memory grows with what has arrived, not with what was announced,
 * up to the limits. */
#ifndef LP_HTTP_READER_H
#define LP_HTTP_READER_H

#include "http_server.h"

#include <sys/types.h>

enum { LP__FIELDS_MAX = 256, LP__HEADER_BYTES_MAX = 64 * 1024 };

enum lp__reader_state {
  LP__READ_HEAD,
  LP__READ_BODY,    /* of known length */
  LP__READ_CHUNK,   /* one of these until the last chunk has come */
  LP__READ_TRAILER, /* what follows it is looked at by nobody */
  LP__READ_DONE
};

struct lp__reader {
  size_t header_bytes;
  uint64_t body_bytes;
  enum lp__reader_state state;

  /* method \0 target \0, and for each field name \0 value \0, then the line
   * that is still arriving. Kept from one request to the next. */
  char *text;
  size_t text_size, text_room, line; /* where that line begins */
  size_t received;                   /* bytes of the head, or of a trailer */
  struct {
    uint16_t name, value;
  } sizes[LP__FIELDS_MAX];
  uint16_t method_size, target_size, field_count, host_count;

  bool has_line, old, close, keep, expects, chunked, has_length, too_large;
  bool is_head; /* HEAD */
  char *body;
  size_t body_size, body_room;
  uint64_t missing; /* of the body, or of the chunk */
  int chunk_step;
  unsigned chunk_line; /* bytes of the line that begins a chunk */
};

void lp__reader_init(struct lp__reader *reader, size_t header_bytes,
                     uint64_t body_bytes);

/* Frees what it holds. */
void lp__reader_free(struct lp__reader *reader);

/* Begins the next request. */
void lp__reader_reset(struct lp__reader *reader);

/* Whether nothing of a request has come. */
bool lp__reader_fresh(const struct lp__reader *reader);

/* Whether the connection can serve another request after this one. */
bool lp__reader_keeps(const struct lp__reader *reader);

/* Takes bytes and returns how many: all of them, or fewer where the head ends
 * and where the request does. Otherwise the negative status that refuses
 * them. */
ssize_t lp__reader_take(struct lp__reader *reader, const char *bytes,
                        size_t size);

/* Where bytes of a body of known length may be put right away, and how many;
 * NULL when that is not what comes next, or memory is short. */
char *lp__reader_space(struct lp__reader *reader, size_t *size);

/* `size` bytes have been put there. */
void lp__reader_took(struct lp__reader *reader, size_t size);

/* Bytes that lp__reader_request needs. */
size_t lp__reader_request_size(const struct lp__reader *reader);

/* Makes the request of what was read, all but the body, in `memory`, which is
 * aligned for pointers. */
void lp__reader_request(const struct lp__reader *reader,
                        struct lp__request *request, void *memory);

#endif
