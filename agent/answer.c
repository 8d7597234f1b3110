/* Answers to events.  See answer.h. */
#include "answer.h"

#include <lauxlib.h>
#include <string.h>

#include "json.h"

const struct lp__failure lp__user_error = {"Function.LambdaPoolError",
                                           "LambdaPoolError"};
const struct lp__failure lp__timeout = {"Function.Timeout",
                                        "Lambdapool.Timeout"};
const struct lp__failure lp__out_of_memory = {"Function.OutOfMemory",
                                              "Lambdapool.OutOfMemory"};
const struct lp__failure lp__invalid_call = {"Runtime.InvalidCall",
                                             "Lambdapool.InvalidCall"};
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

/* The bytes of the string at the top. */
static void fill(lua_State *L, struct lp__answer *answer) {
  answer->bytes = lua_tolstring(L, -1, &answer->size);
}

void lp__answer_result(lua_State *L, struct lp__answer *answer,
                       const char *content_type) {
  answer->failure = NULL;
  answer->content_type = content_type;
  fill(L, answer);
}

/* Adds a string as JSON.  [-0, +0, m], but for the buffer's own slot */
static void add_string(lua_State *L, luaL_Buffer *out, const char *text,
                       size_t size) {
  lua_pushlstring(L, text, size); /* text */
  lp__json_encode(L, -1);         /* text json */
  lua_remove(L, -2);              /* json */
  luaL_addvalue(out);
}

/* Adds the lines of a traceback but its title as an array. */
static void add_trace(lua_State *L, luaL_Buffer *out, const char *text) {
  const char *separator = "";
  luaL_addchar(out, '[');
  while ((text = strchr(text, '\n')) != NULL) {
    size_t size;
    text += strspn(text, "\n\t");
    size = strcspn(text, "\n");
    luaL_addstring(out, separator);
    add_string(L, out, text, size);
    separator = ",";
  }
  luaL_addchar(out, ']');
}

void lp__answer_failure(lua_State *L, struct lp__answer *answer,
                        const struct lp__failure *failure) {
  luaL_Buffer out; /* trace message */
  int message = lua_gettop(L);
  size_t size;
  const char *text = lua_tolstring(L, message, &size);
  const char *trace = lua_tostring(L, message - 1);
  luaL_buffinit(L, &out);
  luaL_addstring(&out, "{\"errorMessage\":");
  add_string(L, &out, text, size);
  luaL_addstring(&out, ",\"errorType\":");
  add_string(L, &out, failure->type, strlen(failure->type));
  luaL_addstring(&out, ",\"stackTrace\":");
  add_trace(L, &out, trace ? trace : "");
  luaL_addchar(&out, '}');
  luaL_pushresult(&out); /* trace message body */
  lua_replace(L, message - 1);
  lua_settop(L, message - 1); /* body */
  answer->failure = failure->metric;
  answer->content_type = "application/json";
  fill(L, answer);
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
