/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/removal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool
removal_is(const struct operation *operation)
{
    return operation && operation->kind == OPERATION_REMOVAL;
}

bool
removal_is_of(const struct operation *operation, char *const *bricks)
{
    if (!removal_is(operation) || texts_count(bricks) != texts_count(operation->bricks))
        return false;
    for (; *bricks; bricks++)
        if (!texts_have(operation->bricks, *bricks))
            return false;
    return true;
}

bool
operation_refuse(const struct operation *operation, const char *needs, struct error **err,
                 const char *format, ...)
{
    _cleanup_text_ struct text message = TEXT_INIT;
    va_list arguments;

    va_start(arguments, format);
    text_vprintf(&message, format, arguments);
    va_end(arguments);
    error_set(err, ERROR_WRONG_STATE, "%s", message.bytes);
    error_data_text(err, "state", "%s",
                    operation ? operation_status_name(operation->status) : "idle");
    error_data_text(err, "needs", "%s", needs);
    if (operation) {
        error_data_text(err, "operation", "%s", operation->id);
        error_data_text(err, "kind", "%s", operation_kind_name(operation->kind));
    }
    return false;
}

static bool
check_copies(const struct volume *volume, int64_t replica, bool force, struct error **err)
{
    if (replica == 0 || (uint64_t)replica == volume->replica ||
        (replica == 1 && volume->replica == 0))
        return true;
    if ((uint64_t)replica > volume->replica)
        return error_param(err, "replica",
                           "must not be above the %" PRIu64
                           " that the volume has: bricks are to go",
                           volume->replica ? volume->replica : 1);
    return force || error_param(err, "force",
                                "must be true when 'replica' goes from %" PRIu64 " to %" PRId64
                                ": no file moves, and the bricks are gone at once",
                                volume->replica, replica);
}

bool
volume_check_started(const struct volume *volume, struct error **err)
{
    if (strcmp(volume->state, "started") == 0)
        return true;
    error_set(err, ERROR_WRONG_STATE, "volume '%s' is %s: start it first", volume->name,
              volume->state);
    error_data_text(err, "state", "%s", volume->state);
    return error_data_text(err, "needs", "started");
}

bool
removal_check_begin(const struct volume *volume, const struct operation *operation,
                    char *const *bricks, int64_t replica, bool force, struct error **err)
{
    size_t index;

    for (; *bricks; bricks++)
        if (!volume_brick_require(volume, *bricks, &index, err))
            return false;
    if (!check_copies(volume, replica, force, err))
        return false;
    if (!volume_check_started(volume, err))
        return false;
    if (removal_is(operation))
        return operation_refuse(operation, "no operation on the volume", err,
                                "bricks of volume '%s' are being removed by operation '%s': commit "
                                "or cancel that first",
                                volume->name, operation->id);
    return !operation || !operation_is_under_way(operation) ||
           operation_refuse(operation, "no operation on the volume", err,
                            "volume '%s' is being rebalanced by operation '%s': wait for its end, "
                            "or stop it",
                            volume->name, operation->id);
}

static bool
check_which(const struct operation *operation, char *const *bricks, struct error **err)
{
    if (!removal_is(operation))
        return operation_refuse(NULL, "a removal", err,
                                "no bricks of the volume are being removed");
    return !bricks || removal_is_of(operation, bricks) ||
           operation_refuse(operation, "a removal of these bricks", err,
                            "operation '%s' removes other bricks: volume.operations tells which",
                            operation->id);
}

/* glusterd 10.3 does not hear of the end of a process that it found when it started. */
static bool
lost_sight(const struct operation_host *host)
{
    return host->status == OPERATION_FAILED && !host->figures.failures && !host->figures.skipped;
}

char *
removal_failures(const struct operation *operation)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    for (size_t i = 0; i < operation->host_count; i++) {
        const struct operation_host *host = &operation->hosts[i];

        if (host->status == OPERATION_COMPLETED && !host->figures.failures &&
            !host->figures.skipped)
            continue;
        text_printf(&text, "%s%s: %s, %" PRIu64 " files failed, %" PRIu64 " skipped%s",
                    text.length ? "; " : "", host->host, operation_status_name(host->status),
                    host->figures.failures, host->figures.skipped,
                    lost_sight(host) ? ": its glusterd has lost sight of the work, as one that is "
                                       "restarted meanwhile does"
                                     : "");
    }
    return text_take(&text);
}

bool
removal_check_commit(const struct operation *operation, char *const *bricks, bool force,
                     struct error **err)
{
    _cleanup_free_ char *failures = NULL;

    if (!check_which(operation, bricks, err))
        return false;
    if (force || operation->status == OPERATION_WAITING_FOR_COMMIT)
        return true;
    if (operation_is_under_way(operation))
        return operation_refuse(operation, "waitingForCommit", err,
                                "operation '%s' is %s: files are still on the bricks, and would be "
                                "lost",
                                operation->id, operation_status_name(operation->status));
    failures = removal_failures(operation);
    return operation_refuse(operation, "waitingForCommit", err,
                            "operation '%s' left files on the bricks (%s): cancel it and begin "
                            "again, or give them up with 'force'",
                            operation->id, failures);
}

bool
removal_check_cancel(const struct operation *operation, char *const *bricks, struct error **err)
{
    return check_which(operation, bricks, err);
}

void
removal_arguments(struct arguments *arguments, const char *volume, int64_t replica,
                  char *const *bricks, const char *action)
{
    arguments_add(arguments, "volume");
    arguments_add(arguments, "remove-brick");
    arguments_add(arguments, volume);
    arguments_add_count(arguments, "replica", replica);
    arguments_add_all(arguments, (const char *const *)bricks);
    arguments_add(arguments, action);
}
