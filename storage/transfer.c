/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/transfer.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "agent/base/clock.h"
#include "storage/copy.h"
#include "storage/endpoint.h"
#include "storage/url.h"
#include "storage/image-data.h"

void
transfer_release(struct transfer *transfer)
{
    image_close(TAKE(transfer->source));
    image_close(TAKE(transfer->base));
    image_discard(TAKE(transfer->target)); /* one that was published is only closed */
    copy_record_done(&transfer->record);
    repository_unref(TAKE(transfer->source_repository));
    repository_unref(TAKE(transfer->target_repository));
    free(TAKE(transfer->export_socket));
    free(TAKE(transfer->export_name));
    free(TAKE(transfer->export_bitmap));
}

void
transfer_done(struct call *call)
{
    transfer_release(call->state);
}

static struct transfer *
transfer_of(struct call *call)
{
    struct transfer *transfer = call->state;

    transfer->call = call;
    return transfer;
}

void
transfer_sign_of(struct transfer *transfer)
{
    memcpy(transfer->record.host, transfer->call->agent->host_id, UUID_TEXT_SIZE);
    free(transfer->record.task);
    transfer->record.task = xstrdup(call_task(transfer->call));
    transfer->record.updated_ns = clock_wall_ns();
}

void
transfer_sign(struct call *call)
{
    transfer_sign_of(transfer_of(call));
}

/* What is said about the image may change meanwhile, so its generation tells nothing; and a guest
   that writes to it raises none. */
static bool
identify_image(const struct image *image, char **ret_identity, struct error **err)
{
    _cleanup_free_ char *time = NULL;

    if (!image_data_time(image, &time, err)) {
        (*err)->code = ERROR_CONFLICT;
        return false;
    }
    *ret_identity = xprintf("size %" PRIu64 ", %s, made %" PRId64, image->record.size, time,
                            image->record.created_ns);
    return true;
}

