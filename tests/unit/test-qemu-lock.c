/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/qemu-lock.h"

#include "tests/unit/repository-fixture.h"

/* Locks byte 'start' of web1/data as QEMU does; closing the descriptor lets it go. */
static int
lock_byte(off_t start)
{
    int fd = openat(folder_fd(repository->images), "web1/data", O_RDWR | O_CLOEXEC);
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = 1 };

    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    return fd;
}

static struct image *
open_it(void)
{
    struct error *error = NULL;
    struct image *image;

    make_image("web1");
    succeed(image_open(repository, "web1", &image, &error), error);
    return image;
}

static void
a_file_that_qemu_has_open_is_in_use(void **state)
{
    static const off_t bytes[] = { 100, 101, 103, 201, 299 };
    struct image *image = open_it();
    struct error *error = NULL;

    (void)state;
    succeed(qemu_lock_require_free(image->folder, "data", NULL, &error), error);
    for (size_t i = 0; i < ARRAY_COUNT(bytes); i++) {
        int fd = lock_byte(bytes[i]);

        refused(qemu_lock_require_free(image->folder, "data", NULL, &error), &error,
                ERROR_IMAGE_IN_USE);
        (void)close(fd);
        succeed(qemu_lock_require_free(image->folder, "data", NULL, &error), error);
    }
    image_close(image);
}

static void
other_programs_locks_are_not_qemus(void **state)
{
    static const off_t bytes[] = { 0, 99, 300 };
    struct image *image = open_it();
    struct error *error = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bytes); i++) {
        int fd = lock_byte(bytes[i]);

        succeed(qemu_lock_require_free(image->folder, "data", NULL, &error), error);
        (void)close(fd);
    }
    image_close(image);
}

static void
readers_are_let_be_where_only_writers_are_in_the_way(void **state)
{
    struct image *image = open_it();
    struct error *error = NULL;
    int fd = lock_byte(100), other = lock_byte(201);

    (void)state;
    succeed(qemu_lock_require_no_writers(image->folder, "data", NULL, &error), error);
    (void)close(fd);
    (void)close(other);
    fd = lock_byte(101);
    refused(qemu_lock_require_no_writers(image->folder, "data", NULL, &error), &error,
            ERROR_IMAGE_IN_USE);
    (void)close(fd);
    image_close(image);
}

static void
whoever_aborts_does_not_wait(void **state)
{
    struct image *image = open_it();
    const atomic_bool abort = true;
    struct error *error = NULL;
    int fd = lock_byte(101);

    (void)state;
    refused(qemu_lock_require_free(image->folder, "data", &abort, &error), &error,
            ERROR_IMAGE_IN_USE);
    (void)close(fd);
    image_close(image);
}

static void
what_is_no_file_cannot_be_told_of(void **state)
{
    struct image *image = open_it();
    struct error *error = NULL;

    (void)state;
    refused(qemu_lock_require_free(image->folder, "none", NULL, &error), &error,
            ERROR_IMAGE_BROKEN);
    image_close(image);
}

static bool
byte_is_free(int fd, off_t start)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = 1 };

    assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
    return lock.l_type == F_UNLCK;
}

static void
a_writer_is_kept_out_as_long_as_it_is_open(void **state)
{
    struct image *image = open_it();
    int fd = openat(folder_fd(image->folder), "data", O_RDONLY | O_CLOEXEC);
    int other = openat(folder_fd(image->folder), "data", O_RDWR | O_CLOEXEC);
    struct error *error = NULL;

    (void)state;
    succeed(qemu_lock_out_writers(fd, "data", &error), error);
    assert_false(byte_is_free(other, 201));
    (void)close(fd);
    assert_true(byte_is_free(other, 201));
    (void)close(other);
    image_close(image);
}

static void
who_finds_a_writer_there_is_refused_and_who_finds_readers_is_not(void **state)
{
    struct image *image = open_it();
    int fd = openat(folder_fd(image->folder), "data", O_RDONLY | O_CLOEXEC);
    struct error *error = NULL;
    int other = lock_byte(101);

    (void)state;
    refused(qemu_lock_out_writers(fd, "data", &error), &error, ERROR_IMAGE_IN_USE);
    (void)close(other);
    other = lock_byte(100);
    succeed(qemu_lock_out_writers(fd, "data", &error), error);
    (void)close(other);
    (void)close(fd);
    image_close(image);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_qemu_has_open_is_in_use),
        TEST(other_programs_locks_are_not_qemus),
        TEST(readers_are_let_be_where_only_writers_are_in_the_way),
        TEST(whoever_aborts_does_not_wait),
        TEST(what_is_no_file_cannot_be_told_of),
        TEST(a_writer_is_kept_out_as_long_as_it_is_open),
        TEST(who_finds_a_writer_there_is_refused_and_who_finds_readers_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
