/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Geo-replication: sessions that bring what changes in a volume to a volume of another pool, by ssh.
 *
 * A session is known by its volume and its target.  Workers do it, one for each brick; of the bricks
 * that hold the same files one is active.
 */
#ifndef GLUSTER_GEOREP_H
#define GLUSTER_GEOREP_H

#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/json-writer.h"
#include "agent/verb.h"
#include "gluster/question.h"
#include "agent/base/xml.h"

struct georep_worker {
    char *brick;       /* "HOST:/PATH"; owned, as all */
    char *peer;        /* uuid of the brick's host */
    char *status;      /* "active", "passive", "faulty", "created", "initializing", ... */
    char *crawl;       /* how it looks for changes: "changelog crawl"; NULL: it does not */
    char *target_host; /* which host of the target's pool it talks to; NULL: none is told */
    bool counts;       /* the four below are known */
    uint64_t entries, data, metadata, failures; /* yet to be brought over, and what could not be */
    int64_t synced_ns; /* all that changed before is there; wall clock, 0: unknown */
    int64_t checkpoint_ns, checkpoint_done_ns; /* 0: none is set; it is not reached */
};

struct georep_session {
    char *volume, *target; /* as georep_target_plain() has it */
    struct georep_worker *workers;
    size_t worker_count;
};

struct georep_sessions {
    struct georep_session *all; /* owned */
    size_t count;
};

/* What an answer to "volume geo-replication status" says.  Any thread. */
bool georep_read(const struct xml_document *document, struct georep_sessions *ret_sessions,
                 struct error **err) _must_check_;
void georep_sessions_done(struct georep_sessions *sessions);
#define _cleanup_georep_sessions_ _cleanup_(georep_sessions_done)

/* The session's state in a word, from its workers': "faulty" if one is, "active" if one is, else what they
   are. */
const char *georep_state(const struct georep_session *session);

/* The object of georep.status. */
void georep_session_write(const struct georep_session *session, struct writer *writer);
extern const struct shape georep_session_shape;

/* Item: a session; the subject is VOLUME, "VOLUME TARGET", or NULL: all. */
extern const struct gluster_question georep_question;

/* [USER@]HOST::VOLUME, and nothing that gluster or ssh take for more. */
bool georep_target_check(const char *param, const char *target, struct error **err) _must_check_;
/* The same target always in the same words: without "root@".  Borrowed. */
const char *georep_target_plain(const char *target);

/* One command about a session: "volume geo-replication VOLUME TARGET WORDS...".  '*ret_document' is the
   caller's, or NULL: nobody needs it.  Errors as gluster_command_run(); NotFound and AlreadyExists of the
   session have kind "georep", and id "VOLUME TARGET".  Worker. */
bool georep_command(const char *volume, const char *target, const char *const *words,
                    const atomic_bool *abort, struct xml_document **ret_document,
                    struct error **err) _must_check_;

#endif
