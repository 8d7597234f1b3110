/*
 * The Lua module "lambdapool.xml.native": reads XML (xml.h).
 *
 *   native(text) -> node | nil, message
 *
 * A node is { name =, text = } for a leaf, else { name =, node, node, ... }.
 */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "../own.h"
#include "lambdapool.h"
#include "xml.h"

#define DOCUMENT "lambdapool.xml.Document"

LP_API int luaopen_lambdapool_xml(lua_State *L);

static int document_gc(lua_State *L) {
  lp__xml_free(lp__own_check(L, 1, DOCUMENT));
  return 0;
}

static struct lp__xml *push_document(lua_State *L) {
  struct lp__xml *xml = lua_newuserdatauv(L, sizeof *xml, 0);
  memset(xml, 0, sizeof *xml);
  lp__own_set_metatable(L, DOCUMENT);
  return xml;
}

/* Pushes a table for one node, without those below it.  [-0, +1, m] */
static void push_node(lua_State *L, const struct lp__xml *xml,
                      const struct lp__xml_node *node) {
  lua_createtable(L, 0, 2);
  lua_pushlstring(L, xml->text + node->name, node->name_size);
  lua_setfield(L, -2, "name");
  if (!node->is_leaf)
    return;
  lua_pushlstring(L, xml->text + node->text, node->text_size);
  lua_setfield(L, -2, "text");
}

/* Pushes the root with everything in it. Above `top` are the nodes that lead
 * to the current one, by their depth.  [-0, +1, m] */
static void push_tree(lua_State *L, const struct lp__xml *xml) {
  int top = lua_gettop(L);
  luaL_checkstack(L, LP__XML_DEPTH + 4, NULL);
  for (size_t i = 0; i < xml->count; i++) {
    const struct lp__xml_node *node = &xml->nodes[i];
    lua_settop(L, top + (int)node->depth);
    push_node(L, xml, node);
    if (node->depth > 0) {
      lua_pushvalue(L, -1);
      lua_rawseti(L, -3, (lua_Integer)lua_rawlen(L, -3) + 1);
    }
  }
  lua_settop(L, top + 1);
}

static int xml_parse(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size);
  struct lp__xml *xml = push_document(L);
  if (lp__xml_parse(xml, bytes, size) < 0) {
    luaL_pushfail(L);
    lua_pushstring(L, xml->message);
    return 2;
  }
  push_tree(L, xml);
  lp__xml_free(xml);
  return 1;
}

int luaopen_lambdapool_xml(lua_State *L) {
  lp__own_metatable(L, DOCUMENT);
  lua_pushcfunction(L, document_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  lua_pushcfunction(L, xml_parse);
  return 1;
}
