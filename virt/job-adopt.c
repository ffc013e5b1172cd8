/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/job-adopt.h"

#include <string.h>

#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/task.h"
#include "virt/disk-verbs.h"
#include "virt/disk-work.h"
#include "virt/job-table.h"

#define AGAIN_MS 500

struct adopted {
    char uuid[UUID_TEXT_SIZE];
    const char *verb;      /* static text */
    struct disk_note note; /* its arguments */
};

struct search {
    struct job job;
    struct virt *virt;
    virConnectPtr connect;      /* a reference */
    struct disk_places *places; /* owned */
    char uuid[UUID_TEXT_SIZE];  /* only this one; "": all */
    struct adopted *found;      /* owned */
    size_t count;
};

/* ---- looking, on a worker ---- */

static struct adopted *
add(struct search *search, const char *uuid, const char *verb)
{
    struct adopted *adopted;

    search->found = xrealloc(search->found, (search->count + 1) * sizeof(*search->found));
    adopted = &search->found[search->count++];
    *adopted = (struct adopted){ .verb = verb };
    memcpy(adopted->uuid, uuid, sizeof(adopted->uuid));
    return adopted;
}

static bool
is(const char *text, const char *value)
{
    return text && strcmp(text, value) == 0;
}

static bool
has_place(const struct search *search, const char *repository)
{
    for (size_t i = 0; i < search->places->count; i++)
        if (is(repository, search->places->repositories[i]->name))
            return true;
    return false;
}

/* '*unsettled': vm.settle is enough. */
static void
look_at_disk(struct search *search, const char *uuid, const struct xml_node *domain,
             const struct xml_node *node, bool running, bool *unsettled)
{
    _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };
    _cleanup_(disk_note_done) struct disk_note note = { 0 };

    disk_chain_read(node, &chain);
    if (!chain.target || !disk_note_read(domain, chain.target, &note)) {
        *unsettled |= disk_work_is_unsettled(search->places, &chain, running);
        return;
    }
    if (is(note.kind, "merge") && is(chain.job, "active-commit")) {
        add(search, uuid, "vm.mergeDisk")->note = note;
    } else if (is(note.kind, "move") && note.image && has_place(search, note.repository)) {
        add(search, uuid, "vm.moveDisk")->note = note;
    } else {
        *unsettled = true;
        return;
    }
    note = (struct disk_note){ 0 };
}

static void
look_at(struct search *search, virDomainPtr domain)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(error_freep) struct error *ignored = NULL; /* it goes: an event tells */
    _cleanup_free_ char *xml = virDomainGetXMLDesc(domain, 0);
    bool running = virDomainIsActive(domain) == 1, unsettled = false;
    char uuid[VIR_UUID_STRING_BUFLEN];

    if (!xml || virDomainGetUUIDString(domain, uuid) < 0 ||
        !xml_parse("libvirt", xml, strlen(xml), &document, &ignored))
        return;
    for (XML_EACH(node, xml_child(xml_root(document), "devices"), "disk"))
        look_at_disk(search, uuid, xml_root(document), node, running, &unsettled);
    /* What is to go on from saved memory needs its files as they are: it is settled when it ends. */
    if (unsettled && (running || virDomainHasManagedSaveImage(domain, 0) == 0))
        (void)add(search, uuid, "vm.settle");
}

static void
look_at_all(struct search *search)
{
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(search->connect, &domains, 0);

    for (int i = 0; i < count; i++) {
        look_at(search, domains[i]);
        (void)virDomainFree(domains[i]);
    }
    free(domains);
}

static void
run(struct job *job)
{
    struct search *search = CONTAINER_OF(job, struct search, job);
    virDomainPtr domain;

    if (!*search->uuid) {
        look_at_all(search);
        return;
    }
    domain = virDomainLookupByUUIDString(search->connect, search->uuid);
    if (!domain)
        return;
    look_at(search, domain);
    (void)virDomainFree(domain);
}

/* ---- beginning, on the loop ---- */

