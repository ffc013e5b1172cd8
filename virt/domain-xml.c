/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/domain-xml.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "virt/device-xml.h"
#include "virt/vm.h"

/* For what is plugged in later: each device of PCI Express takes a port, and none can be added to a VM that
   runs.  With a disk and a network that makes 14 of them, as many as virt-install makes. */
#define SPARE_PORTS 8
#define BALLOON_PERIOD_S 10
/* In the past for every clock: no password opens the console until a ticket brings another. */
#define EXPIRED "1970-01-01T00:00:01"

static bool
is(const char *text, const char *other)
{
    return text && strcmp(text, other) == 0;
}

static void
put_number(struct xml_writer *writer, const char *name, int64_t number)
{
    if (number > 0)
        xml_leaf_number(writer, name, (uint64_t)number);
}

static void
put_empty(struct xml_writer *writer, const char *name)
{
    xml_element(writer, name);
    xml_element_end(writer);
}

/* ---- screen, serial port and the rest ---- */

/* NULL: it has none. */
static const char *
console_kind(const struct domain_plan *plan)
{
    const struct console_description *console = plan->description->console;

    if (!console)
        return plan->platform->vnc ? "vnc" : NULL;
    return is(console->kind, "none") ? NULL : console->kind;
}

static void
put_graphics(struct xml_writer *writer, const struct domain_plan *plan)
{
    static const struct console_description standard = { 0 };
    const struct console_description *console =
        plan->description->console ? plan->description->console : &standard;

    xml_element(writer, "graphics");
    xml_attr(writer, "type", console_kind(plan));
    if (console->port)
        xml_attr_number(writer, "port", (uint64_t)console->port);
    xml_attr(writer, "autoport", console->port ? "no" : "yes");
    xml_attr(writer, "keymap", console->keymap);
    if (!console->open) {
        xml_attr(writer, "passwd", plan->console_password);
        xml_attr(writer, "passwdValidTo", EXPIRED);
    }
    xml_element(writer, "listen");
    xml_attr(writer, "type", "address");
    xml_attr(writer, "address", console->listen ? console->listen : "127.0.0.1");
    xml_element_end(writer);
    xml_element_end(writer);
}

static const char *
video_model(const struct domain_plan *plan)
{
    if (!console_kind(plan))
        return "none";
    /* Any guest has a driver for VGA, Windows none for virtio before it is given one. */
    if (!plan->platform->virtio_video || is(plan->description->guest, "windows"))
        return plan->platform->x86 ? "vga" : "virtio";
    return "virtio";
}

static void
put_screen(struct xml_writer *writer, const struct domain_plan *plan)
{
    if (console_kind(plan)) {
        xml_element(writer, "input");
        xml_attr(writer, "type", "tablet");
        xml_attr(writer, "bus", "usb");
        xml_element_end(writer);
        put_graphics(writer, plan);
    }
    xml_element(writer, "video");
    xml_flag(writer, "model", "type", video_model(plan));
    xml_element_end(writer);
}

/* The port, and that it is the guest's console. */
static void
put_serial(struct xml_writer *writer, const struct serial_description *serial)
{
    static const char *const elements[] = { "serial", "console" };
    const char *kind = serial ? serial->kind : "pty";

    for (size_t i = 0; i < ARRAY_COUNT(elements) && !is(kind, "none"); i++) {
        xml_element(writer, elements[i]);
        xml_attr(writer, "type", kind);
        if (is(kind, "file")) {
            xml_element(writer, "source");
            xml_attr(writer, "path", serial->path);
            xml_attr(writer, "append", "on"); /* what was said before a restart stays */
            xml_element_end(writer);
        }
        xml_element(writer, "target");
        if (i == 1)
            xml_attr(writer, "type", "serial");
        xml_attr_number(writer, "port", 0);
        xml_element_end(writer);
        xml_element_end(writer);
    }
}

static void
put_channel(struct xml_writer *writer, const char *type, const char *name)
{
    xml_element(writer, "channel");
    xml_attr(writer, "type", type);
    xml_element(writer, "target");
    xml_attr(writer, "type", "virtio");
    xml_attr(writer, "name", name);
    xml_element_end(writer);
    xml_element_end(writer);
}

