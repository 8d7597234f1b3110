/*
 * Any bytes as XML: the elements that come out lie in what was read, each is
 * at most one deeper than the one before, and only leaves have text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/cloud/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int fine) {
  if (!fine)
    abort();
}

static void check_nodes(const struct lp__xml *xml) {
  unsigned depth = 0;
  for (size_t i = 0; i < xml->count; i++) {
    const struct lp__xml_node *node = &xml->nodes[i];
    check(i == 0 ? node->depth == 0 : node->depth > 0);
    check(node->depth <= depth + 1 && node->depth < LP__XML_DEPTH);
    check(node->name_size > 0);
    check(node->name + node->name_size <= xml->size);
    check(node->text + node->text_size <= xml->size || !node->is_leaf);
    check(node->is_leaf || node->text_size == 0);
    depth = node->depth;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct lp__xml xml = {0};
  char *text = malloc(size ? size : 1); /* so that the sanitizer sees */
  memcpy(text, data, size);
  if (lp__xml_parse(&xml, text, size) == 0) {
    check(xml.count > 0);
    check_nodes(&xml);
  } else {
    check(xml.message[0] != '\0');
  }
  lp__xml_free(&xml);
  lp__xml_free(&xml);
  free(text);
  return 0;
}
