/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/repository-check.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/durable.h"
#include "agent/base/name.h"
#include "storage/image-data.h"
#include "storage/image-use.h"
#include "storage/repository-chains.h"

#define LIST_SIZE_MAX (384 * 1024) /* bytes: frames stay under 1 MiB */
#define TEMPORARY_IMAGE_FILE ".tmp-" FORMAT_IMAGE_FILE
#define TEMPORARY_COPY_FILE ".tmp-" FORMAT_COPY_FILE

static const char *const action_names[] = {
    [FIX_FREE] = "free",
    [FIX_UNLINK_STRAY] = "unlinkStray",
    [FIX_UNLINK_COPY] = "unlinkCopy",
    [FIX_UNLINK_TEMPORARY] = "unlinkTemporary",
    [FIX_UNLINK_DATA] = "unlinkData",
    [FIX_RELEASE] = "release",
    [FIX_OPTIMIZE] = "optimize",
    [FIX_MERGE] = "merge",
    [FIX_RESUME] = "resume",
    [FIX_REMOVE] = "remove",
};

static void
write_problem(struct writer *writer, const char *problem, const char *image, const char *kind,
              const char *text, enum fix_action action, const char *name)
{
    writer_object(writer);
    writer_member_string(writer, "problem", problem);
    writer_member_string(writer, "image", image);
    writer_member_string(writer, "kind", kind);
    writer_member_string(writer, "text", text);
    writer_key(writer, "fix");
    writer_object(writer);
    writer_member_string(writer, "action", action_names[action]);
    writer_member_string(writer, "name", name);
    writer_end_object(writer);
    writer_end_object(writer);
}

static bool
starts_with(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool
is_hidden(const char *name)
{
    return (starts_with(name, FORMAT_NEW_PREFIX) || starts_with(name, FORMAT_GONE_PREFIX)) &&
           name_valid(name + 1);
}

static bool
is_directory(struct repository *repository, const char *name)
{
    struct stat status;

    return folder_stat(repository->images, name, &status) && S_ISDIR(status.st_mode);
}

static bool
open_hidden(struct repository *repository, const char *name, struct folder **ret_folder)
{
    return folder_open(repository->images, name, FOLDER_ANY_SYSTEM, ret_folder);
}

/* Whether a hidden directory is nobody's any more: its lock is free. */
static bool
is_abandoned(struct repository *repository, const char *name)
{
    _cleanup_(folder_closep) struct folder *folder = NULL;
    _cleanup_(error_freep) struct error *ignored = NULL;
    bool held = false;

    return open_hidden(repository, name, &folder) &&
           image_lock_is_held(folder, &held, NULL, &ignored) && !held;
}

static bool
has_file(const struct image *image, const char *name)
{
    struct stat status;

    return folder_stat(image->folder, name, &status);
}

static bool
is_locked(const struct image *image)
{
    _cleanup_(error_freep) struct error *ignored = NULL;
    bool held = true;

    return !image_lock_is_held(image->folder, &held, NULL, &ignored) || held;
}

/* Whether its record is damaged for certain.  One that cannot be read this time may be sound, and one of
   a newer agent is not to be mended by this one: nobody's disk is removed for either. */
static bool
is_unfit(struct repository *repository, const char *id)
{
    _cleanup_(folder_closep) struct folder *folder = NULL;
    _cleanup_text_ struct text text = TEXT_INIT;
    _cleanup_(image_record_done) struct image_record record = { 0 };
    _cleanup_(error_freep) struct error *error = NULL;

    if (!open_hidden(repository, id, &folder))
        return false;
    if (!folder_read(folder, FORMAT_IMAGE_FILE, FORMAT_FILE_SIZE_MAX, &text, &error))
        return durable_error_is_certain(error);
    return !image_record_parse(text.bytes, text.length, &record, &error) &&
           error->code != ERROR_REPOSITORY_UNAVAILABLE;
}

/* Likewise for the record of its copy. */
static bool
has_unfit_copy(const struct image *image)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    _cleanup_(copy_record_done) struct copy_record copy = { 0 };
    _cleanup_(error_freep) struct error *error = NULL;

    if (!folder_read(image->folder, FORMAT_COPY_FILE, FORMAT_FILE_SIZE_MAX, &text, &error))
        return durable_error_is_certain(error);
    return !copy_record_parse(text.bytes, text.length, &copy, &error) &&
           error->code != ERROR_REPOSITORY_UNAVAILABLE;
}

