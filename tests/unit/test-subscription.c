/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What subscribers are sent, with a transport that only counts wakings.  What a connection got is
 * written in short: task.ended#3 is event 3, with ! a part of a snapshot, with @ by its topic.
 */
#include <config.h>

#include "rpc/subscription.h"

#include <inttypes.h>
#include <jansson.h>
#include <semaphore.h>
#include <stdio.h>

#include "agent/config.h"
#include "agent/snapshot.h"
#include "agent/task.h"
#include "events/topic.h"
#include "rpc/snapshot-stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#define AMPLE (64 * 1024)
#define RING_COUNT 8

struct world {
    struct config config;
    struct agent agent;
    struct rpc rpc;
    struct connection clients[3];
    unsigned wakings[3];
};

static struct world *world;
static const char *running_task; /* what task_each_active() tells, or NULL */

/* ---- the transport and the task table, as far as they are needed ---- */

void
connection_wake(struct connection *connection)
{
    world->wakings[connection - world->clients]++;
}

void
connection_send(struct connection *connection, const char *json, size_t size)
{
    frame_append(&connection->out, json, size);
    connection_wake(connection);
}

void
task_each_active(struct agent *agent,
                 void (*each)(void *context, const char *id, const struct text *status),
                 void *context)
{
    _cleanup_text_ struct text status = TEXT_INIT;

    (void)agent;
    text_append_string(&status, "{\"status\":\"running\"}");
    if (running_task)
        each(context, running_task, &status);
}

static int
begin(void **state)
{
    struct error *error = NULL;

    world = xalloc(sizeof(*world));
    world->config.limits.connection_subscriptions = 4;
    world->agent.config = &world->config;
    assert_true(loop_new(&world->agent.loop, &error));
    world->agent.workers = workers_new(world->agent.loop, 1, 1);
    world->agent.snapshots = snapshots_new();
    world->agent.ring = ring_new("i", RING_COUNT, 1024 * 1024);
    (void)snprintf(world->agent.instance, sizeof(world->agent.instance), "i");
    world->rpc.agent = &world->agent;
    for (size_t i = 0; i < ARRAY_COUNT(world->clients); i++) {
        world->clients[i].number = i + 1;
        world->clients[i].rpc = &world->rpc;
    }
    running_task = NULL;
    subscriptions_open(&world->rpc);
    *state = world;
    return 0;
}

static int
end(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(world->clients); i++) {
        subscription_forget(&world->clients[i]);
        text_done(&world->clients[i].out);
    }
    workers_free(world->agent.workers);
    loop_free(world->agent.loop);
    assert_null(world->rpc.subscriptions->audiences.first);
    assert_true(ring_wanted(world->agent.ring) == 0);
    assert_null(world->rpc.subscriptions->results);
    for (size_t i = 0; i < GATHERED_COUNT; i++)
        text_done(&world->rpc.subscriptions->audiences.gathered[i].text);
    free(world->rpc.subscriptions);
    free((void *)(uintptr_t)snapshot_provider_at(&world->agent, 0));
    snapshots_free(world->agent.snapshots);
    ring_free(world->agent.ring);
    free(world);
    return 0;
}

/* ---- asking and being told ---- */

static void
publish(const char *topic, const char *subject)
{
    (void)ring_publish(world->agent.ring, topic, subject, "{}", 2);
}

static void
publish_many(const char *topic, unsigned count)
{
    while (count-- > 0)
        publish(topic, "s");
}

/* What the loop does before it sleeps. */
static void
turn(void)
{
    loop_turn(world->agent.loop, false);
}

static struct filter *
subscribe_from(struct connection *client, const char *pattern, const char *subject, uint64_t from)
{
    struct wish wish = { .topics = topic_mask(pattern), .subject = subject };
    struct error *error = NULL;
    struct filter *filter;

    assert_true(subscription_add(client, &wish, from, NULL, &filter, &error));
    return filter;
}

static struct filter *
subscribe(struct connection *client, const char *pattern)
{
    return subscribe_from(client, pattern, NULL, ring_newest(world->agent.ring) + 1);
}

