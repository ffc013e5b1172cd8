/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/peer-watch.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/base/thread.h"
#include "gluster/link.h"

#define PORT "24007"
#define CONNECT_MS 3000
/* A host that lost its power says nothing: it is found out in 15 seconds. */
#define KEEP_ALIVE_S 10

static bool
unreachable(const char *host, int errnum, struct error **err)
{
    error_set(err, ERROR_WRONG_STATE, "cannot connect to the glusterd of '%s': %s",
              host ? host : "this host", strerror(errnum));
    error_data_text(err, "state", "unreachable");
    return error_data_text(err, "needs", "a glusterd that answers there");
}

/* 0, or why not. */
static int
finish_connecting(int fd)
{
    struct pollfd waited = { .fd = fd, .events = POLLOUT };
    socklen_t size = sizeof(int);
    int errnum = 0, count;

    do
        count = poll(&waited, 1, CONNECT_MS);
    while (count < 0 && errno == EINTR);
    if (count == 0)
        return ETIMEDOUT;
    if (count < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &size) < 0)
        return errno;
    return errnum;
}

/* 0, or why not. */
static int
connect_to(int family, const struct sockaddr *address, socklen_t size, int *ret_fd)
{
    _cleanup_close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int errnum = 0;

    if (fd < 0)
        return errno;
    if (connect(fd, address, size) < 0)
        errnum = errno == EINPROGRESS ? finish_connecting(fd) : errno;
    if (errnum == 0)
        *ret_fd = TAKE_FD(fd);
    return errnum;
}

/* A failure here makes a silent host be found out when it is back: it knows no such connection. */
static void
keep_alive(int fd)
{
    const int on = 1, seconds = KEEP_ALIVE_S, interval = 1, count = 5;

    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static bool
open_here(int *ret_fd, struct error **err)
{
    const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = GLUSTERD_SOCKET };
    int errnum = connect_to(AF_UNIX, (const struct sockaddr *)(const void *)&address,
                            sizeof(address), ret_fd);

    return errnum == 0 || unreachable(NULL, errnum, err);
}

bool
peer_watch_open(const char *host, int *ret_fd, struct error **err)
{
    const struct addrinfo wanted = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *addresses = NULL;
    int errnum = EHOSTUNREACH;

    WORKER_ONLY();
    if (!host)
        return open_here(ret_fd, err);
    if (getaddrinfo(host, PORT, &wanted, &addresses) != 0)
        return unreachable(host, ENOENT, err);
    for (const struct addrinfo *each = addresses; each && errnum != 0; each = each->ai_next)
        errnum = connect_to(each->ai_family, each->ai_addr, each->ai_addrlen, ret_fd);
    freeaddrinfo(addresses);
    if (errnum != 0)
        return unreachable(host, errnum, err);
    keep_alive(*ret_fd);
    return true;
}

bool
peer_watch_ended(int fd)
{
    char said[512];
    ssize_t size;

    /* It has nothing to say to whoever asks nothing; what it says all the same would hide the end. */
    do
        size = recv(fd, said, sizeof(said), MSG_DONTWAIT);
    while (size > 0 || (size < 0 && errno == EINTR));
    return size == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}