/* What is to be said of an incomplete image; FIX_REMOVE where its copy cannot go on.  False: nothing,
   for it is complete or gone by now, or nothing can be told of it. */
static bool
judge_incomplete(struct image *image, enum fix_action *ret_action)
{
    _cleanup_(copy_record_done) struct copy_record copy = { 0 };
    _cleanup_(error_freep) struct error *error = NULL, *gone = NULL;

    *ret_action = FIX_REMOVE;
    if (image->record.upload)
        return true;
    *ret_action = FIX_RESUME;
    if (image_read_copy(image, &copy, &error))
        return true;
    *ret_action = FIX_REMOVE;
    /* Its copy may have ended since the record was read: copy.json goes after image.json has changed. */
    return has_unfit_copy(image) && image_read_record(image, &gone) && !image->record.complete;
}

static bool
is_broken(const struct image *image, struct error **err)
{
    return !image_require_usable(image, err) && (*err)->code == ERROR_IMAGE_BROKEN;
}

/* Its record and its files are read one after the other, and may have been changed in between. */
static bool
is_still_broken(struct image *image, struct error **err)
{
    return image_read_record(image, err) && is_broken(image, err);
}

static bool
is_too_deep(struct repository *repository, const char *id)
{
    return image_count_layers(repository, id, CHAIN_LAYERS_MAX + 1) > CHAIN_LAYERS_MAX;
}

/* Whether it stands on 'base', which says that it is being folded into it. */
static bool
is_to_be_merged(struct repository *repository, const char *id, const char *base)
{
    _cleanup_(image_closep) struct image *image = NULL;
    _cleanup_(error_freep) struct error *ignored = NULL;

    return image_open(repository, id, &image, &ignored) && image->record.base &&
           strcmp(image->record.base, base) == 0;
}

/* Whether it says itself that 'base' is being folded into it. */
static bool
tells_of_merge(struct repository *repository, const char *id, const char *base)
{
    _cleanup_(image_closep) struct image *image = NULL;
    _cleanup_(error_freep) struct error *ignored = NULL;

    return image_open(repository, id, &image, &ignored) && image->record.merging &&
           strcmp(image->record.merging, base) == 0;
}

/* Both images tell of one merge that was interrupted: it is reported of the one that shall stay. */
static void
check_merge(const struct image *image, struct writer *writer)
{
    const struct image_record *record = &image->record;

    if (record->merging)
        write_problem(writer, "interrupted merge", image->id, "merge",
                      "its base was being folded into it: run image.merge again", FIX_MERGE,
                      image->id);
    else if (tells_of_merge(image->repository, record->merged_into, image->id))
        return;
    else if (is_to_be_merged(image->repository, record->merged_into, image->id))
        write_problem(writer, "interrupted merge", record->merged_into, "merge",
                      "its base was to be folded into it: run image.merge again", FIX_MERGE,
                      record->merged_into);
    else
        write_problem(writer, "merged base", image->id, "clean",
                      "it was folded into another image, and nothing stands on it: remove it",
                      FIX_REMOVE, image->id);
}

static bool
has_merge(const struct image *image)
{
    return image->record.merging || image->record.merged_into;
}

static void
check_contents(struct image *image, struct writer *writer)
{
    _cleanup_(error_freep) struct error *error = NULL, *again = NULL, *sound = NULL;
    enum fix_action action;

    if (!image_base_is_there(image))
        write_problem(writer, "base missing", image->id, "mend",
                      "its base is not in the repository: remove it", FIX_REMOVE, image->id);
    else if (has_merge(image) && image_require_sound(image, &sound))
        check_merge(image, writer);
    else if (image->record.complete && is_broken(image, &error) && is_still_broken(image, &again))
        write_problem(writer, "damaged image", image->id, "mend", error->message, FIX_REMOVE,
                      image->id);
    else if (!image->record.complete && judge_incomplete(image, &action))
        write_problem(
            writer, image->record.upload ? "incomplete upload" : "incomplete copy", image->id,
            "mend",
            image->record.upload
                ? "its upload was abandoned: go on with it through a new ticket, or remove it"
            : action == FIX_RESUME
                ? "its copy was abandoned: resume it, or remove it"
                : "how far its copy is cannot be read: remove it, and copy again",
            action, image->id);
}

