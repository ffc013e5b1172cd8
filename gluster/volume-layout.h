/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a volume is to be made of, checked for sense before glusterd sees it.  Pure: nothing is asked.
 *
 * glusterd 10.3 says "Failed to create volume files" for a wrong number of bricks, and makes a brick
 * within another when forced to.  So what can be told from the call alone is refused here, by the
 * name of the parameter that is wrong and with what would be right; glusterd judges the rest.
 */
#ifndef GLUSTER_VOLUME_LAYOUT_H
#define GLUSTER_VOLUME_LAYOUT_H

#include <stdint.h>

#include "agent/base/error.h"

struct volume;

/* As the parameters of volume.create; a count of 0 was not said. */
struct volume_layout {
    int64_t replica;    /* bricks of a set, arbiter included */
    int64_t arbiter;    /* of them */
    int64_t disperse;   /* bricks of a set, redundancy included */
    int64_t redundancy; /* of them */
    char *const *bricks;
    size_t brick_count; /* set by the check */
    bool force;
};

/*
 * Counts that were left out are filled in: 'disperse' beside 'redundancy' alone is all bricks, 'redundancy' beside
 * 'disperse' the largest that leaves a power of two for data, else 1, which are gluster's own rules; a 'replica' of 2
 * with an arbiter is 3, as gluster has it too.
 * Error: InvalidParams {param, reason}.
 */
bool volume_layout_check(struct volume_layout *layout, struct error **err) _must_check_;

/* What glusterd's own command line would ask about before it goes on: a warning (static text), or NULL. */
const char *volume_layout_advice(const struct volume_layout *layout);

/*
 * Bricks to be added to 'volume': 'replica' and 'arbiter' are those of its sets from now on, or 0.
 * '*layout' gets the sets that the volume will have.
 * Errors: InvalidParams; AlreadyExists {kind: brick, id} when the volume has one of them.
 */
bool volume_layout_check_added(struct volume_layout *layout, const struct volume *volume,
                               struct error **err) _must_check_;

/* A volume's name as glusterd takes it, which is narrower than ids are. */
bool volume_name_check(const char *name, struct error **err) _must_check_;

/* How many bricks a set has: 1 without copies and redundancy. */
uint64_t volume_set_size(const struct volume *volume);

#endif
