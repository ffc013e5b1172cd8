/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.backup, in this order, so that a kill at any line leaves what the next start can
 * bring to its end (virt/backup-table.c):
 *
 *     images are made, and not shown yet   a kill leaves what repository.check frees
 *     the notes are written                "beginning": what there is of it is ended and removed
 *     the job is begun
 *     the images are shown                 as broken, each with its copy.json
 *     the notes say so                     "running": it can be gone on with, for as long as the job runs
 *     the images are filled, one by one    each is durable before it is complete
 *     the notes say "done", the job is ended
 */
#include <config.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/clock.h"
#include "virt/backup-steps.h"
#include "virt/backup-wish.h"
#include "virt/freeze.h"

static const char *const crash_choices[] = { "leave", "resume", NULL };
static const char *const freeze_choices[] = { "auto", "always", "never", NULL };

/* ---- what is wanted ---- */

static enum outcome
plan(struct call *call)
{
    const struct backup_args *args = call->args;
    struct backup_use *use = call->state;
    struct virt *virt = call->context;
    struct error *error = NULL;

    if (!backup_check_args(args, &error) ||
        (!args->serve &&
         !repository_find(virt->storage, args->repository, &use->repository, &error)))
        return call_fail(call, error);
    if (use->repository)
        image_set_lanes(call, use->repository);
    call_begin_rate(call, args->bytes_per_second);
    return call_complete(call, NULL);
}

/* libvirt would wait for it 30 s before it refuses. */
static bool
check_jobs(struct call *call, virDomainPtr domain, struct error **err)
{
    struct backup_use *use = call->state;
    virDomainJobInfo info;

    if (!backup_find(call, err))
        return false;
    if (use->job.ours && !backup_is_open(use->backup)) /* it is just being ended */
        return error_set(err, ERROR_BUSY, "the job of the last backup has not ended yet");
    if (use->job.ours)
        return backup_refuse(
            backup_state_name(use->backup->state), "no backup of this VM", err,
            use->backup->state == BACKUP_SERVED
                ? "a backup is served: vm.finishBackup or vm.cancelBackup ends it"
                : "a backup was left by an agent: vm.resumeBackup goes on with it, "
                  "vm.cancelBackup ends it");
    if (use->job.running)
        return backup_refuse("a backup job", "no backup of this VM", err,
                             "a backup that is not the agent's is under way");
    if (virDomainGetJobInfo(domain, &info) == 0 && info.type != VIR_DOMAIN_JOB_NONE &&
        info.type != VIR_DOMAIN_JOB_COMPLETED && info.type != VIR_DOMAIN_JOB_FAILED &&
        info.type != VIR_DOMAIN_JOB_CANCELLED)
        return backup_refuse("a job", "no job of libvirt", err,
                             "libvirt has a job under way with this VM, such as a migration");
    return true;
}

static struct backup *
new_backup(const struct call *call)
{
    const struct backup_args *args = call->args;
    const struct backup_use *use = call->state;
    struct backup *backup = xalloc(sizeof(*backup));

    uuid_make(backup->id);
    backup->state = BACKUP_BEGINNING;
    memcpy(backup->host, call->agent->host_id, UUID_TEXT_SIZE);
    backup->task = xstrdup(call_task(call));
    backup->checkpoint = args->checkpoint ? xstrdup(args->checkpoint) : NULL;
    backup->since = args->since ? xstrdup(args->since) : NULL;
    backup->folder = xstrdup(args->scratch ? args->scratch : BACKUP_FOLDER);
    backup->resume = strcmp(args->on_crash, "resume") == 0;
    backup->rate = args->bytes_per_second;
    backup->begun_ns = clock_wall_ns();
    if (use->repository) {
        backup->repository = xstrdup(use->repository->name);
        memcpy(backup->repository_uuid, use->repository->uuid, UUID_TEXT_SIZE);
    }
    return backup;
}

static bool
check(struct call *call, struct error **err)
{
    const struct backup_args *args = call->args;
    struct backup_use *use = call->state;
    _cleanup_(vm_freep) struct vm *vm = NULL;
    virDomainPtr domain;

    if (!vm_now(call, &vm, err) || !vm_domain(call, &domain, err))
        return false;
    if (vm->state != VM_RUNNING && vm->state != VM_PAUSED)
        return vm_refuse_state(vm, "a running VM", err);
    if (!check_jobs(call, domain, err))
        return false;
    backup_free(TAKE(use->backup));
    use->backup = new_backup(call);
    return backup_choose(use->backup, args, vm, err) &&
           backup_check(domain, use->backup, args, err);
}

