/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints: what a copy reads from or writes to, whatever holds the bits.
 *
 * Raw files and block devices are read and written directly; qcow2 goes through qemu-nbd and
 * libnbd (it is QEMU's format, not ours).  Everything is what the image shows: flat, base included.
 * One thread at a time.
 */
#ifndef STORAGE_ENDPOINT_H
#define STORAGE_ENDPOINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "storage/folder.h"
#include "storage/format.h"

struct endpoint;
struct text;

enum endpoint_mode {
    ENDPOINT_READ,
    ENDPOINT_WRITE,
    /* As ENDPOINT_WRITE, of what endpoint_create() made to be filled, and nobody else has written to. */
    ENDPOINT_FILL
};

/*
 * Opens file 'name' in 'folder' (or the absolute path 'name' without a folder).  A symbolic
 * link is not followed.  Without 'allow_base' a qcow2 stands alone: whatever backing file its header
 * names is not opened.  'abort' (may be NULL) ends a wait for qemu-nbd, here and later; it outlives
 * the endpoint.
 * Errors: BackendUnavailable (no qemu-nbd, no libnbd), ImageInUse (another program has it open for
 * some seconds), BackendFailed (damaged, not readable), TaskAborted, Timeout.
 */
bool endpoint_open(struct folder *folder, const char *name, enum image_format format,
                   enum endpoint_mode mode, bool allow_base, const atomic_bool *abort,
                   struct endpoint **ret_endpoint, struct error **err) _must_check_;
/* Where sockets are made, for a moment; at the start only.  The agent's own, so that what a kill in that
   moment leaves there is found by the next one. */
void endpoint_use_folder(const char *path);
/* Ends its qemu-nbd, if any, and waits for it.  Writes are durable only after endpoint_flush(). */
void endpoint_close(struct endpoint *endpoint);
DEFINE_CLEANUP(struct endpoint, endpoint_close)

/* Appends by what it was read or written: "O_DIRECT", "qemu-nbd"; for the task's report. */
void endpoint_tell_method(const struct endpoint *endpoint, struct text *text);
uint64_t endpoint_size(const struct endpoint *endpoint);
/* What lies behind 'size' is not there for whoever uses this endpoint. */
void endpoint_limit(struct endpoint *endpoint, uint64_t size);

/* The extent at 'offset': whether it reads as zeros without reading it, and where that ends
   (at most 'end').  Always moves forward. */
bool endpoint_extent(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_zero,
                     uint64_t *ret_end, struct error **err) _must_check_;
/* Whether it has changed since what its bitmap is of; the end as above.  Only of endpoint_open_export() with a
   bitmap. */
bool endpoint_changed(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_changed,
                      uint64_t *ret_end, struct error **err) _must_check_;
/* All of it or an error; reading past the end (a source that was truncated) is BackendFailed. */
bool endpoint_read(struct endpoint *endpoint, uint64_t offset, void *ret_bytes, size_t size,
                   struct error **err) _must_check_;
bool endpoint_write(struct endpoint *endpoint, uint64_t offset, const void *bytes, size_t size,
                    struct error **err) _must_check_;
/* Makes the range read as zeros, as a hole where that can be. */
bool endpoint_zero(struct endpoint *endpoint, uint64_t offset, uint64_t size, struct error **err)
    _must_check_;
bool endpoint_flush(struct endpoint *endpoint, struct error **err) _must_check_;

/*
 * The same, several at a time.  A request and its bytes are the caller's, and stay where they are until
 * it is done: by endpoint_begin() itself where the kind knows no better way, else by endpoint_wait().
 * They end in any order.  A flush makes durable what was done before it was begun.
 */
enum endpoint_act { ENDPOINT_DO_READ, ENDPOINT_DO_WRITE, ENDPOINT_DO_FLUSH };

struct endpoint_request {
    enum endpoint_act act;
    bool done;
    /* The bytes were in the page cache.  Set by a read; for a write, that no device is busy reading. */
    bool from_cache;
    uint64_t offset;
    size_t size; /* bytes; at most COPY_CHUNK_SIZE */
    char *bytes;
    struct error *error; /* when done: what was wrong, the caller's; or NULL */
    struct endpoint *endpoint;
};

void endpoint_begin(struct endpoint *endpoint, struct endpoint_request *request);
/* Gets on with what was begun on either, and returns when something may have been done, or after
   'timeout_ms'.  'other' may be NULL. */
void endpoint_wait(struct endpoint *endpoint, struct endpoint *other, int timeout_ms);
/* Gives up what is under way: no request or byte of the caller's is touched any more when it returns.
   After it, the endpoint can only be closed. */
void endpoint_cancel(struct endpoint *endpoint);

/* Makes the range of 'target' share the blocks of the same range of 'source' (a reflink), where both
   are raw files of one file system that can.  False: it was not done, and is to be copied. */
bool endpoint_clone(struct endpoint *target, const struct endpoint *source, uint64_t offset,
                    uint64_t size) _must_check_;

/* What is reserved of a new file. */
enum endpoint_room {
    ENDPOINT_THIN,
    ENDPOINT_TO_FILL, /* of a qcow2 its metadata, where that is soon done: for ENDPOINT_FILL */
    ENDPOINT_RESERVED /* all of it */
};

/* Makes the data file, for its owner's eyes only: raw by truncation (reserved: posix_fallocate),
   qcow2 by qemu-img create, over 'base' (a file name as the qcow2 header is to name it, with its
   format) when given.  Errors: InvalidParams (larger than files can be), NoSpace, BackendFailed. */
bool endpoint_create(struct folder *folder, const char *name, enum image_format format,
                     uint64_t size, enum endpoint_room room, const char *base_name,
                     enum image_format base_format, const atomic_bool *abort, struct error **err)
    _must_check_;

/* A thin qcow2 over 'base_name', which is not opened: a guest may have it. */
bool endpoint_create_layer(struct folder *folder, const char *name, uint64_t size,
                           const char *base_name, enum image_format base_format,
                           const atomic_bool *abort, struct error **err) _must_check_;

/* What the header of a qcow2 says that it stands on, be the file open elsewhere; to be freed; NULL: nothing. */
bool endpoint_base_name(struct folder *folder, const char *name, const atomic_bool *abort,
                        char **ret_base_name, struct error **err) _must_check_;

/* Makes the data show 'size' bytes, durably; what lies behind 'kept' before is lost, and reads as zeros
   afterwards.  InvalidParams (param "size") for more than files can be; else as endpoint_create(). */
bool endpoint_resize(struct folder *folder, const char *name, enum image_format format,
                     uint64_t kept, uint64_t size, const atomic_bool *abort, struct error **err)
    _must_check_;

/* Writes what a qcow2 holds into the file that its header names as the one it stands on, and which
   must be 'base_name'; the qcow2 stays as it is, and shows the same throughout.  Not durably.  Errors:
   Conflict (it stands on another file), ImageInUse (a program of QEMU has one of them open): nothing was
   written; NoSpace, BackendUnavailable, BackendFailed, TaskAborted. */
bool endpoint_commit(struct folder *folder, const char *name, const char *base_name,
                     const atomic_bool *abort, struct error **err) _must_check_;

/* What a foreign file is, asked of qemu-img info in a sandbox of limits (time, memory, CPU): its
   virtual size; refuses a backing or data file, an encrypted one, and a size over 'size_max'.
   For raw: the file's own size. */
bool endpoint_inspect(const char *path, enum image_format format, uint64_t size_max,
                      uint64_t *ret_size, struct error **err) _must_check_;
/*
 * The same of what 'url' leads to (storage/url.h has checked it), read through nbdkit, which tries again
 * where a server was away for some seconds.  A foreign qcow2 is inspected at each opening.
 * Errors beside: BackendUnavailable (no nbdkit), InvalidParams.
 */
bool endpoint_open_url(const char *url, enum image_format format, const atomic_bool *abort,
                       struct endpoint **ret_endpoint, struct error **err) _must_check_;
bool endpoint_inspect_url(const char *url, enum image_format format, uint64_t size_max,
                          const atomic_bool *abort, uint64_t *ret_size, struct error **err)
    _must_check_;
/*
 * Opens for reading an export of an NBD server that runs already, behind a unix socket: QEMU's, of a disk
 * of a virtual machine.  With 'bitmap' (or NULL) it also tells what this dirty bitmap holds.
 * Errors: BackendFailed, BackendUnavailable (no libnbd), TaskAborted, Timeout.
 */
bool endpoint_open_export(const char *socket_path, const char *export_name, const char *bitmap,
                          const atomic_bool *abort, struct endpoint **ret_endpoint,
                          struct error **err) _must_check_;
/* qemu-img check of a qcow2; damage is VerifyFailed with qemu-img's text, leaks are mended if asked.
   Errors beside: ImageInUse (another program writes to it), BackendUnavailable, TaskAborted. */
bool endpoint_check(struct folder *folder, const char *name, bool mend_leaks,
                    const atomic_bool *abort, struct error **err) _must_check_;

#endif
