/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one object of this folder.  Loop only, all of it.
 */
#ifndef VIRT_VIRT_INTERNAL_H
#define VIRT_VIRT_INTERNAL_H

#include <libvirt/libvirt.h>

#include "agent/agent.h"
#include "agent/gauge.h"
#include "agent/snapshot.h"
#include "agent/worker.h"
#include "storage/disk.h"
#include "virt/news.h"
#include "virt/virt.h"

struct migrations;
struct adoption;
struct stale_seen;
struct backup_table;
struct virt_connection;
struct vm_entry;
struct vm_stats;
struct virt_offer;
struct job_table;

struct virt {
    struct agent *agent; /* set by virt_open() */
    struct storage *storage;
    struct migrations *migrations;      /* virt/migration-watch.h */
    struct virt_connection *connection; /* or NULL: none is wanted */
    virConnectPtr connect; /* for calls; a reference of the loop's own; NULL while there is none */
    virConnectPtr reader_connect;  /* for reading only; likewise */
    virConnectPtr figures_connect; /* for vm.stats only; likewise */
    uint64_t epoch;                /* counts connections; news of an earlier one are dropped */
    bool known;                    /* the table has been filled once */
    bool current;                  /* and is kept so, by the connection that there is */
    int64_t lost_ns;               /* wall clock; when it ceased to be */
    char *reason;                  /* owned; why there is no connection */
    char *version;                 /* owned, or NULL */
    struct vm_entry **entries;     /* sorted by name; owned */
    size_t entry_count;
    struct vm_news *first_news, *last_news; /* to be read and told, in this order */
    bool reading;                           /* a job is at some of them */
    struct lane reader;                     /* one at a time, so that order is kept */
    struct lane others;                     /* what is no VM's: defining one, asking for figures */
    struct timer again;                     /* the list could not be had */
    struct timer left_timer;                /* virt/news.c, as the next */
    uint32_t left_delay_ms;
    uint64_t refreshes; /* how many were asked for */
    struct virt_listener *listeners;
    struct virt_listener unplug_listener; /* virt/unplug.h, as the next */
    struct unplug *unplugs;
    struct use_judge judge; /* virt/places.h, as the next */
    struct timer names_timer;
    struct timer thaw_timer; /* virt/freeze.h */
    struct virt_listener thaw_listener;
    struct stale_seen *stale_seen; /* virt/stale-uses.h */
    struct adoption *adoptions;    /* virt/adoption.h, as the next; under way or wanted */
    struct timer adoption_timer;
    struct virt_listener adoption_listener;
    struct job_table *jobs;
    struct backup_table *backups;        /* virt/backup-table.h */
    struct virt_listener adopt_listener; /* virt/job-adopt.h */
    struct timer adopt_timer;
    struct snapshot_provider provider, backup_provider;
    struct gauges gauges;
    struct vm_stats *stats;
    struct virt_offer *offer;
};

#endif
