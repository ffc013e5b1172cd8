/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy engine between endpoints in memory, which write down what is asked of them.
 */
#include <config.h>

#include "storage/copy.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "agent/base/text.h"
#include "storage/endpoint-kind.h"

#define BLOCK ((size_t)COPY_BLOCK_SIZE)
#define BLOCKS 40 /* of the endpoints; two chunks and a half */
#define SIZE (BLOCKS * BLOCK)
#define GUARD 4096 /* bytes behind the end that nobody may touch */

struct memory {
    struct endpoint endpoint;
    char *bytes; /* SIZE and GUARD; owned; NULL: all data is 'x', and writes are only counted */
    bool hole[BLOCKS]; /* told by extent(); a write or zero of the block changes it */
    uint64_t fails_at; /* a write that reaches it is NoSpace */
    unsigned clones;   /* so many requests to share blocks are granted */
    struct text *log;  /* or NULL; of the target: one line a request */
    size_t read_size, written_size;
};

static struct memory *
memory_of(struct endpoint *endpoint)
{
    return CONTAINER_OF(endpoint, struct memory, endpoint);
}

static void
assert_range(const struct endpoint *endpoint, uint64_t offset, uint64_t size)
{
    assert_true(size > 0);
    assert_true(offset < endpoint->size && size <= endpoint->size - offset);
}

static bool
memory_extent(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_zero,
              uint64_t *ret_end, struct error **err)
{
    struct memory *memory = memory_of(endpoint);

    (void)err;
    assert_range(endpoint, offset, end - offset);
    *ret_zero = memory->bytes && memory->hole[offset / BLOCK];
    *ret_end = end;
    if (memory->bytes) {
        uint64_t next = offset / BLOCK + 1;

        while (next * BLOCK < end && memory->hole[next] == *ret_zero)
            next++;
        *ret_end = next * BLOCK < end ? next * BLOCK : end;
    }
    return true;
}

/* By the letters of the source: capitals have changed, and so have '.' and '0' (what was discarded). */
static bool
memory_changed(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_changed,
               uint64_t *ret_end, struct error **err)
{
    const struct memory *memory = memory_of(endpoint);
    char letter = memory->bytes[offset];

    (void)err;
    assert_range(endpoint, offset, end - offset);
    *ret_changed = letter < 'a';
    *ret_end = (offset / BLOCK + 1) * BLOCK;
    while (*ret_end < end && (memory->bytes[*ret_end] < 'a') == *ret_changed)
        *ret_end += BLOCK;
    if (*ret_end > end)
        *ret_end = end;
    return true;
}

static bool
memory_read(struct endpoint *endpoint, uint64_t offset, void *ret_bytes, size_t size,
            struct error **err)
{
    struct memory *memory = memory_of(endpoint);

    (void)err;
    assert_range(endpoint, offset, size);
    if (memory->bytes)
        memcpy(ret_bytes, memory->bytes + offset, size);
    else
        memset(ret_bytes, 'x', size);
    memory->read_size += size;
    return true;
}

/* Checkpoints are told of on a thread of the copy's own. */
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;

static void _printf_(2, 3) write_log(struct text *log, const char *format, ...)
{
    _cleanup_free_ char *line = NULL;
    va_list values;

    va_start(values, format);
    if (vasprintf(&line, format, values) < 0)
        line = NULL;
    va_end(values);
    assert_non_null(line);
    pthread_mutex_lock(&log_mutex);
    text_append_string(log, line);
    pthread_mutex_unlock(&log_mutex);
}

static void
note(struct memory *memory, const char *what, uint64_t offset, uint64_t size)
{
    if (memory->log)
        write_log(memory->log, "%s %llu+%llu\n", what, (unsigned long long)(offset / BLOCK),
                  (unsigned long long)((size + BLOCK - 1) / BLOCK));
}

static bool
memory_write(struct endpoint *endpoint, uint64_t offset, const void *bytes, size_t size,
             struct error **err)
{
    struct memory *memory = memory_of(endpoint);

    assert_range(endpoint, offset, size);
    if (memory->fails_at && offset + size > memory->fails_at)
        return error_set(err, ERROR_NO_SPACE, "full");
    note(memory, "write", offset, size);
    memory->written_size += size;
    if (memory->bytes) {
        memcpy(memory->bytes + offset, bytes, size);
        for (uint64_t i = offset / BLOCK; i <= (offset + size - 1) / BLOCK; i++)
            memory->hole[i] = false;
    }
    return true;
}