static void
put_random(struct xml_writer *writer)
{
    xml_element(writer, "rng");
    xml_attr(writer, "model", "virtio");
    xml_element(writer, "backend");
    xml_attr(writer, "model", "random");
    xml_put_text(writer, "/dev/urandom");
    xml_element_end(writer);
    xml_element_end(writer);
}

static void
put_balloon(struct xml_writer *writer, bool wanted)
{
    xml_element(writer, "memballoon");
    xml_attr(writer, "model", wanted ? "virtio" : "none");
    if (wanted) {
        xml_element(writer, "stats");
        xml_attr_number(writer, "period", BALLOON_PERIOD_S);
        xml_element_end(writer);
    }
    xml_element_end(writer);
}

static void
put_tpm(struct xml_writer *writer, const struct platform *platform)
{
    xml_element(writer, "tpm");
    xml_attr(writer, "model", platform->x86 ? "tpm-crb" : "tpm-tis");
    xml_element(writer, "backend");
    xml_attr(writer, "type", "emulator");
    xml_attr(writer, "version", "2.0");
    xml_element_end(writer);
    xml_element_end(writer);
}

static void
put_controller(struct xml_writer *writer, const char *type, const char *model)
{
    xml_element(writer, "controller");
    xml_attr(writer, "type", type);
    xml_attr(writer, "model", model);
    xml_element_end(writer);
}

static bool
has_scsi(const struct domain_plan *plan)
{
    for (size_t i = 0; i < plan->disk_count; i++)
        if (is(plan->disks[i].bus, "scsi"))
            return true;
    return false;
}

/* What it begins with that takes a port each: disks, networks, and controllers of USB, SCSI and virtio's
   serial ports. */
static size_t
taken_ports(const struct domain_plan *plan)
{
    const struct vm_description *description = plan->description;
    bool channels = description->guest_agent || is(console_kind(plan), "spice");
    size_t count = 1 + plan->network_count + has_scsi(plan) + channels + description->random +
                   description->balloon;

    for (size_t i = 0; i < plan->disk_count; i++)
        count += is(plan->disks[i].bus, "virtio");
    return count;
}

static void
put_controllers(struct xml_writer *writer, const struct domain_plan *plan)
{
    if (plan->platform->q35) {
        put_controller(writer, "pci", "pcie-root");
        for (size_t i = 0; i < taken_ports(plan) + SPARE_PORTS; i++)
            put_controller(writer, "pci", "pcie-root-port");
    }
    put_controller(writer, "usb", "qemu-xhci");
    if (has_scsi(plan))
        put_controller(writer, "scsi", "virtio-scsi");
}

static void
put_devices(struct xml_writer *writer, const struct domain_plan *plan)
{
    const struct vm_description *description = plan->description;

    xml_element(writer, "devices");
    xml_leaf(writer, "emulator", plan->platform->emulator);
    for (size_t i = 0; i < plan->disk_count; i++)
        device_xml_disk(writer, &plan->disks[i]);
    put_controllers(writer, plan);
    for (size_t i = 0; i < plan->network_count; i++)
        device_xml_network(writer, &plan->networks[i]);
    put_serial(writer, description->serial);
    if (description->guest_agent)
        put_channel(writer, "unix", "org.qemu.guest_agent.0");
    if (is(console_kind(plan), "spice"))
        put_channel(writer, "spicevmc", "com.redhat.spice.0");
    if (description->tpm)
        put_tpm(writer, plan->platform);
    put_screen(writer, plan);
    if (description->random)
        put_random(writer);
    put_balloon(writer, description->balloon);
    xml_element_end(writer);
}

/* ---- the machine ---- */

static void
put_metadata(struct xml_writer *writer, const struct vm_description *description)
{
    if (!description->user_data)
        return;
    xml_element(writer, "metadata");
    xml_element(writer, VM_METADATA_PREFIX ":vm");
    xml_attr(writer, "xmlns:" VM_METADATA_PREFIX, VM_METADATA_URI);
    xml_leaf(writer, VM_METADATA_PREFIX ":userData", description->user_data);
    xml_element_end(writer);
    xml_element_end(writer);
}

