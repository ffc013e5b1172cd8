/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/vm.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/base/thread.h"
#include "virt/failure.h"

/* ---- states and their reasons, as words ---- */

static const char *const state_names[] = {
    [VM_UNKNOWN] = "unknown",     [VM_RUNNING] = "running", [VM_PAUSED] = "paused",
    [VM_STOPPING] = "stopping",   [VM_SHUTOFF] = "shutoff", [VM_CRASHED] = "crashed",
    [VM_SUSPENDED] = "suspended",
};
const char *const vm_state_choices[] = { "unknown", "running", "paused",    "stopping",
                                         "shutoff", "crashed", "suspended", NULL };

static const enum vm_state states[] = {
    [VIR_DOMAIN_NOSTATE] = VM_UNKNOWN,   [VIR_DOMAIN_RUNNING] = VM_RUNNING,
    [VIR_DOMAIN_BLOCKED] = VM_RUNNING,   [VIR_DOMAIN_PAUSED] = VM_PAUSED,
    [VIR_DOMAIN_SHUTDOWN] = VM_STOPPING, [VIR_DOMAIN_SHUTOFF] = VM_SHUTOFF,
    [VIR_DOMAIN_CRASHED] = VM_CRASHED,   [VIR_DOMAIN_PMSUSPENDED] = VM_SUSPENDED,
};

#define REASONS 16
static const char *const reasons[][REASONS] = {
    [VIR_DOMAIN_RUNNING] = { NULL, "booted", "migrated", "restored", "from-snapshot", "unpaused",
                             "migration-canceled", "save-canceled", "woken", "crashed", "postcopy",
                             "postcopy-failed" },
    [VIR_DOMAIN_PAUSED] = { NULL, "user", "migration", "save", "dump", "io-error", "watchdog",
                            "from-snapshot", "shutting-down", "snapshot", "crashed", "starting-up",
                            "postcopy", "postcopy-failed", "api-error" },
    [VIR_DOMAIN_SHUTDOWN] = { NULL, "user" },
    [VIR_DOMAIN_SHUTOFF] = { NULL, "shutdown", "destroyed", "crashed", "migrated", "saved",
                             "failed", "from-snapshot", "daemon" },
    [VIR_DOMAIN_CRASHED] = { NULL, "panicked" },
    [VIR_DOMAIN_PMSUSPENDED] = { NULL },
};

const char *
vm_state_name(enum vm_state state)
{
    return state_names[state];
}

enum vm_state
vm_state_of(int state)
{
    return state >= 0 && state < (int)ARRAY_COUNT(states) ? states[state] : VM_UNKNOWN;
}

const char *
vm_reason_of(int state, int reason)
{
    if (state < 0 || state >= (int)ARRAY_COUNT(reasons) || reason < 0 || reason >= REASONS)
        return NULL;
    return reasons[state][reason];
}

/* ---- memory ---- */

void
vm_free(struct vm *vm)
{
    if (!vm)
        return;
    for (size_t i = 0; i < vm->disk_count; i++) {
        struct vm_disk *disk = &vm->disks[i];

        free(disk->target);
        free(disk->device);
        free(disk->bus);
        free(disk->kind);
        free(disk->source);
        free(disk->protocol);
        free(disk->format);
        free(disk->serial);
        free(disk->alias);
        free(disk->repository);
        free(disk->image);
    }
    for (size_t i = 0; i < vm->network_count; i++) {
        struct vm_network *network = &vm->networks[i];

        free(network->mac);
        free(network->kind);
        free(network->source);
        free(network->model);
        free(network->target);
        free(network->alias);
    }
    for (size_t i = 0; i < vm->graphics_count; i++) {
        free(vm->graphics[i].kind);
        free(vm->graphics[i].listen);
    }
    free(vm->disks);
    free(vm->networks);
    free(vm->graphics);
    free(vm->name);
    free(vm->title);
    free(vm->description);
    free(vm->virtualization);
    free(vm->architecture);
    free(vm->machine);
    free(vm->firmware);
    free(vm->emulator);
    free(vm->console);
    free(vm->agent_channel);
    free(vm->user_data);
    free(vm->unread);
    free(vm);
}

