/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/question.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/task.h"
#include "gluster/gluster-internal.h"
#include "gluster/volume.h"

#define KNOWN_FOR_MS 60000 /* an answer that nobody asks for again is dropped */
#define KNOWN_MAX 256      /* of subjects that clients make up */
#define BESIDE_REST_MS 10000
#define BESIDE_REST_TIMES 9
#define BESIDE_FIRST_MS 2000
#define BUSY_FIRST_MS 100 /* asked again after that, then after twice as long, ... */
#define BUSY_TIMES 6      /* in all 6.3 s */

/*
 * A question about a subject.  It is asked by a job of its own; 'serial' tells which asking an answer
 * is of, so that who wants a fresh one waits for one that began after it came.
 */
struct known {
    uint64_t number; /* unlike that of any other, also of one dropped */
    const struct gluster_question *question;
    char *subject;    /* owned, or NULL */
    char *key;        /* owned; what tasks wait for */
    uint64_t begun;   /* askings begun */
    uint64_t ended;   /* askings that came back; equal: none is under way */
    int64_t begun_ns; /* when the last one was; monotonic */
    int64_t ended_ns; /* and when it came back */
    bool again;       /* somebody wants one that begins after the one under way */
    int64_t asked_ns; /* when glusterd was asked for this answer; monotonic */
    int64_t wall_ns;  /* the same by the wall clock */
    int64_t used_ns;  /* when somebody took the answer */
    struct gluster_items items;
    bool has_items;
    struct error *error; /* of the last asking, or NULL */
    struct gluster *gluster;
    struct known *next;
    unsigned busy; /* how often the one under way was told to come again */
    struct timer again_timer;
    /* While one is under way these are the worker's. */
    struct job job;
    struct gluster_items fresh;
    struct error *fresh_error;
    int64_t fresh_asked_ns, fresh_wall_ns;
};

struct gluster_item *
gluster_items_add(struct gluster_items *items)
{
    struct gluster_item *all = reallocarray(items->all, items->count + 1, sizeof(items->all[0]));

    if (!all)
        abort();
    items->all = all;
    all[items->count] = (struct gluster_item){ 0 };
    return &all[items->count++];
}

void
gluster_items_done(struct gluster_items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        free(items->all[i].id);
        free(items->all[i].volume);
        free(items->all[i].json);
        free(items->all[i].essence);
    }
    free(items->all);
    *items = (struct gluster_items){ 0 };
}

static void
known_free(struct known *known)
{
    free(known->subject);
    free(known->key);
    gluster_items_done(&known->items);
    error_free(known->error);
    free(known);
}

static bool
is_under_way(const struct known *known)
{
    return known->begun > known->ended;
}

static void
drop(struct gluster *gluster, struct known **place)
{
    struct known *known = *place;

    *place = known->next;
    gluster->known_count--;
    known_free(known);
}

/* So that names that clients make up do not stay, nor are many.  One under way is bounded by its lane. */
static void
drop_unused(struct gluster *gluster)
{
    int64_t now = clock_monotonic_ns();
    struct known **oldest = NULL;

    for (struct known **place = &gluster->first; *place;) {
        struct known *known = *place;

        if (!is_under_way(known) && now - known->used_ns >= KNOWN_FOR_MS * NS_PER_MS) {
            drop(gluster, place);
            continue;
        }
        if (!is_under_way(known) && known->subject &&
            (!oldest || known->used_ns < (*oldest)->used_ns))
            oldest = place;
        place = &known->next;
    }
    if (oldest && gluster->known_count >= KNOWN_MAX)
        drop(gluster, oldest);
}

void
gluster_questions_done(struct gluster *gluster)
{
    while (gluster->first)
        drop(gluster, &gluster->first);
}

static bool
is_of(const struct known *known, const struct gluster_question *question, const char *subject)
{
    return known->question == question && !known->subject == !subject &&
           (!subject || strcmp(known->subject, subject) == 0);
}

static struct known *
find_or_add(struct gluster *gluster, const struct gluster_question *question, const char *subject)
{
    struct known *known;

    for (known = gluster->first; known; known = known->next)
        if (is_of(known, question, subject))
            return known;
    drop_unused(gluster);
    known = xalloc(sizeof(*known));
    known->number = ++gluster->last_known;
    known->question = question;
    known->subject = subject ? xstrdup(subject) : NULL;
    known->key = xprintf("gluster/%s/%s", question->name, subject ? subject : "");
    known->gluster = gluster;
    known->used_ns = clock_monotonic_ns();
    known->next = gluster->first;
    gluster->first = known;
    gluster->known_count++;
    return known;
}

/* ---- asking ---- */

