/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy, import, resume.  What they share is in transfer.c; export is in image-export-verbs.c.
 */
#include <config.h>

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/endpoint.h"
#include "storage/qemu-lock.h"
#include "storage/repository-verbs.h"
#include "storage/transfer.h"
#include "storage/url.h"

#define IMPORT_SIZE_MAX (UINT64_C(64) << 40) /* bytes: what a foreign file may claim to be */

#define ASK_RETRIES 8 /* with the pause below, twice as long each time: over four minutes */
#define ASK_PAUSE_MS UINT64_C(1000)

static const char *const crash_choices[] = { "leave", "resume", NULL };

/* ---- copy ---- */

struct copy_args {
    char *repository, *image;
    char *target_repository, *target_image;
    char *base;
    const char *format;
    uint64_t bytes_per_second;
    bool verify;
    const char *on_crash;
};

static const char *
target_id(const struct copy_args *args)
{
    return args->target_image ? args->target_image : args->image;
}

static enum outcome
copy_find(struct call *call)
{
    const struct copy_args *args = call->args;
    struct transfer *transfer = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!repository_find(call->context, args->repository, &transfer->source_repository, &error) ||
        !repository_find(call->context, args->target_repository, &transfer->target_repository,
                         &error))
        return call_fail(call, TAKE(error));
    if (transfer->source_repository == transfer->target_repository &&
        strcmp(args->image, target_id(args)) == 0) {
        error_param(&error, "targetImage",
                    "must be another id than the source's in the same repository");
        return call_fail(call, TAKE(error));
    }
    image_set_lanes(call, transfer->target_repository);
    call_begin_rate(call, args->bytes_per_second);
    return call_complete(call, NULL);
}

static enum outcome
copy_lock_source(struct call *call)
{
    const struct copy_args *args = call->args;
    struct transfer *transfer = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!image_open_locked(transfer->source_repository, args->image, IMAGE_LOCK_SHARED, NULL,
                           &transfer->source, &error) ||
        !image_require_usable(transfer->source, &error) ||
        !qemu_lock_require_no_writers(transfer->source->folder,
                                      image_record_data(&transfer->source->record),
                                      call_abort_flag(call), &error))
        return call_fail(call, TAKE(error));
    return call_complete(call, "generation %" PRIu64, transfer->source->record.generation);
}

static bool
copy_lock_base(struct call *call, struct image_record *record, struct error **err)
{
    const struct copy_args *args = call->args;
    struct transfer *transfer = call->state;

    if (!args->base)
        return true;
    if (args->format && record->format == IMAGE_RAW)
        return error_param(err, "format", "must be qcow2 when there is a base");
    record->format = IMAGE_QCOW2;
    if (!image_open_base(transfer->target_repository, args->base, record->size, &transfer->base,
                         err))
        return false;
    record->base = xstrdup(args->base);
    return true;
}

static bool
copy_make_target(struct call *call, struct error **err)
{
    const struct copy_args *args = call->args;
    struct transfer *transfer = call->state;
    const struct image *source = transfer->source;
    _cleanup_(image_record_done) struct image_record record = { .format = source->record.format,
                                                                .mutable = source->record.mutable };

    if (args->format && !image_format_parse(args->format, &record.format))
        return error_param(err, "format", "must be raw or qcow2");
    record.size = source->record.size;
    if (!copy_lock_base(call, &record, err))
        return false;
    record.size = image_format_size(record.format, record.size);
    record.user_data = source->record.user_data ? xstrdup(source->record.user_data) : NULL;
    transfer->record.source_repository = xstrdup(args->repository);
    memcpy(transfer->record.source_uuid, transfer->source_repository->uuid, UUID_TEXT_SIZE);
    transfer->record.source_image = xstrdup(args->image);
    transfer->record.source_format = source->record.format;
    if (!transfer_identify_source(transfer, call_abort_flag(call),
                                  &transfer->record.source_identity, err))
        return false;
    transfer->record.total = source->record.size;
    transfer->record.bytes_per_second = args->bytes_per_second;
    transfer->record.verify = args->verify;
    transfer->record.resume_on_crash = strcmp(args->on_crash, "resume") == 0;
    return transfer_make_target(call, target_id(args), &record, err);
}

