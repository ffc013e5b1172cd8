/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that a guest has been asked to let go of.
 *
 * A running VM's device is taken out by its guest, at its leisure, or never: libvirt tells when it has (or, of
 * few guests, that it will not).  So who asks waits for that with a limit.  What comes after the limit is
 * still heard here: then the image's record that the VM needs it goes.  That it needs it no more can
 * be told at any time (virt/places.h), so an agent that was killed meanwhile loses nothing: the
 * record is judged when it is in somebody's way.
 */
#ifndef VIRT_UNPLUG_H
#define VIRT_UNPLUG_H

#include <stdatomic.h>

#include "agent/base/name.h"

struct virt;

struct unplug {
    struct virt *virt;
    char uuid[UUID_TEXT_SIZE];
    char *alias;              /* libvirt's name of the device; owned */
    char *repository, *image; /* of a disk that is one; owned, or NULL */
    atomic_bool refused;      /* the guest has said that it will not; any thread */
    bool late;                /* nobody waits any more */
    struct unplug *next;
};

/* Loop only, all of it. */

/* Begins to listen, once. */
void unplug_open(struct virt *virt);
/* From now on heard.  Until unplug_end() it is the caller's. */
struct unplug *unplug_begin(struct virt *virt, const char *uuid, const char *alias);
/* 'late': the guest may yet let go of it, and what it is ('repository' and 'image', or NULL) is then no more needed. */
void unplug_end(struct unplug *unplug, bool late, const char *repository, const char *image);

#endif
