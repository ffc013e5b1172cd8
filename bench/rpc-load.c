/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WebSocket load client that costs as little as it can: epoll, one thread, frames counted.
 *
 *   rpc-load HOST PORT PATH ping CONNECTIONS DEPTH SECONDS
 *       keeps DEPTH requests in flight on each connection; prints what was answered
 *   rpc-load HOST PORT PATH fan SUBSCRIBERS WINDOW SECONDS SUBSCRIBE PUBLISH EVENTS
 *       SUBSCRIBE is sent on each connection, PUBLISH on one more; each PUBLISH makes EVENTS frames
 *       for every subscriber; WINDOW of them are in flight
 *   rpc-load HOST PORT PATH idle CONNECTIONS
 *       opens them, prints "open", waits for a line on standard input, sends one request on each in
 *       turn, prints "answered", and holds them until standard input ends
 *   rpc-load HOST PORT PATH fill COUNT DEPTH
 *       COUNT requests, DEPTH in flight, with "%d" in the request of standard input numbered
 *
 * The request of 'ping', 'idle' and 'fill' is the first line of standard input.  Frames are masked
 * with a key of zeros, which costs the client nothing and the server what any mask does.
 */
#include <errno.h>
#include <stdarg.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_SIZE (256 * 1024)

struct connection {
    int fd;
    uint64_t frames; /* received */
    uint64_t skip;   /* payload bytes of the present frame still to come */
    unsigned char head[10];
    size_t head_size; /* bytes of a header that came in pieces */
};

static char buffer[BUFFER_SIZE];

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static double
now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void
send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);

        if (sent < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (sent < 0)
            die("send: %s", strerror(errno));
        bytes += sent;
        size -= (size_t)sent;
    }
}

/* Makes one masked text frame of 'text'; the result is the caller's. */
static size_t
frame(const char *text, char **ret_frame)
{
    size_t size = strlen(text), head = size < 126 ? 2 : 4;
    char *bytes = calloc(1, head + 4 + size);

    if (!bytes || size > 65535)
        die("a request of %zu bytes is too large", size);
    bytes[0] = (char)0x81;
    bytes[1] = (char)(0x80 | (size < 126 ? size : 126));
    if (size >= 126) {
        bytes[2] = (char)(size >> 8);
        bytes[3] = (char)size;
    }
    memcpy(bytes + head + 4, text, size);
    *ret_frame = bytes;
    return head + 4 + size;
}

static void
open_connection(struct connection *connection, const char *host, const char *port, const char *path)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
    char request[1024];
    size_t got = 0;
    int one = 1;

    memset(connection, 0, sizeof(*connection));
    if (getaddrinfo(host, port, &hints, &found) != 0)
        die("unknown address %s:%s", host, port);
    connection->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || connect(connection->fd, found->ai_addr, found->ai_addrlen) < 0)
        die("connect: %s", strerror(errno));
    freeaddrinfo(found);
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    snprintf(request, sizeof(request),
             "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
             path, host, port);
    send_all(connection->fd, request, strlen(request));
    for (;;) { /* byte by byte: nothing behind the header may be taken */
        ssize_t n = recv(connection->fd, request + got, 1, 0);

        if (n != 1)
            die("the handshake was refused");
        got++;
        if (got >= 4 && memcmp(request + got - 4, "\r\n\r\n", 4) == 0)
            break;
        if (got == sizeof(request))
            die("the handshake's answer is too long");
    }
    if (strncmp(request, "HTTP/1.1 101", 12) != 0)
        die("the handshake was answered: %.40s", request);
}

/* Counts the text frames in what was received. */
static uint64_t
count_frames(struct connection *connection, const char *bytes, size_t size)
{
    uint64_t before = connection->frames;

    while (size > 0) {
        size_t need;
        uint64_t length;

        if (connection->skip > 0) {
            size_t step = size < connection->skip ? size : (size_t)connection->skip;

            connection->skip -= step;
            bytes += step;
            size -= step;
            continue;
        }
        connection->head[connection->head_size++] = (unsigned char)*bytes++;
        size--;
        if (connection->head_size < 2)
            continue;
        length = connection->head[1] & 127;
        need = length == 126 ? 4 : length == 127 ? 10 : 2;
        if (connection->head_size < need)
            continue;
        if (need > 2) {
            length = 0;
            for (size_t i = 2; i < need; i++)
                length = length << 8 | connection->head[i];
        }
        connection->skip = length;
        connection->head_size = 0;
        if ((connection->head[0] & 15) == 1)
            connection->frames++;
    }
    return connection->frames - before;
}

static uint64_t
receive(struct connection *connection)
{
    ssize_t got = recv(connection->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0)
        die("the server closed a connection");
    return count_frames(connection, buffer, (size_t)got);
}

static struct connection *
open_all(size_t count, const char *host, const char *port, const char *path, int epoll)
{
    struct connection *connections = calloc(count, sizeof(*connections));

    for (size_t i = 0; i < count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &connections[i] };

        open_connection(&connections[i], host, port, path);
        epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event);
    }
    return connections;
}

static char *
read_request(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length = getline(&line, &size, stdin);

    if (length <= 0)
        die("no request on standard input");
    if (line[length - 1] == '\n')
        line[length - 1] = '\0';
    return line;
}

