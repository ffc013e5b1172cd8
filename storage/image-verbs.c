/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create, list, status, update, fence, remove: thin steps over storage/image.c.
 */
#include <config.h>

#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

#include "agent/base/clock.h"
#include "storage/endpoint.h"
#include "storage/image-data.h"
#include "storage/image-steps.h"
#include "storage/image-use.h"
#include "storage/storage.h"
#include "storage/transfer.h"

#define PAGE_SIZE_MAX (384 * 1024) /* bytes of one page: frames stay under 1 MiB */
#define EMPTY_IMAGE_SIZE 65536     /* bytes: about what one takes that holds nothing */

static const char *const state_choices[] = { "optimized", "degraded", "broken", NULL };

static const struct shape image_list_shape = {
    .name = "ImageList",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"images\"],\"properties\":{"
        "\"images\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/ImageStatus\"}},"
        "\"next\":{\"type\":\"string\"}}}",
};

/* ---- create ---- */

struct create_args {
    char *repository, *image;
    uint64_t size;
    const char *format;
    char *base;
    bool preallocate;
    char *user_data;
};

struct create_state {
    struct image_state common;
    struct image *base; /* locked shared */
};

static void
create_done(struct call *call)
{
    struct create_state *state = call->state;

    image_discard(TAKE(state->common.image)); /* a published one is only closed */
    image_close(TAKE(state->base));
    image_state_done(call);
}

static bool
prepare_base(struct call *call, struct image_record *record, struct error **err)
{
    const struct create_args *args = call->args;
    struct create_state *state = call->state;

    if (!args->base)
        return true;
    if (args->format && record->format == IMAGE_RAW)
        return error_param(err, "format", "must be qcow2 when there is a base");
    record->format = IMAGE_QCOW2;
    if (!image_open_base(state->common.repository, args->base, args->size, &state->base, err))
        return false;
    record->base = xstrdup(args->base);
    return true;
}

/* Said before anything is begun: a reservation that fails fills the file system first. */
static bool
require_space(const struct repository *repository, uint64_t needed, struct error **err)
{
    struct statvfs space;

    return !folder_space(repository->images, &space) ||
           (uint64_t)space.f_bavail * space.f_frsize >= needed ||
           error_set(err, ERROR_NO_SPACE, "repository '%s' has no room for %llu bytes",
                     repository->name, (unsigned long long)needed);
}

static bool
create_image(struct call *call, struct error **err)
{
    const struct create_args *args = call->args;
    struct create_state *state = call->state;
    struct repository *repository = state->common.repository;
    _cleanup_(image_record_done) struct image_record record = {
        .mutable = true, .complete = true, .generation = 1, .created_ns = clock_wall_ns()
    };
    _cleanup_free_ char *holder = image_holder(call), *base_name = NULL;

    if (args->format && !image_format_parse(args->format, &record.format))
        return error_param(err, "format", "must be raw or qcow2");
    record.user_data = args->user_data ? xstrdup(args->user_data) : NULL;
    if (!prepare_base(call, &record, err))
        return false;
    record.size = image_format_size(record.format, args->size);
    if ((args->preallocate && !require_space(repository, record.size, err)) ||
        !image_make(repository, args->image, &record, NULL, holder, &state->common.image, err))
        return false;
    if (state->base)
        base_name = image_backing_name(state->base);
    return endpoint_create(state->common.image->folder, FORMAT_DATA, record.format, record.size,
                           args->preallocate ? ENDPOINT_RESERVED : ENDPOINT_THIN, base_name,
                           state->base ? state->base->record.format : IMAGE_RAW,
                           call_abort_flag(call), err) &&
           image_publish(state->common.image, err);
}

static enum outcome
create_run(struct call *call)
{
    const struct create_args *args = call->args;
    struct create_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!create_image(call, &error)) {
        transfer_explain_space(state->common.repository->images,
                               args->preallocate ? args->size : EMPTY_IMAGE_SIZE, &error);
        return call_fail(call, TAKE(error));
    }
    image_settle(call, state->common.image, call_result(call));
    return call_complete(call, "%s, %llu bytes",
                         image_format_name(state->common.image->record.format),
                         (unsigned long long)state->common.image->record.size);
}

