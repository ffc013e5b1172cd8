/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On the loop: news in their line, and what is made of them.  How libvirt's callbacks become news is in
 * news-register.c.
 */
#include <config.h>

#include "virt/news.h"

#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/task.h"
#include "virt/connection.h"
#include "virt/failure.h"
#include "virt/places.h"
#include "virt/vm-table.h"

#define AGAIN_MS 2000
/* Of those that have left: each time after twice as long, for a minute altogether. */
#define LEFT_FIRST_MS 250
#define LEFT_LAST_MS 32000

void
vm_news_free(struct vm_news *news)
{
    if (!news)
        return;
    free(news->name);
    free(news->device);
    free(news->path);
    free(news->text);
    virTypedParamsFree(news->params, news->param_count);
    vm_free(news->vm);
    for (size_t i = 0; i < news->all_count; i++)
        vm_free(news->all[i]);
    free(news->all);
    error_free(news->error);
    free(news);
}

/* ---- what libvirt's numbers of a life's events mean ---- */

#define DETAILS 9
struct life {
    const char *event;
    int state;                    /* libvirt's, after it; -1: as it was */
    const char *details[DETAILS]; /* why: what the state's reason is, too */
};

static const struct life lives[] = {
    [VIR_DOMAIN_EVENT_DEFINED] = { "defined",
                                   -1,
                                   { "added", "updated", "renamed", "from-snapshot" } },
    [VIR_DOMAIN_EVENT_UNDEFINED] = { "undefined", -1, { "removed", "renamed" } },
    [VIR_DOMAIN_EVENT_STARTED] = { "started",
                                   VIR_DOMAIN_RUNNING,
                                   { "booted", "migrated", "restored", "from-snapshot", "woken" } },
    [VIR_DOMAIN_EVENT_SUSPENDED] = { "paused",
                                     VIR_DOMAIN_PAUSED,
                                     { "user", "migration", "io-error", "watchdog", "restored",
                                       "from-snapshot", "api-error", "postcopy",
                                       "postcopy-failed" } },
    [VIR_DOMAIN_EVENT_RESUMED] = { "resumed",
                                   VIR_DOMAIN_RUNNING,
                                   { "unpaused", "migrated", "from-snapshot", "postcopy",
                                     "postcopy-failed" } },
    [VIR_DOMAIN_EVENT_STOPPED] = { "stopped",
                                   VIR_DOMAIN_SHUTOFF,
                                   { "shutdown", "destroyed", "crashed", "migrated", "saved",
                                     "failed", "from-snapshot" } },
    [VIR_DOMAIN_EVENT_SHUTDOWN] = { "stopping",
                                    VIR_DOMAIN_SHUTDOWN,
                                    { "finished", "guest", "host" } },
    [VIR_DOMAIN_EVENT_PMSUSPENDED] = { "suspended", VIR_DOMAIN_PMSUSPENDED, { "memory", "disk" } },
    [VIR_DOMAIN_EVENT_CRASHED] = { "crashed", VIR_DOMAIN_CRASHED, { "panicked", "crashloaded" } },
};

/* NULL: an event of a newer libvirt. */
static const struct life *
life_of(const struct vm_news *news)
{
    return news->event >= 0 && news->event < (int)ARRAY_COUNT(lives) ? &lives[news->event] : NULL;
}

static const char *
detail_of(const struct life *life, int detail)
{
    return detail >= 0 && detail < DETAILS ? life->details[detail] : NULL;
}

/* Whether the description may be another than before. */
static bool
is_to_be_read(const struct vm_news *news)
{
    switch (news->kind) {
    case VM_NEWS_LIFE:
        return news->event != VIR_DOMAIN_EVENT_SUSPENDED &&
               news->event != VIR_DOMAIN_EVENT_RESUMED &&
               news->event != VIR_DOMAIN_EVENT_SHUTDOWN && life_of(news) != NULL;
    case VM_NEWS_DISK_CHANGE:
    case VM_NEWS_TRAY:
    case VM_NEWS_BALLOON:
    case VM_NEWS_DEVICE_ADDED:
    case VM_NEWS_DEVICE_REMOVED:
    case VM_NEWS_AGENT:
    case VM_NEWS_METADATA:
    case VM_NEWS_BLOCK_JOB:
    case VM_NEWS_REFRESH:
    case VM_NEWS_ALL: return true;
    case VM_NEWS_REBOOT:
    case VM_NEWS_WATCHDOG:
    case VM_NEWS_IO_ERROR:
    case VM_NEWS_CONTROL_ERROR:
    case VM_NEWS_DEVICE_REMOVAL_FAILED:
    case VM_NEWS_MIGRATION_ITERATION:
    case VM_NEWS_JOB_COMPLETED:
    case VM_NEWS_BLOCK_THRESHOLD:
    case VM_NEWS_MEMORY_FAILURE: break;
    }
    return false;
}

