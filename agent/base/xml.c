/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/xml.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xmlwriter.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/name.h"

/* struct xml_document is an xmlDoc and struct xml_node an xmlNode under names of our own. */
static xmlDoc *
doc_of(const struct xml_document *document)
{
    return (xmlDoc *)(uintptr_t)document;
}

static const xmlNode *
lib_node(const struct xml_node *node)
{
    return (const xmlNode *)(const void *)node;
}

static const struct xml_node *
our_node(const xmlNode *node)
{
    return (const struct xml_node *)(const void *)node;
}

void
xml_prepare(void)
{
    xmlInitParser();
}

/* No backend's answer has a document type; one that has wants something of us. */
static void
refuse_document_type(void *context, const xmlChar *name, const xmlChar *external_id,
                     const xmlChar *system_id)
{
    xmlParserCtxt *parser = context;

    (void)name;
    (void)external_id;
    (void)system_id;
    xmlStopParser(parser);
    parser->wellFormed = 0; /* what is read so far must not count */
}

static bool
refuse(const char *backend, const char *reason, struct error **err)
{
    if (!backend)
        return error_set(err, ERROR_INVALID_PARAMS, "%s", reason);
    error_set(err, ERROR_BACKEND_FAILED, "cannot read what %s has told: %s", backend, reason);
    error_data_text(err, "backend", "%s", backend);
    return error_data_text(err, "text", "%s", reason);
}

static const char *
last_reason(xmlParserCtxt *parser, char *room, size_t size)
{
    const xmlError *error = xmlCtxtGetLastError(parser);

    if (!error || !error->message)
        return "it is no XML document, or has a document type";
    (void)snprintf(room, size, "line %d: %s", error->line, error->message);
    room[strcspn(room, "\n")] = '\0';
    return utf8_valid(room, strlen(room)) ? room : "it is not UTF-8";
}

bool
xml_parse(const char *backend, const char *bytes, size_t size, struct xml_document **ret_document,
          struct error **err)
{
    xmlParserCtxt *parser;
    xmlDoc *document;
    char room[256];

    if (size == 0)
        return refuse(backend, "it is empty", err);
    if (size > INT_MAX)
        return refuse(backend, "it is too large", err);
    parser = xmlNewParserCtxt();
    if (!parser)
        return refuse(backend, "no memory for it", err);
    parser->sax->internalSubset = refuse_document_type;
    document = xmlCtxtReadMemory(parser, bytes, (int)size, NULL, NULL,
                                 XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                     XML_PARSE_NOCDATA);
    if (!document || !xmlDocGetRootElement(document)) {
        refuse(backend, last_reason(parser, room, sizeof(room)), err);
        xmlFreeDoc(document);
        xmlFreeParserCtxt(parser);
        return false;
    }
    xmlFreeParserCtxt(parser);
    *ret_document = (struct xml_document *)(void *)document;
    return true;
}

void
xml_free(struct xml_document *document)
{
    xmlFreeDoc(doc_of(document));
}

const struct xml_node *
xml_root(const struct xml_document *document)
{
    return our_node(xmlDocGetRootElement(doc_of(document)));
}

static bool
has_name(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && (!name || strcmp((const char *)node->name, name) == 0);
}

static const struct xml_node *
find(const xmlNode *node, const char *name)
{
    while (node && !has_name(node, name))
        node = node->next;
    return our_node(node);
}

const struct xml_node *
xml_child(const struct xml_node *parent, const char *name)
{
    return parent ? find(lib_node(parent)->children, name) : NULL;
}

const struct xml_node *
xml_next(const struct xml_node *node)
{
    return node ? find(lib_node(node)->next, xml_name(node)) : NULL;
}

const struct xml_node *
xml_first(const struct xml_node *parent)
{
    return xml_child(parent, NULL);
}

const struct xml_node *
xml_following(const struct xml_node *node)
{
    return node ? find(lib_node(node)->next, NULL) : NULL;
}

const char *
xml_name(const struct xml_node *node)
{
    return (const char *)lib_node(node)->name;
}

const char *
xml_content(const struct xml_node *node)
{
    /* Text is one node: comments apart, which backends do not write, the parser joins its pieces. */
    const xmlNode *child = node ? lib_node(node)->children : NULL;

    return child && child->type == XML_TEXT_NODE && child->content ? (const char *)child->content
                                                                   : "";
}

const char *
xml_text(const struct xml_node *parent, const char *name)
{
    return xml_content(xml_child(parent, name));
}

char *
xml_attribute(const struct xml_node *node, const char *name)
{
    xmlChar *value = node ? xmlGetNoNsProp(lib_node(node), (const xmlChar *)name) : NULL;
    char *copy = value ? xstrdup((const char *)value) : NULL;

    xmlFree(value);
    return copy;
}

/* '*ret_end' gets what stands behind it. */
static bool
read_number(const char *text, uint64_t *ret_value, char **ret_end)
{
    unsigned long long value;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    value = strtoull(text, ret_end, 10);
    if (errno)
        return false;
    *ret_value = value;
    return true;
}

bool
xml_number(const struct xml_node *parent, const char *name, uint64_t *ret_value)
{
    uint64_t value;
    char *end;

    if (!read_number(xml_text(parent, name), &value, &end) || *end)
        return false;
    *ret_value = value;
    return true;
}

