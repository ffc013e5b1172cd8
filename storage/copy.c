/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Some chunks, each of which is read, looked through, and written where it is not zero; and now
 * and then what is written is made durable and recorded.
 *
 *      watermark            next                        total
 *   ------|-[writing][ done ][reading][writing]|-----------|
 *
 * Chunks end in any order.  All before the watermark is written: that is what a flush which begins
 * now makes durable, and what is recorded when it has ended.  This order is the whole of the crash
 * argument: data, flush, record (doc/formats.md).
 */
#include <config.h>

#include "storage/copy.h"

#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "storage/copy-record.h"
#include "storage/reader.h"

#define CHECKPOINT_NS (2 * NS_PER_S)
#define RECORD_NAP_MS 1 /* while a record is written, whose end wakes nobody */
#define NAP_MS 20       /* at most, with nothing to do: aborts and new rates are seen soon */
#define ALIGNMENT 4096
#define CHUNK_BLOCKS (COPY_CHUNK_SIZE / COPY_BLOCK_SIZE)

enum chunk_state { CHUNK_FREE, CHUNK_READING, CHUNK_WRITING };

struct chunk {
    enum chunk_state state;
    uint64_t offset;
    size_t size;
    uint64_t work_before; /* run->work when it was begun */
    char *bytes, *other;  /* COPY_CHUNK_SIZE each; 'other': what the target shows, or NULL */
    struct endpoint_request read, read_other;
    struct endpoint_request writes[CHUNK_BLOCKS];
    size_t write_count;
};

struct run {
    const struct copy *copy;
    struct chunk chunks[COPY_CHUNKS];
    uint64_t total, next; /* bytes; 'next': where the next chunk begins */
    uint64_t data_end;    /* the source has data up to there, as it said when it was asked last */
    struct recorder *recorder;
    struct endpoint_request flush;
    bool flushing, recording;
    uint64_t flushed;       /* the watermark when the last flush began */
    uint64_t work;          /* bytes of all chunks that were begun: holes are no work */
    uint64_t flushed_work;  /* of it, what lay before that watermark */
    uint64_t recorded_work; /* of it, what a kill now leaves */
    int64_t recorded_ns;    /* when; monotonic */
    double tokens;          /* bytes that may be copied at once under the present rate */
    int64_t filled_ns;
    bool may_clone; /* no reflink was refused so far */
};

/* ---- beginning and end ---- */

static void
chunk_done(struct chunk *chunk)
{
    error_free(chunk->read.error);
    error_free(chunk->read_other.error);
    for (size_t i = 0; i < chunk->write_count; i++)
        error_free(chunk->writes[i].error);
    free(chunk->bytes);
    free(chunk->other);
}

static void
run_done(struct run *run)
{
    recorder_free(run->recorder);
    for (size_t i = 0; i < COPY_CHUNKS; i++)
        chunk_done(&run->chunks[i]);
    error_free(run->flush.error);
}

/* Page-aligned, for what goes past the page cache. */
static bool
get_buffer(char **ret_buffer, struct error **err)
{
    void *buffer = NULL;

    if (posix_memalign(&buffer, ALIGNMENT, COPY_CHUNK_SIZE) != 0)
        return error_set(err, ERROR_BACKEND_FAILED, "no memory for the copy's buffers");
    *ret_buffer = buffer;
    return true;
}

static bool
run_begin(const struct copy *copy, struct run *ret_run, struct error **err)
{
    int64_t now = clock_monotonic_ns();

    *ret_run = (struct run){ .copy = copy,
                             .total = endpoint_size(copy->source),
                             .next = copy->from,
                             .flushed = copy->from,
                             .recorded_ns = now,
                             .filled_ns = now,
                             .may_clone =
                                 !copy->only_difference && !copy->only_changed && !copy->compact };
    return !copy->checkpoint ||
           recorder_new(copy->checkpoint, copy->context, &ret_run->recorder, err);
}

/* Requests that are under way use the chunks' memory. */
static void
run_cancel(struct run *run)
{
    endpoint_cancel(run->copy->source);
    endpoint_cancel(run->copy->target);
}

static bool
check_abort(const struct run *run, struct error **err)
{
    const struct copy *copy = run->copy;

    return !copy->aborted || !copy->aborted(copy->context) ||
           error_set(err, ERROR_TASK_ABORTED, "the copy was aborted at byte %llu",
                     (unsigned long long)run->next);
}

static uint64_t
current_rate(const struct run *run)
{
    const struct copy *copy = run->copy;

    return copy->rate ? copy->rate(copy->context) : 0;
}

static bool
is_busy(const struct run *run)
{
    for (size_t i = 0; i < COPY_CHUNKS; i++)
        if (run->chunks[i].state != CHUNK_FREE)
            return true;
    return false;
}

