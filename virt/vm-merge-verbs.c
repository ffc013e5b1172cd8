/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.mergeDisk: the image that a VM writes to is folded into its base, and goes on as that.
 *
 * Which id stays is as with image.merge: the image's; its base is gone.  Of a VM that runs, QEMU writes (an
 * active block commit), whether the agent lives or not; then it is told to go over, and the record follows.
 * The same call goes on with what a kill has interrupted.  storage/image-merge.h has the rules.
 */
#include <config.h>

#include <string.h>

#include "storage/image-data.h"
#include "storage/image-steps.h"
#include "virt/disk-job.h"
#include "virt/disk-verbs.h"
#include "virt/disk-work.h"
#include "virt/job-table.h"
#include "virt/virt-internal.h"

struct merge_state {
    struct disk_work work;
    char *disk;                    /* target; owned */
    struct repository *repository; /* borrowed */
    char *image;                   /* owned */
    struct image_merge steps;
    bool locked;
    bool listed;            /* in the table of jobs */
    bool began;             /* QEMU may be at it */
    bool over;              /* QEMU has gone over */
    bool was_done;          /* a kill had left only the record to be written, and that is done */
    bool goes_on;           /* QEMU is at it already */
    struct disk_file where; /* the base's data, as QEMU has them: path and volume; owned */
    char *base_index;       /* libvirt's name for them: "vda[1]"; owned */
    uint64_t rate;
};

static void
merge_done(struct call *call)
{
    struct merge_state *state = call->state;

    if (state->locked)
        image_merge_done(&state->steps);
    free(TAKE(state->disk));
    free(TAKE(state->image));
    free(TAKE(state->where.path));
    free(TAKE(state->where.volume));
    free(TAKE(state->base_index));
    disk_work_done(call);
}

/* Something is to be written, and the record to follow. */
static bool
is_pending(const struct call *call)
{
    const struct merge_state *state = call->state;

    return !state->was_done && !state->steps.has_happened;
}

static bool
is_live(const struct call *call)
{
    return is_pending(call) && ((const struct merge_state *)call->state)->work.running;
}

static bool
is_at_rest(const struct call *call)
{
    return is_pending(call) && !((const struct merge_state *)call->state)->work.running;
}

static bool
is_left(const struct call *call)
{
    return !((const struct merge_state *)call->state)->was_done;
}

/* ---- what is merged ---- */

/* QEMU's second file must be the base that the record names, by one of the names of its data. */
static bool
check_base(struct merge_state *state, const struct disk_chain *chain, struct error **err)
{
    const struct image_merge *steps = &state->steps;
    _cleanup_free_ char *own = steps->data ? image_merge_path(steps) : NULL;
    _cleanup_free_ char *of_base =
        disk_data_path(steps->base, image_record_data(&steps->base->record));
    const struct disk_file *file = chain->count > 1 ? &chain->files[1] : NULL;

    if (!file || !file->index ||
        (strcmp(file->path, of_base) != 0 && (!own || strcmp(file->path, own) != 0)))
        return error_set(err, ERROR_CONFLICT,
                         "disk '%s' stands on '%s' in QEMU, and image '%s' on '%s'", state->disk,
                         file ? file->path : "nothing", state->image, of_base);
    state->where.path = xstrdup(file->path);
    state->where.volume = file->volume ? xstrdup(file->volume) : NULL;
    state->base_index = xprintf("%s[%s]", chain->target, file->index);
    return true;
}

static bool
check_job(struct merge_state *state, const struct disk_chain *chain, struct error **err)
{
    state->goes_on = chain->job && strcmp(chain->job, "active-commit") == 0;
    if (!chain->job || (state->goes_on && state->steps.was_marked)) {
        state->began = state->steps.written = state->goes_on;
        return true;
    }
    error_set(err, ERROR_WRONG_STATE, "another job is at disk '%s': see vm.jobs", state->disk);
    error_data_text(err, "state", "%s", chain->job);
    return error_data_text(err, "needs", "no job on that disk");
}

static bool
require_base(const struct call *call, const struct image *image, struct error **err)
{
    const struct merge_args *args = call->args;

    if (!args->base || (image->record.base && strcmp(args->base, image->record.base) == 0))
        return true;
    return error_set(err, ERROR_CONFLICT, "image '%s' stands on '%s', not on '%s'", image->id,
                     image->record.base ? image->record.base : "nothing", args->base);
}

static bool
lock(struct call *call, struct error **err)
{
    const struct merge_args *args = call->args;
    struct merge_state *state = call->state;
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };
    struct image_wish wish;

    if (!disk_work_read(call, &document, err) ||
        !disk_work_open(call, document, args->disk, &chain, &state->repository, &state->image, err))
        return false;
    state->disk = xstrdup(chain.target);
    state->was_done = state->work.went_over;
    if (state->was_done)
        return true;
    wish = disk_work_wish(call);
    state->locked = image_merge_lock(state->repository, state->image, &wish, &state->steps, err);
    if (!state->locked)
        return false;
    if (state->steps.has_happened)
        return true;
    return require_base(call, state->steps.image, err) && check_job(state, &chain, err) &&
           (!state->work.running || check_base(state, &chain, err));
}