uint64_t
xml_count(const struct xml_node *parent, const char *name)
{
    uint64_t value = 0;

    (void)xml_number(parent, name, &value);
    return value;
}

uint64_t
xml_whole(const struct xml_node *parent, const char *name)
{
    uint64_t value;
    char *end;

    return read_number(xml_text(parent, name), &value, &end) && (!*end || *end == '.') ? value : 0;
}

size_t
xml_children(const struct xml_node *parent, const char *name)
{
    size_t count = 0;

    for (XML_EACH(node, parent, name))
        count++;
    return count;
}

bool
xml_attribute_number(const struct xml_node *node, const char *name, uint64_t *ret_value)
{
    _cleanup_free_ char *text = xml_attribute(node, name);
    uint64_t value;
    char *end;

    if (!text || !read_number(text, &value, &end) || *end)
        return false;
    *ret_value = value;
    return true;
}

bool
xml_attribute_is(const struct xml_node *node, const char *name, const char *value)
{
    _cleanup_free_ char *text = xml_attribute(node, name);

    return text && strcmp(text, value) == 0;
}

/* ---- writing: what libxml2 refuses here is want of memory ---- */

struct xml_writer {
    xmlBuffer *buffer;
    xmlTextWriter *writer;
};

static const xmlChar *
lib_text(const char *text)
{
    return (const xmlChar *)text;
}

static void
require(bool done)
{
    assert(done);
}

/* Of a copy, which has the declarations of its namespaces with it: they may stand further up. */
char *
xml_dump(const struct xml_node *node)
{
    xmlDoc *document = xmlNewDoc(lib_text("1.0"));
    xmlBuffer *buffer = xmlBufferCreate();
    xmlNode *copy;
    char *text;

    require(document && buffer);
    copy = xmlDocCopyNode((xmlNode *)(uintptr_t)lib_node(node), document, 1);
    require(copy);
    xmlDocSetRootElement(document, copy);
    require(xmlNodeDump(buffer, document, copy, 0, 0) >= 0);
    text = xstrdup((const char *)xmlBufferContent(buffer));
    xmlBufferFree(buffer);
    xmlFreeDoc(document);
    return text;
}

bool
xml_text_valid(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if ((*c < 0x20 && *c != '\t' && *c != '\n' && *c != '\r') ||
            (c[0] == 0xef && c[1] == 0xbf && c[2] >= 0xbe))
            return false;
    return true;
}

struct xml_writer *
xml_writer_new(void)
{
    struct xml_writer *writer = xalloc(sizeof(*writer));

    writer->buffer = xmlBufferCreate();
    require(writer->buffer);
    writer->writer = xmlNewTextWriterMemory(writer->buffer, 0);
    require(writer->writer);
    return writer;
}

void
xml_writer_free(struct xml_writer *writer)
{
    if (!writer)
        return;
    xmlFreeTextWriter(writer->writer);
    xmlBufferFree(writer->buffer);
    free(writer);
}

void
xml_element(struct xml_writer *writer, const char *name)
{
    require(xmlTextWriterStartElement(writer->writer, lib_text(name)) >= 0);
}

void
xml_element_end(struct xml_writer *writer)
{
    require(xmlTextWriterEndElement(writer->writer) >= 0);
}

void
xml_attr(struct xml_writer *writer, const char *name, const char *value)
{
    if (value)
        require(xmlTextWriterWriteAttribute(writer->writer, lib_text(name), lib_text(value)) >= 0);
}

void
xml_attr_number(struct xml_writer *writer, const char *name, uint64_t value)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    xml_attr(writer, name, text);
}

void
xml_put_text(struct xml_writer *writer, const char *text)
{
    require(xmlTextWriterWriteString(writer->writer, lib_text(text)) >= 0);
}

void
xml_leaf(struct xml_writer *writer, const char *name, const char *text)
{
    if (!text)
        return;
    xml_element(writer, name);
    xml_put_text(writer, text);
    xml_element_end(writer);
}

void
xml_leaf_number(struct xml_writer *writer, const char *name, uint64_t value)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    xml_leaf(writer, name, text);
}

void
xml_flag(struct xml_writer *writer, const char *name, const char *attr, const char *value)
{
    xml_element(writer, name);
    xml_attr(writer, attr, value);
    xml_element_end(writer);
}

static bool
is_one_of(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

void
xml_put_attributes(struct xml_writer *writer, const struct xml_node *node,
                   const char *const *without)
{
    for (const xmlAttr *each = lib_node(node)->properties; each; each = each->next) {
        const char *name = (const char *)each->name;
        _cleanup_free_ char *value = is_one_of(without, name) ? NULL : xml_attribute(node, name);

        xml_attr(writer, name, value);
    }
}

void
xml_put_copy(struct xml_writer *writer, const struct xml_node *node)
{
    _cleanup_free_ char *text = xml_dump(node);

    require(xmlTextWriterWriteRaw(writer->writer, lib_text(text)) >= 0);
}

char *
xml_writer_take(struct xml_writer *writer)
{
    size_t size;
    char *text;

    require(xmlTextWriterEndDocument(writer->writer) >= 0 &&
            xmlTextWriterFlush(writer->writer) >= 0);
    text = xstrdup((const char *)xmlBufferContent(writer->buffer));
    size = strlen(text);
    if (size > 0 && text[size - 1] == '\n')
        text[size - 1] = '\0';
    xmlBufferEmpty(writer->buffer);
    return text;
}
