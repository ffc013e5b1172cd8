/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dates by arithmetic, not by gmtime() and strftime(): those take the time zone's lock, a dozen
 * times slower, in what is written for each event and each status.
 */
#include <config.h>

#include "agent/base/clock.h"

#include <time.h>

#define SECONDS_PER_DAY 86400
#define DAYS_PER_ERA 146097     /* 400 years of the Gregorian calendar */
#define DAYS_BEFORE_1970 719468 /* since 0000-03-01, the first day of an era */

static int64_t
now(clockid_t clock)
{
    struct timespec time;

    (void)clock_gettime(clock, &time); /* cannot fail for these clocks */
    return (int64_t)time.tv_sec * NS_PER_S + time.tv_nsec;
}

int64_t
clock_wall_ns(void)
{
    return now(CLOCK_REALTIME);
}

int64_t
clock_monotonic_ns(void)
{
    return now(CLOCK_MONOTONIC);
}

static int64_t
divide_down(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

static char *
put_digits(char *place, unsigned value, unsigned count)
{
    for (unsigned i = count; i > 0; i--, value /= 10)
        place[i - 1] = (char)('0' + value % 10);
    return place + count;
}

size_t
clock_format(int64_t time_ns, char ret_text[CLOCK_TEXT_SIZE])
{
    int64_t seconds = divide_down(time_ns, NS_PER_S);
    int64_t fraction = time_ns % NS_PER_S;
    int64_t days = divide_down(seconds, SECONDS_PER_DAY);
    unsigned second = (unsigned)(seconds - days * SECONDS_PER_DAY);
    unsigned milliseconds = (unsigned)((fraction < 0 ? fraction + NS_PER_S : fraction) / NS_PER_MS);
    /* 64-bit nanoseconds reach from 1677 to 2262: the era is never negative.  A year begins in
       March here, so that the leap day is its last. */
    unsigned day = (unsigned)(days + DAYS_BEFORE_1970);
    unsigned era = day / DAYS_PER_ERA;
    unsigned day_of_era = day % DAYS_PER_ERA;
    unsigned year =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* 0 is March */
    char *place = ret_text;

    place = put_digits(place, era * 400 + year + (month >= 10), 4);
    *place++ = '-';
    place = put_digits(place, month < 10 ? month + 3 : month - 9, 2);
    *place++ = '-';
    place = put_digits(place, day_of_year - (153 * month + 2) / 5 + 1, 2);
    *place++ = 'T';
    place = put_digits(place, second / 3600, 2);
    *place++ = ':';
    place = put_digits(place, second / 60 % 60, 2);
    *place++ = ':';
    place = put_digits(place, second % 60, 2);
    *place++ = '.';
    place = put_digits(place, milliseconds, 3);
    *place++ = 'Z';
    *place = '\0';
    return (size_t)(place - ret_text);
}

/* Reads 'count' digits and, unless it is NUL, the separator behind them. */
static bool
take_digits(const char **text, unsigned count, char separator, unsigned *ret_value)
{
    unsigned value = 0;

    for (unsigned i = 0; i < count; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        value = value * 10 + (unsigned)(**text - '0');
    }
    if (separator && *(*text)++ != separator)
        return false;
    *ret_value = value;
    return true;
}

static bool
take_fraction(const char **text, int64_t *ret_ns)
{
    int64_t unit = NS_PER_S / 10;
    const char *begin = *text + 1;

    *ret_ns = 0;
    if (**text != '.')
        return true;
    for ((*text)++; **text >= '0' && **text <= '9'; (*text)++, unit /= 10)
        *ret_ns += (**text - '0') * unit;
    return *text > begin;
}

/* "Z", or the distance from UTC: +01:00. */
static bool
take_zone(const char **text, int64_t *ret_seconds)
{
    char sign = *(*text)++;
    unsigned hours, minutes;

    *ret_seconds = 0;
    if (sign == 'Z')
        return true;
    if ((sign != '+' && sign != '-') || !take_digits(text, 2, ':', &hours) ||
        !take_digits(text, 2, '\0', &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_seconds = (int64_t)(hours * 3600 + minutes * 60) * (sign == '+' ? 1 : -1);
    return true;
}

static unsigned
days_in_month(unsigned year, unsigned month)
{
    static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

static int64_t
days_since_1970(unsigned year, unsigned month, unsigned day)
{
    unsigned shifted = month > 2 ? year : year - 1; /* the year that begins in March */
    unsigned since_march = month > 2 ? month - 3 : month + 9;
    unsigned of_era = shifted % 400;
    unsigned day_of_year = (153 * since_march + 2) / 5 + day - 1;

    return (int64_t)(shifted / 400) * DAYS_PER_ERA +
           (int64_t)(of_era * 365 + of_era / 4 - of_era / 100 + day_of_year) - DAYS_BEFORE_1970;
}

bool
clock_parse(const char *text, int64_t *ret_time_ns)
{
    unsigned year, month, day, hour, minute, second;
    int64_t fraction, zone, time_ns;

    if (!take_digits(&text, 4, '-', &year) || !take_digits(&text, 2, '-', &month) ||
        !take_digits(&text, 2, 'T', &day) || !take_digits(&text, 2, ':', &hour) ||
        !take_digits(&text, 2, ':', &minute) || !take_digits(&text, 2, '\0', &second) ||
        !take_fraction(&text, &fraction) || !take_zone(&text, &zone) || *text)
        return false;
    /* 60 is a leap second: the next second's beginning. */
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
        hour > 23 || minute > 59 || second > 60)
        return false;
    if (__builtin_mul_overflow(days_since_1970(year, month, day) * SECONDS_PER_DAY +
                                   (int64_t)(hour * 3600 + minute * 60 + second) - zone,
                               NS_PER_S, &time_ns) ||
        __builtin_add_overflow(time_ns, fraction, &time_ns))
        return false;
    *ret_time_ns = time_ns;
    return true;
}
