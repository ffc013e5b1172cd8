/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One parameter's value: from JSON as it was written to the member of the argument struct that its
 * type and range ask for.
 */
#ifndef RPC_VALUE_H
#define RPC_VALUE_H

#include "agent/base/error.h"
#include "agent/verb.h"
#include "rpc/scan.h"

/* 'member' is zero before; what it owns then is verb_args_free()'s.  Error: InvalidParams
   {param, reason}; the member then holds nothing. */
bool value_take(const struct param *param, struct slice value, void *member, struct error **err)
    _must_check_;
/* What an absent parameter is: a fresh UUID, the table's default, or zero. */
bool value_default(const struct param *param, void *member, struct error **err) _must_check_;

#endif