/* ---- list, status ---- */

struct list_args {
    char *repository, *after;
    const char *state;
    int64_t limit;
};

/* Whether a status says this state.  The first "state" is it: only names, which have no quotes, stand
   before it, and whatever the caller's own data hold comes behind. */
static bool
has_state(const struct text *status, const char *state)
{
    static const char key[] = "\"state\":\"";
    const char *value = strstr(status->bytes, key);

    return value && strncmp(value + sizeof(key) - 1, state, strlen(state)) == 0;
}

static bool
list_page(struct call *call, char **ids, struct error **err)
{
    const struct list_args *args = call->args;
    struct image_state *state = call->state;
    struct writer *writer = call_result(call);
    int64_t count = 0;
    char **id = ids;

    writer_object(writer);
    writer_key(writer, "images");
    writer_array(writer);
    for (; *id && count < args->limit && writer->text.length < PAGE_SIZE_MAX; id++) {
        _cleanup_writer_ struct writer status = WRITER_INIT;

        if (!image_write_status(state->repository, *id, &status, err)) {
            if ((*err)->code != ERROR_IMAGE_NOT_FOUND)
                return false;
            error_free(TAKE(*err)); /* removed since it was listed */
            continue;
        }
        if (args->state && !has_state(&status.text, args->state))
            continue;
        writer_json(writer, status.text.bytes, status.text.length);
        count++;
    }
    writer_end_array(writer);
    if (*id && id > ids)
        writer_member_string(writer, "next", id[-1]);
    writer_end_object(writer);
    return true;
}

static enum outcome
list_run(struct call *call)
{
    const struct list_args *args = call->args;
    struct image_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;
    char **ids;
    size_t count;
    bool done;

    if (!image_list(state->repository, args->after, 0, &ids, &count, &error))
        return call_fail(call, TAKE(error));
    done = list_page(call, ids, &error);
    strings_free(ids);
    return done ? call_complete(call, NULL) : call_fail(call, TAKE(error));
}

static enum outcome
status_run(struct call *call)
{
    const struct image_args *args = call->args;
    struct image_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_writer_ struct writer status = WRITER_INIT;

    if (!image_write_status(state->repository, args->image, &status, &error))
        return call_fail(call, TAKE(error));
    writer_json(call_result(call), status.text.bytes, status.text.length);
    return call_complete(call, NULL);
}

/* ---- update, fence, remove ---- */

struct change_args {
    char *repository, *image;
    char *user_data;
    bool immutable, has_immutable;
    int64_t if_generation;
    bool has_generation;
};

static bool
open_for_change(struct call *call, struct error **err)
{
    const struct change_args *args = call->args;
    struct image_state *state = call->state;
    _cleanup_free_ char *holder = image_holder(call);

    return image_open_locked(state->repository, args->image, IMAGE_LOCK_EXCLUSIVE, holder,
                             &state->image, err) &&
           image_require_generation(state->image, args->has_generation,
                                    (uint64_t)args->if_generation, err);
}

/* One durable write: the change, and the generation that tells of it. */
static bool
write_change(struct call *call, struct error **err)
{
    struct image_state *state = call->state;

    state->image->record.generation++;
    if (!image_write_record(state->image, err))
        return false;
    image_settle(call, state->image, call_result(call));
    return true;
}

static bool
update_image(struct call *call, struct error **err)
{
    const struct change_args *args = call->args;
    struct image_state *state = call->state;
    struct image_record *record;

    if (!open_for_change(call, err))
        return false;
    record = &state->image->record;
    if (args->has_immutable && args->immutable &&
        (!image_require_usable(state->image, err) || !image_require_finished(state->image, err)))
        return error_wrap(err, "cannot make a snapshot of it");
    if (args->has_immutable && !args->immutable && !record->mutable &&
        !image_require_no_dependents(state->image, err))
        return error_wrap(err, "cannot make it mutable");
    if (args->has_immutable && args->immutable == record->mutable &&
        !image_require_unused(state->image, NULL,
                              args->immutable ? "vm.snapshot makes an immutable one of it"
                                              : "undefine that first (vm.undefine)",
                              err))
        return false;
    /* One of contents that are gone would be taken for theirs from now on. */
    if (args->has_immutable && args->immutable && !image_checksum_is_current(state->image))
        image_forget_checksum(state->image);
    if (args->has_immutable)
        record->mutable = !args->immutable;
    if (args->user_data) {
        free(record->user_data);
        record->user_data = xstrdup(args->user_data);
    }
    return write_change(call, err);
}

