/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/value.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "agent/base/name.h"
#include "rpc/filling.h"

#define TEXT_SIZE_MAX 4096
#define PATH_SIZE_MAX 4095
#define OBJECT_SIZE_MAX 65536
#define TEXTS_MAX 1000
#define TASK_SIZE_MAX (255 + 21) /* as a status shows it: CONNECTION:NUMBER */

/* A string of at most 'limit' bytes, as the caller's memory. */
static bool
take_string(const char *name, struct slice value, size_t limit, char **ret_text, struct error **err)
{
    _cleanup_free_ char *owned = NULL;
    const char *text;
    size_t size;

    if (*value.text != '"')
        return error_param(err, name, "must be a string, not %s", slice_kind(value));
    slice_string(value, &text, &size, &owned);
    if (memchr(text, '\0', size))
        return error_param(err, name, "must hold no NUL character");
    if (size > limit)
        return error_param(err, name, "must be at most %zu bytes long", limit);
    *ret_text = xstrndup(text, size);
    return true;
}

static bool
take_name(const struct param *param, struct slice value, char **ret_name, struct error **err)
{
    _cleanup_free_ char *name = NULL;

    /* Longer than any name: the name check says what would be right. */
    if (!take_string(param->name, value, TEXT_SIZE_MAX, &name, err) ||
        !name_check(param->name, name, err))
        return false;
    *ret_name = TAKE(name);
    return true;
}

static bool
take_path(const struct param *param, struct slice value, char **ret_path, struct error **err)
{
    _cleanup_free_ char *path = NULL;

    if (!take_string(param->name, value, PATH_SIZE_MAX, &path, err))
        return false;
    if (*path != '/')
        return error_param(err, param->name, "must be an absolute path: one that begins with '/'");
    *ret_path = TAKE(path);
    return true;
}

static bool
check_one_line(const char *name, const char *text, struct error **err)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return error_param(err, name, "must hold no control characters");
    return true;
}

static bool
take_text(const struct param *param, struct slice value, char **ret_text, struct error **err)
{
    _cleanup_free_ char *text = NULL;

    if (!take_string(param->name, value, param->maximum ? (size_t)param->maximum : TEXT_SIZE_MAX,
                     &text, err))
        return false;
    if (strlen(text) < (size_t)param->minimum)
        return error_param(err, param->name, "must be at least %" PRId64 " byte%s long",
                           param->minimum, param->minimum == 1 ? "" : "s");
    if (param->one_line && !check_one_line(param->name, text, err))
        return false;
    *ret_text = TAKE(text);
    return true;
}

static bool
take_task(const struct param *param, struct slice value, struct task_reference *ret_task,
          struct error **err)
{
    if (*value.text == '"')
        return take_string(param->name, value, TASK_SIZE_MAX, &ret_task->text, err);
    if (!slice_is_number(value))
        return error_param(err, param->name, "must be a task's id: a string or a number, not %s",
                           slice_kind(value));
    if (value.size > TASK_SIZE_MAX)
        return error_param(err, param->name, "must be at most %d digits long", TASK_SIZE_MAX);
    ret_task->text = xstrndup(value.text, value.size);
    ret_task->number = true;
    return true;
}

static bool
take_integer(const struct param *param, struct slice value, const char *what, int64_t minimum,
             int64_t maximum, int64_t *ret_integer, struct error **err)
{
    char digits[24] = ""; /* sign and 22: more is out of range anyhow */
    int64_t integer;
    bool beyond;

    if (!slice_is_number(value))
        return error_param(err, param->name, "must be %s, not %s", what, slice_kind(value));
    for (size_t i = 1; i < value.size; i++)
        if (value.text[i] < '0' || value.text[i] > '9')
            return error_param(err, param->name,
                               "must be %s, written without a point or an exponent", what);
    memcpy(digits, value.text, value.size < sizeof(digits) ? value.size : sizeof(digits) - 1);
    errno = 0;
    integer = strtoll(digits, NULL, 10);
    beyond = errno == ERANGE;
    if (integer < minimum || (beyond && integer < 0))
        return error_param(err, param->name, "must be at least %" PRId64, minimum);
    if (integer > maximum || beyond)
        return error_param(err, param->name, "must be at most %" PRId64, maximum);
    *ret_integer = integer;
    return true;
}

