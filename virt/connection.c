/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/connection.h"

#include <assert.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "agent/backend.h"
#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "virt/failure.h"
#include "virt/offer.h"
#include "virt/sockets.h"

/* A silent libvirtd is given up after KEEP_ALIVE_S * (KEEP_ALIVE_COUNT + 1) seconds. */
#define KEEP_ALIVE_S 4
#define KEEP_ALIVE_COUNT 3
#define FIRST_DELAY_MS 250
#define LAST_DELAY_MS 8000
/* One that was there for so long was well: the next is tried soon. */
#define LASTED_NS INT64_C(1000000000)

struct virt_connection {
    struct virt *virt;
    const char *uri;
    bool closed; /* the thread's own, as the next */
    uint64_t epoch;
};

/* What the thread tells the loop: a connection that is there, or why there is none. */
struct link_message {
    struct message message;
    struct virt *virt;
    uint64_t epoch;
    virConnectPtr connect; /* a reference for the loop; or NULL; as the next */
    virConnectPtr reader, figures;
    char *version; /* owned, or NULL, as the next */
    char *reason;
};

/* ---- on the loop ---- */

static void
forget_connection(struct virt *virt, const char *reason)
{
    if (virt->current)
        virt->lost_ns = clock_wall_ns();
    virt->current = false;
    news_drop(virt);
    free(virt->reason);
    virt->reason = xstrdup(reason);
    backend_set(virt->agent, "libvirt", false, virt->version, reason);
    /* The thread holds a reference too until it has posted this, so nothing is asked of libvirt here. */
    if (virt->connect)
        (void)virConnectClose(TAKE(virt->connect));
    if (virt->reader_connect)
        (void)virConnectClose(TAKE(virt->reader_connect));
    if (virt->figures_connect)
        (void)virConnectClose(TAKE(virt->figures_connect));
}

static void
link_changed(struct message *message)
{
    struct link_message *link = CONTAINER_OF(message, struct link_message, message);
    struct virt *virt = link->virt;

    LOOP_ONLY();
    if (link->connect) {
        virt->connect = link->connect;
        virt->reader_connect = link->reader;
        virt->figures_connect = link->figures;
        virt->epoch = link->epoch;
        free(virt->version);
        virt->version = TAKE(link->version);
        news_read_all(virt);
    } else
        forget_connection(virt, link->reason);
    free(link->version);
    free(link->reason);
    free(link);
}

static bool
get_one(const struct virt *virt, virConnectPtr connect, virConnectPtr *ret_connect,
        struct error **err)
{
    LOOP_ONLY();
    if (!connect || !virt->current)
        return virt_unavailable(err, virt->reason ? virt->reason
                                                  : "the agent has not connected to it yet");
    if (virConnectRef(connect) < 0)
        return virt_fail_connect(err, connect, "cannot use the connection");
    *ret_connect = connect;
    return true;
}

bool
virt_connection_get(struct virt *virt, virConnectPtr *ret_connect, struct error **err)
{
    return get_one(virt, virt->connect, ret_connect, err);
}

bool
virt_connection_get_figures(struct virt *virt, virConnectPtr *ret_connect, struct error **err)
{
    return get_one(virt, virt->figures_connect, ret_connect, err);
}

void
virt_connection_settled(struct virt *virt)
{
    LOOP_ONLY();
    virt->current = true;
    backend_set(virt->agent, "libvirt", true, virt->version, NULL);
    virt_offer_ask(virt);
}

/* ---- on its thread ---- */

/* The thread's own references. */
struct opened {
    virConnectPtr calls, reader, figures; /* NULL: could not be had */
};

static void
post_link(struct virt_connection *connection, const struct opened *opened, const char *reason)
{
    struct link_message *link = xalloc(sizeof(*link));
    unsigned long version;

    link->message.deliver = link_changed;
    link->virt = connection->virt;
    link->epoch = connection->epoch;
    link->reason = reason ? xstrdup(reason) : NULL;
    /* Neither fails for what is a connection. */
    if (opened && virConnectRef(opened->calls) == 0 && virConnectRef(opened->reader) == 0 &&
        virConnectRef(opened->figures) == 0) {
        link->connect = opened->calls;
        link->reader = opened->reader;
        link->figures = opened->figures;
    }
    if (opened && virConnectGetLibVersion(opened->reader, &version) == 0)
        link->version =
            xprintf("%lu.%lu.%lu", version / 1000000, version / 1000 % 1000, version % 1000);
    loop_post(connection->virt->agent->loop, &link->message);
}

