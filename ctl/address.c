/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/address.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define DEFAULT_TOKEN_FILE "/run/hostler/token"
#define TOKEN_FILE_MAX 65536

static bool parse_host(const char *text, struct address *address, struct error **err);

void
address_done(struct address *address)
{
    free(address->url);
    free(address->socket);
    free(address->host);
    free(address->path);
    free(address->token);
    *address = (struct address){ 0 };
}

bool
address_parse(const char *url, struct address *ret_address, struct error **err)
{
    _cleanup_(address_done) struct address address = { .url = xstrdup(url) };

    if (strncmp(url, "unix:", 5) == 0) {
        const char *path = strncmp(url, "unix://", 7) == 0 ? url + 7 : url + 5;

        if (!path[0] || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
            return error_set(err, ERROR_INVALID_PARAMS,
                             "the socket's path in '%s' must have 1 to %zu bytes", url,
                             sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
        address.socket = xstrdup(path);
        address.path = xstrdup("/rpc");
    } else if (strncmp(url, "ws://", 5) == 0 || strncmp(url, "wss://", 6) == 0) {
        address.tls = url[2] == 's';
        if (!parse_host(url + (address.tls ? 6 : 5), &address, err))
            return error_wrap(err, "url '%s'", url);
    } else {
        return error_set(err, ERROR_INVALID_PARAMS,
                         "url '%s' must be unix:PATH, ws://HOST:PORT or wss://HOST:PORT", url);
    }
    *ret_address = address;
    address = (struct address){ 0 };
    return true;
}

static bool
parse_host(const char *text, struct address *address, struct error **err)
{
    bool bracketed = text[0] == '[';
    const char *end = bracketed ? strchr(text, ']') : text + strcspn(text, ":/?");
    const char *start = bracketed ? text + 1 : text;

    if (!end || end == start)
        return error_set(err, ERROR_INVALID_PARAMS, "there is no host in it");
    for (const char *at = start; at < end; at++)
        if ((unsigned char)*at <= ' ' || *at == '@' || *at == 0x7f)
            return error_set(err, ERROR_INVALID_PARAMS, "its host is not a name or an address");
    address->host = xstrndup(start, (size_t)(end - start));
    address->port = ADDRESS_DEFAULT_PORT;
    end += bracketed ? 1 : 0;
    if (*end == ':') {
        char *after = NULL;
        long port = isdigit((unsigned char)end[1]) ? strtol(end + 1, &after, 10) : 0;

        if (port < 1 || port > 65535)
            return error_set(err, ERROR_INVALID_PARAMS, "its port must be 1 to 65535");
        address->port = (int)port;
        end = after;
    }
    if (*end && *end != '/')
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' behind the host is not a path", end);
    address->path = xstrdup(*end && strcmp(end, "/") != 0 ? end : "/rpc");
    return true;
}

static bool
is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "127.", 4) == 0;
}

bool
address_is_here(const char *url)
{
    return strncmp(url, "unix:", 5) == 0;
}

/* The last word of the first line that says something. */
static char *
token_of(char *text)
{
    char *rest = NULL;

    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *word_rest = NULL, *last = NULL;

        if (line[strspn(line, " \t\r")] == '#')
            continue;
        for (char *word = strtok_r(line, " \t\r", &word_rest); word;
             word = strtok_r(NULL, " \t\r", &word_rest))
            last = word;
        if (last)
            return xstrdup(last);
    }
    return NULL;
}

bool
address_read_token(struct address *address, const char *file, struct error **err)
{
    _cleanup_free_ char *text = NULL;
    const char *name = file ? file : DEFAULT_TOKEN_FILE;
    _cleanup_close_ int fd = -1;
    ssize_t size;

    if (address->socket || (!file && !is_loopback(address->host)))
        return true;
    if (!address->tls && !is_loopback(address->host))
        return error_set(err, ERROR_INVALID_PARAMS,
                         "the token would travel in clear text to '%s': use wss://, or a tunnel to "
                         "a loopback address",
                         address->host);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && !file)
        return true; /* the agent will say what it misses */
    if (fd < 0)
        return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot open token file '%s'", name);
    text = xalloc(TOKEN_FILE_MAX + 1);
    size = read(fd, text, TOKEN_FILE_MAX);
    if (size < 0)
        return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot read token file '%s'", name);
    address->token = token_of(text);
    if (!address->token && file)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "token file '%s' holds no line 'ROLE TOKEN' or 'TOKEN'", name);
    for (const char *at = address->token; at && *at; at++)
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f)
            return error_set(err, ERROR_INVALID_PARAMS,
                             "the token in '%s' has characters that are not ASCII", name);
    return true;
}
