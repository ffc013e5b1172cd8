/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kind of endpoint implements; for endpoint*.c only.
 */
#ifndef STORAGE_ENDPOINT_KIND_H
#define STORAGE_ENDPOINT_KIND_H

#include <poll.h>

#include "agent/base/text.h"
#include "storage/endpoint.h"

struct endpoint_kind {
    bool (*extent)(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_zero,
                   uint64_t *ret_end, struct error **err);
    /* NULL: it does not know. */
    bool (*changed)(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_changed,
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
    /* By what it went; NULL: by 'method'. */
    void (*tell_method)(const struct endpoint *endpoint, struct text *text);
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
    char *name;         /* for messages; owned */
    const char *method; /* static text, or NULL */
};

bool endpoint_open_file(int dirfd, const char *name, enum endpoint_mode mode,
                        struct endpoint **ret_endpoint, struct error **err) _must_check_;
bool endpoint_open_nbd(struct folder *folder, const char *name, enum endpoint_mode mode,
                       bool allow_base, const atomic_bool *abort, struct endpoint **ret_endpoint,
                       struct error **err) _must_check_;
/* In a folder of a Gluster volume. */
bool endpoint_open_gluster(struct folder *folder, const char *name, enum endpoint_mode mode,
                           struct endpoint **ret_endpoint, struct error **err) _must_check_;
bool endpoint_create_gluster(struct folder *folder, const char *name, enum image_format format,
                             uint64_t size, enum endpoint_room room, const char *base_name,
                             enum image_format base_format, const atomic_bool *abort,
                             struct error **err) _must_check_;
/* How QEMU is to be told of the qcow2 'name' in such a folder; to be freed.  Without 'allow_base', Conflict
   when its header names another file that holds its data. */
bool endpoint_name_on_volume(struct folder *folder, const char *name, bool allow_base,
                             char **ret_file, struct error **err) _must_check_;
int endpoint_file_fd(const struct endpoint *file);
/* Before any request: those of 'file' are got on with by the owner, who is closed after it. */
void endpoint_file_share_ring(struct endpoint *file, struct endpoint *owner);
/* False: this one cannot be read like this, for whatever reason. */
bool endpoint_open_map(int dirfd, const char *name, enum endpoint_mode mode, bool allow_base,
                       const atomic_bool *abort, struct endpoint **ret_endpoint) _must_check_;
/* What 'argv' serves, to be read only: it is killed when the endpoint is closed.  'program' is static text;
   'name' is for messages; ownership of 'bridge' is taken, also when it fails. */
struct nbd_bridge;
bool endpoint_open_server(const char *const argv[], const char *program, const char *name,
                          struct nbd_bridge *bridge_take, const atomic_bool *abort,
                          struct endpoint **ret_endpoint, struct error **err) _must_check_;
/* Ends what an endpoint's server reads from (storage/endpoint-url.c); NULL is fine.  '*ret_errors' (may be
   NULL) gets its last words. */
void nbd_bridge_close(struct nbd_bridge *bridge, struct text *ret_errors);

/* What endpoint_make_qcow2() has qemu-img create, over a file that is there. */
struct qcow2_making {
    const char *file; /* as a program is to be told of it, see folder_program_name() */
    int dirfd;
    uint64_t size;
    enum endpoint_room room;
    const char *base_name; /* or NULL */
    enum image_format base_format;
    bool base_unseen; /* the base is not to be looked at: it is not reached from 'file' */
};
bool endpoint_make_qcow2(const struct qcow2_making *making, const atomic_bool *abort,
                         struct error **err) _must_check_;
/* endpoint_inspect() of the qcow2 'file', which messages call 'shown'. */
bool endpoint_inspect_qcow2(const char *file, const char *shown, uint64_t size_max,
                            uint64_t *ret_size, struct error **err) _must_check_;
/* For messages: "cannot %s". */
const char *endpoint_act_name(enum endpoint_act act);
/* Whether QEMU's words say that another program holds the file's lock. */
bool endpoint_text_tells_lock(const char *text);

#endif