static void
closed(virConnectPtr connect, int reason, void *context)
{
    struct virt_connection *connection = context;

    (void)connect;
    (void)reason;
    connection->closed = true;
}

/* What libvirt would print by itself. */
static void
be_silent(void *context, virErrorPtr error)
{
    (void)context;
    (void)error;
}

static void
pause_ms(uint64_t delay_ms)
{
    struct timespec delay = { .tv_sec = (time_t)(delay_ms / 1000),
                              .tv_nsec = (long)(delay_ms % 1000) * 1000000 };

    while (nanosleep(&delay, &delay) < 0)
        ;
}

/* NULL: there is none to be had. */
static virConnectPtr
open_one(struct virt_connection *connection)
{
    virConnectPtr connect = virConnectOpen(connection->uri);

    if (!connect)
        return NULL;
    /* The test driver knows neither. */
    (void)virConnectRegisterCloseCallback(connect, closed, connection, NULL);
    (void)virConnectSetKeepAlive(connect, KEEP_ALIVE_S, KEEP_ALIVE_COUNT);
    return connect;
}

/* Beside the reader.  Each of the test driver's may be a host of its own: there it is the same. */
static virConnectPtr
open_other(struct virt_connection *connection, virConnectPtr reader)
{
    if (strncmp(connection->uri, "test:", 5) != 0)
        return open_one(connection);
    return virConnectRef(reader) == 0 ? reader : NULL;
}

static void
close_one(virConnectPtr connect)
{
    if (!connect)
        return;
    (void)virConnectUnregisterCloseCallback(connect, closed);
    (void)virConnectClose(connect);
}

static bool
are_alive(const struct opened *opened)
{
    return virConnectIsAlive(opened->calls) == 1 && virConnectIsAlive(opened->reader) == 1 &&
           virConnectIsAlive(opened->figures) == 1;
}

/* Until one of them ends; to be freed: why. */
static char *
serve(struct virt_connection *connection, const struct opened *opened)
{
    struct error *error = NULL;

    if (!news_register(connection->virt, opened->reader, connection->epoch, &error)) {
        char *reason = xstrdup(error->message);

        error_free(error);
        return reason;
    }
    post_link(connection, opened, NULL);
    while (!connection->closed && are_alive(opened))
        if (virEventRunDefaultImpl() < 0)
            break;
    return xstrdup("the connection to libvirtd was lost");
}

/* Connects, and tells the loop when that is over. */
static void
connect_once(struct virt_connection *connection)
{
    struct sockets before, sockets;
    struct opened opened = { 0 };
    char *reason;

    connection->closed = false;
    connection->epoch++;
    sockets_find(&(struct sockets){ .count = 0 }, &before);
    opened.reader = open_one(connection);
    opened.calls = opened.reader ? open_other(connection, opened.reader) : NULL;
    opened.figures = opened.calls ? open_other(connection, opened.reader) : NULL;
    sockets_find(&before, &sockets);
    sockets_done(&before);
    reason = opened.figures ? serve(connection, &opened) : xstrdup(virt_words());
    /* Before its own are closed: so nothing is asked of libvirt when the loop gives back its references. */
    post_link(connection, NULL, reason);
    /* What still waits for a silent libvirtd ends now; and to close a connection would ask it, too. */
    sockets_shut(&sockets);
    sockets_done(&sockets);
    close_one(opened.figures);
    close_one(opened.calls);
    close_one(opened.reader);
    free(reason);
}

static void *
thread_main(void *context)
{
    struct virt_connection *connection = context;
    uint64_t delay_ms = FIRST_DELAY_MS;

    thread_mark(THREAD_WORKER);
    for (;;) {
        int64_t begun_ns = clock_monotonic_ns();

        connect_once(connection);
        if (clock_monotonic_ns() - begun_ns > LASTED_NS)
            delay_ms = FIRST_DELAY_MS;
        pause_ms(delay_ms);
        delay_ms = delay_ms * 2 > LAST_DELAY_MS ? LAST_DELAY_MS : delay_ms * 2;
    }
    return NULL;
}

struct virt_connection *
virt_connection_open(struct virt *virt, const char *uri)
{
    struct virt_connection *connection = xalloc(sizeof(*connection));
    sigset_t all, before;
    pthread_t thread;

    LOOP_ONLY();
    connection->virt = virt;
    connection->uri = uri;
    virSetErrorFunc(NULL, be_silent);
    /* Both before any connection is opened. */
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0) {
        log_error("cannot use libvirt: %s", virt_words());
        abort();
    }
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, thread_main, connection) != 0) {
        log_error("cannot start the thread of libvirt's events");
        abort();
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_detach(thread);
    return connection;
}
