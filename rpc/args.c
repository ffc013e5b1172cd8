/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scanner finds the parameters, so that a wrong one is named: jansson refuses a whole document
 * for an integer beyond 64 bits.  What a parameter's type asks for is in rpc/value.c.
 */
#include <config.h>

#include "rpc/args.h"

#include <assert.h>
#include <string.h>

#include "agent/base/name.h"
#include "rpc/value.h"

#define PARAMS_MAX 64     /* of a verb */
#define NAME_SHOWN_MAX 64 /* bytes of an unknown name that the error shows */

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

/* A table of parameters and the struct that it fills. */
struct filling {
    const struct param *params;
    char *args;
    bool seen[PARAMS_MAX];
};

void
common_args_done(struct common_args *args)
{
    free(args->task_id);
    free(args->if_instance);
    *args = (struct common_args){ 0 };
}

static bool
take_param(struct filling *filling, size_t n, struct slice value, struct error **err)
{
    const struct param *param = &filling->params[n];

    if (filling->seen[n])
        return error_param(err, param->name, "is given twice");
    filling->seen[n] = true;
    if (*value.text == 'n' && !param->required) {
        if (param->fallback || param->make_uuid) /* the same as absent, but for being seen */
            return value_default(param, filling->args + param->offset, err);
        return true;
    }
    if (!value_take(param, value, filling->args + param->offset, err))
        return false;
    if (param->present)
        *(bool *)(void *)(filling->args + param->present - 1) = true;
    return true;
}

/* Which parameter of the table has that name; false: none. */
static bool
find_param(const struct param *params, const char *name, size_t size, size_t *ret_n)
{
    for (size_t n = 0; params && params[n].name; n++)
        if (strlen(params[n].name) == size && memcmp(params[n].name, name, size) == 0) {
            assert(n < PARAMS_MAX);
            *ret_n = n;
            return true;
        }
    return false;
}

static bool
unknown_param(const struct verb *verb, const char *text, size_t size, struct error **err)
{
    _cleanup_free_ char *name = xstrndup(text, size < NAME_SHOWN_MAX ? size : NAME_SHOWN_MAX);
    _cleanup_text_ struct text known = TEXT_INIT;

    for (const struct param *param = verb->params; param && param->name; param++)
        text_printf(&known, "%s'%s'", known.length ? ", " : "", param->name);
    if (known.length == 0)
        return error_param(err, name, "is unknown: '%s' takes none", verb->name);
    return error_param(err, name, "is unknown: '%s' takes %s", verb->name, known.bytes);
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
        if (find_param(own->params, name, size, &n))
            taken = take_param(own, n, value, err);
        else if (find_param(common->params, name, size, &n))
            taken = take_param(common, n, value, err);
        else
            taken = unknown_param(verb, name, size, err);
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
        return take_param(own, 0, params, err);
    scan_inside(&scan, params);
    for (; scan_element(&scan, &value); n++) {
        if (!own->params || !own->params[n].name) {
            _cleanup_free_ char *place = xprintf("%zu", n + 1);

            return error_param(err, place, "is one too many: '%s' takes %zu", verb->name, n);
        }
        assert(n < PARAMS_MAX);
        if (!take_param(own, n, value, err))
            return false;
    }
    return true;
}

static bool
complete(struct filling *own, struct error **err)
{
    for (size_t n = 0; own->params && own->params[n].name; n++) {
        const struct param *param = &own->params[n];

        if (n < PARAMS_MAX && own->seen[n])
            continue;
        if (param->required)
            return error_param(err, param->name, "is missing");
        if (!value_default(param, own->args + param->offset, err))
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
    return complete(&own, err) && check_task_id(common->task_id, err);
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
