/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#ifdef HAVE_SYSTEMD
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#endif

#include "agent/base/clock.h"
#include "agent/base/text.h"

static enum log_level log_threshold = LOG_LEVEL_INFO;
static bool stderr_is_journal; /* lines go to the journal's stream */
static bool journal_takes_fields;

static const struct {
    const char *name;
    enum log_level level;
} level_names[] = {
    { "error", LOG_LEVEL_ERROR }, { "warning", LOG_LEVEL_WARNING }, { "notice", LOG_LEVEL_NOTICE },
    { "info", LOG_LEVEL_INFO },   { "debug", LOG_LEVEL_DEBUG },
};

/* JOURNAL_STREAM names the device and inode of the stream that systemd made: only while standard
   error is still that stream does the journal listen (systemd.exec(5)). */
static bool
is_journal_stream(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    unsigned long device, inode;

    return stream && sscanf(stream, "%lu:%lu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void
log_open(enum log_level threshold)
{
    log_threshold = threshold;
    stderr_is_journal = is_journal_stream();
    /* libsystemd says nothing where there is no such socket (a container with the host's stream). */
    journal_takes_fields = stderr_is_journal && access("/run/systemd/journal/socket", W_OK) == 0;
}

bool
log_level_parse(const char *name, enum log_level *ret_level)
{
    for (size_t i = 0; i < ARRAY_COUNT(level_names); i++)
        if (strcmp(level_names[i].name, name) == 0) {
            *ret_level = level_names[i].level;
            return true;
        }
    return false;
}

bool
log_enabled(enum log_level level)
{
    return level <= log_threshold;
}

static const char *
level_name(enum log_level level)
{
    for (size_t i = 0; i < ARRAY_COUNT(level_names); i++)
        if (level_names[i].level == level)
            return level_names[i].name;
    return "info";
}

#ifdef HAVE_SYSTEMD
static bool
write_journal(enum log_level level, const char *task, const char *text)
{
    _cleanup_free_ char *message = xprintf("MESSAGE=%s", text);
    _cleanup_free_ char *priority = xprintf("PRIORITY=%d", (int)level);
    _cleanup_free_ char *field = task ? xprintf("HOSTLER_TASK=%s", task) : NULL;
    struct iovec fields[] = {
        { .iov_base = message, .iov_len = strlen(message) },
        { .iov_base = priority, .iov_len = strlen(priority) },
        { .iov_base = field, .iov_len = field ? strlen(field) : 0 },
    };

    return sd_journal_sendv(fields, field ? 3 : 2) >= 0;
}
#else
static bool
write_journal(enum log_level level, const char *task, const char *text)
{
    (void)level;
    (void)task;
    (void)text;
    return false;
}
#endif

/* One event, one line, and no escape sequence that a peer put into a name. */
static void
append_visible(struct text *line, const char *string)
{
    for (; *string; string++)
        text_append_char(line, (unsigned char)*string < 0x20 || *string == 0x7f ? '?' : *string);
}

/* One write(2), so that lines of threads and of other programs do not mix. */
static void
write_line(enum log_level level, const char *task, const char *text)
{
    _cleanup_text_ struct text line = TEXT_INIT;
    char now[CLOCK_TEXT_SIZE];

    if (stderr_is_journal) { /* it knows the time, and takes the priority from in front (sd-daemon(3)) */
        text_printf(&line, "<%d>", (int)level);
    } else {
        (void)clock_format(clock_wall_ns(), now);
        text_printf(&line, "%s %s: ", now, level_name(level));
    }
    if (task) {
        text_append_string(&line, "task=");
        append_visible(&line, task);
        text_append_char(&line, ' ');
    }
    append_visible(&line, text);
    text_append_char(&line, '\n');
    while (write(STDERR_FILENO, line.bytes, line.length) < 0 && errno == EINTR)
        continue; /* any other failure: whom would one tell? */
}

void
log_write(enum log_level level, const char *task, const char *format, ...)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    va_list arguments;

    if (!log_enabled(level))
        return;
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    if (!journal_takes_fields || !write_journal(level, task, text.bytes))
        write_line(level, task, text.bytes);
}