static bool
memory_zero(struct endpoint *endpoint, uint64_t offset, uint64_t size, struct error **err)
{
    struct memory *memory = memory_of(endpoint);

    (void)err;
    assert_range(endpoint, offset, size);
    note(memory, "zero", offset, size);
    memset(memory->bytes + offset, 0, size);
    return true;
}

static bool
memory_flush(struct endpoint *endpoint, struct error **err)
{
    (void)err;
    if (memory_of(endpoint)->log)
        write_log(memory_of(endpoint)->log, "flush\n");
    return true;
}

static bool
memory_clone(struct endpoint *endpoint, const struct endpoint *source, uint64_t offset,
             uint64_t size)
{
    struct memory *memory = memory_of(endpoint);
    const struct memory *from = CONTAINER_OF(source, const struct memory, endpoint);

    assert_range(endpoint, offset, size);
    assert_range(source, offset, size);
    if (memory->clones == 0)
        return false;
    memory->clones--;
    note(memory, "clone", offset, size);
    if (memory->bytes)
        memcpy(memory->bytes + offset, from->bytes + offset, size);
    return true;
}

static void
memory_close(struct endpoint *endpoint)
{
    struct memory *memory = memory_of(endpoint);

    if (memory->bytes)
        for (size_t i = 0; i < GUARD; i++)
            assert_int_equal(memory->bytes[endpoint->size + i], 'g');
    free(memory->bytes);
    free(memory);
}

static const struct endpoint_kind memory_kind = { .extent = memory_extent,
                                                  .changed = memory_changed,
                                                  .read = memory_read,
                                                  .write = memory_write,
                                                  .zero = memory_zero,
                                                  .flush = memory_flush,
                                                  .clone = memory_clone,
                                                  .close = memory_close };

/* Block by block by the letters of 'content': '.' a hole, '0' zeros that are there, else data. */
static struct memory *
memory_new(const char *content, size_t size, struct text *log)
{
    struct memory *memory = xalloc(sizeof(*memory));

    memory->endpoint.kind = &memory_kind;
    memory->endpoint.size = size;
    memory->log = log;
    if (!content)
        return memory;
    memory->bytes = xalloc(size + GUARD);
    for (size_t i = 0; i * BLOCK < size; i++) {
        size_t left = size - i * BLOCK;

        memory->hole[i] = content[i] == '.';
        if (content[i] != '.' && content[i] != '0')
            memset(memory->bytes + i * BLOCK, content[i], left < BLOCK ? left : BLOCK);
    }
    memset(memory->bytes + size, 'g', GUARD);
    return memory;
}

struct run {
    struct memory *source, *target;
    struct text log;
    struct copy copy;
    uint64_t done; /* of the last checkpoint */
    atomic_uint checkpoints;
    unsigned looks, abort_at; /* abort at that look; 0: never */
    unsigned slow_looks;      /* so many times the rate is a byte a second, then 'rate' */
    uint64_t rate;
    bool fail_checkpoint, told_end, abort_when_recorded;
};

static bool
on_checkpoint(void *context, uint64_t done, struct error **err)
{
    struct run *run = context;

    if (run->fail_checkpoint)
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE, "gone");
    assert_true(done >= run->done);
    write_log(&run->log, "checkpoint %llu\n", (unsigned long long)(done / BLOCK));
    run->done = done;
    run->checkpoints++;
    return true;
}

static void
on_progress(void *context, uint64_t done, uint64_t total)
{
    struct run *run = context;

    assert_int_equal(total, run->source->endpoint.size);
    if (done == total) { /* told when it is durable, not before */
        assert_int_equal(run->done, total);
        run->told_end = true;
    }
}

static bool
on_aborted(void *context)
{
    struct run *run = context;

    return ++run->looks == run->abort_at || (run->abort_when_recorded && run->checkpoints > 0);
}

static uint64_t
on_rate(void *context)
{
    struct run *run = context;

    return run->slow_looks ? run->slow_looks--, 1 : run->rate;
}

static void
run_begin(struct run *run, const char *source, const char *target, size_t size)
{
    *run = (struct run){ .source = memory_new(source, size, NULL) };
    run->target = memory_new(target, size, &run->log);
    run->copy = (struct copy){ .source = &run->source->endpoint,
                               .target = &run->target->endpoint,
                               .checkpoint = on_checkpoint,
                               .progress = on_progress,
                               .aborted = on_aborted,
                               .rate = on_rate,
                               .context = run };
}

