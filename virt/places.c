/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/places.h"

#include <libvirt/virterror.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "agent/base/thread.h"
#include "virt/connection.h"
#include "virt/virt-internal.h"
#include "virt/vm-table.h"

/* How long a judge waits for the loop, which never takes long. */
#define LOOP_WITHIN_S 2
#define NAMES_AGAIN_MS 50

char *
places_volume(const struct vm_disk *disk, const char **ret_path)
{
    const char *slash;

    *ret_path = disk->source;
    if (!disk->source || !disk->protocol || strcmp(disk->protocol, "gluster") != 0)
        return NULL;
    slash = strchr(disk->source, '/');
    if (!slash)
        return NULL;
    *ret_path = slash + 1;
    return xstrndup(disk->source, (size_t)(slash - disk->source));
}

static bool
is_file(const struct vm_disk *disk)
{
    return disk->source && disk->kind &&
           (strcmp(disk->kind, "file") == 0 || strcmp(disk->kind, "block") == 0);
}

void
places_name(const struct disk_places *places, struct vm *vm)
{
    for (size_t i = 0; i < vm->disk_count; i++) {
        struct vm_disk *disk = &vm->disks[i];
        const char *path;
        _cleanup_free_ char *volume = places_volume(disk, &path);
        struct repository *repository;

        if ((volume || is_file(disk)) && !disk->image &&
            disk_find_named(places, volume, path, &repository, &disk->image))
            disk->repository = xstrdup(repository->name);
    }
}

/* ---- judging, on a worker ---- */

/* What a worker asks of the loop.  Both hold it; the last one frees it. */
struct question {
    struct message message;
    struct virt *virt;
    pthread_mutex_t mutex; /* of the next three */
    pthread_cond_t answered;
    bool done, abandoned;
    virConnectPtr connect;      /* a reference, or NULL */
    struct disk_places *places; /* owned */
};

static void
question_free(struct question *question)
{
    if (question->connect)
        (void)virConnectClose(question->connect);
    disk_places_free(question->places);
    (void)pthread_mutex_destroy(&question->mutex);
    (void)pthread_cond_destroy(&question->answered);
    free(question);
}

static void
answer_question(struct message *message)
{
    struct question *question = CONTAINER_OF(message, struct question, message);
    _cleanup_(error_freep) struct error *ignored = NULL;
    bool abandoned;

    LOOP_ONLY();
    if (!virt_connection_get(question->virt, &question->connect, &ignored))
        question->connect = NULL;
    question->places = disk_places_new(question->virt->storage);
    pthread_mutex_lock(&question->mutex);
    question->done = true;
    abandoned = question->abandoned;
    pthread_cond_signal(&question->answered);
    pthread_mutex_unlock(&question->mutex);
    if (abandoned)
        question_free(question);
}

/* To be freed; NULL: the loop has not answered. */
static struct question *
ask_loop(struct virt *virt)
{
    struct question *question = xalloc(sizeof(*question));
    struct timespec limit;
    bool done;

    question->message.deliver = answer_question;
    question->virt = virt;
    (void)pthread_mutex_init(&question->mutex, NULL);
    (void)pthread_cond_init(&question->answered, NULL);
    loop_post(virt->agent->loop, &question->message);
    (void)clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += LOOP_WITHIN_S;
    pthread_mutex_lock(&question->mutex);
    while (!question->done &&
           pthread_cond_timedwait(&question->answered, &question->mutex, &limit) == 0)
        ;
    done = question->done;
    question->abandoned = !done;
    pthread_mutex_unlock(&question->mutex);
    return done ? question : NULL;
}

/* The volume of a <source> of Gluster, and the path in it or of this host; both to be freed. */
static char *
path_of(const struct xml_node *source, char **ret_volume)
{
    char *path = xml_attribute(source, "file");
    const char *slash;

    *ret_volume = NULL;
    if (!path)
        path = xml_attribute(source, "dev");
    if (path || !xml_attribute_is(source, "protocol", "gluster"))
        return path;
    path = xml_attribute(source, "name");
    slash = path ? strchr(path, '/') : NULL;
    if (slash)
        *ret_volume = xstrndup(path, (size_t)(slash - path));
    if (slash)
        memmove(path, slash + 1, strlen(slash));
    return path;
}

/* A base that is being folded into the image, and that QEMU has by its own name, is the image. */
static bool
leads_to(const struct xml_node *source, const struct disk_places *places, const struct image *image)
{
    _cleanup_free_ char *volume = NULL, *path = path_of(source, &volume), *id = NULL;
    struct repository *repository;

    return path && (volume || *path == '/') &&
           disk_find(places, volume, NULL, path, &repository, &id) &&
           strcmp(repository->uuid, image->repository->uuid) == 0 &&
           (strcmp(id, image->id) == 0 ||
            (image->record.merging && strcmp(id, image->record.merging) == 0));
}

