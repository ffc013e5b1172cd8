/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/brick-spare.h"

#include <inttypes.h>
#include <string.h>

#include "gluster/command.h"
#include "gluster/volume-layout.h"

/* Of bricks 'first' to 'end' those that are not known to be online, but 'spared': as JSON, and as words. */
static bool
find_missing(const struct volume_status *status, size_t first, size_t end, size_t spared,
             struct writer *json, struct text *words)
{
    writer_array(json);
    for (size_t i = first; i < end && i < status->volume->brick_count; i++) {
        const char *name = status->volume->bricks[i].name;

        if (i == spared || status->bricks[i].online == ONLINE_YES)
            continue;
        writer_string(json, name);
        text_printf(words, "%s'%s'", words->length ? ", " : "", name);
    }
    writer_end_array(json);
    return words->length > 0;
}

bool
brick_spare_check_online(const struct volume_status *status, size_t index, struct error **err)
{
    size_t size = volume_set_size(status->volume), first = index / size * size;
    const char *name = status->volume->bricks[index].name;
    _cleanup_writer_ struct writer json = WRITER_INIT;
    _cleanup_text_ struct text words = TEXT_INIT;

    if (!find_missing(status, first, first + size, index, &json, &words))
        return true;
    error_set(err, ERROR_WRONG_STATE,
              "'%s' cannot be spared while others of its set are not online (%s): start them with "
              "volume.start and 'force', or pass 'force' here and lose what is on '%s' alone",
              name, words.bytes, name);
    error_data_text(err, "state", "copies offline");
    error_data_text(err, "needs", "the other bricks of its set online, or force");
    return error_data_json(err, "bricks", json.text.bytes);
}

bool
bricks_check_online(const struct volume_status *status, struct error **err)
{
    size_t count = status->volume->brick_count;
    _cleanup_writer_ struct writer json = WRITER_INIT;
    _cleanup_text_ struct text words = TEXT_INIT;

    if (!find_missing(status, 0, count, count, &json, &words))
        return true;
    error_set(err, ERROR_WRONG_STATE,
              "new replicas are made of all that are there, and some are not online (%s): start "
              "them with volume.start and 'force'",
              words.bytes);
    error_data_text(err, "state", "bricks down");
    error_data_text(err, "needs", "all bricks online");
    return error_data_json(err, "bricks", json.text.bytes);
}

bool
brick_spare_check_healed(const struct heal_info *info, const char *name, struct error **err)
{
    bool looked = false;

    for (size_t i = 0; i < info->count; i++) {
        if (strcmp(info->bricks[i].name, name) != 0 || !info->bricks[i].connected)
            continue;
        looked = true;
        if (info->bricks[i].entries == 0)
            continue;
        error_set(err, ERROR_WRONG_STATE,
                  "'%s' cannot be spared: %" PRIu64 " of its entries are still to be healed to the "
                  "others; wait until volume.healInfo tells none, or pass 'force' and lose them",
                  name, info->bricks[i].entries);
        error_data_text(err, "state", "healing");
        error_data_text(err, "needs", "nothing to be healed from the brick, or force");
        return error_data_number(err, "entries", (int64_t)info->bricks[i].entries);
    }
    if (looked)
        return true;
    error_set(
        err, ERROR_WRONG_STATE,
        "'%s' cannot be spared: it is online and does not tell what is still to be healed from "
        "it; try again, or pass 'force'",
        name);
    error_data_text(err, "state", "unknown");
    return error_data_text(err, "needs", "nothing to be healed from the brick, or force");
}

bool
brick_spare_check_copies(const struct volume *volume, struct error **err)
{
    if (volume_set_size(volume) > 1)
        return true;
    error_set(
        err, ERROR_WRONG_STATE,
        "volume '%s' has one copy of each file: add a brick and remove the other, which moves "
        "its files",
        volume->name);
    error_data_text(err, "state", "without copies");
    return error_data_text(err, "needs", "a replicated or dispersed volume");
}

/* How the one volume of 'volumes', which is taken, is doing. */
static bool
ask_status(struct volumes *volumes, const atomic_bool *abort, struct statuses *ret_statuses,
           struct error **err)
{
    const char *name = volumes->all[0].name;
    const struct gluster_command command = { .arguments =
                                                 GLUSTER_ARGUMENTS("volume", "status", name),
                                             .kind = "volume",
                                             .id = name,
                                             .abort = abort };
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    if (!gluster_command_run(&command, &document, err))
        return false;
    statuses_begin(ret_statuses, volumes);
    return statuses_read(ret_statuses, document, err);
}

bool
brick_spare_check(struct volumes *volumes, size_t index, const atomic_bool *abort,
                  struct error **err)
{
    _cleanup_statuses_ struct statuses statuses = { 0 };
    _cleanup_heal_info_ struct heal_info info = { 0 };
    const struct volume_status *status;

    if (!brick_spare_check_copies(&volumes->all[0], err) ||
        !ask_status(volumes, abort, &statuses, err))
        return false;
    status = &statuses.all[0];
    if (!brick_spare_check_online(status, index, err))
        return false;
    if (status->bricks[index].online != ONLINE_YES)
        return true;
    return heal_info_ask(status->volume, abort, &info, err) &&
           brick_spare_check_healed(&info, status->volume->bricks[index].name, err);
}

bool
bricks_ask_online(struct volumes *volumes, const atomic_bool *abort, struct error **err)
{
    _cleanup_statuses_ struct statuses statuses = { 0 };

    return ask_status(volumes, abort, &statuses, err) && bricks_check_online(&statuses.all[0], err);
}
