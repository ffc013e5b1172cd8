/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What agent/hostlerd.c sees of storage: one object, its verb tables, and its start.
 */
#ifndef STORAGE_STORAGE_H
#define STORAGE_STORAGE_H

#include "agent/base/error.h"
#include "agent/verb.h"

struct agent;
struct config;
struct storage;

/* The context of the tables below. */
struct storage *storage_new(void);

/* Reads the [repository NAME] sections; an error names file and line. */
bool storage_configure(struct storage *storage, const struct config *config, struct error **err)
    _must_check_;

/*
 * Begins to connect the repositories of the configuration file and of the run-time directory, in
 * the background; 'settled' is called on the loop when each has been tried, or after a second.
 * Copies of this host with onCrash "resume" are then continued by tasks of the agent's own.
 */
bool storage_open(struct storage *storage, struct agent *agent, void (*settled)(void *context),
                  void *settled_context, struct error **err) _must_check_;

extern const struct verb repository_verbs[];     /* repository.* */
extern const struct verb image_verbs[];          /* create list status update fence remove */
extern const struct verb image_copy_verbs[];     /* copy import resume */
extern const struct verb image_export_verbs[];   /* export */
extern const struct verb image_merge_verbs[];    /* merge */
extern const struct verb image_optimize_verbs[]; /* optimize */
extern const struct verb image_release_verbs[];  /* release */
extern const struct verb image_resize_verbs[];   /* resize */
extern const struct verb image_snapshot_verbs[]; /* snapshot */
extern const struct verb image_check_verbs[];    /* verify checksum */
extern const struct verb image_serve_verbs[];    /* serve unserve */
extern const struct verb ticket_verbs[];         /* image.ticket closeTicket tickets */

#endif