/* Without its lock another data file may count by now: so the record is read again. */
static void
check_left_over_data(struct image *image, struct writer *writer)
{
    _cleanup_(error_freep) struct error *ignored = NULL; /* the next check sees it */
    bool found = false;

    if (image_has_left_over_data(image, &found, &ignored) && found &&
        image_read_record(image, &ignored) && image_has_left_over_data(image, &found, &ignored) &&
        found && !is_locked(image))
        write_problem(writer, "left-over data", image->id, "clean",
                      "a change of it was interrupted, or has left what it replaced",
                      FIX_UNLINK_DATA, image->id);
}

/* Reported of the image that nothing stands on: the others keep their data files. */
static void
check_chain(struct repository *repository, const char *id, const struct bases *bases,
            struct writer *writer)
{
    if (bases_have(bases, id) || !is_too_deep(repository, id))
        return;
    write_problem(writer, "long chain", id, "optimize",
                  "it shows through many layers, and each read asks all that come before the "
                  "contents: make it stand alone (image.optimize), or merge some (image.merge)",
                  FIX_OPTIMIZE, id);
}

static bool
has_temporary_file(const struct image *image)
{
    return has_file(image, TEMPORARY_IMAGE_FILE) || has_file(image, TEMPORARY_COPY_FILE) ||
           image_has_use_left_over(image);
}

static void
check_image(struct repository *repository, const char *id, struct bases *bases,
            struct writer *writer)
{
    _cleanup_(image_closep) struct image *image = NULL;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!image_open(repository, id, &image, &error)) {
        if (error->code == ERROR_IMAGE_BROKEN && is_directory(repository, id) &&
            is_unfit(repository, id))
            write_problem(writer, "unreadable image", id, "mend", error->message, FIX_REMOVE, id);
        return;
    }
    bases_note(bases, image);
    /* What somebody works on is theirs, whatever it looks like; what is being removed is nobody's. */
    if (is_locked(image) || !image_is_named(image))
        return;
    if (image_has_stale_uses(image))
        write_problem(writer, "stale use", id, "clean",
                      "a VM of this host that it was a disk of is gone, or has it no more",
                      FIX_RELEASE, id);
    /* Machines change their disks while they run, and agents go on with that where another stopped. */
    if (!image_is_used(image)) {
        check_contents(image, writer);
        check_left_over_data(image, writer);
    }
    if (image->record.complete && has_file(image, FORMAT_COPY_FILE))
        write_problem(writer, "left-over copy record", id, "clean", "its copy has finished",
                      FIX_UNLINK_COPY, id);
    if (has_temporary_file(image))
        write_problem(writer, "left-over temporary file", id, "clean",
                      "a replacement of its record was interrupted", FIX_UNLINK_TEMPORARY, id);
}

static void
check_entry(struct repository *repository, const char *name, struct writer *writer)
{
    if (!is_directory(repository, name)) {
        /* What an NFS client keeps of a file that is still open goes by itself. */
        if (!starts_with(name, ".nfs"))
            write_problem(
                writer, "stray file", NULL, "clean",
                "it is no image, and nothing here uses it: move it away, or have it removed",
                FIX_UNLINK_STRAY, name);
    } else if (is_hidden(name) && is_abandoned(repository, name)) {
        write_problem(writer,
                      starts_with(name, FORMAT_NEW_PREFIX) ? "abandoned creation" : "removed image",
                      NULL, "clean", "it is shown nowhere and holds space", FIX_FREE, name);
    }
}

struct entry_check {
    struct repository *repository;
    struct writer *writer;
};

static bool
check_next_entry(const char *name, void *context)
{
    const struct entry_check *check = context;

    check_entry(check->repository, name, check->writer);
    return check->writer->text.length < LIST_SIZE_MAX;
}

static bool
check_entries(struct repository *repository, struct writer *writer, struct error **err)
{
    struct entry_check check = { repository, writer };

    return writer->text.length >= LIST_SIZE_MAX ||
           folder_each(repository->images, check_next_entry, &check) ||
           error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot list repository '%s'",
                       repository->name);
}

bool
repository_check(struct repository *repository, struct writer *writer, bool *ret_more,
                 struct error **err)
{
    struct bases bases = { 0 };
    char **ids;
    size_t count;

