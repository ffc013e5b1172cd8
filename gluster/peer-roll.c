/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/peer-roll.h"

#include <assert.h>
#include <string.h>

const struct shape roll_shape = {
    .name = "Roll",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"peers\",\"problem\"],"
        "\"properties\":{\"peers\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
        "\"additionalProperties\":false,\"required\":[\"peer\",\"host\",\"here\",\"state\"],"
        "\"properties\":{\"peer\":{\"type\":\"string\"},\"host\":{\"type\":\"string\"},"
        "\"here\":{\"type\":\"boolean\"},\"state\":{\"enum\":[\"waiting\",\"checking\","
        "\"restarting\",\"settling\",\"done\"]}}}},\"problem\":{\"type\":[\"string\",\"null\"]}}}",
};

static const char *const phase_names[] = {
    [ROLL_WAITING] = "waiting",   [ROLL_CHECKING] = "checking", [ROLL_RESTARTING] = "restarting",
    [ROLL_SETTLING] = "settling", [ROLL_DONE] = "done",
};

const char *
roll_phase_name(enum roll_phase phase)
{
    return phase_names[phase];
}

enum roll_phase
roll_next(enum roll_phase phase, const struct roll_view *view)
{
    switch (phase) {
    case ROLL_WAITING: return ROLL_CHECKING;
    case ROLL_CHECKING:
    case ROLL_RESTARTING:
        if (view->gone)
            return ROLL_SETTLING;
        return view->healthy ? ROLL_RESTARTING : ROLL_CHECKING;
    case ROLL_SETTLING: return view->healthy ? ROLL_DONE : ROLL_SETTLING;
    case ROLL_DONE: return ROLL_DONE;
    }
    assert(!"a phase that is none");
    return ROLL_DONE;
}

static bool
add(struct roll *roll, const struct peer *peer, struct error **err)
{
    for (size_t i = 0; i < roll->count; i++)
        if (strcmp(roll->peers[i].uuid, peer->uuid) == 0)
            return error_param(err, "peers", "names '%s' twice", peer->host);
    roll->peers[roll->count++] = (struct roll_peer){ .uuid = xstrdup(peer->uuid),
                                                     .host = xstrdup(peer->host),
                                                     .here = peer->here };
    return true;
}

static bool
add_named(struct roll *roll, const struct peers *peers, const char *name, struct error **err)
{
    const struct peer *peer = peers_find(peers, name);

    if (peer)
        return add(roll, peer, err);
    error_set(err, ERROR_NOT_FOUND, "the pool has no peer '%s': see peer.list", name);
    error_data_text(err, "kind", "peer");
    return error_data_text(err, "id", "%s", name);
}

bool
roll_begin(struct roll *roll, const struct peers *peers, char *const *names, struct error **err)
{
    roll->peers = xalloc((peers->count + 1) * sizeof(roll->peers[0]));
    for (size_t i = 0; !names && i < peers->count; i++)
        if (!add(roll, &peers->all[i], err))
            return false;
    for (size_t i = 0; names && names[i]; i++)
        if (!add_named(roll, peers, names[i], err))
            return false;
    return roll->count || error_param(err, "peers", "must name a peer at least");
}

void
roll_done(struct roll *roll)
{
    for (size_t i = 0; i < roll->count; i++) {
        free(roll->peers[i].uuid);
        free(roll->peers[i].host);
    }
    free(roll->peers);
    free(roll->problem);
    *roll = (struct roll){ 0 };
}

struct roll_peer *
roll_current(struct roll *roll)
{
    while (roll->current < roll->count && roll->peers[roll->current].phase == ROLL_DONE)
        roll->current++;
    return roll->current < roll->count ? &roll->peers[roll->current] : NULL;
}

size_t
roll_done_count(const struct roll *roll)
{
    size_t count = 0;

    for (size_t i = 0; i < roll->count; i++)
        count += roll->peers[i].phase == ROLL_DONE;
    return count;
}

void
roll_peer_write(const struct roll_peer *peer, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "peer", peer->uuid);
    writer_member_string(writer, "host", peer->host);
    writer_member_bool(writer, "here", peer->here);
    writer_member_string(writer, "state", roll_phase_name(peer->phase));
    writer_end_object(writer);
}

void
roll_write(const struct roll *roll, struct writer *writer)
{
    writer_object(writer);
    writer_key(writer, "peers");
    writer_array(writer);
    for (size_t i = 0; i < roll->count; i++)
        roll_peer_write(&roll->peers[i], writer);
    writer_end_array(writer);
    writer_member_string(writer, "problem", roll->problem);
    writer_end_object(writer);
}
