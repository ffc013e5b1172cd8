/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/sockets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool
is_known(const struct sockets *sockets, uint64_t inode)
{
    for (size_t i = 0; i < sockets->count; i++)
        if (sockets->inodes[i] == inode)
            return true;
    return false;
}

/* Its other end has a name: libvirtd's, or that of one of its modular daemons. */
static bool
leads_to_libvirt(int fd)
{
    struct sockaddr_un peer = { .sun_family = AF_UNSPEC };
    socklen_t size = sizeof(peer) - 1; /* a path need not end with a NUL */

    return getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.sun_family == AF_UNIX &&
           (strstr(peer.sun_path, "libvirt") || strstr(peer.sun_path, "virtqemud"));
}

static void
add(struct sockets *sockets, int fd, uint64_t inode)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0)
        return;
    sockets->fds[sockets->count] = copy;
    sockets->inodes[sockets->count++] = inode;
}

void
sockets_find(const struct sockets *known, struct sockets *ret_found)
{
    DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;

    *ret_found = (struct sockets){ .count = 0 };
    while (folder && ret_found->count < SOCKETS_MAX && (entry = readdir(folder))) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        struct stat status;

        if (entry->d_name[0] == '.' || fd == dirfd(folder) || fstat(fd, &status) < 0 ||
            !S_ISSOCK(status.st_mode) || is_known(known, status.st_ino) ||
            is_known(ret_found, status.st_ino) || !leads_to_libvirt(fd))
            continue;
        add(ret_found, fd, status.st_ino);
    }
    if (folder)
        (void)closedir(folder);
}

void
sockets_shut(const struct sockets *found)
{
    for (size_t i = 0; i < found->count; i++)
        (void)shutdown(found->fds[i], SHUT_RDWR); /* an error: it is shut already */
}

void
sockets_done(struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->count; i++)
        (void)close(sockets->fds[i]);
    *sockets = (struct sockets){ .count = 0 };
}
