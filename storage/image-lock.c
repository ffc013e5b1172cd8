/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image-lock.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "agent/base/thread.h"
#include "storage/format.h"

#define HOLDER_SIZE_MAX 512
#define PAUSE_MS 2
#define NAMING_MS 50
#define PATIENCE_MS 2000

struct image_lock {
    struct folder_lock *file; /* owned, or NULL: it is on 'fd' */
    int fd;                   /* owned, or -1 */
};

/* What the file says of its holder, or NULL. */
static char *
read_holder(struct folder_lock *file)
{
    char text[HOLDER_SIZE_MAX + 1];

    text[folder_lock_read(file, text, HOLDER_SIZE_MAX)] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return *text ? xstrdup(text) : NULL;
}

/* A writer is named; readers leave no name, and what the file says is of a writer before them. */
static bool
in_use(struct folder_lock *file, const char *image, struct error **err)
{
    bool named = false;
    _cleanup_free_ char *holder =
        folder_lock_look(file, &named) && named ? read_holder(file) : NULL;

    error_set(err, ERROR_IMAGE_IN_USE, "image '%s' is in use%s%s: wait for it, or try again later",
              image, holder ? " by " : "", holder ? holder : "");
    return holder ? error_data_text(err, "holder", "%s", holder) : false;
}

static bool
cannot_open(const char *image, struct error **err)
{
    if (errno == EROFS)
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE,
                         "cannot lock image '%s': the file system is read-only", image);
    if (errno == ENOTSUP)
        return error_set(err, ERROR_IMAGE_BROKEN,
                         "the lock of image '%s' is not a regular file: make it one, or remove it",
                         image);
    return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot lock image '%s'", image);
}

static bool
take(struct folder_lock *file, const char *image, struct error **err)
{
    if (folder_lock_take(file))
        return true;
    if (errno == EAGAIN)
        return in_use(file, image, err);
    return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot lock image '%s'", image);
}

static bool
is_held_for_a_moment(const struct error *error)
{
    return error->data && strstr(error->data, " " IMAGE_LOCK_FOR_A_MOMENT "\"");
}

/* Who has taken it writes who he is after that, and who lets it go is named no more: so whoever it is, it is looked
   for some time.  Opened once: to open makes the file, in an image that is being removed too. */
static bool
take_patiently(struct folder_lock *file, const char *image, struct error **err)
{
    const struct timespec pause = { .tv_nsec = PAUSE_MS * NS_PER_MS };
    int64_t since_ns = clock_monotonic_ns();

    while (!take(file, image, err)) {
        int64_t patience_ms = is_held_for_a_moment(*err) ? PATIENCE_MS : NAMING_MS;

        if ((*err)->code != ERROR_IMAGE_IN_USE ||
            clock_monotonic_ns() - since_ns > patience_ms * NS_PER_MS)
            return false;
        error_free(TAKE(*err));
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

bool
image_lock_acquire(struct folder *folder, enum image_lock_mode mode, const char *image,
                   const char *holder, struct image_lock **ret_lock, struct error **err)
{
    bool exclusive = mode == IMAGE_LOCK_EXCLUSIVE;
    _cleanup_(folder_lock_closep) struct folder_lock *file = NULL;

    WORKER_ONLY();
    if (!folder_lock_open(folder, FORMAT_LOCK,
                          exclusive ? FOLDER_LOCK_EXCLUSIVE : FOLDER_LOCK_SHARED, &file))
        return cannot_open(image, err);
    if (!take_patiently(file, image, err))
        return false;
    /* A hint: when it cannot be written, the lock is held all the same. */
    if (exclusive && holder)
        (void)!folder_lock_write(file, holder, strnlen(holder, HOLDER_SIZE_MAX));
    *ret_lock = xalloc(sizeof(**ret_lock));
    (*ret_lock)->file = TAKE(file);
    (*ret_lock)->fd = -1;
    return true;
}

void
image_lock_release(struct image_lock *lock)
{
    if (!lock)
        return;
    folder_lock_close(lock->file);
    cleanup_close_fd(&lock->fd);
    free(lock);
}

int
image_lock_descriptor(struct image_lock *lock)
{
    return lock->file ? folder_lock_fd(lock->file) : lock->fd;
}

bool
image_lock_confirm(struct image_lock *lock, const char *image, struct error **err)
{
    WORKER_ONLY();
    /* Taking what one has changes nothing. */
    return !lock->file || folder_lock_take(lock->file) ||
           error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                       "the lock of image '%s' was lost, for its server was away", image);
}

struct image_lock *
image_lock_of(int fd)
{
    struct image_lock *lock = xalloc(sizeof(*lock));

    lock->fd = fd;
    return lock;
}

bool
image_lock_is_held(struct folder *folder, bool *ret_held, char **ret_holder, struct error **err)
{
    _cleanup_(folder_lock_closep) struct folder_lock *file = NULL;

    *ret_held = false;
    if (ret_holder)
        *ret_holder = NULL;
    if (!folder_lock_open(folder, FORMAT_LOCK, FOLDER_LOCK_LOOK, &file))
        return errno == ENOENT || errno == ENOTSUP ||
               error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot look at an image's lock");
    if (!folder_lock_look(file, ret_held))
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot look at an image's lock");
    if (*ret_held && ret_holder)
        *ret_holder = read_holder(file);
    return true;
}
