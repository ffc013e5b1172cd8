/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs that change a VM share: a VM that runs and is defined is two things, what runs and what
 * its next start will make of it, and a change is made to both unless the caller's 'scope' says otherwise.
 *
 * The two are changed one after the other, and an error tells which are done ('done' in its data).  The args
 * struct of each verb begins with a struct change_args, its state with a struct change_use.
 */
#ifndef VIRT_VM_CHANGE_H
#define VIRT_VM_CHANGE_H

#include "virt/vm-steps.h"

struct change_args {
    struct vm_args vm;
    const char *scope;
};

struct change_use {
    struct vm_use use;
    bool looked;                 /* private: the next two are known */
    bool live, config;           /* which are to be changed */
    bool live_done, config_done; /* and which are */
    char *device;                /* which device it was, for the answer; owned, or NULL */
};

#define SCOPE_PARAM(args_type)                                                                     \
    PARAM(args_type, change.scope, "scope", .type = PARAM_CHOICE,                                  \
          .choices = CHOICES("live", "config", "both"), .fallback = "\"both\"",                    \
          .about = "What is changed: the VM as it runs (live), its definition, which its next "    \
                   "start takes (config), or both of them as far as there are both.")
#define CHANGE_PARAMS(args_type)                                                                   \
    PARAM(args_type, change.vm.vm, "vm", .type = PARAM_TEXT, .required = true, .minimum = 1,       \
          .maximum = VM_NAME_MAX, .about = "The VM, by its name or its UUID."),                    \
        SCOPE_PARAM(args_type)

#define CHANGE_ERRORS                                                                              \
    ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_TIMEOUT, ERROR_BACKEND_UNAVAILABLE,      \
        ERROR_BACKEND_FAILED
/* What most of these verbs are, and those that have more to give back. */
#define CHANGE_VERB CHANGE_VERB_OF, .state_done = change_state_done
#define CHANGE_VERB_OF                                                                             \
    .role = ROLE_OPERATOR, .kind = VERB_CHANGES, .result = &vm_changed_shape,                      \
    .object = vm_name_object

/* {vm, uuid, live, config, device}: what was changed. */
extern const struct shape vm_changed_shape;

/*
 * Finds out once which there are and are wanted; all of them are true later too.  '*ret_domain' is borrowed.
 * Error: WrongState when the scope asks for what there is not.  Worker.
 */
bool change_look(struct call *call, virDomainPtr *ret_domain, struct error **err) _must_check_;
/* What is to be changed, as it is, its disks named by 'places' (or NULL); NULL for what is not.  change_look()
   comes first.  Worker. */
bool change_read(struct call *call, const struct disk_places *places, struct vm **ret_live,
                 struct vm **ret_config, struct error **err) _must_check_;
/* A device's element, and the child whose attribute tells it from others: <disk>, its <target dev=...>. */
struct device_key {
    const char *element, *child, *attribute, *value;
};
/* The element in the VM's XML of 'xml_flags' (VIR_DOMAIN_XML_...): '*ret_node' lives as long as '*ret_document'.
   Error: NotFound.  Worker. */
bool change_find_device(virDomainPtr domain, unsigned xml_flags, const struct device_key *key,
                        struct xml_document **ret_document, const struct xml_node **ret_node,
                        struct error **err) _must_check_;
/* 'live' and 'config' of VIR_DOMAIN_AFFECT_...; one of the two at a time. */
typedef bool (*change_one)(struct call *call, virDomainPtr domain, unsigned affect,
                           struct error **err);
/* What runs first, then the definition; what is done already is not done again.  Worker. */
bool change_apply(struct call *call, virDomainPtr domain, change_one apply, struct error **err)
    _must_check_;

/* POOL_LOOP, the last step: reads the VM anew, so that vm.status has it too, and answers. */
enum outcome change_answer(struct call *call);
/* For .state_done. */
void change_state_done(struct call *call);

#endif