static struct filter *
subscribe_by_topic(struct connection *client, const char *pattern)
{
    struct wish wish = { .topics = topic_mask(pattern), .by_topic = true };
    struct error *error = NULL;
    struct filter *filter;

    assert_true(subscription_add(client, &wish, ring_newest(world->agent.ring) + 1, pattern,
                                 &filter, &error));
    return filter;
}

static struct filter *
subscribe_with_snapshot(struct connection *client, const char *pattern, const char *subject,
                        uint64_t missed)
{
    struct filter *filter = subscribe_from(client, pattern, subject, FROM_HELD);
    struct error *error = NULL;

    assert_true(snapshot_stream_open(client->subscriber, filter, missed, &error));
    return filter;
}

/* Length of the frame's header; '*ret_size' gets its payload's. */
static size_t
read_header(const unsigned char *frame, size_t *ret_size)
{
    assert_int_equal(frame[0], 0x81);
    if (frame[1] < 126) {
        *ret_size = frame[1];
        return 2;
    }
    assert_int_equal(frame[1], 126);
    *ret_size = (size_t)frame[2] << 8 | frame[3];
    return 4;
}

static void
shorten(const char *json, size_t size, struct text *told)
{
    json_t *message = json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL), *params;
    const char *method;

    assert_non_null(message);
    method = json_string_value(json_object_get(message, "method"));
    params = json_object_get(message, "params");
    assert_string_equal(json_string_value(json_object_get(params, "instance")), "i");
    if (told->length)
        text_append_char(told, ' ');
    if (strcmp(method, "event.gap") == 0)
        text_printf(told, "gap%lld-%lld", json_integer_value(json_object_get(params, "from")),
                    json_integer_value(json_object_get(params, "to")));
    else if (strcmp(method, "event.synced") == 0 || strcmp(method, "event.bookmark") == 0)
        text_printf(told, "%s%lld%s", method + 6,
                    json_integer_value(json_object_get(params, "seq")),
                    json_object_get(params, "incomplete") ? "incomplete" : "");
    else
        text_printf(told, "%s%s#%lld%s", strcmp(method, "event") == 0 ? "" : "@",
                    json_string_value(json_object_get(params, "topic")),
                    json_integer_value(json_object_get(params, "seq")),
                    json_is_true(json_object_get(params, "snapshot")) ? "!" : "");
    json_decref(message);
}

/* Empties what is queued, in short. */
static void
drain(struct connection *client, struct text *told)
{
    const unsigned char *frame = (unsigned char *)client->out.bytes;
    size_t left = client->out.length;

    while (left > 0) {
        size_t size, header = read_header(frame, &size);

        assert_true(header + size <= left);
        shorten((const char *)frame + header, size, told);
        frame += header + size;
        left -= header + size;
    }
    text_clear(&client->out);
}

static void
assert_told_by(struct connection *client, size_t size, const char *expected)
{
    _cleanup_text_ struct text told = TEXT_INIT;
    bool more;

    text_append_string(&told, "");
    do {
        more = subscription_fill(client, size);
        assert_true(!more || client->out.length > 0);
        drain(client, &told);
    } while (more);
    assert_string_equal(told.bytes, expected);
}

static void
assert_told(struct connection *client, const char *expected)
{
    assert_told_by(client, AMPLE, expected);
}

/* ---- live events ---- */

static void
what_a_filter_names_is_wanted_while_it_lasts(void **state)
{
    struct filter *filter = subscribe(&world->clients[0], "image.*");

    (void)state;
    (void)subscribe(&world->clients[1], "image.changed");
    assert_true(ring_wanted(world->agent.ring) == topic_mask("image.*"));
    subscription_remove(&world->clients[0], filter);
    assert_true(ring_wanted(world->agent.ring) == topic_mask("image.changed"));
    subscription_forget(&world->clients[1]);
    assert_true(ring_wanted(world->agent.ring) == 0);
}

static void
a_subscriber_is_sent_what_its_pattern_matches(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    publish("task.ended", "before");
    (void)subscribe(client, "task.*");
    publish("task.started", "a");
    publish("image.changed", "b");
    publish("task.ended", "a");
    turn();
    assert_told(client, "task.started#2 task.ended#4");
}

