/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/moment.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/base/clock.h"

/* Digits behind a point, as nanoseconds. */
static int64_t
read_fraction(const char **at)
{
    int64_t fraction_ns = 0, unit = NS_PER_S / 10;

    if (**at != '.')
        return 0;
    for ((*at)++; **at >= '0' && **at <= '9'; (*at)++, unit /= 10)
        fraction_ns += (**at - '0') * unit;
    return fraction_ns;
}

int64_t
moment_read(const char *text)
{
    struct tm broken_down = { .tm_isdst = -1 }, offset = { 0 };
    const char *at = strptime(text, "%Y-%m-%d %H:%M:%S", &broken_down);
    int64_t fraction_ns;

    if (!at)
        return 0;
    fraction_ns = read_fraction(&at);
    if (!*at)
        return mktime(&broken_down) * NS_PER_S + fraction_ns;
    at = strptime(at, " %z", &offset);
    if (!at || *at)
        return 0;
    return (timegm(&broken_down) - offset.tm_gmtoff) * NS_PER_S + fraction_ns;
}
