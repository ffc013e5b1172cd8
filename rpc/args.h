/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request's parameters to the verb's argument struct, by the verb's table.
 *
 * Every fault names its place: InvalidParams with {param, reason}.  A null stands for an optional
 * parameter that is absent, as many clients write it.
 */
#ifndef RPC_ARGS_H
#define RPC_ARGS_H

#include "agent/base/error.h"
#include "agent/verb.h"
#include "rpc/scan.h"

/* What every call may carry beside the verb's own parameters. */
struct common_args {
    char *task_id;     /* owned, or NULL: the task's name, instead of the request's id */
    char *if_instance; /* owned, or NULL: refuse unless the agent is this instance */
    bool once;         /* run it only if no task of this id does or did */
};

extern const struct param common_params[];

void common_args_done(struct common_args *args);

/*
 * 'params' is an object, an array (by position, in the table's order; it cannot hold the common
 * ones) or absent.  '*ret_args' is the caller's (verb_args_free); NULL for a verb without
 * arguments.  '*ret_common' is the caller's too.  Error: InvalidParams.
 */
bool args_fill(const struct verb *verb, struct slice params, void **ret_args,
               struct common_args *ret_common, struct error **err) _must_check_;

#endif
