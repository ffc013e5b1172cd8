/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gluster/brick.h"
#include "gluster/gluster.h"
#include "gluster/top.h"
#include "gluster/volume-verbs.h"
#include "gluster/volume.h"

/* A reader may load a brick for a moment, not for long; glusterd's own bound is 10 GB. */
#define MEASURED_SIZE_MAX (INT64_C(1) << 30)
#define BLOCK_SIZE_MAX (INT64_C(1) << 26)

struct top_args {
    char *volume;
    const char *what;
    char *brick;
    int64_t count, blocks;
    uint64_t block_size;
};

static bool
is_perf(const struct top_args *args)
{
    return strcmp(args->what, "readPerf") == 0 || strcmp(args->what, "writePerf") == 0;
}

static bool
check(const struct top_args *args, struct error **err)
{
    const char *given = args->block_size ? "blockSize" : "blocks";

    if (args->brick && !brick_check("brick", args->brick, err))
        return false;
    if (!args->block_size && !args->blocks)
        return true;
    if (!is_perf(args))
        return error_param(err, given, "is for readPerf and writePerf, not for %s", args->what);
    if (!args->block_size || !args->blocks)
        return error_param(err, given, "needs %s too",
                           args->block_size ? "'blocks'" : "'blockSize'");
    return args->block_size * (uint64_t)args->blocks <= MEASURED_SIZE_MAX ||
           error_param(err, "blocks",
                       "are more than 1 GiB altogether: a brick would be busy for long");
}

/* glusterd's words for all that is wrong with a brick are that it failed, or none at all. */
static void
explain(const struct top_args *args, struct error **error)
{
    struct error *ignored = NULL, *missing = NULL;
    _cleanup_volumes_ struct volumes volumes = { 0 };
    size_t index;

    if ((*error)->code != ERROR_BACKEND_FAILED)
        return;
    if (strstr((*error)->message, "parser error")) {
        (void)error_wrap(error, "a file among them has a name that gluster cannot print as XML");
        return;
    }
    if (!args->brick)
        return;
    if (!volumes_ask(args->volume, NULL, &volumes, &ignored)) {
        error_free(ignored);
        return;
    }
    if (volume_brick_require(&volumes.all[0], args->brick, &index, &missing)) {
        (void)error_wrap(error, "cannot ask brick '%s', which must be running", args->brick);
        return;
    }
    error_free(*error);
    *error = missing;
}

static bool
ask(struct call *call, struct top *ret_top, struct error **err)
{
    const struct top_args *args = call->args;
    const char *words[16] = { "volume", "top", args->volume, args->what };
    const struct gluster_command command = {
        .arguments = words, .kind = "volume", .id = args->volume, .abort = call_abort_flag(call)
    };
    _cleanup_free_ char *count = xprintf("%" PRIi64, args->count);
    _cleanup_free_ char *blocks = xprintf("%" PRIi64, args->blocks);
    _cleanup_free_ char *block_size = xprintf("%" PRIu64, args->block_size);
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    size_t n = 3;

    if (is_perf(args))
        words[n] = strcmp(args->what, "readPerf") == 0 ? "read-perf" : "write-perf";
    n++;
    if (args->blocks) {
        words[n++] = "bs";
        words[n++] = block_size;
        words[n++] = "count";
        words[n++] = blocks;
    }
    if (args->brick) {
        words[n++] = "brick";
        words[n++] = args->brick;
    }
    words[n++] = "list-cnt";
    words[n++] = count;
    return gluster_command_run(&command, &document, err) && top_read(document, ret_top, err);
}

static enum outcome
top_run(struct call *call)
{
    const struct top_args *args = call->args;
    _cleanup_top_ struct top top = { 0 };
    struct writer *writer = call_result(call);
    struct error *error = NULL;

    if (!check(args, &error))
        return call_fail(call, error);
    if (!ask(call, &top, &error)) {
        explain(args, &error);
        return gluster_command_fail(call, error);
    }
    writer_object(writer);
    writer_member_string(writer, "volume", args->volume);
    writer_member_string(writer, "what", args->what);
    writer_key(writer, "bricks");
    top_write(&top, is_perf(args), args->block_size * (uint64_t)args->blocks, writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

const struct verb top_verbs[] = {
    {
        .name = "volume.top",
        .summary = "List the files that each brick of a volume is asked for most.",
        .description =
            "Bricks count from their start, whether a profile of the volume is started or not; open "
            "tells besides how many files are open, and when most were. readPerf and writePerf list "
            "the files with the fastest reads and writes; with blockSize and blocks each brick "
            "measures as well how fast it reads, or writes, that much from, or to, its disk.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct top_args),
        .params = PARAMS(
            VOLUME_PARAM(top_args),
            PARAM(top_args, what, "what", .type = PARAM_CHOICE, .required = true,
                  .choices = CHOICES("open", "read", "write", "opendir", "readdir", "readPerf",
                                     "writePerf"),
                  .about = "Which calls."),
            PARAM(top_args, brick, "brick", .type = PARAM_TEXT,
                  .about = "Of this brick only, HOST:/PATH."),
            PARAM(top_args, count, "count", .type = PARAM_INTEGER, .fallback = "100", .minimum = 1,
                  .maximum = 100, .about = "How many files of each brick at most."),
            PARAM(top_args, block_size, "blockSize", .type = PARAM_SIZE, .minimum = 1,
                  .maximum = BLOCK_SIZE_MAX, .about = "Measure with blocks of so many bytes."),
            PARAM(top_args, blocks, "blocks", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = MEASURED_SIZE_MAX, .about = "Measure with so many blocks.")),
        .result = &top_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "ask glusterd", top_run, .pool = POOL_GLUSTER }),
        .object = volume_name_object,
    },
    { 0 },
};
