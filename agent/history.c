/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record:  size (4 bytes), flags (1), then varints and strings (length, bytes) in the order of
 * write_record().  A place is CHUNK_SIZE * chunk number + offset + 1, so places only grow.
 */
#include <config.h>

#include "agent/history.h"

#include <assert.h>
#include <uuid/uuid.h>

#include "agent/base/clock.h"
#include "agent/intern.h"
#include "agent/task-internal.h"
#include "agent/varint.h"

#define CHUNK_SIZE (UINT64_C(64) * 1024)
#define HEADER_SIZE 5
#define FLAG_DEAD 1
#define FLAG_UUID 2
#define FLAG_RESPONDED 4
#define FLAG_PROGRESS 8
#define FLAG_ERROR 16
#define FLAG_OBJECT 32
#define FLAG_REPORT 64
#define REPORTS_MAX 64
#define BYTES_MAX (UINT64_C(256) << 20) /* of all records: results may be large */

struct chunk {
    size_t used, size;
    unsigned char bytes[];
};

struct history {
    int64_t retention_ns;
    size_t limit, count; /* count: records that are not dead */
    size_t kept;         /* all that take memory: an id used again and again leaves dead ones */
    struct chunk **chunks;
    size_t chunk_count, chunk_capacity;
    uint64_t first_chunk; /* number of chunks[0] */
    size_t front;         /* offset in chunks[0] of the oldest record */
    uint64_t *index;      /* places; 0: empty */
    size_t index_size;    /* a power of two */
    size_t bytes;
    struct intern callers, kinds, units;
    const struct verb **verbs;
    size_t verb_count;

    /* What the present view points to. */
    struct step_report reports[REPORTS_MAX];
    char key_text[KEY_TEXT_MAX + 1];
    struct text strings;
    struct error error;
};

struct reader {
    const unsigned char *at;
};

static uint64_t
verb_number(struct history *history, const struct verb *verb)
{
    for (size_t i = 0; i < history->verb_count; i++)
        if (history->verbs[i] == verb)
            return i;
    history->verbs =
        xrealloc(history->verbs, (history->verb_count + 1) * sizeof(history->verbs[0]));
    history->verbs[history->verb_count] = verb;
    return history->verb_count++;
}

struct history *
history_new(unsigned retention_s, unsigned count)
{
    struct history *history = xalloc(sizeof(*history));

    history->retention_ns = retention_s * NS_PER_S;
    history->limit = count;
    history->index_size = 64;
    history->index = xalloc(history->index_size * sizeof(history->index[0]));
    return history;
}

void
history_free(struct history *history)
{
    if (!history)
        return;
    for (size_t i = 0; i < history->chunk_count; i++)
        free(history->chunks[i]);
    free(history->chunks);
    free(history->index);
    intern_done(&history->callers);
    intern_done(&history->kinds);
    intern_done(&history->units);
    free(history->verbs);
    text_done(&history->strings);
    free(history);
}

size_t
history_count(const struct history *history)
{
    return history->count;
}

size_t
history_size(const struct history *history)
{
    return history->bytes + history->index_size * sizeof(history->index[0]) + sizeof(*history);
}

uint64_t
history_end(const struct history *history)
{
    const struct chunk *last =
        history->chunk_count ? history->chunks[history->chunk_count - 1] : NULL;

    return last ? (history->first_chunk + history->chunk_count - 1) * CHUNK_SIZE + last->used + 1
                : history->first_chunk * CHUNK_SIZE + 1;
}

static unsigned char *
record_at(const struct history *history, uint64_t place)
{
    struct chunk *chunk = history->chunks[(place - 1) / CHUNK_SIZE - history->first_chunk];

    return chunk->bytes + (place - 1) % CHUNK_SIZE;
}

static uint32_t
record_size(const unsigned char *record)
{
    uint32_t size;

    memcpy(&size, record, sizeof(size));
    return size;
}

/* The key is what a record begins with, so that the index can compare without reading the rest. */
static void
read_key(const unsigned char *record, struct reader *reader, char buffer[KEY_TEXT_MAX + 1],
         struct task_key *ret_key)
{
    size_t length;

    reader->at = record + HEADER_SIZE;
    if (record[4] & FLAG_UUID) {
        uuid_unparse_lower(reader->at, buffer);
        reader->at += sizeof(uuid_t);
        *ret_key =
            (struct task_key){ .connection = 0, .text = buffer, .length = UUID_TEXT_SIZE - 1 };
        return;
    }
    ret_key->connection = varint_get(&reader->at);
    ret_key->text = varint_get_string(&reader->at, &length);
    ret_key->length = length;
    memcpy(buffer, ret_key->text, length);
    buffer[length] = '\0';
    ret_key->text = buffer;
}

