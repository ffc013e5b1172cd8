/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one check of names that become parts of paths, and identifiers.
 */
#ifndef AGENT_BASE_NAME_H
#define AGENT_BASE_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/error.h"

#define NAME_LENGTH_MAX 128
#define UUID_TEXT_SIZE 37 /* with the NUL */

/* [A-Za-z0-9][A-Za-z0-9._-]{0,127}: no slash, no leading dot, so neither "." nor ".." passes. */
bool name_valid(const char *name);
/* InvalidParams naming 'param', with what would be right. */
bool name_check(const char *param, const char *name, struct error **err) _must_check_;

/* A fresh random UUID, lower case (libuuid). */
void uuid_make(char ret_text[UUID_TEXT_SIZE]);
/* The UUID that this machine and 'name' always have: SHA-1 UUID over /etc/machine-id and name.
   Without a machine id, the host name stands in. */
void uuid_of_host(const char *name, char ret_text[UUID_TEXT_SIZE]);

/* Bytes of the character that 'bytes' begin with; 0: they begin with none, or 'size' is 0. */
size_t utf8_character_size(const char *bytes, size_t size);
/* Whether 'bytes' are UTF-8 (no surrogates, no overlong forms). */
bool utf8_valid(const char *bytes, size_t size);

#endif