static void
a_subject_filters_too(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    (void)subscribe_from(client, "*", "mine", 1);
    publish("task.started", "other");
    publish("task.started", "mine");
    publish("task.started", NULL);
    turn();
    assert_told(client, "task.started#2");
}

static void
several_events_of_one_turn_are_one_waking(void **state)
{
    (void)state;
    (void)subscribe(&world->clients[0], "task.*");
    (void)subscribe(&world->clients[1], "image.*");
    publish_many("task.progress", 5);
    assert_int_equal(world->wakings[0], 0);
    turn();
    assert_int_equal(world->wakings[0], 1);
    assert_int_equal(world->wakings[1], 0);
    publish_many("task.progress", 2);
    turn();
    assert_int_equal(world->wakings[0], 1); /* it has its turn to write coming */
    assert_told(&world->clients[0], "task.progress#1 task.progress#2 task.progress#3 "
                                    "task.progress#4 task.progress#5 task.progress#6 "
                                    "task.progress#7");
    publish("task.ended", "a");
    turn();
    assert_int_equal(world->wakings[0], 2);
}

static void
an_event_that_two_filters_want_is_sent_once(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    (void)subscribe(client, "task.*");
    (void)subscribe(client, "*.ended");
    (void)subscribe_from(client, "task.ended", "a", 1);
    publish("task.ended", "a");
    publish("task.started", "a");
    turn();
    assert_told(client, "task.ended#1 task.started#2");
}

static void
a_filter_that_begins_in_the_past_repeats_nothing_of_the_others(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    (void)subscribe(client, "task.started");
    publish("task.started", "a");
    publish("image.changed", "b");
    turn();
    assert_told(client, "task.started#1");
    (void)subscribe_from(client, "image.*", NULL, 1);
    assert_told(client, "image.changed#2");
    publish("task.started", "a");
    publish("image.changed", "b");
    turn();
    assert_told(client, "task.started#3 image.changed#4");
}

static void
a_new_filter_is_sent_nothing_from_before_it(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    (void)subscribe(client, "task.started");
    publish("image.changed", "b");
    turn();
    publish("image.changed", "b");
    publish("task.started", "a");
    (void)subscribe(client, "image.*");
    publish("image.changed", "b");
    turn();
    assert_told(client, "task.started#3 image.changed#4");
}

static void
a_resumed_subscriber_is_sent_exactly_what_it_missed(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    publish_many("task.progress", 5);
    (void)subscribe_from(client, "*", NULL, 4);
    assert_int_equal(world->wakings[0], 1);
    publish("task.ended", "a");
    assert_told(client, "task.progress#4 task.progress#5 task.ended#6");
    turn();
    assert_told(client, "");
}

static void
rpc_on_sends_the_topic_as_the_method(void **state)
{
    struct connection *client = world->clients;
    struct filter *filter = subscribe_by_topic(client, "task.*");

    (void)state;
    publish("task.ended", "a");
    turn();
    assert_told(client, "@task.ended#1");
    (void)subscribe(client, "task.*");
    publish("task.ended", "a");
    turn();
    assert_told(client, "task.ended#2 @task.ended#2");
    assert_ptr_equal(subscription_find(client, 0, "task.*"), filter);
    subscription_remove(client, filter);
    publish("task.ended", "a");
    turn();
    assert_told(client, "task.ended#3");
}

static void
nothing_comes_after_unsubscribing(void **state)
{
    struct connection *client = world->clients;
    struct filter *filter = subscribe(client, "*");

    (void)state;
    assert_ptr_equal(subscription_find(client, filter->number, NULL), filter);
    publish("task.ended", "a");
    turn();
    subscription_remove(client, filter);
    assert_null(client->subscriber);
    assert_int_equal(client->subscriptions, 0);
    assert_told(client, "");
}

static void
subscriptions_of_a_connection_are_limited(void **state)
{
    struct wish wish = { .topics = UINT64_MAX };
    _cleanup_(error_freep) struct error *error = NULL;
    struct filter *filter;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        filter = subscribe(world->clients, "*");
    assert_false(subscription_add(world->clients, &wish, 1, NULL, &filter, &error));
    assert_int_equal(error->code, ERROR_LIMIT_EXCEEDED);
    assert_string_equal(error->data, "\"limit\":\"connectionSubscriptions\",\"max\":4");
    subscription_remove(world->clients, filter);
    (void)subscribe(world->clients, "*");
}

