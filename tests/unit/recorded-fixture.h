/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a real glusterd said: the files of tests/unit/gluster (README.md there).
 */
#ifndef TESTS_UNIT_RECORDED_FIXTURE_H
#define TESTS_UNIT_RECORDED_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h needs the first four. */
#include <cmocka.h>

#include "agent/base/text.h"
#include "agent/base/xml.h"

static inline void
recorded_read(const char *name, struct text *ret_text)
{
    const char *source = getenv("HOSTLER_SOURCE");
    _cleanup_free_ char *path =
        xprintf("%s/tests/unit/gluster/%s", source && *source ? source : ".", name);
    FILE *file = fopen(path, "r");
    size_t size;

    if (!file)
        fail_msg("cannot open %s", path);
    while ((size = fread(text_reserve(ret_text, 65536), 1, 65536, file)) > 0)
        text_grow(ret_text, size);
    assert_int_equal(fclose(file), 0);
}

/* The caller's. */
static inline struct xml_document *
recorded_document(const char *name)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    struct xml_document *document = NULL;
    struct error *error = NULL;

    recorded_read(name, &text);
    if (!xml_parse("gluster", text.bytes, text.length, &document, &error))
        fail_msg("%s: %s", name, error->message);
    return document;
}

#endif
