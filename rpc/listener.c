/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/config.h"
#include "agent/resource.h"
#include "rpc/rpc.h"
#include "rpc/transport.h"

#define ACCEPTS_AT_ONCE 64
#define PAUSE_MS 100 /* when the kernel is out of memory or files */

struct listener {
    struct rpc_transport *transport;
    enum endpoint endpoint;
    int fd;
    char *url;
    uv_poll_t poll;
    struct timer pause;
    struct listener *next;
};

union address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    struct sockaddr_un local;
};

/* ---- accepting ---- */

static void accept_some(uv_poll_t *poll, int status, int events);

static void
end_pause(struct timer *timer)
{
    struct listener *listener = CONTAINER_OF(timer, struct listener, pause);

    (void)uv_poll_start(&listener->poll, UV_READABLE, accept_some);
}

/* Without a descriptor the caller would wait in the kernel, and wake us without end: it is taken in
   on the reserved one and sent away. */
static void
turn_away(struct listener *listener)
{
    struct rpc_transport *transport = listener->transport;
    int fd;

    (void)close(transport->reserve_fd);
    fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        (void)close(fd);
    transport->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void
accept_failed(struct listener *listener, int errnum)
{
    static int64_t last_told_s = -60;
    int64_t now_s = (int64_t)(uv_now(listener->poll.loop) / 1000);

    if (errnum == EAGAIN || errnum == EINTR || errnum == ECONNABORTED)
        return;
    if (now_s - last_told_s >= 60) {
        last_told_s = now_s;
        log_warning("cannot accept a connection at '%s': %s, going on", listener->url,
                    strerror(errnum));
    }
    if (errnum == EMFILE && listener->transport->reserve_fd >= 0)
        turn_away(listener);
    (void)uv_poll_stop(&listener->poll);
    timer_arm(listener->transport->rpc->agent->loop, &listener->pause, PAUSE_MS);
}

static void
refuse_full(const struct listener *listener, int fd)
{
    static const char reply[] = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n"
                                "content-type: text/plain; charset=utf-8\r\ncontent-length: 27\r\n"
                                "\r\nthere are too many clients\n";

    if (listener->endpoint != ENDPOINT_TLS)
        (void)send(fd, reply, sizeof(reply) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(fd, SHUT_WR);
    (void)close(fd);
}

/* Answers are written when they are whole, so none waits for more; and a host that vanished while
   its POST waited for a long task is noticed after some two minutes. */
static void
set_up_tcp(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        { IPPROTO_TCP, TCP_NODELAY, 1 },   { SOL_SOCKET, SO_KEEPALIVE, 1 },
        { IPPROTO_TCP, TCP_KEEPIDLE, 60 }, { IPPROTO_TCP, TCP_KEEPINTVL, 15 },
        { IPPROTO_TCP, TCP_KEEPCNT, 4 },
    };

    for (size_t i = 0; i < ARRAY_COUNT(options); i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                         sizeof(options[i].value));
}

static void
accept_some(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    struct rpc_transport *transport = listener->transport;

    LOOP_ONLY();
    (void)status; /* accept() tells it again */
    (void)events;
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            accept_failed(listener, errno);
            return;
        }
        if (transport->session_count >= transport->session_max) {
            refuse_full(listener, fd);
            continue;
        }
        if (listener->endpoint != ENDPOINT_UNIX)
            set_up_tcp(fd);
        session_accept(transport, listener->endpoint, fd);
    }
}

/* ---- opening ---- */

/* Resources are fetched by HTTP where RPC goes by WebSocket: "ws://HOST:PORT/rpc", or "unix:PATH". */
static void
tell_resources(const struct listener *listener)
{
    struct agent *agent = listener->transport->rpc->agent;
    const char *rest = strchr(listener->url, ':');

    if (listener->endpoint == ENDPOINT_UNIX)
        resource_listen_unix(agent, xstrdup(rest + 1));
    else
        resource_listen(agent,
                        xprintf("%s%.*s", listener->endpoint == ENDPOINT_TLS ? "https" : "http",
                                (int)(strrchr(rest, '/') - rest), rest));
}

