/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An array of pointers, indexed by sequence number modulo its size, and one allocation an event:
 * the struct, its strings and its frame.  Not a byte arena: events differ in size by a factor of a
 * thousand, malloc gives big ones back to the system, and a ring bounded by count keeps no more
 * memory than it holds (a circular arena would touch all of its bound in time).  No reference
 * counts: whoever reads an event copies its bytes in the same turn of the loop.
 */
#include <config.h>

#include "events/ring.h"

#include <assert.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "events/topic.h"

struct ring {
    struct event **events; /* [seq % count] */
    size_t count, size_max;
    size_t size; /* bytes of all events held */
    uint64_t oldest, newest;
    char *instance;
    void (*published)(void *context);
    void *published_context;
    unsigned wishes[64]; /* for each bit of 'wanted' */
    uint64_t wanted;
    struct ring_wish_watcher *wish_watchers;
};

/* What an event costs, to hold the ring to its bound. */
static size_t
event_size(const struct event *event)
{
    return sizeof(*event) + event->frame_size + strlen(event->topic) + strlen(event->subject) + 2;
}

struct ring *
ring_new(const char *instance, size_t count, size_t size)
{
    struct ring *ring = xalloc(sizeof(*ring));

    assert(count > 0);
    ring->events = xalloc(count * sizeof(ring->events[0]));
    ring->count = count;
    ring->size_max = size;
    ring->oldest = 1;
    ring->instance = xstrdup(instance);
    return ring;
}

void
ring_free(struct ring *ring)
{
    if (!ring)
        return;
    for (uint64_t seq = ring->oldest; seq <= ring->newest; seq++)
        free(ring->events[seq % ring->count]);
    free(ring->events);
    free(ring->instance);
    free(ring);
}

size_t
frame_header(unsigned char ret_header[10], size_t size)
{
    ret_header[0] = 0x81; /* a whole text message */
    if (size < 126) {
        ret_header[1] = (unsigned char)size;
        return 2;
    }
    if (size < 65536) {
        ret_header[1] = 126;
        ret_header[2] = (unsigned char)(size >> 8);
        ret_header[3] = (unsigned char)size;
        return 4;
    }
    ret_header[1] = 127;
    for (int i = 0; i < 8; i++)
        ret_header[2 + i] = (unsigned char)((uint64_t)size >> (56 - 8 * i));
    return 10;
}

void
event_write(struct writer *writer, const char *instance, uint64_t seq, int64_t time_ns,
            const char *topic, const char *subject, const char *data, size_t data_size,
            bool snapshot)
{
    /* A UTF-8 subject grows at most sixfold when it is escaped. */
    size_t rest = 256 + strlen(instance) + strlen(topic) + 6 * strlen(subject);

    if (data_size + rest > EVENT_FRAME_MAX)
        data_size = 0;
    writer_object(writer);
    writer_member_string(writer, "jsonrpc", "2.0");
    writer_member_string(writer, "method", "event");
    writer_key(writer, "params");
    writer_object(writer);
    writer_member_string(writer, "instance", instance);
    writer_member_unsigned(writer, "seq", seq);
    writer_member_time(writer, "time", time_ns);
    writer_member_string(writer, "topic", topic);
    writer_member_string(writer, "subject", *subject ? subject : NULL);
    writer_key(writer, "data");
    writer_json(writer, data, data_size);
    if (snapshot)
        writer_member_bool(writer, "snapshot", true);
    writer_end_object(writer);
    writer_end_object(writer);
}

/* Where the params begin in the text that event_write() makes. */
#define PARAMS_OFFSET (sizeof("{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":") - 1)

/* Where the data, the last member, begins: behind the subject, whose own quotes are escaped. */
static size_t
data_offset(const struct event *event)
{
    const char *subject = strstr(event->params, "\"subject\":") + strlen("\"subject\":");

    if (*subject == '"')
        for (subject++; *subject != '"'; subject++)
            subject += *subject == '\\';
    else
        subject += strlen("nul");
    return (size_t)(subject + 1 + strlen(",\"data\":") - event->json);
}

