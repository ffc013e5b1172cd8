/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy engine alone, for bench/copy: from a raw file to a block device, which no verb writes to
 * (an image of a repository is a file, and image.export replaces nothing).  What is in the device
 * before counts as anything: zeros are discarded there.  Progress is recorded as for an image.
 *
 *   copy-engine SOURCE DEVICE RECORD-FOLDER
 */
#include <config.h>

#include <fcntl.h>
#include <stdio.h>

#include "agent/base/durable.h"
#include "storage/copy.h"

static bool
record(void *context, uint64_t done, struct error **err)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    text_printf(&text, "{\"done\":%llu}\n", (unsigned long long)done);
    return durable_replace(*(const int *)context, "copy.json", text.bytes, text.length, err);
}

static bool
run(const char *from, const char *to, int folder, struct error **err)
{
    _cleanup_(endpoint_closep) struct endpoint *source = NULL, *target = NULL;
    struct copy copy = { .checkpoint = record, .context = &folder };

    if (!endpoint_open(NULL, from, IMAGE_RAW, ENDPOINT_READ, false, NULL, &source, err) ||
        !endpoint_open(NULL, to, IMAGE_RAW, ENDPOINT_FILL, false, NULL, &target, err))
        return false;
    copy.source = source;
    copy.target = target;
    return copy_run(&copy, err);
}

int
main(int argc, char **argv)
{
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_close_ int folder = -1;

    if (argc != 4)
        return 2;
    folder = open(argv[3], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0 && run(argv[1], argv[2], folder, &error))
        return 0;
    (void)fprintf(stderr, "copy-engine: %s\n", error ? error->message : argv[3]);
    return 1;
}
