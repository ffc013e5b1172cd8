/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking for operations: which there are costs two questions, and their figures one more each.
 *
 * "volume status all tasks" leaves out volumes that are stopped, and silently those that some other
 * command has locked just then; so "volume info", which locks nothing, says which to ask for again.
 */
#include <config.h>

#include <string.h>

#include "gluster/command.h"
#include "gluster/operation-heal.h"
#include "gluster/operation.h"
#include "gluster/removal.h"

#define ESTIMATES_BEGIN_S 600 /* glusterd 10.3 has none before */

static bool
ask_tasks(const char *asked, const char *volume, const atomic_bool *abort,
          struct operations *operations, bool *ret_told, struct error **err)
{
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("volume", "status", asked, "tasks"),
        .kind = "volume",
        .id = asked,
        .abort = abort,
    };
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    return gluster_command_run(&command, &document, err) &&
           operations_read(document, volume, operations, ret_told, err);
}

/* Those of a volume that was left out.  It may have been stopped or deleted meanwhile. */
static bool
ask_left_out(const char *volume, const atomic_bool *abort, struct operations *operations,
             struct error **err)
{
    bool told;

    if (ask_tasks(volume, volume, abort, operations, &told, err))
        return true;
    if ((*err)->code != ERROR_WRONG_STATE && (*err)->code != ERROR_NOT_FOUND)
        return false;
    error_free(TAKE(*err));
    return true;
}

static bool
is_started(const struct volume *volume)
{
    return strcmp(volume->state, "started") == 0;
}

static bool
ask_all_tasks(const struct volumes *volumes, const atomic_bool *abort,
              struct operations *operations, struct error **err)
{
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("volume", "status", "all", "tasks"), .abort = abort
    };
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    if (!gluster_command_run(&command, &document, err))
        return false;
    for (size_t i = 0; i < volumes->count; i++) {
        const struct volume *volume = &volumes->all[i];
        bool told;

        if (!operations_read(document, volume->name, operations, &told, err) ||
            (!told && is_started(volume) && !ask_left_out(volume->name, abort, operations, err)))
            return false;
    }
    return true;
}

/* ---- figures ---- */

static void
status_arguments(const struct operation *operation, struct arguments *arguments)
{
    if (operation->kind == OPERATION_REMOVAL)
        removal_arguments(arguments, operation->volume, 0, operation->bricks, "status");
    else
        arguments_add_all(arguments,
                          GLUSTER_ARGUMENTS("volume", "rebalance", operation->volume, "status"));
}

/* An estimate is a bonus: without it the operation is told all the same. */
static void
ask_time_left(struct operation *operation, struct gluster_command command)
{
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_text_ struct text words = TEXT_INIT;

    operation->has_time_left = false;
    if (operation->status != OPERATION_RUNNING || operation->total.run_time_s < ESTIMATES_BEGIN_S)
        return;
    command.plain = true;
    if (gluster_command_run_words(&command, &words, &error) && words.length)
        operation->has_time_left = operation_read_time_left(words.bytes, &operation->time_left_s);
}

bool
operation_ask_figures(struct operation *operation, const struct volume *volume,
                      const atomic_bool *abort, bool *ret_known, struct error **err)
{
    _cleanup_arguments_ struct arguments arguments = { 0 };
    struct gluster_command command = { .kind = "volume", .id = operation->volume, .abort = abort };
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_peers_ struct peers peers = { 0 };

    status_arguments(operation, &arguments);
    command.arguments = arguments_list(&arguments);
    if (!gluster_command_run(&command, &document, err)) {
        if ((*err)->code != ERROR_WRONG_STATE && (*err)->code != ERROR_NOT_FOUND)
            return false;
        error_free(TAKE(*err)); /* it was there a moment ago */
        *ret_known = false;
        return true;
    }
    if (!operation_read_figures(operation, document, ret_known, err))
        return false;
    if (!*ret_known)
        return true;
    if (operation->kind != OPERATION_REMOVAL && operation_is_incomplete(operation, volume) &&
        !peers_ask(abort, &peers, err))
        return false;
    operation_settle(operation, volume, &peers);
    ask_time_left(operation, command);
    return true;
}

static bool
ask_all_figures(const struct volumes *volumes, const atomic_bool *abort,
                struct operations *operations, struct error **err)
{
    for (size_t i = 0; i < operations->count;) {
        const struct volume *volume = volumes_find(volumes, operations->all[i].volume);
        bool known = false;

        if (volume && !operation_ask_figures(&operations->all[i], volume, abort, &known, err))
            return false;
        if (known)
            i++;
        else
            operations_drop(operations, i);
    }
    return true;
}

static bool
ask_of(const struct volumes *volumes, const char *volume, const atomic_bool *abort,
       struct operations *ret_operations, struct error **err)
{
    _cleanup_operations_ struct operations operations = { 0 };
    bool asked = volume ? ask_left_out(volume, abort, &operations, err)
                        : ask_all_tasks(volumes, abort, &operations, err);

    if (!asked || !ask_all_figures(volumes, abort, &operations, err))
        return false;
    *ret_operations = operations;
    operations = (struct operations){ 0 };
    return true;
}

bool
operations_ask(const char *volume, const atomic_bool *abort, struct operations *ret_operations,
               struct error **err)
{
    _cleanup_volumes_ struct volumes volumes = { 0 };

    return volumes_ask(volume, abort, &volumes, err) &&
           ask_of(&volumes, volume, abort, ret_operations, err);
}

bool
volume_work_ask(const char *volume, const atomic_bool *abort, struct volume_work *ret_work,
                struct error **err)
{
    struct volume_work work = { 0 };

    if (!volumes_ask(volume, abort, &work.volumes, err))
        return false;
    if (ask_of(&work.volumes, volume, abort, &work.operations, err)) {
        work.volume = &work.volumes.all[0];
        work.operation = work.operations.count ? &work.operations.all[0] : NULL;
        *ret_work = work;
        return true;
    }
    volume_work_done(&work);
    return false;
}

void
volume_work_done(struct volume_work *work)
{
    volumes_done(&work->volumes);
    operations_done(&work->operations);
    *work = (struct volume_work){ 0 };
}

void
operations_add_items(const struct operations *operations, struct gluster_items *items)
{
    for (size_t i = 0; i < operations->count; i++) {
        const struct operation *operation = &operations->all[i];
        struct gluster_item *item = gluster_items_add(items);
        _cleanup_writer_ struct writer writer = WRITER_INIT;

        operation_write(operation, &writer);
        item->id = xstrdup(operation->id);
        item->volume = xstrdup(operation->volume);
        item->json = text_take(&writer.text);
        item->active = operation_is_under_way(operation);
        item->essence = xstrdup(operation_status_name(operation->status));
    }
}

static bool
ask_operations(const char *subject, struct gluster_items *ret_items, struct error **err)
{
    _cleanup_operations_ struct operations operations = { 0 };

    if (!operations_ask(subject, NULL, &operations, err))
        return false;
    operations_add_items(&operations, ret_items);
    return true;
}

const struct gluster_question operation_question = {
    .name = "operations",
    .member = "operations",
    .ask = ask_operations,
    .beside = &heal_work_question,
};
