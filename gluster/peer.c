/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/peer.h"

#include <string.h>

#include "gluster/command.h"

const struct shape peer_shape = {
    .name = "Peer",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"peer\",\"host\",\"connected\","
        "\"here\"],\"properties\":{\"peer\":{\"type\":\"string\"},\"host\":{\"type\":\"string\"},"
        "\"connected\":{\"type\":\"boolean\"},\"here\":{\"type\":\"boolean\"}}}",
};

void
peers_done(struct peers *peers)
{
    for (size_t i = 0; i < peers->count; i++) {
        free(peers->all[i].uuid);
        free(peers->all[i].host);
    }
    free(peers->all);
    *peers = (struct peers){ 0 };
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
    for (XML_EACH(node, parent, "peer")) {
        const char *host = xml_text(node, "hostname");

        peers.all[n++] = (struct peer){
            .uuid = xstrdup(xml_text(node, "uuid")),
            .host = xstrdup(host),
            .connected = xml_count(node, "connected") == 1,
            .here = strcmp(host, "localhost") == 0,
        };
    }
    *ret_peers = peers;
    return true;
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
