/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/filling.h"

#include <assert.h>
#include <string.h>

#include "agent/base/text.h"
#include "rpc/value.h"

#define NAME_SHOWN_MAX 64 /* bytes of an unknown name that the error shows */

/* "disks[1].bus": as it stands in errors. */
static char *
place_of(const struct filling *filling, const char *name)
{
    return filling->place ? xprintf("%s.%s", filling->place, name) : xstrdup(name);
}

bool
filling_find(const struct filling *filling, const char *name, size_t size, size_t *ret_n)
{
    for (size_t n = 0; filling->params && filling->params[n].name; n++)
        if (strlen(filling->params[n].name) == size &&
            memcmp(filling->params[n].name, name, size) == 0) {
            assert(n < PARAMS_MAX);
            *ret_n = n;
            return true;
        }
    return false;
}

static bool
take_value(const struct filling *filling, const struct param *param, struct slice value,
           struct error **err)
{
    void *member = filling->args + param->offset;
    bool absent = *value.text == 'n' && !param->required;

    if (absent && (param->fallback || param->make_uuid)) /* the same, but for being seen */
        return value_default(param, member, err);
    if (absent)
        return true;
    if (!value_take(param, value, member, err))
        return false;
    if (param->present)
        *(bool *)(void *)(filling->args + param->present - 1) = true;
    return true;
}

bool
filling_take(struct filling *filling, size_t n, struct slice value, struct error **err)
{
    struct param param = filling->params[n];
    _cleanup_free_ char *place = filling->place ? place_of(filling, param.name) : NULL;

    if (place)
        param.name = place;
    if (filling->seen[n])
        return error_param(err, param.name, "is given twice");
    filling->seen[n] = true;
    return take_value(filling, &param, value, err);
}

bool
filling_complete(struct filling *filling, struct error **err)
{
    for (size_t n = 0; filling->params && filling->params[n].name; n++) {
        const struct param *param = &filling->params[n];

        if (n < PARAMS_MAX && filling->seen[n])
            continue;
        if (param->required) {
            _cleanup_free_ char *place = place_of(filling, param->name);

            return error_param(err, place, "is missing");
        }
        if (!value_default(param, filling->args + param->offset, err))
            return false;
    }
    return true;
}

bool
filling_unknown(const struct filling *filling, const char *owner, const char *text, size_t size,
                struct error **err)
{
    _cleanup_free_ char *name = xstrndup(text, size < NAME_SHOWN_MAX ? size : NAME_SHOWN_MAX);
    _cleanup_free_ char *place = place_of(filling, name);
    _cleanup_text_ struct text known = TEXT_INIT;

    for (const struct param *param = filling->params; param && param->name; param++)
        text_printf(&known, "%s'%s'", known.length ? ", " : "", param->name);
    if (known.length == 0)
        return error_param(err, place, "is unknown: '%s' takes none", owner);
    return error_param(err, place, "is unknown: '%s' takes %s", owner, known.bytes);
}

static bool
fill(struct filling *filling, struct slice object, struct error **err)
{
    struct scan scan;
    struct slice key, value;

    scan_inside(&scan, object);
    while (scan_member(&scan, &key, &value)) {
        _cleanup_free_ char *owned = NULL;
        const char *name;
        size_t size, n;

        slice_string(key, &name, &size, &owned);
        if (!filling_find(filling, name, size, &n))
            return filling_unknown(filling, filling->place, name, size, err);
        if (!filling_take(filling, n, value, err))
            return false;
    }
    return filling_complete(filling, err);
}

bool
filling_record(const struct param *members, const char *place, struct slice object, void *memory,
               struct error **err)
{
    struct filling filling = { .params = members, .args = memory, .place = place };

    if (*object.text != '{')
        return error_param(err, place, "must be an object, not %s", slice_kind(object));
    if (fill(&filling, object, err))
        return true;
    params_done(members, memory);
    return false;
}
