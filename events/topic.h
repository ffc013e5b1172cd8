/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topics and the patterns that choose among them.
 *
 * A topic is words separated by dots: "image.changed".  In a pattern, "*" alone is everything, and
 * as the last word everything below ("task.*"); elsewhere it stands for one word.
 */
#ifndef EVENTS_TOPIC_H
#define EVENTS_TOPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/error.h"

/* The topics that there are; ends with NULL. */
extern const char *const topic_names[];

/* Place of 'topic' in topic_names; TOPIC_OTHER for one that is not there. */
unsigned topic_index(const char *topic);
#define TOPIC_OTHER 63

/* A bit for each topic (1 << topic_index) that the pattern matches; "*" has all bits. */
uint64_t topic_mask(const char *pattern);

bool topic_matches(const char *pattern, const char *topic);
/* InvalidParams (param "topics") for a pattern that is malformed or can match no topic. */
bool topic_pattern_check(const char *pattern, struct error **err) _must_check_;

#endif