/* ---- reading ---- */

static char *
text_of(const struct xml_node *parent, const char *name)
{
    const struct xml_node *node = xml_child(parent, name);

    return node ? xstrdup(xml_content(node)) : NULL;
}

/* Bytes of <memory unit='KiB'>; libvirt always tells KiB. */
static uint64_t
memory_of(const struct xml_node *root, const char *name)
{
    return xml_count(root, name) * 1024;
}

static char *
disk_source(const struct xml_node *source)
{
    static const char *const attributes[] = { "file", "dev", "dir", "name", "volume" };

    for (size_t i = 0; i < ARRAY_COUNT(attributes); i++) {
        char *value = xml_attribute(source, attributes[i]);

        if (value)
            return value;
    }
    return NULL;
}

static void
read_disk(const struct xml_node *node, struct vm_disk *disk)
{
    const struct xml_node *source = xml_child(node, "source");
    const struct xml_node *target = xml_child(node, "target");

    disk->kind = xml_attribute(node, "type");
    disk->device = xml_attribute(node, "device");
    if (!disk->device)
        disk->device = xstrdup("disk");
    disk->target = xml_attribute(target, "dev");
    disk->bus = xml_attribute(target, "bus");
    disk->source = disk_source(source);
    disk->protocol = xml_attribute(source, "protocol");
    disk->format = xml_attribute(xml_child(node, "driver"), "type");
    disk->serial = text_of(node, "serial");
    disk->alias = xml_attribute(xml_child(node, "alias"), "name");
    disk->readonly = xml_child(node, "readonly") != NULL;
    disk->shareable = xml_child(node, "shareable") != NULL;
}

static void
read_network(const struct xml_node *node, struct vm_network *network)
{
    static const char *const attributes[] = { "bridge", "network", "dev", "path", "name" };
    const struct xml_node *source = xml_child(node, "source");

    network->kind = xml_attribute(node, "type");
    network->mac = xml_attribute(xml_child(node, "mac"), "address");
    for (size_t i = 0; i < ARRAY_COUNT(attributes) && !network->source; i++)
        network->source = xml_attribute(source, attributes[i]);
    network->model = xml_attribute(xml_child(node, "model"), "type");
    network->target = xml_attribute(xml_child(node, "target"), "dev");
    network->alias = xml_attribute(xml_child(node, "alias"), "name");
    network->linked = !xml_attribute_is(xml_child(node, "link"), "state", "down");
}

static int64_t
port_of(const struct xml_node *node, const char *name)
{
    uint64_t port;

    return xml_attribute_number(node, name, &port) && port <= 65535 ? (int64_t)port : -1;
}

static void
read_graphics(const struct xml_node *node, struct vm_graphics *graphics)
{
    graphics->kind = xml_attribute(node, "type");
    graphics->listen = xml_attribute(node, "listen");
    graphics->port = port_of(node, "port");
    graphics->tls_port = port_of(node, "tlsPort");
}

static void
read_devices(const struct xml_node *devices, struct vm *vm)
{
    vm->emulator = text_of(devices, "emulator");
    vm->disks = xalloc((xml_children(devices, "disk") + 1) * sizeof(vm->disks[0]));
    for (XML_EACH(node, devices, "disk"))
        read_disk(node, &vm->disks[vm->disk_count++]);
    vm->networks = xalloc((xml_children(devices, "interface") + 1) * sizeof(vm->networks[0]));
    for (XML_EACH(node, devices, "interface"))
        read_network(node, &vm->networks[vm->network_count++]);
    vm->graphics = xalloc((xml_children(devices, "graphics") + 1) * sizeof(vm->graphics[0]));
    for (XML_EACH(node, devices, "graphics"))
        read_graphics(node, &vm->graphics[vm->graphics_count++]);
    vm->console = xml_attribute(xml_child(xml_child(devices, "console"), "source"), "path");
    for (XML_EACH(node, devices, "channel")) {
        const struct xml_node *target = xml_child(node, "target");

        if (!xml_attribute_is(target, "name", "org.qemu.guest_agent.0"))
            continue;
        vm->agent_channel = xml_attribute(target, "state");
        if (!vm->agent_channel)
            vm->agent_channel = xstrdup("disconnected");
    }
}

