/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One loop: look at the extent, read a chunk, write what is not zero, and now and then make it
 * durable and say so.  The order within a checkpoint is the whole of the crash argument: data,
 * flush, record (doc/formats.md).
 */
#include <config.h>

#include "storage/copy.h"

#include <string.h>
#include <time.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"

#define CHECKPOINT_NS (2 * NS_PER_S)
#define NAP_NS (20 * NS_PER_MS) /* at most, while throttled: aborts are seen soon */
#define ALIGNMENT 4096

struct run {
    const struct copy *copy;
    char *buffer, *other; /* COPY_CHUNK_SIZE each; 'other' holds what the target shows */
    uint64_t total, offset;
    uint64_t recorded;   /* of the last checkpoint */
    int64_t recorded_ns; /* monotonic */
    double tokens;       /* bytes that may be copied at once under the present rate */
    bool may_clone;      /* no reflink was refused so far */
    int64_t filled_ns;
};

static void
run_done(struct run *run)
{
    free(run->buffer);
    free(run->other);
}

static bool
run_begin(const struct copy *copy, struct run *ret_run, struct error **err)
{
    void *buffer = NULL, *other = NULL;

    /* Page-aligned, so that the kernel may move whole pages. */
    if (posix_memalign(&buffer, ALIGNMENT, COPY_CHUNK_SIZE) != 0 ||
        posix_memalign(&other, ALIGNMENT, COPY_CHUNK_SIZE) != 0) {
        free(buffer);
        return error_set(err, ERROR_BACKEND_FAILED, "no memory for the copy's buffers");
    }
    *ret_run = (struct run){ .copy = copy,
                             .buffer = buffer,
                             .other = other,
                             .total = endpoint_size(copy->source),
                             .offset = copy->from,
                             .recorded = copy->from,
                             .recorded_ns = clock_monotonic_ns(),
                             .filled_ns = clock_monotonic_ns(),
                             .may_clone = !copy->only_difference };
    return true;
}

/* memcmp() with itself one byte on: as fast as memcmp(), which is vector code. */
static bool
is_zero(const char *bytes, size_t size)
{
    return bytes[0] == 0 && (size == 1 || memcmp(bytes, bytes + 1, size - 1) == 0);
}

static bool
check_abort(const struct run *run, struct error **err)
{
    const struct copy *copy = run->copy;

    return !copy->aborted || !copy->aborted(copy->context) ||
           error_set(err, ERROR_TASK_ABORTED, "the copy was aborted at byte %llu",
                     (unsigned long long)run->offset);
}

static bool
checkpoint(struct run *run, struct error **err)
{
    const struct copy *copy = run->copy;

    if (!endpoint_flush(copy->target, err) || !copy->checkpoint(copy->context, run->offset, err))
        return false;
    run->recorded = run->offset;
    run->recorded_ns = clock_monotonic_ns();
    return true;
}

/* Whoever waits long records it too: that is how others tell a slow copy from one that hangs. */
static bool
keep_alive(struct run *run, struct error **err)
{
    return !run->copy->checkpoint || clock_monotonic_ns() - run->recorded_ns < CHECKPOINT_NS ||
           checkpoint(run, err);
}

/* Waits until 'size' bytes may be copied.  Zeros that are not moved cost nothing. */
static bool
throttle(struct run *run, size_t size, struct error **err)
{
    const struct copy *copy = run->copy;

    for (;;) {
        uint64_t rate = copy->rate ? copy->rate(copy->context) : 0;
        int64_t now = clock_monotonic_ns(), need;

        if (!check_abort(run, err))
            return false;
        if (rate == 0)
            return true;
        run->tokens += (double)(now - run->filled_ns) / NS_PER_S * (double)rate;
        run->filled_ns = now;
        /* Saved up for at most a tenth of a second, and at least for one block. */
        if (run->tokens > (double)rate / 10 + (double)size)
            run->tokens = (double)rate / 10 + (double)size;
        if (run->tokens >= (double)size) {
            run->tokens -= (double)size;
            return true;
        }
        need = (int64_t)(((double)size - run->tokens) / (double)rate * NS_PER_S);
        (void)nanosleep(&(struct timespec){ 0, need < NAP_NS ? need : NAP_NS }, NULL);
        if (!keep_alive(run, err))
            return false;
    }
}

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
judge(const struct run *run, size_t begin, size_t size)
{
    const char *bytes = run->buffer + begin;

    /* The target shows its base: what is equal stays the base's. */
    if (run->copy->only_difference && memcmp(bytes, run->other + begin, size) == 0)
        return CONTENT_THERE;
    return is_zero(bytes, size) ? CONTENT_ZEROS : CONTENT_DATA;
}

static bool
put(const struct run *run, enum content content, size_t begin, size_t size, struct error **err)
{
    if (content == CONTENT_ZEROS)
        return put_zeros(run, run->offset + begin, size, err);
    return content == CONTENT_THERE ||
           endpoint_write(run->copy->target, run->offset + begin, run->buffer + begin, size, err);
}

static size_t
block_size(size_t begin, size_t size)
{
    return size - begin < COPY_BLOCK_SIZE ? size - begin : COPY_BLOCK_SIZE;
}

/* Block by block; neighbours of one kind go together. */
static bool
put_chunk(const struct run *run, size_t size, struct error **err)
{
    const struct copy *copy = run->copy;
    size_t begin = 0, end;

    if (copy->only_difference && !endpoint_read(copy->target, run->offset, run->other, size, err))
        return false;
    for (; begin < size; begin = end) {
        enum content content = judge(run, begin, block_size(begin, size));

        end = begin + block_size(begin, size);
        while (end < size && judge(run, end, block_size(end, size)) == content)
            end += block_size(end, size);
        if (!put(run, content, begin, end - begin, err))
            return false;
    }
    return true;
}

