/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real qemu-nbd, its lock, and how the next agent knows it.  Skipped where there is none.
 */
#include <config.h>

#include "storage/image-serve.h"

#include <signal.h>
#include <sys/syscall.h>

#include "tests/unit/repository-fixture.h"
#include "tests/unit/serve-fixture.h"

static const struct config no_config;

struct served {
    struct image *image;
    struct serve_record record;
    int pidfd;
};

static int
begin_serving(void **state)
{
    struct error *error = NULL;

    if (begin(state) < 0)
        return -1;
    succeed(serve_open_folder(folder, &error), error);
    make_image("web1");
    return 0;
}

static int
end_all(void **state)
{
    end_what_serves();
    return end(state);
}

static struct image *
open_web1(enum image_lock_mode mode)
{
    struct error *error = NULL;
    struct image *image;

    succeed(image_open_locked(repository, "web1", mode, HOLDER, &image, &error), error);
    return image;
}

/* Serves 'web1'; its lock is the server's alone then. */
static struct served
serve(bool writable)
{
    const struct serve_options options = { .writable = writable, .config = &no_config };
    struct served served = { .pidfd = -1 };
    struct image *image = open_web1(writable ? IMAGE_LOCK_EXCLUSIVE : IMAGE_LOCK_SHARED);
    struct error *error = NULL;

    succeed(serve_start(image, &options, NULL, &served.record, &served.pidfd, &error), error);
    image_close(image);
    return served;
}

static void
end_serving(struct served *served)
{
    struct error *error = NULL;

    succeed(serve_end(served->pidfd, &error), error);
    succeed(serve_record_remove(&served->record, &error), error);
    serve_record_done(&served->record);
    (void)close(served->pidfd);
}

static bool
is_locked(void)
{
    struct error *error = NULL;
    struct image *image;

    if (image_open_locked(repository, "web1", IMAGE_LOCK_EXCLUSIVE, HOLDER, &image, &error)) {
        image_close(image);
        return false;
    }
    assert_int_equal(error->code, ERROR_IMAGE_IN_USE);
    error_free(error);
    return true;
}

static void
the_lock_lives_as_long_as_the_server(void **state)
{
    (void)state;
    need_qemu_nbd();
    for (int writable = 0; writable < 2; writable++) {
        struct served served = serve(writable);

        assert_true(is_locked());
        end_serving(&served);
        assert_false(is_locked());
    }
}

static void
the_lock_is_taken_over_without_a_gap(void **state)
{
    struct image_lock *lock;
    struct served served;

    (void)state;
    need_qemu_nbd();
    served = serve(true);
    lock = serve_take_lock(served.pidfd);
    if (!lock) { /* a sandbox may forbid it: then it is taken again */
        end_serving(&served);
        skip();
    }
    end_serving(&served);
    assert_true(is_locked());
    image_lock_release(lock);
    assert_false(is_locked());
}

static void
a_server_is_known_by_number_start_and_command_line(void **state)
{
    struct serve_record other;
    struct served served;
    int pidfd = -1;

    (void)state;
    need_qemu_nbd();
    served = serve(false);
    assert_true(serve_adopt(&served.record, &pidfd));
    (void)close(pidfd);
    other = served.record;
    other.started++;
    assert_false(serve_adopt(&other, &pidfd));
    assert_int_equal(pidfd, -1);
    other = served.record;
    other.pid = getpid();
    assert_false(serve_adopt(&other, &pidfd));
    other = served.record;
    other.token[0] = other.token[0] == '0' ? '1' : '0';
    assert_false(serve_adopt(&other, &pidfd));
    assert_true(is_locked()); /* none of it has touched the real one */
    (void)syscall(SYS_pidfd_send_signal, served.pidfd, SIGKILL, NULL, 0U);
    end_serving(&served);
    assert_false(is_locked());
}

static void
one_that_was_never_answered_is_ended(void **state)
{
    struct serve_record begun;
    struct served served;
    int pidfd;

    (void)state;
    need_qemu_nbd();
    served = serve(true);
    begun = served.record;
    begun.pid = 0;
    begun.started = 0;
    assert_false(serve_adopt(&begun, &pidfd));
    assert_false(is_locked());
    end_serving(&served);
}

static void
what_cannot_be_started_leaves_nothing(void **state)
{
    struct serve_options options = { .tls = true, .config = &no_config };
    _cleanup_(image_closep) struct image *image = NULL;
    struct serve_record record, *records;
    struct error *error = NULL;
    size_t count;
    int pidfd;

    (void)state;
    need_qemu_nbd();
    image = open_web1(IMAGE_LOCK_SHARED);
    refused(serve_start(image, &options, NULL, &record, &pidfd, &error), &error,
            ERROR_INVALID_PARAMS);
    options.tls = false;
    image->record.format = IMAGE_QCOW2; /* which it is not */
    refused(serve_start(image, &options, NULL, &record, &pidfd, &error), &error,
            ERROR_BACKEND_FAILED);
    drop_file("web1/data");
    refused(serve_start(image, &options, NULL, &record, &pidfd, &error), &error,
            ERROR_BACKEND_FAILED);
    succeed(serve_record_list(&records, &count, &error), error);
    assert_int_equal(count, 0);
    free(records);
}

static void
a_socket_that_nobody_could_name_is_refused(void **state)
{
    const struct serve_options options = { .config = &no_config };
    _cleanup_free_ char *deep = NULL;
    _cleanup_(image_closep) struct image *image = NULL;
    struct serve_record record;
    struct error *error = NULL;
    int pidfd;

    (void)state;
    need_qemu_nbd();
    deep = xprintf("%s/%080d", folder, 0);
    assert_int_equal(mkdir(deep, 0700), 0);
    succeed(serve_open_folder(deep, &error), error);
    image = open_web1(IMAGE_LOCK_SHARED);
    refused(serve_start(image, &options, NULL, &record, &pidfd, &error), &error,
            ERROR_LIMIT_EXCEEDED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_lock_lives_as_long_as_the_server, begin_serving,
                                        end_all),
        cmocka_unit_test_setup_teardown(the_lock_is_taken_over_without_a_gap, begin_serving,
                                        end_all),
        cmocka_unit_test_setup_teardown(a_server_is_known_by_number_start_and_command_line,
                                        begin_serving, end_all),
        cmocka_unit_test_setup_teardown(one_that_was_never_answered_is_ended, begin_serving,
                                        end_all),
        cmocka_unit_test_setup_teardown(what_cannot_be_started_leaves_nothing, begin_serving,
                                        end_all),
        cmocka_unit_test_setup_teardown(a_socket_that_nobody_could_name_is_refused, begin_serving,
                                        end_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