static void
run_end(struct run *run)
{
    endpoint_close(&run->source->endpoint);
    endpoint_close(&run->target->endpoint);
    text_done(&run->log);
}

static void
run_copy(struct run *run)
{
    _cleanup_(error_freep) struct error *err = NULL;

    if (!copy_run(&run->copy, &err))
        fail_msg("%s", err->message);
    assert_true(run->told_end);
    if (run->source->bytes && run->target->bytes)
        assert_memory_equal(run->source->bytes + run->copy.from,
                            run->target->bytes + run->copy.from,
                            run->source->endpoint.size - run->copy.from);
}

static void
run_fails(struct run *run, enum error_code code)
{
    _cleanup_(error_freep) struct error *err = NULL;

    assert_false(copy_run(&run->copy, &err));
    assert_int_equal(err->code, code);
    assert_false(run->told_end);
}

static void
a_fresh_target_gets_the_data_and_neither_holes_nor_zeros(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "aab.00c...............d0e...............",
              "........................................", SIZE);
    run.copy.target_is_zero = true;
    run_copy(&run);
    assert_string_equal(run.log.bytes,
                        "write 0+3\nwrite 6+1\nwrite 22+1\nwrite 24+1\nflush\ncheckpoint 40\n");
    assert_int_equal(run.source->read_size, 9 * BLOCK); /* no hole was read */
    run_end(&run);
}

static void
what_can_be_shared_is_not_copied(void **state)
{
    uint64_t shared = 0;
    struct run run;

    (void)state;
    run_begin(&run, "aab.00c...............d0e...............",
              "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", SIZE);
    run.target->clones = 1;
    run.copy.shared = &shared;
    run_copy(&run);
    assert_string_equal(run.log.bytes, "clone 0+40\nflush\ncheckpoint 40\n");
    assert_int_equal(run.source->read_size, 0);
    assert_int_equal(shared, SIZE);
    run_end(&run);
}

static void
what_is_refused_to_be_shared_is_copied_from_there_on(void **state)
{
    const uint64_t size = COPY_CLONE_SIZE + 2 * COPY_CHUNK_SIZE;
    uint64_t shared = 0;
    struct run run;

    (void)state;
    run_begin(&run, NULL, NULL, size);
    run.target->clones = 1;
    run.copy.shared = &shared;
    run_copy(&run);
    assert_int_equal(shared, COPY_CLONE_SIZE);
    assert_int_equal(run.target->written_size, 2 * COPY_CHUNK_SIZE);
    assert_int_equal(strncmp(run.log.bytes, "clone 0+16384\nwrite 16384+", 26), 0);
    run_end(&run);
}

static void
nothing_is_shared_under_a_rate_or_over_a_base(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
              "........................................", SIZE);
    run.target->clones = 9;
    run.rate = UINT64_C(1) << 40;
    run_copy(&run);
    assert_int_equal(run.target->written_size, SIZE);
    assert_int_equal(run.target->clones, 9);
    run_end(&run);
    run_begin(&run, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
              "........................................", SIZE);
    run.target->clones = 9;
    run.copy.only_difference = true;
    run_copy(&run);
    assert_int_equal(run.target->written_size, SIZE);
    assert_int_equal(run.target->clones, 9);
    run_end(&run);
}

static void
what_may_hold_something_is_zeroed_and_what_is_zero_is_not(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "a..00b..............................0...",
              "xxx.xx..xx..............................", SIZE);
    run_copy(&run);
    assert_string_equal(run.log.bytes, "write 0+1\nzero 1+2\nzero 4+1\nwrite 5+1\nzero 8+2\n"
                                       "flush\ncheckpoint 40\n");
    run_end(&run);
}

static void
a_size_that_fits_no_block_is_copied_to_its_last_byte(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "abc", "xxx", 2 * BLOCK + 17);
    run_copy(&run);
    assert_int_equal(run.target->written_size, 2 * BLOCK + 17);
    run_end(&run);
}

static void
it_goes_on_from_where_it_was_and_leaves_alone_what_is_before(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "aaaaaaaaaaaaaaaaaaaa0000bbbbbbbbbbbbbbbb",
              "zzzzzzzzzzzzzzzzzzzzxxxxxxxxxxxxxxxxxxxx", SIZE);
    run.copy.from = 20 * BLOCK;
    run_copy(&run);
    assert_int_equal(run.target->bytes[20 * BLOCK - 1], 'z');
    assert_string_equal(run.log.bytes,
                        "zero 20+4\nwrite 24+12\nwrite 36+4\nflush\ncheckpoint 40\n");
    assert_int_equal(run.source->read_size, 20 * BLOCK);
    run_end(&run);
}