static void
read_cpus(const struct xml_node *root, struct vm *vm)
{
    const struct xml_node *node = xml_child(root, "vcpu");

    vm->cpus_max = xml_count(root, "vcpu");
    if (!xml_attribute_number(node, "current", &vm->cpus))
        vm->cpus = vm->cpus_max;
}

/*
 * What the agent has written there, whoever has edited it since: it becomes part of answers as it stands.
 * Elements of other programs may have the same name, for libxml2 tells names without their prefix.
 */
/* A loader without a type is a rom, as libvirt takes it: a BIOS. */
static bool
is_flash(const struct xml_node *loader)
{
    _cleanup_free_ char *type = xml_attribute(loader, "type");

    return type && strcmp(type, "pflash") == 0;
}

static char *
user_data_of(const struct xml_node *metadata)
{
    for (XML_EACH(node, metadata, "vm")) {
        const char *text = xml_text(node, "userData");
        json_t *data = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        bool is_object = json_is_object(data);

        json_decref(data);
        if (is_object)
            return xstrdup(text);
    }
    return NULL;
}

bool
vm_parse(const char *xml, struct vm **ret_vm, struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    const struct xml_node *root, *os, *type, *metadata;
    const char *uuid;
    struct vm *vm;
    uint64_t id, frozen_until_ms;

    if (!xml_parse("libvirt", xml, strlen(xml), &document, err))
        return false;
    root = xml_root(document);
    uuid = xml_text(root, "uuid");
    if (strcmp(xml_name(root), "domain") != 0 || strlen(uuid) != UUID_TEXT_SIZE - 1 ||
        !*xml_text(root, "name")) {
        error_set(err, ERROR_BACKEND_FAILED, "libvirt's answer describes no domain");
        return error_data_text(err, "backend", "libvirt");
    }
    vm = xalloc(sizeof(*vm));
    memcpy(vm->uuid, uuid, UUID_TEXT_SIZE);
    vm->name = xstrdup(xml_text(root, "name"));
    vm->title = text_of(root, "title");
    vm->description = text_of(root, "description");
    vm->id = xml_attribute_number(root, "id", &id) && id <= INT64_MAX ? (int64_t)id : -1;
    vm->virtualization = xml_attribute(root, "type");
    vm->memory_max = memory_of(root, "memory");
    vm->memory =
        xml_child(root, "currentMemory") ? memory_of(root, "currentMemory") : vm->memory_max;
    read_cpus(root, vm);
    os = xml_child(root, "os");
    type = xml_child(os, "type");
    vm->architecture = xml_attribute(type, "arch");
    vm->machine = xml_attribute(type, "machine");
    vm->firmware = xml_attribute(os, "firmware");
    if (!vm->firmware)
        vm->firmware = xstrdup(is_flash(xml_child(os, "loader")) ? "efi" : "bios");
    metadata = xml_child(root, "metadata");
    vm->user_data = user_data_of(metadata);
    if (xml_attribute_number(xml_child(metadata, "freeze"), "untilMs", &frozen_until_ms) &&
        frozen_until_ms < INT64_MAX / 1000000)
        vm->frozen_until_ns = (int64_t)frozen_until_ms * 1000000;
    read_devices(xml_child(root, "devices"), vm);
    *ret_vm = vm;
    return true;
}

/* What its description does not say of it. */
static bool
read_flags(virDomainPtr domain, struct vm *vm, struct error **err)
{
    int persistent = virDomainIsPersistent(domain), autostart = 0, saved = 0;

    if (persistent < 0 || (persistent && virDomainGetAutostart(domain, &autostart) < 0))
        return virt_fail(err, domain, "cannot ask how '%s' is defined", vm->name);
    /* Libvirt removes what a VM went on from only after it has told that it runs. */
    if (persistent && vm->id < 0)
        saved = virDomainHasManagedSaveImage(domain, 0);
    if (saved < 0)
        return virt_fail(err, domain, "cannot ask whether '%s' is saved", vm->name);
    vm->persistent = persistent;
    vm->autostart = autostart;
    vm->saved = saved;
    return true;
}