bool
transfer_identify_source(const struct transfer *transfer, const atomic_bool *abort,
                         char **ret_identity, struct error **err)
{
    const char *path = transfer->record.source_path;
    struct stat status;

    if (transfer->source)
        return identify_image(transfer->source, ret_identity, err);
    if (url_is(path))
        return url_identify(path, abort, ret_identity, err);
    if (lstat(path, &status) < 0)
        return error_set(err, ERROR_CONFLICT, "the source '%s' is not there any more", path);
    *ret_identity = xprintf("size %lld, modified %lld.%09ld, inode %llu", (long long)status.st_size,
                            (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
                            (unsigned long long)status.st_ino);
    return true;
}

bool
transfer_prepare_target(struct transfer *transfer, const char *id, struct image_record *record,
                        struct error **err)
{
    _cleanup_free_ char *holder = image_holder(transfer->call), *base_name = NULL;

    record->complete = false;
    record->generation = 0;
    record->created_ns = clock_wall_ns();
    transfer->record.done = 0;
    transfer_sign_of(transfer);
    if (transfer->base)
        base_name = image_backing_name(transfer->base);
    if (image_make(transfer->target_repository, id, record, &transfer->record, holder,
                   &transfer->target, err) &&
        endpoint_create(transfer->target->folder, FORMAT_DATA, record->format, record->size,
                        ENDPOINT_TO_FILL, base_name,
                        transfer->base ? transfer->base->record.format : IMAGE_RAW,
                        call_abort_flag(transfer->call), err))
        return true;
    return transfer_explain_space(transfer->target_repository->images, record->size, err);
}

bool
transfer_make_target(struct call *call, const char *id, struct image_record *record,
                     struct error **err)
{
    struct transfer *transfer = transfer_of(call);

    if (!transfer_prepare_target(transfer, id, record, err))
        return false;
    return image_publish(transfer->target, err) ||
           transfer_explain_space(transfer->target_repository->images, record->size, err);
}

/* ---- the copy itself ---- */

static uint64_t
on_rate(void *context)
{
    return call_rate(context);
}

/* A file that cannot be written because its directory has gone is not the file's fault. */
static bool
explain_loss(const struct image *image, struct error **err)
{
    if ((*err)->code == ERROR_NO_SPACE || image_is_named(image))
        return false;
    (*err)->code = ERROR_REPOSITORY_UNAVAILABLE;
    return error_wrap(err, "image '%s' is not in repository '%s' any more", image->id,
                      image->repository->name);
}

static bool
on_checkpoint(void *context, uint64_t done, struct error **err)
{
    struct transfer *transfer = context;

    transfer->record.done = done < transfer->record.total ? done : transfer->record.total;
    transfer->record.updated_ns = clock_wall_ns();
    transfer->record.bytes_per_second = call_rate(transfer->call);
    if (!image_lock_confirm(transfer->target->lock, transfer->target->id, err))
        return false;
    return image_write_copy(transfer->target, &transfer->record, err) ||
           explain_loss(transfer->target, err);
}

static void
on_progress(void *context, uint64_t done, uint64_t total)
{
    const struct transfer *transfer = context;

    done += transfer->done_before;
    total = transfer->total_of_all ? transfer->total_of_all : total;
    call_progress(transfer->call, done, total, "bytes");
    if (transfer->told)
        transfer->told(transfer->call, done, total);
}

static bool
on_aborted(void *context)
{
    const struct transfer *transfer = context;

    return call_aborted(transfer->call) || (transfer->canceled && atomic_load(transfer->canceled));
}

static uint64_t
on_own_rate(void *context)
{
    return call_rate(((const struct transfer *)context)->call);
}

static void
prepare(struct transfer *transfer, struct copy *ret_copy)
{
    *ret_copy = (struct copy){
        .progress = on_progress, .aborted = on_aborted, .rate = on_own_rate, .context = transfer
    };
}

void
transfer_prepare(struct call *call, struct copy *ret_copy)
{
    *ret_copy = (struct copy){
        .progress = image_on_progress, .aborted = image_on_aborted, .rate = on_rate, .context = call
    };
}

bool
transfer_explain_space(struct folder *folder, uint64_t needed, struct error **err)
{
    struct statvfs space;

    if ((*err)->code != ERROR_NO_SPACE || !folder_space(folder, &space))
        return false;
    error_data_number(err, "needed", (int64_t)needed);
    return error_data_number(err, "available", (int64_t)space.f_bavail * (int64_t)space.f_frsize);
}

static bool
open_image(const struct transfer *transfer, const struct image *image, enum endpoint_mode mode,
           struct endpoint **ret_endpoint, struct error **err)
{
    return image_open_data(image, mode, call_abort_flag(transfer->call), ret_endpoint, err);
}

static bool
open_foreign(const struct transfer *transfer, struct endpoint **ret_source, struct error **err)
{
    const atomic_bool *abort = call_abort_flag(transfer->call);
    const struct copy_record *record = &transfer->record;

    if (transfer->export_socket)
        return endpoint_open_export(transfer->export_socket, transfer->export_name,
                                    transfer->export_bitmap, abort, ret_source, err);
    return url_is(record->source_path)
               ? endpoint_open_url(record->source_path, record->source_format, abort, ret_source,
                                   err)
               : endpoint_open(NULL, record->source_path, record->source_format, ENDPOINT_READ,
                               false, abort, ret_source, err);
}

static bool
open_source(const struct transfer *transfer, struct endpoint **ret_source, struct error **err)
{
    const struct copy_record *record = &transfer->record;

    if (!(transfer->source ? open_image(transfer, transfer->source, ENDPOINT_READ, ret_source, err)
                           : open_foreign(transfer, ret_source, err)))
        return error_wrap(err, "source");
    if (endpoint_size(*ret_source) == record->total)
        return true;
    error_set(err, ERROR_CONFLICT,
              "the source was of %llu bytes when the copy was begun, and is of %llu: remove the "
              "image and copy again",
              (unsigned long long)record->total, (unsigned long long)endpoint_size(*ret_source));
    endpoint_close(TAKE(*ret_source));
    return false;
}

/* By what it was copied, for the report. */
static void
tell_method(const struct transfer *transfer, const struct copy *copy, struct text *ret_how)
{
    if (transfer->shared)
        text_append_string(ret_how, "shared with the source (reflink)");
    if (transfer->shared >= transfer->record.total - copy->from)
        return;
    text_append_string(ret_how, transfer->shared ? "; the rest read by " : "read by ");
    endpoint_tell_method(copy->source, ret_how);
    text_append_string(ret_how, ", written by ");
    endpoint_tell_method(copy->target, ret_how);
}

static bool
run_copy(struct transfer *transfer, struct text *ret_how, struct error **err)
{
    _cleanup_(endpoint_closep) struct endpoint *source = NULL, *target = NULL;
    struct copy copy;

    if (!open_source(transfer, &source, err) ||
        !open_image(transfer, transfer->target, ENDPOINT_FILL, &target, err))
        return false;
    prepare(transfer, &copy);
    copy.source = source;
    copy.target = target;
    copy.from = transfer->record.done;
    copy.only_changed = transfer->export_bitmap != NULL;
    copy.only_difference = transfer->target->record.base && !copy.only_changed;
    /* A new target reads as zeros.  Behind the record of an interrupted copy it may hold anything
       that was written since. */
    copy.target_is_zero = !transfer->resumed && !transfer->target->record.base;
    copy.shared = &transfer->shared;
    copy.checkpoint = on_checkpoint;
    if (!copy_run(&copy, err))
        return false;
    tell_method(transfer, &copy, ret_how);
    return true;
}

/* A file has no lock, and a guest does not ask for an image's: what was written meanwhile shows in the
   identity only. */
static bool
check_source_unchanged(const struct transfer *transfer, struct error **err)
{
    _cleanup_free_ char *identity = NULL;

    return transfer_identify_source(transfer, call_abort_flag(transfer->call), &identity, err) &&
           (strcmp(identity, transfer->record.source_identity) == 0 ||
            error_set(err, ERROR_CONFLICT,
                      "the source has changed while it was copied (%s, now %s): remove the image "
                      "and copy again",
                      transfer->record.source_identity, identity));
}

/* What was killed in the middle of an allocation has leaked clusters: space, nothing else. */
static bool
mend_leaks(const struct transfer *transfer, struct error **err)
{
    return !transfer->resumed || transfer->target->record.format != IMAGE_QCOW2 ||
           endpoint_check(transfer->target->folder, image_record_data(&transfer->target->record),
                          true, call_abort_flag(transfer->call), err);
}

bool
transfer_run(struct transfer *transfer, struct text *ret_how, struct error **err)
{
    return (run_copy(transfer, ret_how, err) && check_source_unchanged(transfer, err) &&
            mend_leaks(transfer, err)) ||
           transfer_explain_space(transfer->target->folder,
                                  transfer->record.total - transfer->record.done, err);
}

enum outcome
transfer_copy(struct call *call)
{
    struct transfer *transfer = transfer_of(call);
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_text_ struct text how = TEXT_INIT;
    uint64_t from = transfer->record.done;

    call_progress(call, from, transfer->record.total, "bytes");
    if (!transfer_run(transfer, &how, &error))
        return call_fail(call, TAKE(error));
    return call_complete(call, "%" PRIu64 " bytes from byte %" PRIu64 " on: %s",
                         transfer->record.total - from, from,
                         how.length ? how.bytes : "nothing was left to copy");
}

bool
transfer_verifies(const struct call *call)
{
    return ((const struct transfer *)call->state)->record.verify;
}

static bool
compare(struct transfer *transfer, struct error **err)
{
    _cleanup_(endpoint_closep) struct endpoint *source = NULL, *target = NULL;
    struct copy copy;

    prepare(transfer, &copy);
    if (!open_source(transfer, &source, err) ||
        !open_image(transfer, transfer->target, ENDPOINT_READ, &target, err))
        return false;
    copy.source = source;
    copy.target = target;
    return copy_compare(&copy, err);
}

enum outcome
transfer_verify(struct call *call)
{
    _cleanup_(error_freep) struct error *error = NULL, *ignored = NULL;
    struct transfer *transfer = transfer_of(call);

    if (compare(transfer, &error))
        return call_complete(call, "equal to its source");
    /* Nothing that was copied can be relied on: image.resume is to copy it all again.  Where this
       cannot be recorded either, it finds the same difference again. */
    if (error->code == ERROR_VERIFY_FAILED)
        (void)!on_checkpoint(transfer, 0, &ignored);
    return call_fail(call, TAKE(error));
}

/* ---- the end ---- */

bool
transfer_complete(struct transfer *transfer, struct error **err)
{
    struct image *target = transfer->target;
    const struct image *source = transfer->source;
    /* A left-over that repository.check reports. */
    _cleanup_(error_freep) struct error *ignored = NULL;

    if (source && image_checksum_is_current(source) && source->record.size == target->record.size) {
        image_forget_checksum(target);
        target->record.checksum = xstrdup(source->record.checksum);
        target->record.checksum_ns = source->record.checksum_ns;
        if (!image_data_time(target, &target->record.checksum_of, err))
            return explain_loss(target, err);
    }
    if (!image_lock_confirm(target->lock, target->id, err))
        return false;
    target->record.complete = true;
    target->record.generation++;
    if (!image_write_record(target, err)) {
        target->record.complete = false;
        target->record.generation--;
        return explain_loss(target, err);
    }
    (void)!folder_unlink(target->folder, FORMAT_COPY_FILE, &ignored);
    return true;
}

enum outcome
transfer_finish(struct call *call)
{
    struct transfer *transfer = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!transfer_complete(transfer, &error))
        return call_fail(call, TAKE(error));
    image_settle(call, transfer->target, NULL);
    return call_complete(call, "generation %llu",
                         (unsigned long long)transfer->target->record.generation);
}

/* Who aborts a copy does not want the agent to go on with it when it starts next. */
static bool
forget_resumption(struct transfer *transfer, struct error **err)
{
    if (!transfer->record.resume_on_crash)
        return true;
    transfer->record.resume_on_crash = false;
    return image_write_copy(transfer->target, &transfer->record, err);
}

enum outcome
transfer_tell_failure(struct call *call)
{
    struct transfer *transfer = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!transfer->target || transfer->target->hidden)
        return call_complete(call, "nothing was shown of it");
    if (!image_is_named(transfer->target))
        return call_complete(call, "the image is not there any more");
    if (call_aborted(call) && !forget_resumption(transfer, &error)) {
        image_settle(call, transfer->target, NULL);
        return call_complete(call,
                             "the image stays, incomplete, and is resumed at the next start: %s",
                             error->message);
    }
    image_settle(call, transfer->target, NULL);
    return call_complete(call, "the image stays, incomplete, and can be resumed");
}
