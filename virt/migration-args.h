/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What vm.migrate is asked for, and what that is in libvirt's flags and parameters.
 */
#ifndef VIRT_MIGRATION_ARGS_H
#define VIRT_MIGRATION_ARGS_H

#include "virt/vm-steps.h"

struct migration_args {
    struct vm_args vm;
    char *target, *route, *listen_address;
    const char *storage;
    char **disks;
    int64_t disks_port;
    bool tls;
    char *tls_host;
    bool postcopy;
    int64_t postcopy_after; /* passes over the memory; 0: not by itself */
    uint64_t rate, postcopy_rate;
    bool auto_converge;
    int64_t converge_first, converge_step;
    bool compress;
    int64_t connections;
    const char *definition;
    bool paused;
    int64_t downtime_ms;
    int64_t timeout_s;
    const char *on_timeout;
    bool abort_on_error, unsafe, recover;
};

extern const struct param migration_params[];

/* What can be told without asking libvirt.  InvalidParams. */
bool migration_args_check(const struct migration_args *args, const struct vm *vm,
                          struct error **err) _must_check_;

/* 'persistent': whether it is defined here, so that there is a definition to take along. */
unsigned migration_flags(const struct migration_args *args, bool persistent);

/* '*ret_params' is the caller's, to be freed by virTypedParamsFree(). */
bool migration_typed_params(const struct migration_args *args, virTypedParameterPtr *ret_params,
                            int *ret_count, struct error **err) _must_check_;

/* MiB/s, which is all that libvirt can say: rounded up; 0 is no bound. */
uint64_t migration_speed(uint64_t bytes_per_second);

#endif