static void
ask_on_worker(struct job *job)
{
    struct known *known = CONTAINER_OF(job, struct known, job);

    known->fresh_asked_ns = clock_monotonic_ns();
    known->fresh_wall_ns = clock_wall_ns();
    if (!known->question->ask(known->subject, &known->fresh, &known->fresh_error))
        gluster_items_done(&known->fresh);
}

static void begin(struct known *known);
static bool submit(struct known *known, struct error **err);

static void
tell_watchers(struct known *known, const struct gluster_items *before)
{
    for (struct gluster_watcher *watcher = known->gluster->watchers; watcher;
         watcher = watcher->next) {
        if (known->error && watcher->failed)
            watcher->failed(watcher->context, known->question, known->error);
        else if (!known->error && watcher->answered)
            watcher->answered(watcher->context, known->question, known->subject, before,
                              &known->items);
    }
}

static void finish(struct known *known);

static void
try_again(struct timer *timer)
{
    struct known *known = CONTAINER_OF(timer, struct known, again_timer);

    if (!submit(known, &known->fresh_error))
        finish(known);
}

/* glusterd refuses what comes while another host asks it something about the same volume. */
static void
back_on_loop(struct job *job)
{
    struct known *known = CONTAINER_OF(job, struct known, job);

    if (!known->fresh_error || known->fresh_error->code != ERROR_BUSY ||
        known->busy == BUSY_TIMES) {
        finish(known);
        return;
    }
    error_free(TAKE(known->fresh_error));
    known->again_timer.fire = try_again;
    timer_arm(known->gluster->agent->loop, &known->again_timer, BUSY_FIRST_MS << known->busy++);
}

static void
finish(struct known *known)
{
    struct gluster *gluster = known->gluster;
    _cleanup_items_ struct gluster_items before = { 0 };
    bool had_items = known->has_items;

    known->ended = known->begun;
    known->ended_ns = clock_monotonic_ns();
    known->used_ns = clock_monotonic_ns(); /* by those who wait */
    known->asked_ns = known->fresh_asked_ns;
    known->wall_ns = known->fresh_wall_ns;
    error_free(known->error);
    known->error = TAKE(known->fresh_error);
    if (!known->error) {
        before = known->items;
        known->items = known->fresh;
        known->fresh = (struct gluster_items){ 0 };
        known->has_items = true;
    }
    log_debug(NULL, "gluster: asked for %s in %lld ms: %s", known->question->name,
              (long long)((known->used_ns - known->asked_ns) / NS_PER_MS),
              known->error ? known->error->message : "answered");
    tell_watchers(known, had_items ? &before : NULL);
    if (known->again && !is_under_way(known)) /* a watcher may have asked */
        begin(known);
    /* Last: who is woken may look for it, and it may be dropped. */
    task_wake(gluster->agent, known->key);
}

static bool
submit(struct known *known, struct error **err)
{
    struct gluster *gluster = known->gluster;

    known->fresh_asked_ns = clock_monotonic_ns();
    known->fresh_wall_ns = clock_wall_ns();
    known->job = (struct job){ .run = ask_on_worker,
                               .finished = back_on_loop,
                               .lane = known->question->slow ? &gluster->slow_questions
                                                             : &gluster->questions,
                               .pool = POOL_GLUSTER };
    if (!workers_submit(gluster->agent->workers, &known->job, err))
        return false;
    gluster->asked++;
    return true;
}

static void
begin(struct known *known)
{
    known->again = false;
    known->busy = 0;
    known->begun++;
    known->begun_ns = clock_monotonic_ns();
    if (!submit(known, &known->fresh_error))
        finish(known);
}

/* ---- answering ---- */

static bool
is_young(const struct known *known)
{
    return known->ended > 0 && known->asked_ns > known->gluster->forgotten_ns &&
           clock_monotonic_ns() - known->asked_ns <= GLUSTER_ANSWER_AGE_MS * NS_PER_MS;
}

/* ---- what is told beside ---- */

/* It may have been dropped. */
static struct known *
find_beside(const struct gluster *gluster, const struct gluster_question *question)
{
    for (struct known *known = gluster->first; known; known = known->next)
        if (is_of(known, question->beside, NULL))
            return known;
    return NULL;
}

static void
ask_beside(struct gluster *gluster, const struct gluster_question *question)
{
    struct known *known = question->beside ? find_or_add(gluster, question->beside, NULL) : NULL;
    int64_t now = clock_monotonic_ns(), rest_ns;

    if (!known)
        return;
    known->used_ns = now;
    rest_ns = (known->ended_ns - known->begun_ns) * BESIDE_REST_TIMES;
    if (rest_ns < BESIDE_REST_MS * NS_PER_MS)
        rest_ns = BESIDE_REST_MS * NS_PER_MS;
    if (!is_under_way(known) && (known->ended == 0 || now - known->ended_ns >= rest_ns))
        begin(known);
}

