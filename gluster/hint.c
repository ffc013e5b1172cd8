/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/hint.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "gluster/watched-fd.h"

#define VOLUMES_MAX 10000
/* libglusterfs has it built in (10.3 of Debian: 55555; others 24009), and its configuration repeats it. */
#define EVENT_PORT 55555
#define EVENT_CONFIGURATION "/etc/glusterfs/eventsconfig.json"
#define EVENT_LOG "/var/log/glusterfs/events.log"
#define EVENT_SERVER_PID "glustereventsd.pid"
#define SERVER_SOCKET "glusterd.socket"
/* At most a batch in so long, however many somebody sends. */
#define DATAGRAMS_PAUSE_MS 100
#define DATAGRAMS_BATCH 64
#define FILES_BATCH 16

#define NAMES (IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM)

static const struct {
    const char *path;
    uint32_t mask;
} places[PLACE_COUNT] = {
    [PLACE_RUN] = { "/run", NAMES | IN_MODIFY | IN_ONLYDIR },
    [PLACE_VOLUMES] = { "/var/lib/glusterd/vols", NAMES | IN_ONLYDIR },
    [PLACE_PEERS] = { "/var/lib/glusterd/peers", NAMES | IN_ONLYDIR },
    [PLACE_SNAPSHOTS] = { "/var/lib/glusterd/snaps", NAMES | IN_ONLYDIR },
    [PLACE_LOG] = { EVENT_LOG, IN_MODIFY | IN_MOVE_SELF },
};

/* Files are looked for, and watched, by a worker. */
struct hint_look {
    struct job job;
    struct gluster_hints *hints;
    int fd; /* inotify's; the loop's */
    int places[PLACE_COUNT];
    unsigned port;
    bool server; /* glustereventsd is about to take its port */
};

/* ---- what things mean ---- */

/* Numbers of glusterfs/eventtypes.h. */
unsigned
hint_of_datagram(const char *bytes, size_t size)
{
    static const struct {
        unsigned first, last, hints;
    } types[] = {
        { 0, 1, HINT_PEERS | HINT_STATUS },    /* a peer was attached, detached */
        { 2, 18, HINT_VOLUMES | HINT_STATUS }, /* volumes, bricks, geo-replication */
        { 19, 34, HINT_VOLUMES | HINT_STATUS },
        { 35, 62, HINT_VOLUMES }, /* snapshots */
        { 63, 66, HINT_STATUS },  /* services */
        { 67, 73, HINT_PEERS | HINT_STATUS },
        { 74, 79, HINT_STATUS }, /* bricks started, stopped, lost, back */
        { 80, 81, HINT_STATUS | HINT_PEERS },
        { 82, 83, HINT_OPERATIONS },
        { 90, 91, HINT_STATUS },
        { 92, 95, 0 },             /* geo-replication, quota: nothing that is watched */
        { 97, 99, 0 },             /* clients come and go, and change nothing */
        { 106, 109, HINT_STATUS }, /* sets of replicas */
        { 110, 110, 0 },           /* split brain */
        { 123, 141, HINT_VOLUMES | HINT_OPERATIONS },
    };
    size_t at = 0;
    unsigned type = 0, digits = 0;

    while (at < size && bytes[at] >= '0' && bytes[at] <= '9')
        at++;
    if (at == 0 || at == size || bytes[at++] != ' ')
        return 0;
    for (; at < size && bytes[at] >= '0' && bytes[at] <= '9' && digits < 5; at++, digits++)
        type = 10 * type + (unsigned)(bytes[at] - '0');
    if (digits == 0)
        return 0;
    for (size_t i = 0; i < ARRAY_COUNT(types); i++)
        if (type >= types[i].first && type <= types[i].last)
            return types[i].hints;
    return HINT_ALL; /* of a version to come */
}

/* glusterd writes NAME.tmp and renames it, with each change and with none. */
unsigned
hint_of_name(enum hint_place place, const char *name)
{
    size_t length = strlen(name);

    if (length > 4 && strcmp(name + length - 4, ".tmp") == 0)
        return 0;
    switch (place) {
    case PLACE_RUN: return strcmp(name, SERVER_SOCKET) == 0 ? HINT_SERVER : 0;
    case PLACE_VOLUMES: return HINT_VOLUMES | HINT_STATUS;
    case PLACE_PEERS: return HINT_PEERS;
    case PLACE_SNAPSHOTS: return strcmp(name, "missed_snaps_list") == 0 ? 0 : HINT_VOLUMES;
    case PLACE_LOG: return HINT_ALL;
    case PLACE_VOLUME:
        if (strcmp(name, "info") == 0)
            return HINT_VOLUMES | HINT_STATUS;
        return strcmp(name, "node_state.info") == 0 ? HINT_OPERATIONS : 0;
    case PLACE_COUNT: break;
    }
    return 0;
}

