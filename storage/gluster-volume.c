/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What gfapi caches is not to be believed here: another agent replaces a file by rename, and a cached
 * name or the first bytes of the old file would be served for a second (of 500 reads right after such
 * a rename, 249 failed).  So the translators that cache what others may change are passed through.
 * Writes are still gathered (write-behind): glfs_fsync() tells what became of them.
 */
#include <config.h>

#include "storage/gluster-volume.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/name.h"
#include "agent/base/thread.h"

bool
gluster_check_place(const struct repository_place *place, struct error **err)
{
    if (!name_check("volume", place->volume, err))
        return false;
    if (!place->servers[0])
        return error_param(err, "servers", "must name at least one server of the volume");
    for (char **server = place->servers; *server; server++)
        if (!**server || strspn(*server, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                         "0123456789.:_-") != strlen(*server))
            return error_param(err, "servers", "has '%s': it must be a host name or an address",
                               *server);
    if (place->path && (*place->path != '/' || strstr(place->path, "..")))
        return error_param(err, "path",
                           "is '%s': it must begin with '/', the volume's root, and have no '..'",
                           place->path);
#ifdef HAVE_GFAPI
    return true;
#else
    error_set(err, ERROR_BACKEND_UNAVAILABLE,
              "repositories of kind 'gluster' need libgfapi, and this agent was built without");
    error_data_text(err, "backend", "gluster");
    return error_data_text(err, "reason", "built without libgfapi");
#endif
}

#ifdef HAVE_GFAPI

#define GLUSTER_PORT 24007 /* of glusterd */
#define LOG_LEVEL 4        /* errors; nobody reads them, see set_up() */
#define ROOT_MODE 0755
#define PATIENCE_MS 10000 /* with a server that says nothing */
#define HOLD_MS 30000     /* of what was connected later than that */

static pthread_mutex_t mutex =
    PTHREAD_MUTEX_INITIALIZER; /* of the list; never held while gfapi works */
static pthread_cond_t settled =
    PTHREAD_COND_INITIALIZER; /* one of the list is connected, or has failed */
static struct gluster_volume *volumes;

bool
gluster_fail(struct error **err, int errnum, const char *what, const char *name)
{
    bool away = errnum == ENOTCONN || errnum == ETIMEDOUT || errnum == ESTALE || errnum == EROFS ||
                errnum == ECONNREFUSED || errnum == EHOSTUNREACH || errnum == ESHUTDOWN;

    return error_errno(err, away ? ERROR_REPOSITORY_UNAVAILABLE : ERROR_BACKEND_FAILED, errnum,
                       "cannot %s '%s'", what, name);
}

struct gluster_volume *
gluster_volume_ref(struct gluster_volume *volume)
{
    atomic_fetch_add(&volume->references, 1);
    return volume;
}

static void
free_volume(struct gluster_volume *volume)
{
    strings_free(volume->servers);
    free(volume->name);
    free(volume);
}

static void *
end_volume(void *argument)
{
    struct gluster_volume *volume = argument;

    if (volume->fs)
        (void)glfs_fini(volume->fs);
    free_volume(volume);
    return NULL;
}

/* 0, or an error number. */
static int
start_thread(void *(*run)(void *volume), struct gluster_volume *volume)
{
    pthread_t thread;
    pthread_attr_t detached;
    int errnum = pthread_attr_init(&detached);

    if (errnum != 0)
        return errnum;
    errnum = pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    if (errnum == 0)
        errnum = pthread_create(&thread, &detached, run, volume);
    (void)pthread_attr_destroy(&detached);
    return errnum;
}

/* With the mutex. */
static void
unlist(struct gluster_volume *volume)
{
    for (struct gluster_volume **place = &volumes; volume->listed && *place;
         place = &(*place)->next)
        if (*place == volume) {
            *place = volume->next;
            break;
        }
    volume->listed = false;
}

void
gluster_volume_unref(struct gluster_volume *volume)
{
    bool last;

    if (!volume)
        return;
    (void)pthread_mutex_lock(&mutex);
    last = atomic_fetch_sub(&volume->references, 1) == 1;
    if (last)
        unlist(volume);
    (void)pthread_mutex_unlock(&mutex);
    /* On a thread of its own: whoever let it go does not wait for it.  Without a thread it stays, idle,
       until the agent ends: better than to hold up a worker, or the loop. */
    if (last && start_thread(end_volume, volume) != 0)
        log_warning("a connection to volume '%s' stays open, for there is no thread to end it",
                    volume->name);
}