/* ---- slow subscribers ---- */

static void
a_subscriber_that_the_ring_overtook_is_told_the_gap_once(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    (void)subscribe(client, "*");
    publish("task.started", "a");
    turn();
    publish_many("task.progress", RING_COUNT + 2);
    turn();
    assert_told(client, "gap1-3 task.progress#4 task.progress#5 task.progress#6 task.progress#7 "
                        "task.progress#8 task.progress#9 task.progress#10 task.progress#11");
}

static void
a_ring_overtaken_in_one_turn_is_a_gap(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    (void)subscribe(client, "image.*");
    publish_many("task.progress", RING_COUNT + 1);
    publish("image.changed", "b");
    turn();
    assert_told(client, "gap1-2 image.changed#10");
}

static void
an_idle_subscriber_is_not_overtaken_by_what_it_does_not_want(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    (void)subscribe(client, "image.*");
    for (unsigned i = 0; i < 4; i++) {
        publish_many("task.progress", RING_COUNT - 1);
        turn();
    }
    publish("image.changed", "b");
    turn();
    assert_told(client, "image.changed#29");
}

static void
a_bounded_turn_to_write_goes_on_where_it_stopped(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    (void)subscribe(client, "*");
    publish_many("task.progress", 4);
    turn();
    assert_true(subscription_fill(client, 1));
    assert_true(client->out.length < 300);
    text_clear(&client->out);
    assert_told_by(client, 1, "task.progress#2 task.progress#3 task.progress#4");
}

static void
subscribers_who_want_the_same_share_what_was_gathered(void **state)
{
    const struct audiences *audiences = &world->rpc.subscriptions->audiences;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        (void)subscribe(&world->clients[i], "task.*");
    (void)subscribe(&world->clients[1], "task.ended"); /* adds nothing to what it gets */
    assert_int_equal(audiences->first->subscriber_count, 3);
    publish_many("task.ended", 2);
    turn();
    for (unsigned i = 0; i < 3; i++)
        assert_told(&world->clients[i], "task.ended#1 task.ended#2");
    assert_int_equal(audiences->gathered_next, 1);
    assert_int_equal(world->rpc.event_count, 6);
}

/* ---- bookmarks ---- */

static void
tick(unsigned count)
{
    while (count-- > 0)
        world->rpc.subscriptions->tick.fire(&world->rpc.subscriptions->tick);
}

static void
an_idle_subscriber_gets_a_bookmark_each_third_tick(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    (void)subscribe(client, "image.*");
    publish("task.ended", "a");
    turn();
    tick(2);
    assert_told(client, "");
    tick(1);
    assert_told(client, "bookmark1");
    tick(2);
    assert_told(client, "");
    tick(1);
    assert_told(client, "bookmark1");
}

static void
an_event_puts_the_bookmark_off(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    (void)subscribe(client, "*");
    tick(2);
    publish("task.ended", "a");
    turn();
    assert_told(client, "task.ended#1");
    tick(2);
    assert_told(client, "");
    tick(1);
    assert_told(client, "bookmark1");
}

static void
who_does_not_read_gets_no_bookmarks(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    (void)subscribe(client, "*");
    tick(30);
    assert_told(client, "bookmark0");
}

static void
rpc_on_alone_gets_no_bookmarks(void **state)
{
    (void)state;
    (void)subscribe_by_topic(world->clients, "task.*");
    tick(10);
    assert_told(world->clients, "");
}

/* ---- snapshots ---- */

static void
a_snapshot_comes_first_and_is_closed_by_synced(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    publish("task.started", "a");
    running_task = "a";
    (void)subscribe_with_snapshot(client, "task.*", NULL, 2);
    publish("task.ended", "a");
    turn();
    assert_told(client, "task.started#1! synced1 task.ended#2");
    publish("task.started", "b");
    turn();
    assert_told(client, "task.started#3");
}

