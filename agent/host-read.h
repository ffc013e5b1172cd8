/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what the kernel tells in /proc and /sys: files of a line, lists of names, lists of CPUs.
 *
 * 'root' is "" for this host, and a folder with recorded files for tests.  What is not there, cannot be
 * read or makes no sense is told as such, never as an error: a kernel has it or has it not.  Any
 * thread; where a driver may be slow to answer, a worker.
 */
#ifndef AGENT_HOST_READ_H
#define AGENT_HOST_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/cleanup.h"
#include "agent/base/json-writer.h"

/* All of a file up to 'limit' bytes, or its first 'limit' bytes; NULL: cannot be read.  To be freed. */
char *host_read(const char *root, size_t limit, const char *format, ...) _printf_(3, 4);
/* Its first line without what is blank around it; NULL also when that is empty.  To be freed. */
char *host_read_line(const char *root, const char *format, ...) _printf_(2, 3);
/* The number that it begins with.  False, and nothing touched, when there is none. */
bool host_read_number(const char *root, uint64_t *ret_value, const char *format, ...)
    _printf_(3, 4);
/* The last name of what a symbolic link leads to, or NULL; to be freed. */
char *host_read_link(const char *root, const char *format, ...) _printf_(2, 3);
bool host_exists(const char *root, const char *format, ...) _printf_(2, 3);

/* Names in a folder, sorted as people count (cpu2 before cpu10); NULL-terminated, never NULL;
   strings_free()'s. */
char **host_list(const char *root, const char *format, ...) _printf_(2, 3);

/* writer_member_...() of such a file: null when it cannot be read. */
void host_write_line(struct writer *writer, const char *member, const char *root,
                     const char *format, ...) _printf_(4, 5);
void host_write_number(struct writer *writer, const char *member, const char *root,
                       const char *format, ...) _printf_(4, 5);
/* Bytes of "NAME: 16384 kB" in a text; null when that is NULL, or has no such line. */
void host_write_kib(struct writer *writer, const char *member, const char *text, const char *name);

/*
 * for (const char *line = text; line; line = text_next_line(line)): lines of a text that is not changed.
 */
const char *text_next_line(const char *line);
/* What stands behind 'name' and blanks at the begin of a line ("MemTotal:"), or NULL. */
const char *text_after(const char *text, const char *name);
bool text_number_after(const char *text, const char *name, uint64_t *ret_value);
/* The rest of a line, without what is blank around it; to be freed. */
char *text_rest(const char *at);

/* "0-3,8": the next of its ranges; false: there is no more. */
bool cpu_list_next(const char **list, unsigned *ret_first, unsigned *ret_last);
size_t cpu_list_count(const char *list);
bool cpu_list_has(const char *list, unsigned cpu);

#endif
