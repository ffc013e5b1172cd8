/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/record.h"

#include <string.h>

#include "ctl/suggestion.h"
#include "ctl/values.h"

/* Only memory can lack here. */
static void
must(int result)
{
    if (result != 0)
        abort();
}

static void
tell_members(const struct flag *flag, const char *prefix,
             void (*tell)(void *context, const char *name, const struct flag *member),
             void *context)
{
    for (size_t i = 0; i < flag->member_count; i++) {
        const struct flag *member = &flag->members[i];
        _cleanup_free_ char *name = xprintf("%s%s", prefix, member->name);
        _cleanup_free_ char *deeper = xprintf("%s.", name);

        if (member->type == FLAG_RECORD)
            tell_members(member, deeper, tell, context);
        else
            tell(context, name, member);
    }
}

void
record_members(const struct flag *flag,
               void (*tell)(void *context, const char *name, const struct flag *member),
               void *context)
{
    tell_members(flag, "", tell, context);
}

/* The nearest name is told only for a moment: a copy is kept. */
struct nearest {
    struct suggestion suggestion;
    char *name; /* owned */
};

static void
offer_member(void *context, const char *name, const struct flag *member)
{
    struct nearest *nearest = context;

    (void)member;
    suggestion_offer(&nearest->suggestion, name);
    if (nearest->suggestion.nearest != name)
        return;
    free(nearest->name);
    nearest->name = xstrdup(name);
    nearest->suggestion.nearest = nearest->name;
}

static void
list_member(void *context, const char *name, const struct flag *member)
{
    struct text *text = context;

    (void)member;
    text_printf(text, "%s%s", text->length ? ", " : "", name);
}

static bool
refuse_member(const struct flag *flag, const char *name, struct error **err)
{
    struct nearest nearest = { .suggestion = SUGGESTION_FOR(name) };
    _cleanup_text_ struct text all = TEXT_INIT;

    record_members(flag, offer_member, &nearest);
    if (nearest.name) {
        error_set(err, ERROR_INVALID_PARAMS, "--%s has no member '%s': did you mean '%s'?",
                  flag->name, name, nearest.name);
        free(nearest.name);
        return false;
    }
    record_members(flag, list_member, &all);
    return error_set(err, ERROR_INVALID_PARAMS, "--%s has no member '%s': there are %s", flag->name,
                     name, all.bytes);
}

static const struct flag *
find_member(const struct flag *flag, const char *name, size_t length)
{
    for (size_t i = 0; i < flag->member_count; i++) {
        const struct flag *member = &flag->members[i];

        if ((strlen(member->name) == length && memcmp(member->name, name, length) == 0) ||
            (strlen(member->param) == length && memcmp(member->param, name, length) == 0))
            return member;
    }
    return NULL;
}

static bool
refuse_twice(const struct flag *flag, const char *name, struct error **err)
{
    return error_set(err, ERROR_INVALID_PARAMS, "--%s %s is given twice", flag->name, name);
}

/* The record within that a member names before its dot, made if need be; NULL: JSON that came before has put
   something else there. */
static json_t *
inner_record(json_t *record, const struct flag *member)
{
    json_t *inner = json_object_get(record, member->param);

    if (!inner) {
        inner = json_object();
        must(json_object_set_new(record, member->param, inner));
    }
    return json_is_object(inner) ? inner : NULL;
}

static bool
set_value(const struct flag *flag, const struct flag *member, const char *name, const char *text,
          json_t *record, struct error **err)
{
    _cleanup_free_ char *named = xprintf("%s %s", flag->name, name);
    json_t *present = json_object_get(record, member->param), *value = NULL;
    struct flag shown = *member;

    shown.name = named; /* in errors */
    if (present && (member->type != FLAG_TEXTS || !json_is_array(present)))
        return refuse_twice(flag, name, err);
    if (!value_parse(&shown, text, &value, err))
        return false;
    if (member->type == FLAG_TEXTS) {
        if (!present) {
            present = json_array();
            must(json_object_set_new(record, member->param, present));
        }
        must(json_array_append_new(present, value));
        return true;
    }
    must(json_object_set_new(record, member->param, value));
    return true;
}

