/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptions as they come by a call, for the tests of what is made of them.
 */
#ifndef TESTS_UNIT_DESCRIPTION_FIXTURE_H
#define TESTS_UNIT_DESCRIPTION_FIXTURE_H

#include <string.h>

#include "rpc/args.h"
#include "virt/description.h"

struct described {
    struct vm_description all;
};

static const struct verb describing = {
    .name = "describe",
    .args_size = sizeof(struct described),
    .params = PARAMS(VM_DESCRIPTION_PARAMS(described, all)),
};

/* The parameters without their braces; false: refused by a table, or by what tables cannot tell. */
static inline bool
describe(const char *members, struct described **ret_described, struct error **err)
{
    _cleanup_free_ char *json = xprintf("{%s}", members);
    struct common_args common;
    void *args = NULL;

    *ret_described = NULL;
    if (!args_fill(&describing, (struct slice){ json, strlen(json) }, &args, &common, err))
        return false;
    *ret_described = args;
    return description_check(&(*ret_described)->all, err);
}

static inline void
described_free(struct described *described)
{
    verb_args_free(&describing, described);
}

static inline void
described_freep(struct described **described)
{
    described_free(*described);
}

#endif