static bool
take_size(const struct param *param, struct slice value, uint64_t *ret_size, struct error **err)
{
    int64_t maximum = param->maximum ? param->maximum : INT64_MAX;
    int64_t size;

    if (!take_integer(param, value, "an integer of bytes", param->minimum, maximum, &size, err))
        return false;
    *ret_size = (uint64_t)size;
    return true;
}

static bool
take_plain_integer(const struct param *param, struct slice value, int64_t *ret_integer,
                   struct error **err)
{
    bool bounded = param->minimum || param->maximum;

    return take_integer(param, value, "an integer", bounded ? param->minimum : INT64_MIN,
                        bounded ? param->maximum : INT64_MAX, ret_integer, err);
}

static bool
take_bool(const struct param *param, struct slice value, bool *ret_bool, struct error **err)
{
    if (*value.text != 't' && *value.text != 'f')
        return error_param(err, param->name, "must be true or false, not %s", slice_kind(value));
    *ret_bool = *value.text == 't';
    return true;
}

static bool
take_choice(const struct param *param, struct slice value, const char **ret_choice,
            struct error **err)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_text_ struct text choices = TEXT_INIT;

    if (!take_string(param->name, value, TEXT_SIZE_MAX, &text, err))
        return false;
    for (const char *const *choice = param->choices; *choice; choice++) {
        if (strcmp(*choice, text) == 0) {
            *ret_choice = *choice;
            return true;
        }
        text_printf(&choices, "%s'%s'",
                    choice == param->choices ? ""
                    : choice[1]              ? ", "
                                             : " or ",
                    *choice);
    }
    return error_param(err, param->name, "must be %s", choices.bytes);
}

