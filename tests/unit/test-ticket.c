/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tickets with a transport that is only played: the verbs, the table, and what is done through one.
 */
#include <config.h>

#include "storage/ticket.h"

#include "tests/unit/storage-fixture.h"

#define IMAGE_SIZE ((size_t)5 << 20)
#define NAME(image) "{\"repository\":\"fast\",\"image\":\"" image "\"}"
#define WITH(image, more) "{\"repository\":\"fast\",\"image\":\"" image "\"," more "}"

/* One exchange as rpc/ would have it. */
struct played {
    struct exchange exchange;
    struct chunk *lent, *out; /* oldest first */
    size_t out_count, out_most;
    unsigned status;
    uint64_t size;
    struct text headers, body;
    bool ended, broken;
};

static struct played *
played_of(struct exchange *exchange)
{
    return CONTAINER_OF(exchange, struct played, exchange);
}

static void
append(struct chunk **place, struct chunk *chunk)
{
    while (*place)
        place = &(*place)->next;
    *place = chunk;
}

static void
receive(struct exchange *exchange, struct chunk *chunk)
{
    append(&played_of(exchange)->lent, chunk);
}

static void
answer(struct exchange *exchange, const struct resource_answer *head)
{
    struct played *played = played_of(exchange);

    assert_int_equal(played->status, 0);
    played->status = head->status;
    played->size = head->size;
    text_append_string(&played->headers, head->headers ? head->headers : "");
}

static void
send_chunk(struct exchange *exchange, struct chunk *chunk)
{
    struct played *played = played_of(exchange);

    assert_false(played->ended);
    append(&played->out, chunk);
    if (++played->out_count > played->out_most)
        played->out_most = played->out_count;
}

static void
end(struct exchange *exchange)
{
    played_of(exchange)->ended = true;
}

static void
break_off(struct exchange *exchange)
{
    played_of(exchange)->broken = true;
}

static const struct exchange_transport transport = { receive, answer, send_chunk, end, break_off };

/* The client takes what there is. */
static void
take_sent(struct played *played)
{
    while (played->out) {
        struct chunk *chunk = played->out;

        played->out = chunk->next;
        chunk->next = NULL;
        played->out_count--;
        text_append(&played->body, chunk->bytes, chunk->size);
        if (played->body.length < played->size)
            ticket_resource.sent(&played->exchange, chunk);
        else
            chunks_free(chunk);
    }
}

static void
begin_request(struct played *played, enum resource_method method, const char *text,
              const char *more, uint64_t body_size, uint64_t offset)
{
    _cleanup_free_ char *path = xprintf("%s%s", text, more);
    struct resource_request request = { .method = method, .path = path, .body_size = body_size };

    *played = (struct played){ .exchange = { .transport = &transport,
                                             .resource = &storage->tickets->resource } };
    if (body_size && method == RESOURCE_PUT)
        request.content_range = (struct resource_range){ .given = true,
                                                         .first = offset,
                                                         .last = offset + body_size - 1 };
    storage->tickets->resource.begin(storage, &played->exchange, &request);
}

static void
end_request(struct played *played)
{
    ticket_resource.ended(&played->exchange);
    chunks_free(played->lent);
    chunks_free(played->out);
    text_done(&played->headers);
    text_done(&played->body);
}

/* Fills the oldest chunk that is lent. */
static void
give(struct played *played, char fill, size_t size, bool last)
{
    struct chunk *chunk = played->lent;

    played->lent = chunk->next;
    chunk->next = NULL;
    assert_true(size <= chunk->capacity);
    memset(chunk->bytes, fill, size);
    chunk->size = size;
    ticket_resource.received(&played->exchange, chunk, last);
}

static void
wait_for_status(struct played *played)
{
    while (played->status == 0)
        loop_turn(fixture.loop, true);
}

/* The ticket's text, to be freed. */
static char *
new_ticket(const char *ops)
{
    _cleanup_free_ char *params =
        xprintf("{\"repository\":\"fast\",\"image\":\"web1\",\"ops\":[\"%s\"]}", ops);
    struct answered answered;
    const char *found;
    char *text;

    begin_call("call", "image.ticket", params, &answered);
    fixture_wait(&answered);
    if (answered.error)
        fail_msg("%s: %s", params, answered.error->message);
    found = strstr(answered.result, "\"ticket\":\"");
    assert_non_null(found);
    text = xstrndup(found + 10, TICKET_TEXT_SIZE - 1);
    answered_done(&answered);
    return text;
}

static void
close_ticket(const char *text, bool complete)
{
    _cleanup_free_ char *params =
        xprintf("{\"ticket\":\"%s\",\"complete\":%s}", text, complete ? "true" : "false");

    run_quietly("image.closeTicket", params);
}

static void
assert_record_has(const char *part, bool has)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    read_text("fast/images/web1/image.json", &text);
    if (!strstr(text.bytes, part) == has)
        fail_msg("'%s' is %s %s", part, has ? "not in" : "in", text.bytes);
}

