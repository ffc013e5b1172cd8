/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image-lock.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/repository-fixture.h"

static int
begin_locks(void **state)
{
    if (begin(state) < 0)
        return -1;
    put_folder("web1");
    put_file("web1/lock", "");
    return 0;
}

static struct folder *
open_web1(void)
{
    struct folder *web1 = NULL;

    assert_true(folder_open(repository->images, "web1", FOLDER_SAME_SYSTEM, &web1));
    return web1;
}

static bool
acquire(struct folder *web1, enum image_lock_mode mode, struct image_lock **ret_lock,
        struct error **err)
{
    return image_lock_acquire(web1, mode, "web1", HOLDER, ret_lock, err);
}

static void
a_writer_keeps_everybody_out_and_is_named(void **state)
{
    _cleanup_(folder_closep) struct folder *web1 = open_web1();
    struct image_lock *lock = NULL, *second = NULL;
    struct error *error = NULL;
    char *holder = NULL;
    bool held = false;

    (void)state;
    succeed(acquire(web1, IMAGE_LOCK_EXCLUSIVE, &lock, &error), error);
    assert_false(acquire(web1, IMAGE_LOCK_EXCLUSIVE, &second, &error));
    assert_int_equal(error->code, ERROR_IMAGE_IN_USE);
    assert_has(error->data, "\"holder\":\"" HOLDER "\"");
    error_free(TAKE(error));
    refused(acquire(web1, IMAGE_LOCK_SHARED, &second, &error), &error, ERROR_IMAGE_IN_USE);
    succeed(image_lock_confirm(lock, "web1", &error), error);
    succeed(image_lock_is_held(web1, &held, &holder, &error), error);
    assert_true(held);
    assert_string_equal(holder, HOLDER);
    free(holder);
    image_lock_release(lock);
    succeed(acquire(web1, IMAGE_LOCK_EXCLUSIVE, &lock, &error), error);
    image_lock_release(lock);
}

/* Another process, which looks after the image and soon has done. */
static void
who_holds_it_for_a_moment_is_waited_for(void **state)
{
    static const struct timespec moment = { .tv_nsec = 50000000 };
    struct image_lock *lock = NULL;
    struct error *error = NULL;
    int told[2];
    pid_t child;
    char byte;

    (void)state;
    assert_int_equal(pipe(told), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct folder *web1 = open_web1();

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!image_lock_acquire(web1, IMAGE_LOCK_EXCLUSIVE, "web1", "host " IMAGE_LOCK_FOR_A_MOMENT,
                                &lock, &error) ||
            write(told[1], "", 1) != 1)
            _exit(1);
        (void)nanosleep(&moment, NULL);
        _exit(0);
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    {
        _cleanup_(folder_closep) struct folder *web1 = open_web1();

        succeed(acquire(web1, IMAGE_LOCK_SHARED, &lock, &error), error);
        image_lock_release(lock);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)close(told[0]);
    (void)close(told[1]);
}

/* As one that is about to become a program: it has all descriptors of the agent's until then. */
static void
a_child_just_forked_does_not_keep_what_is_released(void **state)
{
    _cleanup_(folder_closep) struct folder *web1 = open_web1();
    struct image_lock *lock = NULL;
    struct error *error = NULL;
    pid_t child;

    (void)state;
    succeed(acquire(web1, IMAGE_LOCK_EXCLUSIVE, &lock, &error), error);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)pause();
        _exit(0);
    }
    image_lock_release(lock);
    succeed(acquire(web1, IMAGE_LOCK_EXCLUSIVE, &lock, &error), error);
    image_lock_release(lock);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void
readers_share_and_keep_a_writer_out(void **state)
{
    _cleanup_(folder_closep) struct folder *web1 = open_web1();
    struct image_lock *first = NULL, *second = NULL, *writer = NULL;
    struct error *error = NULL;
    bool held = true;

    (void)state;
    put_file("web1/lock", "somebody of yesterday");
    succeed(acquire(web1, IMAGE_LOCK_SHARED, &first, &error), error);
    succeed(acquire(web1, IMAGE_LOCK_SHARED, &second, &error), error);
    image_lock_release(first);
    assert_false(acquire(web1, IMAGE_LOCK_EXCLUSIVE, &writer, &error));
    assert_int_equal(error->code, ERROR_IMAGE_IN_USE);
    /* Who wrote last is not who reads now. */
    assert_null(strstr(error->message, "yesterday"));
    error_free(TAKE(error));
    succeed(image_lock_is_held(web1, &held, NULL, &error), error);
    assert_false(held);
    image_lock_release(second);
}

