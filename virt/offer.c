/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/offer.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/json-writer.h"
#include "agent/base/thread.h"
#include "agent/base/xml.h"
#include "virt/connection.h"
#include "virt/failure.h"

#define AGAIN_MS 10000

/* ---- what libvirt said, as ours ---- */

static void
write_machines(const struct xml_node *parent, struct writer *writer)
{
    writer_key(writer, "machines");
    writer_array(writer);
    for (XML_EACH(machine, parent, "machine")) {
        _cleanup_free_ char *canonical = xml_attribute(machine, "canonical");
        uint64_t cpus = 0;
        bool known = xml_attribute_number(machine, "maxCpus", &cpus);

        writer_object(writer);
        writer_member_string(writer, "machine", xml_content(machine));
        writer_member_string(writer, "canonical", canonical);
        writer_member_if_known(writer, "maxCpus", known, cpus);
        writer_member_bool(writer, "deprecated", xml_attribute_is(machine, "deprecated", "yes"));
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

static void
write_guest(const struct xml_node *arch, struct writer *writer)
{
    _cleanup_free_ char *name = xml_attribute(arch, "name");
    const char *emulator = xml_text(arch, "emulator");

    writer_object(writer);
    writer_member_string(writer, "architecture", name);
    writer_key(writer, "virtualization");
    writer_array(writer);
    for (XML_EACH(domain, arch, "domain")) {
        _cleanup_free_ char *type = xml_attribute(domain, "type");

        writer_string(writer, type);
    }
    writer_end_array(writer);
    writer_member_string(writer, "emulator", *emulator ? emulator : NULL);
    write_machines(arch, writer);
    writer_end_object(writer);
}

/* "hvm": full virtualization; others are of hypervisors that no verb is for. */
static void
write_guests(const struct xml_node *capabilities, struct writer *writer)
{
    writer_key(writer, "guests");
    writer_array(writer);
    for (XML_EACH(guest, capabilities, "guest"))
        if (strcmp(xml_text(guest, "os_type"), "hvm") == 0)
            write_guest(xml_child(guest, "arch"), writer);
    writer_end_array(writer);
}

static const struct xml_node *
cpu_mode(const struct xml_node *root, const char *name)
{
    for (XML_EACH(mode, xml_child(root, "cpu"), "mode"))
        if (xml_attribute_is(mode, "name", name) && xml_attribute_is(mode, "supported", "yes"))
            return mode;
    return NULL;
}

static void
write_cpu(const struct xml_node *root, struct writer *writer)
{
    const char *model = xml_text(cpu_mode(root, "host-model"), "model");
    const char *vendor = xml_text(cpu_mode(root, "host-model"), "vendor");

    writer_object(writer);
    writer_member_bool(writer, "passthrough", cpu_mode(root, "host-passthrough") != NULL);
    writer_member_bool(writer, "maximum", cpu_mode(root, "maximum") != NULL);
    writer_member_string(writer, "hostModel", *model ? model : NULL);
    writer_member_string(writer, "hostVendor", *vendor ? vendor : NULL);
    writer_key(writer, "models");
    writer_array(writer);
    for (XML_EACH(entry, cpu_mode(root, "custom"), "model")) {
        writer_object(writer);
        writer_member_string(writer, "model", xml_content(entry));
        writer_member_bool(writer, "usable", xml_attribute_is(entry, "usable", "yes"));
        writer_end_object(writer);
    }
    writer_end_array(writer);
    writer_end_object(writer);
}

static void
write_values(const struct xml_node *node, const char *name, const char *member,
             struct writer *writer)
{
    writer_key(writer, member);
    writer_array(writer);
    for (XML_EACH(list, node, "enum"))
        if (xml_attribute_is(list, "name", name))
            for (XML_EACH(value, list, "value"))
                writer_string(writer, xml_content(value));
    writer_end_array(writer);
}

/* Of the best virtualization there is, and the emulator's own machine. */
static bool
write_domain(const char *text, struct writer *writer, struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    const struct xml_node *root, *devices;
    const char *type;
    uint64_t cpus = 0;
    bool known;

    if (!text) {
        writer_member_null(writer, "defaults");
        return true;
    }
    if (!xml_parse("libvirt", text, strlen(text), &document, err))
        return false;
    root = xml_root(document);
    devices = xml_child(root, "devices");
    type = xml_text(root, "domain");
    known = xml_attribute_number(xml_child(root, "vcpu"), "max", &cpus);
    writer_key(writer, "defaults");
    writer_object(writer);
    writer_member_string(writer, "virtualization", *type ? type : NULL);
    writer_member_string(writer, "architecture", xml_text(root, "arch"));
    writer_member_string(writer, "machine", xml_text(root, "machine"));
    writer_member_if_known(writer, "maxCpus", known, cpus);
    writer_key(writer, "cpu");
    write_cpu(root, writer);
    write_values(xml_child(root, "os"), "firmware", "firmware", writer);
    write_values(xml_child(devices, "disk"), "bus", "diskBuses", writer);
    write_values(xml_child(devices, "graphics"), "type", "consoles", writer);
    write_values(xml_child(devices, "video"), "modelType", "videos", writer);
    write_values(xml_child(devices, "tpm"), "backendModel", "tpms", writer);
    write_values(xml_child(devices, "rng"), "backendModel", "rngs", writer);
    writer_end_object(writer);
    return true;
}

bool
offer_write(const struct offer_texts *texts, struct writer *writer, struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    if (!xml_parse("libvirt", texts->capabilities, strlen(texts->capabilities), &document, err))
        return false;
    writer_object(writer);
    writer_member_bool(writer, "pending", false);
    writer_member_string(writer, "hypervisor", texts->hypervisor);
    writer_member_string(writer, "hypervisorVersion", texts->version);
    writer_key(writer, "kvm");
    writer_object(writer);
    writer_member_bool(writer, "usable", !texts->kvm_refusal);
    writer_member_string(writer, "reason", texts->kvm_refusal);
    writer_end_object(writer);
    write_guests(xml_root(document), writer);
    if (!write_domain(texts->domain_capabilities, writer, err))
        return false;
    writer_end_object(writer);
    return true;
}

/* ---- asking, on a worker ---- */

static void
texts_done(struct offer_texts *texts)
{
    free(texts->capabilities);
    free(texts->domain_capabilities);
    free(texts->kvm_refusal);
    free(texts->hypervisor);
    free(texts->version);
}

static bool
is_unsupported(void)
{
    const virError *error = virGetLastError();

    return error && error->code == VIR_ERR_NO_SUPPORT;
}

static bool
ask_texts(virConnectPtr connect, struct offer_texts *texts, struct error **err)
{
    const char *type = virConnectGetType(connect);
    _cleanup_free_ char *kvm = NULL;
    unsigned long version;

    texts->hypervisor = type ? xstrdup(type) : NULL;
    if (virConnectGetVersion(connect, &version) == 0 && version > 0)
        texts->version =
            xprintf("%lu.%lu.%lu", version / 1000000, version / 1000 % 1000, version % 1000);
    texts->capabilities = virConnectGetCapabilities(connect);
    if (!texts->capabilities)
        return virt_fail_connect(err, connect, "cannot ask what libvirt offers");
    texts->domain_capabilities =
        virConnectGetDomainCapabilities(connect, NULL, NULL, NULL, NULL, 0);
    if (!texts->domain_capabilities && !is_unsupported())
        return virt_fail_connect(err, connect, "cannot ask what libvirt offers to VMs");
    kvm = virConnectGetDomainCapabilities(connect, NULL, NULL, NULL, "kvm", 0);
    if (!kvm)
        texts->kvm_refusal = xstrdup(virt_words());
    return true;
}

static void
ask_on_worker(struct job *job)
{
    struct virt_offer *offer = CONTAINER_OF(job, struct virt_offer, job);
    _cleanup_(texts_done) struct offer_texts texts = { 0 };
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    WORKER_ONLY();
    if (ask_texts(offer->connect, &texts, &offer->error) &&
        offer_write(&texts, &writer, &offer->error))
        offer->fresh = text_take(&writer.text);
    (void)virConnectClose(TAKE(offer->connect));
}

/* ---- on the loop ---- */

static void
asked(struct job *job)
{
    struct virt_offer *offer = CONTAINER_OF(job, struct virt_offer, job);

    offer->asking = false;
    free(TAKE(offer->reason));
    if (offer->fresh) {
        free(offer->json);
        offer->json = TAKE(offer->fresh);
        return;
    }
    offer->reason = xstrdup(offer->error->message);
    error_free(TAKE(offer->error));
    timer_arm(offer->virt->agent->loop, &offer->again, AGAIN_MS);
}

void
virt_offer_ask(struct virt *virt)
{
    struct virt_offer *offer = virt->offer;
    _cleanup_(error_freep) struct error *ignored = NULL; /* asked with the next connection */

    LOOP_ONLY();
    /* One that still asks the connection before fails soon, and then is asked again. */
    if (offer->asking || !virt_connection_get(virt, &offer->connect, &ignored))
        return;
    offer->job = (struct job){
        .run = ask_on_worker, .finished = asked, .lane = &offer->lane, .pool = POOL_VIRT
    };
    offer->asking = workers_submit(virt->agent->workers, &offer->job, &ignored);
    if (offer->asking)
        return;
    (void)virConnectClose(TAKE(offer->connect));
    timer_arm(virt->agent->loop, &offer->again, AGAIN_MS);
}

static void
ask_again(struct timer *timer)
{
    virt_offer_ask(CONTAINER_OF(timer, struct virt_offer, again)->virt);
}

static void
write_facts(void *context, struct writer *writer)
{
    const struct virt_offer *offer = context;

    LOOP_ONLY();
    if (offer->json) {
        writer_json(writer, offer->json, strlen(offer->json));
        return;
    }
    writer_object(writer);
    writer_member_bool(writer, "pending", true);
    writer_member_string(writer, "reason", offer->reason ? offer->reason : offer->virt->reason);
    writer_end_object(writer);
}

void
virt_offer_open(struct virt *virt)
{
    struct virt_offer *offer = xalloc(sizeof(*offer));

    LOOP_ONLY();
    virt->offer = offer;
    offer->virt = virt;
    offer->lane = (struct lane){ .name = "libvirt", .limit = 1, .stuck_ms = UINT32_MAX };
    offer->again.fire = ask_again;
    offer->facts = (struct facts){
        .of = FACTS_CAPABILITIES, .name = "virt", .write = write_facts, .context = offer
    };
    facts_register(virt->agent, &offer->facts);
}
