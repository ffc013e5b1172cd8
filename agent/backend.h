/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent leans on (qemu, libvirt, gluster, etcd): whether it is there, and since when not.
 *
 * Each change is a 'host.backend' event; host.info lists them all.  Loop only.
 */
#ifndef AGENT_BACKEND_H
#define AGENT_BACKEND_H

#include <stdbool.h>

#include "agent/base/json-writer.h"

struct agent;
struct backends;

struct backends *backends_new(struct agent *agent);
void backends_free(struct backends *backends);
/* 'name' is static text; 'reason' says why it is not available, NULL when it is. */
void backend_set(struct agent *agent, const char *name, bool available, const char *version,
                 const char *reason);
/* Its version has become known; its state stays. */
void backend_set_version(struct agent *agent, const char *name, const char *version);
/* An array of {backend, state: "available"|"unavailable", version, reason, since}. */
void backends_write(const struct agent *agent, struct writer *writer);

#endif