static void
put_digits(struct xml_writer *writer, uint64_t number)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%" PRIu64, number);
    xml_put_text(writer, text);
}

static void
put_bytes(struct xml_writer *writer, const char *name, uint64_t bytes)
{
    xml_element(writer, name);
    xml_attr(writer, "unit", "b");
    put_digits(writer, bytes);
    xml_element_end(writer);
}

static int64_t
most_cpus(const struct vm_description *description)
{
    return description->max_cpus ? description->max_cpus : description->cpus;
}

static void
put_size(struct xml_writer *writer, const struct vm_description *description)
{
    put_bytes(writer, "memory",
              description->max_memory ? description->max_memory : description->memory);
    put_bytes(writer, "currentMemory", description->memory);
    xml_element(writer, "vcpu");
    if (most_cpus(description) > description->cpus)
        xml_attr_number(writer, "current", (uint64_t)description->cpus);
    put_digits(writer, (uint64_t)most_cpus(description));
    xml_element_end(writer);
}

static void
put_cpu_tuning(struct xml_writer *writer, const struct vm_tuning *tuning)
{
    if (!tuning)
        return;
    put_number(writer, "iothreads", tuning->io_threads);
    if (!tuning->cpu_shares && !tuning->cpu_quota)
        return;
    xml_element(writer, "cputune");
    put_number(writer, "shares", tuning->cpu_shares);
    put_number(writer, "period", tuning->cpu_period);
    put_number(writer, "quota", tuning->cpu_quota);
    xml_element_end(writer);
}

/* Firmware that could check signatures checks none before keys are enrolled in its variables. */
static void
put_firmware(struct xml_writer *writer, bool secure)
{
    static const char *const features[] = { "secure-boot", "enrolled-keys" };

    xml_element(writer, "firmware");
    for (size_t i = 0; i < ARRAY_COUNT(features); i++) {
        xml_element(writer, "feature");
        xml_attr(writer, "enabled", secure ? "yes" : "no");
        xml_attr(writer, "name", features[i]);
        xml_element_end(writer);
    }
    xml_element_end(writer);
}

static void
put_os(struct xml_writer *writer, const struct domain_plan *plan)
{
    const struct vm_description *description = plan->description;
    const struct boot_description *boot = description->boot;
    bool efi = is(description->firmware, "efi");

    xml_element(writer, "os");
    if (efi)
        xml_attr(writer, "firmware", "efi");
    xml_element(writer, "type");
    xml_attr(writer, "arch", plan->platform->architecture);
    xml_attr(writer, "machine", plan->platform->machine);
    xml_put_text(writer, "hvm");
    xml_element_end(writer);
    if (efi)
        put_firmware(writer, description->secure_boot);
    if (boot) {
        xml_leaf(writer, "kernel", boot->kernel);
        xml_leaf(writer, "initrd", boot->initrd);
        xml_leaf(writer, "cmdline", boot->command_line);
    }
    xml_element_end(writer);
}

/* What makes Windows run well, of which KVM alone has most. */
static void
put_hyperv(struct xml_writer *writer)
{
    static const char *const features[] = { "relaxed", "vapic", "vpindex", "synic", "stimer" };

    xml_element(writer, "hyperv");
    xml_attr(writer, "mode", "custom");
    for (size_t i = 0; i < ARRAY_COUNT(features); i++)
        xml_flag(writer, features[i], "state", "on");
    xml_element(writer, "spinlocks");
    xml_attr(writer, "state", "on");
    xml_attr_number(writer, "retries", 8191);
    xml_element_end(writer);
    xml_element_end(writer);
}

static bool
wants_hyperv(const struct domain_plan *plan)
{
    return is(plan->description->guest, "windows") && is(plan->platform->virtualization, "kvm");
}

static void
put_features(struct xml_writer *writer, const struct domain_plan *plan)
{
    xml_element(writer, "features");
    put_empty(writer, "acpi");
    if (plan->platform->x86) {
        put_empty(writer, "apic");
        if (wants_hyperv(plan))
            put_hyperv(writer);
        /* VMware's port, of use to no guest that we start. */
        xml_flag(writer, "vmport", "state", "off");
        if (plan->description->secure_boot)
            xml_flag(writer, "smm", "state", "on");
    }
    xml_element_end(writer);
}