/* All before it is written; '*ret_work' gets what that was of work. */
static uint64_t
watermark(const struct run *run, uint64_t *ret_work)
{
    uint64_t lowest = run->next;

    *ret_work = run->work;
    for (size_t i = 0; i < COPY_CHUNKS; i++) {
        const struct chunk *chunk = &run->chunks[i];

        if (chunk->state != CHUNK_FREE && chunk->offset < lowest) {
            lowest = chunk->offset;
            *ret_work = chunk->work_before;
        }
    }
    return lowest;
}

/* ---- what is done with a chunk ---- */

/* Makes the range read as zeros where it does not already. */
static bool
put_zeros(const struct run *run, uint64_t offset, uint64_t size, struct error **err)
{
    struct endpoint *target = run->copy->target;
    uint64_t end = offset + size, next;
    bool zero;

    if (run->copy->target_is_zero)
        return true;
    for (; offset < end; offset = next)
        if (!endpoint_extent(target, offset, end, &zero, &next, err) ||
            (!zero && !endpoint_zero(target, offset, next - offset, err)))
            return false;
    return true;
}

enum content { CONTENT_THERE, CONTENT_ZEROS, CONTENT_DATA };

/* What is to be done with one block of the chunk. */
static enum content
judge(const struct run *run, const struct chunk *chunk, size_t begin, size_t size)
{
    const char *bytes = chunk->bytes + begin;

    /* The target shows its base: what is equal stays the base's. */
    if (run->copy->only_difference && memcmp(bytes, chunk->other + begin, size) == 0)
        return CONTENT_THERE;
    return reader_is_zero(bytes, size) ? CONTENT_ZEROS : CONTENT_DATA;
}

static bool
put(const struct run *run, struct chunk *chunk, enum content content, size_t begin, size_t size,
    struct error **err)
{
    struct endpoint_request *write;

    if (content == CONTENT_THERE)
        return true;
    if (content == CONTENT_ZEROS)
        return put_zeros(run, chunk->offset + begin, size, err);
    write = &chunk->writes[chunk->write_count++];
    *write = (struct endpoint_request){ .act = ENDPOINT_DO_WRITE,
                                        .offset = chunk->offset + begin,
                                        .bytes = chunk->bytes + begin,
                                        .size = size,
                                        .from_cache = chunk->read.from_cache };
    endpoint_begin(run->copy->target, write);
    return true;
}

static size_t
block_size(size_t begin, size_t size)
{
    return size - begin < COPY_BLOCK_SIZE ? size - begin : COPY_BLOCK_SIZE;
}

/* Block by block; neighbours of one kind go together. */
static bool
write_chunk(const struct run *run, struct chunk *chunk, struct error **err)
{
    size_t begin = 0, end;

    chunk->state = CHUNK_WRITING;
    chunk->write_count = 0;
    for (; begin < chunk->size; begin = end) {
        enum content content = judge(run, chunk, begin, block_size(begin, chunk->size));

        end = begin + block_size(begin, chunk->size);
        while (end < chunk->size && judge(run, chunk, end, block_size(end, chunk->size)) == content)
            end += block_size(end, chunk->size);
        if (!put(run, chunk, content, begin, end - begin, err))
            return false;
    }
    return true;
}

static bool
read_chunk(const struct run *run, struct chunk *chunk, uint64_t offset, size_t size,
           struct error **err)
{
    const struct copy *copy = run->copy;

    if ((!chunk->bytes && !get_buffer(&chunk->bytes, err)) ||
        (copy->only_difference && !chunk->other && !get_buffer(&chunk->other, err)))
        return false;
    chunk->state = CHUNK_READING;
    chunk->offset = offset;
    chunk->size = size;
    chunk->work_before = run->work;
    chunk->read = (struct endpoint_request){
        .act = ENDPOINT_DO_READ, .offset = offset, .bytes = chunk->bytes, .size = size
    };
    chunk->read_other = chunk->read;
    chunk->read_other.bytes = chunk->other;
    chunk->read_other.done = true;
    endpoint_begin(copy->source, &chunk->read);
    if (copy->only_difference)
        endpoint_begin(copy->target, &chunk->read_other);
    return true;
}

static bool
take_error(struct endpoint_request *request, struct error **err)
{
    if (!request->error)
        return true;
    *err = TAKE(request->error);
    return false;
}

/* On to its next state, if what it waits for is done. */
static bool
advance_chunk(const struct run *run, struct chunk *chunk, bool *ret_moved, struct error **err)
{
    if (chunk->state == CHUNK_READING && chunk->read.done && chunk->read_other.done) {
        *ret_moved = true;
        if (!take_error(&chunk->read, err) || !take_error(&chunk->read_other, err) ||
            !write_chunk(run, chunk, err))
            return false;
    }
    if (chunk->state != CHUNK_WRITING)
        return true;
    for (size_t i = 0; i < chunk->write_count; i++)
        if (!chunk->writes[i].done)
            return true;
    for (size_t i = 0; i < chunk->write_count; i++)
        if (!take_error(&chunk->writes[i], err))
            return false;
    chunk->state = CHUNK_FREE;
    *ret_moved = true;
    return true;
}

