/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/migration-ask.h"

#include <libvirt/virterror.h>
#include <stdlib.h>

#include "agent/base/thread.h"
#include "virt/failure.h"

/* As of the agent's other connections. */
#define KEEP_ALIVE_S 4
#define KEEP_ALIVE_COUNT 3

void
migration_wish_done(struct migration_wish *wish)
{
    free(wish->record);
    *wish = (struct migration_wish){ 0 };
}

void
migration_news_done(struct migration_news *news)
{
    error_free(news->cancel_error);
    error_free(news->other_error);
    free(news->record);
    *news = (struct migration_news){ 0 };
}

void
migration_order_done(struct migration_order *order)
{
    free(order->vm);
    free(order->target);
    free(order->record);
    virTypedParamsFree(order->params, order->param_count);
    *order = (struct migration_order){ 0 };
}

static int
operation_of(virTypedParameterPtr params, int count)
{
    int operation;

    return virTypedParamsGetInt(params, count, VIR_DOMAIN_JOB_OPERATION, &operation) == 1
               ? operation
               : -1;
}

/* The job that runs.  False: libvirt knows no such question, or did not answer. */
static bool
look_at_job(virDomainPtr domain, struct migration_look *look)
{
    virTypedParameterPtr params = NULL;
    int count = 0, type = VIR_DOMAIN_JOB_NONE;

    if (virDomainGetJobStats(domain, &type, &params, &count, 0) < 0) {
        int code = virGetLastErrorCode();

        /* libvirt 9.0: "migration statistics are available only on the source host". */
        look->incoming = code == VIR_ERR_OPERATION_UNSUPPORTED;
        look->gone = code == VIR_ERR_NO_DOMAIN;
        return look->incoming || look->gone || code == VIR_ERR_OPERATION_INVALID;
    }
    if ((type == VIR_DOMAIN_JOB_BOUNDED || type == VIR_DOMAIN_JOB_UNBOUNDED) &&
        operation_of(params, count) == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT) {
        look->outgoing = true;
        migration_figures_read(params, count, &look->figures);
    }
    virTypedParamsFree(params, count);
    return true;
}

static void
look_at_ended(virDomainPtr domain, struct migration_look *look)
{
    virTypedParameterPtr params = NULL;
    int count = 0, type = VIR_DOMAIN_JOB_NONE, operation;

    if (virDomainGetJobStats(domain, &type, &params, &count,
                             VIR_DOMAIN_JOB_STATS_COMPLETED | VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED) <
        0)
        return;
    operation = operation_of(params, count);
    look->completed_in = operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN;
    look->completed = type == VIR_DOMAIN_JOB_COMPLETED &&
                      (look->completed_in || operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT);
    if (look->completed)
        migration_figures_read(params, count, &look->ended);
    virTypedParamsFree(params, count);
}

/* Where it stands is asked after its job: so a job that ended in between is seen as one that ended. */
static bool
look_at(virDomainPtr domain, const struct migration_wish *wish, struct migration_news *news)
{
    struct migration_look *look = &news->look;

    if (!look_at_job(domain, look))
        return false;
    if (virDomainGetState(domain, &look->state, &look->reason, 0) < 0) {
        look->gone = virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
        return look->gone;
    }
    if (wish->want_ended && !look->outgoing && !look->incoming)
        look_at_ended(domain, look);
    if (wish->want_record)
        news->record = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
                                            MIGRATION_RECORD_URI, VIR_DOMAIN_AFFECT_CURRENT);
    return true;
}

static void
act(virDomainPtr domain, const struct migration_wish *wish, struct migration_news *news)
{
    if (wish->cancel && virDomainAbortJob(domain) < 0)
        (void)virt_fail(&news->cancel_error, domain, "cannot abort the migration");
    if (wish->set_speed &&
        virDomainMigrateSetMaxSpeed(
            domain, wish->speed, wish->in_postcopy ? VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY : 0) < 0)
        (void)virt_fail(&news->other_error, domain, "cannot change its speed");
    if (wish->postcopy && !news->other_error && virDomainMigrateStartPostCopy(domain, 0) < 0)
        (void)virt_fail(&news->other_error, domain, "cannot go over by post-copy");
    if (wish->pause && !news->other_error && virDomainSuspend(domain) < 0)
        (void)virt_fail(&news->other_error, domain, "cannot pause the VM");
    if (wish->record && !news->other_error &&
        virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, wish->record,
                             MIGRATION_RECORD_PREFIX, MIGRATION_RECORD_URI,
                             VIR_DOMAIN_AFFECT_LIVE) < 0)
        (void)virt_fail(&news->other_error, domain, "cannot write down how it ended");
}

bool
migration_ask(virConnectPtr connect, const char *uuid, const struct migration_wish *wish,
              struct migration_news *ret_news)
{
    virDomainPtr domain;
    bool known = true;

    WORKER_ONLY();
    domain = virDomainLookupByUUIDString(connect, uuid);
    if (!domain) {
        ret_news->look.gone = virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
        ret_news->failed = !ret_news->look.gone;
        return true;
    }
    ret_news->acted = true;
    act(domain, wish, ret_news);
    if (!look_at(domain, wish, ret_news)) {
        ret_news->failed = true;
        known = virGetLastErrorCode() != VIR_ERR_NO_SUPPORT;
    }
    (void)virDomainFree(domain);
    return known;
}

static bool
run_order(virDomainPtr domain, const struct migration_order *order, struct error **err)
{
    if (order->record && virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, order->record,
                                              MIGRATION_RECORD_PREFIX, MIGRATION_RECORD_URI,
                                              VIR_DOMAIN_AFFECT_LIVE) < 0)
        return virt_fail(err, domain, "cannot write down that '%s' is to migrate", order->vm);
    if (order->downtime_ms > 0 &&
        virDomainMigrateSetMaxDowntime(domain, (unsigned long long)order->downtime_ms, 0) < 0)
        return virt_fail(err, domain, "cannot bound the downtime of '%s'", order->vm);
    if (virDomainMigrateToURI3(domain, order->target, order->params, (unsigned)order->param_count,
                               order->flags) < 0)
        return virt_fail(err, domain, "cannot migrate '%s' to '%s'", order->vm, order->target);
    return true;
}

/* libvirtd works on five calls of a connection at a time, and this one lasts as long as the migration. */
static virConnectPtr
open_own(virConnectPtr connect)
{
    _cleanup_free_ char *uri = virConnectGetURI(connect);
    virConnectPtr own = uri ? virConnectOpen(uri) : NULL;

    if (own)
        (void)virConnectSetKeepAlive(own, KEEP_ALIVE_S, KEEP_ALIVE_COUNT);
    return own;
}

static bool
call_on(virConnectPtr own, const char *uuid, const struct migration_order *order, bool *ret_lost,
        struct error **err)
{
    virDomainPtr domain = virDomainLookupByUUIDString(own, uuid);
    bool done;

    if (!domain)
        return virt_fail_connect(err, own, "cannot find VM '%s'", order->vm);
    done = run_order(domain, order, err);
    *ret_lost = !done && virConnectIsAlive(own) != 1;
    (void)virDomainFree(domain);
    return done;
}

bool
migration_call(virConnectPtr connect, const char *uuid, const struct migration_order *order,
               bool *ret_lost, struct error **err)
{
    virConnectPtr own;
    bool done;

    WORKER_ONLY();
    own = open_own(connect);
    if (!own)
        return virt_fail_connect(err, NULL, "cannot connect to libvirt once more for '%s'",
                                 order->vm);
    done = call_on(own, uuid, order, ret_lost, err);
    (void)virConnectClose(own);
    return done;
}
