/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of libvirt about a migration.  Worker threads, all of it.
 */
#ifndef VIRT_MIGRATION_ASK_H
#define VIRT_MIGRATION_ASK_H

#include "virt/migration.h"

/* What is to be done with one that runs; then it is looked at. */
struct migration_wish {
    bool cancel, postcopy, pause, set_speed;
    uint64_t speed;   /* MiB/s */
    bool in_postcopy; /* which has a speed of its own */
    char *record;     /* to be put into the VM's metadata; owned, or NULL */
    bool want_record; /* what stands there is to be read */
    bool want_ended;  /* the figures of a job that ended, too */
};

struct migration_news {
    struct migration_look look;
    bool failed;                /* libvirt did not answer: 'look' is of no use */
    bool acted;                 /* what was wished was tried */
    struct error *cancel_error; /* owned, or NULL, as all here */
    struct error *other_error;  /* of 'postcopy', 'pause', 'set_speed' */
    char *record;
};

void migration_wish_done(struct migration_wish *wish);
void migration_news_done(struct migration_news *news);

/* Whether libvirt was to be asked at all: false: its driver knows no migration (the test driver). */
bool migration_ask(virConnectPtr connect, const char *uuid, const struct migration_wish *wish,
                   struct migration_news *ret_news);

/* virDomainMigrateToURI3(), which returns when the migration is over. */
struct migration_order {
    char *vm; /* for errors; owned, as all here */
    char *target, *record;
    unsigned flags;
    virTypedParameterPtr params;
    int param_count;
    int64_t downtime_ms; /* 0: as it is */
};

void migration_order_done(struct migration_order *order);
/* '*ret_lost': it failed because libvirt is gone, and may go on. */
bool migration_call(virConnectPtr connect, const char *uuid, const struct migration_order *order,
                    bool *ret_lost, struct error **err) _must_check_;

#endif
