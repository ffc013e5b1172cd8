/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/operation-heal.h"

#include "gluster/heal.h"

static void
append(const struct volume *volume, uint64_t remaining, bool complete,
       struct operations *operations)
{
    operations->all =
        xrealloc(operations->all, (operations->count + 1) * sizeof(operations->all[0]));
    operations->all[operations->count++] = (struct operation){
        .id = xprintf("heal-%s", volume->name),
        .volume = xstrdup(volume->name),
        .kind = OPERATION_HEAL,
        .status = complete ? OPERATION_RUNNING : OPERATION_PENDING,
        .has_remaining = true,
        .remaining = remaining,
    };
}

/* Volumes that cannot be healed, and those that do not tell now, have no heal. */
static bool
count(const struct volume *volume, struct operations *operations, struct error **err)
{
    _cleanup_heal_info_ struct heal_info info = { 0 };
    uint64_t remaining;
    bool complete;

    if (!heal_check(volume, err) || !heal_info_ask(volume, NULL, &info, err)) {
        if ((*err)->code == ERROR_BACKEND_UNAVAILABLE)
            return false;
        error_free(TAKE(*err));
        return true;
    }
    remaining = heal_info_total(&info, volume, &complete);
    if (remaining)
        append(volume, remaining, complete, operations);
    return true;
}

static bool
ask_heals(const char *subject, struct gluster_items *ret_items, struct error **err)
{
    _cleanup_operations_ struct operations operations = { 0 };
    _cleanup_volumes_ struct volumes volumes = { 0 };

    if (!volumes_ask(subject, NULL, &volumes, err))
        return false;
    for (size_t i = 0; i < volumes.count; i++)
        if (!count(&volumes.all[i], &operations, err))
            return false;
    operations_add_items(&operations, ret_items);
    return true;
}

const struct gluster_question heal_work_question = {
    .name = "heals",
    .member = "operations",
    .ask = ask_heals,
    .slow = true,
};