static enum outcome
update_run(struct call *call)
{
    _cleanup_(error_freep) struct error *error = NULL;

    return update_image(call, &error) ? call_complete(call, NULL) : call_fail(call, TAKE(error));
}

static enum outcome
fence_run(struct call *call)
{
    _cleanup_(error_freep) struct error *error = NULL;

    return open_for_change(call, &error) && write_change(call, &error)
               ? call_complete(call, NULL)
               : call_fail(call, TAKE(error));
}

/* A broken image is removed too, so its record need not be readable; a generation cannot be asked of
   one that has none. */
static bool
open_for_removal(struct call *call, struct error **err)
{
    const struct change_args *args = call->args;
    struct image_state *state = call->state;
    _cleanup_free_ char *holder = image_holder(call);
    _cleanup_(image_closep) struct image *read = NULL;

    if (!image_lock_directory(state->repository, args->image, IMAGE_LOCK_EXCLUSIVE, holder,
                              &state->image, err))
        return false;
    if (!image_open(state->repository, args->image, &read, err)) {
        if ((*err)->code != ERROR_IMAGE_BROKEN || args->has_generation)
            return false;
        error_free(TAKE(*err));
        return true;
    }
    return image_require_generation(read, args->has_generation, (uint64_t)args->if_generation, err);
}

