/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a disk of a virtual machine is now: the files that QEMU has open for it, as libvirt tells them, and which
 * image of which repository that is.
 */
#ifndef VIRT_DISK_CHAIN_H
#define VIRT_DISK_CHAIN_H

#include "agent/base/xml.h"
#include "storage/disk.h"

struct disk_file {
    char *path;   /* absolute, or in its volume, from the root without a '/'; owned */
    char *volume; /* of Gluster; owned; NULL: of this host */
    char *format; /* owned, or NULL */
    char *index;  /* libvirt's: "vda[1]" is that file; owned, or NULL */
};

struct disk_chain {
    char *target;            /* "vda"; owned */
    struct disk_file *files; /* owned; [0] is what the guest writes to, then what that stands on */
    size_t count;
    char *job;              /* copy, active-commit, ...: what is under way; owned; NULL: nothing */
    struct disk_file other; /* where to; path NULL: nothing is under way */
    bool ready;             /* and it can be concluded */
    bool writable;          /* a disk that the guest may write to */
};

void disk_chain_done(struct disk_chain *chain);
/* Whether the guest writes to that file: the same path in another volume is another file. */
bool disk_chain_is_at(const struct disk_chain *chain, const struct disk_file *file);
/* Of 'node', a <disk>.  One without a medium has no files. */
void disk_chain_read(const struct xml_node *node, struct disk_chain *ret_chain);
/* The disk of that target, alias or serial, in a domain's description, as vm_disk_find(); NULL: there is none. */
const struct xml_node *disk_node_find(const struct xml_node *domain, const char *name);
/* NotFound {kind "disk", id}. */
bool disk_chain_find(const struct xml_node *domain, const char *vm, const char *name,
                     struct disk_chain *ret_chain, struct error **err) _must_check_;

/*
 * The image that the guest writes to.  '*ret_repository' is borrowed from the places, '*ret_image' is to be freed.
 * WrongState: it is none of a connected repository.  Worker.
 */
bool disk_chain_image(const struct disk_chain *chain, const struct disk_places *places,
                      struct repository **ret_repository, char **ret_image, struct error **err)
    _must_check_;

/* <disk> with what it is to go over to, for a snapshot or a copy: type, format, source.  'servers': as in struct
   disk_source. */
void disk_xml_file(struct xml_writer *writer, const struct disk_file *file, char *const *servers);

#endif