static int
begin_image(void **state)
{
    (void)state;
    run_quietly("image.create", WITH("web1", "\"size\":5242880"));
    return 0;
}

static int
remove_image(void **state)
{
    (void)state;
    assert_null(storage->tickets->first);
    assert_int_equal(storage->tickets->count, 0);
    assert_int_equal(storage->tickets->opening, 0);
    run_quietly("image.remove", NAME("web1"));
    return 0;
}

static void
a_ticket_is_found_by_its_text_and_closed_by_its_id_too(void **state)
{
    _cleanup_free_ char *text = new_ticket("read"), *id = xstrndup(text, TICKET_ID_LENGTH);
    _cleanup_free_ char *near = xstrdup(text);

    (void)state;
    near[TICKET_TEXT_SIZE - 2] ^= 1;
    assert_non_null(ticket_find(storage, text, false));
    assert_null(ticket_find(storage, near, true));
    assert_null(ticket_find(storage, id, false));
    assert_ptr_equal(ticket_find(storage, id, true), storage->tickets->first);
    assert_answer_has("image.tickets", "{}", id);
    close_ticket(id, true);
    assert_null(ticket_find(storage, text, false));
}

static void
there_are_only_so_many_at_once(void **state)
{
    (void)state;
    storage->tickets->opening = TICKETS_MAX;
    assert_call_refused("image.ticket", WITH("web1", "\"ops\":[\"read\"]"), ERROR_LIMIT_EXCEEDED,
                        "close those");
    storage->tickets->opening = 0;
}

static void
an_image_is_read_in_order_with_two_chunks(void **state)
{
    _cleanup_free_ char *text = NULL;
    struct played played;

    (void)state;
    write_bytes("fast/images/web1/data", 'a', IMAGE_SIZE);
    write_bytes("fast/images/web1/data", 'b', 3 << 20);
    text = new_ticket("read");
    begin_request(&played, RESOURCE_GET, text, "", 0, 0);
    wait_for_status(&played);
    assert_int_equal(played.status, 200);
    assert_int_equal(played.size, IMAGE_SIZE);
    while (played.out_count < 2)
        loop_turn(fixture.loop, true);
    assert_false(ticket_is_busy(storage->tickets->first)); /* nobody takes it: no more is read */
    while (played.body.length < IMAGE_SIZE) {
        take_sent(&played);
        if (played.body.length < IMAGE_SIZE && !played.out)
            loop_turn(fixture.loop, true);
    }
    assert_int_equal(played.out_most, 2);
    assert_int_equal(played.body.bytes[(3 << 20) - 1], 'b');
    assert_int_equal(played.body.bytes[3 << 20], 'a');
    assert_int_equal(played.body.bytes[IMAGE_SIZE - 1], 'a');
    end_request(&played);
    close_ticket(text, true);
    assert_record_has("\"generation\":1", true);
}

static void
an_upload_is_told_before_its_first_byte_and_ends_when_it_is_closed(void **state)
{
    _cleanup_free_ char *text = new_ticket("write");
    _cleanup_text_ struct text data = TEXT_INIT;
    struct played played;

    (void)state;
    assert_record_has("\"upload\"", false);
    begin_request(&played, RESOURCE_PUT, text, "", (1 << 20) + 5, 4096);
    assert_non_null(played.lent->next);
    assert_null(played.lent->next->next);
    give(&played, 'x', 1 << 20, false);
    give(&played, 'y', 5, true);
    wait_for_status(&played);
    assert_int_equal(played.status, 200);
    end_request(&played);
    assert_record_has("\"complete\":false", true);
    assert_record_has("\"upload\":true", true);
    assert_answer_has("image.status", NAME("web1"), "upload under way");
    read_text("fast/images/web1/data", &data);
    assert_memory_equal(data.bytes + (1 << 20) + 4094, "xxyyyyy\0", 8);
    close_ticket(text, true);
    assert_record_has("\"upload\"", false);
    assert_record_has("\"complete\":true", true);
    assert_record_has("\"generation\":2", true);
    assert_answer_has("image.status", NAME("web1"), "\"state\":\"optimized\"");
}

static void
a_torn_upload_stays_and_goes_on(void **state)
{
    _cleanup_free_ char *text = new_ticket("write"), *again = NULL;
    struct played played;

    (void)state;
    begin_request(&played, RESOURCE_PATCH, text, "", 23, 0);
    memcpy(played.lent->bytes, "{\"op\":\"zero\",\"size\":99}", 23);
    played.lent->size = 23;
    ticket_resource.received(&played.exchange, TAKE(played.lent), true);
    wait_for_status(&played);
    assert_int_equal(played.status, 200);
    end_request(&played);
    close_ticket(text, false);
    assert_record_has("\"upload\":true", true);
    assert_answer_has("image.status", NAME("web1"), "an upload into it has not finished");
    assert_call_refused("image.ticket", WITH("web1", "\"ops\":[\"read\"]"), ERROR_IMAGE_BROKEN,
                        "has not finished");
    assert_call_refused("image.resume", NAME("web1"), ERROR_NOTHING_TO_RESUME, "new ticket");
    again = new_ticket("write");
    close_ticket(again, true);
    assert_record_has("\"generation\":2", true);
}