static enum outcome
answer_target(struct call *call)
{
    struct transfer *transfer = call->state;

    image_write_reference(call, transfer->target_repository->name, transfer->target->id);
    image_tell(call, transfer->target, NULL);
    return call_complete(call, "%s, %" PRIu64 " bytes",
                         image_format_name(transfer->target->record.format),
                         transfer->target->record.size);
}

static enum outcome
copy_create(struct call *call)
{
    _cleanup_(error_freep) struct error *error = NULL;

    return copy_make_target(call, &error) ? answer_target(call) : call_fail(call, TAKE(error));
}

static void
copy_name_object(const void *args, struct object_name *ret_object)
{
    const struct copy_args *copy = args;

    *ret_object = (struct object_name){ "image", copy->target_repository, target_id(copy) };
}

/* ---- import ---- */

struct import_args {
    char *repository, *image;
    char *path, *url;
    const char *source_format, *format;
    uint64_t bytes_per_second;
    const char *on_crash;
    char *user_data;
};

static bool
check_source(const struct import_args *args, struct error **err)
{
    if (args->url && args->path)
        return error_param(err, "url", "is not to be given together with path");
    if (args->url)
        return url_check(args->url, err);
    return args->path || error_param(err, "path", "is missing: name the file to import, or a url");
}

/* A server far away must not keep the threads of a repository from what they are for. */
static void
set_asking_lane(struct call *call)
{
    struct storage *storage = call->context;

    call_set_lane(call, POOL_COPY, &storage->url_lane);
}

static enum outcome
import_find(struct call *call)
{
    const struct import_args *args = call->args;
    struct transfer *transfer = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!check_source(args, &error) ||
        !repository_find(call->context, args->repository, &transfer->target_repository, &error))
        return call_fail(call, TAKE(error));
    transfer->record.source_path = xstrdup(args->url ? args->url : args->path);
    (void)!image_format_parse(args->source_format, &transfer->record.source_format);
    image_set_lanes(call, transfer->target_repository);
    if (args->url)
        set_asking_lane(call);
    call_begin_rate(call, args->bytes_per_second);
    return call_complete(call, NULL);
}

static bool
is_from_url(const struct call *call)
{
    const char *path = ((const struct transfer *)call->state)->record.source_path;

    return path && url_is(path);
}

static bool
is_from_path(const struct call *call)
{
    return !is_from_url(call);
}

static enum outcome
import_ask(struct call *call)
{
    const struct import_args *args = call->args;
    struct transfer *transfer = call->state;
    struct copy_record *record = &transfer->record;
    _cleanup_(error_freep) struct error *error = NULL;

    if (transfer_identify_source(transfer, call_abort_flag(call), &record->source_identity,
                                 &error) &&
        endpoint_inspect_url(args->url, record->source_format, IMPORT_SIZE_MAX,
                             call_abort_flag(call), &record->total, &error))
        return call_complete(call, "%s, %" PRIu64 " bytes", args->source_format, record->total);
    if (error->code == ERROR_INVALID_PARAMS && !error->data) {
        error_data_text(&error, "param", "url");
        error_data_text(&error, "reason", "%s", error->message);
    }
    return call_fail(call, TAKE(error));
}

/* From here on it is work on the repository again. */
static enum outcome
return_lanes(struct call *call)
{
    image_set_lanes(call, ((struct transfer *)call->state)->target_repository);
    return call_complete(call, NULL);
}

static enum outcome
import_inspect(struct call *call)
{
    const struct import_args *args = call->args;
    struct transfer *transfer = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!transfer_identify_source(transfer, call_abort_flag(call),
                                  &transfer->record.source_identity, &error)) {
        error->code = ERROR_NOT_FOUND;
        error_data_text(&error, "kind", "file");
        error_data_text(&error, "id", "%s", args->path);
        return call_fail(call, TAKE(error));
    }
    if (!endpoint_inspect(args->path, transfer->record.source_format, IMPORT_SIZE_MAX,
                          &transfer->record.total, &error)) {
        if (error->code == ERROR_INVALID_PARAMS) {
            error_data_text(&error, "param", "path");
            error_data_text(&error, "reason", "%s", error->message);
        }
        return call_fail(call, TAKE(error));
    }
    return call_complete(call, "%s, %" PRIu64 " bytes", args->source_format,
                         transfer->record.total);
}

