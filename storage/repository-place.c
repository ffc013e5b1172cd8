/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/repository-place.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "storage/gluster-volume.h"
#include "storage/mount.h"

/* The parameters that say where a repository is.  A bit each, for the table of kinds. */
enum key {
    KEY_PATH = 1 << 0,
    KEY_SERVER = 1 << 1,
    KEY_EXPORT = 1 << 2,
    KEY_OPTIONS = 1 << 3,
    KEY_VOLUME = 1 << 4,
    KEY_SERVERS = 1 << 5
};

static const struct place_key {
    const char *name;
    enum key key;
    bool list; /* char **, not char * */
    size_t offset;
} place_keys[] = {
    { "path", KEY_PATH, false, offsetof(struct repository_place, path) },
    { "server", KEY_SERVER, false, offsetof(struct repository_place, server) },
    { "export", KEY_EXPORT, false, offsetof(struct repository_place, export) },
    { "options", KEY_OPTIONS, false, offsetof(struct repository_place, options) },
    { "volume", KEY_VOLUME, false, offsetof(struct repository_place, volume) },
    { "servers", KEY_SERVERS, true, offsetof(struct repository_place, servers) },
};

static bool check_directory(const struct repository_place *place, struct error **err) _must_check_;
static char *directory_text(const struct repository_place *place);
static char *volume_text(const struct repository_place *place);

struct repository_kind {
    const char *name;
    unsigned needed, allowed; /* keys; what is needed is allowed too */
    /* Whether the values are well-formed: InvalidParams. */
    bool (*check)(const struct repository_place *place, struct error **err);
    char *(*text)(const struct repository_place *place); /* for people */
    /* Mounts it there; NULL: there is nothing to mount. */
    bool (*attach)(const struct repository_place *place, const char *folder, struct error **err);
};

static const struct repository_kind kinds[] = {
    { .name = "dir", .needed = KEY_PATH, .check = check_directory, .text = directory_text },
    { .name = "nfs",
      .needed = KEY_SERVER | KEY_EXPORT,
      .allowed = KEY_OPTIONS,
      .check = mount_check,
      .text = mount_source,
      .attach = mount_attach },
    { .name = "gluster",
      .needed = KEY_VOLUME | KEY_SERVERS,
      .allowed = KEY_PATH,
      .check = gluster_check_place,
      .text = volume_text },
};

static const struct repository_kind *
find_kind(const struct repository_place *place)
{
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        if (place->kind && strcmp(kinds[i].name, place->kind) == 0)
            return &kinds[i];
    return NULL;
}

static char **
text_of(const struct repository_place *place, const struct place_key *key)
{
    return (char **)((char *)(uintptr_t)place + key->offset);
}

static char ***
list_of(const struct repository_place *place, const struct place_key *key)
{
    return (char ***)(void *)((char *)(uintptr_t)place + key->offset);
}

static bool
is_set(const struct repository_place *place, const struct place_key *key)
{
    return key->list ? *list_of(place, key) != NULL : *text_of(place, key) != NULL;
}

static void
append(char ***list, const char *value, size_t length)
{
    size_t count = 0;

    while (*list && (*list)[count])
        count++;
    *list = xrealloc(*list, (count + 2) * sizeof(**list));
    (*list)[count] = xstrndup(value, length);
    (*list)[count + 1] = NULL;
}

void
repository_place_done(struct repository_place *place)
{
    for (size_t i = 0; i < ARRAY_COUNT(place_keys); i++) {
        const struct place_key *key = &place_keys[i];

        if (!key->list) {
            free(*text_of(place, key));
            continue;
        }
        strings_free(*list_of(place, key));
    }
    *place = (struct repository_place){ 0 };
}

void
repository_place_copy(const struct repository_place *place, struct repository_place *ret_place)
{
    *ret_place = (struct repository_place){ .kind = place->kind };
    for (size_t i = 0; i < ARRAY_COUNT(place_keys); i++) {
        const struct place_key *key = &place_keys[i];

        if (!is_set(place, key))
            continue;
        if (!key->list)
            *text_of(ret_place, key) = xstrdup(*text_of(place, key));
        for (char **value = key->list ? *list_of(place, key) : NULL; value && *value; value++)
            append(list_of(ret_place, key), *value, strlen(*value));
    }
}

/* The names of the keys in 'set': "'server' and 'export'"; to be freed. */
static char *
name_keys(unsigned set)
{
    struct text text = TEXT_INIT;

    for (size_t i = 0; i < ARRAY_COUNT(place_keys); i++)
        if (set & place_keys[i].key) {
            set &= ~(unsigned)place_keys[i].key;
            text_printf(&text, "%s'%s'",
                        !text.length ? ""
                        : set        ? ", "
                                     : " and ",
                        place_keys[i].name);
        }
    return text_take(&text);
}

static bool
unknown_kind(const struct repository_place *place, struct error **err)
{
    _cleanup_text_ struct text known = TEXT_INIT;

    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        text_printf(&known, "%s'%s'", i ? ", " : "", kinds[i].name);
    if (!place->kind)
        return error_param(err, "kind", "is missing: it must be one of %s", known.bytes);
    error_set(err, ERROR_BACKEND_UNAVAILABLE,
              "this version connects no repositories of kind '%s': it knows %s", place->kind,
              known.bytes);
    error_data_text(err, "backend", "%s", place->kind);
    return error_data_text(err, "reason", "not in this version");
}

