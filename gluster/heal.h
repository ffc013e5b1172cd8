/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Healing: what the bricks of a replicated or dispersed volume have yet to be given by the others.
 *
 * There are two ways to know, and each has its price (measured with glusterd 10.3):
 * - glfsheal, behind "heal info" and "heal info summary", mounts the volume and looks at every entry of
 *   each brick's list: 0.1 s, and 0.8 ms an entry.  Exact: what is just being written is no entry.
 * - the self-heal daemon, behind "heal statistics heal-count", counts the list: 0.1 s however long it
 *   is.  Replicas only, in words without XML, and glusterd locks the volume for it.
 */
#ifndef GLUSTER_HEAL_H
#define GLUSTER_HEAL_H

#include "agent/base/error.h"
#include "agent/verb.h"
#include "gluster/question.h"
#include "gluster/volume.h"
#include "agent/base/xml.h"

struct heal_file {
    char *path; /* within the volume; NULL: the brick knows it by its gfid only; owned */
    char *gfid; /* owned */
};

struct heal_brick {
    char *name;     /* "HOST:/PATH"; owned */
    bool connected; /* false: nothing below is known */
    uint64_t entries;
    bool split_known; /* the three below are known: together they are 'entries' */
    uint64_t pending, split_brain, healing;
    struct heal_file *files; /* the first of them; owned */
    size_t file_count;
};

struct heal_info {
    struct heal_brick *bricks; /* owned */
    size_t count;
};

/* Whether there is something to heal from: copies, or redundancy.  WrongState for a volume that is not
   started, InvalidParams for one that is neither replicated nor dispersed. */
bool heal_check(const struct volume *volume, struct error **err) _must_check_;

/* Counts each brick's entries, exactly.  'volume' has passed heal_check().  Worker; its time is told above. */
bool heal_info_ask(const struct volume *volume, const atomic_bool *abort,
                   struct heal_info *ret_info, struct error **err) _must_check_;
/*
 * Counts them fast where that can be had (replicas), else as heal_info_ask().  Errors as there, and WrongState
 * where the self-heal daemon is switched off or not running.  For polls.
 */
bool heal_info_ask_fast(const struct volume *volume, const atomic_bool *abort,
                        struct heal_info *ret_info, struct error **err) _must_check_;
/*
 * How much there is to heal: of each set of copies the most that a brick lists, for each brick lists what
 * the others lack.  '*ret_complete' is whether every brick has told.
 */
uint64_t heal_info_total(const struct heal_info *info, const struct volume *volume,
                         bool *ret_complete);

/* What "info summary" and "info" say.  Any thread.  Of each brick at most 'limit' files, and no more
   than 'size' bytes of names in all. */
bool heal_info_read(const struct xml_document *document, size_t limit, size_t size,
                    struct heal_info *ret_info, struct error **err) _must_check_;
/* What "statistics heal-count" says. */
bool heal_info_read_counts(const char *words, struct heal_info *ret_info, struct error **err)
    _must_check_;
void heal_info_done(struct heal_info *info);
#define _cleanup_heal_info_ _cleanup_(heal_info_done)

/* The object of volume.healInfo. */
extern const struct shape heal_brick_shape;
/* Item: a brick.  The subject is made by heal_subject(): which volume, how many files of a brick to
   list, and whether only those in split-brain. */
extern const struct gluster_question heal_question;
char *heal_subject(const char *volume, size_t limit, bool split_brain);

#endif
