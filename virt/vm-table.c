/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/vm-table.h"

#include <stdlib.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "agent/task.h"
#include "events/ring.h"
#include "virt/stale-uses.h"

/* A call of one VM may wait for its guest while another one tells of it; see virt/connection.h. */
#define CALLS_AT_ONCE 2
/* QEMU's monitor answers in milliseconds, libvirt's own limit is 30 s. */
#define STUCK_MS 20000

/* ---- entries ---- */

static void
entry_free(struct vm_entry *entry)
{
    vm_free(entry->vm);
    free(entry->json);
    free(entry);
}

/* The job that gave back the last reference may still be counted in its lane: its own message comes
   behind this one. */
static void
free_when_idle(struct message *message)
{
    struct vm_entry *entry = CONTAINER_OF(message, struct vm_entry, freed);

    if (entry->lane.running > 0 || entry->lane.waiting > 0)
        loop_post(entry->virt->agent->loop, message);
    else
        entry_free(entry);
}

struct vm_entry *
vm_entry_ref(struct vm_entry *entry)
{
    atomic_fetch_add(&entry->references, 1);
    return entry;
}

void
vm_entry_unref(struct vm_entry *entry)
{
    if (!entry || atomic_fetch_sub(&entry->references, 1) > 1)
        return;
    entry->freed.deliver = free_when_idle;
    loop_post(entry->virt->agent->loop, &entry->freed);
}

static struct vm_entry *
entry_new(struct virt *virt)
{
    struct vm_entry *entry = xalloc(sizeof(*entry));

    entry->virt = virt;
    entry->lane = (struct lane){ .name = "libvirt", .limit = CALLS_AT_ONCE, .stuck_ms = STUCK_MS };
    atomic_init(&entry->references, 1);
    return entry;
}

/* ---- the table, sorted by name ---- */

struct vm_entry *
vm_table_find_uuid(struct virt *virt, const char *uuid)
{
    LOOP_ONLY();
    for (size_t i = 0; i < virt->entry_count; i++)
        if (strcmp(virt->entries[i]->vm->uuid, uuid) == 0)
            return virt->entries[i];
    return NULL;
}

struct vm_entry *
vm_table_find(struct virt *virt, const char *name)
{
    LOOP_ONLY();
    for (size_t i = 0; i < virt->entry_count; i++)
        if (strcmp(virt->entries[i]->vm->name, name) == 0)
            return virt->entries[i];
    return vm_table_find_uuid(virt, name);
}

static void
take_out(struct vm_entry *entry)
{
    struct virt *virt = entry->virt;
    size_t i = 0;

    while (virt->entries[i] != entry)
        i++;
    virt->entry_count--;
    memmove(&virt->entries[i], &virt->entries[i + 1],
            (virt->entry_count - i) * sizeof(virt->entries[0]));
}

static void
put_in(struct vm_entry *entry)
{
    struct virt *virt = entry->virt;
    size_t i = virt->entry_count;

    /* One at a time: libvirt has hundreds of them, seldom more. */
    virt->entries = xrealloc(virt->entries, (virt->entry_count + 1) * sizeof(virt->entries[0]));
    while (i > 0 && strcmp(virt->entries[i - 1]->vm->name, entry->vm->name) > 0) {
        virt->entries[i] = virt->entries[i - 1];
        i--;
    }
    virt->entries[i] = entry;
    virt->entry_count++;
}

/* ---- telling ---- */

char *
vm_table_key(const char *uuid)
{
    return xprintf("vm %s", uuid);
}

static void
wake(const struct vm_entry *entry)
{
    _cleanup_free_ char *key = vm_table_key(entry->vm->uuid);

    task_wake(entry->virt->agent, key);
}

static void
publish(const struct vm_entry *entry, const struct vm_change *change)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    vm_write(entry->vm, change, &writer);
    (void)ring_publish(entry->virt->agent->ring, "vm.changed", entry->vm->name, writer.text.bytes,
                       writer.text.length);
}

static char *
json_of(const struct vm *vm)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    vm_write(vm, NULL, &writer);
    return text_take(&writer.text);
}

void
vm_table_tell(struct vm_entry *entry, const struct vm_change *change)
{
    LOOP_ONLY();
    publish(entry, change);
    wake(entry);
}

static void
write_anew(struct vm_entry *entry)
{
    free(entry->json);
    entry->json = json_of(entry->vm);
}

void
vm_table_unfreeze(struct vm_entry *entry)
{
    LOOP_ONLY();
    entry->vm->frozen_until_ns = 0;
    write_anew(entry);
}

void
vm_table_change(struct vm_entry *entry, enum vm_state state, const char *reason,
                const struct vm_change *change)
{
    LOOP_ONLY();
    entry->vm->state = state;
    entry->vm->reason = reason;
    entry->vm->since_ns = clock_wall_ns();
    write_anew(entry);
    vm_table_tell(entry, change);
}

void
vm_table_enter_take(struct virt *virt, struct vm *vm, bool any_state,
                    const struct vm_change *change)
{
    static const struct vm_change found = { .event = "found" }, differs = { .event = "changed" };
    struct vm_entry *entry = vm_table_find_uuid(virt, vm->uuid);
    bool is_new = !entry;
    char *json;

    if (is_new)
        entry = entry_new(virt);
    else {
        if (!any_state) {
            vm->state = entry->vm->state;
            vm->reason = entry->vm->reason;
        }
        vm->since_ns = vm->state == entry->vm->state ? entry->vm->since_ns : clock_wall_ns();
        take_out(entry);
        stale_uses_look(virt, entry->vm, vm);
        vm_free(entry->vm);
    }
    entry->vm = vm;
    put_in(entry);
    json = json_of(vm);
    if (!change && (!entry->json || strcmp(json, entry->json) != 0))
        change = is_new ? &found : &differs;
    free(entry->json);
    entry->json = json;
    if (change)
        publish(entry, change);
    wake(entry);
}

void
vm_table_remove(struct vm_entry *entry)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    LOOP_ONLY();
    take_out(entry);
    entry->gone = true;
    stale_uses_look(entry->virt, entry->vm, NULL);
    writer_object(&writer);
    writer_member_string(&writer, "vm", entry->vm->name);
    writer_member_string(&writer, "uuid", entry->vm->uuid);
    writer_end_object(&writer);
    (void)ring_publish(entry->virt->agent->ring, "vm.removed", entry->vm->name, writer.text.bytes,
                       writer.text.length);
    wake(entry);
    vm_entry_unref(entry);
}

/* ---- the present state, for event.subscribe ---- */

static void *
begin_snapshot(void *context)
{
    const struct virt *virt = context;
    struct snapshot_texts *texts = snapshot_texts_new("vm.changed");

    for (size_t i = 0; i < virt->entry_count; i++)
        snapshot_texts_add(texts, virt->entries[i]->vm->name, virt->entries[i]->json);
    return texts;
}

void
vm_table_open(struct virt *virt)
{
    virt->provider = (struct snapshot_provider){
        .topic = "vm.changed",
        .pool = POOL_LOOP,
        .begin = begin_snapshot,
        .write = snapshot_texts_write,
        .end = snapshot_texts_free,
        .provider_context = virt,
    };
    snapshot_register(virt->agent, &virt->provider);
}
