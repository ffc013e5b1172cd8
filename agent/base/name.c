/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/name.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <uuid/uuid.h>

static bool
is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool
name_valid(const char *name)
{
    size_t length = name ? strnlen(name, NAME_LENGTH_MAX + 1) : 0;

    if (length == 0 || length > NAME_LENGTH_MAX || !is_alphanumeric(name[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!is_alphanumeric(name[i]) && !strchr("._-", name[i]))
            return false;
    return true;
}

bool
name_check(const char *param, const char *name, struct error **err)
{
    if (name_valid(name))
        return true;
    return error_param(
        err, param, "must be 1 to %d letters, digits, '.', '_' or '-', the first a letter or digit",
        NAME_LENGTH_MAX);
}

void
uuid_make(char ret_text[UUID_TEXT_SIZE])
{
    uuid_t uuid;

    uuid_generate_random(uuid);
    uuid_unparse_lower(uuid, ret_text);
}

/* The first line of a small file, or false. */
static bool
read_line(const char *path, char *ret_line, size_t size)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length;

    if (fd < 0)
        return false;
    length = read(fd, ret_line, size - 1);
    if (length <= 0)
        return false;
    ret_line[length] = '\0';
    ret_line[strcspn(ret_line, "\n")] = '\0';
    return ret_line[0] != '\0';
}

void
uuid_of_host(const char *name, char ret_text[UUID_TEXT_SIZE])
{
    /* A name space of the agent's own, so that no other program's ids are the same. */
    static const char name_space[] = "c5c9a4a1-6a5e-4b56-9a52-0e2b9a7d7b11";
    char machine[256] = "";
    _cleanup_free_ char *seed = NULL;
    uuid_t space, uuid;

    /* "uninitialized" stands there in an image that was never booted (machine-id(5)). */
    if ((!read_line("/etc/machine-id", machine, sizeof(machine)) ||
         strcmp(machine, "uninitialized") == 0) &&
        gethostname(machine, sizeof(machine) - 1) < 0)
        machine[0] = '\0';
    seed = xprintf("%s/%s", machine, name);
    (void)uuid_parse(name_space, space);
    uuid_generate_sha1(uuid, space, seed, strlen(seed));
    uuid_unparse_lower(uuid, ret_text);
}

size_t
utf8_character_size(const char *bytes, size_t size)
{
    const unsigned char *p = (const unsigned char *)bytes;
    unsigned char low = 0x80, high = 0xbf; /* of the second byte: no overlong form, no surrogate */
    size_t length;

    if (size == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (size < length || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

bool
utf8_valid(const char *bytes, size_t size)
{
    size_t i = 0;

    while (i < size) {
        uint64_t word;
        size_t length;

        if (size - i >=
            sizeof(word)) { /* eight ASCII bytes at once: most messages are nothing else */
            memcpy(&word, bytes + i, sizeof(word));
            if (!(word & UINT64_C(0x8080808080808080))) {
                i += sizeof(word);
                continue;
            }
        }
        length = utf8_character_size(bytes + i, size - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}