/* ---- those that have left ---- */

static bool
has_left(const struct vm *vm)
{
    return vm->state == VM_SHUTOFF && vm->reason &&
           strcmp(vm->reason, vm_reason_of(VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_MIGRATED)) == 0;
}

static void
read_left(struct timer *timer)
{
    struct virt *virt = CONTAINER_OF(timer, struct virt, left_timer);
    size_t count = 0;

    for (size_t i = 0; i < virt->entry_count; i++)
        if (has_left(virt->entries[i]->vm)) {
            (void)news_refresh(virt, virt->entries[i]->vm->uuid, false);
            count++;
        }
    virt->left_delay_ms *= 2;
    if (count > 0 && virt->left_delay_ms <= LEFT_LAST_MS)
        timer_arm(virt->agent->loop, &virt->left_timer, virt->left_delay_ms);
}

/*
 * Of a VM that has migrated libvirt (9.0) tells that it has stopped, then ends its connection to the target, and only
 * then forgets the VM: of that no event tells.  Who reads it in between finds one that is shut off.  So it is read
 * until it is gone, or stays: libvirt gives up a target that is silent after half a minute.
 */
static void
watch_left(struct virt *virt)
{
    virt->left_timer.fire = read_left;
    virt->left_delay_ms = LEFT_FIRST_MS;
    timer_arm(virt->agent->loop, &virt->left_timer, LEFT_FIRST_MS);
}

/* ---- telling ---- */

/* Whether the VM may be no more after it; a later event tells, where it is gone after another one. */
static bool
is_end(const struct vm_news *news)
{
    return news->event == VIR_DOMAIN_EVENT_UNDEFINED || news->event == VIR_DOMAIN_EVENT_STOPPED ||
           news->event == VIR_DOMAIN_EVENT_CRASHED;
}

/* One whose description is not known. */
static struct vm *
vm_stub(const char *uuid, const char *name)
{
    struct vm *vm = xalloc(sizeof(*vm));

    (void)snprintf(vm->uuid, sizeof(vm->uuid), "%s", uuid);
    vm->name = xstrdup(name);
    vm->id = -1;
    return vm;
}

static void
tell_life(struct virt *virt, struct vm_news *news)
{
    const struct life *life = life_of(news);
    struct vm_entry *entry = vm_table_find_uuid(virt, news->uuid);
    const char *detail = life ? detail_of(life, news->detail) : NULL;
    const struct vm_change change = { .event = life ? life->event : NULL, .reason = detail };

    if (!life)
        return;
    if (news->vm) {
        struct vm *vm = TAKE(news->vm);

        /* It may be younger than the event, whose state is the one to tell. */
        if (life->state >= 0) {
            vm->state = vm_state_of(life->state);
            vm->reason = detail;
        } else if (entry) {
            vm->state = entry->vm->state;
            vm->reason = entry->vm->reason;
        }
        if (has_left(vm))
            watch_left(virt);
        vm_table_enter_take(virt, vm, true, &change);
        return;
    }
    if (!entry && !news->name)
        return;
    if (!entry) {
        /* It came and went before it could be read: what is known is told. */
        struct vm *vm = vm_stub(news->uuid, news->name);

        vm->state = life->state >= 0 ? vm_state_of(life->state) : VM_UNKNOWN;
        vm->reason = detail;
        vm_table_enter_take(virt, vm, true, &change);
        entry = vm_table_find_uuid(virt, news->uuid);
    } else if (life->state >= 0)
        vm_table_change(entry, vm_state_of(life->state), detail, &change);
    else
        vm_table_tell(entry, &change);
    if (news->gone && is_end(news))
        vm_table_remove(entry);
}

/* What an event about something within the VM is called; NULL: it is told in another way, or not at all. */
static const char *
event_name(const struct vm_news *news)
{
    static const char *const names[] = {
        [VM_NEWS_REBOOT] = "rebooted",
        [VM_NEWS_WATCHDOG] = "watchdog",
        [VM_NEWS_IO_ERROR] = "io-error",
        [VM_NEWS_CONTROL_ERROR] = "control-error",
        [VM_NEWS_DISK_CHANGE] = "medium-changed",
        [VM_NEWS_BALLOON] = "memory-changed",
        [VM_NEWS_DEVICE_ADDED] = "device-added",
        [VM_NEWS_DEVICE_REMOVED] = "device-removed",
        [VM_NEWS_DEVICE_REMOVAL_FAILED] = "device-removal-failed",
        [VM_NEWS_BLOCK_THRESHOLD] = "block-threshold",
        [VM_NEWS_MEMORY_FAILURE] = "memory-failure",
        [VM_NEWS_METADATA] = "metadata-changed",
        [VM_NEWS_ALL] = NULL,
    };

    if (news->kind == VM_NEWS_TRAY)
        return news->event == VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN ? "tray-opened" : "tray-closed";
    if (news->kind == VM_NEWS_AGENT)
        return news->event == VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED
                   ? "agent-connected"
                   : "agent-disconnected";
    return names[news->kind];
}

