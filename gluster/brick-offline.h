/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bricks declared to be offline, or not: what is to be done next, whatever state they are found in.
 *
 *                 offline: false      offline: true
 *     absent      refused             done
 *     serving     done                start a removal
 *     removing    cancel it           wait
 *     removed     cancel it           commit it
 *
 * The state is glusterd's alone, so whoever declares goes on where it stands: after a kill, from another
 * host, two at once.  Idea: TiDB Operator's offline store, where "removed" is past all return; glusterd can
 * still cancel then, so a declaration that the bricks stay is never answered by removing them.
 */
#ifndef GLUSTER_BRICK_OFFLINE_H
#define GLUSTER_BRICK_OFFLINE_H

#include "agent/base/error.h"
#include "gluster/operation.h"

enum brick_state {
    BRICKS_ABSENT,
    BRICKS_SERVING,
    BRICKS_REMOVING,
    BRICKS_REMOVED, /* no file is left on them: the removal waits for its commit */
    BRICKS_STUCK    /* the removal has ended, and left files on them */
};

enum brick_move { MOVE_NONE, MOVE_START, MOVE_CANCEL, MOVE_WAIT, MOVE_COMMIT, MOVE_REFUSE };

const char *brick_state_name(enum brick_state state);

/* The table above.  Stuck is cancelled, or refused. */
enum brick_move brick_offline_move(enum brick_state state, bool offline);

/*
 * The state of 'bricks' together.  A removal counts as theirs when it is of none but them.
 * WrongState {state, needs}: something else stands in the way of what is declared (operation, kind), or
 * the state is refused by the table (stuck: the message has each host's failures).
 */
bool brick_offline_look(const struct volume_work *work, char *const *bricks, bool offline,
                        enum brick_state *ret_state, struct error **err) _must_check_;

/* Those of 'bricks' that the volume still has; the array is the caller's, its words are not. */
char **bricks_present(const struct volume *volume, char *const *bricks);

#endif