/* Takes ownership of 'fd' and 'url'. */
static bool
add(struct rpc_transport *transport, enum endpoint endpoint, int fd, char *url, struct error **err)
{
    struct listener *listener = xalloc(sizeof(*listener)), **place = &transport->listeners;
    int status = uv_poll_init(loop_uv(transport->rpc->agent->loop), &listener->poll, fd);

    listener->transport = transport;
    listener->endpoint = endpoint;
    listener->fd = fd;
    listener->url = url;
    listener->pause.fire = end_pause;
    listener->poll.data = listener;
    tell_resources(listener);
    while (*place)
        place = &(*place)->next;
    *place = listener; /* kept even if the next fails: the agent ends then */
    if (status == 0)
        status = uv_poll_start(&listener->poll, UV_READABLE, accept_some);
    if (status != 0)
        return error_errno(err, ERROR_INTERNAL, -status, "cannot wait for connections at '%s'",
                           url);
    return true;
}

/* What lies at 'path' may be taken away: nothing, or a socket that nobody serves any more. */
static bool
path_is_free(const char *path, const union address *address, struct error **err)
{
    _cleanup_close_ int fd = -1;
    struct stat status;

    if (lstat(path, &status) < 0)
        return errno == ENOENT ||
               error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot use the socket '%s'", path);
    if (!S_ISSOCK(status.st_mode))
        return error_set(err, ERROR_INVALID_PARAMS,
                         "'%s' is there and is no socket: remove it, or choose another --socket",
                         path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot make a socket");
    if (connect(fd, &address->any, sizeof(address->local)) == 0 || errno == EAGAIN)
        return error_set(err, ERROR_ALREADY_EXISTS,
                         "another program serves the socket '%s': choose another --socket", path);
    return true;
}

static void
set_path(union address *address, const char *path, const char *suffix)
{
    size_t length = strlen(path), suffix_length = strlen(suffix);

    /* The configuration allows 107 characters, so there is room for one more; the kernel needs no
       NUL behind them. */
    *address = (union address){ .local.sun_family = AF_UNIX };
    memcpy(address->local.sun_path, path, length);
    memcpy(address->local.sun_path + length, suffix, suffix_length);
}

/* Bound under another name and renamed when it listens: nobody finds a socket that refuses. */
static bool
open_unix(struct rpc_transport *transport, const char *path, struct error **err)
{
    _cleanup_free_ char *temporary = xprintf("%s~", path);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    union address address;

    set_path(&address, path, "");
    if (!path_is_free(path, &address, err))
        return false;
    set_path(&address, path, "~");
    /* Whoever can reach it may connect: the role is by credentials, who reaches it by directory. */
    if (fd < 0 || (unlink(temporary) < 0 && errno != ENOENT) ||
        bind(fd, &address.any, sizeof(address.local)) < 0 || chmod(temporary, 0666) < 0 ||
        listen(fd, SOMAXCONN) < 0 || rename(temporary, path) < 0)
        return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot listen at '%s'", path);
    return add(transport, ENDPOINT_UNIX, TAKE_FD(fd), xprintf("unix:%s", path), err);
}

/* ADDR:PORT or [ADDR]:PORT, which the configuration has checked. */
static socklen_t
parse(const char *text, union address *ret_address)
{
    const char *colon = strrchr(text, ':');
    _cleanup_free_ char *host = *text == '[' ? xstrndup(text + 1, (size_t)(colon - text) - 2)
                                             : xstrndup(text, (size_t)(colon - text));
    in_port_t port = htons((uint16_t)strtoul(colon + 1, NULL, 10));

    *ret_address = (union address){ 0 };
    if (inet_pton(AF_INET, host, &ret_address->four.sin_addr) == 1) {
        ret_address->four.sin_family = AF_INET;
        ret_address->four.sin_port = port;
        return sizeof(ret_address->four);
    }
    if (inet_pton(AF_INET6, host, &ret_address->six.sin6_addr) == 1) {
        ret_address->six.sin6_family = AF_INET6;
        ret_address->six.sin6_port = port;
        return sizeof(ret_address->six);
    }
    return 0;
}

/* Of the address that the socket has: port 0 was replaced. */
static char *
url_of(enum endpoint endpoint, const union address *address)
{
    const char *scheme = endpoint == ENDPOINT_TLS ? "wss" : "ws";
    char host[INET6_ADDRSTRLEN] = "";

    if (address->any.sa_family == AF_UNIX)
        return xprintf("unix:%.*s", (int)sizeof(address->local.sun_path), address->local.sun_path);
    if (address->any.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &address->six.sin6_addr, host, sizeof(host));
        return xprintf("%s://[%s]:%u/rpc", scheme, host, ntohs(address->six.sin6_port));
    }
    (void)inet_ntop(AF_INET, &address->four.sin_addr, host, sizeof(host));
    return xprintf("%s://%s:%u/rpc", scheme, host, ntohs(address->four.sin_port));
}

