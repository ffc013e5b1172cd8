/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether two endpoints show the same, read side by side.
 */
#include <config.h>

#include <string.h>

#include "agent/base/thread.h"
#include "storage/copy.h"
#include "storage/reader.h"

static bool
is_equal(const struct leaf *one, const struct leaf *other)
{
    if (one->bytes && other->bytes)
        return memcmp(one->bytes, other->bytes, one->size) == 0;
    if (!one->bytes && !other->bytes)
        return true;
    return reader_is_zero(one->bytes ? one->bytes : other->bytes, one->size);
}

static bool
differ_at(const struct leaf *one, const struct leaf *other, struct error **err)
{
    uint64_t offset = one->offset;

    for (size_t i = 0; i < one->size; i++, offset++)
        if ((one->bytes ? one->bytes[i] : 0) != (other->bytes ? other->bytes[i] : 0))
            break;
    error_set(err, ERROR_VERIFY_FAILED, "the copy differs from its source at byte %llu",
              (unsigned long long)offset);
    return error_data_number(err, "offset", (int64_t)offset);
}

static bool
compare(const struct copy *copy, struct reader *source, struct reader *target, struct error **err)
{
    struct leaf one, other;
    size_t count, other_count;

    for (;;) {
        if (!reader_next(source, &one, 1, &count, err) ||
            !reader_next(target, &other, 1, &other_count, err))
            return false;
        if (count == 0)
            return true;
        if (!is_equal(&one, &other))
            return differ_at(&one, &other, err);
        if (copy->aborted && copy->aborted(copy->context))
            return error_set(err, ERROR_TASK_ABORTED, "the comparison was aborted at byte %llu",
                             (unsigned long long)one.offset);
    }
}

bool
copy_compare(const struct copy *copy, struct error **err)
{
    _cleanup_(reader_freep) struct reader *source = NULL, *target = NULL;

    WORKER_ONLY();
    if (endpoint_size(copy->source) != endpoint_size(copy->target))
        return error_set(err, ERROR_VERIFY_FAILED, "the copy is of %llu bytes, its source of %llu",
                         (unsigned long long)endpoint_size(copy->target),
                         (unsigned long long)endpoint_size(copy->source));
    return reader_new(copy->source, &source, err) && reader_new(copy->target, &target, err) &&
           compare(copy, source, target, err);
}
