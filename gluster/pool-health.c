/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/pool-health.h"

#include <inttypes.h>
#include <string.h>

#include "gluster/command.h"

#define RETRY_AFTER_MS 2000

char *
pool_peers_problem(const struct peers *peers)
{
    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *peer = &peers->all[i];

        if (!peer->connected)
            return xprintf("peer '%s' is not connected", peer->host);
        if (!peer_is_well(peer))
            return xprintf("peer '%s' is in state '%s'", peer->host, peer->state);
    }
    return NULL;
}

static char *
bricks_problem(const struct volume_status *status)
{
    const struct volume *volume = status->volume;

    for (uint64_t i = 0; i < volume->brick_count; i++)
        if (status->bricks[i].online != ONLINE_YES)
            return xprintf("brick '%s' of volume '%s' is not online", volume->bricks[i].name,
                           volume->name);
    for (size_t i = 0; i < status->task_count; i++)
        if (strcmp(status->tasks[i].state, "in-progress") == 0)
            return xprintf("volume '%s' has a %s in progress", volume->name, status->tasks[i].kind);
    return NULL;
}

char *
pool_status_problem(const struct statuses *statuses)
{
    for (size_t i = 0; i < statuses->volumes.count; i++) {
        const struct volume_status *status = &statuses->all[i];
        char *problem =
            strcmp(status->volume->state, "started") == 0 ? bricks_problem(status) : NULL;

        if (problem)
            return problem;
    }
    return NULL;
}

/* glusterd leaves out a volume that another transaction holds, and says that all is well. */
static bool
check_told(const struct statuses *statuses, struct error **err)
{
    for (size_t i = 0; i < statuses->volumes.count; i++) {
        const struct volume *volume = &statuses->volumes.all[i];

        if (statuses->all[i].told || strcmp(volume->state, "started") != 0)
            continue;
        error_set(err, ERROR_BUSY,
                  "glusterd does not tell how volume '%s' is doing: it is busy with it",
                  volume->name);
        error_data_text(err, "backend", "gluster");
        return error_data_number(err, "retryAfterMs", RETRY_AFTER_MS);
    }
    return true;
}

char *
pool_heal_problem(const struct volume *volume, const struct heal_info *info)
{
    bool complete;
    uint64_t total = heal_info_total(info, volume, &complete);

    if (!complete)
        return xprintf("not every brick of volume '%s' tells what it has to heal", volume->name);
    if (total)
        return xprintf("volume '%s' has %" PRIu64 " %s to heal", volume->name, total,
                       total == 1 ? "entry" : "entries");
    return NULL;
}

/* The daemon's count first, for it is fast however much there is.  Where there is no daemon, or it has no
   time, glfsheal alone has to do. */
static bool
ask_heal(const struct volume *volume, const atomic_bool *abort, char **ret_problem,
         struct error **err)
{
    _cleanup_heal_info_ struct heal_info rough = { 0 }, exact = { 0 };
    _cleanup_(error_freep) struct error *error = NULL;

    if (volume->replica && heal_info_ask_fast(volume, abort, &rough, &error)) {
        *ret_problem = pool_heal_problem(volume, &rough);
        if (*ret_problem)
            return true;
    }
    if (!heal_info_ask(volume, abort, &exact, err))
        return false;
    *ret_problem = pool_heal_problem(volume, &exact);
    return true;
}

static bool
ask_volumes(const atomic_bool *abort, char **ret_problem, struct error **err)
{
    const struct gluster_command command = { .arguments =
                                                 GLUSTER_ARGUMENTS("volume", "status", "all"),
                                             .abort = abort };
    _cleanup_volumes_ struct volumes volumes = { 0 };
    _cleanup_statuses_ struct statuses statuses = { 0 };
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    if (!volumes_ask(NULL, abort, &volumes, err))
        return false;
    statuses_begin(&statuses, &volumes);
    if (statuses.volumes.count == 0)
        return true;
    if (!gluster_command_run(&command, &document, err) ||
        !statuses_read(&statuses, document, err) || !check_told(&statuses, err))
        return false;
    *ret_problem = pool_status_problem(&statuses);
    for (size_t i = 0; !*ret_problem && i < statuses.volumes.count; i++) {
        const struct volume *volume = &statuses.volumes.all[i];

        if (strcmp(volume->state, "started") == 0 && (volume->replica || volume->disperse) &&
            !ask_heal(volume, abort, ret_problem, err))
            return false;
    }
    return true;
}

bool
pool_health_ask(const atomic_bool *abort, char **ret_problem, struct error **err)
{
    _cleanup_peers_ struct peers peers = { 0 };

    *ret_problem = NULL;
    if (!peers_ask(abort, &peers, err))
        return false;
    *ret_problem = pool_peers_problem(&peers);
    return *ret_problem || ask_volumes(abort, ret_problem, err);
}
