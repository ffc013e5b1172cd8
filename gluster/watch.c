/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/watch.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "events/topic.h"
#include "gluster/gluster-internal.h"
#include "gluster/operation.h"
#include "gluster/peer.h"
#include "gluster/status.h"
#include "gluster/volume.h"

/* The places of the questions in 'all'; they are asked in this order, the slow one last. */
enum { WATCHED_PEERS, WATCHED_VOLUMES, WATCHED_OPERATIONS, WATCHED_STATUS, WATCHED_COUNT };

static const struct watched watched_questions[WATCHED_COUNT] = {
    [WATCHED_VOLUMES] = { .question = &volume_question,
                          .topic = "volume.changed",
                          .hints = HINT_VOLUMES },
    [WATCHED_STATUS] = { .question = &status_question,
                         .topic = "volume.changed",
                         .hints = HINT_STATUS },
    [WATCHED_PEERS] = { .question = &peer_question, .topic = "peer.changed", .hints = HINT_PEERS },
    [WATCHED_OPERATIONS] = { .question = &operation_question,
                             .topic = "volume.operation",
                             .hints = HINT_OPERATIONS },
};

/* ---- comparing ---- */

static const char *
essence_of(const struct gluster_item *item)
{
    return item->essence ? item->essence : item->json;
}

static const struct gluster_item *
find(const struct gluster_items *items, const char *id)
{
    for (size_t i = 0; i < items->count; i++)
        if (strcmp(items->all[i].id, id) == 0)
            return &items->all[i];
    return NULL;
}

void
watched_compare(const struct gluster_items *before, const struct gluster_items *now,
                void (*differ)(void *context, const struct gluster_item *before,
                               const struct gluster_item *now),
                void *context)
{
    for (size_t i = 0; i < before->count; i++)
        if (!find(now, before->all[i].id))
            differ(context, &before->all[i], NULL);
    for (size_t i = 0; i < now->count; i++) {
        const struct gluster_item *item = &now->all[i], *old = find(before, item->id);

        if (!old || strcmp(essence_of(old), essence_of(item)) != 0)
            differ(context, old, item);
    }
}

/* An event is about a volume, or a peer. */
static const char *
subject_of(const struct gluster_item *item)
{
    return item->volume ? item->volume : item->id;
}

static void
copy_items(const struct gluster_items *items, struct gluster_items *ret_copy)
{
    for (size_t i = 0; i < items->count; i++) {
        struct gluster_item *copy = gluster_items_add(ret_copy);
        const struct gluster_item *item = &items->all[i];

        copy->id = xstrdup(item->id);
        copy->volume = item->volume ? xstrdup(item->volume) : NULL;
        copy->json = xstrdup(item->json);
        copy->essence = item->essence ? xstrdup(item->essence) : NULL;
        copy->active = item->active;
    }
}

/* ---- publishing ---- */

/* An object's JSON with one member more. */
static void
append_with(struct text *text, const char *json, const char *member, const char *value)
{
    text_append(text, json, strlen(json) - 1);
    text_printf(text, ",\"%s\":%s}", member, value);
}

/* A volume as volume.list shows it, and which of its bricks volume.status did not find online. */
static void
append_volume(const struct gluster_watch *watch, const struct gluster_item *volume,
              struct text *text)
{
    const struct gluster_item *status = find(&watch->all[WATCHED_STATUS].seen, volume->id);

    append_with(text, volume->json, "offline", status ? status->essence : "null");
}

static void
append_gone(const char *member, const char *state, const struct gluster_item *item,
            struct text *text)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    writer_object(&writer);
    writer_member_string(&writer, member, item->id);
    writer_member_string(&writer, "state", state);
    writer_end_object(&writer);
    text_append(text, writer.text.bytes, writer.text.length);
}

static void
publish(struct gluster_watch *watch, const char *topic, const char *subject,
        const struct text *text)
{
    (void)ring_publish(watch->gluster->agent->ring, topic, subject, text->bytes, text->length);
}

