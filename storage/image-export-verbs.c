/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export: an image's visible contents as a file of this host, which appears whole or not at all.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/copy.h"
#include "storage/endpoint.h"
#include "storage/image-data.h"
#include "storage/storage.h"
#include "storage/transfer.h"

struct export_args {
    char *repository, *image;
    char *path;
    const char *format;
};

struct export_state {
    struct image_state common;
    struct folder *folder;  /* where the file is to be; owned, or NULL */
    char *name, *temporary; /* in that folder; owned */
    enum image_format format;
};

static void
export_done(struct call *call)
{
    struct export_state *state = call->state;

    folder_close(TAKE(state->folder));
    free(TAKE(state->name));
    free(TAKE(state->temporary));
    image_state_done(call);
}

static bool
open_folder(struct call *call, struct error **err)
{
    const struct export_args *args = call->args;
    struct export_state *state = call->state;
    const char *slash = strrchr(args->path, '/');
    _cleanup_free_ char *folder =
        slash == args->path ? xstrdup("/") : xstrndup(args->path, (size_t)(slash - args->path));
    char uuid[UUID_TEXT_SIZE];
    struct stat status;

    if (!slash[1])
        return error_param(err, "path", "must name a file, not a directory");
    if (!folder_open_path(folder, &state->folder))
        return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot open the folder '%s'", folder);
    state->name = xstrdup(slash + 1);
    uuid_make(uuid);
    state->temporary = xprintf("%.200s.partial-%s", slash + 1, uuid);
    if (!folder_stat(state->folder, state->name, &status))
        return true;
    error_set(err, ERROR_ALREADY_EXISTS, "there is a '%s' already: nothing is replaced",
              args->path);
    error_data_text(err, "kind", "file");
    return error_data_text(err, "id", "%s", args->path);
}

static bool
begin(struct call *call, struct error **err)
{
    const struct export_args *args = call->args;
    struct export_state *state = call->state;
    struct image_state *common = &state->common;

    if (!image_open_locked(common->repository, args->image, IMAGE_LOCK_SHARED, NULL, &common->image,
                           err) ||
        !image_require_usable(common->image, err))
        return false;
    state->format = common->image->record.format;
    if (args->format && !image_format_parse(args->format, &state->format))
        return error_param(err, "format", "must be raw or qcow2");
    return open_folder(call, err) && endpoint_create(state->folder, state->temporary, state->format,
                                                     common->image->record.size, ENDPOINT_TO_FILL,
                                                     NULL, IMAGE_RAW, call_abort_flag(call), err);
}

static enum outcome
export_begin(struct call *call)
{
    const struct export_args *args = call->args;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!begin(call, &error)) {
        const struct export_state *state = call->state;

        if (state->folder)
            transfer_explain_space(state->folder, state->common.image->record.size, &error);
        return call_fail(call, TAKE(error));
    }
    image_write_reference(call, args->repository, args->image);
    return call_complete(call, "%s", ((struct export_state *)call->state)->temporary);
}

/* Nothing is recorded: an interrupted export is asked for again. */
static bool
run_copy(struct call *call, struct error **err)
{
    struct export_state *state = call->state;
    const struct image *image = state->common.image;
    _cleanup_(endpoint_closep) struct endpoint *source = NULL, *target = NULL;
    struct copy copy;

    if (!image_open_data(image, ENDPOINT_READ, call_abort_flag(call), &source, err) ||
        !endpoint_open(state->folder, state->temporary, state->format, ENDPOINT_FILL, false,
                       call_abort_flag(call), &target, err))
        return false;
    transfer_prepare(call, &copy);
    copy.source = source;
    copy.target = target;
    copy.target_is_zero = true;
    return copy_run(&copy, err);
}

static enum outcome
export_copy(struct call *call)
{
    struct export_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (run_copy(call, &error))
        return call_complete(call, "%" PRIu64 " bytes", state->common.image->record.size);
    transfer_explain_space(state->folder, state->common.image->record.size, &error);
    return call_fail(call, TAKE(error));
}

static enum outcome
export_show(struct call *call)
{
    struct export_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!folder_rename(state->folder, state->temporary, state->folder, state->name, &error))
        return call_fail(call, TAKE(error));
    return call_complete(call, NULL);
}

static enum outcome
export_drop(struct call *call)
{
    struct export_state *state = call->state;

    if (state->folder && state->temporary)
        (void)!folder_drop(state->folder, state->temporary);
    return call_complete(call, NULL);
}

const struct verb image_export_verbs[] = {
    {
        .name = "image.export",
        .summary =
            "Write an image's contents to a file of this host; answers when the copy begins.",
        .description =
            "The file appears under its name when it is whole, and never replaces another.  Until then it is "
            "PATH.partial-UUID; one that a killed agent has left may be deleted.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct export_args),
        .params = PARAMS(IMAGE_PARAMS(export_args),
                         PARAM(export_args, path, "path", .type = PARAM_PATH, .required = true,
                               .about = "The file to make."),
                         PARAM(export_args, format, "format", .type = PARAM_CHOICE,
                               .choices = image_format_choices,
                               .about = "The file's format; the image's when absent.")),
        .result = &image_reference_shape,
        .errors =
            ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND,
                   ERROR_IMAGE_IN_USE, ERROR_IMAGE_BROKEN, ERROR_ALREADY_EXISTS, ERROR_NO_SPACE,
                   ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps = STEPS(
            { "find repository", image_find_repository, .pool = POOL_LOOP },
            { "make file", export_begin, .pool = POOL_REPOSITORY, .responds = true },
            { "copy", export_copy, .pool = POOL_COPY },
            { "show file", export_show, .pool = POOL_REPOSITORY },
            { "drop partial file", export_drop, .pool = POOL_REPOSITORY, .when = ON_FAILURE }),
        .state_size = sizeof(struct export_state),
        .state_done = export_done,
        .object = image_name_object,
    },
    { 0 },
};
