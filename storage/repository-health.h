/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is not well about a repository that answers: too little space, or too slow.
 *
 * Judged by the look of every ten seconds.  What is entered at one bound is left at another, so that
 * a figure that wavers around a bound is told of once.  Loop only.
 */
#ifndef STORAGE_REPOSITORY_HEALTH_H
#define STORAGE_REPOSITORY_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/json-writer.h"
#include "agent/base/text.h"

struct repository_look;
struct storage;

#define LOW_SPACE_PERCENT 10  /* free: less is low ... */
#define LOW_SPACE_LEAVE 12    /* ... until there is so much again */
#define ALMOST_FULL_PERCENT 1 /* likewise */
#define ALMOST_FULL_LEAVE 2
#define SLOW_LATENCY_MS 1000 /* of reading its record */
#define SLOW_LOOKS 3         /* so many in a row make it slow, and quick again */

struct repository_warnings {
    bool low_space, almost_full, slow;
    unsigned contrary_looks; /* in a row, that speak against 'slow' */
};

/* Takes one more look into account.  Whether a warning has come or gone. */
bool repository_judge(struct repository_warnings *warnings, const struct repository_look *look);
/* An array of their names on the wire. */
void repository_warnings_write(const struct repository_warnings *warnings, struct writer *writer);
/* The same for people; to be freed.  NULL: all is well. */
char *repository_warnings_text(const struct repository_warnings *warnings);

/* Adds the figures of all repositories to GET /metrics, and "repositories" to host.stats. */
void repository_figures_open(struct storage *storage);

#endif
