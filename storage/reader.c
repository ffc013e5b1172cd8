/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/reader.h"

#include <string.h>

#define AHEAD (2 * READER_LEAVES_MAX)
#define ALIGNMENT 4096
#define WAIT_MS 50 /* how often an endpoint looks whether it is to give up */

struct place {
    struct leaf leaf;
    bool hole;
    struct endpoint_request request;
    char *buffer; /* READER_LEAF_SIZE; owned, or NULL so far */
};

struct reader {
    struct endpoint *source;
    uint64_t total, begun; /* bytes; 'begun': where the next request begins */
    struct place places[AHEAD];
    size_t first, count; /* of the ring */
    size_t handed_out;   /* the first so many of them */
};

bool
reader_new(struct endpoint *source, struct reader **ret_reader, struct error **err)
{
    struct reader *reader = xalloc(sizeof(*reader));

    reader->source = source;
    reader->total = endpoint_size(source);
    *ret_reader = reader;
    for (size_t i = 0; i < AHEAD; i++) {
        void *buffer = NULL;

        if (posix_memalign(&buffer, ALIGNMENT, READER_LEAF_SIZE) != 0) {
            reader_free(TAKE(*ret_reader));
            return error_set(err, ERROR_BACKEND_FAILED, "no memory to read with");
        }
        reader->places[i].buffer = buffer;
    }
    return true;
}

static bool
is_under_way(const struct reader *reader)
{
    for (size_t i = 0; i < AHEAD; i++) {
        const struct place *place = &reader->places[i];

        if (place->request.endpoint && !place->request.done)
            return true;
    }
    return false;
}

void
reader_free(struct reader *reader)
{
    if (!reader)
        return;
    if (is_under_way(reader))
        endpoint_cancel(reader->source);
    for (size_t i = 0; i < AHEAD; i++) {
        error_free(reader->places[i].request.error);
        free(reader->places[i].buffer);
    }
    free(reader);
}

/* Whether all of the leaf is known to be zero without reading it. */
static bool
find_hole(struct endpoint *source, const struct leaf *leaf, bool *ret_hole, struct error **err)
{
    uint64_t offset = leaf->offset, end = offset + leaf->size;

    *ret_hole = true;
    while (*ret_hole && offset < end)
        if (!endpoint_extent(source, offset, end, ret_hole, &offset, err))
            return false;
    return true;
}

static bool
fail_at(const struct leaf *leaf, struct error **err)
{
    return error_data_number(err, "offset", (int64_t)leaf->offset);
}

static bool
begin_leaf(struct reader *reader, struct error **err)
{
    struct place *place = &reader->places[(reader->first + reader->count) % AHEAD];
    uint64_t left = reader->total - reader->begun;

    place->leaf.offset = reader->begun;
    place->leaf.size = left < READER_LEAF_SIZE ? (size_t)left : READER_LEAF_SIZE;
    place->request = (struct endpoint_request){ .act = ENDPOINT_DO_READ,
                                                .offset = place->leaf.offset,
                                                .bytes = place->buffer,
                                                .size = place->leaf.size };
    if (!find_hole(reader->source, &place->leaf, &place->hole, err))
        return fail_at(&place->leaf, err);
    reader->begun += place->leaf.size;
    reader->count++;
    place->leaf.bytes = place->hole ? NULL : place->buffer;
    if (place->hole)
        place->request.done = true;
    else
        endpoint_begin(reader->source, &place->request);
    return true;
}

/* What was handed out is the reader's again. */
static void
take_back(struct reader *reader)
{
    reader->first = (reader->first + reader->handed_out) % AHEAD;
    reader->count -= reader->handed_out;
    reader->handed_out = 0;
}

static bool
wait_for(struct reader *reader, struct place *place, struct error **err)
{
    endpoint_wait(reader->source, NULL, 0);
    while (!place->request.done)
        endpoint_wait(reader->source, NULL, WAIT_MS);
    if (!place->request.error)
        return true;
    *err = TAKE(place->request.error);
    return fail_at(&place->leaf, err);
}

bool
reader_next(struct reader *reader, struct leaf *ret_leaves, size_t most, size_t *ret_count,
            struct error **err)
{
    take_back(reader);
    while (reader->count < AHEAD && reader->begun < reader->total)
        if (!begin_leaf(reader, err))
            return false;
    for (size_t i = 0; i < most && i < reader->count; i++) {
        struct place *place = &reader->places[(reader->first + i) % AHEAD];

        /* A failure is told when it is the first: what is before it was read. */
        if (i > 0 && (!place->request.done || place->request.error))
            break;
        if (i == 0 && !wait_for(reader, place, err))
            return false;
        ret_leaves[i] = place->leaf;
        reader->handed_out++;
    }
    *ret_count = reader->handed_out;
    return true;
}

/* memcmp() with itself one byte on: as fast as memcmp(), which is vector code. */
bool
reader_is_zero(const char *bytes, size_t size)
{
    return bytes[0] == 0 && (size == 1 || memcmp(bytes, bytes + 1, size - 1) == 0);
}