/* As rpc/args.c would fill them: what is owned is on the heap. */
static void *
arguments(struct adopted *adopted)
{
    struct disk_note *note = &adopted->note;
    struct merge_args *merge;
    struct move_args *move;
    struct vm_args *settle;

    if (strcmp(adopted->verb, "vm.mergeDisk") == 0) {
        merge = xalloc(sizeof(*merge));
        *merge = (struct merge_args){ .vm = { xstrdup(adopted->uuid) }, .disk = TAKE(note->disk) };
        return merge;
    }
    if (strcmp(adopted->verb, "vm.moveDisk") == 0) {
        move = xalloc(sizeof(*move));
        *move = (struct move_args){ .vm = { xstrdup(adopted->uuid) },
                                    .disk = TAKE(note->disk),
                                    .repository = TAKE(note->repository),
                                    .image = TAKE(note->image) };
        return move;
    }
    settle = xalloc(sizeof(*settle));
    *settle = (struct vm_args){ xstrdup(adopted->uuid) };
    return settle;
}

static void
begin(struct virt *virt, struct adopted *adopted)
{
    struct task_request request = { .caller = "agent", .role = ROLE_ADMIN };

    if (adopted->note.disk && job_table_has_task(virt->jobs, adopted->uuid, adopted->note.disk))
        return;
    log_info("VM %s: goes on with %s of what it found", adopted->uuid, adopted->verb);
    request.args = arguments(adopted);
    request.verb =
        verb_find(virt->agent->verbs, adopted->verb, strlen(adopted->verb), &request.context);
    task_start(virt->agent, &request);
}

static void
finished(struct job *job)
{
    struct search *search = CONTAINER_OF(job, struct search, job);

    log_debug(NULL, "%s: looked for what goes on without the agent: %zu found",
              *search->uuid ? search->uuid : "all VMs", search->count);
    for (size_t i = 0; i < search->count; i++) {
        begin(search->virt, &search->found[i]);
        disk_note_done(&search->found[i].note);
    }
    (void)virConnectClose(search->connect);
    disk_places_free(search->places);
    free(search->found);
    free(search);
}

static void
search(struct virt *virt, const char *uuid)
{
    struct search *search = xalloc(sizeof(*search));
    _cleanup_(error_freep) struct error *error = NULL;

    *search = (struct search){
        .job = { .run = run, .finished = finished, .lane = &virt->others, .pool = POOL_VIRT },
        .virt = virt,
    };
    if (uuid)
        memcpy(search->uuid, uuid, sizeof(search->uuid));
    if (virt_connection_get(virt, &search->connect, &error)) {
        search->places = disk_places_new(virt->storage);
        if (workers_submit(virt->agent->workers, &search->job, &error))
            return;
        disk_places_free(search->places);
        (void)virConnectClose(search->connect);
    }
    log_warning("cannot look for what goes on without the agent: %s", error->message);
    free(search);
}

static void
told(void *context, const struct vm_news *news)
{
    struct virt *virt = context;

    if (news->kind == VM_NEWS_ALL && !news->error)
        search(virt, NULL);
    else if (news->kind == VM_NEWS_LIFE &&
             (news->event == VIR_DOMAIN_EVENT_STOPPED || news->event == VIR_DOMAIN_EVENT_CRASHED))
        search(virt, news->uuid);
}

static void
search_again(struct timer *timer)
{
    struct virt *virt = CONTAINER_OF(timer, struct virt, adopt_timer);

    /* Else the next connection begins with it. */
    if (virt->current)
        search(virt, NULL);
}

void
job_adopt_soon(struct virt *virt)
{
    timer_arm(virt->agent->loop, &virt->adopt_timer, AGAIN_MS);
}

void
job_adopt_open(struct virt *virt)
{
    LOOP_ONLY();
    virt->adopt_timer.fire = search_again;
    virt->adopt_listener = (struct virt_listener){ .told = told, .context = virt };
    virt_listen(virt, &virt->adopt_listener);
}