    if (!image_list(repository, NULL, 0, &ids, &count, err))
        return false;
    writer_array(writer);
    for (size_t i = 0; i < count && writer->text.length < LIST_SIZE_MAX; i++)
        check_image(repository, ids[i], &bases, writer);
    bases_sort(&bases);
    /* Without as many bases as a long chain has there is none to look for. */
    for (size_t i = 0; bases.count >= CHAIN_LAYERS_MAX && i < count; i++)
        if (writer->text.length < LIST_SIZE_MAX)
            check_chain(repository, ids[i], &bases, writer);
    bases_done(&bases);
    strings_free(ids);
    if (!check_entries(repository, writer, err))
        return false;
    *ret_more = writer->text.length >= LIST_SIZE_MAX;
    writer_end_array(writer);
    return true;
}

/* ---- fix ---- */

void
fix_done(struct fix *fix)
{
    free(fix->name);
    fix->name = NULL;
}

/* A name that this action may have.  A stray file may be called anything that is one entry: only a
   file is unlinked, and no link is followed. */
static bool
may_be_named(enum fix_action action, const char *name)
{
    if (action == FIX_FREE)
        return is_hidden(name);
    if (action == FIX_UNLINK_STRAY)
        return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    return name_valid(name);
}

const char *
repository_fix_verb(const struct fix *fix)
{
    switch (fix->action) {
    case FIX_RESUME: return "image.resume";
    case FIX_MERGE: return "image.merge";
    case FIX_OPTIMIZE: return "image.optimize";
    default: return NULL;
    }
}

bool
repository_fix_parse(const char *json, struct fix *ret_fix, struct error **err)
{
    json_t *object = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    const char *action = json_string_value(json_object_get(object, "action"));
    const char *name = json_string_value(json_object_get(object, "name"));
    bool found = false;

    for (size_t i = 0; action && name && i < ARRAY_COUNT(action_names); i++)
        if (strcmp(action_names[i], action) == 0 && may_be_named((enum fix_action)i, name)) {
            *ret_fix = (struct fix){ .action = (enum fix_action)i, .name = xstrdup(name) };
            found = true;
        }
    json_decref(object);
    return found ||
           error_param(err, "fix", "must be the 'fix' of a problem that repository.check found");
}

static bool
gone(struct error **err)
{
    return error_set(err, ERROR_CONFLICT, "the problem is not there any more: check again");
}

/*
 * With its lock, so that nobody makes an image in it; and under another name first, so that whoever
 * was about to lock it cannot show what is half removed.
 */
static bool
free_hidden(struct repository *repository, const char *name, const char *holder, struct error **err)
{
    _cleanup_(folder_closep) struct folder *folder = NULL;
    _cleanup_(image_lock_releasep) struct image_lock *lock = NULL;
    _cleanup_free_ char *freed = NULL;
    char uuid[UUID_TEXT_SIZE];

    if (!open_hidden(repository, name, &folder))
        return errno == ENOENT ? gone(err)
                               : error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                                             "cannot open '%s'", name);
    if (!image_lock_acquire(folder, IMAGE_LOCK_EXCLUSIVE, name, holder, &lock, err))
        return false;
    uuid_make(uuid);
    freed = xprintf(FORMAT_GONE_PREFIX "%s", uuid);
    if (!folder_rename(repository->images, name, repository->images, freed, err)) {
        if ((*err)->code != ERROR_NOT_FOUND)
            return false;
        error_free(TAKE(*err));
        return gone(err);
    }
    return folder_remove_tree(repository->images, freed, err);
}

static bool
unlink_stray(struct repository *repository, const char *name, struct error **err)
{
    struct stat status;

    if (!folder_stat(repository->images, name, &status) || S_ISDIR(status.st_mode))
        return gone(err);
    return folder_unlink(repository->images, name, err);
}

static bool
unlink_leftovers(struct repository *repository, const struct fix *fix, const char *holder,
                 struct error **err)
{
    _cleanup_(image_closep) struct image *image = NULL;
    bool found = false;

