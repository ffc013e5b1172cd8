/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An error as it stands on the wire: {"code", "message", "data": {"name", …}}.
 */
#ifndef AGENT_ERROR_JSON_H
#define AGENT_ERROR_JSON_H

#include "agent/base/error.h"
#include "agent/base/json-writer.h"

void error_write(struct writer *writer, const struct error *error);

#endif