static bool
open_tcp(struct rpc_transport *transport, enum endpoint endpoint, const char *text,
         struct error **err)
{
    union address address;
    socklen_t size = parse(text, &address);
    _cleanup_close_ int fd =
        socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        (address.any.sa_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
        bind(fd, &address.any, size) < 0 || listen(fd, SOMAXCONN) < 0 ||
        (size = sizeof(address), getsockname(fd, &address.any, &size)) < 0)
        return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot listen at '%s'", text);
    return add(transport, endpoint, TAKE_FD(fd), url_of(endpoint, &address), err);
}

/* ---- sockets that systemd passed ---- */

static bool
is_loopback(const union address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohl(address->four.sin_addr.s_addr) >> 24 == 127;
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address->six.sin6_addr);
}

static bool
add_passed(struct rpc_transport *transport, int fd, struct error **err)
{
    union address address = { 0 };
    socklen_t size = sizeof(address), option_size = sizeof(int);
    int listening = 0, type = 0, flags = fcntl(fd, F_GETFL);

    if (flags < 0 || getsockname(fd, &address.any, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &option_size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &option_size) < 0 ||
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return error_errno(err, ERROR_INVALID_PARAMS, errno,
                           "cannot use descriptor %d that systemd passed", fd);
    if (!listening || type != SOCK_STREAM)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "descriptor %d that systemd passed does not listen: it must be a "
                         "ListenStream without Accept",
                         fd);
    if (address.any.sa_family == AF_UNIX)
        return add(transport, ENDPOINT_UNIX, fd, url_of(ENDPOINT_UNIX, &address), err);
    if (!is_loopback(&address))
        return error_set(err, ERROR_INVALID_PARAMS,
                         "descriptor %d that systemd passed is not of this machine alone: use "
                         "--tls-listen for other addresses",
                         fd);
    return add(transport, ENDPOINT_TCP, fd, url_of(ENDPOINT_TCP, &address), err);
}

static int
passed_count(void)
{
#ifdef HAVE_SYSTEMD
    int count = sd_listen_fds(false);

    return count > 0 ? count : 0;
#else
    return 0;
#endif
}

static int
passed_first(void)
{
#ifdef HAVE_SYSTEMD
    return SD_LISTEN_FDS_START;
#else
    return 0;
#endif
}

bool
listeners_need_tokens(const struct rpc_transport *transport)
{
    if (passed_count() == 0)
        return transport->rpc->agent->config->listen != NULL;
    for (int i = 0; i < passed_count(); i++) {
        union address address = { 0 };
        socklen_t size = sizeof(address);

        if (getsockname(passed_first() + i, &address.any, &size) == 0 &&
            address.any.sa_family != AF_UNIX)
            return true;
    }
    return false;
}

bool
listeners_open(struct rpc_transport *transport, struct error **err)
{
    const struct config *config = transport->rpc->agent->config;
    int passed = passed_count();

    transport->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < passed; i++)
        if (!add_passed(transport, passed_first() + i, err))
            return false;
    if (passed == 0 && !open_unix(transport, config->socket_path, err))
        return false;
    for (char **address = config->listen; passed == 0 && address && *address; address++)
        if (!open_tcp(transport, ENDPOINT_TCP, *address, err))
            return false;
    for (char **address = config->tls_listen; address && *address; address++)
        if (!open_tcp(transport, ENDPOINT_TLS, *address, err))
            return false;
    return true;
}

void
listeners_print(const struct rpc_transport *transport)
{
    for (const struct listener *listener = transport->listeners; listener;
         listener = listener->next)
        printf("listening %s\n", listener->url);
    (void)fflush(stdout);
}