static size_t
slot_of(const struct history *history, const struct task_key *key)
{
    return task_key_hash(key) & (history->index_size - 1);
}

/* The index slot that holds 'key', or the empty one where it would go. */
static size_t
find_slot(struct history *history, const struct task_key *key)
{
    size_t slot = slot_of(history, key);

    for (;; slot = (slot + 1) & (history->index_size - 1)) {
        char buffer[KEY_TEXT_MAX + 1];
        struct reader reader;
        struct task_key other;

        if (!history->index[slot])
            return slot;
        read_key(record_at(history, history->index[slot]), &reader, buffer, &other);
        if (other.connection == key->connection && other.length == key->length &&
            memcmp(other.text, key->text, key->length) == 0)
            return slot;
    }
}

/* Empties a slot and moves up those behind it that would no longer be found. */
static void
empty_slot(struct history *history, size_t hole)
{
    size_t mask = history->index_size - 1;

    history->index[hole] = 0;
    for (size_t slot = (hole + 1) & mask; history->index[slot]; slot = (slot + 1) & mask) {
        char buffer[KEY_TEXT_MAX + 1];
        struct reader reader;
        struct task_key key;
        size_t home;

        read_key(record_at(history, history->index[slot]), &reader, buffer, &key);
        home = slot_of(history, &key);
        if (((slot - home) & mask) >= ((slot - hole) & mask)) {
            history->index[hole] = history->index[slot];
            history->index[slot] = 0;
            hole = slot;
        }
    }
}

static void
grow_index(struct history *history)
{
    uint64_t *old = history->index;
    size_t old_size = history->index_size;

    /* Three quarters full at most: 8 bytes an entry become 11 to 21. */
    if ((history->count + 1) * 4 <= old_size * 3)
        return;
    history->index_size = old_size * 2;
    history->index = xalloc(history->index_size * sizeof(history->index[0]));
    for (size_t i = 0; i < old_size; i++)
        if (old[i]) {
            char buffer[KEY_TEXT_MAX + 1];
            struct reader reader;
            struct task_key key;

            read_key(record_at(history, old[i]), &reader, buffer, &key);
            history->index[find_slot(history, &key)] = old[i];
        }
    free(old);
}

static bool
is_lower_uuid(const struct task_key *key, uuid_t ret_uuid)
{
    char text[UUID_TEXT_SIZE], again[UUID_TEXT_SIZE];

    if (key->connection != 0 || key->length != UUID_TEXT_SIZE - 1)
        return false;
    memcpy(text, key->text, key->length);
    text[key->length] = '\0';
    if (uuid_parse(text, ret_uuid) != 0)
        return false;
    uuid_unparse_lower(ret_uuid, again);
    return strcmp(text, again) == 0;
}

static void
put_reports(struct text *text, const struct task_view *view)
{
    varint_put(text, view->report_count);
    for (size_t i = 0; i < view->report_count; i++) {
        const struct step_report *report = &view->reports[i];
        bool plain = report->attempts <= 1 && !report->message;

        /* Most lines are "complete, once, no message": two bytes. */
        text_append_char(text, (char)(report->outcome | (plain ? 0x10 : 0)));
        if (!plain) {
            varint_put(text, report->attempts);
            varint_put_string(text, report->message, report->message_size);
        } else {
            text_append_char(text, (char)report->attempts);
        }
        varint_put(text, report->elapsed_ms);
    }
}

static void
write_record(struct history *history, const struct task_view *view, struct text *text)
{
    unsigned char flags = 0;
    uuid_t uuid;

    text_append(text, "\0\0\0\0\0", HEADER_SIZE);
    if (is_lower_uuid(&view->key, uuid)) {
        flags |= FLAG_UUID;
        text_append(text, uuid, sizeof(uuid));
    } else {
        varint_put(text, view->key.connection);
        varint_put_string(text, view->key.text, view->key.length);
    }
    varint_put(text, (uint64_t)(view->ended_ns / NS_PER_MS));
    varint_put(text, (uint64_t)((view->ended_ns - view->created_ns) / 1000));
    varint_put(text,
               view->started_ns ? (uint64_t)((view->ended_ns - view->started_ns) / 1000) + 1 : 0);
    varint_put(text, view->sequence);
    varint_put(text, verb_number(history, view->verb));
    varint_put(text, view->status);
    varint_put(text, intern_number(&history->callers, view->caller));
    if (view->object_kind) {
        flags |= FLAG_OBJECT;
        varint_put(text, intern_number(&history->kinds, view->object_kind));
        varint_put_string(text, view->object_repository,
                          view->object_repository ? strlen(view->object_repository) : 0);
        varint_put_string(text, view->object_id, view->object_id ? strlen(view->object_id) : 0);
    }
    if (view->has_progress) {
        flags |= FLAG_PROGRESS;
        varint_put(text, view->progress_done);
        varint_put(text, view->progress_total);
        varint_put(text, intern_number(&history->units, view->progress_unit));
    }
    if (view->error) {
        flags |= FLAG_ERROR;
        varint_put(text, (uint64_t)(view->error->code + 40000));
        varint_put_string(text, view->error->message, strlen(view->error->message));
        varint_put_string(text, view->error->data,
                          view->error->data ? strlen(view->error->data) : 0);
    }
    if (view->report_count <= REPORTS_MAX) {
        flags |= FLAG_REPORT;
        put_reports(text, view);
    }
    varint_put_string(text, view->result, view->result_size);
    text->bytes[4] = (char)(flags | (view->responded ? FLAG_RESPONDED : 0));
}

