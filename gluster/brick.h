/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of bricks as callers give them: "HOST:/PATH", glusterd's own way, told to glusterd as they are.
 */
#ifndef GLUSTER_BRICK_H
#define GLUSTER_BRICK_H

#include <stddef.h>

#include "agent/base/error.h"
#include "agent/verb.h"

#define BRICKS_PARAM(args, text)                                                                   \
    PARAM(args, bricks, "bricks", .type = PARAM_TEXTS, .required = true, .about = text)

/* As many as a call can name. */
#define BRICKS_MAX 1000

/* At least one, each a host's name or address, a colon, and an absolute path without "." and ".."; none
   twice.  InvalidParams names the one that is wrong.  '*ret_count' gets how many there are. */
bool bricks_check(const char *param, char *const *bricks, size_t *ret_count, struct error **err)
    _must_check_;
/* One of them. */
bool brick_check(const char *param, const char *brick, struct error **err) _must_check_;
/* A host's name or address as glusterd takes it, and never a flag. */
bool host_check(const char *param, const char *host, struct error **err) _must_check_;

#endif
