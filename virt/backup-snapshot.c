/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/backup-snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "agent/base/thread.h"
#include "virt/backup-table.h"
#include "virt/backup.h"
#include "virt/connection.h"
#include "virt/failure.h"

struct looked_at {
    char uuid[UUID_TEXT_SIZE];
    char *name;           /* owned */
    char *task;           /* who works on it; owned, or NULL */
    uint64_t done, total; /* bytes; of that task */
};

struct backup_snapshot {
    virConnectPtr connect; /* a reference; NULL: not needed, or libvirt is away */
    struct error *error;   /* why; owned, or NULL */
    struct looked_at *all; /* owned */
    size_t count;
};

static void *
begin(void *context)
{
    struct virt *virt = context;
    struct backup_snapshot *snapshot = xalloc(sizeof(*snapshot));

    LOOP_ONLY();
    if (virt->entry_count == 0 || !virt_connection_get(virt, &snapshot->connect, &snapshot->error))
        return snapshot;
    snapshot->all = xalloc((virt->entry_count + 1) * sizeof(snapshot->all[0]));
    for (size_t i = 0; i < virt->entry_count; i++) {
        const struct vm *vm = virt->entries[i]->vm;
        const struct backup_hold *hold = backup_hold_of(virt, vm->uuid);
        struct looked_at *at = &snapshot->all[snapshot->count++];

        memcpy(at->uuid, vm->uuid, sizeof(at->uuid));
        at->name = xstrdup(vm->name);
        if (!hold || hold->brief)
            continue;
        at->task = xstrdup(hold->task);
        at->done = atomic_load(&hold->done);
        at->total = atomic_load(&hold->total);
    }
    return snapshot;
}

static bool
write_one(virDomainPtr domain, const struct looked_at *at, snapshot_item *item, void *item_context,
          struct error **err)
{
    struct backup_view view = {
        .vm = at->name, .uuid = at->uuid, .task = at->task, .done = at->done, .total = at->total
    };
    _cleanup_(backup_freep) struct backup *backup = NULL;
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    struct backup_job job;

    if (!backup_view_read(domain, &view, &backup, &job, err))
        return (*err)->code == ERROR_NOT_FOUND;
    if (!backup && !job.running)
        return true;
    backup_write(&view, &writer);
    item(item_context, "vm.backup", at->name, &writer.text);
    return true;
}

/* A VM that has gone meanwhile has no backup; one that cannot be asked leaves the rest untold. */
static bool
look(const struct backup_snapshot *snapshot, const struct looked_at *at, snapshot_item *item,
     void *item_context, struct error **err)
{
    virDomainPtr domain = virDomainLookupByUUIDString(snapshot->connect, at->uuid);
    bool told;

    if (!domain) {
        virt_fail_connect(err, snapshot->connect, "cannot find '%s'", at->name);
        told = (*err)->code == ERROR_NOT_FOUND;
    } else {
        told = write_one(domain, at, item, item_context, err);
        (void)virDomainFree(domain);
    }
    if (told)
        error_free(TAKE(*err));
    return told;
}

static bool
write_all(void *begun, snapshot_item *item, void *item_context, struct error **err)
{
    struct backup_snapshot *snapshot = begun;

    WORKER_ONLY();
    if (snapshot->error) {
        *err = TAKE(snapshot->error);
        return false;
    }
    for (size_t i = 0; i < snapshot->count; i++)
        if (!look(snapshot, &snapshot->all[i], item, item_context, err))
            return false;
    return true;
}

static void
end(void *begun)
{
    struct backup_snapshot *snapshot = begun;

    for (size_t i = 0; i < snapshot->count; i++) {
        free(snapshot->all[i].name);
        free(snapshot->all[i].task);
    }
    free(snapshot->all);
    error_free(snapshot->error);
    if (snapshot->connect)
        (void)virConnectClose(snapshot->connect);
    free(snapshot);
}

void
backup_snapshot_open(struct virt *virt)
{
    virt->backup_provider = (struct snapshot_provider){
        .topic = "vm.backup",
        .pool = POOL_VIRT,
        .begin = begin,
        .write = write_all,
        .end = end,
        .provider_context = virt,
    };
    snapshot_register(virt->agent, &virt->backup_provider);
}