bool
vm_read(virDomainPtr domain, struct vm **ret_vm, struct error **err)
{
    _cleanup_(vm_freep) struct vm *vm = NULL;
    _cleanup_free_ char *xml = NULL;
    int state, reason;

    WORKER_ONLY();
    xml = virDomainGetXMLDesc(domain, 0);
    if (!xml)
        return virt_fail(err, domain, "cannot read the description of a VM");
    if (!vm_parse(xml, &vm, err))
        return false;
    if (virDomainGetState(domain, &state, &reason, 0) < 0)
        return virt_fail(err, domain, "cannot ask for the state of '%s'", vm->name);
    vm->state = vm_state_of(state);
    vm->reason = vm_reason_of(state, reason);
    if (!read_flags(domain, vm, err))
        return false;
    *ret_vm = TAKE(vm);
    return true;
}

const struct vm_disk *
vm_disk_find(const struct vm *vm, const char *name)
{
    static const size_t names[] = { offsetof(struct vm_disk, target),
                                    offsetof(struct vm_disk, alias),
                                    offsetof(struct vm_disk, serial) };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        for (size_t j = 0; j < vm->disk_count; j++) {
            const char *candidate =
                *(char *const *)(const void *)((const char *)&vm->disks[j] + names[i]);

            if (candidate && strcmp(candidate, name) == 0)
                return &vm->disks[j];
        }
    return NULL;
}

const struct vm_network *
vm_network_find(const struct vm *vm, const char *name)
{
    for (size_t i = 0; i < vm->network_count; i++) {
        const struct vm_network *network = &vm->networks[i];

        if ((network->mac && strcasecmp(network->mac, name) == 0) ||
            (network->target && strcmp(network->target, name) == 0))
            return network;
    }
    return NULL;
}

/* ---- writing ---- */

static void
write_disk(const struct vm_disk *disk, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "target", disk->target);
    writer_member_string(writer, "device", disk->device);
    writer_member_string(writer, "bus", disk->bus);
    writer_member_string(writer, "kind", disk->kind);
    writer_member_string(writer, "source", disk->source);
    writer_member_string(writer, "protocol", disk->protocol);
    writer_member_string(writer, "format", disk->format);
    writer_member_string(writer, "repository", disk->repository);
    writer_member_string(writer, "image", disk->image);
    writer_member_string(writer, "serial", disk->serial);
    writer_member_bool(writer, "readonly", disk->readonly);
    writer_end_object(writer);
}

static void
write_network(const struct vm_network *network, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "mac", network->mac);
    writer_member_string(writer, "kind", network->kind);
    writer_member_string(writer, "source", network->source);
    writer_member_string(writer, "model", network->model);
    writer_member_string(writer, "target", network->target);
    writer_member_bool(writer, "linked", network->linked);
    writer_end_object(writer);
}

static void
write_graphics(const struct vm_graphics *graphics, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "kind", graphics->kind);
    writer_member_string(writer, "listen", graphics->listen);
    writer_member_if_known(writer, "port", graphics->port >= 0, (uint64_t)graphics->port);
    writer_member_if_known(writer, "tlsPort", graphics->tls_port >= 0,
                           (uint64_t)graphics->tls_port);
    writer_end_object(writer);
}

static void
write_devices(const struct vm *vm, struct writer *writer)
{
    writer_key(writer, "disks");
    writer_array(writer);
    for (size_t i = 0; i < vm->disk_count; i++)
        write_disk(&vm->disks[i], writer);
    writer_end_array(writer);
    writer_key(writer, "networks");
    writer_array(writer);
    for (size_t i = 0; i < vm->network_count; i++)
        write_network(&vm->networks[i], writer);
    writer_end_array(writer);
    writer_key(writer, "graphics");
    writer_array(writer);
    for (size_t i = 0; i < vm->graphics_count; i++)
        write_graphics(&vm->graphics[i], writer);
    writer_end_array(writer);
    writer_member_string(writer, "console", vm->console);
    writer_member_string(writer, "guestAgent", vm->agent_channel);
    writer_member_time(writer, "frozenUntil", vm->frozen_until_ns);
}

