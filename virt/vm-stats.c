/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/vm-stats.h"

#include <stdlib.h>
#include <string.h>

#include "agent/base/thread.h"
#include "virt/connection.h"
#include "virt/failure.h"
#include "virt/vm-table.h"

#define AT_ONCE 3
#define WANTED                                                                                     \
    (VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BALLOON |              \
     VIR_DOMAIN_STATS_VCPU | VIR_DOMAIN_STATS_INTERFACE | VIR_DOMAIN_STATS_BLOCK)
/* Of those that do not run libvirt would open the images, on whatever server they are. */
#define FLAGS (VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)

/* What a question needs: made on the loop. */
struct question {
    virConnectPtr connect;  /* a reference, which the worker gives back */
    struct vm_names *names; /* by UUID; owned */
    size_t count;
};

/* ---- on the loop: what the agent knows of disks and interfaces ---- */

static char *
copy_of(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

static void
take_names(const struct vm *vm, struct vm_names *names)
{
    memcpy(names->uuid, vm->uuid, sizeof(names->uuid));
    names->disks = xalloc((vm->disk_count + 1) * sizeof(names->disks[0]));
    for (size_t i = 0; i < vm->disk_count; i++)
        if (vm->disks[i].image)
            names->disks[names->disk_count++] =
                (struct vm_name){ .name = copy_of(vm->disks[i].target),
                                  .repository = copy_of(vm->disks[i].repository),
                                  .image = copy_of(vm->disks[i].image) };
    names->networks = xalloc((vm->network_count + 1) * sizeof(names->networks[0]));
    for (size_t i = 0; i < vm->network_count; i++)
        names->networks[names->network_count++] =
            (struct vm_name){ .name = copy_of(vm->networks[i].target),
                              .mac = copy_of(vm->networks[i].mac) };
}

/* Both begin with the UUID. */
static int
compare_uuids(const void *left, const void *right)
{
    return strcmp(left, right);
}

static void
release(void *prepared)
{
    struct question *question = prepared;

    if (question->connect)
        (void)virConnectClose(question->connect);
    for (size_t i = 0; i < question->count; i++)
        vm_names_done(&question->names[i]);
    free(question->names);
    free(question);
}

static void *
prepare(void *context, struct error **err)
{
    const struct vm_stats *stats = context;
    struct virt *virt = stats->virt;
    struct question *question;
    virConnectPtr connect;

    if (!virt_connection_get_figures(virt, &connect, err))
        return NULL;
    question = xalloc(sizeof(*question));
    question->connect = connect;
    question->names = xalloc((virt->entry_count + 1) * sizeof(question->names[0]));
    for (size_t i = 0; i < virt->entry_count; i++)
        if (virt->entries[i]->vm->state != VM_SHUTOFF)
            take_names(virt->entries[i]->vm, &question->names[question->count++]);
    qsort(question->names, question->count, sizeof(question->names[0]), compare_uuids);
    return question;
}

/* ---- on a worker ---- */

static void
sample_free(void *data)
{
    struct vm_sample *sample = data;

    for (size_t i = 0; i < sample->count; i++)
        vm_figures_done(&sample->all[i]);
    free(sample->all);
    free(sample);
}

const struct vm_figures *
vm_sample_find(const struct vm_sample *sample, const char *uuid)
{
    return sample->count == 0
               ? NULL
               : bsearch(uuid, sample->all, sample->count, sizeof(sample->all[0]), compare_uuids);
}

void
vm_sample_write(struct vm_sample *sample, const struct vm_sample *before, int64_t interval_ns,
                const struct vm_names *names, size_t name_count)
{
    qsort(sample->all, sample->count, sizeof(sample->all[0]), compare_uuids);
    for (size_t i = 0; i < sample->count; i++) {
        struct vm_figures *figures = &sample->all[i];

        vm_figures_write(figures, before ? vm_sample_find(before, figures->uuid) : NULL,
                         interval_ns,
                         name_count == 0 ? NULL
                                         : bsearch(figures->uuid, names, name_count,
                                                   sizeof(names[0]), compare_uuids));
    }
}

static void *
take(void *context, void *prepared, const void *before, int64_t interval_ns, struct error **err)
{
    struct question *question = prepared;
    virDomainStatsRecordPtr *records = NULL;
    struct vm_sample *sample;
    int count;

    (void)context;
    WORKER_ONLY();
    count = virConnectGetAllDomainStats(question->connect, WANTED, &records, FLAGS);
    if (count < 0)
        virt_fail_connect(err, question->connect, "cannot ask what the VMs use");
    (void)virConnectClose(TAKE(question->connect));
    if (count < 0)
        return NULL;
    sample = xalloc(sizeof(*sample));
    sample->all = xalloc(((size_t)count + 1) * sizeof(sample->all[0]));
    for (int i = 0; i < count; i++) {
        struct vm_figures *figures = &sample->all[sample->count];

        if (virDomainGetUUIDString(records[i]->dom, figures->uuid) < 0)
            continue;
        figures->id = virDomainGetID(records[i]->dom);
        vm_figures_read(figures, records[i]->params, (size_t)records[i]->nparams);
        sample->count++;
    }
    virDomainStatsRecordListFree(records);
    vm_sample_write(sample, before, interval_ns, question->names, question->count);
    return sample;
}

/* ---- host.stats ---- */

static void
write_facts(void *context, struct writer *writer)
{
    const struct vm_stats *stats = context;
    const struct virt *virt = stats->virt;
    size_t counts[VM_SUSPENDED + 1] = { 0 };

    LOOP_ONLY();
    if (!virt->known) {
        writer_null(writer);
        return;
    }
    for (size_t i = 0; i < virt->entry_count; i++)
        counts[virt->entries[i]->vm->state]++;
    writer_object(writer);
    writer_member_bool(writer, "current", virt->current);
    writer_member_unsigned(writer, "vms", virt->entry_count);
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++)
        writer_member_unsigned(writer, vm_state_name((enum vm_state)i), counts[i]);
    writer_end_object(writer);
}

void
vm_stats_open(struct virt *virt)
{
    struct vm_stats *stats = xalloc(sizeof(*stats));

    LOOP_ONLY();
    virt->stats = stats;
    stats->virt = virt;
    stats->lane = (struct lane){ .name = "libvirt", .limit = AT_ONCE, .stuck_ms = UINT32_MAX };
    stats->sampling = (struct sampling){ .name = "vms",
                                         .lane = &stats->lane,
                                         .pool = POOL_VIRT,
                                         .at_once = AT_ONCE,
                                         .prepare = prepare,
                                         .release = release,
                                         .take = take,
                                         .free = sample_free,
                                         .context = stats };
    sampling_register(virt->agent, &stats->sampling);
    stats->facts =
        (struct facts){ .of = FACTS_STATS, .name = "virt", .write = write_facts, .context = stats };
    facts_register(virt->agent, &stats->facts);
}
