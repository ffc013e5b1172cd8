/* SPDX-License-Identifier: Apache-2.0 */
/*
 * release: an image is no disk of a virtual machine any more, says an administrator.  For hosts that are
 * gone for good, and machines that were taken away behind the agent's back.
 */
#include <config.h>

#include <string.h>

#include "storage/image-steps.h"
#include "storage/image-use.h"
#include "storage/storage.h"

struct release_args {
    char *repository, *image, *vm, *host;
};

static bool
is_meant(const struct release_args *args, const struct use_record *use)
{
    return (!args->vm || strcmp(args->vm, use->vm) == 0 ||
            (use->name && strcmp(args->vm, use->name) == 0)) &&
           (!args->host || strcmp(args->host, use->host) == 0);
}

/* What is known to be there is undefined first: its disk would be taken from under it. */
static bool
require_not_there(const struct image *image, const struct image_use *use, struct error **err)
{
    enum use_verdict verdict = image_judge_use(image, use);
    const char *name = use->record.name ? use->record.name : use->record.vm;

    if (verdict != USE_IDLE && verdict != USE_RUNNING)
        return true;
    error_set(err, ERROR_WRONG_STATE,
              "VM '%s' of this host has image '%s' as a disk: undefine it, or take the disk from "
              "it (vm.undefine, vm.detachDisk)",
              name, image->id);
    error_data_text(err, "state", verdict == USE_RUNNING ? "running" : "defined");
    return error_data_text(err, "needs", "undefined");
}

static bool
release_uses(const struct release_args *args, const struct image *image, size_t *ret_count,
             struct error **err)
{
    _cleanup_(image_uses_done) struct image_uses uses = { 0 };

    if (!image_read_uses(image, &uses, err))
        return false;
    for (size_t i = 0; i < uses.count; i++)
        if (is_meant(args, &uses.items[i].record) && !require_not_there(image, &uses.items[i], err))
            return false;
    for (size_t i = 0; i < uses.count; i++) {
        const struct use_record *use = &uses.items[i].record;

        if (!is_meant(args, use))
            continue;
        if (!image_release(image, use->vm, use->host, err))
            return false;
        ++*ret_count;
    }
    return true;
}

static bool
release(struct call *call, size_t *ret_count, struct error **err)
{
    const struct release_args *args = call->args;
    struct image_state *state = call->state;

    if (!args->vm && !args->host)
        return error_param(err, "host", "must be given, or 'vm': whose disk it is no more");
    return image_open_directory(state->repository, args->image, &state->image, err) &&
           release_uses(args, state->image, ret_count, err) &&
           image_tell_status(call, state->repository, args->image, call_result(call), err);
}

static enum outcome
release_run(struct call *call)
{
    _cleanup_(error_freep) struct error *error = NULL;
    size_t count = 0;

    if (!release(call, &count, &error))
        return call_fail(call, TAKE(error));
    return call_complete(call, "%zu record%s", count, count == 1 ? "" : "s");
}

const struct verb image_release_verbs[] = {
    {
        .name = "image.release",
        .summary = "Say that an image is no disk of a virtual machine any more.",
        .description =
            "For a host that is gone for good, or does not come back soon: as long as its record stands, "
            "nobody else changes the image or takes it away.  Make sure that it does not run there.  "
            "Records of this host need no such call: they are judged when they stand in the way.",
        .role = ROLE_ADMIN,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct release_args),
        .params =
            PARAMS(IMAGE_PARAMS(release_args),
                   PARAM(release_args, vm, "vm", .type = PARAM_TEXT, .minimum = 1,
                         .about = "Only records of this virtual machine: its name or UUID."),
                   PARAM(release_args, host, "host", .type = PARAM_TEXT, .minimum = 1,
                         .about = "Only records of this host: its id, as image.status shows it.")),
        .result = &image_status_shape,
        .errors = ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE,
                         ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_BROKEN, ERROR_WRONG_STATE),
        .steps = STEPS({ "find repository", image_find_repository, .pool = POOL_LOOP },
                       { "release", release_run, .pool = POOL_REPOSITORY }),
        .state_size = sizeof(struct image_state),
        .state_done = image_state_done,
        .object = image_name_object,
    },
    { 0 },
};
