/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image-steps.h"

#include "storage/image-data.h"

const struct shape image_status_shape = {
    .name = "ImageStatus",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"repository\",\"image\",\"state\",\"reason\","
        "\"mutable\",\"format\",\"size\",\"allocated\",\"base\",\"checksum\",\"created\",\"generation\",\"userData\","
        "\"copy\",\"uses\"],\"properties\":{\"repository\":{\"type\":\"string\"},\"image\":{\"type\":\"string\"},"
        "\"state\":{\"enum\":[\"optimized\",\"degraded\",\"broken\"]},\"reason\":{\"type\":[\"string\",\"null\"]},"
        "\"mutable\":{\"type\":[\"boolean\",\"null\"]},\"format\":{\"enum\":[\"raw\",\"qcow2\",null]},"
        "\"size\":{\"type\":[\"integer\",\"null\"]},\"allocated\":{\"type\":[\"integer\",\"null\"]},"
        "\"base\":{\"type\":[\"string\",\"null\"]},\"checksum\":{\"type\":[\"object\",\"null\"],\"required\":"
        "[\"algorithm\",\"value\",\"time\"]},\"created\":{\"type\":[\"string\",\"null\"]},"
        "\"generation\":{\"type\":[\"integer\",\"null\"]},\"userData\":{\"type\":[\"object\",\"null\"]},"
        "\"copy\":{\"type\":[\"object\",\"null\"],\"required\":[\"source\",\"done\",\"total\",\"host\",\"task\","
        "\"active\",\"updated\",\"onCrash\"]},\"uses\":{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"object\","
        "\"additionalProperties\":false,\"required\":[\"vm\",\"name\",\"host\",\"since\",\"writable\"],\"properties\":{"
        "\"vm\":{\"type\":\"string\"},\"name\":{\"type\":[\"string\",\"null\"]},\"host\":{\"type\":\"string\"},"
        "\"since\":{\"type\":[\"string\",\"null\"]},\"writable\":{\"type\":\"boolean\"}}}}}}",
};

const struct shape image_reference_shape = {
    .name = "ImageReference",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"repository\",\"image\"],"
        "\"properties\":{\"repository\":{\"type\":\"string\"},\"image\":{\"type\":\"string\"},"
        "\"checksum\":{\"type\":\"object\",\"required\":[\"algorithm\",\"value\"]}}}",
};

const char *const image_format_choices[] = { "raw", "qcow2", NULL };

enum outcome
image_find_repository(struct call *call)
{
    const struct image_args *args = call->args;
    struct image_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!repository_find(call->context, args->repository, &state->repository, &error))
        return call_fail(call, TAKE(error));
    image_set_lanes(call, state->repository);
    return call_complete(call, NULL);
}

void
image_set_lanes(struct call *call, struct repository *repository)
{
    call_set_lane(call, POOL_REPOSITORY, &repository->lane);
    call_set_lane(call, POOL_COPY, &repository->copies);
}

void
image_state_done(struct call *call)
{
    struct image_state *state = call->state;

    image_close(TAKE(state->image));
    repository_unref(TAKE(state->repository));
}

void
image_name_object(const void *args, struct object_name *ret_object)
{
    const struct image_args *image = args;

    *ret_object = (struct object_name){ "image", image->repository, image->image };
}

bool
image_open_base(struct repository *repository, const char *id, uint64_t size,
                struct image **ret_base, struct error **err)
{
    _cleanup_(image_closep) struct image *base = NULL;

    if (!image_open_locked(repository, id, IMAGE_LOCK_SHARED, NULL, &base, err) ||
        !image_require_usable(base, err))
        return error_wrap(err, "cannot use the base");
    if (!image_require_finished(base, err))
        return false;
    if (base->record.mutable) {
        error_set(err, ERROR_WRONG_STATE,
                  "the base '%s' is mutable: make it immutable first (image.update)", id);
        error_data_text(err, "state", "mutable");
        return error_data_text(err, "needs", "immutable");
    }
    if (base->record.size > size)
        return error_param(err, "base", "is larger than the image: %llu bytes",
                           (unsigned long long)base->record.size);
    *ret_base = TAKE(base);
    return true;
}

void
image_on_progress(void *call, uint64_t done, uint64_t total)
{
    call_progress(call, done, total, "bytes");
}

bool
image_on_aborted(void *call)
{
    return call_aborted(call);
}

char *
image_holder(const struct call *call)
{
    return xprintf("%s %s", call->agent->host_id, call_task(call));
}

static void
publish(struct call *call, const char *topic, const struct repository *repository, const char *id,
        const struct text *data)
{
    _cleanup_free_ char *subject = xprintf("%s/%s", repository->name, id);

    call_event(call, topic, subject, data);
}

void
image_tell(struct call *call, const struct image *image, struct writer *result)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    image_write_status_of(image, &writer);
    publish(call, "image.changed", image->repository, image->id, &writer.text);
    if (result)
        writer_json(result, writer.text.bytes, writer.text.length);
}

bool
image_tell_status(struct call *call, struct repository *repository, const char *id,
                  struct writer *result, struct error **err)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    if (!image_write_status(repository, id, &writer, err))
        return false;
    publish(call, "image.changed", repository, id, &writer.text);
    if (result)
        writer_json(result, writer.text.bytes, writer.text.length);
    return true;
}

void
image_settle(struct call *call, struct image *image, struct writer *result)
{
    image->settled = true;
    image_tell(call, image, result);
    image_lock_release(TAKE(image->lock));
}

void
image_tell_removed(struct call *call, const struct repository *repository, const char *id)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    writer_object(&writer);
    writer_member_string(&writer, "repository", repository->name);
    writer_member_string(&writer, "image", id);
    writer_end_object(&writer);
    publish(call, "image.removed", repository, id, &writer.text);
}

void
image_write_reference(struct call *call, const char *repository, const char *image)
{
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_string(writer, "repository", repository);
    writer_member_string(writer, "image", image);
    writer_end_object(writer);
}
