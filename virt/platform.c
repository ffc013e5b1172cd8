/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/platform.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/base/thread.h"
#include "agent/base/xml.h"
#include "virt/failure.h"

void
platform_done(struct platform *platform)
{
    free(platform->virtualization);
    free(platform->architecture);
    free(platform->emulator);
    free(platform->machine);
    *platform = (struct platform){ 0 };
}

/* ---- which emulator, and as what ---- */

/* The <guest> of full virtualization for the host's own architecture, else the first there is. */
static const struct xml_node *
find_guest(const struct xml_node *root)
{
    const char *host = xml_text(xml_child(xml_child(root, "host"), "cpu"), "arch");
    const struct xml_node *first = NULL;

    for (XML_EACH(guest, root, "guest")) {
        if (strcmp(xml_text(guest, "os_type"), "hvm") != 0)
            continue;
        if (xml_attribute_is(xml_child(guest, "arch"), "name", host))
            return guest;
        first = first ? first : guest;
    }
    return first;
}

static const struct xml_node *
find_domain(const struct xml_node *arch, const char *type)
{
    for (XML_EACH(domain, arch, "domain"))
        if (xml_attribute_is(domain, "type", type))
            return domain;
    return NULL;
}

static bool
choose_virtualization(const struct xml_node *arch, const char *wanted, struct platform *platform,
                      struct error **err)
{
    const struct xml_node *domain = find_domain(arch, wanted ? wanted : "kvm");
    const char *emulator;

    if (!domain && wanted)
        return error_param(
            err, "virtualization", "must be one that this host has: there is no '%s'%s", wanted,
            strcmp(wanted, "kvm") == 0 ? " (no /dev/kvm, or it cannot be used)" : "");
    if (!domain)
        domain = find_domain(arch, "qemu");
    if (!domain)
        domain = xml_child(arch, "domain");
    platform->virtualization = xml_attribute(domain, "type");
    emulator = xml_text(domain, "emulator");
    platform->emulator = xstrdup(*emulator ? emulator : xml_text(arch, "emulator"));
    if (platform->virtualization)
        return true;
    error_set(err, ERROR_BACKEND_FAILED, "libvirt tells of no virtualization on this host");
    return error_data_text(err, "backend", "libvirt");
}

/* A <domain> with machines of its own hides those of the architecture. */
static const struct xml_node *
machines_of(const struct xml_node *arch, const char *type)
{
    const struct xml_node *domain = find_domain(arch, type);

    return xml_child(domain, "machine") ? domain : arch;
}

static bool
has_machine(const struct xml_node *machines, const char *name)
{
    for (XML_EACH(machine, machines, "machine"))
        if (strcmp(xml_content(machine), name) == 0)
            return true;
    return false;
}

static bool
choose_machine(const struct xml_node *arch, const char *wanted, struct platform *platform,
               struct error **err)
{
    const struct xml_node *machines = machines_of(arch, platform->virtualization);
    const char *best = platform->x86 ? "q35" : "virt";

    /* A driver that tells of none has nothing to choose from. */
    if (wanted && xml_child(machines, "machine") && !has_machine(machines, wanted))
        return error_param(err, "machine",
                           "must be one that this host's QEMU has (host.capabilities): there is no "
                           "'%s'",
                           wanted);
    if (wanted)
        platform->machine = xstrdup(wanted);
    else if (has_machine(machines, best))
        platform->machine = xstrdup(best);
    platform->q35 = platform->machine && (strcmp(platform->machine, "q35") == 0 ||
                                          strncmp(platform->machine, "pc-q35", 6) == 0);
    return true;
}

bool
platform_choose(const char *capabilities, const struct vm_description *description,
                struct platform *ret_platform, struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(platform_done) struct platform platform = { 0 };
    const struct xml_node *arch;

    if (!xml_parse("libvirt", capabilities, strlen(capabilities), &document, err))
        return false;
    arch = xml_child(find_guest(xml_root(document)), "arch");
    platform.architecture = xml_attribute(arch, "name");
    if (!platform.architecture) {
        error_set(err, ERROR_BACKEND_FAILED,
                  "libvirt tells of no emulator on this host: install QEMU");
        return error_data_text(err, "backend", "libvirt");
    }
    platform.x86 =
        strcmp(platform.architecture, "x86_64") == 0 || strcmp(platform.architecture, "i686") == 0;
    if (!choose_virtualization(arch, description->virtualization, &platform, err) ||
        !choose_machine(arch, description->machine, &platform, err))
        return false;
    *ret_platform = platform;
    platform = (struct platform){ 0 };
    return true;
}

