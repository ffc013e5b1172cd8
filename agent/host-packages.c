/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <string.h>
#include <sys/stat.h>

#include "agent/base/child.h"
#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "agent/host-parts.h"
#include "agent/host-read.h"

/* Replaced with every package that comes or goes, so what was read last is true until it changes. */
#define DATA_BASE "/var/lib/dpkg/status"

/* Its status when there is no package of some name, which is told on standard error; beyond it has failed. */
#define NONE_OF_SOME 1

static const char *const query[] = { "dpkg-query",
                                     "-W",
                                     "-f",
                                     "${Package}\t${Version}\t${db:Status-Status}\n",
                                     "qemu-system-*",
                                     "qemu-utils",
                                     "qemu-block-extra",
                                     "libvirt-daemon",
                                     "libvirt0",
                                     "glusterfs-server",
                                     "glusterfs-client",
                                     "libnbd0",
                                     "ovmf",
                                     "seabios",
                                     "swtpm",
                                     "openssh-client",
                                     "nfs-common",
                                     "lvm2",
                                     NULL };

void
host_packages_parse(const char *text, struct writer *writer)
{
    writer_array(writer);
    for (const char *line = text; line && *line; line = text_next_line(line)) {
        size_t name = strcspn(line, "\t\n");
        const char *version = line + name + 1;
        size_t length;

        if (line[name] != '\t' || name == 0)
            continue;
        length = strcspn(version, "\t\n");
        if (strncmp(version + length, "\tinstalled\n", 11) != 0)
            continue;
        writer_object(writer);
        writer_key(writer, "name");
        writer_string_sized(writer, line, name);
        writer_key(writer, "version");
        writer_string_sized(writer, version, length);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

void
host_packages_look(struct host_packages *packages)
{
    static const struct child_limits limits = { .timeout_ms = 10000, .output_size = 65536 };
    _cleanup_(error_freep) struct error *ignored = NULL; /* not known, then */
    _cleanup_text_ struct text output = TEXT_INIT, errors = TEXT_INIT;
    struct writer writer = WRITER_INIT;
    struct stat status;
    int64_t changed_ns;
    int code;

    WORKER_ONLY();
    if (stat(DATA_BASE, &status) < 0)
        return;
    changed_ns = status.st_mtim.tv_sec * NS_PER_S + status.st_mtim.tv_nsec;
    if (packages->json && packages->changed_ns == changed_ns)
        return;
    if (!child_ask(query, -1, &limits, &output, &errors, &code, &ignored) || code > NONE_OF_SOME)
        return;
    host_packages_parse(output.bytes ? output.bytes : "", &writer);
    free(packages->json);
    packages->json = text_take(&writer.text);
    packages->changed_ns = changed_ns;
}