/* NAME=VALUE, or the NAME of a switch. */
static bool
add_item(const struct flag *flag, const char *item, json_t *record, struct error **err)
{
    size_t length = strcspn(item, "=");
    _cleanup_free_ char *name = xstrndup(item, length);
    const struct flag *within = flag, *member = NULL;
    const char *at = name;

    for (const char *dot; (dot = strchr(at, '.')); at = dot + 1) {
        member = find_member(within, at, (size_t)(dot - at));
        if (!member || member->type != FLAG_RECORD)
            return refuse_member(flag, name, err);
        within = member;
        record = inner_record(record, member);
        if (!record)
            return refuse_twice(flag, name, err);
    }
    member = find_member(within, at, strlen(at));
    if (!member || (item[length] != '=' && member->type != FLAG_BOOL))
        return member ? error_set(err, ERROR_INVALID_PARAMS, "--%s: '%s' needs a value: %s=…",
                                  flag->name, name, name)
                      : refuse_member(flag, name, err);
    if (member->type == FLAG_RECORD || member->type == FLAG_RECORDS)
        return error_set(
            err, ERROR_INVALID_PARAMS,
            "--%s: '%s' holds more than one value: write %s, or all as JSON", flag->name, name,
            member->type == FLAG_RECORD ? "its members as NAME.MEMBER=VALUE" : "it within JSON");
    return set_value(flag, member, name, item[length] == '=' ? item + length + 1 : "true", record,
                     err);
}

static bool
add_items(const struct flag *flag, const char *text, json_t *record, struct error **err)
{
    _cleanup_text_ struct text item = TEXT_INIT;

    for (const char *at = text;; at++) {
        if (*at == ',' && at[1] == ',')
            text_append_char(&item, *at++);
        else if (*at && *at != ',')
            text_append_char(&item, *at);
        else if (item.length == 0)
            return error_set(err, ERROR_INVALID_PARAMS,
                             "--%s: '%s' is neither MEMBER=VALUE,… nor JSON", flag->name, text);
        else if (!add_item(flag, item.bytes, record, err))
            return false;
        else if (!*at)
            return true;
        else
            text_clear(&item);
    }
}

static bool
parse_json(const struct flag *flag, const char *text, json_t **ret_value, struct error **err)
{
    json_error_t problem;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &problem);

    if (!value)
        return error_set(err, ERROR_INVALID_PARAMS, "--%s: not JSON: %s (at byte %d)", flag->name,
                         problem.text, problem.position);
    *ret_value = value;
    return true;
}

static bool
add_to_list(const struct flag *flag, const char *text, json_t *list, struct error **err)
{
    char first = text[strspn(text, " \t\n")];
    json_t *value = NULL;
    bool added;

    if (first == '{' || first == '[') {
        if (!parse_json(flag, text, &value, err))
            return false;
        if (json_is_array(value))
            must(json_array_extend(list, value));
        else
            must(json_array_append(list, value));
        json_decref(value);
        return true;
    }
    value = json_object();
    added = add_items(flag, text, value, err);
    must(json_array_append_new(list, value));
    return added;
}

bool
record_add(const struct flag *flag, const char *text, json_t **record, struct error **err)
{
    if (flag->type == FLAG_RECORDS) {
        if (!*record)
            *record = json_array();
        return add_to_list(flag, text, *record, err);
    }
    if (text[strspn(text, " \t\n")] == '{') {
        if (*record)
            return error_set(err, ERROR_INVALID_PARAMS, "--%s is given twice", flag->name);
        return parse_json(flag, text, record, err);
    }
    if (!*record)
        *record = json_object();
    return add_items(flag, text, *record, err);
}
