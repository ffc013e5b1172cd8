/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers and strings packed into bytes: seven bits of a number in each byte, the lowest first, the
 * top bit set where more follow; a string is its length plus one, then its bytes; 0 is no string.
 * Only for what this process has packed itself: nothing is checked.  Idea: protocol buffers.
 */
#ifndef AGENT_VARINT_H
#define AGENT_VARINT_H

#include <stdint.h>

#include "agent/base/text.h"

void varint_put(struct text *text, uint64_t value);
void varint_put_string(struct text *text, const char *string, size_t length);
/* Each moves '*at' behind what it has read. */
uint64_t varint_get(const unsigned char **at);
/* Borrowed from what is read, with no NUL behind it; NULL: no string. */
const char *varint_get_string(const unsigned char **at, size_t *ret_length);

#endif
