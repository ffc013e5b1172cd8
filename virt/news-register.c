/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's callbacks: each makes one news of what it is told, and posts it.  They run on the connection's
 * thread and ask nothing of libvirt.
 */
#include <config.h>

#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/log.h"
#include "virt/failure.h"
#include "virt/news.h"
#include "virt/virt-internal.h"

/* What a callback is registered with; for ever, as small as it is: a late callback may still use it. */
struct registration {
    struct virt *virt;
    uint64_t epoch;
};

static void
deliver(struct message *message)
{
    struct vm_news *news = CONTAINER_OF(message, struct vm_news, message);

    news_take(news->virt, news);
}

static struct vm_news *
news_of(const struct registration *registration, virDomainPtr domain, enum vm_news_kind kind)
{
    struct vm_news *news = xalloc(sizeof(*news));

    news->virt = registration->virt;
    news->epoch = registration->epoch;
    news->kind = kind;
    news->message.deliver = deliver;
    if (virDomainGetUUIDString(domain, news->uuid) < 0)
        news->uuid[0] = '\0';
    news->name = xstrdup(virDomainGetName(domain));
    return news;
}

static char *
copy(const char *text)
{
    return text && utf8_valid(text, strlen(text)) ? xstrdup(text) : NULL;
}

static void
send(struct vm_news *news)
{
    loop_post(news->virt->agent->loop, &news->message);
}

static int
on_life(virConnectPtr connect, virDomainPtr domain, int event, int detail, void *context)
{
    struct vm_news *news = news_of(context, domain, VM_NEWS_LIFE);

    (void)connect;
    news->event = event;
    news->detail = detail;
    send(news);
    return 0;
}

static void
on_reboot(virConnectPtr connect, virDomainPtr domain, void *context)
{
    (void)connect;
    send(news_of(context, domain, VM_NEWS_REBOOT));
}

static void
on_control_error(virConnectPtr connect, virDomainPtr domain, void *context)
{
    (void)connect;
    send(news_of(context, domain, VM_NEWS_CONTROL_ERROR));
}

static void
on_watchdog(virConnectPtr connect, virDomainPtr domain, int action, void *context)
{
    struct vm_news *news = news_of(context, domain, VM_NEWS_WATCHDOG);

    (void)connect;
    news->event = action;
    send(news);
}

static void
on_io_error(virConnectPtr connect, virDomainPtr domain, const char *path, const char *alias,
            int action, const char *reason, void *context)
{
    struct vm_news *news = news_of(context, domain, VM_NEWS_IO_ERROR);

    (void)connect;
    news->path = copy(path);
    news->device = copy(alias);
    news->text = copy(reason);
    news->event = action;
    send(news);
}

static void
on_block_job(virConnectPtr connect, virDomainPtr domain, const char *target, int type, int status,
             void *context)
{
    struct vm_news *news = news_of(context, domain, VM_NEWS_BLOCK_JOB);

    (void)connect;
    news->device = copy(target);
    news->event = type;
    news->detail = status;
    send(news);
}

static void
on_disk_change(virConnectPtr connect, virDomainPtr domain, const char *old_path,
               const char *new_path, const char *alias, int reason, void *context)
{
    struct vm_news *news = news_of(context, domain, VM_NEWS_DISK_CHANGE);

    (void)connect;
    (void)old_path;
    news->device = copy(alias);
    news->path = copy(new_path);
    news->event = reason;
    send(news);
}

static void
on_tray(virConnectPtr connect, virDomainPtr domain, const char *alias, int reason, void *context)
{
    struct vm_news *news = news_of(context, domain, VM_NEWS_TRAY);

    (void)connect;
    news->device = copy(alias);
    news->event = reason;
    send(news);
}

static void
on_balloon(virConnectPtr connect, virDomainPtr domain, unsigned long long kibibytes, void *context)
{
    struct vm_news *news = news_of(context, domain, VM_NEWS_BALLOON);

    (void)connect;
    news->number = kibibytes * 1024;
    send(news);
}

static void
send_device(const struct registration *registration, virDomainPtr domain, enum vm_news_kind kind,
            const char *alias)
{
    struct vm_news *news = news_of(registration, domain, kind);

    news->device = copy(alias);
    send(news);
}

static void
on_device_added(virConnectPtr connect, virDomainPtr domain, const char *alias, void *context)
{
    (void)connect;
    send_device(context, domain, VM_NEWS_DEVICE_ADDED, alias);
}

static void
on_device_removed(virConnectPtr connect, virDomainPtr domain, const char *alias, void *context)
{
    (void)connect;
    send_device(context, domain, VM_NEWS_DEVICE_REMOVED, alias);
}

