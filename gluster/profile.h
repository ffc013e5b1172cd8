/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a volume's bricks are asked for, and how long they take: glusterfs counts while a profile of
 * the volume is started, and costs each request a little meanwhile.
 */
#ifndef GLUSTER_PROFILE_H
#define GLUSTER_PROFILE_H

#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/json-writer.h"
#include "agent/verb.h"
#include "agent/base/xml.h"

/* Requests of one kind. */
struct profile_operation {
    char *name; /* as glusterfs calls it: "WRITE", "LOOKUP"; owned */
    uint64_t hits;
    uint64_t average_ns, minimum_ns, maximum_ns; /* 0: glusterfs did not measure it (RELEASE) */
};

/* Reads and writes of at least 'size' bytes, and less than twice that. */
struct profile_block {
    uint64_t size, reads, writes;
};

/* Of one brick, over some time. */
struct profile_figures {
    bool known; /* it was asked for */
    uint64_t seconds, bytes_read, bytes_written;
    struct profile_operation *operations; /* what took longest altogether first; owned */
    size_t operation_count;
    struct profile_block *blocks; /* those that were seen; owned */
    size_t block_count;
};

struct profile_brick {
    char *name;                        /* "HOST:/PATH"; owned */
    struct profile_figures cumulative; /* since the profile, or the brick, was started */
    struct profile_figures interval;   /* since they were last asked for */
};

/* Bricks that do not run are not among them. */
struct profile {
    struct profile_brick *bricks; /* owned */
    size_t brick_count;
};

/* What an answer to "volume profile NAME info" says.  Any thread. */
bool profile_read(const struct xml_document *document, struct profile *ret_profile,
                  struct error **err) _must_check_;
void profile_done(struct profile *profile);
#define _cleanup_profile_ _cleanup_(profile_done)

/* The array of its bricks. */
void profile_write(const struct profile *profile, struct writer *writer);
extern const struct shape profile_shape;

#endif
