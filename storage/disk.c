/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/disk.h"

#include <limits.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "storage/image-data.h"

#define SEARCHABLE (S_IXGRP | S_IXOTH)
#define LAYERS_MAX 200 /* libvirt itself refuses chains of more */

void
disk_source_done(struct disk_source *source)
{
    for (size_t i = 0; i < source->layer_count; i++) {
        free(source->layers[i].image);
        free(source->layers[i].path);
    }
    free(source->layers);
    free(source->volume);
    strings_free(source->servers);
    *source = (struct disk_source){ 0 };
}

/* ---- what QEMU opens ---- */

/* Where the place's images are, with a '/' at both ends but not at the beginning of a volume's. */
static char *
images_path(const struct repository *repository)
{
    const char *path = repository->path;
    size_t length;

    if (repository_place_is_in_volume(&repository->place)) {
        path = repository->place.path ? repository->place.path : "";
        path += strspn(path, "/");
    }
    length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    return xprintf("%.*s%s" FORMAT_IMAGES "/", (int)length, path,
                   length && path[length - 1] != '/' ? "/" : "");
}

char *
disk_data_path(const struct image *image, const char *data)
{
    _cleanup_free_ char *images = images_path(image->repository);

    return xprintf("%s%s/%s", images, image->id, data);
}

/*
 * libvirt gives the data files to the user that QEMU runs as, but not the way to them: images are made in
 * folders that only the agent may enter.  Nobody may list it for that, and the files stay as closed as they
 * are.  Where it cannot be done, QEMU says what it was refused.
 */
static void
admit_qemu(const struct image *image)
{
    int fd = folder_fd(image->folder);
    struct stat status;

    if (fd >= 0 && fstat(fd, &status) == 0 && (status.st_mode & SEARCHABLE) != SEARCHABLE)
        (void)!!fchmod(fd, (status.st_mode & 07777) | SEARCHABLE);
}

static void
add_layer_take(struct disk_source *source, const struct image *image, char *path)
{
    source->layers = xrealloc(source->layers, (source->layer_count + 1) * sizeof(*source->layers));
    source->layers[source->layer_count++] = (struct disk_layer){ .image = xstrdup(image->id),
                                                                 .path = path,
                                                                 .format = image->record.format };
}

/* Where the image has a second name of its base's data, for snapshots were taken of it while a machine ran, that
   one is used: a merge then leads back into the image's own folder. */
static bool
add_base(struct disk_source *source, const struct image *image, const struct image *base,
         struct error **err)
{
    _cleanup_free_ char *name = NULL;

    if (!image_find_own_name(image, base, &name, err))
        return false;
    add_layer_take(source, base,
                   name ? disk_data_path(image, name)
                        : disk_data_path(base, image_record_data(&base->record)));
    return true;
}

static void
add_place(struct disk_source *source, const struct repository_place *place)
{
    size_t count = 0;

    if (!repository_place_is_in_volume(place))
        return;
    source->volume = xstrdup(place->volume);
    while (place->servers[count])
        count++;
    source->servers = xalloc((count + 1) * sizeof(*source->servers));
    for (size_t i = 0; i < count; i++)
        source->servers[i] = xstrdup(place->servers[i]);
}

/* What an image that is usable itself stands on. */
static bool
add_bases(struct disk_source *source, const struct image *image, bool admit, struct error **err)
{
    _cleanup_free_ char *next = image->record.base ? xstrdup(image->record.base) : NULL;

    while (next) {
        _cleanup_(image_closep) struct image *base = NULL;

        if (source->layer_count >= LAYERS_MAX)
            return error_set(err, ERROR_IMAGE_BROKEN,
                             "image '%s' stands on more than %d others: make it stand alone "
                             "(image.optimize)",
                             image->id, LAYERS_MAX);
        if (!image_open(image->repository, next, &base, err))
            return error_wrap(err, "image '%s' cannot be used as a disk", image->id);
        /* One that is being folded into this image shows nothing of its own, but this one is whole. */
        if (!image_require_sound(base, err) ||
            (!image->record.merging && !image_require_settled(base, err)))
            return error_wrap(err, "image '%s' cannot be used as a disk", image->id);
        if (!add_base(source, image, base, err))
            return false;
        if (admit)
            admit_qemu(base);
        free(next);
        next = TAKE(base->record.base);
    }
    return true;
}

