/*
 * XML as AWS answers with it (IAM, STS, S3), read into a flat list of its
 * elements, in the order in which they begin. Only leaves have text: what
 * stands between elements is layout. There are no attributes, and no document
 * types, whose entities could become anything.
 */
#ifndef LP__XML_H
#define LP__XML_H

#include <stddef.h>

enum {
  LP__XML_DEPTH = 64,
  LP__XML_NODES = 1 << 18,
  LP__XML_BYTES = 16 << 20,
};

struct lp__xml_node {
  unsigned depth; /* 0 for the root */
  int is_leaf;
  size_t name, name_size; /* in `text`, without a prefix */
  size_t text, text_size; /* of leaves */
};

struct lp__xml {
  struct lp__xml_node *nodes;
  size_t count, capacity;
  char *text;
  size_t size, text_capacity;
  char message[160]; /* what is wrong, after lp__xml_parse has failed */
};

/* Reads a document into `xml`, which is all zero before. 0, or -1 with
 * xml->message. Either way lp__xml_free takes it. */
int lp__xml_parse(struct lp__xml *xml, const char *bytes, size_t size);

/* Frees what it holds and zeroes it; may run twice. */
void lp__xml_free(struct lp__xml *xml);

#endif