    if (!image_open_locked(repository, fix->name, IMAGE_LOCK_EXCLUSIVE, holder, &image, err))
        return false;
    if (fix->action == FIX_UNLINK_COPY)
        return image->record.complete && has_file(image, FORMAT_COPY_FILE)
                   ? folder_unlink(image->folder, FORMAT_COPY_FILE, err)
                   : gone(err);
    if (fix->action == FIX_UNLINK_DATA)
        return image_require_unused(image, NULL, "undefine that first (vm.undefine)", err) &&
               image_has_left_over_data(image, &found, err) &&
               (found ? image_drop_left_over_data(image, err) : gone(err));
    if (fix->action == FIX_RELEASE)
        return image_has_stale_uses(image) ? image_drop_stale_uses(image, err) : gone(err);
    if (!has_temporary_file(image))
        return gone(err);
    return folder_unlink(image->folder, TEMPORARY_IMAGE_FILE, err) &&
           folder_unlink(image->folder, TEMPORARY_COPY_FILE, err) &&
           image_drop_use_left_overs(image, err);
}

/* Whether removing is still what mends it: under the lock, by the same rules as the check. */
static bool
is_beyond_mending(struct repository *repository, const char *id)
{
    _cleanup_(image_closep) struct image *image = NULL;
    _cleanup_(error_freep) struct error *error = NULL;
    enum fix_action action;

    if (!image_open(repository, id, &image, &error))
        return error->code == ERROR_IMAGE_BROKEN && is_unfit(repository, id);
    if (!image_base_is_there(image))
        return true;
    if (image->record.complete)
        return is_broken(image, &error);
    return judge_incomplete(image, &action) && action == FIX_REMOVE;
}

static bool
remove_broken(struct repository *repository, const char *id, const char *holder,
              struct image **ret_removed, struct error **err)
{
    _cleanup_(image_closep) struct image *image = NULL;

    if (!image_lock_directory(repository, id, IMAGE_LOCK_EXCLUSIVE, holder, &image, err))
        return false;
    if (!is_beyond_mending(repository, id))
        return gone(err);
    if (!image_require_no_dependents(image, err) ||
        !image_require_unused(image, NULL, "undefine that first (vm.undefine)", err) ||
        !image_hide(image, err))
        return false;
    *ret_removed = TAKE(image);
    return true;
}

/* Only looks: image.resume takes the lock, and looks again. */
static bool
require_resumable(struct repository *repository, const char *id, struct error **err)
{
    _cleanup_(image_closep) struct image *image = NULL;
    enum fix_action action;

    if (!image_open(repository, id, &image, err))
        return false;
    if (is_locked(image))
        return error_set(err, ERROR_IMAGE_IN_USE, "somebody works on image '%s'", id);
    return (!image->record.complete && judge_incomplete(image, &action) && action == FIX_RESUME) ||
           gone(err);
}

/* Likewise. */
static bool
require_mergeable(struct repository *repository, const char *id, struct error **err)
{
    _cleanup_(image_closep) struct image *image = NULL, *base = NULL;

    if (!image_open(repository, id, &image, err))
        return false;
    if (is_locked(image))
        return error_set(err, ERROR_IMAGE_IN_USE, "somebody works on image '%s'", id);
    if (image->record.merging)
        return true;
    if (!image->record.base)
        return gone(err);
    return image_open(repository, image->record.base, &base, err) &&
           (base->record.merged_into || gone(err));
}

bool
repository_fix_apply(struct repository *repository, const struct fix *fix, const char *holder,
                     struct image **ret_removed, struct error **err)
{
    if (repository->read_only)
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE, "repository '%s' is read-only",
                         repository->name);
    switch (fix->action) {
    case FIX_FREE: return free_hidden(repository, fix->name, holder, err);
    case FIX_UNLINK_STRAY: return unlink_stray(repository, fix->name, err);
    case FIX_UNLINK_COPY:
    case FIX_UNLINK_TEMPORARY:
    case FIX_RELEASE:
    case FIX_UNLINK_DATA: return unlink_leftovers(repository, fix, holder, err);
    case FIX_REMOVE: return remove_broken(repository, fix->name, holder, ret_removed, err);
    case FIX_OPTIMIZE: return is_too_deep(repository, fix->name) || gone(err);
    case FIX_MERGE: return require_mergeable(repository, fix->name, err);
    case FIX_RESUME: return require_resumable(repository, fix->name, err);
    }
    return error_set(err, ERROR_INTERNAL, "a fix of no known kind");
}
