/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which images of a repository stand on others, and how many lie below: for repository.check.
 *
 * Read without locks, so it tells what was so a moment ago.  Worker threads.
 */
#ifndef STORAGE_REPOSITORY_CHAINS_H
#define STORAGE_REPOSITORY_CHAINS_H

#include "storage/image.h"

#define CHAIN_LAYERS_MAX 8 /* above that a read that finds nothing asks too many files */

struct bases {
    char **ids; /* owned, as they are; sorted by bases_sort() */
    size_t count, room;
};

void bases_done(struct bases *bases);
/* Notes what the image stands on, if anything. */
void bases_note(struct bases *bases, const struct image *image);
void bases_sort(struct bases *bases);
/* Whether something stands on 'id', of all that was noted. */
bool bases_have(const struct bases *bases, const char *id);

/* How many images the one shows through, itself among them; not more than 'limit' are counted.  One that
   cannot be read ends the chain. */
size_t image_count_layers(struct repository *repository, const char *id, size_t limit);

#endif