/* ---- looking for directories ---- */

static unsigned
configured_port(void)
{
    json_t *object = json_load_file(EVENT_CONFIGURATION, 0, NULL);
    json_int_t port = json_integer_value(json_object_get(object, "port"));

    json_decref(object);
    return port > 0 && port < 65536 ? (unsigned)port : EVENT_PORT;
}

/* It makes the file before it takes its port, and removes it (10.3) when it has. */
static bool
server_starts(void)
{
    _cleanup_close_ int fd = open("/run/" EVENT_SERVER_PID, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    _cleanup_free_ char *path = NULL;
    char number[16] = "";
    ssize_t size;

    if (fd < 0)
        return false;
    size = read(fd, number, sizeof(number) - 1);
    number[size > 0 ? size : 0] = '\0';
    number[strspn(number, "0123456789")] = '\0';
    path = xprintf("/proc/%s", number);
    return !*number || access(path, F_OK) == 0;
}

/* Those of the volumes: watching one again is no change. */
static void
watch_volumes(int fd)
{
    DIR *folder = opendir(places[PLACE_VOLUMES].path);
    const struct dirent *entry;
    size_t count = 0;

    while (folder && (entry = readdir(folder)) && count < VOLUMES_MAX) {
        _cleanup_free_ char *path = NULL;

        if (entry->d_name[0] == '.' || (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN))
            continue;
        path = xprintf("%s/%s", places[PLACE_VOLUMES].path, entry->d_name);
        count += inotify_add_watch(fd, path, IN_MOVED_TO | IN_ONLYDIR) >= 0;
    }
    if (folder)
        (void)closedir(folder);
}

static void
look_on_worker(struct job *job)
{
    struct hint_look *look = CONTAINER_OF(job, struct hint_look, job);

    look->port = configured_port();
    look->server = server_starts();
    /* One that is not there is looked for again when glusterd comes. */
    for (size_t i = 0; i < PLACE_COUNT; i++)
        look->places[i] = inotify_add_watch(look->fd, places[i].path, places[i].mask);
    watch_volumes(look->fd);
}

/* ---- datagrams ---- */

static void
stop_hearing(struct gluster_hints *hints)
{
    for (size_t i = 0; i < ARRAY_COUNT(hints->datagrams); i++) {
        watched_fd_free(hints->datagrams[i]);
        hints->datagrams[i] = NULL;
    }
}

static void
resume(struct timer *timer)
{
    struct gluster_hints *hints = CONTAINER_OF(timer, struct gluster_hints, resume);

    for (size_t i = 0; i < ARRAY_COUNT(hints->datagrams); i++)
        if (hints->datagrams[i])
            watched_fd_pause(hints->datagrams[i], false);
}

static void
hear(void *context, int fd)
{
    struct gluster_hints *hints = context;
    unsigned heard = 0;
    char bytes[64]; /* the type stands at the beginning */

    for (unsigned i = 0; i < DATAGRAMS_BATCH; i++) {
        ssize_t size = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (size < 0)
            break;
        heard |= hint_of_datagram(bytes, (size_t)size);
    }
    for (size_t i = 0; i < ARRAY_COUNT(hints->datagrams); i++)
        if (hints->datagrams[i])
            watched_fd_pause(hints->datagrams[i], true);
    timer_arm(hints->agent->loop, &hints->resume, DATAGRAMS_PAUSE_MS);
    if (heard)
        hints->told(hints->context, heard);
}

static struct watched_fd *
listen_at(struct gluster_hints *hints, const struct sockaddr *address, socklen_t size)
{
    int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

    if (fd < 0)
        return NULL;
    if (address->sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, address, size) < 0) {
        (void)close(fd);
        return NULL;
    }
    return watched_fd_new(hints->agent->loop, fd, hear, hints);
}

