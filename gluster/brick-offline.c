/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/brick-offline.h"

#include <string.h>

#include "gluster/removal.h"

static const char *const state_names[] = { [BRICKS_ABSENT] = "absent",
                                           [BRICKS_SERVING] = "serving",
                                           [BRICKS_REMOVING] = "removing",
                                           [BRICKS_REMOVED] = "removed",
                                           [BRICKS_STUCK] = "failed" };

static const enum brick_move moves[][2] = {
    [BRICKS_ABSENT] = { MOVE_REFUSE, MOVE_NONE },   [BRICKS_SERVING] = { MOVE_NONE, MOVE_START },
    [BRICKS_REMOVING] = { MOVE_CANCEL, MOVE_WAIT }, [BRICKS_REMOVED] = { MOVE_CANCEL, MOVE_COMMIT },
    [BRICKS_STUCK] = { MOVE_CANCEL, MOVE_REFUSE },
};

const char *
brick_state_name(enum brick_state state)
{
    return state_names[state];
}

enum brick_move
brick_offline_move(enum brick_state state, bool offline)
{
    return moves[state][offline];
}

char **
bricks_present(const struct volume *volume, char *const *bricks)
{
    char **present = xalloc((texts_count(bricks) + 1) * sizeof(present[0]));
    size_t count = 0;

    for (; *bricks; bricks++)
        if (volume_brick_find(volume, *bricks) >= 0)
            present[count++] = *bricks;
    return present;
}

static const char *
find_absent(const struct volume *volume, char *const *bricks)
{
    for (; *bricks; bricks++)
        if (volume_brick_find(volume, *bricks) < 0)
            return *bricks;
    return NULL;
}

static size_t
count_common(char *const *some, char *const *others)
{
    size_t count = 0;

    for (; *some; some++)
        count += texts_have(others, *some);
    return count;
}

static enum brick_state
state_of(const struct operation *removal)
{
    if (operation_is_under_way(removal))
        return BRICKS_REMOVING;
    return removal->status == OPERATION_WAITING_FOR_COMMIT ? BRICKS_REMOVED : BRICKS_STUCK;
}

static bool
refuse_absent(const char *brick, struct error **err)
{
    error_set(err, ERROR_WRONG_STATE,
              "brick '%s' is no part of the volume, and glusterd cannot bring it back: brick.add "
              "takes it as a new one",
              brick);
    error_data_text(err, "state", "%s", state_names[BRICKS_ABSENT]);
    return error_data_text(err, "needs", "serving, removing or removed");
}

static bool
refuse_other(const struct operation *operation, struct error **err)
{
    return operation_refuse(
        operation, "no other operation on the volume", err,
        removal_is(operation)
            ? "operation '%s' removes other bricks: commit or cancel it first"
            : "operation '%s' rebalances the volume: wait for its end, or stop it",
        operation->id);
}

static bool
refuse_stuck(const struct operation *removal, struct error **err)
{
    _cleanup_free_ char *failures = removal_failures(removal);

    return operation_refuse(removal, "waitingForCommit", err,
                            "operation '%s' left files on the bricks (%s): cancel it by declaring "
                            "them online, or give the files up by brick.commit with 'force'",
                            removal->id, failures);
}

/* The removal under way is of none but 'bricks'. */
static bool
look_at_removal(const struct operation *removal, char *const *present, bool offline,
                enum brick_state *ret_state, struct error **err)
{
    /* Some would begin only after this one's end; who wants that declares them in two calls. */
    if (offline && texts_count(removal->bricks) < texts_count(present))
        return operation_refuse(
            removal, "a removal of all these bricks", err,
            "operation '%s' removes some of these bricks only: commit or cancel "
            "it first",
            removal->id);
    *ret_state = state_of(removal);
    return brick_offline_move(*ret_state, offline) != MOVE_REFUSE || refuse_stuck(removal, err);
}

bool
brick_offline_look(const struct volume_work *work, char *const *bricks, bool offline,
                   enum brick_state *ret_state, struct error **err)
{
    _cleanup_free_ char **present = bricks_present(work->volume, bricks);
    const struct operation *operation = work->operation;
    const char *absent = find_absent(work->volume, bricks);

    if (*present && !volume_check_started(work->volume, err))
        return false;
    if (removal_is(operation) && operation->bricks) {
        size_t common = count_common(operation->bricks, bricks);

        if (common == texts_count(operation->bricks))
            return look_at_removal(operation, present, offline, ret_state, err);
        if (common > 0)
            return refuse_other(operation, err);
    }
    if (!offline && absent)
        return refuse_absent(absent, err);
    *ret_state = *present ? BRICKS_SERVING : BRICKS_ABSENT;
    if (offline && *present && operation &&
        (removal_is(operation) || operation_is_under_way(operation)))
        return refuse_other(operation, err);
    return true;
}