/* ---- what that can do ---- */

/* Whether <node><enum name='NAME'> has the value. */
static bool
has_value(const struct xml_node *node, const char *name, const char *value)
{
    for (XML_EACH(list, node, "enum"))
        if (xml_attribute_is(list, "name", name))
            for (XML_EACH(entry, list, "value"))
                if (strcmp(xml_content(entry), value) == 0)
                    return true;
    return false;
}

static bool
has_cpu_mode(const struct xml_node *root, const char *name)
{
    for (XML_EACH(mode, xml_child(root, "cpu"), "mode"))
        if (xml_attribute_is(mode, "name", name) && xml_attribute_is(mode, "supported", "yes"))
            return true;
    return false;
}

static void
read_abilities(struct platform *platform, const struct xml_node *root)
{
    const struct xml_node *os = xml_child(root, "os"), *devices = xml_child(root, "devices");
    const struct xml_node *graphics = xml_child(devices, "graphics");

    platform->efi = has_value(os, "firmware", "efi");
    platform->secure_boot = has_value(xml_child(os, "loader"), "secure", "yes");
    platform->tpm = has_value(xml_child(devices, "tpm"), "backendModel", "emulator");
    platform->vnc = has_value(graphics, "type", "vnc");
    platform->spice = has_value(graphics, "type", "spice");
    platform->virtio_video = has_value(xml_child(devices, "video"), "modelType", "virtio");
    platform->maximum_cpu = has_cpu_mode(root, "maximum");
}

static bool
judge_console(const struct platform *platform, const struct console_description *console,
              struct error **err)
{
    bool spice = console && strcmp(console->kind, "spice") == 0;
    bool vnc = console && strcmp(console->kind, "vnc") == 0;

    return !((spice && !platform->spice) || (vnc && !platform->vnc)) ||
           error_param(err, "console.kind", "must be one that this host's QEMU has: not '%s'",
                       console->kind);
}

bool
platform_judge(struct platform *platform, const char *domain_capabilities,
               const struct vm_description *description, struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    if (!domain_capabilities) {
        platform->efi = platform->secure_boot = platform->tpm = platform->vnc = platform->spice =
            true;
        return true;
    }
    if (!xml_parse("libvirt", domain_capabilities, strlen(domain_capabilities), &document, err))
        return false;
    read_abilities(platform, xml_root(document));
    if (strcmp(description->firmware, "efi") == 0 && !platform->efi)
        return error_param(err, "firmware",
                           "must be 'bios': this host has no EFI firmware for QEMU (ovmf)");
    if (description->secure_boot && !platform->secure_boot)
        return error_param(err, "secureBoot",
                           "needs an EFI firmware with it, which this host does not have");
    if (description->tpm && !platform->tpm)
        return error_param(err, "tpm", "needs swtpm, which this host does not have");
    return judge_console(platform, description->console, err);
}

bool
platform_read(virConnectPtr connect, const struct vm_description *description,
              struct platform *ret_platform, struct error **err)
{
    _cleanup_free_ char *capabilities = NULL, *abilities = NULL;
    _cleanup_(platform_done) struct platform platform = { 0 };

    WORKER_ONLY();
    capabilities = virConnectGetCapabilities(connect);
    if (!capabilities)
        return virt_fail_connect(err, connect, "cannot ask libvirt what this host can do");
    if (!platform_choose(capabilities, description, &platform, err))
        return false;
    abilities = virConnectGetDomainCapabilities(connect, platform.emulator, platform.architecture,
                                                platform.machine, platform.virtualization, 0);
    if (!abilities && virGetLastErrorCode() != VIR_ERR_NO_SUPPORT)
        return virt_fail_connect(err, connect, "cannot ask libvirt what '%s' can do",
                                 platform.emulator);
    if (!platform_judge(&platform, abilities, description, err))
        return false;
    *ret_platform = platform;
    platform = (struct platform){ 0 };
    return true;
}
