/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/freeze.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "virt/connection.h"
#include "virt/failure.h"
#include "virt/vm-table.h"

#define MS INT64_C(1000000)
/* A guest that cannot be thawed now is tried again for as long as it runs. */
#define AGAIN_MS 3000
#define THAW_LIMIT_S 20
/* The agent answers at once, or does not: but Windows may take a minute to freeze. */
#define AWAKE_LIMIT_S 5
#define FREEZE_LIMIT_S 60

/* ---- on workers ---- */

void
guest_limit(virDomainPtr domain, int64_t seconds)
{
    (void)virDomainAgentSetResponseTimeout(domain, (int)seconds, 0);
}

/* With 0: that there is none any more. */
static bool
note(virDomainPtr domain, int64_t until_ns, struct error **err)
{
    _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();
    _cleanup_free_ char *xml = NULL;

    WORKER_ONLY();
    if (until_ns) {
        xml_element(writer, "freeze");
        xml_attr_number(writer, "untilMs", (uint64_t)(until_ns / MS));
        xml_element_end(writer);
        xml = xml_writer_take(writer);
    }
    if (virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, xml, "freeze", VM_FREEZE_URI,
                             VIR_DOMAIN_AFFECT_LIVE) < 0 &&
        (until_ns || virGetLastErrorCode() != VIR_ERR_NO_DOMAIN_METADATA))
        return virt_fail(err, domain, "cannot note until when '%s' may be frozen",
                         virDomainGetName(domain));
    return true;
}

bool
freeze_refuse(const char *vm, struct error **err)
{
    error_set(err, ERROR_WRONG_STATE,
              "the guest '%s' is frozen already: vm.status tells until when, vm.thaw ends it", vm);
    error_data_text(err, "state", "frozen");
    return error_data_text(err, "needs", "a guest that is not frozen");
}

/* By its note: one that cannot be read may tell of a deadline, which must not be put off. */
static bool
require_unfrozen(virDomainPtr domain, struct error **err)
{
    _cleanup_free_ char *xml = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
                                                    VM_FREEZE_URI, VIR_DOMAIN_AFFECT_LIVE);

    if (xml)
        return freeze_refuse(virDomainGetName(domain), err);
    return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN_METADATA ||
           virt_fail(err, domain, "cannot ask whether the guest '%s' is frozen",
                     virDomainGetName(domain));
}

/* A freeze may take a minute, so an agent that does not answer at all is found out by another question. */
static bool
is_awake(virDomainPtr domain)
{
    long long seconds;
    unsigned nanoseconds;

    guest_limit(domain, AWAKE_LIMIT_S);
    return virDomainGetTime(domain, &seconds, &nanoseconds, 0) == 0;
}

bool
freeze_prepare(virDomainPtr domain, int64_t until_ns, struct error **err)
{
    WORKER_ONLY();
    if (!require_unfrozen(domain, err))
        return false;
    if (!is_awake(domain))
        return virt_fail(err, domain, "cannot freeze the guest '%s'", virDomainGetName(domain));
    guest_limit(domain, FREEZE_LIMIT_S);
    /* Before the guest is asked, so that there is none that is frozen for ever. */
    return note(domain, until_ns, err);
}

bool
freeze_thaw(virDomainPtr domain, uint64_t *ret_count, struct error **err)
{
    int count;

    WORKER_ONLY();
    guest_limit(domain, THAW_LIMIT_S);
    count = virDomainFSThaw(domain, NULL, 0, 0);
    if (count < 0)
        return virt_fail(err, domain, "cannot thaw the guest");
    if (ret_count)
        *ret_count = (uint64_t)count;
    return note(domain, 0, err);
}

/* ---- deadlines, on the loop ---- */

struct thaw_job {
    struct job job;
    struct vm_entry *entry; /* a reference */
    virConnectPtr connect;  /* a reference */
    char uuid[UUID_TEXT_SIZE];
    bool gone;           /* it does not run any more */
    struct error *error; /* owned; NULL: it is thawed */
};

