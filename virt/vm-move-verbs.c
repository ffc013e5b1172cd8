/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.moveDisk: a disk of a VM that runs goes into another repository, while the guest writes to it.
 *
 * The target is an image that is incomplete until QEMU has gone over to it.  QEMU copies whether the agent
 * lives or not; what the caller wanted is noted in the domain's <metadata>, so the next agent concludes it.
 * storage/disk-live.h has the rules.
 */
#include <config.h>

#include <string.h>

#include "storage/image-steps.h"
#include "storage/repository-table.h"
#include "virt/disk-job.h"
#include "virt/disk-verbs.h"
#include "virt/disk-work.h"
#include "virt/job-table.h"
#include "virt/virt-internal.h"

#define RELEASE_FOR_MS 10000
#define RELEASE_EVERY_MS 200

struct move_state {
    struct disk_work work;
    struct repository *target; /* a reference */
    struct disk_claim *claim;  /* of the target; owned; NULL: it is complete already */
    struct disk_note note;
    bool noted;             /* on disk */
    bool goes_on;           /* an agent before has begun it */
    bool over;              /* QEMU has gone over */
    bool began;             /* a job may run */
    bool listed;            /* in the table of jobs */
    struct disk_file where; /* the target's data, as QEMU has them: path and volume; owned */
    uint64_t rate;
};

static void
move_done(struct call *call)
{
    struct move_state *state = call->state;

    disk_claim_keep(TAKE(state->claim));
    repository_unref(TAKE(state->target));
    disk_note_done(&state->note);
    free(TAKE(state->where.path));
    free(TAKE(state->where.volume));
    disk_work_done(call);
}

static struct disk_user
user_of(const struct call *call)
{
    const struct move_state *state = call->state;

    return (struct disk_user){ .vm = state->work.use.uuid,
                               .name = state->work.name,
                               .host = call->agent->host_id };
}

static bool
is_new(const struct call *call)
{
    return !((const struct move_state *)call->state)->goes_on;
}

static bool
is_to_go_over(const struct call *call)
{
    return !((const struct move_state *)call->state)->over;
}

/* ---- what is moved ---- */

static enum outcome
move_find(struct call *call)
{
    const struct virt *virt = call->context;
    const struct move_args *args = call->args;
    struct move_state *state = call->state;
    enum outcome outcome = disk_work_find(call);
    struct error *error = NULL;

    if (outcome != OUTCOME_COMPLETE)
        return outcome;
    if (!repository_find(virt->storage, args->repository, &state->target, &error))
        return call_fail(call, error);
    return outcome;
}

static bool
same(const char *one, const char *other)
{
    return one && other && strcmp(one, other) == 0;
}

static void
set_where(struct move_state *state)
{
    const struct image *image = state->claim->image;
    const struct repository_place *place = &state->target->place;

    state->where.path = disk_data_path(image, image_record_data(&image->record));
    if (repository_place_is_in_volume(place))
        state->where.volume = xstrdup(place->volume);
}

static bool
refuse_job(const struct move_state *state, const char *what, struct error **err)
{
    error_set(err, ERROR_WRONG_STATE, "another job is at disk '%s': see vm.jobs", state->note.disk);
    error_data_text(err, "state", "%s", what);
    return error_data_text(err, "needs", "no job on that disk");
}

/* One that was noted before: the same call goes on with it. */
static bool
take_up(struct call *call, const struct disk_chain *chain, struct error **err)
{
    const struct move_args *args = call->args;
    struct move_state *state = call->state;
    const struct disk_user user = user_of(call);
    const struct image_wish wish = disk_work_wish(call);

    if (!same(state->note.kind, "move") || !same(state->note.repository, args->repository) ||
        (args->image && !same(state->note.image, args->image)))
        return refuse_job(state, state->note.kind ? state->note.kind : "unknown", err);
    if (!disk_move_open(state->target, state->note.image, &user, &wish, &state->claim, err)) {
        _cleanup_(disk_source_done) struct disk_source source = { 0 };

        /* A kill has come before there was a target, or after its record was complete. */
        state->noted = (*err)->code == ERROR_IMAGE_NOT_FOUND || (*err)->code == ERROR_WRONG_STATE;
        if ((*err)->code != ERROR_WRONG_STATE)
            return false;
        error_free(TAKE(*err));
        if (!disk_describe(state->target, state->note.image, &source, err))
            return false;
        state->where.path = xstrdup(source.layers[0].path);
        state->where.volume = source.volume ? xstrdup(source.volume) : NULL;
    } else
        set_where(state);
    state->goes_on = state->noted = true;
    state->over = !chain->job && disk_chain_is_at(chain, &state->where);
    state->began = same(chain->job, "copy");
    return true;
}