static void
a_lock_dies_with_its_holder(void **state)
{
    _cleanup_(folder_closep) struct folder *web1 = open_web1();
    struct image_lock *lock = NULL;
    struct error *error = NULL;
    int ready[2];
    char byte;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        struct folder *own = open_web1();

        if (!own || !acquire(own, IMAGE_LOCK_EXCLUSIVE, &lock, &error) ||
            write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    refused(acquire(web1, IMAGE_LOCK_EXCLUSIVE, &lock, &error), &error, ERROR_IMAGE_IN_USE);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    succeed(acquire(web1, IMAGE_LOCK_EXCLUSIVE, &lock, &error), error);
    image_lock_release(lock);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

static void
asking_takes_nothing(void **state)
{
    _cleanup_(folder_closep) struct folder *web1 = open_web1();
    struct image_lock *lock = NULL;
    struct error *error = NULL;
    char *holder = NULL;
    bool held = true;

    (void)state;
    put_file("web1/lock", "left behind");
    succeed(image_lock_is_held(web1, &held, &holder, &error), error);
    assert_false(held);
    assert_null(holder);
    succeed(acquire(web1, IMAGE_LOCK_EXCLUSIVE, &lock, &error), error);
    image_lock_release(lock);
}

static void
an_image_without_its_lock_file_can_still_be_locked(void **state)
{
    _cleanup_(folder_closep) struct folder *web1 = open_web1();
    struct image_lock *lock = NULL;
    struct error *error = NULL;
    bool held = true;

    (void)state;
    drop_file("web1/lock");
    succeed(image_lock_is_held(web1, &held, NULL, &error), error);
    assert_false(held);
    succeed(acquire(web1, IMAGE_LOCK_SHARED, &lock, &error), error);
    image_lock_release(lock);
    assert_true(there_is("web1/lock"));
}

static void
a_link_a_pipe_or_a_folder_is_no_lock(void **state)
{
    _cleanup_(folder_closep) struct folder *web1 = open_web1();
    struct image_lock *lock = NULL;
    struct error *error = NULL;
    bool held;

    (void)state;
    put_file("precious", "keep");
    drop_file("web1/lock");
    assert_int_equal(symlinkat("../precious", folder_fd(web1), "lock"), 0);
    refused(acquire(web1, IMAGE_LOCK_EXCLUSIVE, &lock, &error), &error, ERROR_IMAGE_BROKEN);
    refused(acquire(web1, IMAGE_LOCK_SHARED, &lock, &error), &error, ERROR_IMAGE_BROKEN);
    drop_file("web1/lock");
    assert_int_equal(mkfifoat(folder_fd(web1), "lock", 0644), 0);
    refused(acquire(web1, IMAGE_LOCK_EXCLUSIVE, &lock, &error), &error, ERROR_IMAGE_BROKEN);
    refused(acquire(web1, IMAGE_LOCK_SHARED, &lock, &error), &error, ERROR_IMAGE_BROKEN);
    (void)!image_lock_is_held(web1, &held, NULL, &error);
    error_free(TAKE(error));
    drop_file("web1/lock");
    put_folder("web1/lock");
    refused(acquire(web1, IMAGE_LOCK_EXCLUSIVE, &lock, &error), &error, ERROR_IMAGE_BROKEN);
    refused(acquire(web1, IMAGE_LOCK_SHARED, &lock, &error), &error, ERROR_IMAGE_BROKEN);
    {
        _cleanup_text_ struct text text = TEXT_INIT;

        get_file("precious", &text);
        assert_string_equal(text.bytes, "keep");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_writer_keeps_everybody_out_and_is_named, begin_locks,
                                        end),
        cmocka_unit_test_setup_teardown(who_holds_it_for_a_moment_is_waited_for, begin_locks, end),
        cmocka_unit_test_setup_teardown(a_child_just_forked_does_not_keep_what_is_released,
                                        begin_locks, end),
        cmocka_unit_test_setup_teardown(readers_share_and_keep_a_writer_out, begin_locks, end),
        cmocka_unit_test_setup_teardown(a_lock_dies_with_its_holder, begin_locks, end),
        cmocka_unit_test_setup_teardown(asking_takes_nothing, begin_locks, end),
        cmocka_unit_test_setup_teardown(an_image_without_its_lock_file_can_still_be_locked,
                                        begin_locks, end),
        cmocka_unit_test_setup_teardown(a_link_a_pipe_or_a_folder_is_no_lock, begin_locks, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