static void
closing_cuts_off_who_reads_and_outlives_them(void **state)
{
    _cleanup_free_ char *text = new_ticket("read");
    struct played played;

    (void)state;
    begin_request(&played, RESOURCE_GET, text, "", 0, 0);
    wait_for_status(&played);
    close_ticket(text, true);
    assert_true(played.broken);
    take_sent(&played); /* of a ticket that is gone */
    end_request(&played);
    begin_request(&played, RESOURCE_GET, text, "", 0, 0);
    assert_int_equal(played.status, 404);
    end_request(&played);
}

static void
an_upload_under_way_is_not_closed_as_complete(void **state)
{
    _cleanup_free_ char *text = new_ticket("write"), *params = xprintf("{\"ticket\":\"%s\"}", text);
    struct played played;

    (void)state;
    begin_request(&played, RESOURCE_PUT, text, "", 2 << 20, 0);
    give(&played, 'x', 1 << 20, false);
    assert_call_refused("image.closeTicket", params, ERROR_WRONG_STATE, "under way");
    close_ticket(text, false);
    assert_int_equal(played.status, 404);
    end_request(&played);
    assert_answer_has("image.status", NAME("web1"), "an upload into it has not finished");
}

static void
who_goes_in_the_middle_leaves_nothing(void **state)
{
    _cleanup_free_ char *text = new_ticket("write");
    struct played played;

    (void)state;
    begin_request(&played, RESOURCE_PUT, text, "", 2 << 20, 0);
    give(&played, 'x', 1 << 20, false);
    end_request(&played); /* a worker has its chunk */
    assert_int_equal(ticket_count_uses(storage->tickets->first), 1);
    while (ticket_count_uses(storage->tickets->first) > 0)
        loop_turn(fixture.loop, true);
    assert_int_equal(storage->tickets->first->written_size, 0); /* nobody was there to be told */
    close_ticket(text, false);
}

/* Its time is over. */
static void
expire_first(void)
{
    struct timer *timer = &storage->tickets->first->expiry;

    timer_disarm(fixture.loop, timer);
    timer->fire(timer);
}

static void
one_that_is_not_used_fades_as_torn(void **state)
{
    _cleanup_free_ char *text = new_ticket("read");
    const struct verb_table table = { ticket_verbs, storage };
    _cleanup_(verb_index_freep) struct verb_index *verbs = verb_index_new(&table, 1);
    struct played played;

    (void)state;
    fixture.verbs = verbs;
    begin_request(&played, RESOURCE_GET, text, "", 0, 0);
    wait_for_status(&played);
    expire_first();
    assert_false(storage->tickets->first->closing); /* somebody is slow */
    end_request(&played);
    while (ticket_is_busy(storage->tickets->first))
        loop_turn(fixture.loop, true);
    expire_first();
    while (storage->tickets->first)
        loop_turn(fixture.loop, true);
    fixture.verbs = NULL;
    assert_record_has("\"generation\":1", true);
}

static void
extents_are_told_whole(void **state)
{
    _cleanup_free_ char *text = NULL;
    struct played played;

    (void)state;
    write_bytes("fast/images/web1/data", 'a', 65536);
    text = new_ticket("read");
    begin_request(&played, RESOURCE_GET, text, "/extents", 0, 0);
    wait_for_status(&played);
    take_sent(&played);
    text_append_char(&played.body, '\0');
    assert_string_equal(played.body.bytes,
                        "[{\"start\":0,\"length\":65536,\"zero\":false,\"hole\":false},"
                        "{\"start\":65536,\"length\":5177344,\"zero\":true,\"hole\":false}]\n");
    end_request(&played);
    close_ticket(text, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_image, remove_image)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_ticket_is_found_by_its_text_and_closed_by_its_id_too),
        TEST(there_are_only_so_many_at_once),
        TEST(an_image_is_read_in_order_with_two_chunks),
        TEST(an_upload_is_told_before_its_first_byte_and_ends_when_it_is_closed),
        TEST(a_torn_upload_stays_and_goes_on),
        TEST(closing_cuts_off_who_reads_and_outlives_them),
        TEST(an_upload_under_way_is_not_closed_as_complete),
        TEST(who_goes_in_the_middle_leaves_nothing),
        TEST(one_that_is_not_used_fades_as_torn),
        TEST(extents_are_told_whole),
    };

    return cmocka_run_group_tests(tests, open_storage, close_storage);
}