static bool
require_running(const struct move_state *state, struct error **err)
{
    if (state->work.running)
        return true;
    error_set(err, ERROR_WRONG_STATE,
              "VM '%s' is off: copy the image (image.copy), and define the VM with the copy",
              state->work.name);
    error_data_text(err, "state", "shutoff");
    return error_data_text(err, "needs", "a running VM");
}

static bool
describe_new(struct call *call, const struct xml_document *document, struct error **err)
{
    const struct move_args *args = call->args;
    struct move_state *state = call->state;
    _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };
    _cleanup_(image_closep) struct image *source = NULL;
    struct repository *repository;

    if (!require_running(state, err) ||
        !disk_work_open(call, document, args->disk, &chain, &repository, &state->note.source_image,
                        err) ||
        !image_open(repository, state->note.source_image, &source, err))
        return false;
    if (chain.job)
        return refuse_job(state, chain.job, err);
    if (repository == state->target &&
        (!args->image || same(args->image, state->note.source_image)))
        return error_param(err, "targetImage", "must be another one than the disk is now");
    state->note.kind = xstrdup("move");
    state->note.source_repository = xstrdup(repository->name);
    state->note.repository = xstrdup(args->repository);
    state->note.image = xstrdup(args->image ? args->image : state->note.source_image);
    state->note.source_created = (uint64_t)source->record.created_ns;
    state->note.keep_source = args->keep_source;
    return true;
}

static bool
look(struct call *call, struct error **err)
{
    const struct move_args *args = call->args;
    struct move_state *state = call->state;
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };

    if (!disk_work_read(call, &document, err) ||
        !disk_chain_find(xml_root(document), state->work.name, args->disk, &chain, err))
        return false;
    if (disk_note_read(xml_root(document), chain.target, &state->note))
        return take_up(call, &chain, err);
    state->note.disk = xstrdup(chain.target);
    return describe_new(call, document, err);
}

static enum outcome
move_look(struct call *call)
{
    const struct move_state *state = call->state;
    struct error *error = NULL;

    if (!look(call, &error))
        return call_fail(call, error);
    return call_complete(call, !state->goes_on ? NULL
                               : state->over   ? "QEMU has gone over already"
                                               : "goes on with what was begun");
}

static enum outcome
move_note(struct call *call)
{
    const struct virt *virt = call->context;
    struct move_state *state = call->state;

    state->listed = true;
    job_table_begin(virt->jobs, state->work.use.uuid, state->work.name, state->note.disk, "move",
                    call_task(call));
    return call_complete(call, NULL);
}

/* ---- the target ---- */

static bool
make_target(struct call *call, struct error **err)
{
    const struct move_args *args = call->args;
    struct move_state *state = call->state;
    const struct disk_user user = user_of(call);
    const struct image_wish wish = disk_work_wish(call);
    struct disk_target target = { .format = IMAGE_RAW };
    _cleanup_(image_closep) struct image *source = NULL;
    _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };
    struct repository *repository;
    _cleanup_free_ char *id = NULL;

    if (!disk_work_look(call, state->note.disk, &chain, err) ||
        !disk_chain_image(&chain, state->work.places, &repository, &id, err) ||
        !image_open(repository, state->note.source_image, &source, err))
        return false;
    target.size = source->record.size;
    target.user_data = source->record.user_data;
    target.format = source->record.format;
    if (args->format && !image_format_parse(args->format, &target.format))
        return error_param(err, "format", "must be raw or qcow2");
    if (!disk_move_begin(state->target, state->note.image, &target, &user, &wish, &state->claim,
                         err))
        return error_wrap(err, "cannot make the image that disk '%s' is to be", state->note.disk);
    set_where(state);
    return true;
}

static enum outcome
move_make(struct call *call)
{
    struct move_state *state = call->state;
    struct error *error = NULL;
    virDomainPtr domain;

    /* Noted first: so a target that a kill leaves is found, and goes. */
    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    state->noted = disk_note_write(domain, &state->note, &error);
    if (!state->noted || !make_target(call, &error))
        return call_fail(call, error);
    image_tell(call, state->claim->image, NULL);
    return call_complete(call, NULL);
}

static char *
copy_xml(const struct move_state *state)
{
    _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();
    const struct repository_place *place = &state->target->place;
    const enum image_format format = state->claim->image->record.format;
    const struct disk_file file = {
        .path = state->where.path,
        .volume = state->where.volume,
        .format = (char *)(uintptr_t)image_format_name(format),
    };

    xml_element(writer, "disk");
    disk_xml_file(writer, &file, file.volume ? place->servers : NULL);
    xml_element_end(writer);
    return xml_writer_take(writer);
}

