/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images as disks of virtual machines: what virt/ needs of them.
 *
 * A verb finds the repository on the loop (repository_find()), and on a worker claims the image: that
 * tells what QEMU is to open, writes the record that the machine needs it (storage/image-use.h), and holds
 * the image's lock until libvirt knows the machine.  Then the claim is kept.  When libvirt knows it no
 * more, or the disk was taken from it, the image is released.  Killed in between, a record is judged by
 * its host; so one that is written too early, or stays too long, does no harm.
 *
 * While a machine runs, it is QEMU's own locks on the data files that keep others away: the agent's lock
 * dies with the agent.  doc/locks.md has the argument.
 */
#ifndef STORAGE_DISK_H
#define STORAGE_DISK_H

#include "storage/image-use.h"
#include "storage/repository-table.h"

/* One file of a disk. */
struct disk_layer {
    char *image; /* id, in the disk's repository; owned */
    char *path;  /* absolute on this host; in a Gluster volume from its root, without a '/' at the
                    beginning; owned */
    enum image_format format;
};

/*
 * What QEMU opens.  All layers go into the domain's XML (<backingStore>, the last one with an empty
 * one below), each with its format: QEMU and libvirt then probe nothing and believe no header.  The path of an
 * image's data changes when its contents do (a snapshot, a merge): it is asked for again before each start.
 */
struct disk_source {
    struct disk_layer *layers; /* owned; [0] is the disk, then what it stands on */
    size_t layer_count;
    uint64_t size;  /* bytes that the machine sees */
    bool immutable; /* can only be a read-only disk */
    char *volume;   /* of a Gluster repository, for a disk of type 'network'; owned; NULL: files */
    char **servers; /* its servers: host names or addresses; NULL-terminated, owned; NULL: files */
};

/* The path of a file in an image's folder, as above; to be freed. */
char *disk_data_path(const struct image *image, const char *data);
void disk_source_done(struct disk_source *source);
/*
 * Worker.  Of an image that is sound; takes no lock and claims nothing.
 * Errors: ImageNotFound, ImageBroken, WrongState (a resize of it was interrupted), RepositoryUnavailable.
 */
bool disk_describe(struct repository *repository, const char *image, struct disk_source *ret_source,
                   struct error **err) _must_check_;

/* ---- claiming, and letting go ---- */

struct disk_user {
    const char *vm;   /* UUID, lower case */
    const char *name; /* at this time, for messages */
    const char *host; /* host id of who defines it: agent->host_id, or of a migration's target */
    bool migrating;   /* the record of the same machine on another host may stand beside */
};

struct disk_claim {
    struct image *image;       /* open and locked; owned */
    struct disk_source source; /* owned */
    struct image_claim record;
};

/*
 * Worker.  'holder' is image_holder()'s.  From then on the image is locked (shared, for USE_READ_ONLY) and
 * says whose disk it is.  '*ret_claim' is the caller's, to keep or to drop.  One of a machine that has the
 * image already renews it.
 * Errors: as disk_describe(), and ImageInUse (a task works on it, or another machine needs it: data holder,
 * vm, host), ImageImmutable, NoSpace.
 */
bool disk_claim(struct repository *repository, const char *image, const struct disk_user *user,
                enum use_access access, const char *holder, struct disk_claim **ret_claim,
                struct error **err) _must_check_;
/* The same of an image that is open, and locked, whatever is in it: its ownership is taken on success. */
bool disk_claim_image(struct image *image, const struct disk_user *user, enum use_access access,
                      struct disk_claim **ret_claim, struct error **err) _must_check_;
/* Worker.  libvirt knows the machine (or it cannot be told whether it does): the record stays, the lock
   goes.  NULL is fine. */
void disk_claim_keep(struct disk_claim *claim);
/* Worker.  libvirt does not know it: what the claim has changed is put back.  What cannot be put back
   now is judged later.  NULL is fine. */
void disk_claim_drop(struct disk_claim *claim);
DEFINE_CLEANUP(struct disk_claim, disk_claim_drop)

/* Worker.  The machine does not need the image any more; no error when it, or its record, is gone. */
bool disk_release(struct repository *repository, const char *image, const char *vm,
                  const char *host, struct error **err) _must_check_;

/* ---- whose file is this? ---- */

/* The connected repositories, as they were on the loop: references. */
struct disk_places {
    struct repository **repositories; /* owned; those that are well */
    size_t count;
};

struct disk_places *disk_places_new(struct storage *storage); /* loop */
/* All of them, well or not: for disk_find_named(). */
struct disk_places *disk_places_new_all(struct storage *storage); /* loop */
void disk_places_free(struct disk_places *places);                /* any thread; NULL is fine */
DEFINE_CLEANUP(struct disk_places, disk_places_free)

/*
 * Worker.  The image that a file is the data of: of a path on this host, or with 'volume' of one in
 * that Gluster volume ('servers' may be NULL: of whatever pool).  False: of none that is connected.
 * '*ret_repository' is borrowed from the places, '*ret_image' is to be freed.
 */
bool disk_find(const struct disk_places *places, const char *volume, char *const *servers,
               const char *path, struct repository **ret_repository, char **ret_image) _must_check_;
/* The same by names alone: no file system is asked, so it never waits for one.  Any thread. */
bool disk_find_named(const struct disk_places *places, const char *volume, const char *path,
                     struct repository **ret_repository, char **ret_image) _must_check_;

/* Who wants to know that repositories have come or gone: called on the loop.  One; borrowed, for ever. */
void disk_watch_places(struct storage *storage, void (*changed)(void *context), void *context);
/* Who knows, on the loop, the name of a machine that runs with a disk in the repository of that name (or
   NULL); with the same context. */
void disk_ask_machines(struct storage *storage,
                       const char *(*machine_in)(void *context, const char *repository));

#endif
