/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image-use.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "agent/base/durable.h"
#include "agent/base/thread.h"
#include "storage/qemu-lock.h"

#define TEMPORARY ".tmp-" /* durable_replace()'s */

/* Set at the start, before there are threads. */
static char own_host[UUID_TEXT_SIZE];
static const struct use_judge *judge;

void
image_use_open(const char *host)
{
    assert(strlen(host) < sizeof(own_host));
    memcpy(own_host, host, strlen(host) + 1);
}

void
image_use_set_judge(const struct use_judge *use_judge)
{
    judge = use_judge;
}

/* ---- reading ---- */

void
image_uses_done(struct image_uses *uses)
{
    for (size_t i = 0; i < uses->count; i++) {
        use_record_done(&uses->items[i].record);
        free(uses->items[i].fault);
    }
    free(uses->items);
    *uses = (struct image_uses){ 0 };
}

/* Collects whose records there are; they are read after. */
static bool
note_use(const char *name, void *context)
{
    struct image_uses *uses = context;
    struct image_use use = { 0 };

    if (!use_name_parse(name, use.record.vm, use.record.host))
        return true;
    uses->items = xrealloc(uses->items, (uses->count + 1) * sizeof(*uses->items));
    uses->items[uses->count++] = use;
    return true;
}

/* Whether it is still there.  One that is there and cannot be understood stands all the same: a machine
   may need the image. */
static bool
read_use(struct folder *folder, struct image_use *use, bool *ret_there, struct error **err)
{
    _cleanup_free_ char *name = use_name(use->record.vm, use->record.host);
    _cleanup_text_ struct text text = TEXT_INIT;
    struct use_record record;

    *ret_there = folder_read(folder, name, FORMAT_FILE_SIZE_MAX, &text, err);
    if (*ret_there && use_record_parse(text.bytes, text.length, &record, err)) {
        use->record.name = record.name;
        use->record.since_ns = record.since_ns;
        use->record.writable = record.writable;
        use->record.shareable = record.shareable;
        return true;
    }
    if ((*err)->code == ERROR_NOT_FOUND) {
        error_free(TAKE(*err));
        return true;
    }
    if (!*ret_there && !durable_error_is_certain(*err))
        return false;
    *ret_there = true;
    use->fault = xstrdup((*err)->message);
    use->record.writable = true;
    error_free(TAKE(*err));
    return true;
}

static bool
read_uses(const struct image *image, struct folder *folder, struct image_uses *uses,
          struct error **err)
{
    size_t kept = 0;
    bool there;

    if (!folder_each(folder, note_use, uses))
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot list the uses of image '%s'", image->id);
    for (size_t i = 0; i < uses->count; i++) {
        if (!read_use(folder, &uses->items[i], &there, err))
            return error_wrap(err, "cannot tell who uses image '%s'", image->id);
        if (there)
            uses->items[kept++] = uses->items[i];
    }
    uses->count = kept;
    return true;
}

/* False and no error: there is none, and so no use. */
static bool
open_uses(const struct image *image, struct folder **ret_folder, struct error **err)
{
    if (folder_open(image->folder, FORMAT_USES, FOLDER_SAME_SYSTEM, ret_folder))
        return true;
    return errno == ENOENT
               ? false
               : error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                             "cannot tell who uses image '%s': '" FORMAT_USES "'", image->id);
}

bool
image_read_uses(const struct image *image, struct image_uses *ret_uses, struct error **err)
{
    _cleanup_(folder_closep) struct folder *folder = NULL;
    _cleanup_(image_uses_done) struct image_uses uses = { 0 };

    WORKER_ONLY();
    if (!open_uses(image, &folder, err)) {
        *ret_uses = (struct image_uses){ 0 };
        return !*err;
    }
    if (!read_uses(image, folder, &uses, err))
        return false;
    *ret_uses = uses;
    uses = (struct image_uses){ 0 };
    return true;
}