static void
volume_differs(void *context, const struct gluster_item *before, const struct gluster_item *now)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    if (now)
        append_volume(context, now, &text);
    else
        append_gone("volume", "deleted", before, &text);
    publish(context, "volume.changed", now ? now->id : before->id, &text);
}

/* Told with the volume; one that is not known yet is told when it is. */
static void
status_differs(void *context, const struct gluster_item *before, const struct gluster_item *now)
{
    const struct gluster_watch *watch = context;
    const struct gluster_item *volume =
        now ? find(&watch->all[WATCHED_VOLUMES].seen, now->id) : NULL;

    if (volume && (before || strcmp(now->essence, "[]") != 0))
        volume_differs(context, volume, volume);
}

static void
peer_differs(void *context, const struct gluster_item *before, const struct gluster_item *now)
{
    struct gluster_watch *watch = context;
    struct watched *status = &watch->all[WATCHED_STATUS];
    _cleanup_text_ struct text text = TEXT_INIT;

    if (watch->all[WATCHED_PEERS].known && !status->hinted_ns)
        status->hinted_ns = clock_monotonic_ns() + WATCH_LATER_MS * NS_PER_MS;

    if (now)
        text_append_string(&text, now->json);
    else
        append_gone("peer", "detached", before, &text);
    publish(context, "peer.changed", now ? now->id : before->id, &text);
}

/* One that glusterd has forgotten has ended before: another has begun, or its volume is gone.  But one that was
   under way was stopped: glusterd 10.3 forgets such a one at once. */
static void
operation_differs(void *context, const struct gluster_item *before, const struct gluster_item *now)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    _cleanup_free_ char *stopped = NULL;

    if (!now && !before->active)
        return;
    if (!now)
        stopped = operation_json_stopped(before->json);
    text_append_string(&text, now ? now->json : stopped);
    publish(context, "volume.operation", subject_of(now ? now : before), &text);
}

/* The figures of those whose status is the same: only somebody who is there cares. */
static void
tell_progress(struct gluster_watch *watch, const struct gluster_items *before,
              const struct gluster_items *now)
{
    for (size_t i = 0; i < now->count; i++) {
        const struct gluster_item *item = &now->all[i], *old = find(before, item->id);

        if (old && strcmp(essence_of(old), essence_of(item)) == 0 &&
            strcmp(old->json, item->json) != 0)
            operation_differs(watch, old, item);
    }
}

static void
tell_differences(struct gluster_watch *watch, const struct watched *watched,
                 const struct gluster_items *before)
{
    void (*const differ[])(void *, const struct gluster_item *, const struct gluster_item *) = {
        [WATCHED_VOLUMES] = volume_differs,
        [WATCHED_STATUS] = status_differs,
        [WATCHED_PEERS] = peer_differs,
        [WATCHED_OPERATIONS] = operation_differs,
    };

    watched_compare(before, &watched->seen, differ[watched - watch->all], watch);
    if (watched == &watch->all[WATCHED_OPERATIONS] && watch->wanted)
        tell_progress(watch, before, &watched->seen);
}

/* ---- asking ---- */

static int64_t
later(int64_t one, int64_t other)
{
    return one > other ? one : other;
}

int64_t
watched_due_ns(const struct watched *watched, bool wanted, bool deaf)
{
    int64_t share_ns = watched->asked_ns + WATCH_SHARE * watched->took_ns;
    int64_t due_ns = INT64_MAX, period_ns = 0;

    if (watched->asking)
        return INT64_MAX;
    if (watched->hinted_ns)
        due_ns = later(watched->hinted_ns + WATCH_SETTLE_MS * NS_PER_MS,
                       watched->asked_ns ? watched->asked_ns + WATCH_BOUND_MS * NS_PER_MS : 0);
    if (watched->active)
        period_ns = (wanted ? WATCH_ACTIVE_MS : WATCH_ALONE_MS) * NS_PER_MS;
    else if (wanted && deaf)
        period_ns = WATCH_DEAF_MS * NS_PER_MS;
    if (period_ns) {
        int64_t next_ns = later(watched->asked_ns + period_ns, share_ns);

        due_ns = next_ns < due_ns ? next_ns : due_ns;
    }
    return due_ns;
}

