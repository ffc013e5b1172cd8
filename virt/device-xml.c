/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/device-xml.h"

#include <string.h>

static bool
is(const char *text, const char *other)
{
    return text && strcmp(text, other) == 0;
}

static bool
is_cdrom(const struct disk_device *disk)
{
    return is(disk->description->device, "cdrom");
}

static void
put_number(struct xml_writer *writer, const char *name, int64_t number)
{
    if (number > 0)
        xml_leaf_number(writer, name, (uint64_t)number);
}

static void
put_boot_order(struct xml_writer *writer, int64_t order)
{
    if (order == 0)
        return;
    xml_element(writer, "boot");
    xml_attr_number(writer, "order", (uint64_t)order);
    xml_element_end(writer);
}

/* ---- disks ---- */

static const char *
format_of(const struct disk_layer *layer)
{
    return layer->format == IMAGE_QCOW2 ? "qcow2" : "raw";
}

static void
put_hosts(struct xml_writer *writer, char *const *servers)
{
    for (; servers && *servers; servers++)
        xml_flag(writer, "host", "name", *servers);
}

static void
put_layer(struct xml_writer *writer, const struct disk_source *source,
          const struct disk_layer *layer)
{
    xml_element(writer, "source");
    if (source->volume) {
        _cleanup_free_ char *name = xprintf("%s/%s", source->volume, layer->path);

        xml_attr(writer, "protocol", "gluster");
        xml_attr(writer, "name", name);
        put_hosts(writer, source->servers);
    } else {
        xml_attr(writer, "file", layer->path);
    }
    xml_element_end(writer);
}

/* Each layer within the one above it, with its format, and an empty one below the last: so that nothing is
   looked for in headers that a guest may have written. */
static void
put_backing(struct xml_writer *writer, const struct disk_source *source, size_t n)
{
    for (size_t i = n; i < source->layer_count; i++) {
        xml_element(writer, "backingStore");
        xml_attr(writer, "type", source->volume ? "network" : "file");
        xml_flag(writer, "format", "type", format_of(&source->layers[i]));
        put_layer(writer, source, &source->layers[i]);
    }
    xml_element(writer, "backingStore");
    xml_element_end(writer);
    for (size_t i = n; i < source->layer_count; i++)
        xml_element_end(writer);
}

void
device_xml_source(struct xml_writer *writer, const struct disk_source *source)
{
    put_layer(writer, source, &source->layers[0]);
    put_backing(writer, source, 1);
}

static void
put_driver(struct xml_writer *writer, const struct disk_device *disk)
{
    const struct disk_description *description = disk->description;
    const char *cache = description->cache ? description->cache
                        : disk->direct     ? "none"
                                           : "writeback";
    bool direct = is(cache, "none") || is(cache, "directsync");
    bool file = disk->source && !disk->source->volume;

    xml_element(writer, "driver");
    xml_attr(writer, "name", "qemu");
    xml_attr(writer, "type", disk->source ? format_of(&disk->source->layers[0]) : "raw");
    if (disk->source) {
        xml_attr(writer, "cache", cache);
        /* QEMU's driver of volumes has no such choice: libvirt 9.0 takes one, and drops it. */
        xml_attr(writer, "io",
                 !file             ? NULL
                 : description->io ? description->io
                 : direct          ? "native"
                                   : "threads");
        xml_attr(writer, "discard", description->discard);
        /* A full or lost storage stops the VM, which goes on when that is mended. */
        xml_attr(writer, "error_policy", is_cdrom(disk) ? "report" : "stop");
    }
    if (disk->io_thread)
        xml_attr_number(writer, "iothread", disk->io_thread);
    xml_element_end(writer);
}

static void
put_disk_tuning(struct xml_writer *writer, const struct disk_tuning *tuning)
{
    if (!tuning)
        return;
    xml_element(writer, "iotune");
    put_number(writer, "total_bytes_sec", (int64_t)tuning->bytes);
    put_number(writer, "read_bytes_sec", (int64_t)tuning->read_bytes);
    put_number(writer, "write_bytes_sec", (int64_t)tuning->write_bytes);
    put_number(writer, "total_iops_sec", tuning->iops);
    put_number(writer, "read_iops_sec", tuning->read_iops);
    put_number(writer, "write_iops_sec", tuning->write_iops);
    xml_element_end(writer);
}