static bool
is_due(const struct run *run)
{
    return run->offset - run->recorded >= COPY_INTERVAL_SIZE ||
           (run->offset > run->recorded &&
            clock_monotonic_ns() - run->recorded_ns >= CHECKPOINT_NS);
}

/* The smaller the rate, the smaller the step, so that progress and aborts stay fluid. */
static size_t
step_size(const struct run *run)
{
    uint64_t rate = run->copy->rate ? run->copy->rate(run->copy->context) : 0;
    size_t size = COPY_CHUNK_SIZE;

    while (rate && size > COPY_BLOCK_SIZE && size > rate / 10)
        size /= 2;
    return size;
}

/* A hole of the source, up to 'end' or a place before it that '*ret_end' gets. */
static bool
pass_hole(const struct run *run, uint64_t end, bool *ret_passed, uint64_t *ret_end,
          struct error **err)
{
    const struct copy *copy = run->copy;
    uint64_t next_checkpoint = run->recorded + COPY_INTERVAL_SIZE;

    *ret_passed = true;
    *ret_end = end;
    /* What the target shows there may be its base's: only where that is a hole too is it passed. */
    if (copy->only_difference)
        return endpoint_extent(copy->target, run->offset, end, ret_passed, ret_end, err);
    /* A long hole is passed in intervals, so that its progress is recorded too. */
    if (!copy->target_is_zero && end > next_checkpoint && next_checkpoint > run->offset)
        *ret_end = next_checkpoint;
    return put_zeros(run, run->offset, *ret_end - run->offset, err);
}

/* Shares the next blocks with the source where that can be, which costs next to nothing.  Not under a
   rate: who sets one wants to see it go at that. */
static bool
clone_some(struct run *run)
{
    const struct copy *copy = run->copy;
    uint64_t left = run->total - run->offset;
    uint64_t size = left < COPY_CLONE_SIZE ? left : COPY_CLONE_SIZE;

    if (!run->may_clone || (copy->rate && copy->rate(copy->context)))
        return false;
    run->may_clone = endpoint_clone(copy->target, copy->source, run->offset, size);
    if (!run->may_clone)
        return false;
    run->offset += size;
    if (copy->shared)
        *copy->shared += size;
    return true;
}

/* One extent, or as much of it as one step takes. */
static bool
step(struct run *run, struct error **err)
{
    const struct copy *copy = run->copy;
    uint64_t end;
    size_t size;
    bool passed = false;

    if (!check_abort(run, err))
        return false;
    if (clone_some(run))
        return true;
    if (!endpoint_extent(copy->source, run->offset, run->total, &passed, &end, err) ||
        (passed && !pass_hole(run, end, &passed, &end, err)))
        return false;
    if (passed) {
        run->offset = end;
        return true;
    }
    size = step_size(run);
    if (end - run->offset < size)
        size = (size_t)(end - run->offset);
    if (!throttle(run, size, err) ||
        !endpoint_read(copy->source, run->offset, run->buffer, size, err) ||
        !put_chunk(run, size, err))
        return false;
    run->offset += size;
    return true;
}

bool
copy_run(const struct copy *copy, struct error **err)
{
    _cleanup_(run_done) struct run run = { 0 };

    WORKER_ONLY();
    if (!run_begin(copy, &run, err))
        return false;
    while (run.offset < run.total) {
        if (!step(&run, err))
            return false;
        if (is_due(&run) && !checkpoint(&run, err))
            return false;
        if (copy->progress && run.offset < run.total)
            copy->progress(copy->context, run.offset, run.total);
    }
    /* The last flush is part of the work: 100 % is told when it is durable. */
    if (!checkpoint(&run, err))
        return false;
    if (copy->progress)
        copy->progress(copy->context, run.total, run.total);
    return true;
}

static bool
differ_at(const struct run *run, size_t size, struct error **err)
{
    size_t i = 0;

    while (i < size && run->buffer[i] == run->other[i])
        i++;
    error_set(err, ERROR_VERIFY_FAILED, "the copy differs from its source at byte %llu",
              (unsigned long long)(run->offset + i));
    return error_data_number(err, "offset", (int64_t)(run->offset + i));
}

bool
copy_compare(const struct copy *copy, struct error **err)
{
    _cleanup_(run_done) struct run run = { 0 };

    WORKER_ONLY();
    if (endpoint_size(copy->source) != endpoint_size(copy->target))
        return error_set(err, ERROR_VERIFY_FAILED, "the copy is of %llu bytes, its source of %llu",
                         (unsigned long long)endpoint_size(copy->target),
                         (unsigned long long)endpoint_size(copy->source));
    if (!run_begin(copy, &run, err))
        return false;
    for (run.offset = 0; run.offset < run.total;) {
        uint64_t one_end, other_end, end;
        bool one_zero, other_zero;
        size_t size;

        if (!check_abort(&run, err) ||
            !endpoint_extent(copy->source, run.offset, run.total, &one_zero, &one_end, err) ||
            !endpoint_extent(copy->target, run.offset, run.total, &other_zero, &other_end, err))
            return false;
        end = one_end < other_end ? one_end : other_end;
        if (one_zero && other_zero) {
            run.offset = end;
            continue;
        }
        size = end - run.offset < COPY_CHUNK_SIZE ? (size_t)(end - run.offset) : COPY_CHUNK_SIZE;
        if (!endpoint_read(copy->source, run.offset, run.buffer, size, err) ||
            !endpoint_read(copy->target, run.offset, run.other, size, err))
            return false;
        if (memcmp(run.buffer, run.other, size) != 0)
            return differ_at(&run, size, err);
        run.offset += size;
    }
    return true;
}