static void
put_topology(struct xml_writer *writer, const struct topology_description *topology)
{
    if (!topology)
        return;
    xml_element(writer, "topology");
    xml_attr_number(writer, "sockets", (uint64_t)topology->sockets);
    xml_attr_number(writer, "dies", (uint64_t)topology->dies);
    xml_attr_number(writer, "cores", (uint64_t)topology->cores);
    xml_attr_number(writer, "threads", (uint64_t)topology->threads);
    xml_element_end(writer);
}

/* Without KVM QEMU's own choice lacks what distributions of today are built for (x86-64-v2). */
static const char *
cpu_model(const struct domain_plan *plan)
{
    if (plan->description->cpu_model)
        return plan->description->cpu_model;
    if (is(plan->platform->virtualization, "kvm"))
        return "host-model";
    return plan->platform->maximum_cpu ? "maximum" : NULL;
}

static void
put_cpu(struct xml_writer *writer, const struct domain_plan *plan)
{
    const char *model = cpu_model(plan);
    const struct topology_description *topology = plan->description->topology;
    bool mode = is(model, "host-model") || is(model, "host-passthrough") || is(model, "maximum");

    if (!model && !topology)
        return;
    xml_element(writer, "cpu");
    if (mode) {
        xml_attr(writer, "mode", model);
    } else if (model) {
        xml_attr(writer, "mode", "custom");
        xml_attr(writer, "match", "exact");
        xml_attr(writer, "check", "partial");
        xml_element(writer, "model");
        xml_attr(writer, "fallback", "forbid");
        xml_put_text(writer, model);
        xml_element_end(writer);
    }
    put_topology(writer, topology);
    xml_element_end(writer);
}

static void
put_timer(struct xml_writer *writer, const char *name, const char *attr, const char *value)
{
    xml_element(writer, "timer");
    xml_attr(writer, "name", name);
    xml_attr(writer, attr, value);
    xml_element_end(writer);
}

static void
put_clock(struct xml_writer *writer, const struct domain_plan *plan)
{
    xml_element(writer, "clock");
    xml_attr(writer, "offset", is(plan->description->guest, "windows") ? "localtime" : "utc");
    if (plan->platform->x86) {
        put_timer(writer, "rtc", "tickpolicy", "catchup");
        put_timer(writer, "pit", "tickpolicy", "delay");
        put_timer(writer, "hpet", "present", "no");
        if (wants_hyperv(plan))
            put_timer(writer, "hypervclock", "present", "yes");
    }
    xml_element_end(writer);
}

static void
put_power(struct xml_writer *writer, const struct platform *platform)
{
    xml_leaf(writer, "on_poweroff", "destroy");
    xml_leaf(writer, "on_reboot", "restart");
    xml_leaf(writer, "on_crash", "destroy");
    if (!platform->x86)
        return;
    /* A guest that sleeps looks like one that hangs. */
    xml_element(writer, "pm");
    xml_flag(writer, "suspend-to-mem", "enabled", "no");
    xml_flag(writer, "suspend-to-disk", "enabled", "no");
    xml_element_end(writer);
}

char *
domain_xml(const struct domain_plan *plan)
{
    const struct vm_description *description = plan->description;
    struct xml_writer *writer = xml_writer_new();
    char *text;

    xml_element(writer, "domain");
    xml_attr(writer, "type", plan->platform->virtualization);
    xml_leaf(writer, "name", description->name);
    xml_leaf(writer, "uuid", plan->uuid);
    xml_leaf(writer, "title", description->title);
    xml_leaf(writer, "description", description->description);
    put_metadata(writer, description);
    put_size(writer, description);
    put_cpu_tuning(writer, description->tuning);
    put_os(writer, plan);
    put_features(writer, plan);
    put_cpu(writer, plan);
    put_clock(writer, plan);
    put_power(writer, plan->platform);
    put_devices(writer, plan);
    xml_element_end(writer);
    text = xml_writer_take(writer);
    xml_writer_free(writer);
    return text;
}
