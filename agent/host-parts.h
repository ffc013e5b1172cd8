/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host is, part by part: members of host.capabilities, each an object or a list.
 *
 * Read from /proc and /sys below 'root' ("" but in tests).  Whatever cannot be read is null: nothing is
 * made up.  Workers: a network driver asked for its speed may take its time.
 */
#ifndef AGENT_HOST_PARTS_H
#define AGENT_HOST_PARTS_H

#include "agent/base/json-writer.h"

/* Lists are cut there: an answer is less than 1 MiB. */
#define HOST_TOPOLOGY_MAX 4096
#define HOST_LINKS_MAX 1000

/* In host-cpu.c. */
void host_cpu_write(const char *root, struct writer *writer);
void host_numa_write(const char *root, struct writer *writer);
/* In host-machine.c. */
void host_machine_write(const char *root, struct writer *writer);
void host_system_write(const char *root, struct writer *writer); /* "os" */
void host_kernel_write(const char *root, struct writer *writer);
void host_security_write(const char *root, struct writer *writer);
void host_memory_capabilities_write(const char *root, struct writer *writer);
/* In host-devices.c. */
void host_interfaces_write(const char *root, struct writer *writer);
void host_disks_write(const char *root, struct writer *writer);
void host_iommu_write(const char *root, struct writer *writer);
/* In host-kvm.c: whether a VM can be made through /dev/kvm: tried, not guessed. */
void host_kvm_write(const char *root, struct writer *writer);
/* In host-packages.c: versions of what the agent leans on, from the package manager. */
struct host_packages {
    char *json; /* owned: an array; NULL: not asked, or no package manager that is understood */
    int64_t changed_ns; /* when its data base had changed last; 0: not known */
};
/* Asks again when the data base has changed since.  Worker: runs a program. */
void host_packages_look(struct host_packages *packages);
/* Lines "NAME<tab>VERSION<tab>installed"; others are left out. */
void host_packages_parse(const char *text, struct writer *writer);

#endif