static bool
advance_chunks(struct run *run, bool *ret_moved, struct error **err)
{
    for (size_t i = 0; i < COPY_CHUNKS; i++)
        if (!advance_chunk(run, &run->chunks[i], ret_moved, err))
            return false;
    return true;
}

/* ---- checkpoints ---- */

static bool
is_due(const struct run *run)
{
    int64_t age_ns = clock_monotonic_ns() - run->recorded_ns;
    uint64_t work;

    /* Whoever is slow records it too: that is how others tell a slow copy from one that hangs. */
    (void)watermark(run, &work);
    return work - run->flushed_work >= COPY_CHECKPOINT_SIZE || age_ns >= CHECKPOINT_NS;
}

static void
begin_checkpoint(struct run *run)
{
    run->flushed = watermark(run, &run->flushed_work);
    run->recorded_ns = clock_monotonic_ns();
    run->flushing = true;
    run->flush = (struct endpoint_request){ .act = ENDPOINT_DO_FLUSH };
    endpoint_begin(run->copy->target, &run->flush);
}

/* Takes the checkpoint that is under way, if any, a step on. */
static bool
advance_checkpoint(struct run *run, struct error **err)
{
    if (run->flushing && run->flush.done) {
        run->flushing = false;
        if (!take_error(&run->flush, err))
            return false;
        run->recording = run->recorder != NULL;
        if (run->recording)
            recorder_begin(run->recorder, run->flushed);
        else
            run->recorded_work = run->flushed_work;
    }
    if (run->recording && recorder_is_idle(run->recorder)) {
        run->recording = false;
        if (!recorder_finish(run->recorder, err))
            return false;
        run->recorded_work = run->flushed_work;
    }
    return true;
}

static bool
finish_checkpoint(struct run *run, struct error **err)
{
    while (run->flushing) {
        endpoint_wait(run->copy->target, NULL, run->flush.done ? 0 : NAP_MS);
        if (!advance_checkpoint(run, err))
            return false;
    }
    run->recording = false;
    return !run->recorder || recorder_finish(run->recorder, err);
}

/* ---- what comes next ---- */

/* The smaller the rate, the smaller the step, so that progress and aborts stay fluid. */
static size_t
step_size(const struct run *run)
{
    uint64_t rate = current_rate(run);
    size_t size = COPY_CHUNK_SIZE;

    while (rate && size > COPY_BLOCK_SIZE && size > rate / 10)
        size /= 2;
    return size;
}

/* Whether 'size' bytes may be copied now.  Zeros that are not moved cost nothing. */
static bool
is_allowed(struct run *run, size_t size)
{
    uint64_t rate = current_rate(run);
    int64_t now = clock_monotonic_ns();
    double most = (double)rate / 10 + (double)size; /* saved up, and at least for this */

    if (rate == 0)
        return true;
    run->tokens += (double)(now - run->filled_ns) / NS_PER_S * (double)rate;
    run->filled_ns = now;
    if (run->tokens > most)
        run->tokens = most;
    if (run->tokens < (double)size)
        return false;
    run->tokens -= (double)size;
    return true;
}

/* A hole of the source, up to 'end' or a place before it that '*ret_end' gets. */
static bool
pass_hole(const struct run *run, uint64_t end, bool *ret_passed, uint64_t *ret_end,
          struct error **err)
{
    const struct copy *copy = run->copy;

    *ret_passed = true;
    *ret_end = end;
    /* What the target shows there may be its base's: only where that is a hole too is it passed. */
    if (copy->only_difference)
        return endpoint_extent(copy->target, run->next, end, ret_passed, ret_end, err);
    /* A long one in steps, so that aborts are seen and progress is told. */
    if (!copy->target_is_zero && end - run->next > COPY_CLONE_SIZE)
        *ret_end = run->next + COPY_CLONE_SIZE;
    return put_zeros(run, run->next, *ret_end - run->next, err);
}

/* Shares the next blocks with the source where that can be, which costs next to nothing.  Not under a
   rate: who sets one wants to see it go at that. */
static bool
clone_some(struct run *run)
{
    const struct copy *copy = run->copy;
    uint64_t left = run->total - run->next;
    uint64_t size = left < COPY_CLONE_SIZE ? left : COPY_CLONE_SIZE;

    if (!run->may_clone || current_rate(run))
        return false;
    run->may_clone = endpoint_clone(copy->target, copy->source, run->next, size);
    if (!run->may_clone)
        return false;
    run->next += size;
    if (copy->shared)
        *copy->shared += size;
    return true;
}