static void
run_ping(int epoll, struct connection *connections, size_t count, size_t depth, double seconds)
{
    static char many[64 * 1024];
    char *one, *request = read_request();
    size_t size = frame(request, &one);
    struct epoll_event events[256];
    uint64_t answered = 0;
    double begun, end;

    if (size * depth > sizeof(many))
        die("too deep");
    for (size_t i = 0; i < depth; i++)
        memcpy(many + i * size, one, size);
    for (size_t i = 0; i < count; i++)
        send_all(connections[i].fd, many, size * depth);
    begun = now();
    end = begun + seconds;
    while (now() < end) {
        int n = epoll_wait(epoll, events, 256, 100);

        for (int i = 0; i < n; i++) {
            struct connection *connection = events[i].data.ptr;
            uint64_t got = receive(connection);

            answered += got;
            if (got > 0)
                send_all(connection->fd, many, size * (size_t)(got < depth ? got : depth));
        }
    }
    printf("%llu %.6f\n", (unsigned long long)answered, now() - begun);
}

static void
run_fan(int epoll, struct connection *connections, size_t count, unsigned window, double seconds,
        const char *subscribe, const char *publish, unsigned per_publish,
        struct connection *publisher)
{
    char *bytes;
    size_t size = frame(subscribe, &bytes);
    struct epoll_event events[512];
    uint64_t delivered = 0, published = 0, answers = 0;
    double begun, end;

    for (size_t i = 0; i < count; i++)
        send_all(connections[i].fd, bytes, size);
    while (answers < count) { /* each subscription is answered before the first event */
        int n = epoll_wait(epoll, events, 512, 1000);

        for (int i = 0; i < n; i++)
            answers += receive(events[i].data.ptr);
    }
    size = frame(publish, &bytes);
    begun = now();
    end = begun + seconds;
    for (;;) {
        int n;

        while (now() < end && (published - delivered / ((uint64_t)count * per_publish)) < window) {
            send_all(publisher->fd, bytes, size);
            published++;
        }
        if (now() >= end && delivered >= published * count * per_publish)
            break;
        if (now() >= end + 30)
            die("events are missing: %llu of %llu", (unsigned long long)delivered,
                (unsigned long long)(published * count * per_publish));
        n = epoll_wait(epoll, events, 512, 100);
        for (int i = 0; i < n; i++)
            delivered += receive(events[i].data.ptr);
        (void)receive(publisher);
    }
    printf("%llu %.6f\n", (unsigned long long)delivered, now() - begun);
}

static void
run_idle(int epoll, struct connection *connections, size_t count)
{
    char *bytes, *request = read_request();
    size_t size = frame(request, &bytes);
    struct epoll_event event;
    double begun;

    puts("open");
    fflush(stdout);
    if (getchar() == EOF)
        return;
    begun = now();
    for (size_t i = 0; i < count; i++) {
        send_all(connections[i].fd, bytes, size);
        while (epoll_wait(epoll, &event, 1, 30000) == 1 && receive(event.data.ptr) == 0)
            ;
    }
    printf("answered %.6f\n", now() - begun);
    fflush(stdout);
    while (getchar() != EOF)
        ;
}

static void
run_fill(int epoll, struct connection *connection, unsigned count, unsigned depth)
{
    char *request = read_request(), text[4096], *bytes;
    struct epoll_event event;
    unsigned sent = 0, answered = 0;

    while (answered < count) {
        while (sent < count && sent - answered < depth) {
            char *place = strstr(request, "%d");
            size_t size;

            if (!place)
                die("no %%d in the request");
            snprintf(text, sizeof(text), "%.*s%u%s", (int)(place - request), request, sent,
                     place + 2);
            size = frame(text, &bytes);
            send_all(connection->fd, bytes, size);
            free(bytes);
            sent++;
        }
        if (epoll_wait(epoll, &event, 1, 30000) != 1)
            die("no answer");
        answered += (unsigned)receive(event.data.ptr);
    }
    puts("filled");
}

int
main(int argc, char **argv)
{
    struct rlimit files;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct connection *connections, publisher;

    if (argc < 6)
        die("usage: see the head of bench/rpc-load.c");
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    connections = open_all(strcmp(argv[4], "fill") == 0 ? 1 : (size_t)atol(argv[5]), argv[1],
                           argv[2], argv[3], epoll);
    if (strcmp(argv[4], "ping") == 0 && argc == 8) {
        run_ping(epoll, connections, (size_t)atol(argv[5]), (size_t)atol(argv[6]), atof(argv[7]));
    } else if (strcmp(argv[4], "fan") == 0 && argc == 11) {
        open_connection(&publisher, argv[1], argv[2], argv[3]);
        run_fan(epoll, connections, (size_t)atol(argv[5]), (unsigned)atol(argv[6]), atof(argv[7]),
                argv[8], argv[9], (unsigned)atol(argv[10]), &publisher);
    } else if (strcmp(argv[4], "idle") == 0) {
        run_idle(epoll, connections, (size_t)atol(argv[5]));
    } else if (strcmp(argv[4], "fill") == 0 && argc == 7) {
        run_fill(epoll, connections, (unsigned)atol(argv[5]), (unsigned)atol(argv[6]));
    } else {
        die("usage: see the head of bench/rpc-load.c");
    }
    return 0;
}
