/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/disk-chain.h"

#include <string.h>

#include "virt/failure.h"

static void
file_done(struct disk_file *file)
{
    free(TAKE(file->path));
    free(TAKE(file->volume));
    free(TAKE(file->format));
    free(TAKE(file->index));
}

void
disk_chain_done(struct disk_chain *chain)
{
    for (size_t i = 0; i < chain->count; i++)
        file_done(&chain->files[i]);
    free(chain->files);
    free(chain->target);
    free(chain->job);
    file_done(&chain->other);
    *chain = (struct disk_chain){ 0 };
}

static bool
same(const char *one, const char *other)
{
    return one && other ? strcmp(one, other) == 0 : one == other;
}

bool
disk_chain_is_at(const struct disk_chain *chain, const struct disk_file *file)
{
    return chain->count > 0 && same(chain->files[0].path, file->path) &&
           same(chain->files[0].volume, file->volume);
}

/* ---- reading ---- */

/* Of an element that has a <source>, and says its format in 'format'. */
static bool
read_file(const struct xml_node *node, const struct xml_node *format, struct disk_file *ret_file)
{
    const struct xml_node *source = xml_child(node, "source");
    _cleanup_free_ char *name = NULL;
    const char *slash;

    *ret_file = (struct disk_file){ .path = xml_attribute(source, "file") };
    if (!ret_file->path)
        ret_file->path = xml_attribute(source, "dev");
    if (!ret_file->path && xml_attribute_is(source, "protocol", "gluster") &&
        (name = xml_attribute(source, "name")) && (slash = strchr(name, '/'))) {
        ret_file->volume = xprintf("%.*s", (int)(slash - name), name);
        ret_file->path = xstrdup(slash + 1);
    }
    if (ret_file->path) {
        ret_file->format = xml_attribute(format, "type");
        ret_file->index =
            xml_attribute(strcmp(xml_name(node), "disk") == 0 ? source : node, "index");
    }
    return ret_file->path != NULL;
}

static void
add_file(struct disk_chain *chain, const struct disk_file *file)
{
    chain->files = xrealloc(chain->files, (chain->count + 1) * sizeof(*chain->files));
    chain->files[chain->count++] = *file;
}

void
disk_chain_read(const struct xml_node *node, struct disk_chain *ret_chain)
{
    const struct xml_node *mirror = xml_child(node, "mirror"), *layer;
    struct disk_file file;

    *ret_chain = (struct disk_chain){
        .target = xml_attribute(xml_child(node, "target"), "dev"),
        .writable = !xml_child(node, "readonly") && (!xml_attribute_is(node, "device", "cdrom") &&
                                                     !xml_attribute_is(node, "device", "floppy")),
    };
    if (mirror) {
        ret_chain->job = xml_attribute(mirror, "job");
        ret_chain->ready = xml_attribute_is(mirror, "ready", "yes");
        (void)read_file(mirror, xml_child(mirror, "format"), &ret_chain->other);
    }
    if (read_file(node, xml_child(node, "driver"), &file))
        add_file(ret_chain, &file);
    for (layer = xml_child(node, "backingStore");
         layer && read_file(layer, xml_child(layer, "format"), &file);
         layer = xml_child(layer, "backingStore"))
        add_file(ret_chain, &file);
}

static bool
has_target(const struct xml_node *node, const char *name)
{
    return xml_attribute_is(xml_child(node, "target"), "dev", name);
}

static bool
has_alias(const struct xml_node *node, const char *name)
{
    return xml_attribute_is(xml_child(node, "alias"), "name", name);
}

static bool
has_serial(const struct xml_node *node, const char *name)
{
    return strcmp(xml_text(node, "serial"), name) == 0;
}

const struct xml_node *
disk_node_find(const struct xml_node *domain, const char *name)
{
    static bool (*const has[])(const struct xml_node *, const char *) = { has_target, has_alias,
                                                                          has_serial };

    for (size_t i = 0; i < ARRAY_COUNT(has); i++)
        for (XML_EACH(node, xml_child(domain, "devices"), "disk"))
            if (has[i](node, name))
                return node;
    return NULL;
}

bool
disk_chain_find(const struct xml_node *domain, const char *vm, const char *name,
                struct disk_chain *ret_chain, struct error **err)
{
    const struct xml_node *node = disk_node_find(domain, name);

    if (!node)
        return virt_missing_device(err, vm, "disk", name);
    disk_chain_read(node, ret_chain);
    return true;
}

bool
disk_chain_image(const struct disk_chain *chain, const struct disk_places *places,
                 struct repository **ret_repository, char **ret_image, struct error **err)
{
    const struct disk_file *file = chain->files;

    if (chain->count &&
        disk_find(places, file->volume, NULL, file->path, ret_repository, ret_image))
        return true;
    error_set(err, ERROR_WRONG_STATE,
              "disk '%s' (%s) is no image of a repository that is connected and well: see "
              "repository.list",
              chain->target, chain->count ? file->path : "without a medium");
    error_data_text(err, "state", "no image");
    return error_data_text(err, "needs", "an image of a connected repository");
}

/* ---- writing ---- */

void
disk_xml_file(struct xml_writer *writer, const struct disk_file *file, char *const *servers)
{
    _cleanup_free_ char *name = file->volume ? xprintf("%s/%s", file->volume, file->path) : NULL;

    xml_attr(writer, "type", file->volume ? "network" : "file");
    xml_flag(writer, "driver", "type", file->format);
    xml_element(writer, "source");
    if (!file->volume) {
        xml_attr(writer, "file", file->path);
    } else {
        xml_attr(writer, "protocol", "gluster");
        xml_attr(writer, "name", name);
        for (; servers && *servers; servers++)
            xml_flag(writer, "host", "name", *servers);
    }
    xml_element_end(writer);
}
