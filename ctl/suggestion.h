/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was probably meant: the nearest of some words to one that is not among them.
 */
#ifndef CTL_SUGGESTION_H
#define CTL_SUGGESTION_H

#include <stddef.h>

struct suggestion {
    const char *word;    /* what was typed; borrowed */
    const char *nearest; /* the best candidate so far; borrowed, or NULL: none is near */
    unsigned distance;   /* of 'nearest' */
};

#define SUGGESTION_FOR(typed) ((struct suggestion){ .word = (typed) })

/* Offers one candidate; letters' case does not count, a candidate that 'word' begins is near. */
void suggestion_offer(struct suggestion *suggestion, const char *candidate);
/* Changes (insert, delete, replace, swap of neighbours) that make 'b' of 'a'. */
unsigned suggestion_distance(const char *a, const char *b);

#endif
