/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image's status, read from the disk and its lock alone: the order of the questions is that of
 * doc/formats.md.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/thread.h"
#include "storage/checksum.h"
#include "storage/image-data.h"
#include "storage/image-serve-record.h"
#include "storage/image-use.h"
#include "storage/url.h"

struct finding {
    const char *state; /* static text */
    char *reason;      /* owned, or NULL */
    bool has_data, has_copy, active;
    struct stat data;
    struct copy_record copy;
};

static void
finding_done(struct finding *finding)
{
    free(finding->reason);
    copy_record_done(&finding->copy);
}

static void
find_broken(struct finding *finding, char *reason_take)
{
    finding->state = "broken";
    free(finding->reason);
    finding->reason = reason_take;
}

static void
look_at_copy(const struct image *image, struct finding *finding)
{
    _cleanup_(error_freep) struct error *error = NULL;

    finding->has_copy = image_read_copy(image, &finding->copy, &error);
    if (strcmp(finding->state, "broken") == 0)
        return; /* for another reason; the progress is worth showing all the same */
    if (!finding->has_copy && image_has_uses(image))
        find_broken(finding, xstrdup("the disk of a VM is being moved into it"));
    else if (!finding->has_copy)
        find_broken(finding,
                    xprintf("incomplete, and how far it is cannot be read: %s", error->message));
    else if (finding->active)
        find_broken(finding, xstrdup("copy under way"));
    else
        find_broken(finding, xstrdup("copy abandoned: resume it, or remove the image"));
}

static void
find_degraded(struct finding *finding, const char *reason)
{
    finding->state = "degraded";
    free(finding->reason);
    finding->reason = xstrdup(reason);
}

/* What can be used, and is not as it should be. */
static void
look_at_rest(const struct image *image, struct finding *finding)
{
    const struct image_record *record = &image->record;

    if (record->merging)
        find_degraded(finding, finding->active ? "merge under way"
                                               : "a merge was interrupted: run image.merge again");
    else if (record->resizing)
        find_degraded(finding, finding->active
                                   ? "resize under way"
                                   : "a resize was interrupted: run image.resize again");
}

static void
look_at_upload(struct finding *finding)
{
    if (strcmp(finding->state, "broken") != 0)
        find_broken(finding,
                    xstrdup(finding->active ? "upload under way"
                                            : "an upload into it has not finished: go on with it "
                                              "through a new ticket, or remove the image"));
}

static void
look_at_image(const struct image *image, struct finding *finding)
{
    const struct image_record *record = &image->record;
    _cleanup_(error_freep) struct error *ignored = NULL, *unsettled = NULL;

    finding->state = "optimized";
    if (!image->settled)
        (void)!image_lock_is_held(image->folder, &finding->active, NULL, &ignored);
    finding->has_data = folder_stat(image->folder, image_record_data(record), &finding->data) &&
                        S_ISREG(finding->data.st_mode);
    if (record->damage)
        find_broken(finding, xprintf("damaged: %s", record->damage));
    else if (!finding->has_data)
        find_broken(finding, xstrdup("its data file is missing"));
    else if (record->format == IMAGE_RAW && (uint64_t)finding->data.st_size < record->size)
        find_broken(finding,
                    xprintf("its data ends at byte %lld of %llu", (long long)finding->data.st_size,
                            (unsigned long long)record->size));
    else if (!image_base_is_there(image))
        find_broken(finding, xprintf("its base '%s' is not in the repository", record->base));
    else if (!image_require_settled(image, &unsettled))
        find_broken(finding, xstrdup(unsettled->message));
    else if (record->complete)
        look_at_rest(image, finding);
    if (record->upload)
        look_at_upload(finding);
    else if (!record->complete)
        look_at_copy(image, finding);
    if (!finding->reason)
        finding->reason = serve_reason(image->repository->uuid, image->id);
}

static void
write_source(const struct copy_record *copy, struct writer *writer)
{
    writer_object(writer);
    if (copy->source_path && url_is(copy->source_path)) {
        _cleanup_free_ char *shown = url_show(copy->source_path);

        writer_member_string(writer, "url", shown);
    } else if (copy->source_path) {
        writer_member_string(writer, "path", copy->source_path);
    } else {
        writer_member_string(writer, "repository", copy->source_repository);
        writer_member_string(writer, "image", copy->source_image);
    }
    writer_end_object(writer);
}