static enum outcome
look(struct call *call)
{
    struct backup_use *use = call->state;
    struct error *error = NULL;

    if (!check(call, &error))
        return vm_fail(call, error);
    return call_complete(call, "%zu disks", use->backup->disk_count);
}

/* ---- its images ---- */

static bool
is_stored(const struct call *call)
{
    const struct backup_args *args = call->args;

    return !args->serve;
}

/* What the image keeps of where it is from: so an increment is laid over nothing else. */
static char *
user_data(const struct backup_use *use, const struct backup_disk *disk)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    writer_object(&writer);
    writer_key(&writer, "backup");
    writer_object(&writer);
    writer_member_string(&writer, "id", use->backup->id);
    writer_member_string(&writer, "vm", use->vm.uuid);
    writer_member_string(&writer, "name", use->name);
    writer_member_string(&writer, "disk", disk->target);
    writer_member_string(&writer, "checkpoint", use->backup->checkpoint);
    writer_member_string(&writer, "since", use->backup->since);
    writer_member_time(&writer, "begun", use->backup->begun_ns);
    writer_end_object(&writer);
    writer_end_object(&writer);
    return text_take(&writer.text);
}

static bool
is_text(const json_t *object, const char *key, const char *wanted)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value && strcmp(value, wanted) == 0;
}

static bool
check_base(const struct backup_use *use, const struct backup_disk *disk, const struct image *base,
           struct error **err)
{
    json_t *root = json_loads(base->record.user_data ? base->record.user_data : "{}", 0, NULL);
    const json_t *made = json_object_get(root, "backup");
    bool fits = is_text(made, "vm", use->vm.uuid) && is_text(made, "disk", disk->target) &&
                is_text(made, "checkpoint", use->backup->since);

    json_decref(root);
    return fits ||
           error_set(err, ERROR_CONFLICT,
                     "image '%s' is not the backup of disk '%s' of '%s' at checkpoint '%s': its "
                     "userData tell what it is",
                     base->id, disk->target, use->name, use->backup->since);
}

static bool
make_image(struct call *call, size_t i, struct error **err)
{
    const struct backup_args *args = call->args;
    struct backup_use *use = call->state;
    const struct backup_disk *disk = &use->backup->disks[i];
    struct transfer *transfer = &use->transfers[i];
    _cleanup_(image_record_done) struct image_record record = { .format = IMAGE_RAW };

    if (disk->base &&
        (!image_open_base(use->repository, disk->base, disk->size, &transfer->base, err) ||
         !check_base(use, disk, transfer->base, err)))
        return false;
    if (disk->base)
        record.format = IMAGE_QCOW2;
    else if (args->format)
        (void)!image_format_parse(args->format, &record.format);
    record.base = disk->base ? xstrdup(disk->base) : NULL;
    record.size = image_format_size(record.format, disk->size);
    record.user_data = user_data(use, disk);
    transfer->record.source_path = backup_url(use->backup, disk);
    transfer->record.source_format = IMAGE_RAW;
    transfer->record.total = disk->size;
    transfer->record.bytes_per_second = args->bytes_per_second;
    return transfer_identify_source(transfer, call_abort_flag(call),
                                    &transfer->record.source_identity, err) &&
           transfer_prepare_target(transfer, disk->image, &record, err);
}

static enum outcome
make_images(struct call *call)
{
    const struct backup_args *args = call->args;
    struct backup_use *use = call->state;
    struct error *error = NULL;

    if (args->format && args->base && strcmp(args->format, "raw") == 0) {
        error_param(&error, "format", "must be qcow2 when there is a base");
        return call_fail(call, error);
    }
    backup_plan(call);
    for (size_t i = 0; i < use->backup->disk_count; i++)
        if (!make_image(call, i, &error))
            return call_fail(call, error);
    return call_complete(call, NULL);
}

