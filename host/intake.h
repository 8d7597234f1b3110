/* A thread that receives for connections, so that their owner need not: what
 * has arrived is in memory when he looks, in one piece, and stays there.
 * Copying a large answer from a socket would take a good part of a frame.
 *
 * One thread for each set of workers. It handles no signals, allocates nothing,
 * and does nothing but receive into blocks that it was given, and check what
 * has arrived, for that would take the owner as long as receiving. Neither side
 * ever waits for the other: whoever finds a connection in use comes back. */
#ifndef LP_INTAKE_H
#define LP_INTAKE_H

#include "block.h"
#include "loop.h"

#include <stdbool.h>

struct lp__receiver;
struct lp__intake; /* one connection */

/* What the thread does with a body that it has received: it looks whether all
 * of it is right. By any thread. */
typedef bool (*lp__check)(const char *body, size_t size);

/* Starts the thread. 0 or a negative errno. */
int lp__receiver_open(struct lp__receiver **out, struct lp__loop *loop,
                      lp__check check);

/* Ends the thread. All intakes have been closed before. The memory stays until
 * libuv lets go of it. NULL is fine. */
void lp__receiver_close(struct lp__receiver *receiver);

/* Receives from a socket that does not block. Calls `arrived`, in looks of the
 * loop, when there is news: bytes, or the end. Takes the socket, unless it
 * fails. 0 or a negative errno. */
int lp__intake_open(struct lp__intake **out, struct lp__receiver *receiver,
                    int fd, void (*arrived)(void *context), void *context);

/* Closes the socket as soon as the thread is not using it. */
void lp__intake_close(struct lp__intake *intake);

/* What has arrived and was not taken yet; *size may be 0. It lies in the block,
 * right behind what was taken last, and may be changed. */
char *lp__intake_arrived(struct lp__intake *intake, size_t *size);

/* The first `size` bytes of that are taken. */
void lp__intake_take(struct lp__intake *intake, size_t size);

/* A body in the block that the check has found to be right, and in *size its
 * bytes; or NULL. The thread knows no more of HTTP than the line that says how
 * long a body is, and looks only at what a block begins with: it is for the
 * owner to say whether there is such a body. */
const char *lp__intake_whole(struct lp__intake *intake, size_t *size);

/* Where it is: borrowed, to be held by whoever goes on using it. There is a
 * byte behind all that has arrived. */
struct lp__block *lp__intake_block(struct lp__intake *intake);

/* What has come to an end when all that has arrived was taken: 0 nothing, 1 the
 * other side sends no more, or a negative errno. To be asked for first. */
int lp__intake_ended(struct lp__intake *intake);

/* Sees to it that so many more bytes can arrive behind those that were taken
 * last, of which the ones from *keep on stay in front of them: the beginning of
 * a body that will have `body` bytes. NULL and 0: none need to. Where that
 * takes another block, *keep is changed. 0, -EAGAIN when the thread is using it
 * (it calls `arrived` afterwards), or -ENOMEM. */
int lp__intake_make_room(struct lp__intake *intake, char **keep, size_t body,
                         size_t size);

/* Receives here and now, as much as there is room for: whatever was sent before
 * has arrived then. False when the thread is doing so. */
bool lp__intake_receive(struct lp__intake *intake);

#endif
