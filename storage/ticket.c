/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/ticket.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "agent/agent.h"
#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/task.h"
#include "events/ring.h"
#include "storage/ticket-verbs.h"

void
tickets_open(struct storage *storage)
{
    struct tickets *tickets = xalloc(sizeof(*tickets));

    tickets->resource = ticket_resource;
    tickets->resource.context = storage;
    storage->tickets = tickets;
    resource_register(storage->agent, &tickets->resource);
}

bool
ticket_begin_opening(struct storage *storage, struct error **err)
{
    struct tickets *tickets = storage->tickets;

    LOOP_ONLY();
    if (tickets->count + tickets->opening < TICKETS_MAX) {
        tickets->opening++;
        return true;
    }
    error_set(err, ERROR_LIMIT_EXCEEDED, "there are %d tickets: close those that nobody needs",
              TICKETS_MAX);
    error_data_text(err, "limit", "tickets");
    return error_data_number(err, "max", TICKETS_MAX);
}

void
ticket_opened(struct storage *storage)
{
    storage->tickets->opening--;
}

/* ---- the table ---- */

/* The system's random source never fails for so few bytes, once it is seeded. */
static void
make_text(struct ticket *ticket)
{
    unsigned char bytes[(TICKET_TEXT_SIZE - 1) / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        log_error("cannot get random bytes for a ticket: %s", strerror(errno));
        abort();
    }
    for (size_t i = 0; i < sizeof(bytes); i++)
        (void)snprintf(ticket->text + 2 * i, 3, "%02x", bytes[i]);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    memcpy(ticket->id, ticket->text, TICKET_ID_LENGTH);
}

static void expire(struct timer *timer);

struct ticket *
ticket_issue(struct storage *storage, struct repository *repository, struct image *image,
             struct endpoint *endpoint, struct ticket *ticket)
{
    struct tickets *tickets = storage->tickets;

    LOOP_ONLY();
    ticket->storage = storage;
    ticket->repository = repository;
    ticket->image = image;
    ticket->image_id = xstrdup(image->id);
    ticket->endpoint = endpoint;
    ticket->size = image->record.size;
    ticket->format = image->record.format;
    ticket->expiry.fire = expire;
    make_text(ticket);
    ticket->next = tickets->first;
    tickets->first = ticket;
    tickets->count++;
    ticket_touch(ticket);
    return ticket;
}

/* No early end, so that the time it takes tells nothing of a text that is nearly right. */
struct ticket *
ticket_find(struct storage *storage, const char *text, bool by_id)
{
    size_t length = strlen(text);
    struct ticket *found = NULL;

    LOOP_ONLY();
    for (struct ticket *ticket = storage->tickets->first; ticket; ticket = ticket->next) {
        if (length == TICKET_TEXT_SIZE - 1 && CRYPTO_memcmp(ticket->text, text, length) == 0)
            found = ticket;
        if (by_id && strcmp(ticket->id, text) == 0)
            found = ticket;
    }
    return found;
}

void
ticket_remove(struct ticket *ticket)
{
    struct tickets *tickets = ticket->storage->tickets;
    struct ticket **place = &tickets->first;

    LOOP_ONLY();
    while (*place != ticket)
        place = &(*place)->next;
    *place = ticket->next;
    tickets->count--;
    timer_disarm(ticket->storage->agent->loop, &ticket->expiry);
    ticket_forget_uses(ticket);
    repository_unref(ticket->repository);
    text_done(&ticket->changed);
    free(ticket->image_id);
    OPENSSL_cleanse(ticket->text, sizeof(ticket->text));
    free(ticket);
}

void
ticket_write(const struct ticket *ticket, struct writer *writer)
{
    int64_t expires_ns = ticket->used_ns + (int64_t)ticket->timeout_s * NS_PER_S;

    writer_member_string(writer, "id", ticket->id);
    writer_member_string(writer, "repository", ticket->repository->name);
    writer_member_string(writer, "image", ticket->image_id);
    writer_key(writer, "ops");
    writer_array(writer);
    if (ticket->reads)
        writer_string(writer, "read");
    if (ticket->writes)
        writer_string(writer, "write");
    writer_end_array(writer);
    writer_member_string(writer, "format", image_format_name(ticket->format));
    writer_member_unsigned(writer, "size", ticket->size);
    writer_member_unsigned(writer, "timeout", ticket->timeout_s);
    writer_member_time(writer, "expires", expires_ns);
    writer_member_string(writer, "state", ticket->closing ? "closing" : "open");
    writer_member_unsigned(writer, "exchanges", ticket_count_uses(ticket));
    writer_member_unsigned(writer, "read", ticket->read_size);
    writer_member_unsigned(writer, "written", ticket->written_size);
}

