/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The migrations that this host knows of: those that run, kept current, and how the last of each VM ended.
 *
 * One that runs is looked at twice a second, on a worker, and each difference is an event vm.migration,
 * which has the whole of it.  Those that somebody else has begun, before the agent started too, are found
 * when the connection is made and by libvirt's events.  Loop only, all of it.
 */
#ifndef VIRT_MIGRATION_WATCH_H
#define VIRT_MIGRATION_WATCH_H

#include "virt/migration-ask.h"
#include "virt/news.h"

struct migrations;
struct virt;

struct migration_entry {
    struct migration migration;
    uint64_t serial;            /* no two have the same */
    char *json;                 /* as migration_write() has it; owned */
    struct error *call_error;   /* what vm.migrate's call of libvirt ended with; owned, or NULL */
    bool calling;               /* that call is under way */
    bool lost;                  /* it failed because libvirtd is gone */
    struct error *cancel_error; /* libvirt's refusal of the last wish to abort it; owned, or NULL */
    uint64_t rate;              /* bytes a second, as it was last told to libvirt; 0: no bound */
    struct migrations *migrations; /* private, as all below */
    struct lane lane;              /* looking */
    struct lane call_lane;
    struct timer timer;
    struct migration_wish wish; /* for the next look */
    bool asking;                /* a look is under way */
    bool again;                 /* and another is to follow at once */
    bool late;                  /* libvirt's events may have been missed */
    int64_t left_ns;   /* monotonic; when it was through: its last figures are waited for */
    int64_t failed_ns; /* monotonic; when the call failed, and libvirt's event may say more; or 0 */
    bool final;        /* they are there */
    bool switched;     /* post-copy has been asked for */
    bool timed_out;    /* 'onTimeout' has been done */
    bool cancelled;    /* libvirt has taken the wish to abort it */
    bool retired;      /* out of the list */
    struct migration_entry *next;
};

/* Registers who listens to libvirt's events, and who tells of migrations to event.subscribe. */
struct migrations *migrations_open(struct virt *virt);

/* The last of the VM, by name or UUID; of it by 'serial'.  NULL: there is none. */
struct migration_entry *migrations_find(struct virt *virt, const char *vm);
struct migration_entry *migrations_find_serial(struct virt *virt, uint64_t serial);
/* All, the newest first. */
struct migration_entry *migrations_first(struct virt *virt);

/*
 * Has libvirt begin it.  'migration' (its state is set here) and 'order' are taken; what there was of this VM
 * is replaced.  The entry tells how it goes.
 */
struct migration_entry *migrations_begin_take(struct virt *virt, struct migration *migration,
                                              struct migration_order *order);

/* They return before libvirt is asked. */
void migration_cancel(struct migration_entry *entry);
void migration_set_rate(struct migration_entry *entry, uint64_t bytes_per_second);

/* Who waits for changes of the VM's migration waits for this key; to be freed. */
char *migration_key(const char *vm_uuid);

#endif
