/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <string.h>

#include "virt/device-xml.h"
#include "virt/disk-work.h"

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
    xml = device_xml_disk_over(node, &source);
    return virDomainUpdateDeviceFlags(domain, xml, VIR_DOMAIN_AFFECT_CONFIG) == 0 ||
           virt_fail(err, domain, "cannot define disk '%s' of '%s' anew", disk, work->name);
}