static enum outcome
import_create(struct call *call)
{
    const struct import_args *args = call->args;
    struct transfer *transfer = call->state;
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_(image_record_done) struct image_record record = { .format =
                                                                    transfer->record.source_format,
                                                                .mutable = true };

    if (args->format)
        (void)!image_format_parse(args->format, &record.format);
    record.size = image_format_size(record.format, transfer->record.total);
    record.user_data = args->user_data ? xstrdup(args->user_data) : NULL;
    transfer->record.bytes_per_second = args->bytes_per_second;
    transfer->record.resume_on_crash = strcmp(args->on_crash, "resume") == 0;
    if (!transfer_make_target(call, args->image, &record, &error))
        return call_fail(call, TAKE(error));
    return answer_target(call);
}

/* ---- resume ---- */

static enum outcome
resume_find(struct call *call)
{
    const struct resume_args *args = call->args;
    struct transfer *transfer = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!repository_find(call->context, args->repository, &transfer->target_repository, &error))
        return call_fail(call, TAKE(error));
    image_set_lanes(call, transfer->target_repository);
    return call_complete(call, NULL);
}

static bool
check_data(const struct image *image, uint64_t done, struct error **err)
{
    struct stat status;

    if (!folder_stat(image->folder, image_record_data(&image->record), &status) ||
        !S_ISREG(status.st_mode))
        return error_set(err, ERROR_IMAGE_BROKEN,
                         "image '%s' has no data file: remove it and copy again", image->id);
    if (image->record.format == IMAGE_RAW && (uint64_t)status.st_size < image->record.size)
        return error_set(err, ERROR_IMAGE_BROKEN,
                         "the data of image '%s' was cut to %lld bytes, with %" PRIu64
                         " recorded as copied: remove it and copy again",
                         image->id, (long long)status.st_size, done);
    return true;
}

static bool
resume_open_target(struct call *call, struct error **err)
{
    const struct resume_args *args = call->args;
    struct transfer *transfer = call->state;
    _cleanup_free_ char *holder = image_holder(call);

    if (!image_open_locked(transfer->target_repository, args->image, IMAGE_LOCK_EXCLUSIVE, holder,
                           &transfer->target, err) ||
        !image_require_generation(transfer->target, args->has_generation,
                                  (uint64_t)args->if_generation, err))
        return false;
    if (transfer->target->record.complete)
        return error_set(err, ERROR_NOTHING_TO_RESUME, "image '%s' is complete", args->image);
    if (transfer->target->record.upload)
        return error_set(err, ERROR_NOTHING_TO_RESUME,
                         "image '%s' is no copy but an upload: go on with it through a new ticket",
                         args->image);
    if (transfer->target->record.base &&
        !image_open_base(transfer->target_repository, transfer->target->record.base,
                         transfer->target->record.size, &transfer->base, err))
        return false;
    return image_read_copy(transfer->target, &transfer->record, err) &&
           check_data(transfer->target, transfer->record.done, err);
}

static enum outcome
resume_lock(struct call *call)
{
    struct transfer *transfer = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!resume_open_target(call, &error))
        return call_fail(call, TAKE(error));
    transfer->resumed = true;
    call_begin_rate(call, transfer->record.bytes_per_second);
    return call_complete(call, "%" PRIu64 " of %" PRIu64 " bytes are there", transfer->record.done,
                         transfer->record.total);
}

static enum outcome
resume_find_source(struct call *call)
{
    struct transfer *transfer = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (is_from_url(call)) {
        _cleanup_free_ char *shown = url_show(transfer->record.source_path);

        set_asking_lane(call);
        return call_complete(call, "%s", shown);
    }
    if (transfer->record.source_path)
        return call_complete(call, "%s", transfer->record.source_path);
    if (!repository_find_uuid(call->context, transfer->record.source_uuid,
                              &transfer->source_repository, &error)) {
        error_wrap(&error, "the source's repository (it was called '%s') is needed",
                   transfer->record.source_repository ? transfer->record.source_repository : "");
        return call_fail(call, TAKE(error));
    }
    return call_complete(call, "%s/%s", transfer->source_repository->name,
                         transfer->record.source_image);
}

