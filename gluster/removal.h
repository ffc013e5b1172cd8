/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking bricks out of a volume: glusterd's removal, which first moves their files to the others.
 *
 * A removal is begun, waits when all files have left the bricks, and is then committed or cancelled; a
 * volume has one at most, and glusterd keeps it, so any host of the pool can go on with it.  What is
 * here looks at what glusterd told and judges; it asks nothing.
 */
#ifndef GLUSTER_REMOVAL_H
#define GLUSTER_REMOVAL_H

#include "agent/base/error.h"
#include "gluster/arguments.h"
#include "gluster/operation.h"

/* Whether 'bricks' are exactly those of the removal, in any order. */
bool removal_is_of(const struct operation *operation, char *const *bricks);
/* Whether the operation is a removal, of any bricks. */
bool removal_is(const struct operation *operation);

/* WrongState for a volume that is stopped: glusterd then tells nothing of a removal. */
bool volume_check_started(const struct volume *volume, struct error **err) _must_check_;

/* Whether bricks may begin to be removed, whose copies number 'replica' from then on (0: as now).
   Errors: NotFound {kind: "brick"}, WrongState {operation} (another operation, or a stopped volume),
   InvalidParams (copies without 'force', or more of them than there are). */
bool removal_check_begin(const struct volume *volume, const struct operation *operation,
                         char *const *bricks, int64_t replica, bool force, struct error **err)
    _must_check_;
/* Whether the removal of 'bricks' (NULL: whichever it is) may be committed: when every host has told that
   it moved all files; with 'force' always.  WrongState {state, needs, operation}. */
bool removal_check_commit(const struct operation *operation, char *const *bricks, bool force,
                          struct error **err) _must_check_;
/* Whether it is one that can be cancelled.  WrongState as above. */
bool removal_check_cancel(const struct operation *operation, char *const *bricks,
                          struct error **err) _must_check_;
/* "host2: 3 failed, 1 skipped": why files are left.  To be freed. */
char *removal_failures(const struct operation *operation);

/* WrongState that names the operation that stands in the way (NULL: there is none). */
bool operation_refuse(const struct operation *operation, const char *needs, struct error **err,
                      const char *format, ...) _printf_(4, 5);

/* Appends "volume remove-brick VOLUME [replica N] BRICK... ACTION". */
void removal_arguments(struct arguments *arguments, const char *volume, int64_t replica,
                       char *const *bricks, const char *action);

#endif
