/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What image.copy, image.import and image.resume share: a copy into an image that is made durable
 * as it goes, and can be continued by anybody.  The state struct of these verbs.
 */
#ifndef STORAGE_TRANSFER_H
#define STORAGE_TRANSFER_H

#include <stdatomic.h>

#include "storage/image-steps.h"

struct text;

struct transfer {
    struct call *call; /* on whose behalf; set by whoever begins */
    struct repository *source_repository, *target_repository; /* references, or NULL */
    struct image *source;      /* locked shared; NULL: a path or a URL */
    struct image *base;        /* locked shared; NULL: none */
    struct image *target;      /* locked exclusively; hidden until it is published */
    struct copy_record record; /* copy.json as it was written last */
    uint64_t shared;           /* bytes that need no blocks of their own (reflinks) */
    bool resumed;
    /* What it reads from instead of the record's source, which tells the same to others: an export of a
       QEMU; owned, or NULL.  With a bitmap, only what that holds. */
    char *export_socket, *export_name, *export_bitmap;
    uint64_t done_before, total_of_all; /* bytes of all transfers of the call; 0: there is one */
    const atomic_bool *canceled;        /* ends it as an abort of the call does; or NULL */
    /* Each time there is progress, on its thread; or NULL. */
    void (*told)(struct call *call, uint64_t done, uint64_t total);
};

/* The same for whoever has several in one call: each has its 'call' set first.  Worker, all that follow. */
/* Makes the target, and its data file; image_publish() then shows it. */
bool transfer_prepare_target(struct transfer *transfer, const char *id, struct image_record *record,
                             struct error **err) _must_check_;
/* As transfer_sign(). */
void transfer_sign_of(struct transfer *transfer);
/* Copies; '*ret_how' gets by what. */
bool transfer_run(struct transfer *transfer, struct text *ret_how, struct error **err) _must_check_;
/* The moment at which it has happened. */
bool transfer_complete(struct transfer *transfer, struct error **err) _must_check_;
/* Lets all go that it holds.  One that holds nothing: any thread. */
void transfer_release(struct transfer *transfer);

/* For .state_done; a worker's. */
void transfer_done(struct call *call);

/* Makes the target's record, copy record and data file, and shows it.  transfer->record has the
   source in it.  Worker. */
bool transfer_make_target(struct call *call, const char *id, struct image_record *record,
                          struct error **err) _must_check_;
/* Fills record->host, task, updated. */
void transfer_sign(struct call *call);
/* Of the source, an image or else a file, a block device or a URL: what must be unchanged for a copy of it
   to be one copy.  To be freed.  Errors: Conflict (it is not there), those of url_identify(). */
bool transfer_identify_source(const struct transfer *transfer, const atomic_bool *abort,
                              char **ret_identity, struct error **err) _must_check_;

/* The steps behind the answer. */
enum outcome transfer_copy(struct call *call);   /* POOL_COPY */
bool transfer_verifies(const struct call *call); /* only_if of the next */
enum outcome transfer_verify(struct call *call); /* POOL_COPY */
enum outcome transfer_finish(
    struct call *call); /* POOL_REPOSITORY: the moment at which it has happened */
enum outcome transfer_tell_failure(struct call *call); /* POOL_REPOSITORY, ON_FAILURE */

#define TRANSFER_STEPS                                                                             \
    { "copy", transfer_copy, .pool = POOL_COPY },                                                  \
        { "verify", transfer_verify, .pool = POOL_COPY, .only_if = transfer_verifies },            \
        { "complete", transfer_finish, .pool = POOL_REPOSITORY },                                  \
    {                                                                                              \
        "leave it truthful", transfer_tell_failure, .pool = POOL_REPOSITORY, .when = ON_FAILURE    \
    }

/* What a copy on behalf of a call has: progress, aborts, rate.  The rest is the caller's. */
struct copy;
void transfer_prepare(struct call *call, struct copy *ret_copy);
/* Adds to a NoSpace what is needed and what is there; returns false. */
bool transfer_explain_space(struct folder *folder, uint64_t needed, struct error **err);

#endif
