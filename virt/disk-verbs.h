/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments of verbs that the agent calls itself, to go on with what it finds (virt/job-adopt.h).
 */
#ifndef VIRT_DISK_VERBS_H
#define VIRT_DISK_VERBS_H

#include "virt/vm-steps.h"

struct merge_args {
    struct vm_args vm;
    char *disk, *base;
    uint64_t bytes_per_second;
};

struct move_args {
    struct vm_args vm;
    char *disk, *repository, *image;
    const char *format;
    uint64_t bytes_per_second;
    bool keep_source;
};

#endif
