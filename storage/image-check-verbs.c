/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify and checksum: the two that read all of an image.
 */
#include <config.h>

#include <string.h>

#include "agent/base/clock.h"
#include "storage/checksum.h"
#include "storage/endpoint.h"
#include "storage/image-data.h"
#include "storage/image-steps.h"
#include "storage/image-use.h"
#include "storage/storage.h"

#define LOCK_TRIES 20 /* for the writer's lock, while other readers end */
#define LOCK_PAUSE_MS 250

struct reading {
    struct image_state common;
    char checksum[CHECKSUM_TEXT_SIZE];
    uint64_t generation; /* of what was read */
    char *data_time;     /* when its data was last written to, before it was read; owned */
    bool was_damaged;    /* by its record */
};

static void
reading_done(struct call *call)
{
    struct reading *reading = call->state;

    free(TAKE(reading->data_time));
    image_state_done(call);
}

static bool
begin(struct call *call, bool must_be_usable, struct error **err)
{
    const struct image_args *args = call->args;
    struct reading *reading = call->state;
    struct image_state *common = &reading->common;

    if (!image_open_locked(common->repository, args->image, IMAGE_LOCK_SHARED, NULL, &common->image,
                           err))
        return false;
    reading->generation = common->image->record.generation;
    reading->was_damaged = common->image->record.damage != NULL;
    if (!common->image->record.complete)
        return error_set(err, ERROR_IMAGE_BROKEN,
                         "image '%s' is an incomplete copy: resume it, or remove it", args->image);
    return (!must_be_usable || image_require_usable(common->image, err)) &&
           image_data_time(common->image, &reading->data_time, err);
}

static enum outcome
answer_begun(struct call *call, bool must_be_usable)
{
    const struct image_args *args = call->args;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!begin(call, must_be_usable, &error))
        return call_fail(call, TAKE(error));
    image_write_reference(call, args->repository, args->image);
    return call_complete(call, NULL);
}

static enum outcome
verify_begin(struct call *call)
{
    return answer_begun(call, false);
}

static enum outcome
checksum_begin(struct call *call)
{
    return answer_begun(call, true);
}

static bool
open_image(struct call *call, struct endpoint **ret_source, struct error **err)
{
    const struct image *image = ((const struct reading *)call->state)->common.image;

    return image_open_data(image, ENDPOINT_READ, call_abort_flag(call), ret_source, err);
}

static bool
read_all(struct call *call, struct endpoint *source, struct error **err)
{
    struct reading *reading = call->state;
    uint64_t size = reading->common.image->record.size;

    if (endpoint_size(source) != size)
        return error_set(err, ERROR_BACKEND_FAILED,
                         "the data shows %llu bytes, and is to show %llu",
                         (unsigned long long)endpoint_size(source), (unsigned long long)size);
    return checksum_run(source, image_on_progress, image_on_aborted, call, reading->checksum, err);
}

static enum outcome
checksum_read(struct call *call)
{
    _cleanup_(endpoint_closep) struct endpoint *source = NULL;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!open_image(call, &source, &error) || !read_all(call, source, &error))
        return call_fail(call, TAKE(error));
    return call_complete(call, "%s", ((struct reading *)call->state)->checksum);
}

static bool
compare_checksum(const struct reading *reading, struct error **err)
{
    const struct image *image = reading->common.image;
    const struct image_record *record = &image->record;

    if (!record->checksum || strcmp(record->checksum, reading->checksum) == 0)
        return true;
    /* Somebody writes to a mutable image: that is what it is for, and no damage. */
    if (!image_checksum_is_current(image))
        return error_set(err, ERROR_CONFLICT,
                         "the image was written to after its checksum was taken: take it again "
                         "(image.checksum) if that is as it should be");
    return error_set(err, ERROR_VERIFY_FAILED,
                     "the contents have changed: their checksum was %s and is %s", record->checksum,
                     reading->checksum);
}

/* What cannot be read, is not sound, or is not what was recorded, is one and the same finding.  That
   it cannot even be opened tells of this host only: the structure was found sound before. */
static bool
verify(struct call *call, struct error **err)
{
    struct reading *reading = call->state;
    const struct image *image = reading->common.image;
    _cleanup_(endpoint_closep) struct endpoint *source = NULL;

    if (!image_require_quiet(image, err))
        return false;
    if (image->record.format == IMAGE_QCOW2 &&
        !endpoint_check(image->folder, image_record_data(&image->record), false,
                        call_abort_flag(call), err))
        return false;
    if (!open_image(call, &source, err))
        return false;
    if (read_all(call, source, err))
        return compare_checksum(reading, err);
    if ((*err)->code == ERROR_BACKEND_FAILED)
        (*err)->code = ERROR_VERIFY_FAILED;
    return false;
}

static enum outcome
verify_read(struct call *call)
{
    struct reading *reading = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!verify(call, &error))
        return call_fail(call, TAKE(error));
    return call_complete(call, reading->common.image->record.checksum
                                   ? "sound, and equal to its checksum"
                                   : "it can be read; there is no checksum to compare it with");
}

/* From the reader's lock to the writer's: in between somebody may have changed it, then what was
   read is of no use any more. */
static bool
reopen_for_change(struct call *call, struct error **err)
{
    const struct image_args *args = call->args;
    struct reading *reading = call->state;
    struct image_state *common = &reading->common;
    _cleanup_free_ char *holder = image_holder(call);
    _cleanup_free_ char *data_time = NULL;

    image_close(TAKE(common->image));
    if (!image_open_locked(common->repository, args->image, IMAGE_LOCK_EXCLUSIVE, holder,
                           &common->image, err) ||
        !image_require_generation(common->image, true, reading->generation, err) ||
        !image_data_time(common->image, &data_time, err))
        return false;
    return strcmp(data_time, reading->data_time) == 0 ||
           error_set(err, ERROR_CONFLICT, "image '%s' was written to while it was read",
                     args->image);
}

