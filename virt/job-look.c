/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/job-look.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "agent/base/cleanup.h"
#include "agent/base/thread.h"
#include "virt/failure.h"
#include "virt/vm.h"

const char *
job_kind_of_block(int type)
{
    static const char *const kinds[] = {
        [VIR_DOMAIN_BLOCK_JOB_TYPE_PULL] = "pull",
        [VIR_DOMAIN_BLOCK_JOB_TYPE_COPY] = "copy",
        [VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT] = "commit",
        [VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT] = "commit",
        /* One of each disk, within the domain's: that one is told. */
        [VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP] = NULL,
    };

    return type >= 0 && type < (int)ARRAY_COUNT(kinds) ? kinds[type] : NULL;
}

const char *
job_kind_of_domain(int operation)
{
    static const char *const kinds[] = {
        [VIR_DOMAIN_JOB_OPERATION_UNKNOWN] = "unknown",
        [VIR_DOMAIN_JOB_OPERATION_START] = "start",
        [VIR_DOMAIN_JOB_OPERATION_SAVE] = "save",
        [VIR_DOMAIN_JOB_OPERATION_RESTORE] = "restore",
        [VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN] = JOB_KIND_INCOMING,
        [VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT] = "migration-out",
        [VIR_DOMAIN_JOB_OPERATION_SNAPSHOT] = "snapshot",
        [VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_REVERT] = "snapshot-revert",
        [VIR_DOMAIN_JOB_OPERATION_DUMP] = "dump",
        [VIR_DOMAIN_JOB_OPERATION_BACKUP] = "backup",
    };

    return operation >= 0 && operation < (int)ARRAY_COUNT(kinds) ? kinds[operation] : "unknown";
}

void
job_looks_done(struct job_looks *looks)
{
    for (size_t i = 0; i < looks->count; i++) {
        struct job_looks_of *of = &looks->vms[i];

        for (size_t n = 0; n < of->count; n++)
            free(of->items[n].disk);
        strings_free(of->disks);
        free(of->items);
        free(of->name);
    }
    free(looks->vms);
    *looks = (struct job_looks){ 0 };
}

void
job_looks_add(struct job_looks *looks, const struct vm *vm)
{
    struct job_looks_of *of;
    size_t count = 0;

    looks->vms = xrealloc(looks->vms, (looks->count + 1) * sizeof(*looks->vms));
    of = &looks->vms[looks->count++];
    *of = (struct job_looks_of){ .name = xstrdup(vm->name) };
    memcpy(of->uuid, vm->uuid, sizeof(of->uuid));
    of->disks = xalloc((vm->disk_count + 1) * sizeof(*of->disks));
    for (size_t i = 0; i < vm->disk_count; i++)
        if (vm->disks[i].target && vm->disks[i].source)
            of->disks[count++] = xstrdup(vm->disks[i].target);
}

/* ---- asking ---- */

static void
add(struct job_looks_of *of, const struct job_look *look)
{
    of->items = xrealloc(of->items, (of->count + 1) * sizeof(*of->items));
    of->items[of->count++] = *look;
}

/* What a driver (test:///) cannot do, and a VM that has just stopped, have no jobs. */
static bool
has_none(int code)
{
    return code == VIR_ERR_NO_SUPPORT || code == VIR_ERR_OPERATION_INVALID;
}

static bool
ask_disk(virDomainPtr domain, const char *disk, struct job_looks_of *of, struct error **err)
{
    virDomainBlockJobInfo info;
    int found =
        virDomainGetBlockJobInfo(domain, disk, &info, VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES);
    const char *kind;

    /* A disk that was taken from it meanwhile is an invalid argument. */
    if (found < 0)
        return has_none(virGetLastErrorCode()) || virGetLastErrorCode() == VIR_ERR_INVALID_ARG ||
               virt_fail(err, domain, "cannot ask for the job of disk '%s' of '%s'", disk,
                         of->name);
    kind = found ? job_kind_of_block((int)info.type) : NULL;
    if (kind)
        add(of, &(struct job_look){ .disk = xstrdup(disk),
                                    .kind = kind,
                                    .done = info.cur,
                                    .total = info.end,
                                    .bound = info.bandwidth });
    return true;
}

static uint64_t
figure(virTypedParameterPtr params, int count, const char *name)
{
    unsigned long long value = 0;

    (void)virTypedParamsGetULLong(params, count, name, &value);
    return value;
}

/* libvirt 9.0 has no figures of a VM that comes: "migration statistics are available only on the source host". */
static bool
comes(const struct job_looks_of *of)
{
    return of->count > 0 && strcmp(of->items[0].kind, JOB_KIND_INCOMING) == 0;
}

static bool
ask_domain(virDomainPtr domain, struct job_looks_of *of, struct error **err)
{
    virTypedParameterPtr params = NULL;
    int count = 0, type = VIR_DOMAIN_JOB_NONE, operation = 0;

    if (virDomainGetJobStats(domain, &type, &params, &count, 0) < 0) {
        if (virGetLastErrorCode() == VIR_ERR_OPERATION_UNSUPPORTED) {
            add(of, &(struct job_look){ .kind = JOB_KIND_INCOMING });
            return true;
        }
        return has_none(virGetLastErrorCode()) ||
               virt_fail(err, domain, "cannot ask for the job of '%s'", of->name);
    }
    (void)virTypedParamsGetInt(params, count, VIR_DOMAIN_JOB_OPERATION, &operation);
    if (type == VIR_DOMAIN_JOB_BOUNDED || type == VIR_DOMAIN_JOB_UNBOUNDED)
        add(of, &(struct job_look){ .kind = job_kind_of_domain(operation),
                                    .done = figure(params, count, VIR_DOMAIN_JOB_DATA_PROCESSED),
                                    .total = figure(params, count, VIR_DOMAIN_JOB_DATA_TOTAL),
                                    .per_second = figure(params, count, VIR_DOMAIN_JOB_MEMORY_BPS) +
                                                  figure(params, count, VIR_DOMAIN_JOB_DISK_BPS) });
    virTypedParamsFree(params, count);
    return true;
}

static bool
ask_vm(struct job_looks_of *of, virConnectPtr connect, struct error **err)
{
    virDomainPtr domain = virDomainLookupByUUIDString(connect, of->uuid);
    bool done;

    if (!domain) {
        of->known = of->gone = virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
        return of->gone || virt_fail_connect(err, connect, "cannot find VM '%s'", of->name);
    }
    done = ask_domain(domain, of, err);
    /* While it comes its disks have no jobs, and to ask for them would wait for its arrival. */
    for (char **disk = of->disks; *disk && done && !comes(of); disk++)
        done = ask_disk(domain, *disk, of, err);
    (void)virDomainFree(domain);
    of->gone = !done && (*err)->code == ERROR_NOT_FOUND;
    if (of->gone)
        error_free(TAKE(*err));
    of->known = done || of->gone;
    return of->known;
}

bool
job_looks_ask(struct job_looks *looks, virConnectPtr connect, struct error **err)
{
    WORKER_ONLY();
    for (size_t i = 0; i < looks->count; i++) {
        if (ask_vm(&looks->vms[i], connect, err))
            continue;
        if (looks->count == 1)
            return false;
        error_free(TAKE(*err));
    }
    return true;
}
