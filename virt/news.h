/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libvirt tells by itself: its events, in their order, each told once.
 *
 * libvirt calls back on the connection's thread; there a struct vm_news is made and posted.  The loop
 * puts it in line.  Where the VM's description may have changed it is read, on a worker, before the
 * news is told, and what came later waits: so an event has the VM's whole state, and order is kept.
 * A state is taken from the event itself, for what is read may be newer.
 */
#ifndef VIRT_NEWS_H
#define VIRT_NEWS_H

#include <libvirt/libvirt.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/name.h"
#include "agent/base/post.h"

struct virt;
struct vm;

enum vm_news_kind {
    VM_NEWS_LIFE,     /* 'event' and 'detail' are libvirt's */
    VM_NEWS_REBOOT,   /* the guest did */
    VM_NEWS_WATCHDOG, /* 'event': virDomainEventWatchdogAction */
    VM_NEWS_IO_ERROR, /* 'device', 'path'; 'text': enospc, or ""; 'event': virDomainEventIOErrorAction */
    VM_NEWS_CONTROL_ERROR,
    VM_NEWS_BLOCK_JOB, /* 'device': target; 'event': virDomainBlockJobType; 'detail': ...ConnectJobStatus */
    VM_NEWS_DISK_CHANGE,  /* 'device': alias; 'path' the new source */
    VM_NEWS_TRAY,         /* 'device': alias; 'event': virDomainEventTrayChangeReason */
    VM_NEWS_BALLOON,      /* 'number': bytes */
    VM_NEWS_DEVICE_ADDED, /* 'device': alias */
    VM_NEWS_DEVICE_REMOVED,
    VM_NEWS_DEVICE_REMOVAL_FAILED,
    VM_NEWS_MIGRATION_ITERATION, /* 'event': which */
    VM_NEWS_JOB_COMPLETED,       /* 'params': the job's figures */
    VM_NEWS_AGENT,               /* 'event': virConnectDomainEventAgentLifecycleState */
    VM_NEWS_METADATA,
    VM_NEWS_BLOCK_THRESHOLD, /* 'device': target; 'path'; 'number': bytes */
    VM_NEWS_MEMORY_FAILURE,
    VM_NEWS_REFRESH, /* nobody's event: it is to be read, and told if it differs */
    VM_NEWS_ALL      /* nobody's event: all are to be read */
};

struct vm_news {
    struct message message; /* private, as 'virt', 'epoch' and 'next' */
    struct virt *virt;
    uint64_t epoch;
    enum vm_news_kind kind;
    char uuid[UUID_TEXT_SIZE];
    char *name, *device, *path, *text; /* owned, or NULL */
    int event, detail;
    uint64_t number;
    virTypedParameterPtr params; /* owned, or NULL */
    int param_count;
    struct vm *vm;   /* as it was read; owned, or NULL */
    bool gone;       /* libvirt does not know it any more */
    bool any_state;  /* of VM_NEWS_REFRESH: its state too is taken from what is read */
    struct vm **all; /* of VM_NEWS_ALL; owned */
    size_t all_count;
    struct error *error; /* of the reading; owned, or NULL */
    struct vm_news *next;
};

void vm_news_free(struct vm_news *news);
DEFINE_CLEANUP(struct vm_news, vm_news_free)

/* Who else wants to hear of them, once they are told: on the loop.  Borrowed, for ever. */
struct virt_listener {
    void (*told)(void *context, const struct vm_news *news);
    void *context;
    struct virt_listener *next; /* private */
};
void virt_listen(struct virt *virt, struct virt_listener *listener);

/* On the connection's thread: asks for all events of 'connect', as news of 'epoch'. */
bool news_register(struct virt *virt, virConnectPtr connect, uint64_t epoch, struct error **err)
    _must_check_;

/* Loop: puts it in line.  Takes ownership. */
void news_take(struct virt *virt, struct vm_news *news);
/* Loop: all VMs are to be read, before what is in line. */
void news_read_all(struct virt *virt);
/* Loop: that VM is to be read.  Returns a number that its entry's 'refreshed' has reached when that is done. */
uint64_t news_refresh(struct virt *virt, const char *uuid, bool any_state);
/* Loop: the connection has ended: what is in line is of no use. */
void news_drop(struct virt *virt);

#endif