static enum outcome
merge_lock(struct call *call)
{
    const struct merge_state *state = call->state;
    struct error *error = NULL;

    if (!lock(call, &error))
        return call_fail(call, error);
    if (!is_pending(call))
        return call_complete(call, "was done before");
    return call_complete(call, "with '%s'%s", state->steps.base->id,
                         state->goes_on            ? ", QEMU is at it already"
                         : state->steps.was_marked ? ", goes on with what was interrupted"
                                                   : "");
}

static enum outcome
merge_note(struct call *call)
{
    const struct virt *virt = call->context;
    struct merge_state *state = call->state;

    image_set_lanes(call, state->repository);
    state->listed = is_pending(call);
    if (state->listed)
        job_table_begin(virt->jobs, state->work.use.uuid, state->work.name, state->disk, "merge",
                        call_task(call));
    return call_complete(call, NULL);
}

/* ---- the marks, and the beginning ---- */

static enum outcome
merge_mark(struct call *call)
{
    struct merge_state *state = call->state;
    const struct disk_note note = { .kind = (char *)(uintptr_t) "merge", .disk = state->disk };
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error) || !image_merge_mark(&state->steps, &error) ||
        (state->work.running && !disk_note_write(domain, &note, &error)))
        return call_fail(call, error);
    image_tell(call, state->steps.base, NULL);
    image_tell(call, state->steps.image, NULL);
    return call_complete(call, NULL);
}

static bool
begin(struct call *call, struct error **err)
{
    const struct merge_args *args = call->args;
    struct merge_state *state = call->state;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, err))
        return false;
    state->began = state->steps.written = true;
    state->rate = args->bytes_per_second;
    if (virDomainBlockCommit(domain, state->disk, state->base_index, NULL, args->bytes_per_second,
                             VIR_DOMAIN_BLOCK_COMMIT_ACTIVE |
                                 VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES) == 0)
        return true;
    virt_fail(err, domain, "cannot begin to merge disk '%s'", state->disk);
    /* What libvirt refuses has not begun. */
    state->steps.written = state->steps.was_marked || (*err)->code == ERROR_BACKEND_UNAVAILABLE ||
                           (*err)->code == ERROR_BACKEND_FAILED;
    state->began = (*err)->code == ERROR_BACKEND_UNAVAILABLE;
    return false;
}

static enum outcome
merge_begin(struct call *call)
{
    const struct merge_args *args = call->args;
    struct merge_state *state = call->state;
    struct writer *writer = call_result(call);
    struct error *error = NULL;

    if (is_live(call) && !state->goes_on && !begin(call, &error))
        return vm_fail(call, error);
    if (state->goes_on)
        state->rate = disk_job_take_rate(call, state->disk);
    else
        call_begin_rate(call, args->bytes_per_second);
    writer_object(writer);
    writer_member_string(writer, "vm", state->work.name);
    writer_member_string(writer, "disk", state->disk);
    writer_member_string(writer, "repository", state->repository->name);
    writer_member_string(writer, "image", state->image);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

/* ---- the merge ---- */

static enum outcome
merge_follow(struct call *call)
{
    struct merge_state *state = call->state;
    enum disk_job_stage stage;

    return disk_job_follow(call, state->disk, &state->where, &state->rate, &stage);
}

static enum outcome
merge_fold(struct call *call)
{
    struct merge_state *state = call->state;
    const struct image_wish wish = disk_work_wish(call);
    struct error *error = NULL;

    if (!image_merge_fold(&state->steps, &wish, &error))
        return call_fail(call, error);
    return call_complete(call, "into '%s'", state->steps.base->id);
}

static enum outcome
merge_switch(struct call *call)
{
    struct merge_state *state = call->state;
    struct error *error = NULL;

    if (is_live(call) && !disk_job_pivot(call, state->disk, &state->where, &error))
        return vm_fail(call, error);
    state->over = true;
    if (!image_merge_switch(&state->steps, &error))
        return call_fail(call, error);
    image_tell(call, state->steps.image, NULL);
    return call_complete(call, "generation %llu",
                         (unsigned long long)state->steps.image->record.generation);
}

static void
forget_note(struct call *call)
{
    const struct merge_state *state = call->state;
    _cleanup_(error_freep) struct error *ignored = NULL;
    virDomainPtr domain;

    if (vm_domain(call, &domain, &ignored))
        disk_note_remove(domain, state->disk);
}

static enum outcome
merge_remove_base(struct call *call)
{
    struct merge_state *state = call->state;
    char **kept = NULL;
    struct error *error = NULL;
    bool done = (!state->work.running || disk_work_paths(call, state->disk, &kept, &error)) &&
                image_merge_remove_base(&state->steps, (const char *const *)kept, &error);
    bool waits = !done && error->code == ERROR_WRONG_STATE;

    strings_free(kept);
    if (image_merge_removed(&state->steps))
        image_tell_removed(call, state->repository, state->steps.base->id);
    image_settle(call, state->steps.image, NULL);
    if (!done && !waits)
        return call_fail(call, error);
    error_free(error);
    error = NULL;
    if (!state->work.running &&
        !disk_work_redefine(call, state->disk, state->repository, state->image, &error))
        error_free(error); /* vm.start asks again which files it is */
    return call_complete(call, waits ? "its base goes when the VM stops, which has it open" : NULL);
}

static enum outcome
merge_forget(struct call *call)
{
    forget_note(call);
    return call_complete(call, NULL);
}

static enum outcome
merge_undo(struct call *call)
{
    struct merge_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!state->locked)
        return call_complete(call, "nothing was changed");
    if (state->began && call_error(call)->code == ERROR_BACKEND_UNAVAILABLE)
        return call_complete(call, "QEMU may go on: it is followed again when libvirt is back");
    if (state->began && !state->over && !disk_job_cancel(call, state->disk, &error))
        return call_complete(call, "%s", error->message);
    forget_note(call);
    if (!image_merge_undo(&state->steps, &error))
        return call_complete(call, "%s", error->message);
    if (!image_read_record(state->steps.image, &error))
        return call_complete(call, "%s", error->message);
    if (state->steps.base && !image_merge_removed(&state->steps))
        image_settle(call, state->steps.base, NULL);
    image_settle(call, state->steps.image, NULL);
    return call_complete(call, state->steps.image->record.merging
                                   ? "the image shows what it did: run vm.mergeDisk again"
                                   : "the images are as they were");
}

