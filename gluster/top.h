/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files of a volume are used most, as its bricks have counted since they were started; and how
 * fast a brick reads and writes when nobody is between.
 */
#ifndef GLUSTER_TOP_H
#define GLUSTER_TOP_H

#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/json-writer.h"
#include "agent/verb.h"
#include "agent/base/xml.h"

struct top_file {
    char *path;     /* within the volume: "/disks/a"; owned */
    uint64_t count; /* calls; of a perf list, its fastest call's bytes a microsecond */
    int64_t at_ns;  /* of a perf list: when that was, by the wall clock */
};

struct top_brick {
    char *name; /* "HOST:/PATH"; owned */
    bool counts_open;
    uint64_t open, most_open;
    int64_t most_open_ns; /* when; wall clock, 0: never */
    uint64_t took_us;     /* of a measurement; 0: none was made */
    struct top_file *files;
    size_t file_count;
};

/* Bricks that do not run are not among them. */
struct top {
    struct top_brick *bricks; /* owned */
    size_t brick_count;
};

/* What an answer to "volume top" says.  Any thread. */
bool top_read(const struct xml_document *document, struct top *ret_top, struct error **err)
    _must_check_;
void top_done(struct top *top);
#define _cleanup_top_ _cleanup_(top_done)

/* The array of its bricks.  'perf': of a perf list; 'measured_size': bytes that each brick has read or
   written, where it was to be measured. */
void top_write(const struct top *top, bool perf, uint64_t measured_size, struct writer *writer);
extern const struct shape top_shape;

#endif
