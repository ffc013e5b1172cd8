/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of volumes, as glusterd describes them.
 *
 * glusterd takes them by thin LVM: each brick's logical volume gets a snapshot of its own, and these
 * together are a volume that is started (activated) to be read or cloned.  Every name is the pool's: two
 * volumes cannot have snapshots of one name.
 */
#ifndef GLUSTER_SNAPSHOT_H
#define GLUSTER_SNAPSHOT_H

#include "agent/base/error.h"
#include "gluster/question.h"
#include "agent/base/xml.h"

/* The rest is told of the bricks of an activated snapshot only. */
struct volume_snapshot_brick {
    char *name; /* "HOST:/PATH"; owned */
    bool online;
    uint64_t pid;        /* 0: unknown */
    char *volume_group;  /* owned, or NULL */
    double data_percent; /* of the logical volume's size; NaN: unknown */
    uint64_t size;       /* bytes of the logical volume; 0: unknown */
};

struct volume_snapshot {
    char *name, *uuid, *description; /* owned; a description may be "" */
    char *volume;                    /* whose it is; owned */
    int64_t created_ns;              /* by the wall clock, to the second; 0: unknown */
    bool active;
    uint64_t remaining; /* how many more glusterd lets the volume have */
    struct volume_snapshot_brick *bricks;
    size_t brick_count; /* 0 also where glusterd did not tell */
};

struct volume_snapshots {
    struct volume_snapshot *all; /* owned */
    size_t count;
};

/* Asks for those of a volume, or for all ('volume' NULL); without their bricks unless 'bricks'.  NotFound when
   there is no such volume.  Worker. */
bool volume_snapshots_ask(const char *volume, bool bricks, const atomic_bool *abort,
                          struct volume_snapshots *ret_snapshots, struct error **err) _must_check_;
/* What answers to "snapshot info [volume NAME]" and to "snapshot status" (or NULL) say.  Any thread. */
bool volume_snapshots_read(const struct xml_document *info, const struct xml_document *status,
                           struct volume_snapshots *ret_snapshots, struct error **err) _must_check_;
void volume_snapshots_done(struct volume_snapshots *snapshots);
#define _cleanup_snapshots_ _cleanup_(volume_snapshots_done)

/* The object of volume.snapshots. */
void volume_snapshot_write(const struct volume_snapshot *snapshot, struct writer *writer);

/* Item: a snapshot. */
extern const struct gluster_question snapshot_question;

/* What glusterd allows as a name of a snapshot, or of a clone, which is less than of anything else; and not
   "all" and "volume", which its command line takes for other things.  InvalidParams. */
bool volume_snapshot_name_check(const char *param, const char *name, struct error **err)
    _must_check_;

#endif