/* ---- its time ---- */

void
ticket_touch(struct ticket *ticket)
{
    ticket->used_ns = clock_wall_ns();
    if (!ticket->closing)
        timer_arm(ticket->storage->agent->loop, &ticket->expiry,
                  (uint64_t)ticket->timeout_s * 1000);
}

/* By a task of the agent's own, so that it can be seen like any other work.  An upload that fades is
   torn: only somebody who knows can say that it is whole. */
static void
expire(struct timer *timer)
{
    struct ticket *ticket = CONTAINER_OF(timer, struct ticket, expiry);
    struct agent *agent = ticket->storage->agent;
    struct close_args *args;
    struct task_request request = { .caller = "agent", .role = ROLE_ADMIN };

    /* Storage may be slow, and so may a network; a client that does nothing rpc/ cuts off. */
    if (ticket_is_busy(ticket) || ticket->uses) {
        ticket_touch(ticket);
        return;
    }
    log_info("ticket %s for '%s/%s' was not used for %u s: closing it", ticket->id,
             ticket->repository->name, ticket->image_id, ticket->timeout_s);
    args = xalloc(sizeof(*args));
    args->ticket = xstrdup(ticket->id);
    request.args = args;
    request.verb =
        verb_find(agent->verbs, TICKET_CLOSE_VERB, strlen(TICKET_CLOSE_VERB), &request.context);
    task_start(agent, &request);
}

/* ---- work ---- */

bool
ticket_is_busy(const struct ticket *ticket)
{
    return ticket->running != NULL;
}

char *
ticket_key(const struct ticket *ticket)
{
    return xprintf("ticket %s", ticket->id);
}

static void
run(struct job *job)
{
    struct ticket *ticket = CONTAINER_OF(job, struct ticket, job);

    ticket_work_run(ticket, ticket->running);
}

static void start_next(struct ticket *ticket);

static void
tell_change(struct ticket *ticket)
{
    _cleanup_free_ char *subject = xprintf("%s/%s", ticket->repository->name, ticket->image_id);

    if (ticket->changed.length > 0)
        (void)ring_publish(ticket->storage->agent->ring, "image.changed", subject,
                           ticket->changed.bytes, ticket->changed.length);
    text_done(&ticket->changed);
}

static void
finished(struct job *job)
{
    struct ticket *ticket = CONTAINER_OF(job, struct ticket, job);
    struct ticket_work *work = TAKE(ticket->running);

    tell_change(ticket);
    ticket_touch(ticket);
    if (ticket->closing) {
        _cleanup_free_ char *key = ticket_key(ticket);

        work->done(work);
        task_wake(ticket->storage->agent, key);
        return;
    }
    start_next(ticket); /* first, so that the worker has something to do while this is handled */
    work->done(work);
}

static bool
start(struct ticket *ticket, struct ticket_work *work, struct error **err)
{
    ticket->running = work;
    ticket->job = (struct job){
        .run = run, .finished = finished, .lane = &ticket->repository->tickets, .pool = POOL_COPY
    };
    if (workers_submit(ticket->storage->agent->workers, &ticket->job, err))
        return true;
    ticket->running = NULL;
    return false;
}

static struct ticket_work *
take_waiting(struct ticket *ticket)
{
    struct ticket_work *work = ticket->first;

    ticket->first = work->next;
    work->next = NULL;
    return work;
}

static void
start_next(struct ticket *ticket)
{
    while (ticket->first && !ticket->running) {
        struct ticket_work *work = take_waiting(ticket);

        if (!start(ticket, work, &work->error))
            work->done(work);
    }
}

bool
ticket_submit(struct ticket *ticket, struct ticket_work *work, struct error **err)
{
    LOOP_ONLY();
    work->next = NULL;
    if (ticket->closing)
        return error_set(err, ERROR_NOT_FOUND, "the ticket is closed");
    if (!ticket->running)
        return start(ticket, work, err);
    if (ticket->first)
        ticket->last->next = work;
    else
        ticket->first = work;
    ticket->last = work;
    return true;
}

void
ticket_stop(struct ticket *ticket, bool abort)
{
    LOOP_ONLY();
    ticket->closing = true;
    atomic_store(&ticket->abort, abort);
    timer_disarm(ticket->storage->agent->loop, &ticket->expiry);
    while (ticket->first) {
        struct ticket_work *work = take_waiting(ticket);

        error_set(&work->error, ERROR_NOT_FOUND, "the ticket is closed");
        work->done(work);
    }
    ticket_end_uses(ticket);
}