static bool
check_unchanged(struct call *call, struct error **err)
{
    const struct transfer *transfer = call->state;
    _cleanup_free_ char *identity = NULL;

    if (!transfer_identify_source(transfer, call_abort_flag(call), &identity, err))
        return false;
    return strcmp(identity, transfer->record.source_identity) == 0 ||
           error_set(
               err, ERROR_CONFLICT,
               "the source has changed since the copy was begun (%s, now %s): remove the image and copy again",
               transfer->record.source_identity, identity);
}

/* Nobody waits for what the agent goes on with by itself, and after a start the network may be away. */
static bool
may_ask_again(const struct call *call, const struct error *error)
{
    return call_connection(call) == 0 && call_attempts(call) <= ASK_RETRIES &&
           (error->code == ERROR_BACKEND_FAILED || error->code == ERROR_TIMEOUT);
}

/* Whoever wrote the record: a URL is what it may be in a call. */
static enum outcome
resume_ask(struct call *call)
{
    const struct transfer *transfer = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (url_check(transfer->record.source_path, &error) && check_unchanged(call, &error))
        return call_complete(call, NULL);
    if (may_ask_again(call, error))
        return call_retry(call, ASK_PAUSE_MS << (call_attempts(call) - 1), "%s", error->message);
    return call_fail(call, TAKE(error));
}

static bool
resume_open_source(struct call *call, struct error **err)
{
    struct transfer *transfer = call->state;

    if (transfer->source_repository) {
        if (!image_open_locked(transfer->source_repository, transfer->record.source_image,
                               IMAGE_LOCK_SHARED, NULL, &transfer->source, err) ||
            !image_require_usable(transfer->source, err))
            return error_wrap(err, "cannot use the source");
    }
    if (!is_from_url(call) && !check_unchanged(call, err))
        return false;
    transfer_sign(call);
    return image_write_copy(transfer->target, &transfer->record, err);
}

static enum outcome
resume_open(struct call *call)
{
    _cleanup_(error_freep) struct error *error = NULL;

    return resume_open_source(call, &error) ? answer_target(call) : call_fail(call, TAKE(error));
}

#define RATE_PARAM(args_type)                                                                      \
    PARAM(args_type, bytes_per_second, "bytesPerSecond", .type = PARAM_SIZE, .fallback = "0",      \
          .about = "Upper bound in bytes a second; 0: none.  task.throttle changes it.")
#define CRASH_PARAM(args_type)                                                                     \
    PARAM(                                                                                         \
        args_type, on_crash, "onCrash", .type = PARAM_CHOICE, .choices = crash_choices,            \
        .fallback = "\"leave\"",                                                                   \
        .about =                                                                                   \
            "After a restart of the agent: leave the copy to image.resume, or resume it by itself; not one that was aborted.")

