/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands behind a flag, as JSON for the wire.
 */
#ifndef CTL_VALUES_H
#define CTL_VALUES_H

#include <jansson.h>

#include "agent/base/error.h"
#include "ctl/verbs.h"

/*
 * '*ret_value' is the caller's.  FLAG_TEXTS gives the string alone; FLAG_PATH the text as it stands.
 * Error: InvalidParams, naming the flag and what would be right.
 */
bool value_parse(const struct flag *flag, const char *text, json_t **ret_value, struct error **err)
    _must_check_;
/* "10G", "1.5TiB", "4096" → bytes.  Error text without the flag's name. */
bool value_size(const char *text, int64_t *ret_size, struct error **err) _must_check_;
/* Whether 'text' is one of the flag's choices. */
bool value_is_choice(const struct flag *flag, const char *text);
/* A path as the agent on this machine has to be told it; owned by the caller. */
char *value_absolute_path(const char *path);

#endif