static enum outcome
show_images(struct call *call)
{
    struct backup_use *use = call->state;
    struct error *error = NULL;

    for (size_t i = 0; i < use->backup->disk_count; i++) {
        if (!image_publish(use->transfers[i].target, &error))
            return call_fail(call, error);
        image_tell(call, use->transfers[i].target, NULL);
    }
    return call_complete(call, NULL);
}

/* ---- its job ---- */

/* Without 'freeze' "always", that the guest cannot be frozen is no failure.  '*ret_tried': it is to be thawed. */
static bool
freeze(struct call *call, virDomainPtr domain, const struct vm *vm, bool *ret_tried,
       struct error **err)
{
    const struct backup_args *args = call->args;
    struct backup_use *use = call->state;
    bool always = strcmp(args->freeze, "always") == 0;

    if (strcmp(args->freeze, "never") == 0 ||
        (!always && (vm->state != VM_RUNNING || vm->frozen_until_ns || !vm->agent_channel ||
                     strcmp(vm->agent_channel, "connected") != 0)))
        return true;
    *ret_tried = freeze_prepare(domain, clock_wall_ns() + FREEZE_MOMENT_NS, err);
    if (*ret_tried) {
        use->backup->frozen = virDomainFSFreeze(domain, NULL, 0, 0) >= 0;
        if (use->backup->frozen)
            return true;
        virt_fail(err, domain, "cannot freeze the guest");
    }
    if (!always)
        error_free(TAKE(*err));
    return !always;
}

static bool
begin_job(virDomainPtr domain, const struct backup *backup, const struct vm *vm, struct error **err)
{
    _cleanup_free_ char *job = backup_job_xml(backup, vm);
    _cleanup_free_ char *checkpoint = backup->checkpoint ? backup_checkpoint_xml(backup, vm) : NULL;

    return virDomainBackupBegin(domain, job, checkpoint, 0) == 0 ||
           virt_fail(err, domain, "cannot begin the backup");
}

/* The guest is frozen for as long as libvirt takes to begin it, and no longer. */
static bool
begin_frozen(struct call *call, virDomainPtr domain, const struct vm *vm, struct error **err)
{
    const struct backup_use *use = call->state;
    bool tried = false;
    bool begun = freeze(call, domain, vm, &tried, err) && begin_job(domain, use->backup, vm, err);

    /* Also what it froze before it failed. */
    if (tried) {
        _cleanup_(error_freep) struct error *ignored = NULL; /* it has its deadline */

        (void)!freeze_thaw(domain, NULL, &ignored);
    }
    return begun;
}

static bool
begin(struct call *call, struct error **err)
{
    struct backup_use *use = call->state;
    _cleanup_(vm_freep) struct vm *vm = NULL;
    virDomainPtr domain;

    if (!vm_now(call, &vm, err) || !vm_domain(call, &domain, err) ||
        !backup_note(domain, use->backup, err))
        return false;
    use->open = true;
    if (begin_frozen(call, domain, vm, err))
        return true;
    /* Whoever has one of that name has made it, unless libvirt went away before it could answer. */
    if ((*err)->code != ERROR_BACKEND_UNAVAILABLE && (*err)->code != ERROR_TIMEOUT)
        free(TAKE(use->backup->checkpoint));
    return false;
}

static enum outcome
begin_step(struct call *call)
{
    struct backup_use *use = call->state;
    struct error *error = NULL;

    if (!begin(call, &error))
        return call_fail(call, error);
    return call_complete(call, "%s", use->backup->frozen ? "with the guest frozen" : "");
}

static bool
note(struct call *call, struct error **err)
{
    const struct backup_args *args = call->args;
    struct backup_use *use = call->state;
    virDomainPtr domain;

    use->backup->state = args->serve ? BACKUP_SERVED : BACKUP_RUNNING;
    if (args->serve)
        use->backup->until_ns = clock_wall_ns() + args->timeout_s * NS_PER_S;
    return vm_domain(call, &domain, err) && backup_note(domain, use->backup, err);
}

/* From here on an agent that starts can go on with it: so only now it is told. */
static enum outcome
note_step(struct call *call)
{
    const struct backup_args *args = call->args;
    struct backup_use *use = call->state;
    struct error *error = NULL;

    if (!note(call, &error))
        return call_fail(call, error);
    use->left = args->serve;
    backup_tell(call, true);
    return call_complete(call, NULL);
}

