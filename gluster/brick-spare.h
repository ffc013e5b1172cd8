/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a brick can be spared: the rest of its set has all that it has.
 *
 * glusterd 10.3 replaces the last good copy without a word, and what was on it is gone for the volume.  So replacing
 * and resetting look first: all other bricks of the set are online, and the brick has nothing that they lack.
 */
#ifndef GLUSTER_BRICK_SPARE_H
#define GLUSTER_BRICK_SPARE_H

#include <stdatomic.h>

#include "agent/base/error.h"
#include "gluster/heal.h"
#include "gluster/status.h"

/* WrongState {state, needs, bricks} when another brick of its set is not known to be online. */
bool brick_spare_check_online(const struct volume_status *status, size_t index, struct error **err)
    _must_check_;

/* WrongState {state, needs, bricks} when any brick of the volume is not known to be online. */
bool bricks_check_online(const struct volume_status *status, struct error **err) _must_check_;

/* WrongState {state, needs} when brick 'name' lists anything that is to be healed from it. */
bool brick_spare_check_healed(const struct heal_info *info, const char *name, struct error **err)
    _must_check_;

/* WrongState {state, needs} when the volume has one copy of each file. */
bool brick_spare_check_copies(const struct volume *volume, struct error **err) _must_check_;

/* Asks, and judges by all three; what is to be healed only of a brick that is online: else there is nothing to be had
   from it.  'volumes' has the one, and is taken.  Worker. */
bool brick_spare_check(struct volumes *volumes, size_t index, const atomic_bool *abort,
                       struct error **err) _must_check_;
/* Asks, and judges by bricks_check_online().  'volumes' has the one, and is taken.  Worker. */
bool bricks_ask_online(struct volumes *volumes, const atomic_bool *abort, struct error **err)
    _must_check_;

#endif