static void
nothing_left_to_copy_is_made_durable_and_told(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "ab", "ab", 2 * BLOCK);
    run.copy.from = 2 * BLOCK;
    run_copy(&run);
    assert_string_equal(run.log.bytes, "flush\ncheckpoint 2\n");
    run_end(&run);
}

static void
over_a_base_only_what_differs_is_written(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "aabbcc0..0..............................",
              "aaxbxc0.yy..............................", SIZE);
    run.copy.only_difference = true;
    run_copy(&run);
    assert_string_equal(run.log.bytes,
                        "write 2+1\nwrite 4+1\nzero 8+1\nzero 9+1\nflush\ncheckpoint 40\n");
    assert_true(run.source->read_size < 11 * BLOCK); /* where both are holes nothing is read */
    run_end(&run);
}

static void
of_what_a_bitmap_tells_only_that_is_read_and_written(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "aaAAbb0..Baaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
              "aaxxbb0xxBaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", SIZE);
    run.copy.only_changed = true;
    run.target->clones = 9;
    run_copy(&run);
    assert_string_equal(run.log.bytes,
                        "write 2+2\nzero 6+1\nzero 7+2\nwrite 9+1\nflush\ncheckpoint 40\n");
    assert_int_equal(run.target->clones, 9);
    assert_true(run.source->read_size <= 4 * BLOCK);
    run_end(&run);
}

static void
each_checkpoint_comes_after_the_flush_of_what_it_counts(void **state)
{
    const size_t size = 3 * COPY_INTERVAL_SIZE + 5 * BLOCK;
    struct run run;
    const char *line;
    unsigned long long written = 0, flushed = 0, last = 0;

    (void)state;
    run_begin(&run, NULL, NULL, size);
    run_copy(&run);
    assert_true(run.checkpoints >= 4);
    for (line = run.log.bytes; line && *line; line = strchr(line, '\n') + 1) {
        unsigned long long offset, count;

        if (sscanf(line, "write %llu+%llu", &offset, &count) == 2) {
            assert_int_equal(offset, written);
            written += count;
            assert_true((written - last) * BLOCK <= COPY_INTERVAL_SIZE);
        } else if (strncmp(line, "flush", 5) == 0) {
            flushed = written;
        } else {
            assert_int_equal(sscanf(line, "checkpoint %llu", &last), 1);
            assert_int_equal(last, flushed);
        }
    }
    assert_int_equal(last * BLOCK, size);
    run_end(&run);
}

static void
a_long_hole_that_must_be_zeroed_is_recorded_on_the_way(void **state)
{
    /* Through a real file, for its size. */
    struct run run;
    char path[] = "/tmp/hostler-copy-XXXXXX";
    _cleanup_close_ int fd = mkstemp(path);
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    assert_true(fd >= 0 && ftruncate(fd, 3 * COPY_INTERVAL_SIZE) == 0);
    run_begin(&run, NULL, NULL, 3 * COPY_INTERVAL_SIZE);
    endpoint_close(&run.source->endpoint);
    if (!endpoint_open(NULL, path, IMAGE_RAW, ENDPOINT_READ, false, NULL, &run.copy.source, &err))
        fail_msg("%s", err->message);
    run.source = memory_new(NULL, 3 * COPY_INTERVAL_SIZE, NULL);
    run.target->bytes =
        xalloc(1); /* zero() must find some memory: none is asked for, it is a hole */
    free(TAKE(run.target->bytes));
    run.copy.target_is_zero = true;
    run_copy(&run);
    assert_int_equal(run.target->written_size, 0);
    assert_string_equal(run.log.bytes, "flush\ncheckpoint 6144\n");
    endpoint_close(run.copy.source);
    (void)unlink(path);
    run_end(&run);
}

static void
an_abort_ends_it_at_once_and_records_no_more(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
              "........................................", SIZE);
    run.abort_at = 3; /* two looks a chunk: before it, and while it is throttled */
    run_fails(&run, ERROR_TASK_ABORTED);
    assert_string_equal(run.log.bytes, "write 0+16\n");
    assert_int_equal(run.checkpoints, 0);
    run_end(&run);
}