const struct verb backup_verbs[] = {
    {
        .name = "vm.backup",
        .summary =
            "Back up disks of a running virtual machine as they are at one moment, while it runs on.",
        .description =
            "Into images of a repository, one a disk, each 'broken' until it is complete; or served to the "
            "caller by NBD. With 'checkpoint' QEMU counts from then on what changes, and the next backup, "
            "'since' that one, takes only that, laid over the images of the one before. A backup that fails "
            "removes its checkpoint: 'nextSince' tells which one is valid. After a crash of QEMU none is, and "
            "a full backup is needed. One backup a VM at a time.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct backup_args),
        .params = PARAMS(
            VM_PARAM(backup_args),
            PARAM(backup_args, repository, "repository", .type = PARAM_NAME,
                  .about = "The repository that is to hold the images."),
            PARAM(backup_args, image, "image", .type = PARAM_NAME,
                  .about = "What the images are called: IMAGE-DISK, such as monday-vda."),
            PARAM(backup_args, base, "base", .type = PARAM_NAME,
                  .about = "With 'since': the 'image' of the backup that holds that checkpoint."),
            PARAM(
                backup_args, disks, "disks", .type = PARAM_TEXTS,
                .about =
                    "Which disks, by target; all writable ones when absent, with a checkpoint all of "
                    "those that are qcow2."),
            PARAM(backup_args, checkpoint, "checkpoint", .type = PARAM_NAME,
                  .about = "The name of the checkpoint to make, of qcow2 disks only."),
            PARAM(backup_args, since, "since", .type = PARAM_TEXT, .minimum = 1, .one_line = true,
                  .maximum = 255, .about = "Take only what has changed since this checkpoint."),
            PARAM(backup_args, format, "format", .type = PARAM_CHOICE,
                  .choices = image_format_choices,
                  .about = "Of the images of a full backup; raw when absent."),
            PARAM(backup_args, serve, "serve", .type = PARAM_BOOL,
                  .about = "Serve it by NBD instead, on a unix socket of this host, until "
                           "vm.finishBackup or vm.cancelBackup."),
            PARAM(backup_args, timeout_s, "timeout", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = 604800, .fallback = "3600",
                  .about = "Serve it for so many seconds at most, then cancel it."),
            PARAM(backup_args, freeze, "freeze", .type = PARAM_CHOICE, .choices = freeze_choices,
                  .fallback = "\"auto\"",
                  .about = "Have the guest's agent freeze its file systems for the moment: always, "
                           "never, or where it can."),
            PARAM(
                backup_args, scratch, "scratch", .type = PARAM_PATH,
                .about =
                    "The directory for what the guest overwrites meanwhile, and for the socket; it "
                    "must be QEMU's to write to; /var/tmp when absent."),
            PARAM(backup_args, bytes_per_second, "bytesPerSecond", .type = PARAM_SIZE,
                  .fallback = "0",
                  .about = "Upper bound in bytes a second; 0: none.  task.throttle changes it."),
            PARAM(backup_args, on_crash, "onCrash", .type = PARAM_CHOICE, .choices = crash_choices,
                  .fallback = "\"leave\"",
                  .about =
                      "After a restart of the agent: leave it to vm.resumeBackup, or resume it "
                      "by itself.")),
        .result = &backup_shape,
        .errors = ERRORS(BACKUP_ERRORS),
        .steps = STEPS(
            VM_FIND_STEP, { "hold", backup_hold, .pool = POOL_LOOP },
            { "find repository", plan, .pool = POOL_LOOP }, { "look", look, .pool = POOL_VIRT },
            { "make images", make_images, .pool = POOL_REPOSITORY, .only_if = is_stored },
            { "begin", begin_step, .pool = POOL_VIRT },
            { "show images", show_images, .pool = POOL_REPOSITORY, .only_if = is_stored },
            { "note", note_step, .pool = POOL_VIRT, .responds = true },
            { "copy", backup_copy, .pool = POOL_COPY, .only_if = is_stored }, BACKUP_LAST_STEPS),
        .state_size = sizeof(struct backup_use),
        .state_done = backup_use_done,
        .object = vm_name_object,
    },
    { 0 },
};
