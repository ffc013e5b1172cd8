/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/migration-target.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LENGTH 253
#define PORT_MAX 65535

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Of 'characters' only, and not empty, and with a letter or a digit first: '-' would be an option. */
static bool
is_word(const char *text, size_t length, const char *characters)
{
    if (length == 0 || length > NAME_MAX_LENGTH || !strchr(LETTERS DIGITS "_", text[0]))
        return false;
    return strspn(text, characters) >= length;
}

static bool
is_in_brackets(const char *text, size_t length)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr ignored;

    if (length < 4 || length - 2 >= sizeof(address) || text[0] != '[' || text[length - 1] != ']')
        return false;
    memcpy(address, text + 1, length - 2);
    address[length - 2] = '\0';
    return inet_pton(AF_INET6, address, &ignored) == 1;
}

static bool
is_port(const char *text, size_t length)
{
    unsigned long port;

    if (length == 0 || length > 5 || strspn(text, DIGITS) < length)
        return false;
    port = strtoul(text, NULL, 10);
    return port > 0 && port <= PORT_MAX;
}

/* HOST[:PORT] */
static bool
is_place(const char *text, size_t length)
{
    size_t host_length = text[0] == '[' ? strcspn(text, "]") + 1 : strcspn(text, ":");

    if (host_length > length)
        host_length = length;
    if (!(text[0] == '[' ? is_in_brackets(text, host_length)
                         : is_word(text, host_length, LETTERS DIGITS "_.-")))
        return false;
    if (host_length == length)
        return true;
    return text[host_length] == ':' && is_port(text + host_length + 1, length - host_length - 1);
}

/* What follows 'prefix'; NULL: it does not begin so. */
static const char *
after(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);

    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

bool
migration_target_check(const char *param, const char *uri, struct error **err)
{
    static const char *const schemes[] = { "qemu://", "qemu+tls://", "qemu+tcp://", "qemu+ssh://" };
    const char *place = NULL, *path;
    size_t length;

    for (size_t i = 0; i < ARRAY_COUNT(schemes) && !place; i++)
        place = after(uri, schemes[i]);
    if (!place)
        return error_param(err, param,
                           "must be the target's libvirt: qemu+tls://HOST/system, "
                           "qemu+tcp://HOST/system or qemu+ssh://HOST/system");
    path = strchr(place, '/');
    if (!path || strcmp(path, "/system") != 0)
        return error_param(err, param, "must end with /system, with no parameters behind it");
    length = (size_t)(path - place);
    if (after(uri, "qemu+ssh://") && memchr(place, '@', length)) {
        size_t user_length = strcspn(place, "@");

        if (!is_word(place, user_length, LETTERS DIGITS "_.-"))
            return error_param(err, param, "must have a plain user name in front of '@'");
        place += user_length + 1;
        length -= user_length + 1;
    }
    if (!is_place(place, length))
        return error_param(err, param, "must name a host, and may name a port: HOST or HOST:PORT%s",
                           length == 0 ? "; it cannot be this host's own libvirt" : "");
    return true;
}

bool
migration_route_check(const char *param, const char *uri, struct error **err)
{
    const char *place = after(uri, "tcp://");

    if (!place || !is_place(place, strlen(place)))
        return error_param(err, param, "must be tcp://HOST or tcp://HOST:PORT");
    return true;
}

bool
migration_address_check(const char *param, const char *address, struct error **err)
{
    unsigned char ignored[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, address, ignored) == 1 || inet_pton(AF_INET6, address, ignored) == 1)
        return true;
    return error_param(err, param,
                       "must be a numeric address of the target, as 10.0.0.7 or fd00::7");
}