/* Another reader is soon done; somebody who changes the image is not waited for. */
static enum outcome
fail_or_retry(struct call *call, struct error *error)
{
    _cleanup_(error_freep) struct error *owned = error;

    if (error->code == ERROR_IMAGE_IN_USE && call_attempts(call) < LOCK_TRIES)
        return call_retry(call, LOCK_PAUSE_MS, "%s", error->message);
    return call_fail(call, TAKE(owned));
}

static bool
write_change(struct call *call, struct error **err)
{
    struct reading *reading = call->state;
    struct image *image = reading->common.image;

    image->record.generation++;
    if (!image_write_record(image, err))
        return false;
    image_settle(call, image, NULL);
    return true;
}

static void
write_checksum_result(struct call *call)
{
    const struct image_args *args = call->args;
    struct reading *reading = call->state;
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_string(writer, "repository", args->repository);
    writer_member_string(writer, "image", args->image);
    writer_key(writer, "checksum");
    writer_object(writer);
    writer_member_string(writer, "algorithm", CHECKSUM_ALGORITHM);
    writer_member_string(writer, "value", reading->checksum);
    writer_end_object(writer);
    writer_end_object(writer);
}

static bool
record_checksum(struct call *call, struct error **err)
{
    struct reading *reading = call->state;
    struct image_record *record;

    if (!reopen_for_change(call, err))
        return false;
    record = &reading->common.image->record;
    image_forget_checksum(reading->common.image);
    record->checksum = xstrdup(reading->checksum);
    record->checksum_ns = clock_wall_ns();
    record->checksum_of = xstrdup(reading->data_time);
    return write_change(call, err);
}

static enum outcome
checksum_record(struct call *call)
{
    _cleanup_(error_freep) struct error *error = NULL;

    if (!record_checksum(call, &error))
        return fail_or_retry(call, TAKE(error));
    write_checksum_result(call);
    return call_complete(call, NULL);
}

static bool
was_damaged(const struct call *call)
{
    return ((const struct reading *)call->state)->was_damaged;
}

/* It was found damaged once and now is sound, by the same checksum: say so. */
static enum outcome
verify_clear(struct call *call)
{
    struct reading *reading = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!reopen_for_change(call, &error))
        return fail_or_retry(call, TAKE(error));
    free(TAKE(reading->common.image->record.damage));
    return write_change(call, &error) ? call_complete(call, "sound again")
                                      : call_fail(call, TAKE(error));
}

static enum outcome
verify_tell(struct call *call)
{
    write_checksum_result(call);
    return call_complete(call, NULL);
}

static bool
found_damage(const struct call *call)
{
    return call_error(call) && call_error(call)->code == ERROR_VERIFY_FAILED;
}

/* The image must not be used any more, and says why, also to other hosts. */
static enum outcome
verify_mark(struct call *call)
{
    struct reading *reading = call->state;
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_free_ char *reason = xstrdup(call_error(call)->message);

    if (!reopen_for_change(call, &error))
        return fail_or_retry(call, TAKE(error));
    free(reading->common.image->record.damage);
    reading->common.image->record.damage = TAKE(reason);
    return write_change(call, &error) ? call_complete(call, "marked as broken")
                                      : call_fail(call, TAKE(error));
}

#define READ_ERRORS                                                                                \
    ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND,        \
           ERROR_IMAGE_IN_USE, ERROR_IMAGE_BROKEN, ERROR_CONFLICT, ERROR_VERIFY_FAILED,            \
           ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED)

const struct verb image_check_verbs[] = {
    {
        .name = "image.verify",
        .summary = "Read all of an image, check its structure and its recorded checksum.",
        .description =
            "Answers when it begins; the task's end says what was found.  A damaged image becomes 'broken'.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct image_args),
        .params = PARAMS(IMAGE_PARAMS(image_args)),
        .result = &image_reference_shape,
        .errors = READ_ERRORS,
        .steps = STEPS(
            { "find repository", image_find_repository, .pool = POOL_LOOP },
            { "lock image", verify_begin, .pool = POOL_REPOSITORY, .responds = true },
            { "read", verify_read, .pool = POOL_COPY },
            { "clear the damage", verify_clear, .pool = POOL_REPOSITORY, .only_if = was_damaged },
            { "tell", verify_tell, .pool = POOL_LOOP },
            { "mark as broken", verify_mark, .pool = POOL_REPOSITORY, .when = ON_FAILURE,
              .only_if = found_damage }),
        .state_size = sizeof(struct reading),
        .state_done = reading_done,
        .object = image_name_object,
    },
    {
        .name = "image.checksum",
        .summary = "Take the checksum of an image's visible contents, and record it.",
        .description =
            "Answers when it begins; the task's result has the checksum, and so has image.status.  It is "
            "equal whatever the format, chain or sparseness.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct image_args),
        .params = PARAMS(IMAGE_PARAMS(image_args)),
        .result = &image_reference_shape,
        .errors = READ_ERRORS,
        .steps = STEPS({ "find repository", image_find_repository, .pool = POOL_LOOP },
                       { "lock image", checksum_begin, .pool = POOL_REPOSITORY, .responds = true },
                       { "read", checksum_read, .pool = POOL_COPY },
                       { "record", checksum_record, .pool = POOL_REPOSITORY }),
        .state_size = sizeof(struct reading),
        .state_done = reading_done,
        .object = image_name_object,
    },
    { 0 },
};
