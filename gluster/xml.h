/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the gluster command prints with --xml: a small document, read whole.
 *
 * libxml2 parses it; only gluster/xml.c sees libxml2.  What comes from outside is refused here once:
 * document types (and with them every entity that is not XML's own), external files, depth beyond
 * libxml2's 256, documents cut short.  Worker threads.
 */
#ifndef GLUSTER_XML_H
#define GLUSTER_XML_H

#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"

struct xml_document;
struct xml_node; /* an element; lives as long as its document */

/* Before threads. */
void xml_prepare(void);

/* 'size' bytes, which are borrowed.  Error: BackendFailed {backend, text}. */
bool xml_parse(const char *bytes, size_t size, struct xml_document **ret_document,
               struct error **err) _must_check_;
void xml_free(struct xml_document *document);
DEFINE_CLEANUP(struct xml_document, xml_free)

/* Never NULL. */
const struct xml_node *xml_root(const struct xml_document *document);

/*
 * Finding: all take a NULL node, and then find nothing, so that a path is one expression:
 *     xml_child(xml_child(xml_root(document), "volInfo"), "volumes")
 */
const struct xml_node *xml_child(const struct xml_node *parent, const char *name);
/* The next brother of the same name. */
const struct xml_node *xml_next(const struct xml_node *node);
/* for (XML_EACH(node, parent, "brick")) */
#define XML_EACH(node, parent, name)                                                               \
    const struct xml_node *node = xml_child((parent), (name));                                     \
    node;                                                                                          \
    node = xml_next(node)
/* The first child whatever its name, and the next brother whatever its name. */
const struct xml_node *xml_first(const struct xml_node *parent);
const struct xml_node *xml_following(const struct xml_node *node);
const char *xml_name(const struct xml_node *node); /* never NULL for a node */

/* Text that stands right in the node, or in its child 'name': "" when there is none.  Borrowed. */
const char *xml_content(const struct xml_node *node);
const char *xml_text(const struct xml_node *parent, const char *name);
/* An attribute's value, or NULL; to be freed. */
char *xml_attribute(const struct xml_node *node, const char *name);
/* False, and nothing touched: it is not there, or no number from 0 to 2^64 - 1 ("N/A", "-1"). */
bool xml_number(const struct xml_node *parent, const char *name, uint64_t *ret_value);
/* The number, or 0. */
uint64_t xml_count(const struct xml_node *parent, const char *name);
/* What stands before the point of "97171.500000", or 0. */
uint64_t xml_whole(const struct xml_node *parent, const char *name);
/* How many children of that name there are. */
size_t xml_children(const struct xml_node *parent, const char *name);

#endif
