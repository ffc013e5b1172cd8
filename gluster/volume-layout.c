/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/volume-layout.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "gluster/brick.h"
#include "gluster/volume.h"

bool
volume_name_check(const char *name, struct error **err)
{
    if (strcmp(name, "all") == 0)
        return error_param(err, "volume", "cannot be 'all', which means every volume");
    for (const char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("-_", *at))
            return error_param(err, "volume", "takes letters, digits, '-' and '_', not '%c'", *at);
    return true;
}

static size_t
host_length(const char *brick)
{
    const char *end = strstr(brick, ":/");

    return end ? (size_t)(end - brick) : strlen(brick);
}

static bool
is_same_host(const char *one, const char *other)
{
    size_t length = host_length(one);

    return length == host_length(other) && strncasecmp(one, other, length) == 0;
}

/* Whether 'inner' lies in 'outer', on the same host. */
static bool
is_within(const char *inner, const char *outer)
{
    const char *path = strchr(outer + host_length(outer), '/');
    const char *candidate = strchr(inner + host_length(inner), '/');
    size_t length = path ? strlen(path) : 0;

    if (!path || !candidate)
        return false; /* what glusterd calls a brick by is not for us to judge */

    return is_same_host(inner, outer) && strncmp(candidate, path, length) == 0 &&
           (candidate[length] == '/' || candidate[length] == '\0');
}

static bool
check_places(char *const *bricks, struct error **err)
{
    size_t count;

    if (!bricks_check("bricks", bricks, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            if (i != j && is_within(bricks[i], bricks[j]))
                return error_param(err, "bricks",
                                   "names '%s', which lies in '%s': a brick needs a folder of its "
                                   "own, outside all others",
                                   bricks[i], bricks[j]);
    return true;
}

static size_t
count_bricks(char *const *bricks)
{
    size_t count = 0;

    while (bricks[count])
        count++;
    return count;
}

static bool
check_replica(struct volume_layout *layout, struct error **err)
{
    if (layout->replica == 1)
        return error_param(err, "replica", "must be 2 at least: leave it out for single copies");
    if (!layout->arbiter)
        return true;
    if (layout->arbiter != 1)
        return error_param(err, "arbiter",
                           "must be 1: glusterd knows no more than one arbiter in a set");
    if (layout->replica != 3 && layout->replica != 2)
        return error_param(err, "arbiter",
                           "needs 'replica' to be 3: two bricks with data, and the arbiter");
    layout->replica = 3;
    return true;
}

static bool
is_power_of_two(int64_t number)
{
    return number > 0 && (number & (number - 1)) == 0;
}

static int64_t
best_redundancy(int64_t disperse)
{
    for (int64_t redundancy = (disperse - 1) / 2; redundancy > 1; redundancy--)
        if (is_power_of_two(disperse - redundancy))
            return redundancy;
    return 1;
}

static bool
check_disperse(struct volume_layout *layout, struct error **err)
{
    if (layout->replica)
        return error_param(err, "disperse",
                           "cannot be said together with 'replica': a volume is one or the other");
    if (!layout->disperse)
        layout->disperse = (int64_t)layout->brick_count;
    if (layout->disperse < 3)
        return error_param(err, "disperse",
                           "must be 3 at least, two bricks with data and one of redundancy; it is "
                           "%" PRId64,
                           layout->disperse);
    if (!layout->redundancy)
        layout->redundancy = best_redundancy(layout->disperse);
    if (layout->redundancy * 2 >= layout->disperse)
        return error_param(err, "redundancy",
                           "must be less than half of 'disperse': at most %" PRId64 " of %" PRId64,
                           (layout->disperse - 1) / 2, layout->disperse);
    return true;
}

static uint64_t
set_size(const struct volume_layout *layout)
{
    return (uint64_t)(layout->disperse ? layout->disperse : layout->replica ? layout->replica : 1);
}

/* Text of its size and kind: "sets of 3 replicas". */
static char *
describe_sets(const struct volume_layout *layout)
{
    if (layout->disperse)
        return xprintf("sets of %" PRId64 ", %" PRId64 " of them redundancy", layout->disperse,
                       layout->redundancy);
    return xprintf("sets of %" PRId64 "%s", layout->replica,
                   layout->arbiter ? ", the third of each an arbiter" : " replicas");
}

static bool
check_count(const struct volume_layout *layout, struct error **err)
{
    uint64_t size = set_size(layout), rest = layout->brick_count % size;
    _cleanup_free_ char *sets = NULL;

    if (rest == 0)
        return true;
    sets = describe_sets(layout);
    return error_param(err, "bricks",
                       "names %zu, which do not fill %s: name %" PRIu64 " more, or %" PRIu64
                       " fewer",
                       layout->brick_count, sets, size - rest, rest);
}

/* glusterd's rule; by names and addresses as they are written, for it knows who is who.  Those of 'bricks'
   before 'first_new' are the volume's as it is. */
static bool
check_hosts(uint64_t size, const char *const *bricks, size_t count, size_t first_new,
            struct error **err)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count && j / size == i / size; j++)
            if (j >= first_new && is_same_host(bricks[i], bricks[j]))
                return error_param(err, "bricks",
                                   "names '%s' and '%s' on one host, in one set: take turns with "
                                   "the hosts, or pass 'force'",
                                   bricks[i], bricks[j]);
    return true;
}

