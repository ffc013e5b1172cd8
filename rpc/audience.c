/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/audience.h"

#include <assert.h>

/* By form, then by subject, any subject first: so that equal sets become equal arrays. */
static int
compare_wishes(const void *a_pointer, const void *b_pointer)
{
    const struct wish *a = a_pointer, *b = b_pointer;

    if (a->by_topic != b->by_topic)
        return a->by_topic ? 1 : -1;
    if (!a->subject || !b->subject)
        return (a->subject != NULL) - (b->subject != NULL);
    return strcmp(a->subject, b->subject);
}

/* Sorts, merges those of one form and subject, and drops what a wish for any subject covers. */
static size_t
reduce_wishes(struct wish *wishes, size_t wish_count)
{
    uint64_t covered[2] = { 0, 0 }; /* by form: the topics wanted of any subject */
    size_t count = 0;

    qsort(wishes, wish_count, sizeof(wishes[0]), compare_wishes);
    for (size_t i = 0; i < wish_count; i++) {
        struct wish wish = wishes[i];

        if (!wish.subject)
            covered[wish.by_topic] |= wish.topics;
        else
            wish.topics &= ~covered[wish.by_topic];
        if (wish.topics == 0)
            continue;
        if (count > 0 && compare_wishes(&wishes[count - 1], &wish) == 0)
            wishes[count - 1].topics |= wish.topics;
        else
            wishes[count++] = wish;
    }
    return count;
}

static uint64_t
hash_wishes(const struct wish *wishes, size_t wish_count)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < wish_count; i++) {
        hash = (hash ^ wishes[i].topics ^ wishes[i].by_topic) * UINT64_C(1099511628211);
        for (const char *c = wishes[i].subject; c && *c; c++)
            hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
        hash ^= hash >> 29;
    }
    return hash;
}

static bool
has_wishes(const struct audience *audience, const struct wish *wishes, size_t wish_count)
{
    if (audience->wish_count != wish_count)
        return false;
    for (size_t i = 0; i < wish_count; i++)
        if (audience->wishes[i].topics != wishes[i].topics ||
            compare_wishes(&audience->wishes[i], &wishes[i]) != 0)
            return false;
    return true;
}

static struct audience *
audience_new(const struct wish *wishes, size_t wish_count, uint64_t hash)
{
    struct audience *audience = xalloc(sizeof(*audience));

    audience->hash = hash;
    audience->wishes = xalloc((wish_count + 1) * sizeof(wishes[0]));
    audience->wish_count = wish_count;
    for (size_t i = 0; i < wish_count; i++) {
        audience->wishes[i] = wishes[i];
        audience->wishes[i].subject = wishes[i].subject ? xstrdup(wishes[i].subject) : NULL;
        audience->topics |= wishes[i].topics;
    }
    return audience;
}

static void
audience_free(struct audience *audience)
{
    for (size_t i = 0; i < audience->wish_count; i++)
        free((char *)(uintptr_t)audience->wishes[i].subject);
    free(audience->wishes);
    free(audience);
}

struct audience *
audience_join(struct audiences *audiences, struct wish *wishes, size_t wish_count)
{
    size_t count = reduce_wishes(wishes, wish_count);
    uint64_t hash = hash_wishes(wishes, count);
    struct audience **slot = &audiences->slots[hash % AUDIENCE_SLOTS];
    struct audience *audience = *slot;

    while (audience && (audience->hash != hash || !has_wishes(audience, wishes, count)))
        audience = audience->next_in_slot;
    if (!audience) {
        audience = audience_new(wishes, count, hash);
        audience->next_in_slot = *slot;
        *slot = audience;
        audience->next = audiences->first;
        if (audience->next)
            audience->next->previous = audience;
        audiences->first = audience;
    }
    audience->subscriber_count++;
    return audience;
}

