/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What endpoint-nbd.c (reading, writing, mapping) and endpoint-nbd-open.c (how it is come by) share.
 */
#ifndef STORAGE_ENDPOINT_NBD_H
#define STORAGE_ENDPOINT_NBD_H

#include <libnbd.h>

#include "agent/base/child.h"
#include "storage/endpoint-kind.h"

#define NBD_END_PATIENCE_MS 5000 /* what it wrote is flushed by then, or was not asked to last */

/* The extents of the last question, kept because one answer tells of many. */
struct nbd_map {
    bool known;    /* the server tells of it */
    uint64_t from; /* what 'runs' tell of begins here */
    size_t count, at;
    struct nbd_run {
        uint64_t end;
        bool set;
    } * runs; /* owned */
};

struct nbd_endpoint {
    struct endpoint endpoint;
    const char *program;         /* the server's; static text */
    struct child_server *server; /* owned, or NULL */
    bool lasting;                /* the server does not end when its connection does */
    struct nbd_bridge *bridge;   /* owned: what the server reads from; or NULL */
    struct nbd_handle *handle;   /* owned, or NULL */
    int file;                    /* owned: what QEMU opens by our descriptor; or -1 */
    const atomic_bool *abort;    /* borrowed, or NULL */
    /* A command was given up on, whose buffer may be gone: the handle must not be run any more. */
    bool abandoned;
    bool
        slow_to_end; /* on a Gluster volume, ten seconds: what was flushed is safe, so it is killed */
    unsigned under_way;     /* requests */
    int64_t answered_ns;    /* when one of them ended, or the first was begun; monotonic */
    struct nbd_map zeros;   /* what reads as zeros */
    struct nbd_map changes; /* what has changed; only with 'bitmap' */
    char *bitmap;           /* owned: the name of the context that tells of these; or NULL */
};

extern const struct endpoint_kind nbd_kind;

struct nbd_endpoint *nbd_of(struct endpoint *endpoint);
/* What libnbd's last failure was; returns false. */
bool nbd_fail(const struct endpoint *endpoint, const char *what, uint64_t offset,
              struct error **err);
/* Lets libnbd work for a moment.  'since_ns' is when the silence began. */
bool nbd_run(struct nbd_endpoint *nbd, int64_t since_ns, const char *what, uint64_t offset,
             struct error **err) _must_check_;
/* Back to where nothing was started.  '*ret_errors' (may be NULL) gets qemu-nbd's last words. */
void nbd_stop(struct nbd_endpoint *nbd, unsigned patience_ms, struct text *ret_errors);
/* Closes and frees it. */
void nbd_end(struct endpoint *endpoint);

#endif
