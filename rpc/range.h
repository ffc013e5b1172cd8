/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers Range and Content-Range.
 */
#ifndef RPC_RANGE_H
#define RPC_RANGE_H

#include "agent/resource.h"

enum range_kind { RANGE_GOOD, RANGE_WRONG, RANGE_SEVERAL };

/* "bytes=FIRST-LAST", "bytes=FIRST-", "bytes=-COUNT"; several at once are told, and not served. */
enum range_kind range_parse(const char *header, struct resource_range *ret_range);
/* "bytes FIRST-LAST/SIZE", SIZE a number or "*". */
bool content_range_parse(const char *header, struct resource_range *ret_range);

#endif
