/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kind of endpoint implements; for endpoint*.c only.
 */
#ifndef STORAGE_ENDPOINT_KIND_H
#define STORAGE_ENDPOINT_KIND_H

#include <poll.h>

#include "storage/endpoint.h"

struct endpoint_kind {
    bool (*extent)(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_zero,
                   uint64_t *ret_end, struct error **err);
    bool (*read)(struct endpoint *endpoint, uint64_t offset, void *ret_bytes, size_t size,
                 struct error **err);
    bool (*write)(struct endpoint *endpoint, uint64_t offset, const void *bytes, size_t size,
                  struct error **err);
    bool (*zero)(struct endpoint *endpoint, uint64_t offset, uint64_t size, struct error **err);
    bool (*flush)(struct endpoint *endpoint, struct error **err);
    /* 'source' is of the same kind.  False: it cannot, for whatever reason; nothing is told.  NULL: never. */
    bool (*clone)(struct endpoint *target, const struct endpoint *source, uint64_t offset,
                  uint64_t size);
    void (*close)(struct endpoint *endpoint); /* frees it */
    /* All NULL where nothing can be under way: endpoint_begin() then does it at once. */
    void (*begin)(struct endpoint *endpoint, struct endpoint_request *request);
    /* Sends what was begun; what poll() is to wait for ('fd' -1: nothing is under way). */
    void (*poll)(struct endpoint *endpoint, struct pollfd *ret_poll);
    void (*advance)(struct endpoint *endpoint, short events);
    void (*cancel)(struct endpoint *endpoint);
};

/* Each kind's struct begins with this. */
struct endpoint {
    const struct endpoint_kind *kind;
    uint64_t size;
    char *name; /* for messages; owned */
};

bool endpoint_open_file(int dirfd, const char *name, enum endpoint_mode mode,
                        struct endpoint **ret_endpoint, struct error **err) _must_check_;
bool endpoint_open_nbd(int dirfd, const char *name, enum endpoint_mode mode, bool allow_base,
                       const atomic_bool *abort, struct endpoint **ret_endpoint, struct error **err)
    _must_check_;
int endpoint_file_fd(const struct endpoint *file);
/* False: this one cannot be read like this, for whatever reason. */
bool endpoint_open_map(int dirfd, const char *name, const atomic_bool *abort,
                       struct endpoint **ret_endpoint) _must_check_;
/* What 'argv' serves, to be read only: it is killed when the endpoint is closed.  'program' is static text;
   'name' is for messages; ownership of 'bridge' is taken, also when it fails. */
struct nbd_bridge;
bool endpoint_open_server(const char *const argv[], const char *program, const char *name,
                          struct nbd_bridge *bridge_take, const atomic_bool *abort,
                          struct endpoint **ret_endpoint, struct error **err) _must_check_;
/* Ends what an endpoint's server reads from (storage/endpoint-url.c); NULL is fine.  '*ret_errors' (may be
   NULL) gets its last words. */
void nbd_bridge_close(struct nbd_bridge *bridge, struct text *ret_errors);
/* endpoint_inspect() of the qcow2 'file', which messages call 'shown'. */
bool endpoint_inspect_qcow2(const char *file, const char *shown, uint64_t size_max,
                            uint64_t *ret_size, struct error **err) _must_check_;
/* For messages: "cannot %s". */
const char *endpoint_act_name(enum endpoint_act act);
/* Whether QEMU's words say that another program holds the file's lock. */
bool endpoint_text_tells_lock(const char *text);

#endif
