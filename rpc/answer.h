/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses as text, appended to what is to be sent.
 */
#ifndef RPC_ANSWER_H
#define RPC_ANSWER_H

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "rpc/scan.h"

/* 'id' is the request's own bytes, so that 1.10 stays 1.10; absent: null.  'result' is one JSON
   value. */
void answer_result(struct text *text, struct slice id, const char *result, size_t result_size);
void answer_error(struct text *text, struct slice id, const struct error *error);

#endif