/* How long to wait for its very first answer. */
static uint64_t
wait_beside_ms(const struct call *call, const struct known *beside)
{
    int64_t left_ms = BESIDE_FIRST_MS - call_elapsed_ms(call);

    return beside && beside->ended == 0 && left_ms > 0 ? (uint64_t)left_ms : 0;
}

static bool
is_item_of(const struct gluster_item *item, const char *volume)
{
    return !volume || (item->volume && strcmp(item->volume, volume) == 0);
}

/* Whether the answer, which is no error, shows that there is no such volume. */
static bool
lacks(const struct known *known, const char *volume)
{
    if (!volume || !known->question->of_each_volume || known->error)
        return false;
    for (size_t i = 0; i < known->items.count; i++)
        if (is_item_of(&known->items.all[i], volume))
            return false;
    return true;
}

static enum outcome
fail_without(struct call *call, const char *volume)
{
    struct error *error = NULL;

    (void)volume_missing(volume, &error);
    return call_fail(call, error);
}

static void
write_items(struct writer *writer, const struct known *known, const char *volume)
{
    for (size_t i = 0; i < known->items.count; i++) {
        const struct gluster_item *item = &known->items.all[i];

        if (is_item_of(item, volume))
            writer_json(writer, item->json, strlen(item->json));
    }
}

static enum outcome
write_answer(struct call *call, struct known *known, const struct known *beside, const char *volume)
{
    struct writer *writer;

    known->gluster->answered++;
    known->used_ns = clock_monotonic_ns();
    if (known->error)
        return call_fail(call, error_copy(known->error));
    if (lacks(known, volume))
        return fail_without(call, volume);
    writer = call_result(call);
    writer_object(writer);
    writer_key(writer, known->question->member);
    writer_array(writer);
    write_items(writer, known, volume);
    if (beside)
        write_items(writer, beside, volume);
    writer_end_array(writer);
    writer_member_time(writer, "asked", known->wall_ns);
    writer_member_integer(writer, "ageMs", (known->used_ns - known->asked_ns) / NS_PER_MS);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

/* The asking whose answer will do; 0: what is known does. */
static uint64_t
wanted(struct known *known, bool fresh)
{
    if (!fresh && is_young(known))
        return 0;
    if (!is_under_way(known))
        begin(known);
    else if (fresh || known->gluster->forgotten_ns >= known->begun_ns)
        known->again = true;
    return known->begun + known->again;
}

enum outcome
gluster_answer(struct call *call, const struct gluster_question *question, const char *subject,
               const char *volume, bool fresh, struct gluster_wish *wish)
{
    struct gluster *gluster = call->context;
    struct known *known, *beside;
    uint64_t wait_ms;

    LOOP_ONLY();
    ask_beside(gluster, question); /* first: to add one may drop another */
    known = find_or_add(gluster, question, subject);
    if (wish->known != known->number) { /* at first, and when it was dropped before we could look */
        wish->known = known->number;
        wish->serial = wanted(known, fresh);
        /* Who asks for a volume that is not there may have just made it. */
        if (wish->serial == 0 && lacks(known, volume))
            wish->serial = wanted(known, true);
    }
    if (known->ended < wish->serial)
        return call_wait(call, known->key, 0, "asks glusterd");
    beside = question->beside ? find_beside(gluster, question) : NULL;
    wait_ms = wait_beside_ms(call, beside);
    if (wait_ms)
        return call_wait(call, beside->key, wait_ms, "asks glusterd");
    return write_answer(call, known, beside, volume);
}

void
gluster_ask(struct gluster *gluster, const struct gluster_question *question, const char *subject)
{
    struct known *known = find_or_add(gluster, question, subject);

    LOOP_ONLY();
    known->used_ns = clock_monotonic_ns();
    (void)wanted(known, true);
}

void
gluster_forget(struct gluster *gluster)
{
    LOOP_ONLY();
    gluster->forgotten_ns = clock_monotonic_ns();
}

enum outcome
gluster_forget_step(struct call *call)
{
    gluster_forget(call->context);
    return call_complete(call, NULL);
}

void
gluster_watch(struct gluster *gluster, struct gluster_watcher *watcher)
{
    LOOP_ONLY();
    watcher->next = gluster->watchers;
    gluster->watchers = watcher;
}

void
gluster_question_counts(const struct gluster *gluster, uint64_t *ret_asked, uint64_t *ret_answered)
{
    *ret_asked = gluster->asked;
    *ret_answered = gluster->answered;
}