static void
write_change(const struct vm_change *change, struct writer *writer)
{
    writer_key(writer, "change");
    writer_object(writer);
    writer_member_string(writer, "event", change->event);
    writer_member_string(writer, "reason", change->reason);
    writer_member_string(writer, "device", change->device);
    writer_end_object(writer);
}

void
vm_write(const struct vm *vm, const struct vm_change *change, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "vm", vm->name);
    writer_member_string(writer, "uuid", vm->uuid);
    writer_member_string(writer, "state", vm_state_name(vm->state));
    writer_member_string(writer, "reason", vm->reason);
    writer_member_time(writer, "since", vm->since_ns);
    if (change)
        write_change(change, writer);
    writer_member_if_known(writer, "id", vm->id >= 0, (uint64_t)vm->id);
    writer_member_bool(writer, "persistent", vm->persistent);
    writer_member_bool(writer, "autostart", vm->autostart);
    writer_member_bool(writer, "saved", vm->saved);
    writer_member_unsigned(writer, "memory", vm->memory);
    writer_member_unsigned(writer, "maxMemory", vm->memory_max);
    writer_member_unsigned(writer, "cpus", vm->cpus);
    writer_member_unsigned(writer, "maxCpus", vm->cpus_max);
    writer_member_string(writer, "virtualization", vm->virtualization);
    writer_member_string(writer, "architecture", vm->architecture);
    writer_member_string(writer, "machine", vm->machine);
    writer_member_string(writer, "firmware", vm->firmware);
    writer_member_string(writer, "emulator", vm->emulator);
    write_devices(vm, writer);
    writer_member_string(writer, "title", vm->title);
    writer_member_string(writer, "description", vm->description);
    writer_member_json(writer, "userData", vm->user_data);
    writer_end_object(writer);
}

#define TEXT_OR_NULL "{\"type\":[\"string\",\"null\"]}"
const struct shape vm_shape = {
    .name = "Vm",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vm\",\"uuid\",\"state\",\"reason\",\"since\",\"id\",\"persistent\","
        "\"autostart\",\"saved\",\"memory\",\"maxMemory\",\"cpus\",\"maxCpus\",\"virtualization\",\"architecture\","
        "\"machine\",\"firmware\",\"emulator\",\"disks\",\"networks\",\"graphics\",\"console\",\"guestAgent\",\"frozenUntil\",\"title\","
        "\"description\",\"userData\"],\"properties\":{\"vm\":{\"type\":\"string\"},\"uuid\":{\"type\":\"string\"},"
        "\"state\":{\"enum\":[\"unknown\",\"running\",\"paused\",\"stopping\",\"shutoff\",\"crashed\",\"suspended\"]},"
        "\"reason\":" TEXT_OR_NULL ",\"since\":" TEXT_OR_NULL ","
        "\"id\":{\"type\":[\"integer\",\"null\"]},\"persistent\":{\"type\":\"boolean\"},\"autostart\":{\"type\":"
        "\"boolean\"},\"saved\":{\"type\":\"boolean\"},\"memory\":{\"type\":\"integer\"},\"maxMemory\":{\"type\":"
        "\"integer\"},\"cpus\":{\"type\":\"integer\"},\"maxCpus\":{\"type\":\"integer\"},"
        "\"disks\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"target\",\"device\",\"bus\",\"kind\","
        "\"source\",\"protocol\",\"format\",\"repository\",\"image\",\"serial\",\"readonly\"]}},"
        "\"networks\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"mac\",\"kind\",\"source\","
        "\"model\",\"target\",\"linked\"]}},\"graphics\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":"
        "[\"kind\",\"listen\",\"port\",\"tlsPort\"]}},\"console\":" TEXT_OR_NULL ","
        "\"guestAgent\":{\"enum\":[\"connected\",\"disconnected\",null]},"
        "\"frozenUntil\":" TEXT_OR_NULL "}}",
};
