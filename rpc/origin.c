/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/origin.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* The length of HOST in HOST:PORT or [HOST]:PORT; '*ret_port' is its port, or 'fallback'. */
static size_t
split(const char *authority, const char *fallback, const char **ret_port)
{
    const char *bracket = *authority == '[' ? strchr(authority, ']') : NULL;
    const char *colon = strchr(bracket ? bracket : authority, ':');

    *ret_port = colon ? colon + 1 : fallback;
    return colon ? (size_t)(colon - authority) : strlen(authority);
}

static bool
same_authority(const char *one, const char *other, const char *default_port)
{
    const char *one_port, *other_port;
    size_t one_length = split(one, default_port, &one_port);
    size_t other_length = split(other, default_port, &other_port);

    return one_length > 0 && one_length == other_length &&
           strncasecmp(one, other, one_length) == 0 && strcmp(one_port, other_port) == 0;
}

bool
origin_allowed(const char *origin, const char *host, char *const *allowed)
{
    bool tls = strncasecmp(origin, "https://", 8) == 0;
    bool plain = strncasecmp(origin, "http://", 7) == 0;

    for (; allowed && *allowed; allowed++)
        if (strcasecmp(*allowed, origin) == 0)
            return true;
    /* "null", and whatever else is no page of a server, is only ever let in by name. */
    if (!host || (!tls && !plain))
        return false;
    return same_authority(origin + (tls ? 8 : 7), host, tls ? "443" : "80");
}
