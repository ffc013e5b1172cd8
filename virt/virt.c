/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/virt.h"

#include <string.h>

#include "agent/backend.h"
#include "agent/base/thread.h"
#include "agent/config.h"
#include "virt/adoption.h"
#include "virt/backup-snapshot.h"
#include "virt/backup-table.h"
#include "virt/connection.h"
#include "virt/freeze.h"
#include "virt/job-adopt.h"
#include "virt/job-table.h"
#include "virt/migration-watch.h"
#include "virt/offer.h"
#include "virt/places.h"
#include "virt/unplug.h"
#include "virt/virt-internal.h"
#include "virt/vm-stats.h"
#include "virt/vm-table.h"

#define SWITCHED_OFF "switched off by --libvirt none"

struct virt *
virt_new(struct storage *storage)
{
    struct virt *virt = xalloc(sizeof(*virt));

    virt->storage = storage;
    return virt;
}

static void
write_gauges(void *context, struct text *text)
{
    const struct virt *virt = context;
    size_t counts[VM_SUSPENDED + 1] = { 0 };

    LOOP_ONLY();
    for (size_t i = 0; i < virt->entry_count; i++)
        counts[virt->entries[i]->vm->state]++;
    text_append_string(text, "# HELP hostler_vms Virtual machines, by state.\n"
                             "# TYPE hostler_vms gauge\n");
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++)
        text_printf(text, "hostler_vms{state=\"%s\"} %zu\n", vm_state_name((enum vm_state)i),
                    counts[i]);
}

static void
list_again(struct timer *timer)
{
    struct virt *virt = CONTAINER_OF(timer, struct virt, again);

    if (virt->connect && !virt->current)
        news_read_all(virt);
}

void
virt_open(struct virt *virt, struct agent *agent)
{
    LOOP_ONLY();
    virt->agent = agent;
    virt->reader = (struct lane){ .name = "libvirt", .limit = 1, .stuck_ms = UINT32_MAX };
    virt->others = (struct lane){ .name = "libvirt", .limit = 4, .stuck_ms = 30000 };
    virt->again.fire = list_again;
    virt->gauges = (struct gauges){ .write = write_gauges, .context = virt };
    gauges_register(agent, &virt->gauges);
    xml_prepare();
    vm_table_open(virt);
    virt_offer_open(virt);
    vm_stats_open(virt);
    freeze_open(virt);
    backup_table_open(virt);
    backup_snapshot_open(virt);
    places_open(virt);
    unplug_open(virt);
    adoption_open(virt);
    virt->jobs = job_table_new(virt);
    job_adopt_open(virt);
    virt->migrations = migrations_open(virt);
    if (strcmp(agent->config->libvirt_uri, "none") == 0) {
        virt->reason = xstrdup(SWITCHED_OFF);
        backend_set(agent, "libvirt", false, NULL, SWITCHED_OFF);
        return;
    }
    backend_set(agent, "libvirt", false, NULL, "not connected yet");
    virt->connection = virt_connection_open(virt, agent->config->libvirt_uri);
}
