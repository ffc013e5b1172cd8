/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/json-writer.h"

static const struct {
    enum error_code code;
    const char *name, *meaning;
} error_table[] = {
#define ERROR_AS_ROW(symbol, code, name, meaning) { symbol, name, meaning },
    ERROR_TABLE(ERROR_AS_ROW)
#undef ERROR_AS_ROW
};

void
error_free(struct error *error)
{
    if (!error)
        return;
    free(error->message);
    free(error->data);
    free(error);
}

static char *format_message(const char *format, va_list arguments) _printf_(1, 0);

static char *
format_message(const char *format, va_list arguments)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    text_vprintf(&text, format, arguments);
    return text_take(&text);
}

static void
error_make(struct error **err, enum error_code code, char *message)
{
    assert(err && !*err);
    *err = xalloc(sizeof(**err));
    (*err)->code = code;
    (*err)->message = message;
}

bool
error_set(struct error **err, enum error_code code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    error_make(err, code, format_message(format, arguments));
    va_end(arguments);
    return false;
}

bool
error_errno(struct error **err, enum error_code code, int errnum, const char *format, ...)
{
    _cleanup_free_ char *text = NULL;
    const char *reason = strerrordesc_np(errnum); /* of the C locale, and safe in any thread */
    va_list arguments;

    va_start(arguments, format);
    text = format_message(format, arguments);
    va_end(arguments);
    if (errnum == ENOSPC || errnum == EDQUOT)
        code = ERROR_NO_SPACE;
    /* A file server that is away, or whose files are others by now. */
    if (code == ERROR_BACKEND_FAILED && (errnum == ETIMEDOUT || errnum == ESTALE))
        code = ERROR_REPOSITORY_UNAVAILABLE;
    error_make(err, code,
               reason ? xprintf("%s: %s", text, reason)
                      : xprintf("%s: error number %d", text, errnum));
    return false;
}

bool
error_wrap(struct error **err, const char *format, ...)
{
    _cleanup_free_ char *text = NULL;
    char *whole;
    va_list arguments;

    assert(err && *err);
    va_start(arguments, format);
    text = format_message(format, arguments);
    va_end(arguments);
    whole = xprintf("%s: %s", text, (*err)->message);
    free((*err)->message);
    (*err)->message = whole;
    return false;
}

/* Puts "member":value behind the members that are there; takes the writer's contents. */
static void
append_member(struct error *error, const struct writer *member)
{
    /* The writer holds {"member":value}; the braces go. */
    const char *bytes = member->text.bytes + 1;
    int length = (int)member->text.length - 2;
    char *data = error->data ? xprintf("%s,%.*s", error->data, length, bytes)
                             : xstrndup(bytes, (size_t)length);

    free(error->data);
    error->data = data;
}

bool
error_data_text(struct error **err, const char *member, const char *format, ...)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    _cleanup_free_ char *value = NULL;
    va_list arguments;

    assert(err && *err);
    va_start(arguments, format);
    value = format_message(format, arguments);
    va_end(arguments);
    writer_object(&writer);
    writer_member_string(&writer, member, value);
    writer_end_object(&writer);
    append_member(*err, &writer);
    return false;
}

bool
error_data_number(struct error **err, const char *member, int64_t value)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    assert(err && *err);
    writer_object(&writer);
    writer_member_integer(&writer, member, value);
    writer_end_object(&writer);
    append_member(*err, &writer);
    return false;
}

bool
error_data_json(struct error **err, const char *member, const char *json)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    assert(err && *err);
    writer_object(&writer);
    writer_member_json(&writer, member, json);
    writer_end_object(&writer);
    append_member(*err, &writer);
    return false;
}

bool
error_param(struct error **err, const char *param, const char *reason_format, ...)
{
    _cleanup_free_ char *reason = NULL;
    va_list arguments;

    va_start(arguments, reason_format);
    reason = format_message(reason_format, arguments);
    va_end(arguments);
    error_set(err, ERROR_INVALID_PARAMS, "parameter '%s' %s", param, reason);
    error_data_text(err, "param", "%s", param);
    return error_data_text(err, "reason", "%s", reason);
}

struct error *
error_copy(const struct error *error)
{
    struct error *copy = xalloc(sizeof(*copy));

    copy->code = error->code;
    copy->message = xstrdup(error->message);
    copy->data = error->data ? xstrdup(error->data) : NULL;
    return copy;
}

const char *
error_code_name(enum error_code code)
{
    for (size_t i = 0; i < ARRAY_COUNT(error_table); i++)
        if (error_table[i].code == code)
            return error_table[i].name;
    return "InternalError";
}

const char *
error_code_meaning(enum error_code code)
{
    for (size_t i = 0; i < ARRAY_COUNT(error_table); i++)
        if (error_table[i].code == code)
            return error_table[i].meaning;
    return error_code_meaning(ERROR_INTERNAL);
}

enum error_code
error_code_at(unsigned n)
{
    return n < ARRAY_COUNT(error_table) ? error_table[n].code : ERROR_NONE;
}