/* As it was written, so that 0.1 stays 0.1, but for the white space between its parts. */
static char *
compact(struct slice value)
{
    char *json = xalloc(value.size + 1), *place = json;
    bool quoted = false;

    for (size_t i = 0; i < value.size; i++) {
        char c = value.text[i];

        if (!quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r'))
            continue;
        *place++ = c;
        if (quoted && c == '\\')
            *place++ = value.text[++i];
        else if (c == '"')
            quoted = !quoted;
    }
    return json;
}

/* Objects are read again later, by us and by others: what jansson cannot read, or reads otherwise
   than it is written (a key twice), is refused now. */
static bool
check_readable(const char *name, const char *json, struct error **err)
{
    json_error_t fault;
    json_t *object = json_loads(json, JSON_REJECT_DUPLICATES, &fault);

    if (object) {
        json_decref(object);
        return true;
    }
    switch (json_error_code(&fault)) {
    case json_error_duplicate_key: return error_param(err, name, "must hold no key twice");
    case json_error_numeric_overflow:
        return error_param(err, name, "must hold no number beyond 64 bits");
    case json_error_null_character:
    case json_error_null_byte_in_key: return error_param(err, name, "must hold no NUL character");
    default: return error_param(err, name, "cannot be read: %s", fault.text);
    }
}

static bool
take_object(const struct param *param, struct slice value, char **ret_json, struct error **err)
{
    size_t limit = param->maximum ? (size_t)param->maximum : OBJECT_SIZE_MAX;
    _cleanup_free_ char *json = NULL;

    if (*value.text != '{')
        return error_param(err, param->name, "must be an object, not %s", slice_kind(value));
    json = compact(value);
    if (strlen(json) > limit)
        return error_param(err, param->name, "must be at most %zu bytes of JSON", limit);
    if (!check_readable(param->name, json, err))
        return false;
    *ret_json = TAKE(json);
    return true;
}

static size_t
count_elements(struct slice array)
{
    struct scan scan;
    struct slice element;
    size_t count = 0;

    scan_inside(&scan, array);
    while (scan_element(&scan, &element))
        count++;
    return count;
}

static bool
take_texts(const struct param *param, struct slice value, char ***ret_texts, struct error **err)
{
    _cleanup_(strings_freep) char **texts = NULL;
    size_t count;
    struct scan scan;
    struct slice element;

    if (*value.text != '[')
        return error_param(err, param->name, "must be an array of strings, not %s",
                           slice_kind(value));
    count = count_elements(value);
    if (count > TEXTS_MAX)
        return error_param(err, param->name, "must hold at most %d strings", TEXTS_MAX);
    texts = xalloc((count + 1) * sizeof(*texts));
    scan_inside(&scan, value);
    for (size_t i = 0; scan_element(&scan, &element); i++)
        if (!take_string(param->name, element, TEXT_SIZE_MAX, &texts[i], err))
            return false;
    *ret_texts = TAKE(texts);
    return true;
}

static bool
take_record(const struct param *param, struct slice value, void **ret_record, struct error **err)
{
    _cleanup_free_ void *record = xalloc(param->member_size);

    if (!filling_record(param->members, param->name, value, record, err))
        return false;
    *ret_record = TAKE(record);
    return true;
}

static bool
fill_records(const struct param *param, struct slice value, struct records *records,
             struct error **err)
{
    struct scan scan;
    struct slice element;

    scan_inside(&scan, value);
    for (; scan_element(&scan, &element); records->count++) {
        _cleanup_free_ char *place = xprintf("%s[%zu]", param->name, records->count);
        void *record = (char *)records->all + records->count * param->member_size;

        if (!filling_record(param->members, place, element, record, err))
            return false;
    }
    return true;
}

static bool
take_records(const struct param *param, struct slice value, struct records *ret_records,
             struct error **err)
{
    struct records records = { 0 };
    size_t count;

    if (*value.text != '[')
        return error_param(err, param->name, "must be an array of objects, not %s",
                           slice_kind(value));
    count = count_elements(value);
    if (count < (size_t)param->minimum)
        return error_param(err, param->name, "must hold at least %" PRId64, param->minimum);
    if (count > (size_t)param->maximum)
        return error_param(err, param->name, "must hold at most %" PRId64, param->maximum);
    if (count == 0)
        return true;
    records.all = xalloc(count * param->member_size);
    if (fill_records(param, value, &records, err)) {
        *ret_records = records;
        return true;
    }
    for (size_t i = 0; i < records.count; i++)
        params_done(param->members, (char *)records.all + i * param->member_size);
    free(records.all);
    return false;
}

bool
value_take(const struct param *param, struct slice value, void *member, struct error **err)
{
    switch (param->type) {
    case PARAM_NAME: return take_name(param, value, member, err);
    case PARAM_TEXT: return take_text(param, value, member, err);
    case PARAM_PATH: return take_path(param, value, member, err);
    case PARAM_TASK: return take_task(param, value, member, err);
    case PARAM_SIZE: return take_size(param, value, member, err);
    case PARAM_INTEGER: return take_plain_integer(param, value, member, err);
    case PARAM_BOOL: return take_bool(param, value, member, err);
    case PARAM_CHOICE: return take_choice(param, value, member, err);
    case PARAM_OBJECT: return take_object(param, value, member, err);
    case PARAM_TEXTS: return take_texts(param, value, member, err);
    case PARAM_RECORD: return take_record(param, value, member, err);
    case PARAM_RECORDS: return take_records(param, value, member, err);
    case PARAM_TYPE_UNSET: break;
    }
    return error_set(err, ERROR_INTERNAL, "parameter '%s' has no type", param->name);
}

bool
value_default(const struct param *param, void *member, struct error **err)
{
    if (param->make_uuid) {
        char *uuid = xalloc(UUID_TEXT_SIZE);

        uuid_make(uuid);
        *(char **)member = uuid;
        return true;
    }
    if (!param->fallback)
        return true;
    return value_take(param, (struct slice){ param->fallback, strlen(param->fallback) }, member,
                      err);
}
