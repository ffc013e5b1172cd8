/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/peer.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "gluster/command.h"

#define IN_CLUSTER "peer in cluster"

const struct shape peer_shape = {
    .name = "Peer",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"peer\",\"host\",\"names\","
        "\"state\",\"connected\",\"here\"],\"properties\":{\"peer\":{\"type\":\"string\"},"
        "\"host\":{\"type\":\"string\"},\"names\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
        "\"state\":{\"type\":\"string\"},"
        "\"connected\":{\"type\":\"boolean\"},\"here\":{\"type\":\"boolean\"}}}",
};

void
peers_done(struct peers *peers)
{
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->all[i];

        for (size_t j = 0; j < peer->name_count; j++)
            free(peer->names[j]);
        free(peer->names);
        free(peer->uuid);
        free(peer->host);
        free(peer->state);
    }
    free(peers->all);
    *peers = (struct peers){ 0 };
}

static void
read_names(const struct xml_node *parent, struct peer *peer)
{
    size_t count = 0;

    for (XML_EACH(node, parent, "hostname"))
        count++;
    peer->names = xalloc((count + 1) * sizeof(peer->names[0]));
    for (XML_EACH(node, parent, "hostname"))
        peer->names[peer->name_count++] = xstrdup(xml_content(node));
}

static void
read_peer(const struct xml_node *node, struct peer *peer)
{
    const char *host = xml_text(node, "hostname");
    /* The one that was asked has none: it is in. */
    const char *state = xml_text(node, "stateStr");

    *peer = (struct peer){
        .uuid = xstrdup(xml_text(node, "uuid")),
        .host = xstrdup(host),
        .state = xstrdup(*state ? state : IN_CLUSTER),
        .connected = xml_count(node, "connected") == 1,
        .here = strcmp(host, "localhost") == 0,
    };
    for (char *at = peer->state; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    read_names(xml_child(node, "hostnames"), peer);
}

bool
peers_read(const struct xml_document *document, struct peers *ret_peers, struct error **err)
{
    const struct xml_node *parent = xml_child(xml_root(document), "peerStatus");
    struct peers peers = { 0 };
    size_t n = 0;

    if (!parent)
        return error_set(err, ERROR_BACKEND_FAILED, "gluster's answer describes no peers");
    for (XML_EACH(node, parent, "peer"))
        peers.count++;
    peers.all = xalloc((peers.count + 1) * sizeof(peers.all[0]));
    for (XML_EACH(node, parent, "peer"))
        read_peer(node, &peers.all[n++]);
    *ret_peers = peers;
    return true;
}

static bool
goes_by(const struct peer *peer, const char *name)
{
    for (size_t i = 0; i < peer->name_count; i++)
        if (strcasecmp(peer->names[i], name) == 0)
            return true;
    return strcmp(peer->uuid, name) == 0 || strcasecmp(peer->host, name) == 0;
}

const struct peer *
peers_find(const struct peers *peers, const char *name)
{
    for (size_t i = 0; i < peers->count; i++)
        if (goes_by(&peers->all[i], name))
            return &peers->all[i];
    return NULL;
}

bool
peer_is_well(const struct peer *peer)
{
    return peer->connected && strcmp(peer->state, IN_CLUSTER) == 0;
}

bool
peers_ask(const atomic_bool *abort, struct peers *ret_peers, struct error **err)
{
    /* Not "peer status", which leaves this host out. */
    const struct gluster_command command = { .arguments = GLUSTER_ARGUMENTS("pool", "list"),
                                             .abort = abort };
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    return gluster_command_run(&command, &document, err) && peers_read(document, ret_peers, err);
}

void
peer_write(const struct peer *peer, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "peer", peer->uuid);
    writer_member_string(writer, "host", peer->host);
    writer_key(writer, "names");
    writer_array(writer);
    for (size_t i = 0; i < peer->name_count; i++)
        writer_string(writer, peer->names[i]);
    writer_end_array(writer);
    writer_member_string(writer, "state", peer->state);
    writer_member_bool(writer, "connected", peer->connected);
    writer_member_bool(writer, "here", peer->here);
    writer_end_object(writer);
}

static bool
ask_peers(const char *subject, struct gluster_items *ret_items, struct error **err)
{
    _cleanup_peers_ struct peers peers = { 0 };

    (void)subject;
    if (!peers_ask(NULL, &peers, err))
        return false;
    for (size_t i = 0; i < peers.count; i++) {
        struct gluster_item *item = gluster_items_add(ret_items);
        _cleanup_writer_ struct writer writer = WRITER_INIT;

        peer_write(&peers.all[i], &writer);
        item->id = xstrdup(peers.all[i].uuid);
        item->json = text_take(&writer.text);
    }
    return true;
}

const struct gluster_question peer_question = {
    .name = "peers",
    .member = "peers",
    .ask = ask_peers,
};