static enum outcome
merge_end(struct call *call)
{
    const struct virt *virt = call->context;
    const struct merge_state *state = call->state;

    if (state->listed)
        job_table_end(virt->jobs, state->work.use.uuid, state->disk, call_error(call));
    return call_complete(call, NULL);
}

const struct verb vm_merge_verbs[] = {
    {
        .name = "vm.mergeDisk",
        .summary =
            "Fold the image that a virtual machine writes to and its base into one, while it runs.",
        .description =
            "Answers when it begins; vm.jobs tells of it, and it goes on when the agent is killed. The image "
            "keeps its id and its contents, and its base is removed: nothing else may stand on that. The same "
            "call goes on with what was interrupted. task.throttle changes its bound, task.abort ends it: then "
            "the image shows what it did, and is 'degraded' until the same call has ended.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct merge_args),
        .params = PARAMS(
            VM_PARAM(merge_args),
            PARAM(merge_args, disk, "disk", .type = PARAM_TEXT, .required = true, .minimum = 1,
                  .maximum = 64, .about = "The disk: vda."),
            PARAM(merge_args, base, "base", .type = PARAM_NAME,
                  .about = "Refuse (Conflict) unless this is the image's base: so a call that is "
                           "sent twice never folds two."),
            PARAM(merge_args, bytes_per_second, "bytesPerSecond", .type = PARAM_SIZE,
                  .fallback = "0", .about = "Upper bound in bytes a second; 0 means none.")),
        .result = &vm_disk_work_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_TIMEOUT,
                         ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_IN_USE,
                         ERROR_IMAGE_BROKEN, ERROR_IMAGE_HAS_DEPENDENTS, ERROR_CONFLICT,
                         ERROR_NO_SPACE, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps = STEPS(
            DISK_WORK_FIND_STEP, { "lock images", merge_lock, .pool = POOL_VIRT },
            { "take it up", merge_note, .pool = POOL_LOOP },
            { "mark images", merge_mark, .pool = POOL_VIRT, .only_if = is_pending },
            { "begin", merge_begin, .pool = POOL_VIRT, .responds = true },
            { "follow QEMU", merge_follow, .pool = POOL_VIRT, .only_if = is_live },
            { "write into the base", merge_fold, .pool = POOL_COPY, .only_if = is_at_rest },
            { "go over to it", merge_switch, .pool = POOL_VIRT, .only_if = is_pending },
            { "remove the base", merge_remove_base, .pool = POOL_VIRT, .only_if = is_left },
            { "forget the job", merge_forget, .pool = POOL_VIRT },
            { "leave it truthful", merge_undo, .pool = POOL_VIRT, .when = ON_FAILURE },
            { "tell its end", merge_end, .pool = POOL_LOOP, .when = ALWAYS }, DISK_WORK_END_STEP),
        .state_size = sizeof(struct merge_state),
        .state_done = merge_done,
        .object = vm_name_object,
    },
    { 0 },
};