static bool
begin(struct call *call, struct error **err)
{
    const struct move_args *args = call->args;
    struct move_state *state = call->state;
    _cleanup_free_ char *xml = copy_xml(state);
    virTypedParameterPtr params = NULL;
    int count = 0, room = 0;
    virDomainPtr domain;
    bool done;

    if (!vm_domain(call, &domain, err))
        return false;
    if (args->bytes_per_second)
        (void)virTypedParamsAddULLong(&params, &count, &room, VIR_DOMAIN_BLOCK_COPY_BANDWIDTH,
                                      args->bytes_per_second);
    state->began = true;
    state->rate = args->bytes_per_second;
    done = virDomainBlockCopy(domain, state->note.disk, xml, params, count,
                              VIR_DOMAIN_BLOCK_COPY_REUSE_EXT |
                                  VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB) == 0 ||
           virt_fail(err, domain, "cannot begin to move disk '%s'", state->note.disk);
    virTypedParamsFree(params, count);
    return done;
}

static enum outcome
move_begin(struct call *call)
{
    const struct move_args *args = call->args;
    struct move_state *state = call->state;
    struct writer *writer = call_result(call);
    struct error *error = NULL;

    if (is_new(call) && !begin(call, &error))
        return vm_fail(call, error);
    if (state->goes_on)
        state->rate = disk_job_take_rate(call, state->note.disk);
    else
        call_begin_rate(call, args->bytes_per_second);
    writer_object(writer);
    writer_member_string(writer, "vm", state->work.name);
    writer_member_string(writer, "disk", state->note.disk);
    writer_member_string(writer, "repository", state->note.repository);
    writer_member_string(writer, "image", state->note.image);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

/* ---- the move ---- */

static enum outcome
move_follow(struct call *call)
{
    struct move_state *state = call->state;
    enum disk_job_stage stage;

    return disk_job_follow(call, state->note.disk, &state->where, &state->rate, &stage);
}

static enum outcome
move_go_over(struct call *call)
{
    struct move_state *state = call->state;
    struct error *error = NULL;

    if (!state->over && !disk_job_pivot(call, state->note.disk, &state->where, &error))
        return vm_fail(call, error);
    state->over = true;
    if (state->claim && !disk_move_finish(state->claim, &error))
        return call_fail(call, error);
    if (state->claim)
        image_tell(call, state->claim->image, NULL);
    disk_claim_keep(TAKE(state->claim));
    return call_complete(call, NULL);
}

/* ---- the old image ---- */

static bool
find_source(const struct move_state *state, struct repository **ret_repository)
{
    for (size_t i = 0; i < state->work.places->count; i++)
        if (same(state->work.places->repositories[i]->name, state->note.source_repository)) {
            *ret_repository = state->work.places->repositories[i];
            return true;
        }
    return false;
}

/* A kill may have come after its removal, and another may have been made of that name since. */
static bool
is_another(const struct move_state *state, const struct image *image)
{
    return state->note.source_created &&
           (uint64_t)image->record.created_ns != state->note.source_created;
}

static bool
remove_source(struct call *call, struct repository *repository, struct error **err)
{
    const struct move_state *state = call->state;
    _cleanup_(image_closep) struct image *image = NULL;

    if (!image_open_locked(repository, state->note.source_image, IMAGE_LOCK_EXCLUSIVE,
                           state->work.holder, &image, err)) {
        if ((*err)->code != ERROR_IMAGE_NOT_FOUND)
            return false;
        error_free(TAKE(*err));
        return true;
    }
    if (is_another(state, image))
        return true;
    if (!image_require_no_dependents(image, err) ||
        !image_require_unused(image, NULL, "undefine that first (vm.undefine)", err) ||
        !image_require_closed(image, call_abort_flag(call), err) || !image_hide(image, err))
        return false;
    image_tell_removed(call, repository, image->id);
    image_discard(TAKE(image));
    return true;
}

static bool
let_go(struct call *call, struct error **err)
{
    struct move_state *state = call->state;
    const struct disk_user user = user_of(call);
    struct repository *repository;

    if (!find_source(state, &repository))
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE,
                         "repository '%s' is not there: image '%s' stays in it",
                         state->note.source_repository, state->note.source_image);
    return disk_release(repository, state->note.source_image, user.vm, user.host, err) &&
           (state->note.keep_source || remove_source(call, repository, err));
}

static void
forget_note(struct call *call)
{
    struct move_state *state = call->state;
    _cleanup_(error_freep) struct error *ignored = NULL;
    virDomainPtr domain;

    if (state->noted && vm_domain(call, &domain, &ignored))
        disk_note_remove(domain, state->note.disk);
    state->noted = false;
}

