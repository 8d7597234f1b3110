/* Transfers: HTTP requests to servers elsewhere, thousands at a time, with
 * libcurl in a thread of their own. All functions here are for the thread of
 * the host's loop.
 *
 * HTTP/1.1 over TCP or TLS 1.2 and later, with kept connections; nothing else
 * that libcurl knows: no redirects, cookies, passwords, decompression. What is
 * sent is sent once: a transfer whose connection dies fails, and whether to
 * send it again is for the caller to decide, who is told whether the server can
 * have got all of it.
 *
 * Transfers have numbers, from 1 on, which are given again once they have been
 * taken or cancelled. Nothing calls up: what has happened is an event of the
 * loop (LP__EVENT_TRANSFER), one for each piece of news that
 * lp__transfers_take has, or more. */
#ifndef LP_TRANSFER_H
#define LP_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop_port.h"

struct lp__transfers;

/* Borrows all of it until lp__transfer_prepare returns, and the body until the
 * transfer has been taken or cancelled. */
struct lp__transfer_request {
  const char *method;  /* a token */
  const char *url;     /* its path and query are sent as they stand */
  const char *headers; /* lines without their ends, each with a NUL: "Name:
                        * value", "Name;" for an empty one, "Name:" for one that
                        * is not to be sent */
  size_t headers_size;
  const char *body;   /* NULL when there is none */
  size_t body_size;   /* of POST, PUT and PATCH it is always told */
  int64_t total_ms;   /* limit of the whole transfer */
  int64_t connect_ms; /* limit until it is connected, TLS included */
  size_t most_bytes;  /* of the body of the answer */
  const char *ca;     /* file with trusted certificates; NULL: the system's */
  const char *proxy;  /* URL; NULL: as the environment says; "": none */
};

enum lp__transfer_news {
  LP__TRANSFER_NO_NEWS,
  LP__TRANSFER_CONNECTED, /* the request is about to be sent */
  LP__TRANSFER_ENDED
};

/* Borrows from the engine until the number is given back. */
struct lp__transfer_end {
  long status;         /* 0: there was no answer, or not all of it */
  const char *headers; /* lines as in requests, names in lower case */
  size_t headers_size;
  const char *body;
  size_t body_size;
  const char *failure; /* "resolve", "connect", "tls", "proxy", "timeout",
                        * "reset", "too_large", "malformed", "refused_url" */
  const char *detail;  /* what libcurl says about it */
  const char *system;  /* what the system says about it, or NULL */
  bool sent;           /* the server may have got all of the request */
};

/* Makes an engine whose events have that id; 0 or a negative errno. `port` is
 * borrowed until it is closed. */
int lp__transfers_open(struct lp__transfers **out,
                       const struct lp__loop_port *port, int64_t id);

/* Ends every transfer and connection. Its memory goes when the loop runs next,
 * or is closed. NULL is fine. */
void lp__transfers_close(struct lp__transfers *transfers);

/* Makes a transfer, whose time begins now: its number, or a negative errno.
 * What is wrong with the URL is found out later. */
int lp__transfer_prepare(struct lp__transfers *transfers,
                         const struct lp__transfer_request *request);

/* Starts it. With `announce` there is news when it is connected, unless memory
 * is short. */
void lp__transfer_go(struct lp__transfers *transfers, int number,
                     bool announce);

/* Ends a transfer and gives back its number, also after it was taken. A number
 * that is not in use is fine. */
void lp__transfer_release(struct lp__transfers *transfers, int number);

/* The next news and whose they are; no news when there are none. After
 * LP__TRANSFER_ENDED the number is to be released. */
enum lp__transfer_news lp__transfers_take(struct lp__transfers *transfers,
                                          int *number,
                                          struct lp__transfer_end *end);

#endif
