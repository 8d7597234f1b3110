#include "xml.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
  struct lp__xml *xml;
  XML_Parser parser;
  unsigned depth;
  size_t open[LP__XML_DEPTH]; /* nodes that have not ended */
  const char *problem;        /* ours, when the parser was stopped */
};

/* Expat may go on with the end of the same element: every handler asks for
 * `problem` first. */
static void stop(struct reading *r, const char *problem) {
  if (!r->problem)
    r->problem = problem;
  XML_StopParser(r->parser, XML_FALSE);
}

/* Makes room for `more` beyond `count` items; NULL when there is none. */
static void *grow(void *items, size_t count, size_t more, size_t *capacity,
                  size_t item_size) {
  size_t wanted = *capacity ? *capacity : 64;
  if (count + more <= *capacity)
    return items;
  while (wanted < count + more)
    wanted *= 2;
  void *grown = realloc(items, wanted * item_size);
  if (grown)
    *capacity = wanted;
  return grown;
}

static int append(struct reading *r, const char *bytes, size_t size) {
  struct lp__xml *xml = r->xml;
  char *grown = grow(xml->text, xml->size, size, &xml->text_capacity, 1);
  if (!grown) {
    stop(r, "not enough memory");
    return 0;
  }
  xml->text = grown;
  memcpy(xml->text + xml->size, bytes, size);
  xml->size += size;
  return 1;
}

static struct lp__xml_node *new_node(struct reading *r) {
  struct lp__xml *xml = r->xml;
  struct lp__xml_node *grown =
      grow(xml->nodes, xml->count, 1, &xml->capacity, sizeof *grown);
  if (!grown) {
    stop(r, "not enough memory");
    return NULL;
  }
  xml->nodes = grown;
  memset(&xml->nodes[xml->count], 0, sizeof *grown);
  return &xml->nodes[xml->count++];
}

/* What the element around this one had as text was layout. */
static void open_parent(struct reading *r) {
  if (r->depth == 0)
    return;
  struct lp__xml_node *parent = &r->xml->nodes[r->open[r->depth - 1]];
  if (parent->is_leaf)
    r->xml->size = parent->text;
  parent->is_leaf = 0;
}

static void on_start(void *data, const char *name, const char **attributes) {
  struct reading *r = data;
  const char *colon = strrchr(name, ':');
  (void)attributes;
  if (r->problem)
    return;
  if (r->depth == LP__XML_DEPTH) {
    stop(r, "its elements are nested too deeply");
    return;
  }
  if (r->xml->count == LP__XML_NODES) {
    stop(r, "it has too many elements");
    return;
  }
  open_parent(r);
  struct lp__xml_node *node = new_node(r);
  if (!node)
    return;
  name = colon && colon[1] ? colon + 1 : name;
  node->depth = r->depth;
  node->is_leaf = 1;
  node->name = r->xml->size;
  node->name_size = strlen(name);
  node->text = node->name + node->name_size;
  if (append(r, name, node->name_size))
    r->open[r->depth++] = r->xml->count - 1;
}

static void on_text(void *data, const char *bytes, int size) {
  struct reading *r = data;
  if (!r->problem && r->depth > 0 &&
      r->xml->nodes[r->open[r->depth - 1]].is_leaf)
    append(r, bytes, (size_t)size);
}

static void on_end(void *data, const char *name) {
  struct reading *r = data;
  (void)name;
  if (r->problem)
    return;
  struct lp__xml_node *node = &r->xml->nodes[r->open[--r->depth]];
  if (node->is_leaf)
    node->text_size = r->xml->size - node->text;
}

static void on_doctype(void *data, const char *name, const char *system,
                       const char *public, int has_internal) {
  (void)name, (void)system, (void)public, (void)has_internal;
  stop(data, "it has a document type");
}

static int read_all(struct reading *r, const char *bytes, size_t size) {
  struct lp__xml *xml = r->xml;
  XML_SetUserData(r->parser, r);
  XML_SetElementHandler(r->parser, on_start, on_end);
  XML_SetCharacterDataHandler(r->parser, on_text);
  XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
  if (XML_Parse(r->parser, bytes, (int)size, 1) == XML_STATUS_OK)
    return 0;
  snprintf(xml->message, sizeof xml->message, "line %lu: %s",
           (unsigned long)XML_GetCurrentLineNumber(r->parser),
           r->problem ? r->problem
                      : XML_ErrorString(XML_GetErrorCode(r->parser)));
  return -1;
}

int lp__xml_parse(struct lp__xml *xml, const char *bytes, size_t size) {
  struct reading r = {.xml = xml, .parser = NULL};
  int status = -1;
  if (size > LP__XML_BYTES) {
    snprintf(xml->message, sizeof xml->message, "it is too large");
    return -1;
  }
  r.parser = XML_ParserCreate(NULL);
  if (r.parser)
    status = read_all(&r, bytes, size);
  else
    snprintf(xml->message, sizeof xml->message, "not enough memory");
  if (r.parser)
    XML_ParserFree(r.parser);
  return status;
}

void lp__xml_free(struct lp__xml *xml) {
  free(xml->nodes);
  free(xml->text);
  memset(xml, 0, sizeof *xml);
}