static const char *
keep_string(struct history *history, const char *string, size_t length, size_t *offset)
{
    /* 'strings' was sized by the caller, so what it handed out before stays where it is. */
    char *place = history->strings.bytes + *offset;

    if (!string)
        return NULL;
    memcpy(place, string, length);
    place[length] = '\0';
    *offset += length + 1;
    return place;
}

static void
read_reports(struct history *history, struct reader *reader, struct task_view *view)
{
    view->report_count = varint_get(&reader->at);
    view->reports = history->reports;
    for (size_t i = 0; i < view->report_count; i++) {
        struct step_report *report = &history->reports[i];
        unsigned char head = *reader->at++;

        *report = (struct step_report){ .outcome = head & 0x0f };
        if (head & 0x10) {
            report->attempts = *reader->at++;
        } else {
            report->attempts = (unsigned)varint_get(&reader->at);
            report->message = varint_get_string(&reader->at, &report->message_size);
        }
        report->elapsed_ms = (uint32_t)varint_get(&reader->at);
    }
}

static void
read_record(struct history *history, const unsigned char *record, struct task_view *view)
{
    struct reader reader;
    unsigned char flags = record[4];
    uint64_t started;
    size_t length, offset = 0;
    const char *string;

    *view = (struct task_view){ .per_second = -1, .responded = flags & FLAG_RESPONDED };
    text_clear(&history->strings);
    (void)text_reserve(&history->strings, record_size(record) + 16);
    read_key(record, &reader, history->key_text, &view->key);
    view->ended_ns = (int64_t)varint_get(&reader.at) * NS_PER_MS;
    view->created_ns = view->ended_ns - (int64_t)varint_get(&reader.at) * 1000;
    started = varint_get(&reader.at);
    view->started_ns = started ? view->ended_ns - (int64_t)(started - 1) * 1000 : 0;
    view->sequence = varint_get(&reader.at);
    view->verb = history->verbs[varint_get(&reader.at)];
    view->status = (enum task_status)varint_get(&reader.at);
    view->caller = intern_text(&history->callers, varint_get(&reader.at));
    if (flags & FLAG_OBJECT) {
        view->object_kind = intern_text(&history->kinds, varint_get(&reader.at));
        string = varint_get_string(&reader.at, &length);
        view->object_repository = keep_string(history, string, length, &offset);
        string = varint_get_string(&reader.at, &length);
        view->object_id = keep_string(history, string, length, &offset);
    }
    if (flags & FLAG_PROGRESS) {
        view->has_progress = true;
        view->progress_done = varint_get(&reader.at);
        view->progress_total = varint_get(&reader.at);
        view->progress_unit = intern_text(&history->units, varint_get(&reader.at));
    }
    if (flags & FLAG_ERROR) {
        history->error.code = (enum error_code)((int64_t)varint_get(&reader.at) - 40000);
        string = varint_get_string(&reader.at, &length);
        history->error.message = (char *)(uintptr_t)keep_string(history, string, length, &offset);
        string = varint_get_string(&reader.at, &length);
        history->error.data = (char *)(uintptr_t)keep_string(history, string, length, &offset);
        view->error = &history->error;
    }
    if (flags & FLAG_REPORT)
        read_reports(history, &reader, view);
    view->result = varint_get_string(&reader.at, &view->result_size);
}

/* Memory for a record of 'size' bytes at the end of the arena. */
static unsigned char *
append_record(struct history *history, size_t size, uint64_t *ret_place)
{
    struct chunk *chunk = history->chunk_count ? history->chunks[history->chunk_count - 1] : NULL;

    if (!chunk || chunk->size - chunk->used < size) {
        size_t chunk_size = size > CHUNK_SIZE ? size : CHUNK_SIZE;

        if (history->chunk_count == history->chunk_capacity) {
            history->chunk_capacity = history->chunk_capacity ? history->chunk_capacity * 2 : 16;
            history->chunks =
                xrealloc(history->chunks, history->chunk_capacity * sizeof(history->chunks[0]));
        }
        chunk = xalloc(sizeof(*chunk) + chunk_size);
        chunk->size = chunk_size;
        history->chunks[history->chunk_count++] = chunk;
        history->bytes += sizeof(*chunk) + chunk_size;
    }
    *ret_place = (history->first_chunk + history->chunk_count - 1) * CHUNK_SIZE + chunk->used + 1;
    chunk->used += size;
    return chunk->bytes + chunk->used - size;
}