static void
on_removal_failed(virConnectPtr connect, virDomainPtr domain, const char *alias, void *context)
{
    (void)connect;
    send_device(context, domain, VM_NEWS_DEVICE_REMOVAL_FAILED, alias);
}

static void
on_iteration(virConnectPtr connect, virDomainPtr domain, int iteration, void *context)
{
    struct vm_news *news = news_of(context, domain, VM_NEWS_MIGRATION_ITERATION);

    (void)connect;
    news->event = iteration;
    send(news);
}

static void
on_job_completed(virConnectPtr connect, virDomainPtr domain, virTypedParameterPtr params,
                 int param_count, void *context)
{
    struct vm_news *news = news_of(context, domain, VM_NEWS_JOB_COMPLETED);

    (void)connect;
    news->params = xalloc((size_t)(param_count + 1) * sizeof(params[0]));
    for (int i = 0; i < param_count; i++) {
        news->params[i] = params[i];
        if (params[i].type == VIR_TYPED_PARAM_STRING)
            news->params[i].value.s = xstrdup(params[i].value.s);
    }
    news->param_count = param_count;
    send(news);
}

static void
on_agent(virConnectPtr connect, virDomainPtr domain, int state, int reason, void *context)
{
    struct vm_news *news = news_of(context, domain, VM_NEWS_AGENT);

    (void)connect;
    news->event = state;
    news->detail = reason;
    send(news);
}

static void
on_metadata(virConnectPtr connect, virDomainPtr domain, int type, const char *uri, void *context)
{
    struct vm_news *news = news_of(context, domain, VM_NEWS_METADATA);

    (void)connect;
    news->event = type;
    news->path = copy(uri);
    send(news);
}

static void
on_threshold(virConnectPtr connect, virDomainPtr domain, const char *target, const char *path,
             unsigned long long threshold, unsigned long long excess, void *context)
{
    struct vm_news *news = news_of(context, domain, VM_NEWS_BLOCK_THRESHOLD);

    (void)connect;
    (void)excess;
    news->device = copy(target);
    news->path = copy(path);
    news->number = threshold;
    send(news);
}

static void
on_memory_failure(virConnectPtr connect, virDomainPtr domain, int recipient, int action,
                  unsigned int flags, void *context)
{
    struct vm_news *news = news_of(context, domain, VM_NEWS_MEMORY_FAILURE);

    (void)connect;
    (void)flags;
    news->event = recipient;
    news->detail = action;
    send(news);
}

bool
news_register(struct virt *virt, virConnectPtr connect, uint64_t epoch, struct error **err)
{
    static const struct {
        int id;
        virConnectDomainEventGenericCallback callback;
    } events[] = {
        { VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_life) },
        { VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_reboot) },
        { VIR_DOMAIN_EVENT_ID_WATCHDOG, VIR_DOMAIN_EVENT_CALLBACK(on_watchdog) },
        { VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, VIR_DOMAIN_EVENT_CALLBACK(on_io_error) },
        { VIR_DOMAIN_EVENT_ID_CONTROL_ERROR, VIR_DOMAIN_EVENT_CALLBACK(on_control_error) },
        { VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, VIR_DOMAIN_EVENT_CALLBACK(on_block_job) },
        { VIR_DOMAIN_EVENT_ID_DISK_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_disk_change) },
        { VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_tray) },
        { VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_balloon) },
        { VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device_added) },
        { VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device_removed) },
        { VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, VIR_DOMAIN_EVENT_CALLBACK(on_removal_failed) },
        { VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, VIR_DOMAIN_EVENT_CALLBACK(on_iteration) },
        { VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, VIR_DOMAIN_EVENT_CALLBACK(on_job_completed) },
        { VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_agent) },
        { VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata) },
        { VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD, VIR_DOMAIN_EVENT_CALLBACK(on_threshold) },
        { VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE, VIR_DOMAIN_EVENT_CALLBACK(on_memory_failure) },
    };
    struct registration *registration = xalloc(sizeof(*registration));

    *registration = (struct registration){ .virt = virt, .epoch = epoch };
    for (size_t i = 0; i < ARRAY_COUNT(events); i++) {
        if (virConnectDomainEventRegisterAny(connect, NULL, events[i].id, events[i].callback,
                                             registration, NULL) >= 0)
            continue;
        /* An older libvirtd may not know the later ones; without the first there is no truth. */
        if (events[i].id == VIR_DOMAIN_EVENT_ID_LIFECYCLE)
            return virt_fail_connect(err, NULL, "libvirt tells of no events");
        log_debug(NULL, "libvirt tells of no events of kind %d: %s", events[i].id, virt_words());
    }
    return true;
}
