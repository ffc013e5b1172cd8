/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers: the hosts of the pool, as the glusterd here sees them.  This host is one of them.
 */
#ifndef GLUSTER_PEER_H
#define GLUSTER_PEER_H

#include "agent/base/error.h"
#include "agent/verb.h"
#include "gluster/question.h"
#include "agent/base/xml.h"

struct peer {
    char *uuid, *host; /* owned; the glusterd that was asked calls itself "localhost" */
    char **names;      /* all that the pool knows it by, name_count of them; owned */
    size_t name_count; /* 0 for "localhost": only the others know */
    char *state;       /* "peer in cluster", "peer rejected", "probe sent to peer", ...; owned */
    bool connected;
    bool here; /* it is the one that was asked */
};

struct peers {
    struct peer *all; /* owned */
    size_t count;
};

/* Worker. */
bool peers_ask(const atomic_bool *abort, struct peers *ret_peers, struct error **err) _must_check_;
/* What an answer to "pool list" says.  Any thread. */
bool peers_read(const struct xml_document *document, struct peers *ret_peers, struct error **err)
    _must_check_;
void peers_done(struct peers *peers);
/* The one that has this UUID or goes by this name ("localhost" is the one here), or NULL. */
const struct peer *peers_find(const struct peers *peers, const char *name);
/* It is one of the pool for good, and answers. */
bool peer_is_well(const struct peer *peer);
#define _cleanup_peers_ _cleanup_(peers_done)

/* The object of peer.list and of peer.changed. */
void peer_write(const struct peer *peer, struct writer *writer);
extern const struct shape peer_shape;

/* Item: a peer. */
extern const struct gluster_question peer_question;

#endif