void
history_add(struct history *history, const struct task_view *view)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    uint32_t size;
    uint64_t place;
    size_t slot;
    unsigned char *record;

    if (history->limit == 0)
        return;
    history_forget(history, &view->key);
    write_record(history, view, &text);
    size = (uint32_t)text.length;
    record = append_record(history, text.length, &place);
    memcpy(record, text.bytes, text.length);
    memcpy(record, &size, sizeof(size));
    grow_index(history);
    slot = find_slot(history, &view->key);
    history->index[slot] = place;
    history->count++;
    history->kept++;
    history_fade(history, view->ended_ns);
}

void
history_forget(struct history *history, const struct task_key *key)
{
    size_t slot = find_slot(history, key);

    if (!history->index[slot])
        return;
    record_at(history, history->index[slot])[4] |= FLAG_DEAD;
    history->count--;
    empty_slot(history, slot);
}

bool
history_find(struct history *history, const struct task_key *key, struct task_view *ret_view)
{
    size_t slot;

    if (history->count == 0)
        return false;
    slot = find_slot(history, key);
    if (!history->index[slot])
        return false;
    read_record(history, record_at(history, history->index[slot]), ret_view);
    return true;
}

static void
drop_first_chunk(struct history *history)
{
    struct chunk *chunk = history->chunks[0];

    history->bytes -= sizeof(*chunk) + chunk->size;
    free(chunk);
    history->chunk_count--;
    memmove(history->chunks, history->chunks + 1,
            history->chunk_count * sizeof(history->chunks[0]));
    history->first_chunk++;
    history->front = 0;
}

static bool
is_over_its_bounds(const struct history *history)
{
    return history->count > history->limit || history->kept > 2 * history->limit ||
           (history->bytes > BYTES_MAX && history->kept > 1);
}

void
history_fade(struct history *history, int64_t now_ns)
{
    while (history->chunk_count > 0) {
        struct chunk *chunk = history->chunks[0];
        unsigned char *record = chunk->bytes + history->front;
        char buffer[KEY_TEXT_MAX + 1];
        struct reader reader;
        struct task_key key;
        int64_t ended_ns;

        if (history->front == chunk->used) {
            if (history->chunk_count == 1 && chunk->used < chunk->size)
                break; /* the next record goes there */
            drop_first_chunk(history);
            continue;
        }
        if (!(record[4] & FLAG_DEAD)) {
            read_key(record, &reader, buffer, &key);
            ended_ns = (int64_t)varint_get(&reader.at) * NS_PER_MS;
            if (!is_over_its_bounds(history) && now_ns - ended_ns <= history->retention_ns)
                break;
            empty_slot(history, find_slot(history, &key));
            history->count--;
        }
        history->front += record_size(record);
        history->kept--;
    }
}

/* Walks one chunk backwards: its records are found forwards, so their offsets are gathered first. */
static bool
walk_chunk(struct history *history, size_t number, uint64_t place,
           bool (*each)(void *context, uint64_t place, const struct task_view *view), void *context)
{
    const struct chunk *chunk = history->chunks[number];
    uint64_t base = (history->first_chunk + number) * CHUNK_SIZE + 1;
    _cleanup_free_ uint32_t *offsets = xalloc((chunk->used / HEADER_SIZE + 1) * sizeof(*offsets));
    size_t count = 0;

    for (size_t offset = number == 0 ? history->front : 0; offset < chunk->used;
         offset += record_size(chunk->bytes + offset))
        offsets[count++] = (uint32_t)offset;
    while (count-- > 0) {
        const unsigned char *record = chunk->bytes + offsets[count];
        struct task_view view;

        if ((record[4] & FLAG_DEAD) || (place && base + offsets[count] > place))
            continue;
        read_record(history, record, &view);
        if (!each(context, base + offsets[count], &view))
            return false;
    }
    return true;
}

void
history_walk(struct history *history, uint64_t place,
             bool (*each)(void *context, uint64_t place, const struct task_view *view),
             void *context)
{
    for (size_t number = history->chunk_count; number-- > 0;) {
        if (place && (history->first_chunk + number) * CHUNK_SIZE + 1 > place)
            continue;
        if (!walk_chunk(history, number, place, each, context))
            return;
    }
}
