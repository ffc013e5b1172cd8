/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a request for a resource: what libwebsockets has parsed, checked and made numbers of.
 */
#include <config.h>

#include <string.h>

#include "agent/base/json-writer.h"
#include "agent/base/thread.h"
#include "rpc/exchange.h"
#include "rpc/range.h"

/* A refusal that never reaches the backend. */
static int
refuse(struct http_exchange *exchange, unsigned status, const char *words)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    struct resource_answer head = { .status = status, .type = "application/json", .close = true };

    writer_object(&writer);
    writer_member_unsigned(&writer, "status", status);
    writer_member_string(&writer, "message", words);
    writer_end_object(&writer);
    text_append_char(&writer.text, '\n');
    exchange->exchange.resource = NULL;
    exchange_answer_text(&exchange->exchange, &head, writer.text.bytes, writer.text.length);
    return 0;
}

static bool
find_method(struct http_exchange *exchange, struct resource_request *request)
{
    static const struct {
        enum lws_token_indexes token;
        enum resource_method method;
    } methods[] = {
        { WSI_TOKEN_GET_URI, RESOURCE_GET },         { WSI_TOKEN_HEAD_URI, RESOURCE_HEAD },
        { WSI_TOKEN_PUT_URI, RESOURCE_PUT },         { WSI_TOKEN_PATCH_URI, RESOURCE_PATCH },
        { WSI_TOKEN_OPTIONS_URI, RESOURCE_OPTIONS }, { WSI_TOKEN_POST_URI, RESOURCE_POST },
        { WSI_TOKEN_DELETE_URI, RESOURCE_DELETE },
    };

    for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
        if (lws_hdr_total_length(exchange->session->wsi, methods[i].token) > 0) {
            request->method = methods[i].method;
            return true;
        }
    return false;
}

/* Whether the body, if any, can be taken; '*ret_words' says why not. */
static unsigned
look_at_body(struct http_exchange *exchange, struct resource_request *request,
             const char **ret_words)
{
    struct session *session = exchange->session;
    bool has_length = lws_hdr_total_length(session->wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
    bool wants_length = request->method == RESOURCE_PUT || request->method == RESOURCE_PATCH ||
                        request->method == RESOURCE_POST;

    /* However much comes, it is dropped. */
    exchange->body_left = has_length || wants_length ? UINT64_MAX : 0;
    *ret_words = "send the body with its Content-Length, not in chunks";
    if (lws_hdr_total_length(session->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
        return 411;
    if (has_length && !http_content_length(session, &request->body_size)) {
        *ret_words = "Content-Length must be a number";
        return 400;
    }
    if (wants_length && !has_length)
        return 411;
    exchange->body_left = request->body_size;
    return 0;
}

static unsigned
look_at_ranges(struct http_exchange *exchange, struct resource_request *request,
               const char **ret_words)
{
    struct lws *wsi = exchange->session->wsi;
    char text[EXCHANGE_HEADER_SIZE_MAX];

    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_RANGE) > 0) {
        enum range_kind kind = header_copy(wsi, WSI_TOKEN_HTTP_RANGE, text, sizeof(text))
                                   ? range_parse(text, &request->range)
                                   : RANGE_WRONG;

        *ret_words = kind == RANGE_SEVERAL ? "ask for one range at a time"
                                           : "Range must be 'bytes=FIRST-LAST'";
        if (kind != RANGE_GOOD)
            return kind == RANGE_SEVERAL ? 416 : 400;
    }
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_RANGE) > 0) {
        const struct resource_range *range = &request->content_range;

        *ret_words = "Content-Range must be 'bytes FIRST-LAST/*', of as many bytes as the body has";
        if (!header_copy(wsi, WSI_TOKEN_HTTP_CONTENT_RANGE, text, sizeof(text)) ||
            !content_range_parse(text, &request->content_range) ||
            range->last - range->first + 1 != request->body_size)
            return 400;
    }
    return 0;
}

static void
look_at_arguments(struct http_exchange *exchange, struct resource_request *request)
{
    char text[EXCHANGE_HEADER_SIZE_MAX];

    for (int i = 0; i < RESOURCE_ARGUMENTS_MAX; i++) {
        if (lws_hdr_copy_fragment(exchange->session->wsi, text, sizeof(text),
                                  WSI_TOKEN_HTTP_URI_ARGS, i) < 0)
            break;
        request->arguments[i] = xstrdup(text);
    }
}

static void
look_at_origin(struct http_exchange *exchange)
{
    char origin[EXCHANGE_HEADER_SIZE_MAX];

    if (header_copy(exchange->session->wsi, WSI_TOKEN_ORIGIN, origin, sizeof(origin)))
        exchange->origin = xstrdup(origin);
}

static int
look_and_begin(struct http_exchange *exchange, const struct resource *resource,
               struct resource_request *request)
{
    struct session *session = exchange->session;
    const char *words = NULL;
    bool found = find_method(exchange, request);
    unsigned status = look_at_body(exchange, request, &words);

    if (!found)
        return refuse(exchange, 405, "there is no such method");
    if (!admission_origin(session))
        return refuse(exchange, 403, "pages of this origin may not connect: name it with --origin");
    look_at_origin(exchange);
    exchange->head_only = request->method == RESOURCE_HEAD;
    exchange->preflight = request->method == RESOURCE_OPTIONS;
    if (status == 0)
        status = look_at_ranges(exchange, request, &words);
    if (status != 0)
        return refuse(exchange, status, words);
    look_at_arguments(exchange, request);
    exchange->exchange.resource = resource;
    resource->begin(resource->context, &exchange->exchange, request);
    return 0;
}

static bool
has_body(struct session *session)
{
    return lws_hdr_total_length(session->wsi, WSI_TOKEN_PUT_URI) > 0 ||
           lws_hdr_total_length(session->wsi, WSI_TOKEN_PATCH_URI) > 0 ||
           lws_hdr_total_length(session->wsi, WSI_TOKEN_POST_URI) > 0 ||
           lws_hdr_total_length(session->wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
}

int
exchange_begin(struct session *session, const struct resource *resource, const char *path)
{
    struct http_exchange *exchange = exchange_new(session);
    struct resource_request request = { .path = path };
    int result;

    LOOP_ONLY();
    session_wake(session);
    if (has_body(session) && exchange_is_from_store(session)) {
        exchange_drop(session);
        http_refuse(session, &(struct refusal){ 503,
                                                "a body cannot come before the answer to what is "
                                                "asked before it: send it again",
                                                NULL });
        return -1; /* at once: 4.1 would never come back */
    }
    result = look_and_begin(exchange, resource, &request);
    for (char **argument = request.arguments; *argument; argument++)
        free(*argument);
    if (!exchange->body_left)
        exchange_make_deaf(exchange);
    return result;
}
