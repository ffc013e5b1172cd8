/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scanner finds the parameters, so that a wrong one is named: jansson refuses a whole document
 * for an integer beyond 64 bits.  A table's struct is filled in rpc/filling.c; what a parameter's
 * type asks for is in rpc/value.c.
 */
#include <config.h>

#include "rpc/args.h"

#include <assert.h>
#include <string.h>

#include "rpc/filling.h"

const struct param common_params[] = {
    PARAM(common_args, task_id, "taskId", .type = PARAM_TEXT, .minimum = 1, .maximum = 255,
          .about =
              "The task's id, instead of the request's: for clients that cannot choose theirs."),
    PARAM(common_args, if_instance, "ifInstance", .type = PARAM_TEXT, .maximum = 64,
          .about = "Refuse the call unless this is the agent's instance: a call that is sent again "
                   "is then never run by an agent that was started since."),
    PARAM(common_args, once, "once", .type = PARAM_BOOL,
          .about = "Wait for the task of this id if it runs, give its answer again if it is "
                   "remembered, and run the call only if neither is so."),
    { 0 },
};

void
common_args_done(struct common_args *args)
{
    free(args->task_id);
    free(args->if_instance);
    *args = (struct common_args){ 0 };
}

static bool
take_named(const struct verb *verb, struct slice params, struct filling *own,
           struct filling *common, struct error **err)
{
    struct scan scan;
    struct slice key, value;

    scan_inside(&scan, params);
    while (scan_member(&scan, &key, &value)) {
        _cleanup_free_ char *owned = NULL;
        const char *name;
        size_t size, n;
        bool taken;

        slice_string(key, &name, &size, &owned);
        if (filling_find(own, name, size, &n))
            taken = filling_take(own, n, value, err);
        else if (filling_find(common, name, size, &n))
            taken = filling_take(common, n, value, err);
        else
            taken = filling_unknown(own, verb->name, name, size, err);
        if (!taken)
            return false;
    }
    return true;
}

/* A verb whose one parameter is a list takes its strings by position too: rpc.on ["a", "b"]. */
static bool
is_one_list(const struct param *params, struct slice positional)
{
    struct scan scan;
    struct slice first;

    if (!params || params[0].type != PARAM_TEXTS || params[1].name)
        return false;
    scan_inside(&scan, positional);
    return scan_element(&scan, &first) && *first.text == '"';
}

static bool
take_positional(const struct verb *verb, struct slice params, struct filling *own,
                struct error **err)
{
    struct scan scan;
    struct slice value;
    size_t n = 0;

    if (is_one_list(own->params, params))
        return filling_take(own, 0, params, err);
    scan_inside(&scan, params);
    for (; scan_element(&scan, &value); n++) {
        if (!own->params || !own->params[n].name) {
            _cleanup_free_ char *place = xprintf("%zu", n + 1);

            return error_param(err, place, "is one too many: '%s' takes %zu", verb->name, n);
        }
        assert(n < PARAMS_MAX);
        if (!filling_take(own, n, value, err))
            return false;
    }
    return true;
}

static bool
check_task_id(const char *id, struct error **err)
{
    for (const char *c = id; c && *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return error_param(err, "taskId", "must hold no control characters");
    return true;
}

static bool
take_all(const struct verb *verb, struct slice params, char *args, struct common_args *common,
         struct error **err)
{
    struct filling own = { .params = verb->params, .args = args };
    struct filling shared = { .params = common_params, .args = (char *)common };

    if (params.text && !(*params.text == '{' ? take_named(verb, params, &own, &shared, err)
                                             : take_positional(verb, params, &own, err)))
        return false;
    return filling_complete(&own, err) && check_task_id(common->task_id, err);
}

bool
args_fill(const struct verb *verb, struct slice params, void **ret_args,
          struct common_args *ret_common, struct error **err)
{
    struct common_args common = { 0 };
    char *args;

    if (!params.text && !verb->params && !verb->args_size) { /* nothing to do: host.ping */
        *ret_args = NULL;
        *ret_common = common;
        return true;
    }
    args = verb->args_size ? xalloc(verb->args_size) : NULL;
    if (!take_all(verb, params, args, &common, err)) {
        verb_args_free(verb, args);
        common_args_done(&common);
        return false;
    }
    *ret_args = args;
    *ret_common = common;
    return true;
}
