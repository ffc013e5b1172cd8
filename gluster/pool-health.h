/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the pool could do without one of its hosts right now: the question before each step of a
 * rolling operation.
 */
#ifndef GLUSTER_POOL_HEALTH_H
#define GLUSTER_POOL_HEALTH_H

#include "agent/base/error.h"
#include "gluster/heal.h"
#include "gluster/peer.h"
#include "gluster/status.h"

/*
 * Asks for all of it, in the order of cost, and stops at the first thing that is not well: each peer is
 * one of the pool and connected, each brick of a started volume online, no rebalance nor removal of bricks
 * running, and no replicated or dispersed volume has anything to heal.
 * '*ret_problem' gets what is not well, a text of the caller's, or NULL.
 * Errors: those of gluster_command_run().  Worker.
 */
bool pool_health_ask(const atomic_bool *abort, char **ret_problem, struct error **err) _must_check_;

/* The parts, of answers that are there: what is not well, the caller's, or NULL. */
char *pool_peers_problem(const struct peers *peers);
char *pool_status_problem(const struct statuses *statuses);
char *pool_heal_problem(const struct volume *volume, const struct heal_info *info);

#endif
