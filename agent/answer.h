/*
 * What becomes of an event: a result, or a failure in the form that the
 * Runtime API and the callers of a function expect.
 */
#ifndef LP__ANSWER_H
#define LP__ANSWER_H

#include <lua.h>
#include <stddef.h>

struct lp__answer {
  const char *failure;      /* NULL: a result; else as "Function.Timeout" */
  const char *content_type; /* of a result */
  const char *bytes;        /* borrowed from a value on the Lua stack */
  size_t size;
};

/* Kinds of failures: for the platform's metrics (it accepts "Runtime.Name"
 * and "Function.Name" only), and what the caller sees as errorType. */
struct lp__failure {
  const char *metric;
  const char *type;
};

extern const struct lp__failure lp__user_error;     /* user code raised */
extern const struct lp__failure lp__timeout;        /* its time was up */
extern const struct lp__failure lp__out_of_memory;  /* its memory was used up */
extern const struct lp__failure lp__invalid_call;   /* cannot be decoded */
extern const struct lp__failure lp__call_mismatch;  /* of another version */
extern const struct lp__failure lp__invalid_event;  /* it is not JSON */
extern const struct lp__failure lp__invalid_result; /* cannot become JSON */
extern const struct lp__failure lp__no_handler;     /* for this event */
extern const struct lp__failure lp__bad_handler;    /* _HANDLER is malformed */
extern const struct lp__failure lp__no_module;      /* no such module */
extern const struct lp__failure lp__syntax_error;   /* in the module */
extern const struct lp__failure lp__init_error;     /* the module raised */
extern const struct lp__failure lp__no_function;    /* not in the module */

/* The bytes at the top of the stack, a string, are the result. They have to
 * stay there while the answer is used. */
void lp__answer_result(lua_State *L, struct lp__answer *answer,
                       const char *content_type);

/* Replaces the value at the top of the stack by what holds its JSON text, which
 * is the result. That has to stay there while the answer is used. Raises what
 * lp__json_encode does.  [-1, +1, e] */
void lp__answer_json(lua_State *L, struct lp__answer *answer);

/* Makes a failure of the message at the top of the stack and the traceback
 * below it (the text of luaL_traceback, or nil), both strings. They are
 * replaced by what holds the body of the answer: {"errorMessage", "errorType",
 * "stackTrace"}.  [-2, +1, m] */
void lp__answer_failure(lua_State *L, struct lp__answer *answer,
                        const struct lp__failure *failure);

/* Makes the failure "not enough memory" without using any. */
void lp__answer_no_memory(struct lp__answer *answer);

/* Turns the error value at the top, of any type, into a message. Calls its
 * __tostring.  [-1, +1, e] */
void lp__answer_message(lua_State *L);

#endif
