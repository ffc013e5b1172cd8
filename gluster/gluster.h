/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What agent/hostlerd.c sees of Gluster: one object, its start, and its verb tables.
 *
 * Everything is glusterd's: volumes, peers, and the operations that run for hours.  Nothing of it is
 * kept here but what glusterd said last (gluster/question.h), so killing the agent loses nothing.
 */
#ifndef GLUSTER_GLUSTER_H
#define GLUSTER_GLUSTER_H

#include "agent/verb.h"

struct agent;
struct gluster;

/* The context of the tables below. */
struct gluster *gluster_new(void);

/* Loop.  Finds out in the background whether there is a glusterd, unless --gluster is none. */
void gluster_open(struct gluster *gluster, struct agent *agent);

extern const struct verb brick_offline_verbs[]; /* brick.setOffline */
extern const struct verb brick_verbs[];         /* add, replace, reset */
extern const struct verb clone_verbs[];         /* volume.clone */
extern const struct verb georep_verbs[];        /* georep.* */
extern const struct verb heal_verbs[];          /* volume.healInfo, volume.heal */
extern const struct verb option_verbs[];        /* volume.options, set, reset */
extern const struct verb peer_verbs[];          /* list, probe, detach */
extern const struct verb profile_verbs[];       /* volume.profile */
extern const struct verb quota_verbs[];         /* volume.quota, quotaEnable, quotaLimit, ... */
extern const struct verb rebalance_verbs[];     /* volume.rebalance stopRebalance operations */
extern const struct verb removal_verbs[];       /* brick.remove commit cancel */
extern const struct verb roll_verbs[];          /* peer.roll */
extern const struct verb snapshot_verbs[];      /* volume.snapshot and what becomes of it */
extern const struct verb status_verbs[];        /* volume.status */
extern const struct verb top_verbs[];           /* volume.top */
extern const struct verb volume_life_verbs[];   /* create, start, stop, delete */
extern const struct verb volume_verbs[];        /* list */

#endif