/* The disk has moved, whatever becomes of the old image: the task tells. */
static enum outcome
move_let_go(struct call *call)
{
    _cleanup_(error_freep) struct error *error = NULL;
    bool done = let_go(call, &error);

    /* Somebody looks at it, as the agent itself does at what its VMs have let go. */
    if (!done && error->code == ERROR_IMAGE_IN_USE && call_elapsed_ms(call) < RELEASE_FOR_MS)
        return call_retry(call, RELEASE_EVERY_MS, "%s", error->message);
    forget_note(call);
    return call_complete(call, done ? NULL : "the old image stays: %s", done ? "" : error->message);
}

static enum outcome
move_undo(struct call *call)
{
    struct move_state *state = call->state;
    const struct error *failure = call_error(call);
    _cleanup_(error_freep) struct error *error = NULL, *lost = NULL;

    if (state->over)
        return call_complete(call, "QEMU has gone over: the same call concludes it");
    if (state->began && failure && failure->code == ERROR_BACKEND_UNAVAILABLE)
        return call_complete(call, "QEMU may go on: it is followed again when libvirt is back");
    if (state->began && !disk_job_cancel(call, state->note.disk, &error))
        return call_complete(call, "%s", error->message);
    if (state->claim) {
        struct image *image = state->claim->image;
        struct repository *repository = state->target;
        _cleanup_free_ char *id = xstrdup(image->id);
        bool gone = disk_move_cancel(TAKE(state->claim), &lost);

        if (gone)
            image_tell_removed(call, repository, id);
    }
    forget_note(call);
    return call_complete(call, lost ? "%s" : "the disk is as it was", lost ? lost->message : "");
}

static enum outcome
move_end(struct call *call)
{
    const struct virt *virt = call->context;
    const struct move_state *state = call->state;

    if (state->listed)
        job_table_end(virt->jobs, state->work.use.uuid, state->note.disk, call_error(call));
    return call_complete(call, NULL);
}

const struct verb vm_move_verbs[] = {
    {
        .name = "vm.moveDisk",
        .summary =
            "Move a disk of a running virtual machine into another repository, while it is used.",
        .description =
            "Answers when it begins; vm.jobs tells of it, and it goes on when the agent is killed. The new image "
            "stands alone, whatever the old one stood on, and is 'broken' until the VM has gone over to it. Then "
            "the old one is removed. task.throttle changes its bound, task.abort ends it: the disk is as it was.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct move_args),
        .params =
            PARAMS(VM_PARAM(move_args),
                   PARAM(move_args, disk, "disk", .type = PARAM_TEXT, .required = true,
                         .minimum = 1, .maximum = 64, .about = "The disk: vda."),
                   PARAM(move_args, repository, "targetRepository", .type = PARAM_NAME,
                         .required = true, .about = "The repository that it goes into."),
                   PARAM(move_args, image, "targetImage", .type = PARAM_NAME,
                         .about = "The new image's id; the old one's when absent."),
                   PARAM(move_args, format, "format", .type = PARAM_CHOICE,
                         .choices = image_format_choices,
                         .about = "Its format; the old one's when absent."),
                   PARAM(move_args, bytes_per_second, "bytesPerSecond", .type = PARAM_SIZE,
                         .fallback = "0", .about = "Upper bound in bytes a second; 0 means none."),
                   PARAM(move_args, keep_source, "keepSource", .type = PARAM_BOOL,
                         .about = "Keep the old image, as it is at the moment of going over.")),
        .result = &vm_disk_work_shape,
        .errors =
            ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_TIMEOUT,
                   ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND,
                   ERROR_IMAGE_EXISTS, ERROR_IMAGE_IN_USE, ERROR_IMAGE_BROKEN, ERROR_CONFLICT,
                   ERROR_NO_SPACE, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps = STEPS({ "find VM", move_find, .pool = POOL_LOOP },
                       { "look at the disk", move_look, .pool = POOL_VIRT },
                       { "take it up", move_note, .pool = POOL_LOOP },
                       { "make the target", move_make, .pool = POOL_VIRT, .only_if = is_new },
                       { "begin", move_begin, .pool = POOL_VIRT, .responds = true },
                       { "follow QEMU", move_follow, .pool = POOL_VIRT, .only_if = is_to_go_over },
                       { "go over", move_go_over, .pool = POOL_VIRT },
                       { "let the old image go", move_let_go, .pool = POOL_VIRT },
                       { "leave it truthful", move_undo, .pool = POOL_VIRT, .when = ON_FAILURE },
                       { "tell its end", move_end, .pool = POOL_LOOP, .when = ALWAYS },
                       DISK_WORK_END_STEP),
        .state_size = sizeof(struct move_state),
        .state_done = move_done,
        .object = vm_name_object,
    },
    { 0 },
};
