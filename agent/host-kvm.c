/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "agent/host-parts.h"
#include "agent/host-read.h"

/* What a QEMU would do first: a /dev/kvm that is there may yet refuse.  NULL: it did all of it. */
static const char *
why_not(const char *root)
{
    _cleanup_free_ char *path = xprintf("%s/dev/kvm", root);
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    _cleanup_close_ int machine = -1;

    if (fd < 0)
        return errno == ENOENT ? "there is no /dev/kvm" : strerror(errno);
    if (ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        return "/dev/kvm speaks another version, or is none";
    machine = ioctl(fd, KVM_CREATE_VM, 0);
    return machine < 0 ? strerror(errno) : NULL;
}

/* "Y", "1", "N", "0" */
static void
write_nested(const char *root, struct writer *writer)
{
    static const char *const modules[] = { "kvm_intel", "kvm_amd", "kvm" };

    writer_key(writer, "nested");
    for (size_t i = 0; i < ARRAY_COUNT(modules); i++) {
        _cleanup_free_ char *line =
            host_read_line(root, "/sys/module/%s/parameters/nested", modules[i]);

        if (!line)
            continue;
        writer_bool(writer, *line == 'Y' || *line == '1');
        return;
    }
    writer_null(writer);
}

void
host_kvm_write(const char *root, struct writer *writer)
{
    const char *reason = why_not(root);

    writer_object(writer);
    writer_member_bool(writer, "device", host_exists(root, "/dev/kvm"));
    writer_member_bool(writer, "createsVms", !reason);
    writer_member_string(writer, "reason", reason);
    write_nested(root, writer);
    writer_end_object(writer);
}