static bool
same_servers(char **one, char **other)
{
    for (; *one && *other; one++, other++)
        if (strcmp(*one, *other) != 0)
            return false;
    return !*one && !*other;
}

/* With the mutex: a reference to the one that is there, or NULL. */
static struct gluster_volume *
find_volume(const char *name, char **servers)
{
    for (struct gluster_volume *volume = volumes; volume; volume = volume->next)
        if (strcmp(volume->name, name) == 0 && same_servers(volume->servers, servers))
            return gluster_volume_ref(volume);
    return NULL;
}

static char **
copy_servers(char **servers)
{
    size_t count = 0;
    char **copy;

    while (servers[count])
        count++;
    copy = xalloc((count + 1) * sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = xstrdup(servers[i]);
    return copy;
}

static bool
set_up(glfs_t *fs, char **servers)
{
    static const char *const passed[] = { "*-md-cache", "*-quick-read", "*-open-behind",
                                          "*-io-cache", "*-read-ahead", "*-readdir-ahead",
                                          "*-nl-cache" };

    /* What is lost with a brick's connection stays lost: image_lock_confirm() is to notice. */
    if (glfs_set_xlator_option(fs, "*-client-*", "strict-locks", "on") < 0)
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(passed); i++)
        if (glfs_set_xlator_option(fs, passed[i], "pass-through", "true") < 0)
            return false;
    /* Else a file that one agent has written to stays locked for a second, in case it writes more, and
       whatever the next agent does to it waits; copies are no slower without. */
    if (glfs_set_xlator_option(fs, "*-replicate-*", "post-op-delay-secs", "0") < 0)
        return false;
    for (char **server = servers; *server; server++)
        if (glfs_set_volfile_server(fs, "tcp", *server, GLUSTER_PORT) < 0)
            return false;
    /* To nowhere: it writes some lines every three seconds for each brick that is away, for ever, and
       what matters of it comes back as errno. */
    return glfs_set_logging(fs, "/dev/null", LOG_LEVEL) == 0;
}

/*
 * A server that accepts a connection and then says nothing is given up on by gfapi after half an hour. So
 * a thread of its own connects, and whoever wants the volume waits for it a moment; who comes later
 * waits for the same one, and does not begin another.
 */
static void *
connect_volume(void *argument)
{
    const struct timespec hold = { .tv_sec = HOLD_MS / 1000 };
    struct gluster_volume *volume = argument;
    int64_t begun_ns = clock_monotonic_ns();
    bool connected;
    int errnum;

    volume->fs = glfs_new(volume->name);
    errno = 0;
    connected = volume->fs && set_up(volume->fs, volume->servers) && glfs_init(volume->fs) == 0;
    errnum = errno ? errno : ENOTCONN;
    (void)pthread_mutex_lock(&mutex);
    volume->state = connected ? VOLUME_CONNECTED : VOLUME_FAILED;
    volume->errnum = errnum;
    if (!connected)
        unlist(volume); /* whoever comes now tries again */
    (void)pthread_cond_broadcast(&settled);
    (void)pthread_mutex_unlock(&mutex);
    /* Nobody may have had the patience: it is kept for those who look every ten seconds. */
    if (connected && clock_monotonic_ns() - begun_ns > PATIENCE_MS * NS_PER_MS)
        (void)nanosleep(&hold, NULL);
    gluster_volume_unref(volume);
    return NULL;
}

/* With the mutex: one that is being connected, or NULL and errno. */
static struct gluster_volume *
begin_volume(const char *name, char **servers)
{
    struct gluster_volume *volume = xalloc(sizeof(*volume));
    int errnum;

    volume->name = xstrdup(name);
    volume->servers = copy_servers(servers);
    atomic_init(&volume->references, 2); /* the thread's and the caller's */
    errnum = start_thread(connect_volume, volume);
    if (errnum != 0) {
        free_volume(volume);
        errno = errnum;
        return NULL;
    }
    volume->listed = true;
    volume->next = volumes;
    volumes = volume;
    return volume;
}

