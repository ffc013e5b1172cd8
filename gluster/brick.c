/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/brick.h"

#include <ctype.h>
#include <string.h>

#define HOST_LENGTH_MAX 255

static bool
is_host(const char *host, size_t length)
{
    if (length == 0 || length > HOST_LENGTH_MAX || host[0] == '-' || host[0] == '.')
        return false;
    /* Colons are IPv6's. */
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)host[i]) && !strchr("-._:", host[i]))
            return false;
    return true;
}

bool
host_check(const char *param, const char *host, struct error **err)
{
    return is_host(host, strlen(host)) ||
           error_param(err, param, "must be a host's name or address, not '%s'", host);
}

/* No "." and "..", no empty element but the first, nothing that a terminal or a log takes for more. */
static bool
is_path(const char *path)
{
    for (const char *at = path; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return false;
    for (const char *element = path; *element;) {
        size_t length = strcspn(++element, "/");

        if (length == 0 || (length == 1 && element[0] == '.') ||
            (length == 2 && strncmp(element, "..", 2) == 0))
            return false;
        element += length;
    }
    return true;
}

bool
brick_check(const char *param, const char *brick, struct error **err)
{
    const char *path = strstr(brick, ":/");

    if (!path || !is_host(brick, (size_t)(path - brick)))
        return error_param(err, param, "must be HOST:/PATH, not '%s'", brick);
    return is_path(path + 1) ||
           error_param(err, param,
                       "has a path that is not plain: no '.', '..', '//' or '/' at its end in '%s'",
                       brick);
}

bool
bricks_check(const char *param, char *const *bricks, size_t *ret_count, struct error **err)
{
    size_t count = 0;

    for (; bricks[count]; count++) {
        if (!brick_check(param, bricks[count], err))
            return false;
        for (size_t i = 0; i < count; i++)
            if (strcmp(bricks[i], bricks[count]) == 0)
                return error_param(err, param, "names '%s' twice", bricks[count]);
    }
    if (count == 0)
        return error_param(err, param, "must name a brick at least, as HOST:/PATH");
    *ret_count = count;
    return true;
}
