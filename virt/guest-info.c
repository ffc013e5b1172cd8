/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/guest-info.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define PARAMS_MAX 20000
#define JSON_SIZE_MAX (768 * 1024)

/* Lists have plural names, and nothing is abbreviated. */
static const char *const names[][2] = {
    { "user", "users" },         { "fs", "fileSystems" }, { "if", "interfaces" },
    { "disk", "disks" },         { "addr", "addresses" }, { "dependency", "dependencies" },
    { "hwaddr", "mac" },         { "fstype", "type" },    { "guest_alias", "guestAlias" },
    { "guest_bus", "guestBus" },
};

/* "pretty-name" becomes "prettyName"; to be freed. */
static char *
name_of(const char *word, bool is_list)
{
    char *name, *to;

    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(names[i][0], word) == 0 && (is_list || strcmp(word, "addr") != 0))
            return xstrdup(names[i][1]);
    if (strcmp(word, "addr") == 0)
        return xstrdup("address");
    name = to = xstrdup(word);
    for (const char *from = word; *from; from++) {
        if (*from == '-' && from[1])
            *to++ = (char)toupper((unsigned char)*++from);
        else
            *to++ = *from;
    }
    *to = '\0';
    return name;
}

static bool
is_number(const char *word)
{
    return word && *word && strspn(word, "0123456789") == strlen(word) && strlen(word) < 6;
}

/* The object at 'index' of the list 'name' in 'parent', made when it is the next; NULL: it would leave a gap. */
static json_t *
item_of(json_t *parent, const char *name, size_t index)
{
    json_t *list = json_object_get(parent, name);

    if (!list && json_object_set_new(parent, name, json_array()) == 0)
        list = json_object_get(parent, name);
    if (index == json_array_size(list))
        (void)json_array_append_new(list, json_object());
    return json_array_get(list, index);
}

static json_t *
object_of(json_t *parent, const char *name)
{
    json_t *object = json_object_get(parent, name);

    if (!object && json_object_set_new(parent, name, json_object()) == 0)
        object = json_object_get(parent, name);
    return json_is_object(object) ? object : NULL;
}

/* NULL: it is nothing that JSON can say. */
static json_t *
value_of(const virTypedParameter *param)
{
    switch (param->type) {
    case VIR_TYPED_PARAM_INT: return json_integer(param->value.i);
    case VIR_TYPED_PARAM_UINT: return json_integer(param->value.ui);
    case VIR_TYPED_PARAM_LLONG: return json_integer(param->value.l);
    case VIR_TYPED_PARAM_ULLONG: return json_integer((json_int_t)param->value.ul);
    case VIR_TYPED_PARAM_DOUBLE: return json_real(param->value.d);
    case VIR_TYPED_PARAM_BOOLEAN: return json_boolean(param->value.b);
    case VIR_TYPED_PARAM_STRING: return json_string(param->value.s);
    default: return NULL;
    }
}

static void
add(json_t *root, const virTypedParameter *param)
{
    _cleanup_free_ char *field = xstrdup(param->field);
    char *rest = field, *word;
    json_t *at = root;

    while (at && (word = strsep(&rest, "."))) {
        bool is_list = rest && *rest >= '0' && *rest <= '9';
        _cleanup_free_ char *name = name_of(word, is_list);

        if (!rest) {
            json_t *value = strcmp(word, "count") == 0 ? NULL : value_of(param);

            if (value)
                (void)json_object_set_new(at, name, value);
        } else if (is_list) {
            const char *index = strsep(&rest, ".");

            at = rest && is_number(index) ? item_of(at, name, strtoul(index, NULL, 10)) : NULL;
        } else if (strcmp(rest, "count") != 0)
            at = object_of(at, name);
    }
}

bool
guest_info_json(const virTypedParameter *params, int count, char **ret_json, struct error **err)
{
    json_t *root;
    char *json;

    if (count > PARAMS_MAX) {
        error_set(err, ERROR_LIMIT_EXCEEDED, "the guest's agent tells %d things, which is too much",
                  count);
        error_data_text(err, "limit", "guestInfo");
        return error_data_number(err, "max", PARAMS_MAX);
    }
    root = json_object();
    for (int i = 0; i < count; i++)
        add(root, &params[i]);
    json = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(root);
    if (!json || strlen(json) > JSON_SIZE_MAX) {
        free(json);
        error_set(err, ERROR_LIMIT_EXCEEDED, "the guest's agent tells more than fits an answer");
        error_data_text(err, "limit", "guestInfo");
        return error_data_number(err, "max", JSON_SIZE_MAX);
    }
    *ret_json = json;
    return true;
}