static bool
describe(const struct image *image, bool admit, struct disk_source *ret_source, struct error **err)
{
    _cleanup_(disk_source_done) struct disk_source source = {
        .size = image_format_size(IMAGE_QCOW2, image->record.size), /* QEMU's are whole sectors */
        .immutable = !image->record.mutable
    };

    add_layer_take(&source, image, disk_data_path(image, image_record_data(&image->record)));
    if (admit)
        admit_qemu(image);
    if (!add_bases(&source, image, admit, err))
        return false;
    add_place(&source, &image->repository->place);
    *ret_source = source;
    source = (struct disk_source){ 0 };
    return true;
}

static bool
require_sound(const struct image *image, struct error **err)
{
    return image_require_usable(image, err) && image_require_resized(image, err);
}

bool
disk_describe(struct repository *repository, const char *id, struct disk_source *ret_source,
              struct error **err)
{
    _cleanup_(image_closep) struct image *image = NULL;

    return image_open(repository, id, &image, err) && require_sound(image, err) &&
           describe(image, false, ret_source, err);
}

/* ---- claiming, and letting go ---- */

static void
claim_free(struct disk_claim *claim)
{
    disk_source_done(&claim->source);
    image_claim_done(&claim->record);
    image_close(claim->image);
    free(claim);
}

static bool
require_access(const struct image *image, enum use_access access, struct error **err)
{
    return access == USE_READ_ONLY || image->record.mutable ||
           error_set(err, ERROR_IMAGE_IMMUTABLE,
                     "image '%s' is a snapshot: attach it read-only, or make an overlay over it "
                     "(image.create)",
                     image->id);
}

/* Whatever is in it. */
static bool
note_user(struct disk_claim *claim, const struct disk_user *user, enum use_access access,
          struct error **err)
{
    struct use_record use = { .name = (char *)(uintptr_t)user->name,
                              .since_ns = clock_wall_ns(),
                              .writable = access != USE_READ_ONLY,
                              .shareable = access == USE_SHAREABLE };

    if (!uuid_text_valid(user->vm) || !uuid_text_valid(user->host))
        return error_set(err, ERROR_INTERNAL, "'%s' or '%s' is no UUID", user->vm, user->host);
    memcpy(use.vm, user->vm, sizeof(use.vm));
    memcpy(use.host, user->host, sizeof(use.host));
    return describe(claim->image, true, &claim->source, err) &&
           image_claim(claim->image, &use, user->migrating, &claim->record, err);
}

bool
disk_claim_image(struct image *image, const struct disk_user *user, enum use_access access,
                 struct disk_claim **ret_claim, struct error **err)
{
    struct disk_claim *claim = xalloc(sizeof(*claim));

    WORKER_ONLY();
    claim->image = image;
    if (note_user(claim, user, access, err)) {
        *ret_claim = claim;
        return true;
    }
    claim->image = NULL;
    claim_free(claim);
    return false;
}

bool
disk_claim(struct repository *repository, const char *id, const struct disk_user *user,
           enum use_access access, const char *holder, struct disk_claim **ret_claim,
           struct error **err)
{
    _cleanup_(image_closep) struct image *image = NULL;

    WORKER_ONLY();
    if (!image_open_locked(repository, id,
                           access == USE_READ_ONLY ? IMAGE_LOCK_SHARED : IMAGE_LOCK_EXCLUSIVE,
                           holder, &image, err) ||
        !require_access(image, access, err) || !require_sound(image, err) ||
        !disk_claim_image(image, user, access, ret_claim, err))
        return false;
    (void)TAKE(image);
    return true;
}

void
disk_claim_keep(struct disk_claim *claim)
{
    WORKER_ONLY();
    if (claim)
        claim_free(claim);
}

void
disk_claim_drop(struct disk_claim *claim)
{
    _cleanup_(error_freep) struct error *ignored = NULL;

    WORKER_ONLY();
    if (!claim)
        return;
    (void)!image_unclaim(claim->image, &claim->record, &ignored);
    claim_free(claim);
}

bool
disk_release(struct repository *repository, const char *id, const char *vm, const char *host,
             struct error **err)
{
    _cleanup_(image_closep) struct image *image = NULL;

    if (image_open_directory(repository, id, &image, err))
        return image_release(image, vm, host, err);
    if ((*err)->code != ERROR_IMAGE_NOT_FOUND)
        return false;
    error_free(TAKE(*err));
    return true;
}

/* ---- whose file is this? ---- */

