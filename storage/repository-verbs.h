/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What storage/storage.c uses of repository.connect, to connect at the start what was connected.
 */
#ifndef STORAGE_REPOSITORY_VERBS_H
#define STORAGE_REPOSITORY_VERBS_H

#include <stdbool.h>

#include "storage/repository-table.h"

#define REMEMBERED_FILE "repositories.json" /* in the run-time directory */

struct connect_args {
    char *repository;
    struct repository_place place;
    bool create;
    bool configured; /* no parameter: it stands in the configuration file */
    bool keep;       /* no parameter: stays in the table when it cannot be opened */
};

/* Of image.resume (image-copy-verbs.c), image.merge and image.optimize, which the agent calls by itself too. */
struct resume_args {
    char *repository, *image;
    int64_t if_generation;
    bool has_generation;
};

/* Starts a task of the agent's own, under 'task', that goes on with 'image': 'verb' is one of these. */
void storage_resume(struct storage *storage, const char *verb, const char *repository,
                    const char *image, const char *task);

#endif