static void
a_snapshot_is_filtered_by_topic_and_subject(void **state)
{
    (void)state;
    running_task = "a";
    (void)subscribe_with_snapshot(&world->clients[0], "image.*", NULL, 1);
    (void)subscribe_with_snapshot(&world->clients[1], "*", "b", 1);
    (void)subscribe_with_snapshot(&world->clients[2], "*", "a", 1);
    assert_told(&world->clients[0], "synced0");
    assert_told(&world->clients[1], "synced0");
    assert_told(&world->clients[2], "task.started#0! synced0");
}

static void
what_was_missed_comes_before_the_snapshot(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    publish_many("task.ended", 3);
    running_task = "a";
    (void)subscribe_with_snapshot(client, "*", NULL, 2);
    publish("task.ended", "a");
    turn();
    assert_told_by(client, 1, "task.ended#2 task.ended#3 task.started#3! synced3 task.ended#4");
}

/* A provider that runs on a worker and waits for the test. */

static sem_t provider_may_end;
static unsigned provider_runs, provider_items;
static bool provider_fails;

static bool
tell_images(void *begun, snapshot_item *item, void *item_context, struct error **err)
{
    _cleanup_text_ struct text data = TEXT_INIT;

    assert_ptr_equal(begun, &provider_items);
    provider_runs++;
    text_append_string(&data, "{\"state\":\"optimized\"}");
    for (unsigned i = 0; i < provider_items; i++)
        item(item_context, "image.changed", i % 2 ? "odd" : "even", &data);
    while (sem_wait(&provider_may_end) != 0)
        continue;
    if (provider_fails)
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE, "the directory has gone");
    return true;
}

static void
end_nothing(void *begun)
{
    assert_ptr_equal(begun, &provider_items);
}

static const struct snapshot_provider image_provider = {
    .topic = "image.changed",
    .pool = POOL_REPOSITORY,
    .write = tell_images,
    .end = end_nothing,
    .provider_context = &provider_items,
};

static int
begin_with_images(void **state)
{
    (void)begin(state);
    (void)sem_init(&provider_may_end, 0, 0);
    provider_runs = 0;
    provider_items = 2;
    provider_fails = false;
    snapshot_register(&world->agent, &image_provider);
    return 0;
}

static void
let_provider_end(void)
{
    const struct snapshot_result *result = world->rpc.subscriptions->results;

    assert_non_null(result);
    (void)sem_post(&provider_may_end);
    while (world->rpc.subscriptions->result_size == 0 && world->rpc.subscriptions->results)
        loop_turn(world->agent.loop, true);
}

static void
events_while_a_provider_runs_are_part_of_its_snapshot(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    publish("image.changed", "even");
    (void)subscribe_with_snapshot(client, "image.*", NULL, 2);
    publish("image.changed", "odd");
    publish("task.started", "a");
    turn();
    assert_told(client, ""); /* nothing newer before the snapshot */
    let_provider_end();
    publish("image.removed", "odd");
    turn();
    assert_told(client,
                "image.changed#1! image.changed#1! image.changed#2! synced3 image.removed#4");
}

static void
other_subscriptions_go_on_while_a_provider_runs(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    (void)subscribe(client, "task.*");
    (void)subscribe_with_snapshot(client, "image.*", NULL, 1);
    publish("task.started", "a");
    publish("image.changed", "odd");
    turn();
    assert_told(client, "task.started#1");
    let_provider_end();
    publish("task.ended", "a");
    turn();
    assert_told(client, "image.changed#0! image.changed#0! image.changed#2! synced2 task.ended#3");
}

static void
those_who_ask_together_share_one_run_of_the_provider(void **state)
{
    (void)state;
    (void)subscribe_with_snapshot(&world->clients[0], "image.*", NULL, 1);
    publish("image.changed", "odd");
    (void)subscribe_with_snapshot(&world->clients[1], "*", "even", 2);
    let_provider_end();
    assert_told(&world->clients[0], "image.changed#0! image.changed#0! image.changed#1! synced1");
    assert_told(&world->clients[1], "image.changed#0! synced1");
    assert_int_equal(provider_runs, 1);
}