static void
tell_within(struct virt *virt, struct vm_news *news)
{
    struct vm_entry *entry = vm_table_find_uuid(virt, news->uuid);
    const struct vm_change change = {
        .event = event_name(news),
        .reason = news->text && *news->text ? news->text : NULL,
        .device = news->device,
    };
    const struct vm_change *told = change.event ? &change : NULL;

    if (entry && news->kind == VM_NEWS_REFRESH && (news->vm || news->gone))
        entry->refreshed = news->number; /* before who waits for it is woken */
    if (news->vm && (entry || news->kind == VM_NEWS_REFRESH))
        vm_table_enter_take(virt, TAKE(news->vm), news->any_state, told);
    else if (entry && told)
        vm_table_tell(entry, told);
    else if (entry && news->kind == VM_NEWS_REFRESH && news->gone)
        vm_table_remove(entry);
}

static bool
is_among(struct vm *const *all, size_t count, const char *uuid)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(all[i]->uuid, uuid) == 0)
            return true;
    return false;
}

static void
tell_all(struct virt *virt, struct vm_news *news)
{
    if (news->error) {
        log_warning("cannot list the VMs: %s; trying again", news->error->message);
        timer_arm(virt->agent->loop, &virt->again, AGAIN_MS);
        return;
    }
    /* Once events keep the table current they alone tell what comes, goes and changes its state. */
    for (size_t i = 0; i < news->all_count && virt->current; i++) {
        if (vm_table_find_uuid(virt, news->all[i]->uuid) && !news->all[i]->unread)
            vm_table_enter_take(virt, TAKE(news->all[i]), false, NULL);
    }
    if (virt->current)
        return;
    for (size_t i = virt->entry_count; i-- > 0;)
        if (!is_among(news->all, news->all_count, virt->entries[i]->vm->uuid))
            vm_table_remove(virt->entries[i]);
    for (size_t i = 0; i < news->all_count; i++) {
        if (news->all[i]->unread)
            log_warning("VM '%s' is listed as 'unknown': %s", news->all[i]->name,
                        news->all[i]->unread);
        if (has_left(news->all[i]))
            watch_left(virt);
        vm_table_enter_take(virt, news->all[i], true, NULL);
    }
    news->all_count = 0;
    virt->known = true;
    virt_connection_settled(virt);
}

static void
tell(struct virt *virt, struct vm_news *news)
{
    if (news->kind == VM_NEWS_ALL)
        tell_all(virt, news);
    else if (news->kind == VM_NEWS_LIFE)
        tell_life(virt, news);
    else
        tell_within(virt, news);
    for (struct virt_listener *listener = virt->listeners; listener; listener = listener->next)
        listener->told(listener->context, news);
}

/* ---- reading ---- */

struct reading {
    struct job job;
    struct virt *virt;
    virConnectPtr connect;      /* a reference */
    struct disk_places *places; /* owned */
    struct vm_news *first;      /* owned */
};

/* One that cannot be read does not keep the others from being known: it is listed, as 'unknown'. */
static struct vm *
stub_of(virDomainPtr domain, const struct error *error)
{
    char uuid[UUID_TEXT_SIZE];
    struct vm *vm;

    if (virDomainGetUUIDString(domain, uuid) < 0)
        return NULL;
    vm = vm_stub(uuid, virDomainGetName(domain));
    vm->unread = xstrdup(error->message);
    return vm;
}

static bool
read_domains(virDomainPtr *domains, size_t count, const struct disk_places *places,
             struct vm_news *news)
{
    news->all = xalloc((count + 1) * sizeof(news->all[0]));
    for (size_t i = 0; i < count; i++) {
        struct vm *vm;

        if (vm_read(domains[i], &vm, &news->error))
            places_name(places, vm);
        else if (news->error->code == ERROR_BACKEND_UNAVAILABLE)
            return false;
        else {
            /* One that has just gone is told of by an event. */
            vm = news->error->code == ERROR_NOT_FOUND ? NULL : stub_of(domains[i], news->error);
            error_free(TAKE(news->error));
        }
        if (vm)
            news->all[news->all_count++] = vm;
    }
    return true;
}