/* With the mutex: waits until it is connected or has failed, or for a moment. */
static enum volume_state
wait_for_volume(struct gluster_volume *volume)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    while (volume->state == VOLUME_CONNECTING &&
           pthread_cond_clockwait(&settled, &mutex, CLOCK_MONOTONIC, &until) == 0)
        ;
    return volume->state;
}

static bool
explain_failure(struct gluster_volume *volume, enum volume_state state, struct error **err)
{
    const char *others = volume->servers[1] ? " or the others" : "";

    if (state == VOLUME_CONNECTING)
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE,
                         "server '%s'%s has not answered for %d s: volume '%s' is still tried",
                         volume->servers[0], others, PATIENCE_MS / 1000, volume->name);
    if (volume->errnum == ENOENT)
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE,
                         "server '%s' has no volume '%s', or it is not started", volume->servers[0],
                         volume->name);
    return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, volume->errnum,
                       "cannot connect to volume '%s' at server '%s'%s", volume->name,
                       volume->servers[0], others);
}

/* A reference. */
static bool
get_volume(const char *name, char **servers, struct gluster_volume **ret_volume, struct error **err)
{
    struct gluster_volume *volume;
    enum volume_state state = VOLUME_FAILED;
    int errnum;

    (void)pthread_mutex_lock(&mutex);
    volume = find_volume(name, servers);
    if (!volume)
        volume = begin_volume(name, servers);
    errnum = errno;
    if (volume)
        state = wait_for_volume(volume);
    (void)pthread_mutex_unlock(&mutex);
    if (!volume)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errnum,
                           "cannot start a thread to connect to volume '%s'", name);
    if (state == VOLUME_CONNECTED) {
        *ret_volume = volume;
        return true;
    }
    explain_failure(volume, state, err);
    gluster_volume_unref(volume);
    return false;
}

/* 'path' without slashes at its end, and of the root "/"; to be freed. */
static char *
tidy_path(const char *path)
{
    size_t length = path ? strlen(path) : 0;

    while (length > 1 && path[length - 1] == '/')
        length--;
    return length ? xstrndup(path, length) : xstrdup("/");
}

static glfs_object_t *
make_root(struct gluster_volume *volume, const char *path, struct error **err)
{
    _cleanup_free_ char *above = xstrndup(path, (size_t)(strrchr(path, '/') - path) + 1);
    struct stat status;
    glfs_object_t *parent = glfs_h_lookupat(volume->fs, NULL, above, &status, 1);
    glfs_object_t *made =
        parent ? glfs_h_mkdir(volume->fs, parent, strrchr(path, '/') + 1, ROOT_MODE, &status)
               : NULL;
    struct folder *folder;

    if (!made) {
        gluster_fail(err, errno, "make", path);
        (*err)->code = ERROR_REPOSITORY_UNAVAILABLE;
        if (parent)
            (void)glfs_h_close(parent);
        return NULL;
    }
    folder = folder_gluster_take(gluster_volume_ref(volume), parent);
    if (!folder_sync(folder, err)) {
        (void)glfs_h_close(made);
        made = NULL;
    }
    folder_close(folder);
    return made;
}

bool
gluster_open_root(const struct repository_place *place, bool create, struct folder **ret_folder,
                  struct error **err)
{
    _cleanup_free_ char *path = tidy_path(place->path);
    struct gluster_volume *volume = NULL;
    glfs_object_t *object;
    struct stat status;

    WORKER_ONLY();
    if (!get_volume(place->volume, place->servers, &volume, err))
        return false;
    object = glfs_h_lookupat(volume->fs, NULL, path, &status, 1);
    if (!object && errno == ENOENT && create) {
        object = make_root(volume, path, err);
    } else if (!object || !S_ISDIR(status.st_mode)) {
        error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, object ? ENOTDIR : errno,
                    "cannot open '%s' in volume '%s'", path, place->volume);
        if (object)
            (void)glfs_h_close(object);
        object = NULL;
    }
    if (!object) {
        gluster_volume_unref(volume);
        return false;
    }
    *ret_folder = folder_gluster_take(volume, object);
    return true;
}

#else

bool
gluster_open_root(const struct repository_place *place, bool create, struct folder **ret_folder,
                  struct error **err)
{
    (void)create;
    (void)ret_folder;
    return gluster_check_place(place, err);
}

#endif
