/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines on standard error; journal fields when the journal listens there (JOURNAL_STREAM).
 *
 * Only the loop, main() and the outermost functions of threads log; everything else returns an
 * error.  Never a token, never user data.  Any thread.
 */
#ifndef AGENT_BASE_LOG_H
#define AGENT_BASE_LOG_H

#include <stdbool.h>

#include "agent/base/cleanup.h"

/* The journal's priorities; a line is written when its level is at most the threshold. */
enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

/* Once, before threads. */
void log_open(enum log_level threshold);
bool log_level_parse(const char *name, enum log_level *ret_level) _must_check_;
bool log_enabled(enum log_level level);

/* 'task' is the id the line is about (journal field HOSTLER_TASK, "task=… " in text), or NULL. */
void log_write(enum log_level level, const char *task, const char *format, ...) _printf_(3, 4);

#define log_error(...) log_write(LOG_LEVEL_ERROR, NULL, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, NULL, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, NULL, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, NULL, __VA_ARGS__)
#define log_debug(task, ...)                                                                       \
    do {                                                                                           \
        if (log_enabled(LOG_LEVEL_DEBUG))                                                          \
            log_write(LOG_LEVEL_DEBUG, (task), __VA_ARGS__);                                       \
    } while (0)

#endif