/* glusterd takes ::1 where the host has it, and some of its helpers 127.0.0.1 nevertheless. */
static void
start_hearing(struct gluster_hints *hints, unsigned port)
{
    const struct sockaddr_in four = { .sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)port),
                                      .sin_addr = { htonl(INADDR_LOOPBACK) } };
    const struct sockaddr_in6 six = { .sin6_family = AF_INET6,
                                      .sin6_port = htons((uint16_t)port),
                                      .sin6_addr = IN6ADDR_LOOPBACK_INIT };

    if (!hints->datagrams[0])
        hints->datagrams[0] = listen_at(hints, (const struct sockaddr *)&four, sizeof(four));
    if (!hints->datagrams[1])
        hints->datagrams[1] = listen_at(hints, (const struct sockaddr *)&six, sizeof(six));
    if (!hints->datagrams[0])
        stop_hearing(hints); /* glustereventsd has it, and wants the other too */
    log_debug(NULL, "gluster: %s port %u", hints->datagrams[0] ? "hears" : "does not hear", port);
}

bool
gluster_hints_hear(const struct gluster_hints *hints)
{
    return hints->datagrams[0] != NULL;
}

void
gluster_hints_try(struct gluster_hints *hints)
{
    LOOP_ONLY();
    if (!hints->datagrams[0] && !hints->server && hints->port)
        start_hearing(hints, hints->port);
}

/* ---- files ---- */

static enum hint_place
place_of(const struct gluster_hints *hints, int watch)
{
    for (int i = 0; i < PLACE_COUNT; i++)
        if (hints->places[i] == watch)
            return (enum hint_place)i;
    return PLACE_VOLUME;
}

static unsigned
read_change(struct gluster_hints *hints, const struct inotify_event *event)
{
    const char *name = event->len ? event->name : "";
    enum hint_place place;

    if (event->mask & IN_Q_OVERFLOW) {
        gluster_hints_look(hints);
        return HINT_ALL | HINT_SERVER;
    }
    place = place_of(hints, event->wd);
    if (event->mask & (IN_IGNORED | IN_MOVE_SELF)) {
        if (place == PLACE_VOLUME)
            return 0;
        hints->places[place] = 0;
        gluster_hints_look(hints);
        return 0;
    }
    if (place == PLACE_RUN && strcmp(name, EVENT_SERVER_PID) == 0) {
        stop_hearing(hints);
        hints->server = true; /* until the look has told */
        gluster_hints_look(hints);
        return 0;
    }
    if (place == PLACE_RUN && !(event->mask & (IN_CREATE | IN_MOVED_TO)))
        return 0;
    if (place == PLACE_VOLUMES && (event->mask & (IN_CREATE | IN_MOVED_TO)))
        gluster_hints_look(hints);
    return hint_of_name(place, name);
}

static void
read_changes(void *context, int fd)
{
    struct gluster_hints *hints = context;
    union {
        struct inotify_event event;
        char bytes[16384];
    } room;
    unsigned told = 0;

    for (unsigned i = 0; i < FILES_BATCH; i++) {
        ssize_t size = read(fd, room.bytes, sizeof(room.bytes));

        for (ssize_t at = 0; at < size;) {
            const struct inotify_event *event =
                (const struct inotify_event *)(const void *)(room.bytes + at);

            told |= read_change(hints, event);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
        if (size <= 0)
            break;
    }
    if (told)
        hints->told(hints->context, told);
}

static void
looked(struct job *job)
{
    struct hint_look *look = CONTAINER_OF(job, struct hint_look, job);
    struct gluster_hints *hints = look->hints;

    memcpy(hints->places, look->places, sizeof(hints->places));
    hints->looking = false;
    hints->server = look->server;
    hints->port = look->port;
    gluster_hints_try(hints);
    free(look);
    if (hints->look_again)
        gluster_hints_look(hints);
    /* What came while a new directory was not yet watched. */
    hints->told(hints->context, HINT_VOLUMES);
}

void
gluster_hints_look(struct gluster_hints *hints)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct hint_look *look;

    LOOP_ONLY();
    if (!hints->files)
        return;
    hints->look_again = hints->looking;
    if (hints->looking)
        return;
    look = xalloc(sizeof(*look));
    look->hints = hints;
    look->fd = watched_fd_number(hints->files);
    look->job = (struct job){
        .run = look_on_worker, .finished = looked, .lane = &hints->lane, .pool = POOL_GLUSTER
    };
    hints->looking = workers_submit(hints->agent->workers, &look->job, &error);
    if (!hints->looking)
        free(look);
}

void
gluster_hints_open(struct gluster_hints *hints)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    LOOP_ONLY();
    hints->lane = (struct lane){ .name = "gluster", .limit = 1 };
    hints->resume.fire = resume;
    if (fd >= 0)
        hints->files = watched_fd_new(hints->agent->loop, fd, read_changes, hints);
    if (!hints->files)
        log_warning("cannot watch glusterd's files: %s, going on", strerror(errno));
    gluster_hints_look(hints);
}
