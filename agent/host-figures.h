/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.capabilities and host.stats: what this host is, and what it does.
 *
 * Both are read from the kernel on a worker; backends add members of their own (agent/facts.h).  What
 * this host is, is read at each call, for it changes (CPUs and disks come and go, packages are
 * upgraded); what it does is sampled (agent/sampling.h).
 */
#ifndef AGENT_HOST_FIGURES_H
#define AGENT_HOST_FIGURES_H

#include "agent/verb.h"

struct agent;
struct host_figures;

/* The context of the table below. */
struct host_figures *host_figures_new(void);
void host_figures_open(struct host_figures *figures, struct agent *agent);

extern const struct verb host_figure_verbs[];

#endif