static void
put_empty(struct xml_writer *writer, const char *name)
{
    xml_element(writer, name);
    xml_element_end(writer);
}

void
device_xml_disk(struct xml_writer *writer, const struct disk_device *disk)
{
    const struct disk_description *description = disk->description;

    xml_element(writer, "disk");
    xml_attr(writer, "type", disk->source && disk->source->volume ? "network" : "file");
    xml_attr(writer, "device", description->device);
    put_driver(writer, disk);
    if (disk->source)
        device_xml_source(writer, disk->source);
    xml_element(writer, "target");
    xml_attr(writer, "dev", disk->target);
    xml_attr(writer, "bus", disk->bus);
    xml_element_end(writer);
    put_disk_tuning(writer, description->tuning);
    if (description->read_only || is_cdrom(disk))
        put_empty(writer, "readonly");
    if (description->shareable)
        put_empty(writer, "shareable");
    xml_leaf(writer, "serial", description->serial);
    put_boot_order(writer, disk->boot_order);
    xml_element_end(writer);
}

static char *
take(struct xml_writer *writer)
{
    char *text = xml_writer_take(writer);

    xml_writer_free(writer);
    return text;
}

char *
device_xml_disk_text(const struct disk_device *disk)
{
    struct xml_writer *writer = xml_writer_new();

    device_xml_disk(writer, disk);
    return take(writer);
}

/* What follows from the files that it is, or is QEMU's own. */
static bool
is_of_files(const char *name)
{
    static const char *const names[] = { "driver", "source", "backingStore", "mirror", "alias" };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

char *
device_xml_disk_over(const struct xml_node *disk, const struct disk_source *source)
{
    static const char *const ours[] = { "type", NULL };
    struct xml_writer *writer = xml_writer_new();
    const struct xml_node *driver = xml_child(disk, "driver");

    xml_element(writer, "disk");
    xml_put_attributes(writer, disk, ours);
    xml_attr(writer, "type", source && source->volume ? "network" : "file");
    xml_element(writer, "driver");
    if (driver)
        xml_put_attributes(writer, driver, ours);
    else
        xml_attr(writer, "name", "qemu");
    xml_attr(writer, "type", source ? format_of(&source->layers[0]) : "raw");
    xml_element_end(writer);
    if (source)
        device_xml_source(writer, source);
    for (const struct xml_node *node = xml_first(disk); node; node = xml_following(node))
        if (!is_of_files(xml_name(node)))
            xml_put_copy(writer, node);
    xml_element_end(writer);
    return take(writer);
}

/* ---- networks ---- */

void
device_xml_network(struct xml_writer *writer, const struct network_device *network)
{
    const struct network_description *description = network->description;

    xml_element(writer, "interface");
    xml_attr(writer, "type", description->kind);
    xml_flag(writer, "mac", "address", network->mac);
    if (description->source) {
        xml_element(writer, "source");
        xml_attr(writer, description->kind, description->source);
        xml_attr(writer, "portgroup", description->port_group);
        xml_element_end(writer);
    }
    xml_flag(writer, "model", "type", description->model);
    if (description->queues) {
        xml_element(writer, "driver");
        xml_attr_number(writer, "queues", (uint64_t)description->queues);
        xml_element_end(writer);
    }
    if (description->filter)
        xml_flag(writer, "filterref", "filter", description->filter);
    if (description->mtu) {
        xml_element(writer, "mtu");
        xml_attr_number(writer, "size", (uint64_t)description->mtu);
        xml_element_end(writer);
    }
    xml_flag(writer, "link", "state", description->connected ? "up" : "down");
    put_boot_order(writer, network->boot_order);
    xml_element_end(writer);
}

char *
device_xml_network_text(const struct network_device *network)
{
    struct xml_writer *writer = xml_writer_new();

    device_xml_network(writer, network);
    return take(writer);
}