static enum outcome
remove_run(struct call *call)
{
    const struct change_args *args = call->args;
    struct image_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;
    struct writer *writer;

    if (!open_for_removal(call, &error) || !image_require_no_dependents(state->image, &error) ||
        !image_require_unused(state->image, NULL,
                              "undefine that first, or take the disk from it (vm.undefine, "
                              "vm.detachDisk)",
                              &error) ||
        !image_require_closed(state->image, call_abort_flag(call), &error) ||
        !image_hide(state->image, &error))
        return call_fail(call, TAKE(error));
    image_tell_removed(call, state->repository, args->image);
    image_discard(TAKE(state->image));
    writer = call_result(call);
    writer_object(writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

#define FIND_STEP                                                                                  \
    {                                                                                              \
        "find repository", image_find_repository, .pool = POOL_LOOP                                \
    }

const struct verb image_verbs[] = {
    {
        .name = "image.create",
        .summary = "Make an empty image, or an overlay over an immutable one.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct create_args),
        .params = PARAMS(
            PARAM(create_args, repository, "repository", .type = PARAM_NAME, .required = true,
                  .about = "The repository that is to hold the image."),
            PARAM(create_args, image, "image", .type = PARAM_NAME, .make_uuid = true,
                  .about = "The image's id; a fresh UUID when absent."),
            PARAM(create_args, size, "size", .type = PARAM_SIZE, .required = true, .minimum = 1,
                  .about = "Its size in bytes."),
            PARAM(create_args, format, "format", .type = PARAM_CHOICE,
                  .choices = image_format_choices,
                  .about = "raw (the default) or qcow2 (the default with a base)."),
            PARAM(create_args, base, "base", .type = PARAM_NAME,
                  .about = "An immutable image of the same repository that it is to stand on."),
            PARAM(create_args, preallocate, "preallocate", .type = PARAM_BOOL,
                  .about = "Reserve all of the space now."),
            PARAM(create_args, user_data, "userData", .type = PARAM_OBJECT,
                  .about = "The caller's own data, kept with the image.")),
        .result = &image_status_shape,
        .errors = ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE,
                         ERROR_IMAGE_EXISTS, ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_BROKEN,
                         ERROR_WRONG_STATE, ERROR_NO_SPACE, ERROR_BACKEND_UNAVAILABLE),
        .steps = STEPS(FIND_STEP, { "create", create_run, .pool = POOL_REPOSITORY }),
        .state_size = sizeof(struct create_state),
        .state_done = create_done,
        .object = image_name_object,
    },
    {
        .name = "image.list",
        .summary = "List a repository's images, by id.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct list_args),
        .params = PARAMS(PARAM(list_args, repository, "repository", .type = PARAM_NAME,
                               .required = true, .about = "The repository."),
                         PARAM(list_args, state, "state", .type = PARAM_CHOICE,
                               .choices = state_choices, .about = "Only images of this state."),
                         PARAM(list_args, limit, "limit", .type = PARAM_INTEGER, .minimum = 1,
                               .maximum = 1000, .fallback = "100",
                               .about = "At most so many; a page may hold fewer."),
                         PARAM(list_args, after, "after", .type = PARAM_NAME,
                               .about = "The 'next' of the page before.")),
        .result = &image_list_shape,
        .errors = ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE),
        .steps = STEPS(FIND_STEP, { "list", list_run, .pool = POOL_REPOSITORY }),
        .state_size = sizeof(struct image_state),
        .state_done = image_state_done,
    },
    {
        .name = "image.status",
        .aliases = "getImageStatus",
        .summary = "Show an image: its state, what it is, and how far a copy into it has come.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct image_args),
        .params = PARAMS(IMAGE_PARAMS(image_args)),
        .result = &image_status_shape,
        .errors =
            ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND),
        .steps = STEPS(FIND_STEP, { "look", status_run, .pool = POOL_REPOSITORY }),
        .state_size = sizeof(struct image_state),
        .state_done = image_state_done,
    },
    {
        .name = "image.update",
        .summary = "Change an image's user data, or whether it is immutable.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct change_args),
        .params = PARAMS(IMAGE_PARAMS(change_args),
                         PARAM(change_args, user_data, "userData", .type = PARAM_OBJECT,
                               .about = "The caller's own data; replaces what is there."),
                         PARAM(change_args, immutable, "immutable", .type = PARAM_BOOL,
                               .present = PRESENT(change_args, has_immutable),
                               .about = "Whether it is a snapshot: its contents change no more."),
                         GENERATION_PARAM(change_args)),
        .result = &image_status_shape,
        .errors = ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE,
                         ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_IN_USE, ERROR_IMAGE_BROKEN,
                         ERROR_IMAGE_HAS_DEPENDENTS, ERROR_CONFLICT, ERROR_NO_SPACE),
        .steps = STEPS(FIND_STEP, { "update", update_run, .pool = POOL_REPOSITORY }),
        .state_size = sizeof(struct image_state),
        .state_done = image_state_done,
        .object = image_name_object,
    },
    {
        .name = "image.fence",
        .summary =
            "Raise an image's generation, so that an operation sent earlier can no longer act.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct change_args),
        .params = PARAMS(IMAGE_PARAMS(change_args), GENERATION_PARAM(change_args)),
        .result = &image_status_shape,
        .errors =
            ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND,
                   ERROR_IMAGE_IN_USE, ERROR_IMAGE_BROKEN, ERROR_CONFLICT, ERROR_NO_SPACE),
        .steps = STEPS(FIND_STEP, { "fence", fence_run, .pool = POOL_REPOSITORY }),
        .state_size = sizeof(struct image_state),
        .state_done = image_state_done,
        .object = image_name_object,
    },
    {
        .name = "image.remove",
        .summary = "Remove an image, also a broken one: invisible at once, then freed.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct change_args),
        .params = PARAMS(IMAGE_PARAMS(change_args), GENERATION_PARAM(change_args)),
        .result = &empty_shape,
        .errors = ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE,
                         ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_IN_USE, ERROR_IMAGE_BROKEN,
                         ERROR_IMAGE_HAS_DEPENDENTS, ERROR_CONFLICT),
        .steps = STEPS(FIND_STEP, { "remove", remove_run, .pool = POOL_REPOSITORY }),
        .state_size = sizeof(struct image_state),
        .state_done = image_state_done,
        .object = image_name_object,
    },
    { 0 },
};
