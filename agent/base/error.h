/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one error type.
 *
 * Whatever can fail returns bool (true: done), is _must_check_ and takes 'struct error **err' last:
 * never NULL, '*err' NULL on entry, set exactly when false is returned.  The makers below return
 * false, so that failing is one line:
 *
 *     if (!image_open(repository, id, &image, err))
 *         return error_wrap(err, "cannot copy image '%s'", id);
 *     if (!image->mutable)
 *         return error_set(err, ERROR_IMAGE_IMMUTABLE, "image '%s' is a snapshot: copy it first", id);
 *
 * Text: lower case, no full stop, values in single quotes, what failed first, then what would be
 * right.  A function returns an error or logs it, never both.  Idea: QEMU's Error, as a bool.
 */
#ifndef AGENT_BASE_ERROR_H
#define AGENT_BASE_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/cleanup.h"
#include "agent/base/error-codes.h"

struct error {
    enum error_code code;
    char *message; /* owned; UTF-8 */
    char *data;    /* owned; JSON members without braces: "param":"size","reason":"…"; or NULL */
};

void error_free(struct error *error);
DEFINE_CLEANUP(struct error, error_free)

/* All of these return false.  error_set asserts that '*err' is NULL, the others that it is not. */
bool error_set(struct error **err, enum error_code code, const char *format, ...) _printf_(3, 4);
/* As error_set, with ": " and strerror(errnum) behind.  ENOSPC and EDQUOT become ERROR_NO_SPACE, and
   ETIMEDOUT and ESTALE make ERROR_REPOSITORY_UNAVAILABLE of ERROR_BACKEND_FAILED. */
bool error_errno(struct error **err, enum error_code code, int errnum, const char *format, ...)
    _printf_(4, 5);
/* Puts "text: " in front of the message that is there. */
bool error_wrap(struct error **err, const char *format, ...) _printf_(2, 3);
/* Adds one member to the error's data; the value is text, a number, or JSON as it stands. */
bool error_data_text(struct error **err, const char *member, const char *format, ...)
    _printf_(3, 4);
bool error_data_number(struct error **err, const char *member, int64_t value);
bool error_data_json(struct error **err, const char *member, const char *json);
/* InvalidParams for 'param' with data {param, reason}; message "parameter 'param' REASON". */
bool error_param(struct error **err, const char *param, const char *reason_format, ...)
    _printf_(3, 4);

struct error *error_copy(const struct error *error);

/* Name and meaning by the table; "InternalError" for a code that is not in it.  Never NULL. */
const char *error_code_name(enum error_code code);
const char *error_code_meaning(enum error_code code);
/* The n-th code of the table, or ERROR_NONE past its end: for discovery and tests. */
enum error_code error_code_at(unsigned n);

#endif