/* What no hint tells here: bricks of other hosts; and everything, where there are no hints. */
static bool
is_deaf(const struct gluster_watch *watch, const struct watched *watched)
{
    if (!gluster_hints_hear(&watch->gluster->hints))
        return true;
    return watched == &watch->all[WATCHED_STATUS] && !watch->lonely;
}

static void plan(struct gluster_watch *watch);

static void
ask_due(struct timer *timer)
{
    struct gluster_watch *watch = CONTAINER_OF(timer, struct gluster_watch, timer);
    int64_t now_ns = clock_monotonic_ns();

    gluster_hints_try(&watch->gluster->hints);
    for (size_t i = 0; i < watch->count; i++) {
        struct watched *watched = &watch->all[i];

        if (watched_due_ns(watched, watch->wanted, is_deaf(watch, watched)) > now_ns)
            continue;
        watched->hinted_ns = 0;
        watched->asked_ns = now_ns;
        watched->asking = true;
        gluster_ask(watch->gluster, watched->question, NULL);
    }
    plan(watch);
}

static void
plan(struct gluster_watch *watch)
{
    int64_t due_ns = INT64_MAX, now_ns = clock_monotonic_ns();
    struct loop *loop = watch->gluster->agent->loop;

    for (size_t i = 0; watch->alive && i < watch->count; i++) {
        const struct watched *watched = &watch->all[i];
        int64_t one_ns = watched_due_ns(watched, watch->wanted, is_deaf(watch, watched));

        due_ns = one_ns < due_ns ? one_ns : due_ns;
    }
    if (due_ns == INT64_MAX)
        timer_disarm(loop, &watch->timer);
    else
        timer_arm(loop, &watch->timer,
                  due_ns > now_ns ? (uint64_t)((due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS) : 0);
}

void
gluster_watch_hint(struct gluster_watch *watch, unsigned hints)
{
    LOOP_ONLY();
    for (size_t i = 0; i < watch->count; i++)
        if ((watch->all[i].hints & hints) && !watch->all[i].hinted_ns)
            watch->all[i].hinted_ns = clock_monotonic_ns();
    plan(watch);
}

void
gluster_watch_alive(struct gluster_watch *watch, bool alive)
{
    LOOP_ONLY();
    if (watch->alive == alive)
        return;
    watch->alive = alive;
    if (alive)
        gluster_watch_hint(watch, HINT_ALL);
    else
        plan(watch);
}

static struct watched *
find_watched(struct gluster_watch *watch, const struct gluster_question *question,
             const char *subject)
{
    for (size_t i = 0; i < watch->count; i++)
        if (watch->all[i].question == question && !subject)
            return &watch->all[i];
    return NULL;
}

static void
answered(void *context, const struct gluster_question *question, const char *subject,
         const struct gluster_items *before, const struct gluster_items *now)
{
    struct gluster_watch *watch = context;
    struct watched *watched = find_watched(watch, question, subject);
    _cleanup_items_ struct gluster_items old = { 0 };

    (void)before; /* it may have been dropped meanwhile; what was published is kept here */
    if (!watched)
        return;
    old = watched->seen;
    watched->seen = (struct gluster_items){ 0 };
    copy_items(now, &watched->seen);
    watched->active = false;
    for (size_t i = 0; i < now->count; i++)
        watched->active |= now->all[i].active;
    if (question == &peer_question)
        watch->lonely = now->count == 1;
    /* This agent's first answer is no change, but for those whose snapshot came before it. */
    if (watched->known || watch->wanted)
        tell_differences(watch, watched, &old);
    watched->known = true;
    if (watched->asking)
        watched->took_ns = clock_monotonic_ns() - watched->asked_ns;
    else
        watched->asked_ns = clock_monotonic_ns(); /* somebody else has */
    watched->asking = false;
    plan(watch);
}

/* Asked again in a while, unless glusterd has gone: then all is asked when it comes. */
static void
failed(void *context, const struct gluster_question *question, const struct error *error)
{
    struct gluster_watch *watch = context;
    struct watched *watched = find_watched(watch, question, NULL);

    if (!watched)
        return;
    if (!watched->hinted_ns && error->code != ERROR_BACKEND_UNAVAILABLE && watched->asking)
        watched->hinted_ns = clock_monotonic_ns() + WATCH_ALONE_MS * NS_PER_MS;
    watched->asking = false;
    plan(watch);
}

static void
wishes_changed(void *context)
{
    struct gluster_watch *watch = context;
    uint64_t topics =
        topic_mask("volume.changed") | topic_mask("volume.operation") | topic_mask("peer.changed");

    watch->wanted = (ring_wanted(watch->gluster->agent->ring) & topics) != 0;
    plan(watch);
}

/* ---- present state ---- */

struct present {
    const char *topic;
    char **subjects; /* owned, as all */
    struct text *states;
    size_t count;
};

static void *
begin_present(void *context)
{
    const struct watch_provider *provider = context;
    const struct gluster_watch *watch = provider->watch;
    const struct gluster_items *items = &watch->all[provider->watched].seen;
    struct present *present = xalloc(sizeof(*present));

    present->topic = provider->provider.topic;
    present->subjects = xalloc((items->count + 1) * sizeof(present->subjects[0]));
    present->states = xalloc((items->count + 1) * sizeof(present->states[0]));
    for (size_t i = 0; i < items->count; i++) {
        struct text *state = &present->states[present->count];

        present->subjects[present->count++] = xstrdup(subject_of(&items->all[i]));
        if (provider->watched == WATCHED_VOLUMES)
            append_volume(watch, &items->all[i], state);
        else
            text_append_string(state, items->all[i].json);
    }
    return present;
}

static bool
write_present(void *begun, snapshot_item *item, void *item_context, struct error **err)
{
    const struct present *present = begun;

    (void)err;
    for (size_t i = 0; i < present->count; i++)
        item(item_context, present->topic, present->subjects[i], &present->states[i]);
    return true;
}

static void
end_present(void *begun)
{
    struct present *present = begun;

    for (size_t i = 0; i < present->count; i++) {
        free(present->subjects[i]);
        text_done(&present->states[i]);
    }
    free(present->subjects);
    free(present->states);
    free(present);
}

/* ---- the start ---- */

void
gluster_watch_open(struct gluster_watch *watch, struct gluster *gluster)
{
    LOOP_ONLY();
    watch->gluster = gluster;
    watch->timer.fire = ask_due;
    watch->watcher =
        (struct gluster_watcher){ .answered = answered, .failed = failed, .context = watch };
    watch->wishes = (struct ring_wish_watcher){ .changed = wishes_changed, .context = watch };
    watch->count = WATCHED_COUNT;
    watch->all = xalloc(sizeof(watched_questions));
    memcpy(watch->all, watched_questions, sizeof(watched_questions));
    watch->providers = xalloc(WATCHED_COUNT * sizeof(watch->providers[0]));
    for (size_t i = 0; i < WATCHED_COUNT; i++) {
        if (i == WATCHED_STATUS)
            continue; /* it is told with the volumes */
        watch->providers[i] = (struct watch_provider){
            .provider = { .topic = watch->all[i].topic,
                          .pool = POOL_LOOP,
                          .begin = begin_present,
                          .write = write_present,
                          .end = end_present,
                          .provider_context = &watch->providers[i] },
            .watch = watch,
            .watched = i,
        };
        snapshot_register(gluster->agent, &watch->providers[i].provider);
    }
    gluster_watch(gluster, &watch->watcher);
    ring_watch_wishes(gluster->agent->ring, &watch->wishes);
}