static void
thaw(struct job *job)
{
    struct thaw_job *thawing = CONTAINER_OF(job, struct thaw_job, job);
    virDomainPtr domain = virDomainLookupByUUIDString(thawing->connect, thawing->uuid);

    if (!domain) {
        virt_fail_connect(&thawing->error, thawing->connect, "cannot find the VM");
        thawing->gone = thawing->error->code == ERROR_NOT_FOUND;
        return;
    }
    if (!freeze_thaw(domain, NULL, &thawing->error))
        thawing->gone = virDomainIsActive(domain) == 0;
    (void)virDomainFree(domain);
}

static void
tell_thaw(const struct thaw_job *thawing)
{
    static const struct vm_change change = { .event = "thawed", .reason = "deadline" };
    struct vm_entry *entry = thawing->entry;

    if (!thawing->error) {
        vm_table_unfreeze(entry);
        vm_table_tell(entry, &change);
        log_warning("the guest '%s' was frozen until its deadline: thawed", entry->vm->name);
    } else if (!thawing->gone) {
        entry->thaw_again_ns = clock_wall_ns() + AGAIN_MS * MS;
        log_warning("the guest '%s' is frozen beyond its deadline: %s; trying again",
                    entry->vm->name, thawing->error->message);
    } else
        vm_table_unfreeze(entry);
}

static void
thawed(struct job *job)
{
    struct thaw_job *thawing = CONTAINER_OF(job, struct thaw_job, job);
    struct virt *virt = thawing->entry->virt;

    thawing->entry->thawing = false;
    if (!thawing->entry->gone)
        tell_thaw(thawing);
    error_free(thawing->error);
    (void)virConnectClose(thawing->connect);
    vm_entry_unref(thawing->entry);
    free(thawing);
    freeze_look(virt);
}

static void
begin_thaw(struct vm_entry *entry)
{
    struct virt *virt = entry->virt;
    struct thaw_job *thawing = xalloc(sizeof(*thawing));
    struct error *error = NULL;

    thawing->job =
        (struct job){ .run = thaw, .finished = thawed, .lane = &entry->lane, .pool = POOL_VIRT };
    memcpy(thawing->uuid, entry->vm->uuid, sizeof(thawing->uuid));
    if (virt_connection_get(virt, &thawing->connect, &error)) {
        if (workers_submit(virt->agent->workers, &thawing->job, &error)) {
            thawing->entry = vm_entry_ref(entry);
            entry->thawing = true;
            return;
        }
        (void)virConnectClose(thawing->connect);
    }
    entry->thaw_again_ns = clock_wall_ns() + AGAIN_MS * MS;
    error_free(error);
    free(thawing);
}

/* When it is to be thawed; 0: it is not frozen, or somebody is at it. */
static int64_t
due_of(const struct vm_entry *entry)
{
    if (!entry->vm->frozen_until_ns || entry->thawing || entry->freezing)
        return 0;
    return entry->thaw_again_ns > entry->vm->frozen_until_ns ? entry->thaw_again_ns
                                                             : entry->vm->frozen_until_ns;
}

void
freeze_look(struct virt *virt)
{
    int64_t now_ns = clock_wall_ns(), first_ns = 0;

    LOOP_ONLY();
    for (size_t i = 0; i < virt->entry_count; i++) {
        int64_t due_ns = due_of(virt->entries[i]);

        if (due_ns && due_ns <= now_ns) {
            begin_thaw(virt->entries[i]);
            due_ns = due_of(virt->entries[i]);
        }
        if (due_ns && (!first_ns || due_ns < first_ns))
            first_ns = due_ns;
    }
    timer_disarm(virt->agent->loop, &virt->thaw_timer);
    if (first_ns)
        timer_arm(virt->agent->loop, &virt->thaw_timer,
                  (uint64_t)((first_ns > now_ns ? first_ns - now_ns : 0) / MS) + 1);
}

static void
look_again(struct timer *timer)
{
    freeze_look(CONTAINER_OF(timer, struct virt, thaw_timer));
}

static void
heard(void *context, const struct vm_news *news)
{
    if (news->kind == VM_NEWS_METADATA || news->kind == VM_NEWS_ALL || news->kind == VM_NEWS_LIFE ||
        news->kind == VM_NEWS_REFRESH)
        freeze_look(context);
}

void
freeze_open(struct virt *virt)
{
    virt->thaw_timer.fire = look_again;
    virt->thaw_listener = (struct virt_listener){ .told = heard, .context = virt };
    virt_listen(virt, &virt->thaw_listener);
}
