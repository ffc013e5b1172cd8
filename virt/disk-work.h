/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the steps share that change the data of a VM's disks: vm.snapshot, vm.mergeDisk, vm.moveDisk.
 *
 * Each begins by finding which image the disk is, and by settling it: a kill may have left its record behind
 * what QEMU has open (storage/disk-live.h).  The state of each verb begins with a struct disk_work.
 */
#ifndef VIRT_DISK_WORK_H
#define VIRT_DISK_WORK_H

#include "storage/disk-live.h"
#include "virt/disk-chain.h"
#include "virt/vm-steps.h"

struct disk_work {
    struct vm_use use;
    struct disk_places *places; /* owned */
    char *holder;               /* image_holder()'s; owned */
    char *name;                 /* of the VM; owned */
    bool running;               /* or paused: it has a QEMU */
    bool persistent;
    bool went_over; /* settling has found that QEMU had, and recorded it */
};

/* POOL_LOOP: as vm_find(). */
enum outcome disk_work_find(struct call *call);
#define DISK_WORK_FIND_STEP                                                                        \
    {                                                                                              \
        "find VM", disk_work_find, .pool = POOL_LOOP                                               \
    }
/* Last of those that end on the loop: so what the state holds is given back on a worker. */
enum outcome disk_work_end(struct call *call);
#define DISK_WORK_END_STEP                                                                         \
    {                                                                                              \
        "let go", disk_work_end, .pool = POOL_VIRT, .when = ALWAYS                                 \
    }
/* For .state_done. */
void disk_work_done(struct call *call);

/* Worker, all that follow.  What libvirt says of it now, and whether it runs. */
bool disk_work_read(struct call *call, struct xml_document **ret_document, struct error **err)
    _must_check_;
/* On its behalf. */
struct image_wish disk_work_wish(struct call *call);

/*
 * A disk and the image that it is, settled.  '*ret_repository' is borrowed from the places, '*ret_image' is to be
 * freed, '*ret_chain' is the caller's.
 * Errors: NotFound {kind "disk"}, WrongState (no image of a repository; it has saved memory), and those of
 * disk_settle().
 */
bool disk_work_open(struct call *call, const struct xml_document *document, const char *disk,
                    struct disk_chain *ret_chain, struct repository **ret_repository,
                    char **ret_image, struct error **err) _must_check_;
/* 'image' becomes the one that took it, where QEMU has gone over to a base by that one's own name. */
bool disk_work_follow_merge(struct repository *repository, char **image, struct error **err)
    _must_check_;
/* The same of one that is known already: only settles it. */
bool disk_work_settle(struct call *call, const struct disk_chain *chain,
                      struct repository *repository, const char *image, enum disk_found *ret_found,
                      struct error **err) _must_check_;
/* What QEMU has for it now; the VM may have stopped.  NotFound when it has no such disk any more. */
bool disk_work_look(struct call *call, const char *disk, struct disk_chain *ret_chain,
                    struct error **err) _must_check_;
/* All paths that the VM has for the disk, now and at its next start: files that may not be taken away.
   NULL-terminated, strings_free()'s. */
bool disk_work_paths(struct call *call, const char *disk, char ***ret_paths, struct error **err)
    _must_check_;

/* Of a VM that is off: has libvirt know the files that the image is now (virt/disk-redefine.c). */
bool disk_work_redefine(struct call *call, const char *disk, struct repository *repository,
                        const char *image, struct error **err) _must_check_;

/*
 * POOL_VIRT, after disk_work_find(): before a VM that is off is started, the files that it knows are held against
 * what its images are now, where that is to be done (virt/vm-settle-verbs.c).  What cannot be, the start tells.
 */
enum outcome disk_work_renew(struct call *call);

/* Whether its record is behind what the VM has, as far as can be told without a lock. */
bool disk_work_is_unsettled(const struct disk_places *places, const struct disk_chain *chain,
                            bool running);

/*
 * A note in the domain's <metadata>, from before a job begins until it has ended: so an agent that has just
 * started knows what it finds.  libvirt keeps it as long as the VM; one of a persistent VM also when it stops.
 */
struct disk_note {
    char *kind; /* merge, move; owned, as all */
    char *disk;
    char *repository, *image; /* of a move: the target */
    char *source_repository, *source_image;
    uint64_t source_created; /* its creation, wall clock, ns; 0: not noted */
    bool keep_source;
};

void disk_note_done(struct disk_note *note);
bool disk_note_write(virDomainPtr domain, const struct disk_note *note, struct error **err)
    _must_check_;
void disk_note_remove(virDomainPtr domain, const char *disk);
/* Of a domain's description: that of the disk; false: there is none. */
bool disk_note_read(const struct xml_node *domain, const char *disk, struct disk_note *ret_note);

/* {vm, disk, repository, image}. */
extern const struct shape vm_disk_work_shape;

#endif