static struct event *
make_event(const struct ring *ring, uint64_t seq, const char *topic, const char *subject,
           const char *data, size_t data_size)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    unsigned char header[10];
    size_t header_size, topic_size = strlen(topic) + 1, subject_size = strlen(subject) + 1;
    int64_t now = clock_wall_ns();
    struct event *event;
    char *place;

    event_write(&writer, ring->instance, seq, now, topic, subject, data, data_size, false);
    header_size = frame_header(header, writer.text.length);
    event =
        xalloc(sizeof(*event) + topic_size + subject_size + header_size + writer.text.length + 1);
    place = (char *)(event + 1);
    event->seq = seq;
    event->time_ns = now;
    event->topic_index = topic_index(topic);
    event->topic = memcpy(place, topic, topic_size);
    event->subject = memcpy(place + topic_size, subject, subject_size);
    place += topic_size + subject_size;
    event->frame = (unsigned char *)place;
    memcpy(place, header, header_size);
    memcpy(place + header_size, writer.text.bytes, writer.text.length + 1);
    event->frame_size = header_size + writer.text.length;
    event->json = place + header_size;
    event->json_size = writer.text.length;
    event->params = event->json + PARAMS_OFFSET;
    event->params_size = event->json_size - PARAMS_OFFSET - 1;
    event->data = event->json + data_offset(event);
    event->data_size = event->json_size - 2 - (size_t)(event->data - event->json);
    return event;
}

static void
drop_oldest(struct ring *ring)
{
    struct event **slot = &ring->events[ring->oldest % ring->count];

    ring->size -= event_size(*slot);
    free(*slot);
    *slot = NULL;
    ring->oldest++;
}

uint64_t
ring_publish(struct ring *ring, const char *topic, const char *subject, const char *data,
             size_t data_size)
{
    struct event *event;

    LOOP_ONLY();
    event = make_event(ring, ring->newest + 1, topic, subject ? subject : "", data, data_size);
    /* The newest stays, however large it is. */
    while (ring->oldest <= ring->newest && (ring->newest - ring->oldest + 1 == ring->count ||
                                            ring->size + event_size(event) > ring->size_max))
        drop_oldest(ring);
    ring->newest++;
    ring->events[ring->newest % ring->count] = event;
    ring->size += event_size(event);
    if (ring->published)
        ring->published(ring->published_context);
    return ring->newest;
}

const struct event *
ring_get(const struct ring *ring, uint64_t seq)
{
    if (seq < ring->oldest || seq > ring->newest)
        return NULL;
    return ring->events[seq % ring->count];
}

uint64_t
ring_newest(const struct ring *ring)
{
    return ring->newest;
}

uint64_t
ring_oldest(const struct ring *ring)
{
    return ring->oldest;
}

const char *
ring_instance(const struct ring *ring)
{
    return ring->instance;
}

size_t
ring_size(const struct ring *ring)
{
    return ring->size;
}

void
ring_watch(struct ring *ring, void (*published)(void *context), void *context)
{
    ring->published = published;
    ring->published_context = context;
}

void
ring_want(struct ring *ring, uint64_t topics, int change)
{
    uint64_t before = ring->wanted;

    for (unsigned i = 0; i < ARRAY_COUNT(ring->wishes); i++) {
        uint64_t bit = UINT64_C(1) << i;

        if (!(topics & bit))
            continue;
        assert(change > 0 || ring->wishes[i] > 0);
        ring->wishes[i] += (unsigned)change;
        ring->wanted = ring->wishes[i] ? ring->wanted | bit : ring->wanted & ~bit;
    }
    if (ring->wanted == before)
        return;
    for (struct ring_wish_watcher *watcher = ring->wish_watchers; watcher; watcher = watcher->next)
        watcher->changed(watcher->context);
}

uint64_t
ring_wanted(const struct ring *ring)
{
    return ring->wanted;
}

void
ring_watch_wishes(struct ring *ring, struct ring_wish_watcher *watcher)
{
    watcher->next = ring->wish_watchers;
    ring->wish_watchers = watcher;
}
