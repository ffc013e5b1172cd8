/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/connection.h"

#include <assert.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "agent/backend.h"
#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "virt/failure.h"
#include "virt/offer.h"

/* A silent libvirtd is given up after KEEP_ALIVE_S * (KEEP_ALIVE_COUNT + 1) seconds. */
#define KEEP_ALIVE_S 4
#define KEEP_ALIVE_COUNT 3
#define FIRST_DELAY_MS 250
#define LAST_DELAY_MS 8000

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
    virConnectPtr connect; /* a reference for the loop; or NULL */
    char *version;         /* owned, or NULL, as the next */
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
}

static void
link_changed(struct message *message)
{
    struct link_message *link = CONTAINER_OF(message, struct link_message, message);
    struct virt *virt = link->virt;

    LOOP_ONLY();
    if (link->connect) {
        virt->connect = link->connect;
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

bool
virt_connection_get(struct virt *virt, virConnectPtr *ret_connect, struct error **err)
{
    LOOP_ONLY();
    if (!virt->connect || !virt->current)
        return virt_unavailable(err, virt->reason ? virt->reason
                                                  : "the agent has not connected to it yet");
    if (virConnectRef(virt->connect) < 0)
        return virt_fail_connect(err, virt->connect, "cannot use the connection");
    *ret_connect = virt->connect;
    return true;
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

static void
post_link(struct virt_connection *connection, virConnectPtr connect, const char *reason)
{
    struct link_message *link = xalloc(sizeof(*link));
    unsigned long version;

    link->message.deliver = link_changed;
    link->virt = connection->virt;
    link->epoch = connection->epoch;
    link->reason = reason ? xstrdup(reason) : NULL;
    if (connect && virConnectRef(connect) == 0)
        link->connect = connect;
    else if (connect)
        link->reason = xstrdup(virt_words());
    if (connect && virConnectGetLibVersion(connect, &version) == 0)
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

/* Until the connection ends.  '*ret_reason' is the caller's. */
static void
serve(struct virt_connection *connection, virConnectPtr connect, char **ret_reason)
{
    struct error *error = NULL;

    connection->closed = false;
    connection->epoch++;
    /* test:///default knows neither. */
    (void)virConnectRegisterCloseCallback(connect, closed, connection, NULL);
    (void)virConnectSetKeepAlive(connect, KEEP_ALIVE_S, KEEP_ALIVE_COUNT);
    if (!news_register(connection->virt, connect, connection->epoch, &error)) {
        *ret_reason = xstrdup(error->message);
        error_free(error);
        return;
    }
    post_link(connection, connect, NULL);
    while (!connection->closed && virConnectIsAlive(connect) == 1)
        if (virEventRunDefaultImpl() < 0)
            break;
    *ret_reason = xstrdup("the connection to libvirtd was lost");
}

static void *
thread_main(void *context)
{
    struct virt_connection *connection = context;
    uint64_t delay_ms = FIRST_DELAY_MS;

    thread_mark(THREAD_WORKER);
    for (;;) {
        virConnectPtr connect = virConnectOpen(connection->uri);
        _cleanup_free_ char *reason = NULL;

        if (connect) {
            int64_t begun_ns = clock_monotonic_ns();

            serve(connection, connect, &reason);
            post_link(connection, NULL, reason);
            (void)virConnectUnregisterCloseCallback(connect, closed);
            (void)virConnectClose(connect);
            if (clock_monotonic_ns() - begun_ns > INT64_C(1000000000))
                delay_ms = FIRST_DELAY_MS;
        } else
            post_link(connection, NULL, virt_words());
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
