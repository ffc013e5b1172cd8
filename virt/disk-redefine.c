/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <string.h>

#include "virt/device-xml.h"
#include "virt/disk-work.h"

/* What follows from the files that it is, or is QEMU's own. */
static bool
is_replaced(const char *name)
{
    static const char *const names[] = { "driver", "source", "backingStore", "mirror", "alias" };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* The disk as it is, over other files. */
static char *
disk_xml_over(const struct xml_node *disk, const struct disk_source *source)
{
    _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();
    const struct xml_node *driver = xml_child(disk, "driver");

    xml_element(writer, "disk");
    xml_put_attributes(writer, disk, "type");
    xml_attr(writer, "type", source->volume ? "network" : "file");
    xml_element(writer, "driver");
    if (driver)
        xml_put_attributes(writer, driver, "type");
    xml_attr(writer, "type", image_format_name(source->layers[0].format));
    xml_element_end(writer);
    device_xml_source(writer, source);
    for (const struct xml_node *node = xml_first(disk); node; node = xml_following(node))
        if (!is_replaced(xml_name(node)))
            xml_put_copy(writer, node);
    xml_element_end(writer);
    return xml_writer_take(writer);
}

bool
disk_work_redefine(struct call *call, const char *disk, struct repository *repository,
                   const char *image, struct error **err)
{
    const struct disk_work *work = call->state;
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(disk_source_done) struct disk_source source = { 0 };
    _cleanup_free_ char *described = NULL, *xml = NULL;
    const struct xml_node *node;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, err) || !disk_describe(repository, image, &source, err))
        return false;
    described = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    if (!described)
        return virt_fail(err, domain, "cannot read the description of '%s'", work->name);
    if (!xml_parse("libvirt", described, strlen(described), &document, err))
        return false;
    node = disk_node_find(xml_root(document), disk);
    if (!node)
        return true;
    xml = disk_xml_over(node, &source);
    return virDomainUpdateDeviceFlags(domain, xml, VIR_DOMAIN_AFFECT_CONFIG) == 0 ||
           virt_fail(err, domain, "cannot define disk '%s' of '%s' anew", disk, work->name);
}
