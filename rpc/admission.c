/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who comes in: by the endpoint's own proof, and not by a web page from elsewhere.
 */
#include <config.h>

#include <string.h>
#include <strings.h>

#include "agent/config.h"
#include "rpc/origin.h"
#include "rpc/rpc.h"
#include "rpc/tls.h"
#include "rpc/transport.h"

#define HEADER_SIZE_MAX 1024

bool
header_copy(struct lws *wsi, enum lws_token_indexes token, char *ret_text, size_t size)
{
    return lws_hdr_copy(wsi, ret_text, (int)size, token) > 0;
}

bool
admission_origin(struct session *session)
{
    char origin[HEADER_SIZE_MAX], host[HEADER_SIZE_MAX];
    bool has_host;

    if (lws_hdr_total_length(session->wsi, WSI_TOKEN_ORIGIN) <= 0)
        return true; /* no browser */
    if (!header_copy(session->wsi, WSI_TOKEN_ORIGIN, origin, sizeof(origin)))
        return false;
    has_host = header_copy(session->wsi, WSI_TOKEN_HOST, host, sizeof(host));
    return origin_allowed(origin, has_host ? host : NULL,
                          session->transport->rpc->agent->config->origins);
}

static bool
identify_by_token(struct session *session, struct identity *ret_identity)
{
    const struct tokens *tokens = session->transport->tokens;
    char text[HEADER_SIZE_MAX];
    const char *token = NULL;
    bool known;

    if (!header_copy(session->wsi, WSI_TOKEN_HTTP_AUTHORIZATION, text, sizeof(text)))
        token = lws_get_urlarg_by_name(session->wsi, "token=", text, sizeof(text));
    else if (strncasecmp(text, "Bearer ", 7) == 0)
        token = text + 7 + strspn(text + 7, " ");
    known = token && tokens_identify(tokens, token, ret_identity);
    lws_explicit_bzero(text, sizeof(text));
    return known;
}

static bool
identify(struct session *session, struct identity *ret_identity)
{
    switch (session->endpoint) {
    case ENDPOINT_UNIX:
        return peer_identify(lws_get_socket_fd(session->wsi), session->transport->admin_group,
                             ret_identity);
    case ENDPOINT_TCP: return identify_by_token(session, ret_identity);
    case ENDPOINT_TLS: return tls_identify(lws_get_ssl(session->wsi), ret_identity);
    }
    return false;
}

bool
admission_check(struct session *session, struct identity *ret_identity, struct refusal *ret_refusal)
{
    if (!admission_origin(session)) {
        *ret_refusal =
            (struct refusal){ 403, "pages of this origin may not connect: name it with --origin",
                              NULL };
        return false;
    }
    if (identify(session, ret_identity))
        return true;
    *ret_refusal =
        (struct refusal){ 401, "show a token: 'Authorization: Bearer TOKEN', or '?token=TOKEN'",
                          "www-authenticate: Bearer realm=\"hostler\"\r\n" };
    if (session->endpoint == ENDPOINT_TLS)
        *ret_refusal = (struct refusal){ 403, "show a certificate of this server's CA", NULL };
    return false;
}
