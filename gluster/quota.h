/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of a volume's folders: of the space that is used below them, and of how many objects there are.
 */
#ifndef GLUSTER_QUOTA_H
#define GLUSTER_QUOTA_H

#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/json-writer.h"
#include "agent/verb.h"
#include "gluster/question.h"
#include "agent/base/xml.h"

/* Of one kind: bytes, or objects. */
struct quota_bound {
    bool known;    /* glusterd was asked for this kind, and has counted what is used */
    bool limited;  /* there is a limit: else all below but 'used' is 0 */
    uint64_t hard; /* what cannot be exceeded */
    uint64_t soft, soft_percent; /* from here on it is logged */
    uint64_t available;
    bool soft_exceeded, hard_exceeded;
};

struct quota_limit {
    char *path; /* of the folder, in the volume; owned */
    struct quota_bound size, objects;
    uint64_t used;           /* bytes; once size.known */
    uint64_t files, folders; /* once objects.known; the folder itself is one of them */
};

struct quota {
    struct quota_limit *limits; /* by path; owned */
    size_t limit_count;
};

/* Adds what an answer to "volume quota NAME list" says, or to "list-objects".  Any thread. */
bool quota_read(const struct xml_document *document, struct quota *quota, struct error **err)
    _must_check_;
/* Asks for all limits of a volume, or ('path' not NULL) for what is used in one folder, limited or not.
   Errors: NotFound {kind: volume or folder}, WrongState.  Worker. */
bool quota_ask(const char *volume, const char *path, struct quota *ret_quota, struct error **err)
    _must_check_;
void quota_done(struct quota *quota);
#define _cleanup_quota_ _cleanup_(quota_done)

/* The object of volume.quota. */
void quota_limit_write(const struct quota_limit *limit, struct writer *writer);
extern const struct shape quota_limit_shape;

/* Item: a limit; the subject is VOLUME, or VOLUME/PATH. */
extern const struct gluster_question quota_question;

/* An absolute path without "." and "..", "//" and a "/" at its end; "/" is the whole volume. */
bool quota_path_check(const char *param, const char *path, struct error **err) _must_check_;
/* Makes a name of ours of glusterd's words for a path or a limit that is not there. */
void quota_explain(const char *path, struct error **error);

#endif
