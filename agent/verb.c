/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/verb.h"

#include <assert.h>
#include <string.h>

const struct shape empty_shape = {
    .name = "Empty",
    .schema = "{\"type\":\"object\",\"additionalProperties\":false}",
};

struct entry {
    const char *name;
    size_t length;
    const struct verb *verb;
    void *context;
};

struct verb_index {
    struct entry *slots;       /* open addressing */
    size_t slot_count;         /* a power of two, at least twice the names */
    const struct verb **verbs; /* in the tables' order */
    size_t verb_count;
};

static size_t
hash_name(const char *name, size_t length)
{
    size_t hash = 5381;

    for (size_t i = 0; i < length; i++)
        hash = hash * 33 ^ (unsigned char)name[i];
    return hash;
}

static struct entry *
find_entry(const struct verb_index *index, const char *name, size_t length)
{
    size_t slot = hash_name(name, length) & (index->slot_count - 1);

    for (;; slot = (slot + 1) & (index->slot_count - 1)) {
        struct entry *entry = &index->slots[slot];

        if (!entry->name || (entry->length == length && memcmp(entry->name, name, length) == 0))
            return entry;
    }
}

static void
add_entry(struct verb_index *index, const char *name, size_t length, const struct verb *verb,
          void *context)
{
    struct entry *entry = find_entry(index, name, length);

    assert(!entry->name && "two verbs of one name");
    *entry = (struct entry){ .name = name, .length = length, .verb = verb, .context = context };
}

/* Calls add_entry() for the name and each alias; without an index only counts them. */
static size_t
add_verb(struct verb_index *index, const struct verb *verb, void *context)
{
    const char *alias = verb->aliases;
    size_t count = 1;

    if (index)
        add_entry(index, verb->name, strlen(verb->name), verb, context);
    while (alias && *alias) {
        size_t length = strcspn(alias, " ");

        if (index)
            add_entry(index, alias, length, verb, context);
        count++;
        alias += length + (alias[length] == ' ');
    }
    return count;
}

struct verb_index *
verb_index_new(const struct verb_table *tables, size_t table_count)
{
    struct verb_index *index = xalloc(sizeof(*index));
    size_t names = 0;

    for (size_t i = 0; i < table_count; i++)
        for (const struct verb *verb = tables[i].verbs; verb->name; verb++) {
            names += add_verb(NULL, verb, NULL);
            index->verb_count++;
        }
    index->slot_count = 16;
    while (index->slot_count < names * 2)
        index->slot_count *= 2;
    index->slots = xalloc(index->slot_count * sizeof(index->slots[0]));
    index->verbs = xalloc((index->verb_count + 1) * sizeof(index->verbs[0]));
    index->verb_count = 0;
    for (size_t i = 0; i < table_count; i++)
        for (const struct verb *verb = tables[i].verbs; verb->name; verb++) {
            (void)add_verb(index, verb, tables[i].context);
            index->verbs[index->verb_count++] = verb;
        }
    return index;
}

void
verb_index_free(struct verb_index *index)
{
    if (!index)
        return;
    free(index->slots);
    free(index->verbs);
    free(index);
}

const struct verb *
verb_find(const struct verb_index *index, const char *name, size_t length, void **ret_context)
{
    const struct entry *entry = find_entry(index, name, length);

    if (!entry->name)
        return NULL;
    *ret_context = entry->context;
    return entry->verb;
}

const struct verb *
verb_at(const struct verb_index *index, size_t n)
{
    return n < index->verb_count ? index->verbs[n] : NULL;
}

static void
free_record(const struct param *param, void *record)
{
    if (record)
        params_done(param->members, record);
    free(record);
}

static void
records_done(const struct param *param, struct records *records)
{
    for (size_t i = 0; i < records->count; i++)
        params_done(param->members, (char *)records->all + i * param->member_size);
    free(records->all);
}

void
params_done(const struct param *params, void *args)
{
    for (const struct param *param = params; param && param->name; param++) {
        void *member = (char *)args + param->offset;

        switch (param->type) {
        case PARAM_NAME:
        case PARAM_TEXT:
        case PARAM_PATH:
        case PARAM_OBJECT: free(*(char **)member); break;
        case PARAM_TASK: free(((struct task_reference *)member)->text); break;
        case PARAM_TEXTS: strings_free(*(char ***)member); break;
        case PARAM_RECORD: free_record(param, *(void **)member); break;
        case PARAM_RECORDS: records_done(param, member); break;
        case PARAM_TYPE_UNSET:
        case PARAM_SIZE:
        case PARAM_INTEGER:
        case PARAM_BOOL:
        case PARAM_CHOICE: break;
        }
    }
}

void
verb_args_free(const struct verb *verb, void *args)
{
    if (args)
        params_done(verb->params, args);
    free(args);
}

static const char *const role_names[] = { [ROLE_UNSET] = "none",
                                          [ROLE_VIEWER] = "viewer",
                                          [ROLE_OPERATOR] = "operator",
                                          [ROLE_ADMIN] = "admin" };

const char *
role_name(enum role role)
{
    return role_names[role];
}

bool
role_parse(const char *name, enum role *ret_role)
{
    for (enum role role = ROLE_VIEWER; role <= ROLE_ADMIN; role++)
        if (strcmp(name, role_names[role]) == 0) {
            *ret_role = role;
            return true;
        }
    return false;
}