void
image_write_uses(const struct image *image, struct writer *writer)
{
    _cleanup_(image_uses_done) struct image_uses uses = { 0 };
    _cleanup_(error_freep) struct error *ignored = NULL;

    (void)!image_read_uses(image, &uses, &ignored);
    writer_array(writer);
    for (size_t i = 0; i < uses.count; i++) {
        const struct use_record *record = &uses.items[i].record;

        writer_object(writer);
        writer_member_string(writer, "vm", record->vm);
        writer_member_string(writer, "name", record->name);
        writer_member_string(writer, "host", record->host);
        writer_member_time(writer, "since", record->since_ns);
        writer_member_bool(writer, "writable", record->writable);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

/* ---- judging ---- */

static bool
is_own(const struct use_record *use)
{
    return strcmp(use->host, own_host) == 0;
}

enum use_verdict
image_judge_use(const struct image *image, const struct image_use *use)
{
    WORKER_ONLY();
    return judge && is_own(&use->record) ? judge->judge(judge->context, image, &use->record)
                                         : USE_UNKNOWN;
}

bool
image_has_uses(const struct image *image)
{
    _cleanup_(image_uses_done) struct image_uses uses = { 0 };
    _cleanup_(error_freep) struct error *ignored = NULL;

    return image_read_uses(image, &uses, &ignored) && uses.count > 0;
}

bool
image_is_used(const struct image *image)
{
    _cleanup_(image_uses_done) struct image_uses uses = { 0 };
    _cleanup_(error_freep) struct error *ignored = NULL;

    if (!image_read_uses(image, &uses, &ignored))
        return true;
    for (size_t i = 0; i < uses.count; i++)
        if (image_judge_use(image, &uses.items[i]) != USE_GONE)
            return true;
    return false;
}

/* Where the machine is, and what can be done about it. */
static bool
in_use(const struct image *image, const struct image_use *use, enum use_verdict verdict,
       const char *instead, struct error **err)
{
    const struct use_record *record = &use->record;
    const char *name = record->name ? record->name : record->vm;
    _cleanup_free_ char *where =
        is_own(record) ? xstrdup("this host") : xprintf("host %s", record->host);

    error_set(err, ERROR_IMAGE_IN_USE, "image '%s' is a disk of VM '%s' on %s%s: %s%s", image->id,
              name, where,
              is_own(record) && verdict == USE_UNKNOWN && judge
                  ? " (libvirt does not tell now whether that still is so)"
                  : "",
              instead,
              is_own(record) ? "" : "; if that host is gone for good, image.release lets it go");
    error_data_text(err, "holder", "VM %s on host %s", name, record->host);
    error_data_text(err, "vm", "%s", record->vm);
    return error_data_text(err, "host", "%s", record->host);
}

static bool
drop(const struct image *image, const char *vm, const char *host, struct error **err)
{
    _cleanup_(folder_closep) struct folder *folder = NULL;
    _cleanup_free_ char *name = use_name(vm, host);

    if (!open_uses(image, &folder, err))
        return !*err;
    return folder_unlink(folder, name, err) ||
           error_wrap(err, "cannot release image '%s'", image->id);
}

bool
image_release(const struct image *image, const char *vm, const char *host, struct error **err)
{
    WORKER_ONLY();
    return drop(image, vm, host, err);
}

/*
 * Nothing is dropped unless that clears the way: a machine that is on its way to this host has a record here
 * before libvirt knows of it, and the one of the host that it comes from stands as long.
 */
static bool
require_none(const struct image *image, const struct image_uses *uses,
             bool (*is_let_be)(const struct image_use *use, const void *context),
             const void *context, const char *instead, struct error **err)
{
    for (size_t i = 0; i < uses->count; i++) {
        const struct image_use *use = &uses->items[i];
        enum use_verdict verdict;

        if (is_let_be(use, context))
            continue;
        verdict = image_judge_use(image, use);
        if (verdict != USE_GONE)
            return in_use(image, use, verdict, instead, err);
    }
    for (size_t i = 0; i < uses->count; i++) {
        const struct use_record *record = &uses->items[i].record;

        if (is_let_be(&uses->items[i], context))
            continue;
        if (!drop(image, record->vm, record->host, err))
            return false;
    }
    return true;
}

static bool
is_of_machine(const struct image_use *use, const void *context)
{
    const char *vm = context;

    return vm && strcmp(use->record.vm, vm) == 0 && is_own(&use->record);
}

bool
image_require_unused(const struct image *image, const char *vm, const char *instead,
                     struct error **err)
{
    _cleanup_(image_uses_done) struct image_uses uses = { 0 };

    return image_read_uses(image, &uses, err) &&
           require_none(image, &uses, is_of_machine, vm, instead, err);
}

bool
image_require_quiet(const struct image *image, struct error **err)
{
    _cleanup_(image_uses_done) struct image_uses uses = { 0 };

    if (folder_fd(image->folder) >= 0)
        return true;
    if (!image_read_uses(image, &uses, err))
        return false;
    for (size_t i = 0; i < uses.count; i++) {
        const struct image_use *use = &uses.items[i];
        enum use_verdict verdict = USE_IDLE;

        if (use->record.writable)
            verdict = image_judge_use(image, use);
        if (verdict == USE_RUNNING || verdict == USE_UNKNOWN)
            return in_use(image, use, verdict,
                          "it can be read while that is shut off, by the agent of that host", err);
    }
    return true;
}

struct closing {
    const struct image *image;
    const atomic_bool *abort;
    struct error **err;
};

static bool
require_file_closed(const char *name, void *context)
{
    const struct closing *closing = context;
    struct folder *folder = closing->image->folder;
    struct stat status;

    return !format_names_data(name) || !folder_stat(folder, name, &status) ||
           !S_ISREG(status.st_mode) ||
           qemu_lock_require_free(folder, name, closing->abort, closing->err);
}

bool
image_require_closed(const struct image *image, const atomic_bool *abort, struct error **err)
{
    struct closing closing = { image, abort, err };

    WORKER_ONLY();
    if (!folder_each(image->folder, require_file_closed, &closing) && !*err)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot list image '%s'",
                           image->id);
    return !*err;
}

/* ---- claiming ---- */

void
image_claim_done(struct image_claim *claim)
{
    use_record_done(&claim->record);
    use_record_done(&claim->before);
}

struct wanted {
    const struct use_record *use;
    bool migrating;
};

/* Readers share it, and so do writers who all say that they can. */
static bool
goes_beside(const struct image_use *use, const void *context)
{
    const struct wanted *wanted = context;
    const struct use_record *one = &use->record, *other = wanted->use;

    if (strcmp(one->vm, other->vm) == 0 &&
        (wanted->migrating || strcmp(one->host, other->host) == 0))
        return true;
    return (!one->writable && !other->writable) || (one->shareable && other->shareable);
}

static bool
write_use(const struct image *image, const struct use_record *use, struct error **err)
{
    _cleanup_(folder_closep) struct folder *folder = NULL;
    _cleanup_free_ char *name = use_name(use->vm, use->host);
    _cleanup_text_ struct text text = TEXT_INIT;

    if (!folder_make(image->folder, FORMAT_USES, 0700) && errno != EEXIST)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot make '" FORMAT_USES "'");
    if (!folder_open(image->folder, FORMAT_USES, FOLDER_SAME_SYSTEM, &folder))
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot open '" FORMAT_USES "'");
    use_record_write(use, &text);
    /* The folder itself too: it may be new, or have been made by who was killed before this. */
    return folder_sync(image->folder, err) &&
           folder_replace(folder, name, text.bytes, text.length, err);
}

static void
copy_use(const struct use_record *use, struct use_record *ret_copy)
{
    *ret_copy = *use;
    ret_copy->name = use->name ? xstrdup(use->name) : NULL;
}

static void
note_before(const struct image_uses *uses, const struct use_record *use, struct image_claim *claim)
{
    for (size_t i = 0; i < uses->count; i++) {
        const struct use_record *record = &uses->items[i].record;

        if (strcmp(record->vm, use->vm) == 0 && strcmp(record->host, use->host) == 0 &&
            !uses->items[i].fault) {
            claim->was_there = true;
            copy_use(record, &claim->before);
        }
    }
}

bool
image_claim(const struct image *image, const struct use_record *use, bool migrating,
            struct image_claim *ret_claim, struct error **err)
{
    _cleanup_(image_uses_done) struct image_uses uses = { 0 };
    const struct wanted wanted = { use, migrating };

    WORKER_ONLY();
    if (!image_read_uses(image, &uses, err) ||
        !require_none(image, &uses, goes_beside, &wanted,
                      use->writable ? "only one VM writes to an image: undefine that one first "
                                      "(vm.undefine), or use a copy (image.copy) or an overlay"
                                    : "undefine that one first (vm.undefine), or use a copy "
                                      "(image.copy)",
                      err))
        return false;
    /* There nobody can leave a record; nor does this agent change anything there. */
    if (!(image->repository->read_only && !use->writable) && !write_use(image, use, err))
        return error_wrap(err, "cannot note that VM '%s' uses image '%s'", use->name, image->id);
    *ret_claim = (struct image_claim){ 0 };
    copy_use(use, &ret_claim->record);
    note_before(&uses, use, ret_claim);
    return true;
}

bool
image_unclaim(const struct image *image, const struct image_claim *claim, struct error **err)
{
    WORKER_ONLY();
    return claim->was_there ? write_use(image, &claim->before, err)
                            : drop(image, claim->record.vm, claim->record.host, err);
}

/* ---- what is left over ---- */

bool
image_has_stale_uses(const struct image *image)
{
    _cleanup_(image_uses_done) struct image_uses uses = { 0 };
    _cleanup_(error_freep) struct error *ignored = NULL;

    if (!image_read_uses(image, &uses, &ignored))
        return false;
    for (size_t i = 0; i < uses.count; i++)
        if (image_judge_use(image, &uses.items[i]) == USE_GONE)
            return true;
    return false;
}

bool
image_drop_stale_uses(const struct image *image, struct error **err)
{
    _cleanup_(image_uses_done) struct image_uses uses = { 0 };

    if (!image_read_uses(image, &uses, err))
        return false;
    for (size_t i = 0; i < uses.count; i++)
        if (image_judge_use(image, &uses.items[i]) == USE_GONE &&
            !drop(image, uses.items[i].record.vm, uses.items[i].record.host, err))
            return false;
    return true;
}

/* The first; to be freed. */
static bool
note_left_over(const char *name, void *context)
{
    char **found = context;

    if (strncmp(name, TEMPORARY, strlen(TEMPORARY)) != 0)
        return true;
    *found = xstrdup(name);
    return false;
}

static bool
find_left_over(const struct image *image, struct folder **ret_folder, char **ret_name,
               struct error **err)
{
    *ret_name = NULL;
    if (!open_uses(image, ret_folder, err))
        return !*err;
    return folder_each(*ret_folder, note_left_over, ret_name) ||
           error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                       "cannot list the uses of image '%s'", image->id);
}

bool
image_has_use_left_over(const struct image *image)
{
    _cleanup_(folder_closep) struct folder *folder = NULL;
    _cleanup_(error_freep) struct error *ignored = NULL;
    _cleanup_free_ char *name = NULL;

    return find_left_over(image, &folder, &name, &ignored) && name;
}

bool
image_drop_use_left_overs(const struct image *image, struct error **err)
{
    for (;;) {
        _cleanup_(folder_closep) struct folder *folder = NULL;
        _cleanup_free_ char *name = NULL;

        if (!find_left_over(image, &folder, &name, err))
            return false;
        if (!name)
            return true;
        if (!folder_unlink(folder, name, err))
            return error_wrap(err, "cannot free a left-over of image '%s'", image->id);
    }
}
