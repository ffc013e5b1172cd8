/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What URLs lead to, through nbdkit: it knows HTTP's pieces and NBD's TLS, and tries again where a
 * server was away.  What is there is a raw disk, or else a qcow2 that a qemu-nbd reads through it: then
 * nbdkit is the bridge, and its socket keeps a name, for qemu-img is to look at the header first.
 */
#include <config.h>

#include "storage/endpoint-kind.h"

#include <inttypes.h>
#include <string.h>

#include "agent/base/child.h"
#include "agent/base/thread.h"
#include "storage/nbd-socket.h"
#include "storage/url.h"

#ifdef HAVE_LIBNBD

/* Seconds, of one request of 1 MiB to the server: less than an endpoint is patient with nbdkit. */
#define TIMEOUT "timeout=100"
#define RETRIES "retries=4"
#define RETRY_DELAY "retry-delay=1" /* s; twice as long each time */

struct nbd_bridge {
    struct child_server *server; /* owned, or NULL */
    struct nbd_socket socket;
};

/* nbdkit's arguments; 'texts' own what they point to. */
struct arguments {
    const char *argv[16];
    char *texts[3];
};

#define CERTIFICATES "tls-certificates="

static void
arguments_done(struct arguments *arguments)
{
    for (size_t i = 0; i < ARRAY_COUNT(arguments->texts); i++)
        free(arguments->texts[i]);
}

static int
value_of_digit(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                          : -1;
}

