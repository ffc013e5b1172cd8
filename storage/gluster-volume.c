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
#define LOG_LEVEL 4        /* errors; nobody reads them, see connect_volume() */
#define ROOT_MODE 0755

static pthread_mutex_t mutex =
    PTHREAD_MUTEX_INITIALIZER; /* of the list; never held while gfapi works */
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

static void *
end_volume(void *argument)
{
    struct gluster_volume *volume = argument;

    if (volume->fs)
        (void)glfs_fini(volume->fs);
    for (char **server = volume->servers; server && *server; server++)
        free(*server);
    free(volume->servers);
    free(volume->name);
    free(volume);
    return NULL;
}

/* On a thread of its own: whoever let it go does not wait for it.  Without a thread it stays, idle,
   until the agent ends: better than to hold up a worker, or the loop. */
static void
end_elsewhere(struct gluster_volume *volume)
{
    pthread_t thread;
    pthread_attr_t detached;

    if (pthread_attr_init(&detached) != 0)
        return;
    if (pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED) != 0 ||
        pthread_create(&thread, &detached, end_volume, volume) != 0)
        log_warning("a connection to volume '%s' stays open, for there is no thread to end it",
                    volume->name);
    (void)pthread_attr_destroy(&detached);
}

void
gluster_volume_unref(struct gluster_volume *volume)
{
    bool last;

    if (!volume)
        return;
    (void)pthread_mutex_lock(&mutex);
    last = atomic_fetch_sub(&volume->references, 1) == 1;
    for (struct gluster_volume **place = &volumes; last && volume->listed && *place;
         place = &(*place)->next)
        if (*place == volume) {
            *place = volume->next;
            break;
        }
    (void)pthread_mutex_unlock(&mutex);
    if (last)
        end_elsewhere(volume);
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

static bool
connect_volume(const char *name, char **servers, struct gluster_volume **ret_volume,
               struct error **err)
{
    struct gluster_volume *volume = xalloc(sizeof(*volume));
    int errnum;

    volume->name = xstrdup(name);
    volume->servers = copy_servers(servers);
    atomic_init(&volume->references, 1);
    volume->fs = glfs_new(name);
    errno = 0;
    if (volume->fs && set_up(volume->fs, servers) && glfs_init(volume->fs) == 0) {
        *ret_volume = volume;
        return true;
    }
    errnum = errno ? errno : ENOTCONN;
    gluster_volume_unref(volume);
    if (errnum == ENOENT)
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE,
                         "server '%s' has no volume '%s', or it is not started", servers[0], name);
    return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errnum,
                       "cannot connect to volume '%s' at server '%s'%s", name, servers[0],
                       servers[1] ? " or the others" : "");
}

/* A reference. */
static bool
get_volume(const char *name, char **servers, struct gluster_volume **ret_volume, struct error **err)
{
    struct gluster_volume *there, *made = NULL;

    (void)pthread_mutex_lock(&mutex);
    there = find_volume(name, servers);
    (void)pthread_mutex_unlock(&mutex);
    if (there) {
        *ret_volume = there;
        return true;
    }
    if (!connect_volume(name, servers, &made, err))
        return false;
    (void)pthread_mutex_lock(&mutex);
    there = find_volume(name, servers); /* somebody may have been faster */
    if (!there) {
        made->listed = true;
        made->next = volumes;
        volumes = made;
        there = TAKE(made);
    }
    (void)pthread_mutex_unlock(&mutex);
    gluster_volume_unref(made);
    *ret_volume = there;
    return true;
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
    struct gluster_volume *volume;
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
