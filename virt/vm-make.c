/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/vm-make.h"

#include <string.h>
#include <uuid/uuid.h>

static bool
require_admin(const struct call *call, const char *param, struct error **err)
{
    if (call_is_admin(call))
        return true;
    error_set(err, ERROR_FORBIDDEN,
              "'%s' needs the role 'admin': it says what QEMU opens on this host", param);
    error_data_text(err, "role", "%s", role_name(ROLE_OPERATOR));
    return error_data_text(err, "needs", "%s", role_name(ROLE_ADMIN));
}

static void
take_identity(struct make_state *state, const char *name, const char *uuid)
{
    state->name = xstrdup(name);
    if (uuid)
        memcpy(state->use.uuid, uuid, strlen(uuid) + 1);
}

/* Raw XML says who it is as well: the images' records have the UUID before libvirt could make one. */
static bool
identify_xml(const char *xml, struct make_state *state, struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(error_freep) struct error *why = NULL;
    const struct xml_node *root;
    char text[UUID_TEXT_SIZE];
    const char *name;
    uuid_t uuid;

    if (!xml_parse(NULL, xml, strlen(xml), &document, &why))
        return error_param(err, "xml", "cannot be read: %s", why->message);
    root = xml_root(document);
    name = xml_text(root, "name");
    if (strcmp(xml_name(root), "domain") != 0)
        return error_param(err, "xml", "must be a <domain>, not a <%s>", xml_name(root));
    if (!*name)
        return error_param(err, "xml", "must have a <name>");
    if (strlen(name) > VM_NAME_MAX)
        return error_param(err, "xml", "must have a <name> of at most %d bytes", VM_NAME_MAX);
    if (uuid_parse(xml_text(root, "uuid"), uuid) < 0)
        return error_param(
            err, "xml", "must have a <uuid>: its images are marked with it before libvirt has it");
    uuid_unparse_lower(uuid, text);
    take_identity(state, name, text);
    return true;
}

static bool
identify(const struct call *call, struct error **err)
{
    const struct make_args *args = call->args;
    const struct vm_description *description = &args->description;
    struct make_state *state = call->state;
    const char *needs = args->xml ? "xml" : description_needs_admin(description);
    const char *given = args->xml ? description_first_given(description) : NULL;
    char text[UUID_TEXT_SIZE];
    uuid_t uuid;

    if (needs && !require_admin(call, needs, err))
        return false;
    if (given)
        return error_param(err, "xml", "says all of it: '%s' does not go with it", given);
    if (args->xml)
        return identify_xml(args->xml, state, err);
    if (!description_check(description, err))
        return false;
    if (description->uuid && uuid_parse(description->uuid, uuid) == 0)
        uuid_unparse_lower(uuid, text);
    take_identity(state, description->name, description->uuid ? text : NULL);
    return true;
}

static bool
exists(const struct vm *vm, const char *more, struct error **err)
{
    error_set(err, ERROR_ALREADY_EXISTS, "there is a VM '%s' with the UUID %s%s", vm->name,
              vm->uuid, more);
    error_data_text(err, "kind", "vm");
    return error_data_text(err, "id", "%s", vm->name);
}

/* Whom it would replace, by its name or its UUID, which must be one and the same: libvirt renames none so. */
static bool
find_present(const struct call *call, bool replace, struct error **err)
{
    struct make_state *state = call->state;
    struct vm_entry *by_name = vm_table_find(call->context, state->name);
    struct vm_entry *by_uuid =
        state->use.uuid[0] ? vm_table_find_uuid(call->context, state->use.uuid) : by_name;
    struct vm_entry *present = by_name ? by_name : by_uuid;

    if (!present)
        return true;
    if (!replace)
        return exists(present->vm, ": pass 'replace' to vm.define to change it", err);
    if (by_name != by_uuid)
        return exists(present->vm, ": to replace it give its own name, and its UUID or none", err);
    if (present->vm->saved)
        return vm_refuse_state(present->vm,
                               "a VM without saved memory, which goes on as it was described when "
                               "it was saved",
                               err);
    state->use.entry = vm_entry_ref(present);
    memcpy(state->use.uuid, present->vm->uuid, sizeof(state->use.uuid));
    return true;
}

bool
make_identify(const struct call *call, bool replace, struct error **err)
{
    return identify(call, err) && find_present(call, replace, err);
}
