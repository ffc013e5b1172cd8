/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/values.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "agent/base/text.h"
#include "ctl/suggestion.h"

static bool
wrong(const struct flag *flag, struct error **err)
{
    return error_wrap(err, "--%s", flag->name);
}

static bool
check_range(const struct flag *flag, int64_t value, struct error **err)
{
    if (flag->bounded_below && value < flag->minimum) {
        error_set(err, ERROR_INVALID_PARAMS, "%" PRId64 " is too small: at least %" PRId64, value,
                  flag->minimum);
        return wrong(flag, err);
    }
    if (flag->bounded_above && value > flag->maximum) {
        error_set(err, ERROR_INVALID_PARAMS, "%" PRId64 " is too large: at most %" PRId64, value,
                  flag->maximum);
        return wrong(flag, err);
    }
    return true;
}

static bool
parse_integer(const char *text, int64_t *ret_value, struct error **err)
{
    char *end = NULL;

    errno = 0;
    if (isdigit((unsigned char)text[0]) || (text[0] == '-' && isdigit((unsigned char)text[1])))
        *ret_value = strtoll(text, &end, 10);
    if (!end || *end)
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' is not a whole number", text);
    if (errno == ERANGE)
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' does not fit into 64 bits", text);
    return true;
}

/* The power of 1024 that a suffix means. */
static bool
parse_suffix(const char *suffix, unsigned *ret_power, struct error **err)
{
    static const char letters[] = "KMGTPE";
    const char *letter = *suffix ? strchr(letters, toupper((unsigned char)*suffix)) : NULL;

    if (!*suffix || strcmp(suffix, "B") == 0) {
        *ret_power = 0;
        return true;
    }
    if (letter && (!suffix[1] || strcmp(suffix + 1, "iB") == 0 || strcmp(suffix + 1, "i") == 0)) {
        *ret_power = (unsigned)(letter - letters) + 1;
        return true;
    }
    return error_set(err, ERROR_INVALID_PARAMS,
                     "'%s' is no unit of size: K, M, G, T, P or KiB, MiB … (of 1024)", suffix);
}

bool
value_size(const char *text, int64_t *ret_size, struct error **err)
{
    size_t whole_length = strspn(text, "0123456789");
    const char *fraction = text[whole_length] == '.' ? text + whole_length + 1 : "";
    size_t fraction_length = strspn(fraction, "0123456789");
    const char *suffix =
        text + whole_length + (*fraction || text[whole_length] == '.' ? 1 : 0) + fraction_length;
    unsigned power = 0;
    int64_t unit, part = 0, scale = 1;
    uint64_t whole;

    if (text[0] == '-')
        return error_set(err, ERROR_INVALID_PARAMS, "'%s': a size is not negative", text);
    if (whole_length == 0 || fraction_length > 6 ||
        (text[whole_length] == '.' && fraction_length == 0))
        return error_set(err, ERROR_INVALID_PARAMS,
                         "'%s' is not a size: bytes, or a number with K, M, G, T as in 10G or 1.5T",
                         text);
    if (!parse_suffix(suffix, &power, err))
        return error_wrap(err, "'%s'", text);
    errno = 0;
    whole = strtoull(text, NULL, 10);
    unit = INT64_C(1) << (10 * power);
    if (errno == ERANGE || whole > (uint64_t)(INT64_MAX / unit))
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' is more than 2^63 - 1 bytes", text);
    for (size_t i = 0; i < fraction_length; i++) {
        part = part * 10 + (fraction[i] - '0');
        scale *= 10;
    }
    /* At most 10^6 × 2^60 would overflow: 128 bits for the one product. */
    *ret_size = (int64_t)whole * unit;
    if ((__int128)part * unit % scale != 0)
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' is not a whole number of bytes", text);
    if (__builtin_add_overflow(*ret_size, (int64_t)((__int128)part * unit / scale), ret_size))
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' is more than 2^63 - 1 bytes", text);
    return true;
}

bool
value_is_choice(const struct flag *flag, const char *text)
{
    for (size_t i = 0; flag->choices && flag->choices[i]; i++)
        if (strcmp(flag->choices[i], text) == 0)
            return true;
    return false;
}

char *
value_absolute_path(const char *path)
{
    _cleanup_free_ char *folder = path[0] == '/' ? NULL : getcwd(NULL, 0);

    if (!folder)
        return xstrdup(path);
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    return xprintf("%s/%s", strcmp(folder, "/") == 0 ? "" : folder, path);
}

static bool
refuse_choice(const struct flag *flag, const char *text, struct error **err)
{
    struct suggestion suggestion = SUGGESTION_FOR(text);
    _cleanup_text_ struct text choices = TEXT_INIT;

    for (size_t i = 0; flag->choices && flag->choices[i]; i++) {
        suggestion_offer(&suggestion, flag->choices[i]);
        text_printf(&choices, "%s%s", i ? ", " : "", flag->choices[i]);
    }
    if (suggestion.nearest)
        error_set(err, ERROR_INVALID_PARAMS, "'%s' is not one of %s: did you mean '%s'?", text,
                  choices.bytes, suggestion.nearest);
    else
        error_set(err, ERROR_INVALID_PARAMS, "'%s' is not one of %s", text,
                  choices.bytes ? choices.bytes : "its choices");
    return wrong(flag, err);
}

static bool
parse_object(const char *text, json_t **ret_value, struct error **err)
{
    json_error_t problem;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &problem);

    if (!value)
        return error_set(err, ERROR_INVALID_PARAMS, "not JSON: %s (at byte %d)", problem.text,
                         problem.position);
    if (!json_is_object(value)) {
        json_decref(value);
        return error_set(err, ERROR_INVALID_PARAMS,
                         "the JSON must be an object, as in '{\"key\":\"value\"}'");
    }
    *ret_value = value;
    return true;
}

bool
value_parse(const struct flag *flag, const char *text, json_t **ret_value, struct error **err)
{
    int64_t number = 0;

    switch (flag->type) {
    case FLAG_SIZE:
        if (!value_size(text, &number, err))
            return wrong(flag, err);
        if (!check_range(flag, number, err))
            return false;
        *ret_value = json_integer(number);
        return true;
    case FLAG_INTEGER:
        if (!parse_integer(text, &number, err))
            return wrong(flag, err);
        if (!check_range(flag, number, err))
            return false;
        *ret_value = json_integer(number);
        return true;
    case FLAG_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return error_set(err, ERROR_INVALID_PARAMS, "--%s: '%s' is neither true nor false",
                             flag->name, text);
        *ret_value = json_boolean(text[0] == 't');
        return true;
    case FLAG_CHOICE:
        if (!value_is_choice(flag, text))
            return refuse_choice(flag, text, err);
        break;
    case FLAG_OBJECT: return parse_object(text, ret_value, err) || wrong(flag, err);
    case FLAG_TEXT:
    case FLAG_TASK:
    case FLAG_PATH:
    case FLAG_TEXTS:
    case FLAG_RECORD:
    case FLAG_RECORDS: break;
    }
    *ret_value = json_string(text);
    if (!*ret_value)
        return error_set(err, ERROR_INVALID_PARAMS, "--%s: the value is not UTF-8", flag->name);
    return true;
}
