/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uses: which virtual machines an image is a disk of, whether they run or not.
 *
 * A record beside the image says so, durably, from before a machine is defined until after it is
 * undefined: no lock could, for a machine that is shut off holds none.  While one stands, nobody else
 * changes the image or takes it away.  A kill between the two writes leaves a record without its
 * machine.  Only the host that has written a record can tell, so it is judged there, by a function that
 * virt/ gives, when it stands in somebody's way; one of a host that is gone for good is dropped by
 * image.release.  doc/locks.md has the argument.  Worker threads, all of it.
 */
#ifndef STORAGE_IMAGE_USE_H
#define STORAGE_IMAGE_USE_H

#include "agent/base/json-writer.h"
#include "storage/image.h"

struct image_use {
    struct use_record record; /* of one that cannot be read: only 'vm' and 'host' */
    char *fault; /* why it cannot be read: it then counts as a writer's; owned, or NULL */
};

struct image_uses {
    struct image_use *items; /* owned; in no order */
    size_t count;
};

void image_uses_done(struct image_uses *uses);
/* Error: RepositoryUnavailable. */
bool image_read_uses(const struct image *image, struct image_uses *ret_uses, struct error **err)
    _must_check_;
/* Appends [{vm, name, host, since, writable}]; what cannot be read this time is left out. */
void image_write_uses(const struct image *image, struct writer *writer);

/* ---- judging ---- */

/* What is known of the machine of a record of this host. */
enum use_verdict {
    USE_UNKNOWN, /* libvirt is away: the record stays */
    USE_GONE,    /* there is no such machine, or the image is none of its disks */
    USE_IDLE,    /* it is defined, and does not run */
    USE_RUNNING  /* or is paused, saved or migrating: its QEMU may have the image open */
};

struct use_judge {
    /* On a worker, with the image's lock held or not; may ask libvirt, and answers UNKNOWN rather
       than late.  A machine that is just being defined is never asked about: see image_claim(). */
    enum use_verdict (*judge)(void *context, const struct image *image,
                              const struct use_record *use);
    void *context;
};

/* At the start, before there are workers: the id of this host, and who judges ('judge' stays the
   caller's; NULL: nobody, all is unknown). */
void image_use_open(const char *host);
void image_use_set_judge(const struct use_judge *judge);
/* UNKNOWN for one of another host. */
enum use_verdict image_judge_use(const struct image *image, const struct image_use *use);

/* ---- who may change it ---- */

/*
 * ImageInUse (data: holder, vm, host) while a machine other than 'vm' (or NULL; this host's) needs the image;
 * 'instead' says what to do, as the end of a sentence ("take it with vm.snapshot").  Records of this
 * host whose machine is gone are dropped, if nothing else is in the way.  The image's lock must be held
 * exclusively: so nobody adds one meanwhile.
 */
bool image_require_unused(const struct image *image, const char *vm, const char *instead,
                          struct error **err) _must_check_;
/*
 * Where QEMU's own locks tell nothing (a Gluster volume), a machine that may write to the image must not be
 * running while it is read: ImageInUse unless the judge says so.  Elsewhere nothing is asked.
 */
bool image_require_quiet(const struct image *image, struct error **err) _must_check_;
/* No program of QEMU has any of its data files open; see storage/qemu-lock.h. */
bool image_require_closed(const struct image *image, const atomic_bool *abort, struct error **err)
    _must_check_;

/* ---- whose disk it is ---- */

enum use_access { USE_READ_ONLY, USE_WRITABLE, USE_SHAREABLE };

/* For storage/disk.h.  What a claim has changed. */
struct image_claim {
    struct use_record record; /* as it stands now */
    struct use_record before; /* what it has replaced, if any */
    bool was_there;           /* it has */
};

void image_claim_done(struct image_claim *claim);
/*
 * Makes the record of 'use' durable, if the uses that stand allow it (as above, those whose machine is
 * gone are dropped).  'migrating': the same machine's record of another host may stand beside.  The
 * image's lock must be held, exclusively unless it is for reading, until the machine is defined: so nobody
 * judges the record before that.  Errors: ImageInUse, NoSpace.
 */
bool image_claim(const struct image *image, const struct use_record *use, bool migrating,
                 struct image_claim *ret_claim, struct error **err) _must_check_;
/* Puts back what stood before. */
bool image_unclaim(const struct image *image, const struct image_claim *claim, struct error **err)
    _must_check_;
/* Drops the record of that machine and host, if there is one.  No lock is needed: it only gives way. */
bool image_release(const struct image *image, const char *vm, const char *host, struct error **err)
    _must_check_;
/* Whether there are records of this host whose machine is gone, or what an interrupted write of one has
   left; and drops them (the lock must be held exclusively). */
bool image_has_stale_uses(const struct image *image);
bool image_drop_stale_uses(const struct image *image, struct error **err) _must_check_;
bool image_has_use_left_over(const struct image *image);
bool image_drop_use_left_overs(const struct image *image, struct error **err) _must_check_;
/* Whether there are any, without asking whether their machines are there. */
bool image_has_uses(const struct image *image);
/* Whether anybody's record stands that is not known to be of a machine that is gone. */
bool image_is_used(const struct image *image);

#endif