void
audience_leave(struct audiences *audiences, struct audience *audience)
{
    struct audience **slot = &audiences->slots[audience->hash % AUDIENCE_SLOTS];

    assert(audience->subscriber_count > 0);
    if (--audience->subscriber_count > 0)
        return;
    while (*slot != audience)
        slot = &(*slot)->next_in_slot;
    *slot = audience->next_in_slot;
    if (audience->previous)
        audience->previous->next = audience->next;
    else
        audiences->first = audience->next;
    if (audience->next)
        audience->next->previous = audience->previous;
    for (size_t i = 0; i < GATHERED_COUNT; i++)
        if (audiences->gathered[i].audience == audience)
            audiences->gathered[i].audience = NULL;
    audience_free(audience);
}

unsigned
wish_match(const struct wish *wish, const struct event *event)
{
    if (!(wish->topics >> event->topic_index & 1))
        return 0;
    if (wish->subject && strcmp(wish->subject, event->subject) != 0)
        return 0;
    return wish->by_topic ? FORM_BY_TOPIC : FORM_EVENT;
}

unsigned
audience_match(const struct audience *audience, const struct event *event)
{
    unsigned forms = 0;

    if (!(audience->topics >> event->topic_index & 1))
        return 0;
    for (size_t i = 0; i < audience->wish_count; i++)
        forms |= wish_match(&audience->wishes[i], event);
    return forms;
}

void
frame_append(struct text *out, const char *json, size_t size)
{
    unsigned char header[10];

    text_append(out, header, frame_header(header, size));
    text_append(out, json, size);
}

/* The event as a notification whose method is its topic: the same params behind another head. */
static void
append_by_topic(struct text *out, const struct event *event)
{
    static const char head[] = "{\"jsonrpc\":\"2.0\",\"method\":\"", neck[] = "\",\"params\":";
    size_t topic_size = strlen(event->topic);
    unsigned char header[10];

    text_append(out, header,
                frame_header(header, sizeof(head) - 1 + topic_size + sizeof(neck) - 1 +
                                         event->params_size + 1));
    text_append(out, head, sizeof(head) - 1);
    text_append(out, event->topic, topic_size);
    text_append(out, neck, sizeof(neck) - 1);
    text_append(out, event->params, event->params_size);
    text_append_char(out, '}');
}

unsigned
event_append(struct text *out, const struct event *event, unsigned forms)
{
    if (forms & FORM_EVENT)
        text_append(out, event->frame, event->frame_size);
    if (forms & FORM_BY_TOPIC)
        append_by_topic(out, event);
    return (forms & FORM_EVENT ? 1 : 0) + (forms & FORM_BY_TOPIC ? 1 : 0);
}

static uint64_t
gather(const struct audience *audience, const struct ring *ring, uint64_t *cursor, size_t size,
       struct text *out)
{
    uint64_t newest = ring_newest(ring), count = 0;
    size_t end = out->length + size;

    while (*cursor <= newest && out->length < end) {
        const struct event *event = ring_get(ring, (*cursor)++);
        unsigned forms = audience_match(audience, event);

        if (forms)
            count += event_append(out, event, forms);
    }
    return count;
}

static struct gathered *
find_gathered(struct audiences *audiences, const struct audience *audience, const struct ring *ring,
              uint64_t from, size_t size)
{
    struct gathered *gathered;

    for (size_t i = 0; i < GATHERED_COUNT; i++) {
        gathered = &audiences->gathered[i];
        if (gathered->audience == audience && gathered->from == from &&
            gathered->newest == ring_newest(ring) && gathered->size == size)
            return gathered;
    }
    gathered = &audiences->gathered[audiences->gathered_next++ % GATHERED_COUNT];
    gathered->audience = audience;
    gathered->from = gathered->next = from;
    gathered->newest = ring_newest(ring);
    gathered->size = size;
    text_clear(&gathered->text);
    gathered->count = gather(audience, ring, &gathered->next, size, &gathered->text);
    return gathered;
}

uint64_t
audience_gather(struct audiences *audiences, const struct audience *audience,
                const struct ring *ring, uint64_t *cursor, size_t size, struct text *out)
{
    const struct gathered *gathered;

    if (audience->subscriber_count == 1)
        return gather(audience, ring, cursor, size, out);
    gathered = find_gathered(audiences, audience, ring, *cursor, size);
    text_append(out, gathered->text.bytes, gathered->text.length);
    *cursor = gathered->next;
    return gathered->count;
}