static void
write_copy(const struct finding *finding, struct writer *writer)
{
    const struct copy_record *copy = &finding->copy;

    writer_object(writer);
    writer_key(writer, "source");
    write_source(copy, writer);
    writer_member_unsigned(writer, "done", copy->done);
    writer_member_unsigned(writer, "total", copy->total);
    writer_member_string(writer, "host", copy->host);
    writer_member_string(writer, "task", copy->task);
    writer_member_bool(writer, "active", finding->active);
    writer_member_time(writer, "updated", copy->updated_ns);
    writer_member_string(writer, "onCrash", copy->resume_on_crash ? "resume" : "leave");
    writer_end_object(writer);
}

static void
write_checksum(const struct image *image, struct writer *writer)
{
    const struct image_record *record = &image->record;

    if (!image_checksum_is_current(image)) {
        writer_null(writer);
        return;
    }
    writer_object(writer);
    writer_member_string(writer, "algorithm", CHECKSUM_ALGORITHM);
    writer_member_string(writer, "value", record->checksum);
    writer_member_time(writer, "time", record->checksum_ns);
    writer_end_object(writer);
}

/* An image whose record cannot be read: everything that it would tell is unknown. */
static void
write_unreadable(struct repository *repository, const char *id, const char *reason,
                 struct writer *writer)
{
    _cleanup_(image_closep) struct image *image = NULL;
    _cleanup_(error_freep) struct error *ignored = NULL;
    static const char *const unknown[] = {
        "mutable",  "format",  "size",       "allocated", "base",
        "checksum", "created", "generation", "userData",  "copy"
    };

    writer_object(writer);
    writer_member_string(writer, "repository", repository->name);
    writer_member_string(writer, "image", id);
    writer_member_string(writer, "state", "broken");
    writer_member_string(writer, "reason", reason);
    for (size_t i = 0; i < ARRAY_COUNT(unknown); i++)
        writer_member_null(writer, unknown[i]);
    writer_key(writer, "uses");
    if (image_open_directory(repository, id, &image, &ignored))
        image_write_uses(image, writer);
    else
        writer_null(writer);
    writer_end_object(writer);
}

static void
write_status(const struct image *image, const struct finding *finding, struct writer *writer)
{
    const struct image_record *record = &image->record;

    writer_object(writer);
    writer_member_string(writer, "repository", image->repository->name);
    writer_member_string(writer, "image", image->id);
    writer_member_string(writer, "state", finding->state);
    writer_member_string(writer, "reason", finding->reason);
    writer_member_bool(writer, "mutable", record->mutable);
    writer_member_string(writer, "format", image_format_name(record->format));
    writer_member_unsigned(writer, "size", record->size);
    writer_member_unsigned(writer, "allocated",
                           finding->has_data ? (uint64_t)finding->data.st_blocks * 512 : 0);
    writer_member_string(writer, "base", record->base);
    writer_key(writer, "checksum");
    write_checksum(image, writer);
    writer_member_time(writer, "created", record->created_ns);
    writer_member_unsigned(writer, "generation", record->generation);
    writer_member_json(writer, "userData", record->user_data ? record->user_data : "{}");
    writer_key(writer, "copy");
    if (finding->has_copy)
        write_copy(finding, writer);
    else
        writer_null(writer);
    writer_key(writer, "uses");
    image_write_uses(image, writer);
    writer_end_object(writer);
}

void
image_write_status_of(const struct image *image, struct writer *writer)
{
    _cleanup_(finding_done) struct finding finding = { 0 };

    WORKER_ONLY();
    look_at_image(image, &finding);
    write_status(image, &finding, writer);
}

/*
 * Without a lock the files are read one after the other, while somebody may end a copy (image.json,
 * then copy.json goes), put other data in the image's (image.json, then the old file goes) or remove
 * the image.  All look like damage, and none is: so what looks broken is read once more.
 */
static bool
find_without_lock(struct image *image, struct finding *finding, struct error **err)
{
    look_at_image(image, finding);
    if (strcmp(finding->state, "broken") != 0 || finding->has_copy)
        return true;
    if (!image_read_record(image, err))
        return false;
    finding_done(finding);
    *finding = (struct finding){ 0 };
    look_at_image(image, finding);
    return true;
}

bool
image_write_status(struct repository *repository, const char *id, struct writer *writer,
                   struct error **err)
{
    _cleanup_(image_closep) struct image *image = NULL;
    _cleanup_(finding_done) struct finding finding = { 0 };

    if (image_open(repository, id, &image, err) && find_without_lock(image, &finding, err)) {
        if (strcmp(finding.state, "broken") == 0 && !image_is_named(image))
            return error_set(err, ERROR_IMAGE_NOT_FOUND,
                             "there is no image '%s' in repository '%s'", id, repository->name);
        write_status(image, &finding, writer);
        return true;
    }
    if ((*err)->code != ERROR_IMAGE_BROKEN)
        return false;
    write_unreadable(repository, id, (*err)->message, writer);
    error_free(TAKE(*err));
    return true;
}