bool
volume_layout_check(struct volume_layout *layout, struct error **err)
{
    if (!check_places(layout->bricks, err))
        return false;
    layout->brick_count = count_bricks(layout->bricks);
    if (layout->arbiter && !layout->replica)
        return error_param(err, "arbiter", "needs 'replica' to be 3");
    if (layout->replica && !check_replica(layout, err))
        return false;
    if ((layout->disperse || layout->redundancy) && !check_disperse(layout, err))
        return false;
    if (!check_count(layout, err))
        return false;
    return layout->force || check_hosts(set_size(layout), (const char *const *)layout->bricks,
                                        layout->brick_count, 0, err);
}

const char *
volume_layout_advice(const struct volume_layout *layout)
{
    if (layout->replica == 2)
        return "two replicas can disagree (split-brain): an arbiter or a third one prevents it";
    if (layout->disperse && !is_power_of_two(layout->disperse - layout->redundancy))
        return "writes are fastest when 'disperse' less 'redundancy' is a power of two";
    return NULL;
}

uint64_t
volume_set_size(const struct volume *volume)
{
    return volume->disperse ? volume->disperse : volume->replica ? volume->replica : 1;
}

static bool
check_apart(const struct volume *volume, char *const *bricks, struct error **err)
{
    for (size_t i = 0; bricks[i]; i++) {
        if (volume_brick_find(volume, bricks[i]) >= 0) {
            error_set(err, ERROR_ALREADY_EXISTS, "volume '%s' has brick '%s' already", volume->name,
                      bricks[i]);
            error_data_text(err, "kind", "brick");
            return error_data_text(err, "id", "%s", bricks[i]);
        }
        for (size_t j = 0; j < volume->brick_count; j++)
            if (is_within(bricks[i], volume->bricks[j].name) ||
                is_within(volume->bricks[j].name, bricks[i]))
                return error_param(err, "bricks",
                                   "names '%s', and the volume has '%s': neither may lie in the "
                                   "other",
                                   bricks[i], volume->bricks[j].name);
    }
    return true;
}

/* Which sets there will be, when 'replica' and 'arbiter' were said. */
static bool
check_conversion(const struct volume_layout *layout, const struct volume *volume,
                 struct error **err)
{
    int64_t now = volume->replica ? (int64_t)volume->replica : 1;

    if (volume->disperse)
        return error_param(err, "replica",
                           "cannot be said: a dispersed volume takes whole sets of %" PRIu64
                           " bricks only",
                           volume->disperse);
    if (layout->replica < now)
        return error_param(err, "replica",
                           "must be more than %" PRId64 ", which the volume has: brick.remove "
                           "lowers it",
                           now);
    if (volume->arbiter && (layout->replica != now || (layout->arbiter && layout->arbiter != 1)))
        return error_param(err, "replica",
                           "cannot be raised: glusterd adds no replicas to sets with an arbiter");
    if (layout->arbiter && !volume->arbiter && now != 2)
        return error_param(
            err, "arbiter",
            "can be added to a volume of replica 2 only, with 'replica' 3; it is %" PRId64, now);
    return true;
}

/* Each set gets as many more as its replicas are raised by. */
static bool
check_raised(const struct volume_layout *layout, const struct volume *volume, struct error **err)
{
    int64_t now = volume->replica ? (int64_t)volume->replica : 1;
    uint64_t more = (uint64_t)(layout->replica - now);
    uint64_t sets = volume->brick_count / (uint64_t)now, needed = more * sets;

    if (layout->brick_count == needed)
        return true;
    return error_param(err, "bricks",
                       "must name %" PRIu64 " to raise 'replica' from %" PRId64 " to %" PRId64
                       ", %" PRIu64 " for each of the volume's %" PRIu64 " sets in their order; it "
                       "names %zu",
                       needed, now, layout->replica, more, sets, layout->brick_count);
}

/* Each set's bricks, the volume's and the new ones: none of these on the host of another. */
static bool
check_raised_hosts(const struct volume_layout *layout, const struct volume *volume,
                   struct error **err)
{
    size_t now = volume_set_size(volume), size = (size_t)layout->replica, more = size - now;
    _cleanup_free_ const char **bricks = xalloc(size * sizeof(*bricks));

    for (size_t set = 0; set < volume->brick_count / now; set++) {
        for (size_t i = 0; i < now; i++)
            bricks[i] = volume->bricks[set * now + i].name;
        for (size_t i = 0; i < more; i++)
            bricks[now + i] = layout->bricks[set * more + i];
        if (!check_hosts(size, bricks, size, now, err))
            return false;
    }
    return true;
}

bool
volume_layout_check_added(struct volume_layout *layout, const struct volume *volume,
                          struct error **err)
{
    int64_t now = volume->replica ? (int64_t)volume->replica : 1;

    if (!check_places(layout->bricks, err) || !check_apart(volume, layout->bricks, err))
        return false;
    layout->brick_count = count_bricks(layout->bricks);
    if (layout->arbiter && !layout->replica)
        return error_param(err, "arbiter", "needs 'replica' to be 3");
    if (layout->replica && (!check_replica(layout, err) || !check_conversion(layout, volume, err)))
        return false;
    layout->disperse = (int64_t)volume->disperse;
    layout->redundancy = (int64_t)volume->redundancy;
    if (layout->replica > now)
        return check_raised(layout, volume, err) &&
               (layout->force || check_raised_hosts(layout, volume, err));
    layout->replica = (int64_t)volume->replica;
    layout->arbiter = (int64_t)volume->arbiter;
    if (!check_count(layout, err))
        return false;
    return layout->force || check_hosts(set_size(layout), (const char *const *)layout->bricks,
                                        layout->brick_count, 0, err);
}
