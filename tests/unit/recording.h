/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests/rig/record-gluster.py has recorded of a real glusterd.
 */
#ifndef TESTS_RECORDING_H
#define TESTS_RECORDING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "agent/base/text.h"
#include "gluster/xml.h"

/* tests/unit/gluster/'name'; the caller's. */
static inline struct xml_document *
recording_read(const char *name)
{
    const char *source = getenv("HOSTLER_SOURCE");
    _cleanup_free_ char *path = xprintf("%s/tests/unit/gluster/%s", source ? source : ".", name);
    _cleanup_text_ struct text text = TEXT_INIT;
    struct xml_document *document;
    struct error *error = NULL;
    FILE *file = fopen(path, "re");
    size_t size;

    if (!file)
        fail_msg("cannot open %s", path);
    do {
        size = fread(text_reserve(&text, 65536), 1, 65536, file);
        text_grow(&text, size);
    } while (size > 0);
    (void)fclose(file);
    if (!xml_parse(text.bytes, text.length, &document, &error))
        fail_msg("%s: %s", name, error->message);
    return document;
}

#endif
