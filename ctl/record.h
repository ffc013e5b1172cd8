/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records behind a flag: --disks repository=fast,image=web1,tuning.read-iops=100
 *
 * Members are named as flags are or as on the wire; those of a record within stand behind a dot; a
 * switch may stand alone; a list's member may come several times.  A comma within a value is
 * written twice, as QEMU has it.  JSON is taken too: an object, or for a list an array.
 */
#ifndef CTL_RECORD_H
#define CTL_RECORD_H

#include <jansson.h>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "ctl/verbs.h"

/* Adds what one word says to '*record', which may be NULL (absent) before: FLAG_RECORD or
   FLAG_RECORDS.  Error: InvalidParams, naming the flag and what would be right. */
bool record_add(const struct flag *flag, const char *text, json_t **record, struct error **err)
    _must_check_;

/* Each member that can be written so, those of records within too: 'name' is "tuning.read-iops". */
void record_members(const struct flag *flag,
                    void (*tell)(void *context, const char *name, const struct flag *member),
                    void *context);

#endif
