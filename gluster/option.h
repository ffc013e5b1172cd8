/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options as glusterd knows them: what there is, what each means, and which value is in force.
 *
 * Three answers make the list: "volume set help-xml" (meanings and defaults), "volume get V all" (values in
 * force; more names than have a meaning), and "volume info" (what was set, and options of users' own, which
 * the other two leave out).
 */
#ifndef GLUSTER_OPTION_H
#define GLUSTER_OPTION_H

#include "agent/base/error.h"
#include "agent/verb.h"
#include "gluster/question.h"
#include "agent/base/xml.h"

struct volume;

struct gluster_option {
    char *name;          /* owned, as all */
    char *value;         /* in force; NULL: none, or no volume was asked about */
    char *default_value; /* NULL: none */
    char *description;   /* NULL: glusterd has none */
    bool set;            /* given to the volume by somebody, or by glusterd when it was made */
};

struct gluster_options {
    struct gluster_option *all; /* owned; by name */
    size_t count;
};

/* What stands for the pool in a volume's place: glusterd's own word. */
#define OPTIONS_OF_POOL "all"

/*
 * All options of a volume or of the pool, by name; of NULL: those that volumes can have, with no values.
 * NotFound when there is no such volume.  Worker.
 */
bool options_ask(const char *volume, const atomic_bool *abort, struct gluster_options *ret_options,
                 struct error **err) _must_check_;

/* What the answers say; 'values' and 'volume' may be NULL.  Any thread. */
bool options_read(const struct xml_document *help, const struct xml_document *values,
                  const struct volume *volume, struct gluster_options *ret_options,
                  struct error **err) _must_check_;
void options_done(struct gluster_options *options);
#define _cleanup_options_ _cleanup_(options_done)

/* By its name; NULL when there is none. */
const struct gluster_option *options_find(const struct gluster_options *options, const char *name);

/* {"volume": "all", "options": {name: value}} with those of the pool that are set. */
void options_write_set(const struct gluster_options *options, struct writer *writer);

/* Item: an option.  Subject: as of options_ask(). */
extern const struct gluster_question option_question;
extern const struct shape option_shape;

#endif
