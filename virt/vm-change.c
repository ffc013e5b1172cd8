/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/vm-change.h"

#include <stdlib.h>
#include <string.h>

#include "agent/base/thread.h"
#include "virt/places.h"

const struct shape vm_changed_shape = {
    .name = "VmChanged",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vm\",\"uuid\",\"live\",\"config\",\"device\"],\"properties\":{"
        "\"vm\":{\"type\":\"string\"},\"uuid\":{\"type\":\"string\"},\"live\":{\"type\":\"boolean\"},"
        "\"config\":{\"type\":\"boolean\"},\"device\":{\"type\":[\"string\",\"null\"]}}}",
};

static const struct change_args *
args_of(const struct call *call)
{
    return call->args;
}

static bool
refuse_scope(const char *vm, const char *state, const char *needs, struct error **err)
{
    error_set(err, ERROR_WRONG_STATE, "VM '%s' is %s: this scope needs %s", vm, state, needs);
    error_data_text(err, "state", "%s", state);
    return error_data_text(err, "needs", "%s", needs);
}

static bool
choose(struct call *call, bool active, bool persistent, struct error **err)
{
    struct change_use *state = call->state;
    const struct change_args *args = call->args;

    state->live = active && strcmp(args->scope, "config") != 0;
    state->config = persistent && strcmp(args->scope, "live") != 0;
    if (strcmp(args->scope, "live") == 0 && !active)
        return refuse_scope(args->vm.vm, "off", "a VM that runs", err);
    if (strcmp(args->scope, "config") == 0 && !persistent)
        return refuse_scope(args->vm.vm, "transient", "a VM that is defined", err);
    state->looked = true;
    return true;
}

bool
change_look(struct call *call, virDomainPtr *ret_domain, struct error **err)
{
    struct change_use *state = call->state;
    virDomainPtr domain;
    int active, persistent;

    WORKER_ONLY();
    if (!vm_domain(call, &domain, err))
        return false;
    *ret_domain = domain;
    if (state->looked)
        return true;
    active = virDomainIsActive(domain);
    persistent = active < 0 ? -1 : virDomainIsPersistent(domain);
    if (persistent < 0)
        return virt_fail(err, domain, "cannot ask for the state of '%s'", args_of(call)->vm.vm);
    return choose(call, active > 0, persistent > 0, err);
}

static bool
read_one(virDomainPtr domain, unsigned flags, struct vm **ret_vm, struct error **err)
{
    _cleanup_free_ char *xml = virDomainGetXMLDesc(domain, flags);

    if (!xml)
        return virt_fail(err, domain, "cannot read the description of a VM");
    return vm_parse(xml, ret_vm, err);
}

bool
change_read(struct call *call, const struct disk_places *places, struct vm **ret_live,
            struct vm **ret_config, struct error **err)
{
    const struct change_use *state = call->state;
    _cleanup_(vm_freep) struct vm *live = NULL;
    _cleanup_(vm_freep) struct vm *config = NULL;
    virDomainPtr domain = state->use.domain;

    if (state->live && !read_one(domain, 0, &live, err))
        return false;
    if (state->config && !read_one(domain, VIR_DOMAIN_XML_INACTIVE, &config, err))
        return false;
    if (places && live)
        places_name(places, live);
    if (places && config)
        places_name(places, config);
    *ret_live = TAKE(live);
    *ret_config = TAKE(config);
    return true;
}

static const struct xml_node *
find_node(const struct xml_node *root, const struct device_key *key)
{
    for (XML_EACH(node, xml_child(root, "devices"), key->element))
        if (xml_attribute_is(xml_child(node, key->child), key->attribute, key->value))
            return node;
    return NULL;
}

bool
change_find_device(virDomainPtr domain, unsigned xml_flags, const struct device_key *key,
                   struct xml_document **ret_document, const struct xml_node **ret_node,
                   struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_free_ char *xml = virDomainGetXMLDesc(domain, xml_flags | VIR_DOMAIN_XML_SECURE);
    const struct xml_node *node;

    if (!xml)
        return virt_fail(err, domain, "cannot read the description of a VM");
    if (!xml_parse("libvirt", xml, strlen(xml), &document, err))
        return false;
    node = find_node(xml_root(document), key);
    if (!node) {
        error_set(err, ERROR_NOT_FOUND, "the VM has no %s '%s' any more", key->element, key->value);
        error_data_text(err, "kind", "%s", key->element);
        return error_data_text(err, "id", "%s", key->value);
    }
    *ret_node = node;
    *ret_document = TAKE(document);
    return true;
}

/* Of a caller that must not think that nothing has happened.  libvirt 9.0 changes some of the definition that it
   has in memory before it fails to write it. */
static bool
tell_half(struct error **err)
{
    error_wrap(err, "the VM as it runs is changed, its definition is not for good");
    return error_data_json(err, "done", "[\"live\"]");
}

bool
change_apply(struct call *call, virDomainPtr domain, change_one apply, struct error **err)
{
    struct change_use *state = call->state;

    if (state->live && !state->live_done) {
        if (!apply(call, domain, VIR_DOMAIN_AFFECT_LIVE, err))
            return false;
        state->live_done = true;
    }
    if (state->config && !state->config_done) {
        if (!apply(call, domain, VIR_DOMAIN_AFFECT_CONFIG, err))
            return state->live_done ? tell_half(err) : false;
        state->config_done = true;
    }
    return true;
}

enum outcome
change_answer(struct call *call)
{
    const struct change_use *state = call->state;
    struct writer *writer = call_result(call);

    if (!vm_is_fresh(call))
        return vm_wait_fresh(call);
    writer_object(writer);
    writer_member_string(writer, "vm", state->use.entry->vm->name);
    writer_member_string(writer, "uuid", state->use.uuid);
    writer_member_bool(writer, "live", state->live_done);
    writer_member_bool(writer, "config", state->config_done);
    writer_member_string(writer, "device", state->device);
    writer_end_object(writer);
    return call_complete(call, "%s",
                         !state->config_done ? "of the VM as it runs"
                         : state->live_done  ? "of the VM as it runs, and of its definition"
                                             : "of its definition");
}

void
change_state_done(struct call *call)
{
    struct change_use *state = call->state;

    free(TAKE(state->device));
    vm_state_done(call);
}
