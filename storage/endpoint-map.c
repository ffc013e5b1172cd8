/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A qcow2, and what it stands on, without QEMU: in which file and where each of its extents lies is what
 * qemu-img map tells, and there it is read like any file.
 *
 * Read only while nobody writes (our lock and QEMU's are held), and only what is neither compressed nor
 * encrypted, whose bytes are no image's.  Written only where qemu-img has just given each extent its
 * place (ENDPOINT_TO_FILL): then no metadata change while it is filled, so a kill leaves them whole.
 * Where this cannot be, it goes through qemu-nbd (storage/endpoint-nbd.c), which also tells what is
 * wrong.
 */
#include <config.h>

#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/child.h"
#include "agent/base/name.h"
#include "storage/endpoint-kind.h"

#define MAP_OUTPUT_MAX (32 * 1024 * 1024) /* bytes of JSON: some 300,000 extents */
#define MAP_TIMEOUT_MS 60000
#define INFO_OUTPUT_MAX (1024 * 1024)
#define LAYERS_MAX 32 /* of a chain; what is longer is for QEMU */

struct segment {
    uint64_t start, end; /* bytes of what the image shows; each begins where the last ends */
    uint64_t place;      /* in the layer's file; UINT64_MAX: it reads as zeros */
    size_t layer;
};

/* One request, as one or more of the file's. */
struct map_request {
    struct endpoint_request *whole; /* the caller's */
    struct map_request *next;
    size_t count;
    struct endpoint_request parts[];
};

struct map_endpoint {
    struct endpoint endpoint;
    struct endpoint *layers[LAYERS_MAX]; /* owned: its own file, then what it stands on */
    size_t layer_count;
    bool fills;               /* it is written to, and each segment has its place */
    struct segment *segments; /* owned; they cover all of it */
    size_t count;
    struct map_request *under_way; /* owned */
};

static struct map_endpoint *
map_of(struct endpoint *endpoint)
{
    return CONTAINER_OF(endpoint, struct map_endpoint, endpoint);
}

/* The one that 'offset' is in. */
static const struct segment *
find_segment(const struct map_endpoint *map, uint64_t offset)
{
    size_t first = 0, behind = map->count;

    while (behind - first > 1) {
        size_t middle = first + (behind - first) / 2;

        if (map->segments[middle].start <= offset)
            first = middle;
        else
            behind = middle;
    }
    return &map->segments[first];
}

/* What was filled so far is what the file itself tells. */
static bool
file_extent(const struct map_endpoint *map, const struct segment *segment, uint64_t offset,
            uint64_t end, bool *ret_zero, uint64_t *ret_end, struct error **err)
{
    uint64_t place = segment->place + (offset - segment->start), place_end;

    if (end > segment->end)
        end = segment->end;
    if (!endpoint_extent(map->layers[0], place, place + (end - offset), ret_zero, &place_end, err))
        return false;
    *ret_end = offset + (place_end - place);
    return true;
}

static bool
map_extent(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_zero,
           uint64_t *ret_end, struct error **err)
{
    const struct map_endpoint *map = map_of(endpoint);
    const struct segment *segment = find_segment(map, offset);
    const struct segment *behind = map->segments + map->count;

    if (map->fills)
        return file_extent(map, segment, offset, end, ret_zero, ret_end, err);
    *ret_zero = segment->place == UINT64_MAX;
    do
        *ret_end = segment->end;
    while (++segment < behind && *ret_end < end && (segment->place == UINT64_MAX) == *ret_zero);
    if (*ret_end > end)
        *ret_end = end;
    return true;
}

/* What of the range lies in one piece: in '*ret_file' at '*ret_place', or nowhere (NULL). */
static size_t
first_piece(const struct map_endpoint *map, uint64_t offset, size_t size,
            struct endpoint **ret_file, uint64_t *ret_place)
{
    const struct segment *segment = find_segment(map, offset);
    uint64_t there = segment->end - offset;

    *ret_file = segment->place == UINT64_MAX ? NULL : map->layers[segment->layer];
    *ret_place = segment->place + (offset - segment->start);
    return there < size ? (size_t)there : size;
}

static bool
map_read(struct endpoint *endpoint, uint64_t offset, void *ret_bytes, size_t size,
         struct error **err)
{
    struct map_endpoint *map = map_of(endpoint);
    char *bytes = ret_bytes;

    while (size > 0) {
        struct endpoint *file;
        uint64_t place;
        size_t piece = first_piece(map, offset, size, &file, &place);

        if (!file)
            memset(bytes, 0, piece);
        else if (!endpoint_read(file, place, bytes, piece, err))
            return false;
        bytes += piece;
        offset += piece;
        size -= piece;
    }
    return true;
}

static bool
map_write(struct endpoint *endpoint, uint64_t offset, const void *bytes, size_t size,
          struct error **err)
{
    struct map_endpoint *map = map_of(endpoint);
    const char *left = bytes;

    while (size > 0) {
        struct endpoint *file;
        uint64_t place;
        size_t piece = first_piece(map, offset, size, &file, &place);

        if (!endpoint_write(file, place, left, piece, err))
            return false;
        left += piece;
        offset += piece;
        size -= piece;
    }
    return true;
}

static bool
map_zero(struct endpoint *endpoint, uint64_t offset, uint64_t size, struct error **err)
{
    struct map_endpoint *map = map_of(endpoint);

    while (size > 0) {
        const struct segment *segment = find_segment(map, offset);
        uint64_t piece = segment->end - offset < size ? segment->end - offset : size;

        if (!endpoint_zero(map->layers[0], segment->place + (offset - segment->start), piece, err))
            return false;
        offset += piece;
        size -= piece;
    }
    return true;
}

static bool
map_flush(struct endpoint *endpoint, struct error **err)
{
    return endpoint_flush(map_of(endpoint)->layers[0], err);
}

static size_t
count_pieces(const struct map_endpoint *map, uint64_t offset, size_t size)
{
    struct endpoint *file;
    size_t count = 0;
    uint64_t place;

    for (; size > 0; count++) {
        size_t piece = first_piece(map, offset, size, &file, &place);

        offset += piece;
        size -= piece;
    }
    return count;
}

static void
begin_pieces(struct map_endpoint *map, struct map_request *request)
{
    uint64_t offset = request->whole->offset;
    char *bytes = request->whole->bytes;

    for (size_t i = 0; i < request->count; i++) {
        struct endpoint_request *part = &request->parts[i];
        size_t left = request->whole->size - (size_t)(bytes - request->whole->bytes);
        struct endpoint *file;

        part->act = request->whole->act;
        part->from_cache = request->whole->from_cache;
        part->bytes = bytes;
        part->size = first_piece(map, offset, left, &file, &part->offset);
        offset += part->size;
        bytes += part->size;
        if (file) {
            endpoint_begin(file, part);
        } else {
            memset(part->bytes, 0, part->size);
            part->done = true;
        }
    }
}

/* Whether all of its parts are; then the whole is too. */
static bool
is_done(struct map_request *request)
{
    struct endpoint_request *whole = request->whole;

    for (size_t i = 0; i < request->count; i++)
        if (!request->parts[i].done)
            return false;
    if (whole->act == ENDPOINT_DO_READ)
        whole->from_cache = request->parts[0].from_cache;
    for (size_t i = 0; i < request->count; i++) {
        struct error *error = TAKE(request->parts[i].error);

        if (whole->error)
            error_free(error);
        else
            whole->error = error;
    }
    whole->done = true;
    return true;
}

static void
collect(struct map_endpoint *map)
{
    struct map_request **place = &map->under_way;

    while (*place) {
        struct map_request *request = *place;

        if (is_done(request)) {
            *place = request->next;
            free(request);
        } else {
            place = &request->next;
        }
    }
}

static void
map_begin(struct endpoint *endpoint, struct endpoint_request *whole)
{
    struct map_endpoint *map = map_of(endpoint);
    size_t count =
        whole->act == ENDPOINT_DO_FLUSH ? 1 : count_pieces(map, whole->offset, whole->size);
    struct map_request *request = xalloc(sizeof(*request) + count * sizeof(request->parts[0]));

    request->whole = whole;
    request->count = count;
    request->next = map->under_way;
    map->under_way = request;
    if (whole->act == ENDPOINT_DO_FLUSH) {
        request->parts[0].act = ENDPOINT_DO_FLUSH;
        endpoint_begin(map->layers[0], &request->parts[0]);
    } else {
        begin_pieces(map, request);
    }
    collect(map);
}

static void
map_poll(struct endpoint *endpoint, struct pollfd *ret_poll)
{
    struct map_endpoint *map = map_of(endpoint);

    map->layers[0]->kind->poll(map->layers[0], ret_poll);
}

static void
map_advance(struct endpoint *endpoint, short events)
{
    struct map_endpoint *map = map_of(endpoint);

    map->layers[0]->kind->advance(map->layers[0], events);
    collect(map);
}

static void
map_cancel(struct endpoint *endpoint)
{
    struct map_endpoint *map = map_of(endpoint);

    endpoint_cancel(map->layers[0]);
    collect(map);
}

static void
map_close(struct endpoint *endpoint)
{
    struct map_endpoint *map = map_of(endpoint);

    while (map->layer_count > 0) /* the first last: it has the ring */
        endpoint_close(map->layers[--map->layer_count]);
    free(map->segments);
    free(endpoint->name);
    free(map);
}

static void
map_tell_method(const struct endpoint *endpoint, struct text *text)
{
    endpoint_tell_method(CONTAINER_OF(endpoint, const struct map_endpoint, endpoint)->layers[0],
                         text);
    text_append_string(text, " at the places of its map");
}

static const struct endpoint_kind map_kind = { .extent = map_extent,
                                               .read = map_read,
                                               .write = map_write,
                                               .zero = map_zero,
                                               .flush = map_flush,
                                               .begin = map_begin,
                                               .poll = map_poll,
                                               .advance = map_advance,
                                               .cancel = map_cancel,
                                               .close = map_close,
                                               .tell_method = map_tell_method };

/* ---- the map ---- */

/* Whether it is one that can be read like this, right behind the last. */
static bool
take_segment(struct map_endpoint *map, json_t *value)
{
    struct segment *segment = &map->segments[map->count];
    json_t *start = json_object_get(value, "start"), *length = json_object_get(value, "length");
    json_t *place = json_object_get(value, "offset"), *depth = json_object_get(value, "depth");

    if (!json_is_integer(start) || !json_is_integer(length) || json_integer_value(length) <= 0 ||
        (uint64_t)json_integer_value(start) != map->endpoint.size ||
        (size_t)json_integer_value(depth) >= map->layer_count)
        return false;
    segment->layer = (size_t)json_integer_value(depth);
    segment->start = map->endpoint.size;
    segment->end = segment->start + (uint64_t)json_integer_value(length);
    segment->place = UINT64_MAX;
    /* Zeros that are said to be zeros are that wherever they may have a place too: it holds anything. */
    if (map->fills ? json_is_true(json_object_get(value, "data"))
                   : !json_is_true(json_object_get(value, "zero"))) {
        /* Compressed data have no place of their own. */
        if (!json_is_integer(place) || json_is_true(json_object_get(value, "compressed")) ||
            (uint64_t)json_integer_value(place) + (segment->end - segment->start) >
                endpoint_size(map->layers[segment->layer]))
            return false;
        segment->place = (uint64_t)json_integer_value(place);
    } else if (map->fills) {
        return false;
    }
    map->endpoint.size = segment->end;
    map->count++;
    return true;
}

static bool
take_map(struct map_endpoint *map, json_t *list)
{
    size_t count = json_array_size(list);
    json_t *value;
    size_t i;

    if (count == 0)
        return false;
    map->segments = calloc(count, sizeof(map->segments[0]));
    if (!map->segments)
        return false;
    json_array_foreach(list, i, value) if (!take_segment(map, value)) return false;
    return true;
}

/* ---- the layers ---- */

static bool
add_layer(struct map_endpoint *map, int dirfd, const char *name, enum endpoint_mode mode)
{
    _cleanup_(error_freep) struct error *why_not = NULL;

    if (map->layer_count == LAYERS_MAX ||
        !endpoint_open_file(dirfd, name, mode, &map->layers[map->layer_count], &why_not))
        return false;
    endpoint_file_share_ring(map->layers[map->layer_count], map->layers[0]);
    map->layer_count++;
    return true;
}

/* The next image's directory, when 'backing' is "../IMAGE/DATA" and nothing else; '*ret_data' is the rest. */
static int
open_next(int dirfd, const char *backing, const char **ret_data)
{
    static const char up[] = "../";
    const char *id = backing + strlen(up), *slash;
    _cleanup_free_ char *image = NULL;

    if (strncmp(backing, up, strlen(up)) != 0 || !(slash = strchr(id, '/')))
        return -1;
    image = xstrndup(id, (size_t)(slash - id));
    if (!name_valid(image) || !format_names_data(slash + 1))
        return -1;
    *ret_data = slash + 1;
    free(image);
    image = xprintf("%.*s", (int)(slash - backing), backing);
    return openat(dirfd, image, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Whether its bytes are an image's, as they stand. */
static bool
is_plain(json_t *layer)
{
    json_t *specific = json_object_get(json_object_get(layer, "format-specific"), "data");

    return !json_object_get(specific, "data-file") &&
           !json_is_true(json_object_get(layer, "encrypted"));
}

/* Opens what the first stands on, by the names in the headers, as qemu-img has read them. */
static bool
add_bases(struct map_endpoint *map, int dirfd, json_t *chain)
{
    _cleanup_close_ int folder = -1;
    json_t *layer;
    size_t i;

    json_array_foreach(chain, i, layer)
    {
        const char *backing = json_string_value(json_object_get(layer, "backing-filename"));
        const char *data = NULL;
        int next;

        if (!is_plain(layer) || !backing != (i + 1 == json_array_size(chain)))
            return false;
        if (!backing)
            return true;
        next = open_next(folder >= 0 ? folder : dirfd, backing, &data);
        if (folder >= 0)
            (void)close(folder);
        folder = next;
        if (folder < 0 || !add_layer(map, folder, data, ENDPOINT_READ))
            return false;
    }
    return false;
}

static bool
open_chain(struct map_endpoint *map, int dirfd, const char *file, const atomic_bool *abort)
{
    const struct child_limits limits = { .timeout_ms = MAP_TIMEOUT_MS,
                                         .output_size = INFO_OUTPUT_MAX,
                                         .abort = abort };
    const char *const argv[] = {
        "qemu-img", "info", "-U", "--backing-chain", "--output=json", "-f", "qcow2",
        "--",       file,   NULL
    };
    _cleanup_(error_freep) struct error *why_not = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;
    json_t *chain;
    bool good;

    if (!child_run(argv, -1, &limits, &output, &why_not))
        return false;
    chain = json_loadb(output.bytes, output.length, 0, NULL);
    good = add_bases(map, dirfd, chain);
    json_decref(chain);
    return good;
}

/* ---- opening ---- */

static bool
read_map(struct map_endpoint *map, const char *node, const atomic_bool *abort)
{
    const struct child_limits limits = { .timeout_ms = MAP_TIMEOUT_MS,
                                         .output_size = MAP_OUTPUT_MAX,
                                         .abort = abort };
    const char *const argv[] = { "qemu-img", "map", "--output=json", node, NULL };
    _cleanup_(error_freep) struct error *why_not = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;
    json_t *list;
    bool good;

    if (!child_run(argv, -1, &limits, &output, &why_not))
        return false;
    list = json_loadb(output.bytes, output.length, 0, NULL);
    good = take_map(map, list);
    json_decref(list);
    return good;
}

/* By the descriptor of the file itself: whatever its header names is not opened. */
static bool
open_alone(struct map_endpoint *map, const char *name, const atomic_bool *abort)
{
    _cleanup_free_ char *file =
        xprintf("/proc/%d/fd/%d", (int)getpid(), endpoint_file_fd(map->layers[0]));
    _cleanup_free_ char *node = xprintf("json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":"
                                        "{\"driver\":\"file\",\"filename\":\"%s\"}}",
                                        file);
    _cleanup_(error_freep) struct error *why_not = NULL;
    uint64_t size;

    /* One with a backing or data file of its own is not what it is taken for here. */
    return endpoint_inspect_qcow2(file, name, UINT64_MAX, &size, &why_not) &&
           read_map(map, node, abort) && map->endpoint.size == size;
}

static bool
open_over_bases(struct map_endpoint *map, int dirfd, const char *name, const atomic_bool *abort)
{
    _cleanup_free_ char *file = xprintf("/proc/%d/fd/%d/%s", (int)getpid(), dirfd, name);

    return dirfd >= 0 && open_chain(map, dirfd, file, abort) && read_map(map, file, abort);
}

bool
endpoint_open_map(int dirfd, const char *name, enum endpoint_mode mode, bool allow_base,
                  const atomic_bool *abort, struct endpoint **ret_endpoint)
{
    struct map_endpoint *map = xalloc(sizeof(*map));

    map->endpoint.kind = &map_kind;
    map->endpoint.name = xstrdup(name);
    map->fills = mode == ENDPOINT_FILL;
    /* Through a base nothing has its place beforehand. */
    if ((!allow_base || !map->fills) && add_layer(map, dirfd, name, mode) &&
        (allow_base ? open_over_bases(map, dirfd, name, abort) : open_alone(map, name, abort))) {
        *ret_endpoint = &map->endpoint;
        return true;
    }
    map_close(&map->endpoint);
    return false;
}
