/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fresh repository in a folder of its own, and short ways to its files, for the tests of storage/.
 */
#ifndef TESTS_REPOSITORY_FIXTURE_H
#define TESTS_REPOSITORY_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/base/durable.h"
#include "storage/image.h"
#include "storage/repository.h"

#define HOLDER "11111111-1111-4111-8111-111111111111 task-1"

static char folder[] = "/tmp/hostler-storage-XXXXXX"; /* not the repository: its parent */
static char repository_path[64];
static struct repository *repository;

static inline void
succeed(bool done, struct error *error)
{
    if (!done)
        fail_msg("%s: %s", error_code_name(error->code), error->message);
}

/* The call has failed with 'code'; the error is freed. */
static inline void
refused(bool done, struct error **error, enum error_code code)
{
    if (done)
        fail_msg("it succeeded, and had to fail with %s", error_code_name(code));
    if ((*error)->code != code)
        fail_msg("%s, not %s: %s", error_code_name((*error)->code), error_code_name(code),
                 (*error)->message);
    error_free(TAKE(*error));
}

static inline int
begin(void **state)
{
    struct error *error = NULL;

    (void)state;
    memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(repository_path, sizeof(repository_path), "%s/r", folder);
    succeed(repository_open("fast",
                            &(struct repository_place){ .kind = "dir", .path = repository_path },
                            true, &repository, &error),
            error);
    return 0;
}

static inline int
end(void **state)
{
    struct error *error = NULL;
    int parent = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    repository_unref(TAKE(repository));
    succeed(durable_remove_tree(parent, strrchr(folder, '/') + 1, &error), error);
    (void)close(parent);
    return 0;
}

/* 'path' is below images/. */
static inline void
put_file(const char *path, const char *contents)
{
    int fd =
        openat(folder_fd(repository->images), path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, contents, strlen(contents)), strlen(contents));
    (void)close(fd);
}

static inline void
put_folder(const char *path)
{
    assert_int_equal(mkdirat(folder_fd(repository->images), path, 0755), 0);
}

static inline void
drop_file(const char *path)
{
    assert_int_equal(unlinkat(folder_fd(repository->images), path, 0), 0);
}

static inline bool
there_is(const char *path)
{
    struct stat status;

    return fstatat(folder_fd(repository->images), path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline void
get_file(const char *path, struct text *ret_text)
{
    struct error *error = NULL;

    succeed(durable_read(folder_fd(repository->images), path, 1 << 20, ret_text, &error), error);
}

static inline struct image_record
sample_record(uint64_t size)
{
    return (struct image_record){ .format = IMAGE_RAW,
                                  .size = size,
                                  .mutable = true,
                                  .complete = true,
                                  .generation = 1,
                                  .created_ns = INT64_C(1795000000000000000) };
}

/* Its texts are literals: not to be freed. */
static inline struct copy_record
sample_copy(void)
{
    return (struct copy_record){ .source_path = (char *)(uintptr_t) "/srv/web1.raw",
                                 .source_format = IMAGE_RAW,
                                 .source_identity = (char *)(uintptr_t) "size 4096",
                                 .done = 1024,
                                 .total = 4096,
                                 .host = "11111111-1111-4111-8111-111111111111",
                                 .task = (char *)(uintptr_t) "task-1",
                                 .updated_ns = INT64_C(1795000000000000000) };
}

/* From now on only so many more can be opened at once; SIZE_MAX: as many as before. */
static inline void
allow_descriptors(size_t count)
{
    static struct rlimit before;
    struct rlimit limit;
    int lowest;

    if (count == SIZE_MAX) {
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        return;
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    lowest = dup(STDERR_FILENO); /* all below are taken */
    assert_true(lowest >= 0);
    (void)close(lowest);
    limit = (struct rlimit){ .rlim_cur = (rlim_t)lowest + count, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static inline void
put_data(struct image *image, uint64_t size)
{
    int fd = openat(folder_fd(image->folder), image_record_data(&image->record),
                    O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    (void)close(fd);
}

/* Makes and shows an image of this record; the caller closes it, which lets its lock go. */
static inline struct image *
make_with(const char *id, const struct image_record *record, const struct copy_record *copy)
{
    struct error *error = NULL;
    struct image *image;

    succeed(image_make(repository, id, record, copy, HOLDER, &image, &error), error);
    put_data(image, record->size);
    succeed(image_publish(image, &error), error);
    return image;
}

static inline void
make_image(const char *id)
{
    struct image_record record = sample_record(4096);

    image_close(make_with(id, &record, NULL));
}

static inline void
make_overlay(const char *id, const char *base)
{
    struct image_record record = sample_record(4096);

    record.format = IMAGE_QCOW2;
    record.base = (char *)(uintptr_t)base;
    image_close(make_with(id, &record, NULL));
}

/* An abandoned copy. */
static inline void
make_incomplete(const char *id)
{
    struct image_record record = sample_record(4096);
    struct copy_record copy = sample_copy();

    record.complete = false;
    record.generation = 0;
    image_close(make_with(id, &record, &copy));
}

static inline char *
status_of(const char *id)
{
    struct writer writer = WRITER_INIT;
    struct error *error = NULL;

    succeed(image_write_status(repository, id, &writer, &error), error);
    return text_take(&writer.text);
}

static inline void
assert_has(const char *text, const char *wanted)
{
    if (!strstr(text, wanted))
        fail_msg("'%s' is not in %s", wanted, text);
}

static inline void
assert_status_has(const char *id, const char *wanted)
{
    char *status = status_of(id);

    assert_has(status, wanted);
    free(status);
}

#endif
