/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/envelope.h"

#include <string.h>

#define ID_SIZE_MAX 255
/* A longer id is not echoed: each byte of one that is allowed is at most six (\u0041) as written. */
#define ID_WRITTEN_MAX (ID_SIZE_MAX * 6 + 2)

/* Where the member of that key goes; NULL: JSON-RPC does not know it. */
static struct slice *
place_of(struct envelope *envelope, const char *key, size_t size)
{
    switch (size) {
    case 2: return memcmp(key, "id", 2) == 0 ? &envelope->id : NULL;
    case 5: return memcmp(key, "error", 5) == 0 ? &envelope->error : NULL;
    case 6:
        return memcmp(key, "method", 6) == 0   ? &envelope->method
               : memcmp(key, "params", 6) == 0 ? &envelope->params
               : memcmp(key, "result", 6) == 0 ? &envelope->result
                                               : NULL;
    case 7: return memcmp(key, "jsonrpc", 7) == 0 ? &envelope->version : NULL;
    default: return NULL;
    }
}

static void
note_other(struct envelope *envelope, struct slice key)
{
    size_t n = envelope->other_count++;

    if (n >= ENVELOPE_OTHERS_MAX)
        return; /* too many to be compared: refused for that */
    for (size_t i = 0; i < n && !envelope->twice.text; i++)
        if (slice_same_string(envelope->others[i], key))
            envelope->twice = key;
    envelope->others[n] = key;
}

static void
note_member(void *context, struct slice key, struct slice value)
{
    struct envelope *envelope = context;
    _cleanup_free_ char *owned = NULL;
    const char *text;
    struct slice *place;
    size_t size;

    slice_string(key, &text, &size, &owned);
    place = place_of(envelope, text, size);
    if (!place)
        note_other(envelope, key);
    else if (!place->text)
        *place = value;
    else if (!envelope->twice.text)
        envelope->twice = key;
}

bool
envelope_scan(struct scan *scan, struct envelope *ret_envelope)
{
    struct slice *whole = &ret_envelope->whole;

    /* All but the room for others, which other_count makes count. */
    memset(ret_envelope, 0, offsetof(struct envelope, others));
    ret_envelope->other_count = 0;
    scan_space(scan);
    if (scan->at == scan->end || *scan->at != '{')
        return scan_value(scan, whole);
    whole->text = scan->at;
    if (!scan_object(scan, note_member, ret_envelope))
        return false;
    whole->size = (size_t)(scan->at - whole->text);
    return true;
}

bool
envelope_is_response(const struct envelope *envelope)
{
    return !envelope->method.text && (envelope->result.text || envelope->error.text);
}

static bool
invalid(struct error **err, const char *member, const char *reason)
{
    error_set(err, ERROR_INVALID_REQUEST, "'%s' %s", member, reason);
    error_data_text(err, "param", "%s", member);
    return error_data_text(err, "reason", "%s", reason);
}

static bool
given_twice(struct slice key, struct error **err)
{
    size_t length = key.size - 2 < 64 ? key.size - 2 : 64;
    _cleanup_free_ char *name = xstrndup(key.text + 1, length);

    return invalid(err, name, "is given twice");
}

static bool
check_id(struct slice id, struct error **err)
{
    _cleanup_free_ char *owned = NULL;
    const char *text;
    size_t size;

    if (!id.text || *id.text == 'n')
        return true;
    if (slice_is_number(id))
        return id.size <= ID_SIZE_MAX || invalid(err, "id", "must be at most 255 digits long");
    if (*id.text != '"')
        return invalid(err, "id", "must be a string, a number or null");
    if (id.size > ID_WRITTEN_MAX)
        return invalid(err, "id", "must be at most 255 bytes long: it is the task's name");
    slice_string(id, &text, &size, &owned);
    if (size == 0 || size > ID_SIZE_MAX)
        return invalid(err, "id", "must be 1 to 255 bytes long: it is the task's name");
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return invalid(err, "id", "must hold no control characters: it is the task's name");
    return true;
}

bool
envelope_check(const struct envelope *envelope, struct error **err)
{
    if (*envelope->whole.text != '{')
        return error_set(err, ERROR_INVALID_REQUEST, "a request must be an object, not %s",
                         slice_kind(envelope->whole));
    if (envelope->twice.text)
        return given_twice(envelope->twice, err);
    if (envelope->other_count > ENVELOPE_OTHERS_MAX)
        return error_set(err, ERROR_INVALID_REQUEST,
                         "the request has %zu members that JSON-RPC does not know: leave them out",
                         envelope->other_count);
    if (!envelope->version.text)
        return invalid(err, "jsonrpc", "is missing: it must be \"2.0\"");
    if (*envelope->version.text != '"' || !slice_is_string(envelope->version, "2.0", 3))
        return invalid(err, "jsonrpc", "must be \"2.0\"");
    if (!envelope->method.text)
        return invalid(err, "method", "is missing");
    if (*envelope->method.text != '"')
        return invalid(err, "method", "must be a string");
    if (envelope->params.text && *envelope->params.text != '{' && *envelope->params.text != '[')
        return invalid(err, "params", "must be an object or an array");
    return check_id(envelope->id, err);
}

struct slice
envelope_answer_id(const struct envelope *envelope)
{
    struct slice id = envelope->id;

    if (!id.text || id.size > ID_WRITTEN_MAX || (*id.text != '"' && !slice_is_number(id)))
        return (struct slice){ 0 };
    return id;
}
