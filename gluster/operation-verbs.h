/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs that begin an operation of glusterd's share: their answer, and where it goes on.
 */
#ifndef GLUSTER_OPERATION_VERBS_H
#define GLUSTER_OPERATION_VERBS_H

#include "agent/call.h"
#include "agent/verb.h"
#include "gluster/operation.h"

extern const struct shape operation_begun_shape;
extern const struct follow operation_follow;

/* The result: 'operation' is glusterd's id, or NULL when all is done already. */
void operation_begun_write(struct call *call, const char *volume, const char *operation,
                           enum operation_kind kind);
/* gluster_command_fail(), where a WrongState names the operation that stands in the way.  Takes ownership. */
enum outcome operation_refused(struct call *call, const char *volume, struct error *error);

#endif