/* Where the source has not changed, the target stays as it is: that is passed.  Else '*ret_end' gets how far
   it has. */
static bool
find_changed(const struct run *run, uint64_t *ret_end, bool *ret_passed, struct error **err)
{
    bool changed;

    if (!run->copy->only_changed)
        return true;
    if (!endpoint_changed(run->copy->source, run->next, run->total, &changed, ret_end, err))
        return false;
    *ret_passed = !changed;
    return true;
}

/* Where what comes next ends, and whether it was passed as a hole. */
static bool
find_data(struct run *run, bool *ret_passed, uint64_t *ret_end, struct error **err)
{
    const struct copy *copy = run->copy;
    uint64_t end = run->total;

    *ret_passed = false;
    *ret_end = run->data_end;
    /* Asking again for each chunk of a long extent costs as much as copying it (tmpfs). */
    if (run->next < run->data_end)
        return true;
    if (!find_changed(run, &end, ret_passed, err))
        return false;
    *ret_end = end;
    if (*ret_passed)
        return true;
    if (!endpoint_extent(copy->source, run->next, end, ret_passed, ret_end, err))
        return false;
    if (*ret_passed)
        return pass_hole(run, *ret_end, ret_passed, ret_end, err);
    run->data_end = *ret_end;
    return true;
}

/* One extent, or as much of it as one step takes; '*ret_begun' is false where the rate forbids it. */
static bool
begin_next(struct run *run, struct chunk *chunk, bool *ret_begun, struct error **err)
{
    uint64_t end;
    size_t size;
    bool passed = false;

    *ret_begun = true;
    if (clone_some(run))
        return true;
    if (!find_data(run, &passed, &end, err))
        return false;
    if (passed) {
        run->next = end;
        return true;
    }
    size = step_size(run);
    if (end - run->next < size)
        size = (size_t)(end - run->next);
    *ret_begun = is_allowed(run, size);
    if (!*ret_begun)
        return true;
    if (!read_chunk(run, chunk, run->next, size, err))
        return false;
    run->next += size;
    run->work += size;
    return true;
}

static void
tell_progress(const struct run *run)
{
    const struct copy *copy = run->copy;
    uint64_t work, done = watermark(run, &work);

    if (copy->progress && done < run->total)
        copy->progress(copy->context, done, run->total);
}

/* The first that is free: where chunks end at once it is always the same, and its memory stays in the
   processor's cache. */
static struct chunk *
free_chunk(struct run *run)
{
    for (size_t i = 0; i < COPY_CHUNKS; i++)
        if (run->chunks[i].state == CHUNK_FREE)
            return &run->chunks[i];
    return NULL;
}

/* A kill may cost an interval, and no more. */
static bool
may_begin(const struct run *run)
{
    return run->next < run->total && run->work - run->recorded_work < COPY_INTERVAL_SIZE;
}

/* One turn of the loop; '*ret_moved' tells whether anything could be done in it. */
static bool
turn(struct run *run, bool *ret_moved, struct error **err)
{
    struct chunk *chunk;
    bool begun = false;

    *ret_moved = false;
    if (!check_abort(run, err) || !advance_chunks(run, ret_moved, err) ||
        !advance_checkpoint(run, err))
        return false;
    if (!run->flushing && !run->recording && is_due(run))
        begin_checkpoint(run);
    chunk = may_begin(run) ? free_chunk(run) : NULL;
    if (chunk && !begin_next(run, chunk, &begun, err))
        return false;
    *ret_moved |= begun;
    if (*ret_moved)
        tell_progress(run);
    return true;
}

static bool
run_all(struct run *run, struct error **err)
{
    bool moved;
    int nap_ms;

    while (run->next < run->total || is_busy(run)) {
        if (!turn(run, &moved, err))
            return false;
        /* Also where there is more to begin: what was begun is sent, and what has ended is seen. */
        nap_ms = run->recording ? RECORD_NAP_MS : NAP_MS;
        endpoint_wait(run->copy->source, run->copy->target, moved ? 0 : nap_ms);
    }
    /* The last flush is part of the work: 100 % is told when it is durable. */
    if (!finish_checkpoint(run, err))
        return false;
    begin_checkpoint(run);
    return finish_checkpoint(run, err);
}

bool
copy_run(const struct copy *copy, struct error **err)
{
    _cleanup_(run_done) struct run run = { 0 };

    WORKER_ONLY();
    if (!run_begin(copy, &run, err))
        return false;
    if (!run_all(&run, err)) {
        run_cancel(&run);
        return false;
    }
    if (copy->progress)
        copy->progress(copy->context, run.total, run.total);
    return true;
}
