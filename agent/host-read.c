/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/host-read.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define LINE_LIMIT 4096
#define NAMES_MAX 100000

static char *
path_of(const char *root, const char *format, va_list arguments)
{
    struct text path = TEXT_INIT;

    text_append_string(&path, root);
    text_vprintf(&path, format, arguments);
    return text_take(&path);
}

#define PATH_OF(path, root, format)                                                                \
    _cleanup_free_ char *path = NULL;                                                              \
    do {                                                                                           \
        va_list arguments_;                                                                        \
        va_start(arguments_, format);                                                              \
        (path) = path_of(root, format, arguments_);                                                \
        va_end(arguments_);                                                                        \
    } while (0)

/* Read until the end: a file of /proc tells no size, and hands out parts of itself. */
static char *
read_path(const char *path, size_t limit)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    _cleanup_text_ struct text text = TEXT_INIT;

    if (fd < 0)
        return NULL;
    while (text.length < limit) {
        size_t room = limit - text.length < 16384 ? limit - text.length : 16384;
        ssize_t size = read(fd, text_reserve(&text, room), room);

        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return NULL;
        if (size == 0)
            break;
        text_grow(&text, (size_t)size);
    }
    return text_take(&text);
}

char *
host_read(const char *root, size_t limit, const char *format, ...)
{
    PATH_OF(path, root, format);
    return read_path(path, limit);
}

static char *
read_line(const char *path)
{
    _cleanup_free_ char *text = read_path(path, LINE_LIMIT);
    char *line = text ? text_rest(text) : NULL;

    if (line && *line)
        return line;
    free(line);
    return NULL;
}

char *
host_read_line(const char *root, const char *format, ...)
{
    PATH_OF(path, root, format);
    return read_line(path);
}

/* strtoull() takes "-1" for 2^64 - 1. */
static bool
parse_number(const char *text, uint64_t *ret_value)
{
    char *end;
    unsigned long long value;

    text += strspn(text, " \t");
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno)
        return false;
    *ret_value = value;
    return true;
}

bool
host_read_number(const char *root, uint64_t *ret_value, const char *format, ...)
{
    PATH_OF(path, root, format);
    _cleanup_free_ char *line = read_line(path);

    return line && parse_number(line, ret_value);
}

char *
host_read_link(const char *root, const char *format, ...)
{
    PATH_OF(path, root, format);
    char target[PATH_MAX];
    ssize_t size = readlink(path, target, sizeof(target) - 1);
    const char *slash;

    if (size <= 0)
        return NULL;
    target[size] = '\0';
    slash = strrchr(target, '/');
    return xstrdup(slash ? slash + 1 : target);
}

bool
host_exists(const char *root, const char *format, ...)
{
    PATH_OF(path, root, format);
    return access(path, F_OK) == 0;
}

static int
compare_names(const void *left, const void *right)
{
    return strverscmp(*(char *const *)left, *(char *const *)right);
}

char **
host_list(const char *root, const char *format, ...)
{
    PATH_OF(path, root, format);
    DIR *folder = opendir(path);
    size_t count = 0, room = 16;
    char **names = xalloc(room * sizeof(*names));
    const struct dirent *entry;

    while (folder && count < NAMES_MAX && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        if (count + 1 == room)
            names = xrealloc(names, (room *= 2) * sizeof(*names));
        names[count++] = xstrdup(entry->d_name);
    }
    names[count] = NULL;
    if (folder)
        (void)closedir(folder);
    qsort(names, count, sizeof(*names), compare_names);
    return names;
}

void
host_write_line(struct writer *writer, const char *member, const char *root, const char *format,
                ...)
{
    PATH_OF(path, root, format);
    _cleanup_free_ char *line = read_line(path);

    writer_member_string(writer, member, line);
}

void
host_write_number(struct writer *writer, const char *member, const char *root, const char *format,
                  ...)
{
    PATH_OF(path, root, format);
    _cleanup_free_ char *line = read_line(path);
    uint64_t value = 0;
    bool known = line && parse_number(line, &value);

    writer_member_if_known(writer, member, known, value);
}

void
host_write_kib(struct writer *writer, const char *member, const char *text, const char *name)
{
    uint64_t kib = 0;
    bool known = text && text_number_after(text, name, &kib);

    writer_member_if_known(writer, member, known, kib * 1024);
}

const char *
text_next_line(const char *line)
{
    const char *end = strchr(line, '\n');

    return end && end[1] ? end + 1 : NULL;
}

const char *
text_after(const char *text, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = text; line; line = text_next_line(line))
        if (strncmp(line, name, length) == 0)
            return line + length + strspn(line + length, " \t:");
    return NULL;
}

bool
text_number_after(const char *text, const char *name, uint64_t *ret_value)
{
    const char *at = text_after(text, name);

    return at && parse_number(at, ret_value);
}

char *
text_rest(const char *at)
{
    size_t length;

    at += strspn(at, " \t");
    length = strcspn(at, "\n");
    while (length > 0 && isspace((unsigned char)at[length - 1]))
        length--;
    return xstrndup(at, length);
}

bool
cpu_list_next(const char **list, unsigned *ret_first, unsigned *ret_last)
{
    uint64_t first, last;

    *list += strspn(*list, ", \n");
    if (!parse_number(*list, &first) || first > UINT_MAX)
        return false;
    *list += strspn(*list, "0123456789");
    last = first;
    if (**list == '-') {
        if (!parse_number(++*list, &last) || last < first || last > UINT_MAX)
            return false;
        *list += strspn(*list, "0123456789");
    }
    *ret_first = (unsigned)first;
    *ret_last = (unsigned)last;
    return true;
}

size_t
cpu_list_count(const char *list)
{
    unsigned first, last;
    size_t count = 0;

    while (list && cpu_list_next(&list, &first, &last))
        count += (size_t)(last - first) + 1;
    return count;
}

bool
cpu_list_has(const char *list, unsigned cpu)
{
    unsigned first, last;

    while (list && cpu_list_next(&list, &first, &last))
        if (cpu >= first && cpu <= last)
            return true;
    return false;
}
