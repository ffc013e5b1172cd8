/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/cleanup.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* No allocation, no stdio: there is no memory left. */
static _Noreturn void
die_of_no_memory(void)
{
    static const char text[] = "hostler: out of memory\n";

    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    abort();
}

void *
xalloc(size_t size)
{
    void *memory = calloc(1, size ? size : 1);

    if (!memory)
        die_of_no_memory();
    return memory;
}

void *
xrealloc(void *memory, size_t size)
{
    void *moved = realloc(memory, size ? size : 1);

    if (!moved)
        die_of_no_memory();
    return moved;
}

char *
xstrdup(const char *string)
{
    return xstrndup(string, strlen(string));
}

char *
xstrndup(const char *string, size_t length)
{
    char *copy = xalloc(length + 1);

    memcpy(copy, string, length);
    return copy;
}

char *
xprintf(const char *format, ...)
{
    char *string = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&string, format, arguments) < 0)
        die_of_no_memory();
    va_end(arguments);
    return string;
}

void
strings_free(char **strings)
{
    for (char **string = strings; string && *string; string++)
        free(*string);
    free(strings);
}