static void
read_all(virConnectPtr connect, const struct disk_places *places, struct vm_news *news)
{
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(connect, &domains, 0);

    if (count < 0) {
        virt_fail_connect(&news->error, connect, "cannot list the VMs");
        return;
    }
    (void)read_domains(domains, (size_t)count, places, news);
    for (int i = 0; i < count; i++)
        (void)virDomainFree(domains[i]);
    free(domains);
}

static void
read_one(virConnectPtr connect, const struct disk_places *places, struct vm_news *news)
{
    virDomainPtr domain = virDomainLookupByUUIDString(connect, news->uuid);

    if (!domain)
        news->gone = virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
    else if (!vm_read(domain, &news->vm, &news->error))
        news->gone = news->error->code == ERROR_NOT_FOUND;
    else
        places_name(places, news->vm);
    if (domain)
        (void)virDomainFree(domain);
}

static void
read_news(struct job *job)
{
    const struct reading *reading = CONTAINER_OF(job, struct reading, job);

    for (struct vm_news *news = reading->first; news; news = news->next) {
        if (news->kind == VM_NEWS_ALL)
            read_all(reading->connect, reading->places, news);
        else if (is_to_be_read(news))
            read_one(reading->connect, reading->places, news);
    }
}

static void go_on(struct virt *virt);

static void
have_read(struct job *job)
{
    struct reading *reading = CONTAINER_OF(job, struct reading, job);
    struct virt *virt = reading->virt;
    struct vm_news *news = reading->first;

    virt->reading = false;
    while (news) {
        struct vm_news *next = news->next;

        if (news->epoch == virt->epoch && virt->connect)
            tell(virt, news);
        vm_news_free(news);
        news = next;
    }
    (void)virConnectClose(reading->connect);
    disk_places_free(reading->places);
    free(reading);
    go_on(virt);
}

static struct vm_news *
take_first(struct virt *virt)
{
    struct vm_news *news = virt->first_news;

    virt->first_news = news->next;
    if (!virt->first_news)
        virt->last_news = NULL;
    news->next = NULL;
    return news;
}

static void
begin_reading(struct virt *virt)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct reading *reading = xalloc(sizeof(*reading));

    (void)virConnectRef(virt->reader_connect);
    *reading = (struct reading){
        .job = { .run = read_news,
                 .finished = have_read,
                 .lane = &virt->reader,
                 .pool = POOL_VIRT },
        .virt = virt,
        .connect = virt->reader_connect,
        .places = disk_places_new_all(virt->storage),
        .first = virt->first_news,
    };
    virt->first_news = virt->last_news = NULL;
    virt->reading = true;
    if (workers_submit(virt->agent->workers, &reading->job, &error))
        return;
    /* No thread is to be had: the machine is out of them.  All is read anew when there is one. */
    log_warning("cannot read what libvirt tells: %s; trying again", error->message);
    virt->reading = false;
    while (reading->first) {
        struct vm_news *news = reading->first;

        reading->first = news->next;
        vm_news_free(news);
    }
    (void)virConnectClose(reading->connect);
    disk_places_free(reading->places);
    free(reading);
    virt->current = false;
    timer_arm(virt->agent->loop, &virt->again, AGAIN_MS);
}

static void
go_on(struct virt *virt)
{
    while (!virt->reading && virt->first_news) {
        struct vm_news *news = virt->first_news;

        if (is_to_be_read(news)) {
            begin_reading(virt);
            return;
        }
        news = take_first(virt);
        tell(virt, news);
        vm_news_free(news);
    }
}

void
news_take(struct virt *virt, struct vm_news *news)
{
    LOOP_ONLY();
    if (news->epoch != virt->epoch || !virt->connect) {
        vm_news_free(news);
        return;
    }
    news->next = NULL;
    if (virt->last_news)
        virt->last_news->next = news;
    else
        virt->first_news = news;
    virt->last_news = news;
    go_on(virt);
}

void
news_read_all(struct virt *virt)
{
    struct vm_news *news = xalloc(sizeof(*news));

    news->kind = VM_NEWS_ALL;
    news->epoch = virt->epoch;
    news_take(virt, news);
}

uint64_t
news_refresh(struct virt *virt, const char *uuid, bool any_state)
{
    uint64_t number = ++virt->refreshes;
    struct vm_news *news = xalloc(sizeof(*news));

    news->kind = VM_NEWS_REFRESH;
    news->epoch = virt->epoch;
    news->any_state = any_state;
    news->number = number;
    (void)snprintf(news->uuid, sizeof(news->uuid), "%s", uuid);
    news_take(virt, news);
    return number;
}

void
news_drop(struct virt *virt)
{
    LOOP_ONLY();
    while (virt->first_news)
        vm_news_free(take_first(virt));
}

void
virt_listen(struct virt *virt, struct virt_listener *listener)
{
    LOOP_ONLY();
    listener->next = virt->listeners;
    virt->listeners = listener;
}