static struct disk_places *
places_new(struct storage *storage, bool well)
{
    struct disk_places *places = xalloc(sizeof(*places));
    struct repository *repository;

    LOOP_ONLY();
    for (repository = storage->first; repository; repository = repository->next)
        if (!well || strcmp(repository->health, "ok") == 0) {
            places->repositories =
                xrealloc(places->repositories, (places->count + 1) * sizeof(*places->repositories));
            places->repositories[places->count++] = repository_ref(repository);
        }
    return places;
}

struct disk_places *
disk_places_new(struct storage *storage)
{
    return places_new(storage, true);
}

struct disk_places *
disk_places_new_all(struct storage *storage)
{
    return places_new(storage, false);
}

void
disk_places_free(struct disk_places *places)
{
    if (!places)
        return;
    for (size_t i = 0; i < places->count; i++)
        repository_unref(places->repositories[i]);
    free(places->repositories);
    free(places);
}

/* The image whose data 'path' is, below 'images'; to be freed, or NULL. */
static char *
image_below(const char *images, const char *path)
{
    size_t length = strlen(images);
    _cleanup_free_ char *image = NULL;
    const char *file;

    if (strncmp(path, images, length) != 0)
        return NULL;
    path += length;
    file = strchr(path, '/');
    if (!file || !format_names_data(file + 1))
        return NULL;
    image = xprintf("%.*s", (int)(file - path), path);
    return name_valid(image) ? TAKE(image) : NULL;
}

static bool
have_one_in_common(char *const *one, char *const *other)
{
    for (; *one; one++)
        for (char *const *candidate = other; *candidate; candidate++)
            if (strcmp(*one, *candidate) == 0)
                return true;
    return false;
}

/* Links and all: what the operator calls the repository may be called otherwise by who defined a disk. */
static char *
real_images_path(const struct repository *repository)
{
    _cleanup_free_ char *path = images_path(repository), *real = realpath(path, NULL);

    return real ? xprintf("%s/", real) : NULL;
}

static char *
real_file_path(const char *path)
{
    const char *name = strrchr(path, '/');
    _cleanup_free_ char *folder = NULL, *real = NULL;

    if (*path != '/' || !format_names_data(name + 1))
        return NULL;
    folder = xprintf("%.*s", (int)(name - path), path);
    real = realpath(folder, NULL);
    return real ? xprintf("%s%s", real, name) : NULL;
}

static bool
may_hold(const struct repository *repository, const char *volume, char *const *servers)
{
    const struct repository_place *place = &repository->place;

    if (repository_place_is_in_volume(place) != (volume != NULL))
        return false;
    return !volume || (strcmp(place->volume, volume) == 0 &&
                       (!servers || have_one_in_common(place->servers, servers)));
}

bool
disk_find(const struct disk_places *places, const char *volume, char *const *servers,
          const char *path, struct repository **ret_repository, char **ret_image)
{
    _cleanup_free_ char *real = volume ? NULL : real_file_path(path);

    WORKER_ONLY();
    if (volume)
        path += strspn(path, "/");
    for (size_t i = 0; i < places->count; i++) {
        struct repository *repository = places->repositories[i];
        _cleanup_free_ char *images = images_path(repository), *real_images = NULL;
        char *image;

        if (!may_hold(repository, volume, servers))
            continue;
        image = image_below(images, path);
        if (!image && real && (real_images = real_images_path(repository)))
            image = image_below(real_images, real);
        if (!image)
            continue;
        *ret_repository = repository;
        *ret_image = image;
        return true;
    }
    return false;
}

bool
disk_find_named(const struct disk_places *places, const char *volume, const char *path,
                struct repository **ret_repository, char **ret_image)
{
    if (volume)
        path += strspn(path, "/");
    for (size_t i = 0; i < places->count; i++) {
        struct repository *repository = places->repositories[i];
        _cleanup_free_ char *images = NULL;
        char *image;

        /* One that is still being connected has no place yet. */
        if (!may_hold(repository, volume, NULL))
            continue;
        images = images_path(repository);
        image = image_below(images, path);
        if (!image)
            continue;
        *ret_repository = repository;
        *ret_image = image;
        return true;
    }
    return false;
}

void
disk_watch_places(struct storage *storage, void (*changed)(void *context), void *context)
{
    LOOP_ONLY();
    storage->places_changed = changed;
    storage->places_context = context;
}

void
disk_ask_machines(struct storage *storage,
                  const char *(*machine_in)(void *context, const char *repository))
{
    LOOP_ONLY();
    storage->machine_in = machine_in;
}
