/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the steps of all vm verbs share: finding the VM, having libvirt's handle of it, answering what it is
 * afterwards.  The args struct of each verb begins with a struct vm_args, its state with a struct vm_use.
 *
 *     .state_size = sizeof(struct vm_use), .state_done = vm_state_done, .object = vm_name_object,
 *     .steps = STEPS(VM_FIND_STEP, { "pause", pause_run, .pool = POOL_VIRT },
 *                    { "tell", pause_answer, .pool = POOL_LOOP, .responds = true })
 */
#ifndef VIRT_VM_STEPS_H
#define VIRT_VM_STEPS_H

#include "agent/call.h"
#include "agent/verb.h"
#include "virt/connection.h"
#include "virt/failure.h"
#include "virt/vm-table.h"

struct vm_args {
    char *vm;
};

struct vm_use {
    struct vm_entry *entry; /* a reference; loop only: workers have 'uuid' */
    virConnectPtr connect;  /* a reference */
    virDomainPtr domain;    /* owned; vm_domain() makes it */
    char uuid[UUID_TEXT_SIZE];
    uint64_t refresh; /* private: the number of the one that was asked for; 0: none */
};

#define VM_NAME_MAX 255
#define VM_PARAM(args_type)                                                                        \
    PARAM(args_type, vm, "vm", .type = PARAM_TEXT, .required = true, .minimum = 1,                 \
          .maximum = VM_NAME_MAX, .about = "The VM, by its name or its UUID.")

/* POOL_LOOP: finds args->vm, has the connection, sets the lane.  NotFound {kind, id}, BackendUnavailable. */
enum outcome vm_find(struct call *call);
#define VM_FIND_STEP                                                                               \
    {                                                                                              \
        "find VM", vm_find, .pool = POOL_LOOP                                                      \
    }
/* POOL_LOOP: only the connection, in the lane of what is no VM's. */
enum outcome vm_connect(struct call *call);
#define VM_CONNECT_STEP                                                                            \
    {                                                                                              \
        "connect", vm_connect, .pool = POOL_LOOP                                                   \
    }
/* Gives back what the state holds: for .state_done. */
void vm_state_done(struct call *call);
/* For .object. */
void vm_name_object(const void *args, struct object_name *ret_object);

/* libvirt's handle of the VM, looked up once; borrowed from the state.  Worker. */
bool vm_domain(struct call *call, virDomainPtr *ret_domain, struct error **err) _must_check_;
/* What libvirt says of it now.  Worker. */
bool vm_now(struct call *call, struct vm **ret_vm, struct error **err) _must_check_;

/*
 * POOL_LOOP, last steps: answers with the VM's status.
 * vm_answer_state: once libvirt's event has made it one of 'states' (bits of VM_BIT()), so that who is
 * answered finds the same in vm.status, and has had the event before.  What takes longer than some seconds is
 * read instead.  vm_answer_fresh: after reading its description, which has changed.
 */
#define VM_BIT(state) (1U << (state))
enum outcome vm_answer_state(struct call *call, unsigned states);
enum outcome vm_answer_fresh(struct call *call);
/* The same for another answer than the status: asks for the reading once, and whether it is done; if not, the
   step returns vm_wait_fresh(). */
bool vm_is_fresh(struct call *call);
enum outcome vm_wait_fresh(struct call *call);

/* Worker.  WrongState when the VM is off, and is to go on from saved memory, which names the files that its disks
   were then, and knows what was in them. */
bool vm_require_unsaved(virDomainPtr domain, struct error **err) _must_check_;
/* WrongState {state, needs}. */
bool vm_refuse_state(const struct vm *vm, const char *needs, struct error **err);
/* For calls that libvirt has failed: waits and tries again while it is Busy with another call, for half a
   minute; else fails.  Takes ownership of 'error'. */
enum outcome vm_fail(struct call *call, struct error *error);

#endif
