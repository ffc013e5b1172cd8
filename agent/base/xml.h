/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XML as backends speak it: small documents, read whole, and written.
 *
 * libxml2 parses and writes it; only agent/base/xml.c sees libxml2.  What comes from outside is refused
 * here once: document types (and with them every entity that is not XML's own), external files, depth
 * beyond libxml2's 256, documents cut short.  Any thread.
 */
#ifndef AGENT_BASE_XML_H
#define AGENT_BASE_XML_H

#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"

struct xml_document;
struct xml_node; /* an element; lives as long as its document */

/* Before threads. */
void xml_prepare(void);

/* 'size' bytes, which are borrowed, of what 'backend' has told.  Error: BackendFailed {backend, text}; of a
   caller's own ('backend' NULL) InvalidParams, which says why and is to be wrapped. */
bool xml_parse(const char *backend, const char *bytes, size_t size,
               struct xml_document **ret_document, struct error **err) _must_check_;
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
/* The same of an attribute. */
bool xml_attribute_number(const struct xml_node *node, const char *name, uint64_t *ret_value);
/* Whether it has the attribute, with this value. */
bool xml_attribute_is(const struct xml_node *node, const char *name, const char *value);
/* How many children of that name there are. */
size_t xml_children(const struct xml_node *parent, const char *name);
/* The element and all that is in it, as text that stands alone; to be freed. */
char *xml_dump(const struct xml_node *node);

/*
 * Writing: an element's attributes first, then what is in it.  Text is escaped here, once; it must be
 * UTF-8 that XML can say (xml_text_valid()).
 *     xml_element(writer, "source");
 *     xml_attr(writer, "file", path);
 *     xml_element_end(writer);
 */
struct xml_writer;

/* Whether XML has a way to say these characters: not so for controls but tabs and line ends, nor for
   U+FFFE and U+FFFF.  'text' is UTF-8. */
bool xml_text_valid(const char *text);

struct xml_writer *xml_writer_new(void);
void xml_writer_free(struct xml_writer *writer);
DEFINE_CLEANUP(struct xml_writer, xml_writer_free)

void xml_element(struct xml_writer *writer, const char *name);
void xml_element_end(struct xml_writer *writer);
/* 'value' NULL: there is none. */
void xml_attr(struct xml_writer *writer, const char *name, const char *value);
void xml_attr_number(struct xml_writer *writer, const char *name, uint64_t value);
void xml_put_text(struct xml_writer *writer, const char *text);
/* <name>text</name>; 'text' NULL: nothing at all. */
void xml_leaf(struct xml_writer *writer, const char *name, const char *text);
void xml_leaf_number(struct xml_writer *writer, const char *name, uint64_t value);
/* <name attr="value"/>, which is most of what libvirt wants. */
void xml_flag(struct xml_writer *writer, const char *name, const char *attr, const char *value);
/* The attributes of an element of another document, but for those named (NULL-terminated). */
void xml_put_attributes(struct xml_writer *writer, const struct xml_node *node,
                        const char *const *without);
/* A copy of an element of another document, and of all that is in it. */
void xml_put_copy(struct xml_writer *writer, const struct xml_node *node);
/* What was written, all elements ended; to be freed.  The writer is empty again. */
char *xml_writer_take(struct xml_writer *writer);

#endif
