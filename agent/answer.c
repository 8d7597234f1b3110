/* Answers to events.  See answer.h. */
#include "answer.h"

#include <lauxlib.h>
#include <string.h>

#include "host/json.h"

const struct lp__failure lp__user_error = {"Function.LambdaPoolError",
                                           "LambdaPoolError"};
const struct lp__failure lp__timeout = {"Function.Timeout",
                                        "Lambdapool.Timeout"};
const struct lp__failure lp__out_of_memory = {"Function.OutOfMemory",
                                              "Lambdapool.OutOfMemory"};
const struct lp__failure lp__invalid_call = {"Runtime.InvalidCall",
                                             "Lambdapool.InvalidCall"};
const struct lp__failure lp__call_mismatch = {"Runtime.CallVersion",
                                              "Lambdapool.CallVersion"};
const struct lp__failure lp__invalid_event = {"Runtime.UnmarshalError",
                                              "Runtime.UnmarshalError"};
const struct lp__failure lp__invalid_result = {"Runtime.MarshalError",
                                               "Runtime.MarshalError"};
const struct lp__failure lp__no_handler = {"Runtime.NoHandler",
                                           "Runtime.NoHandler"};
const struct lp__failure lp__bad_handler = {"Runtime.MalformedHandlerName",
                                            "Runtime.MalformedHandlerName"};
const struct lp__failure lp__no_module = {"Runtime.ImportModuleError",
                                          "Runtime.ImportModuleError"};
const struct lp__failure lp__syntax_error = {"Runtime.UserCodeSyntaxError",
                                             "Runtime.UserCodeSyntaxError"};
const struct lp__failure lp__init_error = {"Runtime.InitError",
                                           "Runtime.InitError"};
const struct lp__failure lp__no_function = {"Runtime.HandlerNotFound",
                                            "Runtime.HandlerNotFound"};

/* Pushes the box of an empty buffer.  [-0, +1, -] */
static struct lp__buffer push_buffer(lua_State *L) {
  struct lp__buffer buffer = {NULL, 0, 0, 0};
  lua_pushnil(L);
  buffer.box = lua_gettop(L);
  return buffer;
}

/* The bytes of the buffer are the answer. */
static void fill(struct lp__answer *answer, const struct lp__buffer *buffer) {
  answer->content_type = "application/json";
  answer->bytes = (const char *)buffer->bytes;
  answer->size = buffer->size;
}

void lp__answer_result(lua_State *L, struct lp__answer *answer,
                       const char *content_type) {
  answer->failure = NULL;
  answer->content_type = content_type;
  answer->bytes = lua_tolstring(L, -1, &answer->size);
}

void lp__answer_json(lua_State *L, struct lp__answer *answer) {
  struct lp__buffer out = push_buffer(L); /* value box */
  lp__json_encode(L, -2, &out);
  lua_remove(L, -2); /* box */
  answer->failure = NULL;
  fill(answer, &out);
}

static void add(lua_State *L, struct lp__buffer *out, const char *text) {
  lp__buffer_add(L, out, text, strlen(text));
}

/* Adds the lines of a traceback but its title as an array. */
static void add_trace(lua_State *L, struct lp__buffer *out, const char *text) {
  const char *separator = "";
  add(L, out, "[");
  while ((text = strchr(text, '\n')) != NULL) {
    size_t size;
    text += strspn(text, "\n\t");
    size = strcspn(text, "\n");
    add(L, out, separator);
    lp__json_add_string(L, out, text, size);
    separator = ",";
  }
  add(L, out, "]");
}

void lp__answer_failure(lua_State *L, struct lp__answer *answer,
                        const struct lp__failure *failure) {
  size_t size;
  const char *text = lua_tolstring(L, -1, &size);
  const char *trace = lua_tostring(L, -2);
  struct lp__buffer out = push_buffer(L); /* trace message box */
  add(L, &out, "{\"errorMessage\":");
  lp__json_add_string(L, &out, text, size);
  add(L, &out, ",\"errorType\":");
  lp__json_add_string(L, &out, failure->type, strlen(failure->type));
  add(L, &out, ",\"stackTrace\":");
  add_trace(L, &out, trace ? trace : "");
  add(L, &out, "}");
  lua_replace(L, -3); /* box message */
  lua_pop(L, 1);      /* box */
  answer->failure = failure->metric;
  fill(answer, &out);
}

void lp__answer_no_memory(struct lp__answer *answer) {
  static const char body[] = "{\"errorMessage\":\"not enough memory\","
                             "\"errorType\":\"Lambdapool.OutOfMemory\","
                             "\"stackTrace\":[]}";
  answer->failure = lp__out_of_memory.metric;
  answer->content_type = "application/json";
  answer->bytes = body;
  answer->size = sizeof body - 1;
}

void lp__answer_message(lua_State *L) {
  int type = lua_type(L, -1);
  if (type == LUA_TSTRING)
    return;
  if (type == LUA_TTABLE && luaL_getmetafield(L, -1, "__tostring") == LUA_TNIL)
    lua_pushliteral(L, "(the error value is a table)");
  else if (type == LUA_TTABLE)
    lua_pop(L, 1), luaL_tolstring(L, -1, NULL);
  else
    luaL_tolstring(L, -1, NULL);
  lua_remove(L, -2);
}
