/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes JSON straight into a text: results, statuses and events are never built as trees.
 *
 * Why not jansson here: a tree of one small status costs 1 KB and 1 µs, this none and 50 ns
 * (measured: doc/architecture.md); jansson parses what comes in.  Commas are put by the writer;
 * nesting is the caller's care, checked by assertions (at most 64 deep).  Strings that are not
 * UTF-8 (file names) are written with U+FFFD for each bad byte.
 */
#ifndef AGENT_BASE_JSON_WRITER_H
#define AGENT_BASE_JSON_WRITER_H

#include <stdint.h>

#include "agent/base/text.h"

struct writer {
    struct text text; /* what is written so far; owned */
    uint64_t filled;  /* bit per level: something was written at that level */
    uint64_t objects; /* bit per level: it is an object, not an array */
    unsigned depth;
    bool after_key;
};

#define WRITER_INIT ((struct writer){ .text = TEXT_INIT })
#define _cleanup_writer_ _cleanup_(writer_done)

void writer_done(struct writer *writer);
void writer_clear(struct writer *writer);

void writer_object(struct writer *writer); /* { */
void writer_array(struct writer *writer);  /* [ */
void writer_end_object(struct writer *writer);
void writer_end_array(struct writer *writer);
void writer_key(struct writer *writer, const char *key);

void writer_string(struct writer *writer, const char *value); /* NULL writes null */
void writer_string_sized(struct writer *writer, const char *value, size_t length);
void writer_printf(struct writer *writer, const char *format, ...) _printf_(2, 3); /* a string */
void writer_unsigned(struct writer *writer, uint64_t value);
void writer_integer(struct writer *writer, int64_t value);
void writer_real(struct writer *writer, double value); /* NaN and infinities write null */
void writer_bool(struct writer *writer, bool value);
void writer_null(struct writer *writer);
/* One JSON value as it stands; NULL or "" writes null. */
void writer_json(struct writer *writer, const char *json, size_t length);
/* Nanoseconds since 1970 as RFC 3339 UTC with milliseconds; 0 writes null. */
void writer_time(struct writer *writer, int64_t time_ns);

/* writer_key() and the value in one line. */
void writer_member_string(struct writer *writer, const char *key, const char *value);
void writer_member_unsigned(struct writer *writer, const char *key, uint64_t value);
/* null unless 'known'. */
void writer_member_if_known(struct writer *writer, const char *key, bool known, uint64_t value);
void writer_member_integer(struct writer *writer, const char *key, int64_t value);
void writer_member_real(struct writer *writer, const char *key, double value);
void writer_member_bool(struct writer *writer, const char *key, bool value);
void writer_member_null(struct writer *writer, const char *key);
void writer_member_json(struct writer *writer, const char *key, const char *json);
void writer_member_time(struct writer *writer, const char *key, int64_t time_ns);

#endif