/* A parameter's value as it was before it was put in a URL; to be freed. */
static char *
decode(const char *value, size_t length)
{
    char *text = xstrndup(value, length), *to = text;

    for (const char *from = text; *from; to++) {
        int high = *from == '%' ? value_of_digit(from[1]) : -1;
        int low = high >= 0 ? value_of_digit(from[2]) : -1;

        if (low > 0 || (low == 0 && high > 0)) { /* never a NUL */
            *to = (char)(high * 16 + low);
            from += 3;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
    return text;
}

/* nbdkit takes no folder of certificates from a URI, but as a parameter of its own.  '*ret_folder' is to
   be freed; NULL: there is none.  What is left of the URI, to be freed too. */
static char *
split_certificates(const char *url, char **ret_folder)
{
    const char *query = strchr(url, '?');

    *ret_folder = NULL;
    for (const char *at = query ? query + 1 : ""; *at;) {
        size_t length = strcspn(at, "&");
        bool more = at[length] == '&';

        if (strncmp(at, CERTIFICATES, strlen(CERTIFICATES)) == 0) {
            *ret_folder = decode(at + strlen(CERTIFICATES), length - strlen(CERTIFICATES));
            /* With the mark before it where it was the last. */
            return xprintf("%.*s%s", (int)(at - url) - !more, url, at + length + more);
        }
        at += length + more;
    }
    return xstrdup(url);
}

static void
arguments_for(const char *url, struct arguments *ret_arguments)
{
    const char *authorities = url_authorities();
    struct arguments arguments = {
        .argv = { "nbdkit", "--exit-with-parent", "--readonly", "--filter=retry" },
    };
    size_t n = 4;

    if (url_is_http(url)) {
        arguments.argv[n++] = "curl";
        arguments.argv[n++] = arguments.texts[0] = xprintf("url=%s", url);
        arguments.argv[n++] = arguments.texts[1] = xprintf("protocols=%s", url_protocols(url));
        arguments.argv[n++] = TIMEOUT;
        if (authorities)
            arguments.argv[n++] = arguments.texts[2] = xprintf("cainfo=%s", authorities);
    } else {
        _cleanup_free_ char *folder = NULL;
        _cleanup_free_ char *rest = split_certificates(url, &folder);

        arguments.argv[n++] = "nbd";
        arguments.argv[n++] = arguments.texts[0] = xprintf("uri=%s", rest);
        if (folder)
            arguments.argv[n++] = arguments.texts[1] = xprintf(CERTIFICATES "%s", folder);
    }
    arguments.argv[n++] = RETRIES;
    arguments.argv[n++] = RETRY_DELAY;
    *ret_arguments = arguments;
}

/* Whatever others have said of it has the whole URL in it, which is not to be shown. */
static bool
hide_url(const char *url, const char *shown, struct error **err)
{
    const char *at = strstr((*err)->message, url);
    enum error_code code = (*err)->code;
    _cleanup_free_ char *message = NULL;

    if (strcmp(url, shown) == 0 || !at)
        return false;
    message =
        xprintf("%.*s%s%s", (int)(at - (*err)->message), (*err)->message, shown, at + strlen(url));
    error_free(TAKE(*err));
    error_set(err, code, "%s", message);
    return error_data_text(err, "backend", "nbdkit");
}

void
nbd_bridge_close(struct nbd_bridge *bridge, struct text *ret_errors)
{
    if (!bridge)
        return;
    if (bridge->server)
        child_server_end(bridge->server, 0, ret_errors);
    nbd_socket_close(&bridge->socket);
    free(bridge);
}

static bool
bridge_open(const char *url, struct nbd_bridge **ret_bridge, struct error **err)
{
    _cleanup_(arguments_done) struct arguments arguments;
    struct nbd_bridge *bridge = xalloc(sizeof(*bridge));

    arguments_for(url, &arguments);
    if (nbd_socket_open(&bridge->socket, err) &&
        child_serve(arguments.argv, bridge->socket.listener, &bridge->server, err)) {
        *ret_bridge = bridge;
        return true;
    }
    nbd_bridge_close(bridge, NULL);
    return false;
}

/* Takes ownership of 'bridge'.  What it had to say explains best why nothing could be read through it. */
static bool
blame_bridge(struct nbd_bridge *bridge_take, const char *shown, struct error **err)
{
    _cleanup_text_ struct text words = TEXT_INIT;

    nbd_bridge_close(bridge_take, &words);
    while (words.length > 0 && words.bytes[words.length - 1] == '\n')
        words.bytes[--words.length] = '\0';
    if (words.length == 0)
        return false;
    error_free(TAKE(*err));
    error_set(err, ERROR_BACKEND_FAILED, "cannot read '%s': %s", shown, words.bytes);
    return error_data_text(err, "backend", "nbdkit");
}

/* No header leads qemu anywhere but to that socket. */
static char *
file_behind(const struct nbd_bridge *bridge)
{
    return xprintf("json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":{\"driver\":\"nbd\","
                   "\"server\":{\"type\":\"unix\",\"path\":\"%s\"}}}",
                   bridge->socket.path);
}

static bool
inspect_behind(const struct nbd_bridge *bridge, const char *shown, uint64_t size_max,
               uint64_t *ret_size, struct error **err)
{
    _cleanup_free_ char *uri = url_of_socket("", bridge->socket.path);

    return endpoint_inspect_qcow2(uri, shown, size_max, ret_size, err);
}

static bool
open_qcow2(const char *url, const char *shown, const atomic_bool *abort,
           struct endpoint **ret_endpoint, struct error **err)
{
    struct nbd_bridge *bridge;
    _cleanup_free_ char *file = NULL;
    const char *argv[] = { "qemu-nbd", "--read-only", "--", NULL, NULL };
    uint64_t size;

    if (!bridge_open(url, &bridge, err))
        return false;
    if (!inspect_behind(bridge, shown, UINT64_MAX, &size, err))
        return (*err)->code == ERROR_BACKEND_FAILED ? blame_bridge(bridge, shown, err)
                                                    : (nbd_bridge_close(bridge, NULL), false);
    argv[3] = file = file_behind(bridge);
    return endpoint_open_server(argv, "qemu-nbd", shown, bridge, abort, ret_endpoint, err);
}

static bool
open_raw(const char *url, const char *shown, const atomic_bool *abort,
         struct endpoint **ret_endpoint, struct error **err)
{
    _cleanup_(arguments_done) struct arguments arguments;

    arguments_for(url, &arguments);
    return endpoint_open_server(arguments.argv, "nbdkit", shown, NULL, abort, ret_endpoint, err);
}

bool
endpoint_open_url(const char *url, enum image_format format, const atomic_bool *abort,
                  struct endpoint **ret_endpoint, struct error **err)
{
    _cleanup_free_ char *shown = url_show(url);

    WORKER_ONLY();
    return (format == IMAGE_RAW ? open_raw(url, shown, abort, ret_endpoint, err)
                                : open_qcow2(url, shown, abort, ret_endpoint, err)) ||
           hide_url(url, shown, err);
}

#else

void
nbd_bridge_close(struct nbd_bridge *bridge, struct text *ret_errors)
{
    (void)bridge;
    (void)ret_errors;
}

bool
endpoint_open_url(const char *url, enum image_format format, const atomic_bool *abort,
                  struct endpoint **ret_endpoint, struct error **err)
{
    (void)url;
    (void)format;
    (void)abort;
    (void)ret_endpoint;
    error_set(err, ERROR_BACKEND_UNAVAILABLE,
              "importing from a URL needs libnbd, and this agent was built without");
    error_data_text(err, "backend", "libnbd");
    return error_data_text(err, "reason", "built without libnbd");
}

#endif

bool
endpoint_inspect_url(const char *url, enum image_format format, uint64_t size_max,
                     const atomic_bool *abort, uint64_t *ret_size, struct error **err)
{
    _cleanup_(endpoint_closep) struct endpoint *endpoint = NULL;
    uint64_t size;

    if (!endpoint_open_url(url, format, abort, &endpoint, err))
        return false;
    size = endpoint_size(endpoint);
    if (size == 0 || size > size_max)
        return error_param(err, "url",
                           "leads to an image of %" PRIu64 " bytes: 1 to %" PRIu64 " are taken",
                           size, size_max);
    *ret_size = size;
    return true;
}
