/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done through a ticket, on a worker: pieces small enough that whoever shares the ticket has
 * a turn soon.
 */
#include <config.h>

#include <string.h>

#include "agent/base/thread.h"
#include "storage/ticket.h"

#define EXTENT_TEXT_MAX 128 /* bytes of one as JSON */
#define EXTENTS_AT_ONCE 4096

/* Data is written only behind this: a kill from now on leaves an upload that has not finished. */
static bool
mark_upload(struct ticket *ticket, struct error **err)
{
    struct image *image = ticket->image;
    struct writer writer = WRITER_INIT;
    char *checksum, *checksum_of;

    if (image->record.upload)
        return true;
    checksum = TAKE(image->record.checksum);
    checksum_of = TAKE(image->record.checksum_of);
    image->record.complete = false;
    image->record.upload = true;
    if (!image_write_record(image, err)) {
        image->record.complete = true;
        image->record.upload = false;
        image->record.checksum = checksum;
        image->record.checksum_of = checksum_of;
        return error_wrap(err, "cannot begin the upload");
    }
    free(checksum);
    free(checksum_of);
    image_write_status_of(image, &writer);
    ticket->changed = writer.text;
    return true;
}

static bool
flush(struct ticket *ticket, struct error **err)
{
    if (endpoint_flush(ticket->endpoint, err))
        return true;
    /* The kernel tells of what it could not write once, and forgets it. */
    ticket->unsound = true;
    return false;
}

/* ---- extents ---- */

static void
tell_run(struct ticket_work *work)
{
    struct ticket_extents *extents = &work->extents;
    struct writer writer = WRITER_INIT;

    writer_object(&writer);
    writer_member_unsigned(&writer, "start", extents->start);
    writer_member_unsigned(&writer, "length", extents->position - extents->start);
    writer_member_bool(&writer, "zero", extents->zero);
    writer_member_bool(&writer, "hole", false);
    writer_end_object(&writer);
    work->chunk->bytes[work->chunk->size++] = extents->start == 0 ? '[' : ',';
    memcpy(work->chunk->bytes + work->chunk->size, writer.text.bytes, writer.text.length);
    work->chunk->size += writer.text.length;
    writer_done(&writer);
}

static bool
write_extents(struct ticket *ticket, struct ticket_work *work, struct error **err)
{
    struct ticket_extents *extents = &work->extents;

    for (unsigned i = 0; i < EXTENTS_AT_ONCE && extents->position < ticket->size; i++) {
        bool zero;
        uint64_t end;

        if (work->chunk->size + 2 * EXTENT_TEXT_MAX > work->chunk->capacity)
            return true;
        if (!endpoint_extent(ticket->endpoint, extents->position, ticket->size, &zero, &end, err))
            return false;
        if (extents->begun && zero != extents->zero) {
            tell_run(work);
            extents->start = extents->position;
        }
        extents->begun = true;
        extents->zero = zero;
        extents->position = end;
    }
    if (extents->position < ticket->size)
        return true;
    tell_run(work);
    work->chunk->bytes[work->chunk->size++] = ']';
    work->chunk->bytes[work->chunk->size++] = '\n';
    extents->over = true;
    return true;
}

/* ---- all kinds ---- */

static bool
run(struct ticket *ticket, struct ticket_work *work, struct error **err)
{
    struct endpoint *endpoint = ticket->endpoint;

    switch (work->kind) {
    case TICKET_READ:
        work->chunk->size = (size_t)work->size;
        return endpoint_read(endpoint, work->offset, work->chunk->bytes, (size_t)work->size, err);
    case TICKET_WRITE:
        return mark_upload(ticket, err) &&
               endpoint_write(endpoint, work->offset, work->chunk->bytes, (size_t)work->size,
                              err) &&
               (!work->flush || flush(ticket, err));
    case TICKET_ZERO:
        return mark_upload(ticket, err) && endpoint_zero(endpoint, work->offset, work->size, err) &&
               (!work->flush || flush(ticket, err));
    case TICKET_FLUSH: return flush(ticket, err);
    case TICKET_EXTENTS: return write_extents(ticket, work, err);
    }
    return false;
}

void
ticket_work_run(struct ticket *ticket, struct ticket_work *work)
{
    WORKER_ONLY();
    (void)!run(ticket, work, &work->error);
}

/* ---- the end ---- */

bool
ticket_complete(struct ticket *ticket, struct error **err)
{
    struct image_record *record = &ticket->image->record;

    WORKER_ONLY();
    if (!record->upload)
        return true;
    if (ticket->unsound)
        return error_set(
            err, ERROR_BACKEND_FAILED,
            "a flush of what was uploaded has failed: the image stays incomplete, and is "
            "to be uploaded again through a new ticket");
    if (!flush(ticket, err))
        return error_wrap(err, "the image stays incomplete");
    record->upload = false;
    record->complete = true;
    record->generation++;
    if (image_write_record(ticket->image, err))
        return true;
    record->upload = true;
    record->complete = false;
    record->generation--;
    return error_wrap(err, "the image stays incomplete");
}

void
ticket_close(struct ticket *ticket)
{
    WORKER_ONLY();
    endpoint_close(TAKE(ticket->endpoint));
    image_close(TAKE(ticket->image));
}