static void
a_client_that_goes_while_a_provider_runs_is_forgotten(void **state)
{
    (void)state;
    (void)subscribe_with_snapshot(&world->clients[0], "image.*", NULL, 1);
    subscription_forget(&world->clients[0]);
    let_provider_end();
    assert_null(world->rpc.subscriptions->results);
    assert_told(&world->clients[0], "");
}

static void
a_provider_that_failed_is_named_by_synced(void **state)
{
    (void)state;
    provider_fails = true;
    (void)subscribe_with_snapshot(&world->clients[0], "image.*", NULL, 1);
    let_provider_end();
    assert_told(&world->clients[0], "image.changed#0! image.changed#0! synced0incomplete");
}

static void
a_large_snapshot_is_sent_in_bounded_pieces(void **state)
{
    struct connection *client = world->clients;
    size_t pieces = 0, size = 0;
    bool more;

    (void)state;
    provider_items = 10000;
    (void)subscribe_with_snapshot(client, "image.*", "odd", 1);
    let_provider_end();
    do {
        more = subscription_fill(client, AMPLE);
        assert_true(client->out.length < AMPLE + 1024);
        size += client->out.length;
        text_clear(&client->out);
        pieces++;
    } while (more);
    assert_true(size > 5000 * 150 && pieces >= size / (AMPLE + 1024));
    assert_null(world->rpc.subscriptions->results); /* given back with its last reader */
}

static void
a_snapshot_whose_events_were_overtaken_says_so(void **state)
{
    struct connection *client = world->clients;

    (void)state;
    (void)subscribe_with_snapshot(client, "image.*", NULL, 1);
    publish_many("image.changed", RING_COUNT + 1);
    let_provider_end();
    assert_told(client, "image.changed#0! image.changed#0! gap1-1 image.changed#2! "
                        "image.changed#3! image.changed#4! image.changed#5! image.changed#6! "
                        "image.changed#7! image.changed#8! image.changed#9! synced9");
}

#define LIVE(test) cmocka_unit_test_setup_teardown(test, begin, end)
#define IMAGES(test) cmocka_unit_test_setup_teardown(test, begin_with_images, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE(what_a_filter_names_is_wanted_while_it_lasts),
        LIVE(a_subscriber_is_sent_what_its_pattern_matches),
        LIVE(a_subject_filters_too),
        LIVE(several_events_of_one_turn_are_one_waking),
        LIVE(an_event_that_two_filters_want_is_sent_once),
        LIVE(a_filter_that_begins_in_the_past_repeats_nothing_of_the_others),
        LIVE(a_new_filter_is_sent_nothing_from_before_it),
        LIVE(a_resumed_subscriber_is_sent_exactly_what_it_missed),
        LIVE(rpc_on_sends_the_topic_as_the_method),
        LIVE(nothing_comes_after_unsubscribing),
        LIVE(subscriptions_of_a_connection_are_limited),
        LIVE(a_subscriber_that_the_ring_overtook_is_told_the_gap_once),
        LIVE(a_ring_overtaken_in_one_turn_is_a_gap),
        LIVE(an_idle_subscriber_is_not_overtaken_by_what_it_does_not_want),
        LIVE(a_bounded_turn_to_write_goes_on_where_it_stopped),
        LIVE(subscribers_who_want_the_same_share_what_was_gathered),
        LIVE(an_idle_subscriber_gets_a_bookmark_each_third_tick),
        LIVE(an_event_puts_the_bookmark_off),
        LIVE(who_does_not_read_gets_no_bookmarks),
        LIVE(rpc_on_alone_gets_no_bookmarks),
        LIVE(a_snapshot_comes_first_and_is_closed_by_synced),
        LIVE(a_snapshot_is_filtered_by_topic_and_subject),
        LIVE(what_was_missed_comes_before_the_snapshot),
        IMAGES(events_while_a_provider_runs_are_part_of_its_snapshot),
        IMAGES(other_subscriptions_go_on_while_a_provider_runs),
        IMAGES(those_who_ask_together_share_one_run_of_the_provider),
        IMAGES(a_client_that_goes_while_a_provider_runs_is_forgotten),
        IMAGES(a_provider_that_failed_is_named_by_synced),
        IMAGES(a_large_snapshot_is_sent_in_bounded_pieces),
        IMAGES(a_snapshot_whose_events_were_overtaken_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