/* Whatever of a disk leads there: what it is, what that stands on, where it is being copied to. */
static bool
has_source(const struct xml_node *node, const struct disk_places *places, const struct image *image)
{
    for (node = xml_first(node); node; node = xml_following(node))
        if ((strcmp(xml_name(node), "source") == 0 && leads_to(node, places, image)) ||
            has_source(node, places, image))
            return true;
    return false;
}

static bool
has_disk(const struct xml_node *domain, const struct disk_places *places, const struct image *image)
{
    for (XML_EACH(disk, xml_child(domain, "devices"), "disk"))
        if (has_source(disk, places, image))
            return true;
    return false;
}

/* As it runs, or as it will start. */
static bool
describes_disk(virDomainPtr domain, unsigned flags, const struct disk_places *places,
               const struct image *image, bool *ret_found)
{
    _cleanup_free_ char *xml = virDomainGetXMLDesc(domain, flags);
    _cleanup_(error_freep) struct error *ignored = NULL;
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    if (!xml || !xml_parse("libvirt", xml, strlen(xml), &document, &ignored))
        return false;
    *ret_found = *ret_found || has_disk(xml_root(document), places, image);
    return true;
}

static enum use_verdict
judge_domain(virDomainPtr domain, const struct disk_places *places, const struct image *image)
{
    int state, reason;
    bool found = false;

    /* A repository that is not well now is in no place: nothing is known of what lies in it. */
    if (virDomainGetState(domain, &state, &reason, 0) < 0 ||
        !describes_disk(domain, 0, places, image, &found) ||
        !describes_disk(domain, VIR_DOMAIN_XML_INACTIVE, places, image, &found))
        return USE_UNKNOWN;
    if (!found)
        return USE_GONE;
    return state == VIR_DOMAIN_SHUTOFF && virDomainHasManagedSaveImage(domain, 0) <= 0
               ? USE_IDLE
               : USE_RUNNING;
}

static bool
are_among(const struct disk_places *places, const struct repository *repository)
{
    for (size_t i = 0; i < places->count; i++)
        if (strcmp(places->repositories[i]->uuid, repository->uuid) == 0)
            return true;
    return false;
}

static enum use_verdict
judge(void *context, const struct image *image, const struct use_record *use)
{
    struct question *question = ask_loop(context);
    enum use_verdict verdict = USE_UNKNOWN;
    virDomainPtr domain;

    WORKER_ONLY();
    if (!question)
        return USE_UNKNOWN;
    if (question->connect && are_among(question->places, image->repository)) {
        domain = virDomainLookupByUUIDString(question->connect, use->vm);
        if (domain) {
            verdict = judge_domain(domain, question->places, image);
            (void)virDomainFree(domain);
        } else if (virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
            verdict = USE_GONE;
    }
    question_free(question);
    return verdict;
}

/* ---- on the loop ---- */

/* Disks may be images now that were nobody's, or the reverse. */
static void
name_again(struct timer *timer)
{
    struct virt *virt = CONTAINER_OF(timer, struct virt, names_timer);

    if (virt->current)
        news_read_all(virt);
}

static void
places_changed(void *context)
{
    struct virt *virt = context;

    timer_arm(virt->agent->loop, &virt->names_timer, NAMES_AGAIN_MS);
}

static bool
runs(const struct vm *vm)
{
    return vm->state != VM_SHUTOFF && vm->state != VM_CRASHED && vm->state != VM_UNKNOWN;
}

static const char *
machine_in(void *context, const char *repository)
{
    const struct virt *virt = context;

    LOOP_ONLY();
    for (size_t i = 0; i < virt->entry_count; i++) {
        const struct vm *vm = virt->entries[i]->vm;

        for (size_t n = 0; runs(vm) && n < vm->disk_count; n++)
            if (vm->disks[n].repository && strcmp(vm->disks[n].repository, repository) == 0)
                return vm->name;
    }
    return NULL;
}

void
places_open(struct virt *virt)
{
    LOOP_ONLY();
    virt->names_timer.fire = name_again;
    virt->judge = (struct use_judge){ .judge = judge, .context = virt };
    image_use_set_judge(&virt->judge);
    disk_watch_places(virt->storage, places_changed, virt);
    disk_ask_machines(virt->storage, machine_in);
}
