/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host of recorded files: a folder with a /proc and a /sys of its own.
 */
#ifndef TESTS_HOST_FIXTURE_H
#define TESTS_HOST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/durable.h"
#include "agent/base/json-writer.h"

static char host_root[64];

static inline int
host_begin(void **state)
{
    (void)state;
    (void)snprintf(host_root, sizeof(host_root), "/tmp/hostler-host-XXXXXX");
    assert_non_null(mkdtemp(host_root));
    return 0;
}

static inline int
host_end(void **state)
{
    _cleanup_close_ int folder = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct error *error = NULL;

    (void)state;
    assert_true(durable_remove_tree(folder, host_root + strlen("/tmp/"), &error));
    return 0;
}

static inline char *
host_place(const char *path)
{
    char *place = xprintf("%s%s", host_root, path);

    for (char *at = place + strlen(host_root) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        (void)mkdir(place, 0700);
        *at = '/';
    }
    return place;
}

/* Writes a file, and the folders that lead to it. */
static inline void
host_file(const char *path, const char *text)
{
    _cleanup_free_ char *place = host_place(path);
    FILE *file = fopen(place, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static inline void
host_link(const char *path, const char *target)
{
    _cleanup_free_ char *place = host_place(path);

    assert_int_equal(symlink(target, place), 0);
}

static inline void
assert_text_has(const char *text, const char *wanted)
{
    if (!strstr(text, wanted))
        fail_msg("'%s' is not in %s", wanted, text);
}

/* What a part writes is 'wanted', all of it. */
static inline void
assert_part_is(void (*write)(const char *root, struct writer *writer), const char *wanted)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    write(host_root, &writer);
    assert_string_equal(writer.text.bytes, wanted);
}

static inline void
assert_part_has(void (*write)(const char *root, struct writer *writer), const char *wanted)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    write(host_root, &writer);
    assert_text_has(writer.text.bytes, wanted);
}

#endif