const struct verb image_copy_verbs[] = {
    {
        .name = "image.copy",
        .aliases = "copyImage",
        .summary =
            "Copy an image, within a repository or into another; answers when the target exists.",
        .description =
            "The target is 'broken' (incomplete) until the copy has finished, and can be continued with "
            "image.resume after any interruption.  A copy of an immutable image is immutable.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct copy_args),
        .params = PARAMS(
            IMAGE_PARAMS(copy_args),
            PARAM(copy_args, target_repository, "targetRepository", .type = PARAM_NAME,
                  .required = true, .about = "The repository that is to hold the copy."),
            PARAM(copy_args, target_image, "targetImage", .type = PARAM_NAME,
                  .about = "The copy's id; the source's when absent."),
            PARAM(
                copy_args, base, "base", .type = PARAM_NAME,
                .about =
                    "Store only what differs from this immutable image of the target repository."),
            PARAM(copy_args, format, "format", .type = PARAM_CHOICE,
                  .choices = image_format_choices,
                  .about = "The copy's format; the source's when absent."),
            RATE_PARAM(copy_args),
            PARAM(copy_args, verify, "verify", .type = PARAM_BOOL,
                  .about = "Read both again at the end, and compare."),
            CRASH_PARAM(copy_args)),
        .result = &image_reference_shape,
        .errors = ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE,
                         ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_EXISTS, ERROR_IMAGE_IN_USE,
                         ERROR_IMAGE_BROKEN, ERROR_WRONG_STATE, ERROR_CONFLICT, ERROR_NO_SPACE,
                         ERROR_VERIFY_FAILED, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps = STEPS({ "find repositories", copy_find, .pool = POOL_LOOP },
                       { "lock source", copy_lock_source, .pool = POOL_REPOSITORY },
                       { "create target", copy_create, .pool = POOL_REPOSITORY, .responds = true },
                       TRANSFER_STEPS),
        .state_size = sizeof(struct transfer),
        .state_done = transfer_done,
        .object = copy_name_object,
    },
    {
        .name = "image.import",
        .summary =
            "Import a file of this host, or what a URL leads to, as an image; answers when it exists.",
        .description =
            "A qcow2 with a backing file, a data file or encryption is refused.  A server that goes away for "
            "some seconds is waited for; then the import has failed, and can be continued with image.resume.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct import_args),
        .params = PARAMS(
            PARAM(import_args, repository, "repository", .type = PARAM_NAME, .required = true,
                  .about = "The repository that is to hold the image."),
            PARAM(import_args, image, "image", .type = PARAM_NAME, .make_uuid = true,
                  .about = "The image's id; a fresh UUID when absent."),
            PARAM(import_args, path, "path", .type = PARAM_PATH,
                  .about = "The file or block device to read."),
            PARAM(
                import_args, url, "url", .type = PARAM_TEXT,
                .about =
                    "Where to read from instead: http, https, nbd, nbds, nbd+unix or nbds+unix; an HTTP "
                    "server must know ranges."),
            PARAM(import_args, source_format, "sourceFormat", .type = PARAM_CHOICE,
                  .required = true, .choices = image_format_choices,
                  .about = "What is there; never guessed."),
            PARAM(import_args, format, "format", .type = PARAM_CHOICE,
                  .choices = image_format_choices,
                  .about = "The image's format; the file's when absent."),
            RATE_PARAM(import_args), CRASH_PARAM(import_args),
            PARAM(import_args, user_data, "userData", .type = PARAM_OBJECT,
                  .about = "The caller's own data, kept with the image.")),
        .result = &image_reference_shape,
        .errors =
            ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_EXISTS,
                   ERROR_NOT_FOUND, ERROR_IMAGE_IN_USE, ERROR_CONFLICT, ERROR_NO_SPACE,
                   ERROR_TIMEOUT, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps = STEPS(
            { "find repository", import_find, .pool = POOL_LOOP },
            { "ask server", import_ask, .pool = POOL_COPY, .only_if = is_from_url },
            { "return threads", return_lanes, .pool = POOL_LOOP, .only_if = is_from_url },
            { "inspect source", import_inspect, .pool = POOL_REPOSITORY, .only_if = is_from_path },
            { "create target", import_create, .pool = POOL_REPOSITORY, .responds = true },
            TRANSFER_STEPS),
        .state_size = sizeof(struct transfer),
        .state_done = transfer_done,
        .object = image_name_object,
    },
    {
        .name = "image.resume",
        .summary = "Continue an abandoned copy or import, whichever host began it.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct resume_args),
        .params = PARAMS(IMAGE_PARAMS(resume_args), GENERATION_PARAM(resume_args)),
        .result = &image_reference_shape,
        .errors =
            ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND,
                   ERROR_IMAGE_IN_USE, ERROR_IMAGE_BROKEN, ERROR_NOTHING_TO_RESUME, ERROR_CONFLICT,
                   ERROR_NO_SPACE, ERROR_VERIFY_FAILED, ERROR_NOT_FOUND, ERROR_TIMEOUT,
                   ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps =
            STEPS({ "find repository", resume_find, .pool = POOL_LOOP },
                  { "lock image", resume_lock, .pool = POOL_REPOSITORY },
                  { "find source", resume_find_source, .pool = POOL_LOOP },
                  { "ask server", resume_ask, .pool = POOL_COPY, .only_if = is_from_url },
                  { "return threads", return_lanes, .pool = POOL_LOOP, .only_if = is_from_url },
                  { "open source", resume_open, .pool = POOL_REPOSITORY, .responds = true },
                  TRANSFER_STEPS),
        .state_size = sizeof(struct transfer),
        .state_done = transfer_done,
        .object = image_name_object,
    },
    { 0 },
};
