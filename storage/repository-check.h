/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a crash or a lost source left behind, and what would mend it.
 *
 * A check reads without locks; a fix looks again, under the lock, and does only what is still
 * right.  Nothing is mended behind the operator's back.  Idea: oVirt's Image Manipulator (checkRepo
 * and fixRepo with an opaque FixInfo).  Worker threads.
 */
#ifndef STORAGE_REPOSITORY_CHECK_H
#define STORAGE_REPOSITORY_CHECK_H

#include "agent/base/error.h"
#include "agent/base/json-writer.h"
#include "storage/image.h"

/* Writes an array of {problem, image, kind, text, fix}; 'fix' is for repository_fix_parse().
   '*ret_more': there are more than go into one answer. */
bool repository_check(struct repository *repository, struct writer *writer, bool *ret_more,
                      struct error **err) _must_check_;

enum fix_action {
    FIX_FREE,         /* a hidden directory that nobody works on */
    FIX_UNLINK_STRAY, /* what is no directory, among the images */
    FIX_UNLINK_COPY,  /* the copy.json of a complete image */
    FIX_UNLINK_TEMPORARY,
    FIX_UNLINK_DATA, /* data files that the image's record does not name */
    FIX_RELEASE,     /* an image that machines used which are gone from this host */
    FIX_OPTIMIZE,    /* an image over too long a chain */
    FIX_MERGE,       /* an image that a base was being folded into */
    FIX_RESUME,      /* a broken image whose copy can go on */
    FIX_REMOVE       /* a broken image with nothing to go on with */
};

struct fix {
    enum fix_action action;
    char *name; /* owned: the hidden directory, the stray file, or the image */
};

void fix_done(struct fix *fix);
/* InvalidParams (param "fix") for anything that repository_check() did not write. */
bool repository_fix_parse(const char *json, struct fix *ret_fix, struct error **err) _must_check_;
/* The verb that is to do it; NULL: repository_fix_apply() does. */
const char *repository_fix_verb(const struct fix *fix);
/* Does it, unless the problem is gone (Conflict, ImageNotFound) or somebody works on it (ImageInUse).
   FIX_REMOVE leaves in '*ret_removed' what is gone by then: tell of it, then image_discard() it.
   What repository_fix_verb() names a verb for is only looked at: it runs as a task of its own. */
bool repository_fix_apply(struct repository *repository, const struct fix *fix, const char *holder,
                          struct image **ret_removed, struct error **err) _must_check_;

#endif
