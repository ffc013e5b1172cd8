/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "events/topic.h"

#include <string.h>

const char *const topic_names[] = {
    "task.started",
    "task.progress",
    "task.ended",
    "repository.connected",
    "repository.disconnected",
    "repository.health",
    "image.changed",
    "image.removed",
    "volume.changed",
    "volume.operation",
    "peer.changed",
    "peer.roll",
    "vm.changed",
    "vm.removed",
    "vm.migration",
    "vm.backup",
    "host.backend",
    "member.changed",
    "replica.changed",
    "lock.changed",
    NULL,
};

_Static_assert(ARRAY_COUNT(topic_names) - 1 < TOPIC_OTHER, "a topic is a bit of 64");

unsigned
topic_index(const char *topic)
{
    for (unsigned i = 0; topic_names[i]; i++)
        if (strcmp(topic_names[i], topic) == 0)
            return i;
    return TOPIC_OTHER;
}

uint64_t
topic_mask(const char *pattern)
{
    uint64_t mask = 0;

    if (strcmp(pattern, "*") == 0)
        return UINT64_MAX;
    for (unsigned i = 0; topic_names[i]; i++)
        if (topic_matches(pattern, topic_names[i]))
            mask |= UINT64_C(1) << i;
    return mask;
}

bool
topic_matches(const char *pattern, const char *topic)
{
    if (strcmp(pattern, "*") == 0)
        return true;
    for (;;) {
        size_t wanted = strcspn(pattern, "."), word = strcspn(topic, ".");

        if (wanted == 1 && *pattern == '*') {
            if (pattern[1] == '\0') /* the last word: everything below */
                return word > 0;
        } else if (wanted != word || memcmp(pattern, topic, word) != 0) {
            return false;
        }
        pattern += wanted;
        topic += word;
        if (*pattern == '\0' || *topic == '\0')
            return *pattern == *topic;
        pattern++;
        topic++;
    }
}

bool
topic_pattern_check(const char *pattern, struct error **err)
{
    for (const char *const *topic = topic_names; *topic; topic++)
        if (topic_matches(pattern, *topic))
            return true;
    return error_param(err, "topics",
                       "has '%s', which no topic matches: try 'task.*', 'image.changed' or '*'",
                       pattern);
}