bool
repository_place_check(const struct repository_place *place, struct error **err)
{
    const struct repository_kind *kind = find_kind(place);

    if (!kind)
        return unknown_kind(place, err);
    for (size_t i = 0; i < ARRAY_COUNT(place_keys); i++) {
        const struct place_key *key = &place_keys[i];
        bool set = is_set(place, key);

        if (set ? (kind->needed | kind->allowed) & key->key : !(kind->needed & key->key))
            continue;
        _cleanup_free_ char *needed = name_keys(kind->needed);

        return set ? error_param(err, key->name, "is not for kind '%s', which needs %s", kind->name,
                                 needed)
                   : error_param(err, key->name, "is missing: kind '%s' needs %s", kind->name,
                                 needed);
    }
    return kind->check(place, err);
}

static bool
check_directory(const struct repository_place *place, struct error **err)
{
    if (*place->path != '/' || strlen(place->path) >= PATH_MAX)
        return error_param(err, "path", "is '%s': it must be an absolute path", place->path);
    return true;
}

static char *
directory_text(const struct repository_place *place)
{
    return xstrdup(place->path);
}

static char *
volume_text(const struct repository_place *place)
{
    return xprintf("%s:%s%s", place->servers[0], place->volume, place->path ? place->path : "/");
}

/* Whether two texts are the same, but for slashes at the end. */
static bool
same_text(const char *one, const char *other)
{
    size_t length, other_length;

    if (!one || !other)
        return one == other;
    length = strlen(one);
    other_length = strlen(other);
    while (length > 1 && one[length - 1] == '/')
        length--;
    while (other_length > 1 && other[other_length - 1] == '/')
        other_length--;
    return length == other_length && memcmp(one, other, length) == 0;
}

bool
repository_place_same(const struct repository_place *one, const struct repository_place *other)
{
    if (strcmp(one->kind, other->kind) != 0)
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(place_keys); i++) {
        const struct place_key *key = &place_keys[i];
        char **value, **other_value;

        if (!key->list) {
            if (!same_text(*text_of(one, key), *text_of(other, key)))
                return false;
            continue;
        }
        value = *list_of(one, key);
        other_value = *list_of(other, key);
        for (; value && other_value && *value && *other_value; value++, other_value++)
            if (strcmp(*value, *other_value) != 0)
                return false;
        if ((value && *value) || (other_value && *other_value))
            return false;
    }
    return true;
}

bool
repository_place_is_in_volume(const struct repository_place *place)
{
    return find_kind(place)->needed & KEY_VOLUME;
}

char *
repository_place_text(const struct repository_place *place)
{
    return find_kind(place)->text(place);
}

bool
repository_place_is_mounted(const struct repository_place *place)
{
    return find_kind(place)->attach != NULL;
}

char *
repository_place_folder(const struct repository_place *place, const char *name)
{
    return repository_place_is_mounted(place) ? mount_point(name) : xstrdup(place->path);
}

bool
repository_place_attach(const struct repository_place *place, const char *folder,
                        struct error **err)
{
    const struct repository_kind *kind = find_kind(place);

    return !kind->attach || kind->attach(place, folder, err);
}

bool
repository_place_set(struct repository_place *place, const char *name, const char *value,
                     struct error **err)
{
    _cleanup_free_ char *names = name_keys(UINT_MAX);

    if (strcmp(name, "kind") == 0) {
        struct repository_place named = { .kind = value };
        const struct repository_kind *kind = find_kind(&named);

        if (!kind)
            return unknown_kind(&named, err);
        place->kind = kind->name;
        return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(place_keys); i++) {
        const struct place_key *key = &place_keys[i];

        if (strcmp(key->name, name) != 0)
            continue;
        if (!key->list) {
            free(*text_of(place, key));
            *text_of(place, key) = xstrdup(value);
            return true;
        }
        for (size_t length; *(value += strspn(value, " \t")); value += length) {
            length = strcspn(value, " \t");
            append(list_of(place, key), value, length);
        }
        return true;
    }
    return error_set(err, ERROR_INVALID_PARAMS, "there is no '%s': there are 'kind', %s", name,
                     names);
}

void
repository_place_write(const struct repository_place *place, struct writer *writer)
{
    writer_member_string(writer, "kind", place->kind);
    for (size_t i = 0; i < ARRAY_COUNT(place_keys); i++) {
        const struct place_key *key = &place_keys[i];

        if (!is_set(place, key))
            continue;
        if (!key->list) {
            writer_member_string(writer, key->name, *text_of(place, key));
            continue;
        }
        writer_key(writer, key->name);
        writer_array(writer);
        for (char **value = *list_of(place, key); *value; value++)
            writer_string(writer, *value);
        writer_end_array(writer);
    }
}

void
repository_place_read(const json_t *object, struct repository_place *ret_place)
{
    const char *kind = json_string_value(json_object_get(object, "kind"));
    struct repository_place named = { .kind = kind };
    const struct repository_kind *known = find_kind(&named);

    *ret_place = (struct repository_place){ .kind = known ? known->name : NULL };
    for (size_t i = 0; i < ARRAY_COUNT(place_keys); i++) {
        const struct place_key *key = &place_keys[i];
        const json_t *value = json_object_get(object, key->name), *entry;
        size_t n;

        if (!key->list && json_is_string(value))
            *text_of(ret_place, key) = xstrdup(json_string_value(value));
        json_array_foreach(key->list ? value : NULL, n, entry) if (json_is_string(entry))
            append(list_of(ret_place, key), json_string_value(entry), json_string_length(entry));
    }
}
