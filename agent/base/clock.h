/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time: nanoseconds since 1970 for what is shown, monotonic nanoseconds for what is measured.
 */
#ifndef AGENT_BASE_CLOCK_H
#define AGENT_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define CLOCK_TEXT_SIZE 32 /* bytes that clock_format() needs at most, with the NUL */

int64_t clock_wall_ns(void);
int64_t clock_monotonic_ns(void);
/* RFC 3339 UTC with milliseconds: 2026-11-20T21:15:03.120Z.  Returns the length. */
size_t clock_format(int64_t time_ns, char ret_text[CLOCK_TEXT_SIZE]);
bool clock_parse(const char *text, int64_t *ret_time_ns) __attribute__((warn_unused_result));

#endif