static void
an_abort_is_seen_while_a_byte_a_second_is_allowed(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
              "........................................", SIZE);
    run.slow_looks = 1000000;
    run.abort_at = 5;
    run_fails(&run, ERROR_TASK_ABORTED);
    assert_null(run.log.bytes);
    run_end(&run);
}

static void
a_copy_that_waits_for_its_rate_shows_that_it_lives(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
              "........................................", SIZE);
    run.slow_looks = 1000000;
    run.abort_when_recorded = true;
    run.abort_at = 10000; /* of looks 20 ms apart: then it has failed */
    run_fails(&run, ERROR_TASK_ABORTED);
    assert_string_equal(run.log.bytes, "flush\ncheckpoint 0\n");
    run_end(&run);
}

static void
a_rate_that_is_lifted_lets_it_go_on(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
              "........................................", SIZE);
    run.slow_looks = 5;
    run_copy(&run);
    assert_int_equal(run.target->written_size, SIZE);
    run_end(&run);
}

static void
a_full_target_ends_it_as_no_space(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
              "........................................", SIZE);
    run.target->fails_at = 20 * BLOCK;
    run_fails(&run, ERROR_NO_SPACE);
    assert_int_equal(run.checkpoints, 0);
    run_end(&run);
}

static void
a_checkpoint_that_cannot_be_written_ends_it(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, "a", ".", BLOCK);
    run.fail_checkpoint = true;
    run_fails(&run, ERROR_REPOSITORY_UNAVAILABLE);
    run_end(&run);
}

/* ---- comparing ---- */

static struct error *
compare(const char *one, const char *other, size_t other_size)
{
    struct error *err = NULL;
    struct run run;

    run_begin(&run, one, other, SIZE);
    endpoint_close(&run.target->endpoint);
    run.target = memory_new(other, other_size, NULL);
    run.copy.target = &run.target->endpoint;
    if (!copy_compare(&run.copy, &err))
        assert_non_null(err);
    run_end(&run);
    return err;
}

static void
holes_and_zeros_compare_equal(void **state)
{
    (void)state;
    assert_null(compare("a..00b..................................",
                        "a.0.0b.000..............................", SIZE));
}

static void
the_first_byte_that_differs_is_named(void **state)
{
    _cleanup_(error_freep) struct error *err =
        compare("a..00b..................................",
                "a.x.0b..................................", SIZE);

    (void)state;
    assert_int_equal(err->code, ERROR_VERIFY_FAILED);
    assert_string_equal(err->data, "\"offset\":131072");
}

static void
another_size_is_a_difference(void **state)
{
    _cleanup_(error_freep) struct error *err =
        compare("a.......................................",
                "a......................................", SIZE - BLOCK);

    (void)state;
    assert_int_equal(err->code, ERROR_VERIFY_FAILED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_target_gets_the_data_and_neither_holes_nor_zeros),
        cmocka_unit_test(what_can_be_shared_is_not_copied),
        cmocka_unit_test(what_is_refused_to_be_shared_is_copied_from_there_on),
        cmocka_unit_test(nothing_is_shared_under_a_rate_or_over_a_base),
        cmocka_unit_test(what_may_hold_something_is_zeroed_and_what_is_zero_is_not),
        cmocka_unit_test(a_size_that_fits_no_block_is_copied_to_its_last_byte),
        cmocka_unit_test(it_goes_on_from_where_it_was_and_leaves_alone_what_is_before),
        cmocka_unit_test(nothing_left_to_copy_is_made_durable_and_told),
        cmocka_unit_test(over_a_base_only_what_differs_is_written),
        cmocka_unit_test(of_what_a_bitmap_tells_only_that_is_read_and_written),
        cmocka_unit_test(each_checkpoint_comes_after_the_flush_of_what_it_counts),
        cmocka_unit_test(a_long_hole_that_must_be_zeroed_is_recorded_on_the_way),
        cmocka_unit_test(an_abort_ends_it_at_once_and_records_no_more),
        cmocka_unit_test(an_abort_is_seen_while_a_byte_a_second_is_allowed),
        cmocka_unit_test(a_copy_that_waits_for_its_rate_shows_that_it_lives),
        cmocka_unit_test(a_rate_that_is_lifted_lets_it_go_on),
        cmocka_unit_test(a_full_target_ends_it_as_no_space),
        cmocka_unit_test(a_checkpoint_that_cannot_be_written_ends_it),
        cmocka_unit_test(holes_and_zeros_compare_equal),
        cmocka_unit_test(the_first_byte_that_differs_is_named),
        cmocka_unit_test(another_size_is_a_difference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
