/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/repository-health.h"

#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "storage/repository-table.h"

/* Whether less than 'enter' per cent is free, or, once it was, less than 'leave'. */
static bool
is_short(const struct repository_look *look, bool was, unsigned enter, unsigned leave)
{
    /* Divided first: the product of petabytes has no room in 64 bits. */
    return look->free < look->capacity / 100 * (was ? leave : enter);
}

static bool
judge_latency(struct repository_warnings *warnings, int64_t latency_ns)
{
    bool slow = latency_ns > SLOW_LATENCY_MS * NS_PER_MS;

    if (slow == warnings->slow) {
        warnings->contrary_looks = 0;
        return false;
    }
    if (++warnings->contrary_looks < SLOW_LOOKS)
        return false;
    warnings->contrary_looks = 0;
    warnings->slow = slow;
    return true;
}

bool
repository_judge(struct repository_warnings *warnings, const struct repository_look *look)
{
    bool low = is_short(look, warnings->low_space, LOW_SPACE_PERCENT, LOW_SPACE_LEAVE);
    bool full = is_short(look, warnings->almost_full, ALMOST_FULL_PERCENT, ALMOST_FULL_LEAVE);
    bool changed = low != warnings->low_space || full != warnings->almost_full;

    warnings->low_space = low;
    warnings->almost_full = full;
    return judge_latency(warnings, look->latency_ns) || changed;
}

/* The worse of two that say the same stands alone. */
static const struct {
    const char *name, *text;
} words[] = {
    { "almostFull", "nearly all of its space is taken" },
    { "lowSpace", "little of its space is free" },
    { "slow", "reads take more than a second" },
};

static bool
is_given(const struct repository_warnings *warnings, size_t word)
{
    const bool given[ARRAY_COUNT(words)] = { warnings->almost_full,
                                             warnings->low_space && !warnings->almost_full,
                                             warnings->slow };

    return given[word];
}

void
repository_warnings_write(const struct repository_warnings *warnings, struct writer *writer)
{
    writer_array(writer);
    for (size_t i = 0; i < ARRAY_COUNT(words); i++)
        if (is_given(warnings, i))
            writer_string(writer, words[i].name);
    writer_end_array(writer);
}

char *
repository_warnings_text(const struct repository_warnings *warnings)
{
    struct text text = TEXT_INIT;

    for (size_t i = 0; i < ARRAY_COUNT(words); i++)
        if (is_given(warnings, i))
            text_printf(&text, "%s%s", text.length ? "; " : "", words[i].text);
    return text.length ? text_take(&text) : NULL;
}

/* ---- GET /metrics ---- */

static double
up(const struct repository *repository)
{
    return strcmp(repository->health, "ok") == 0;
}

static double
capacity(const struct repository *repository)
{
    return (double)repository->look.capacity;
}

static double
available(const struct repository *repository)
{
    return (double)repository->look.free;
}

static double
images(const struct repository *repository)
{
    return (double)repository->look.image_count;
}

static double
latency(const struct repository *repository)
{
    return (double)repository->look.latency_ns / (double)NS_PER_S;
}

static double
low_space(const struct repository *repository)
{
    return repository->warnings.low_space;
}

static double
slow(const struct repository *repository)
{
    return repository->warnings.slow;
}

static const struct {
    const char *name, *help;
    double (*value)(const struct repository *repository);
    bool measured; /* by a look: there is none of what was never open */
} gauge_table[] = {
    { "up", "Whether the repository is available.", up, false },
    { "capacity_bytes", "Size of its file system.", capacity, true },
    { "free_bytes", "What is free of it.", available, true },
    { "images", "Images in it.", images, true },
    { "read_latency_seconds", "Time that reading its record took last.", latency, true },
    { "low_space", "Whether little of its space is free.", low_space, true },
    { "slow", "Whether its reads are slow.", slow, true },
};

static void
write_gauges(void *context, struct text *text)
{
    const struct storage *storage = context;

    LOOP_ONLY();
    for (size_t i = 0; storage->first && i < ARRAY_COUNT(gauge_table); i++) {
        const char *name = gauge_table[i].name;

        text_printf(text, "# HELP hostler_repository_%s %s\n# TYPE hostler_repository_%s gauge\n",
                    name, gauge_table[i].help, name);
        /* A name needs no quoting: name_check(). */
        for (const struct repository *repository = storage->first; repository;
             repository = repository->next)
            if (repository->images || !gauge_table[i].measured)
                text_printf(text, "hostler_repository_%s{repository=\"%s\",kind=\"%s\"} %.15g\n",
                            name, repository->name, repository->place.kind,
                            gauge_table[i].value(repository));
    }
}

/* ---- host.stats ---- */

static void
write_facts(void *context, struct writer *writer)
{
    const struct storage *storage = context;

    LOOP_ONLY();
    writer_array(writer);
    for (const struct repository *repository = storage->first; repository;
         repository = repository->next) {
        const struct repository_look *look = &repository->look;
        bool known = repository->images != NULL;

        writer_object(writer);
        writer_member_string(writer, "repository", repository->name);
        writer_member_string(writer, "kind", repository->place.kind);
        writer_member_string(writer, "health", repository->health);
        writer_member_if_known(writer, "capacity", known, look->capacity);
        writer_member_if_known(writer, "free", known, look->free);
        writer_member_if_known(writer, "images", known, look->image_count);
        writer_key(writer, "readLatencyMs");
        known ? writer_real(writer, (double)(look->latency_ns / 1000) / 1000) : writer_null(writer);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

void
repository_figures_open(struct storage *storage)
{
    storage->gauges = (struct gauges){ .write = write_gauges, .context = storage };
    gauges_register(storage->agent, &storage->gauges);
    storage->facts = (struct facts){
        .of = FACTS_STATS, .name = "repositories", .write = write_facts, .context = storage
    };
    facts_register(storage->agent, &storage->facts);
}
