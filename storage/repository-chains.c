/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/repository-chains.h"

#include <stdlib.h>
#include <string.h>

void
bases_done(struct bases *bases)
{
    for (size_t i = 0; i < bases->count; i++)
        free(bases->ids[i]);
    free(bases->ids);
    *bases = (struct bases){ 0 };
}

void
bases_note(struct bases *bases, const struct image *image)
{
    if (!image->record.base)
        return;
    if (bases->count == bases->room) {
        bases->room = bases->room * 2 + 64;
        bases->ids = xrealloc(bases->ids, bases->room * sizeof(*bases->ids));
    }
    bases->ids[bases->count++] = xstrdup(image->record.base);
}

static int
compare_ids(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

void
bases_sort(struct bases *bases)
{
    if (bases->count > 0)
        qsort(bases->ids, bases->count, sizeof(*bases->ids), compare_ids);
}

bool
bases_have(const struct bases *bases, const char *id)
{
    return bases->count > 0 &&
           bsearch(&id, bases->ids, bases->count, sizeof(*bases->ids), compare_ids);
}

size_t
image_count_layers(struct repository *repository, const char *id, size_t limit)
{
    _cleanup_free_ char *next = xstrdup(id);
    size_t layers = 0;

    while (next && layers < limit) {
        _cleanup_(image_closep) struct image *image = NULL;
        _cleanup_(error_freep) struct error *ignored = NULL;

        if (!image_open(repository, next, &image, &ignored))
            break;
        layers++;
        free(next);
        next = TAKE(image->record.base);
    }
    return layers;
}
