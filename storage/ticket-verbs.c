/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ticket, closeTicket, tickets.
 *
 * Who knows a ticket's text may use it, so that is told once, to who asked for it: what is shown of
 * the task afterwards, to viewers too, has the ticket's id only.
 */
#include <config.h>

#include "storage/ticket-verbs.h"

#include <string.h>

#include "agent/task.h"
#include "storage/image-data.h"
#include "storage/image-steps.h"
#include "storage/image-use.h"
#include "storage/ticket.h"

#define TIMEOUT_MAX 86400

/* The members of a ticket, which stand in two shapes. */
#define MEMBERS                                                                                          \
    "\"id\":{\"type\":\"string\"},\"repository\":{\"type\":\"string\"},\"image\":{\"type\":\"string\"}," \
    "\"ops\":{\"type\":\"array\",\"items\":{\"enum\":[\"read\",\"write\"]}},"                            \
    "\"format\":{\"enum\":[\"raw\",\"qcow2\"]},\"size\":{\"type\":\"integer\"},"                         \
    "\"timeout\":{\"type\":\"integer\"},\"expires\":{\"type\":\"string\"},"                              \
    "\"state\":{\"enum\":[\"open\",\"closing\"]},\"exchanges\":{\"type\":\"integer\"},"                  \
    "\"read\":{\"type\":\"integer\"},\"written\":{\"type\":\"integer\"}"
#define REQUIRED                                                                                   \
    "\"id\",\"repository\",\"image\",\"ops\",\"format\",\"size\","                                 \
    "\"timeout\",\"expires\",\"state\",\"exchanges\",\"read\",\"written\""

static const struct shape issued_shape = {
    .name = "IssuedTicket",
    .schema = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[" REQUIRED
              "],\"properties\":{\"ticket\":{\"type\":\"string\"},"
              "\"path\":{\"type\":\"string\"},\"urls\":{\"type\":\"array\",\"items\":{\"type\":"
              "\"string\"}}," MEMBERS "}}",
};

static const struct shape ticket_list_shape = {
    .name = "TicketList",
    .schema = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"tickets\"],"
              "\"properties\":{\"tickets\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
              "\"additionalProperties\":false,\"required\":[" REQUIRED "],\"properties\":{" MEMBERS
              "}}}}}",
};

static const struct shape closed_shape = {
    .name = "ClosedTicket",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"id\",\"repository\","
        "\"image\"],\"properties\":{\"id\":{\"type\":\"string\"},\"repository\":{\"type\":"
        "\"string\"},\"image\":{\"type\":\"string\"}}}",
};

/* ---- ticket ---- */

struct ticket_args {
    char *repository, *image;
    char **ops;
    int64_t timeout_s;
    int64_t if_generation;
    bool has_generation;
};

struct ticket_state {
    struct image_state common;
    struct ticket *ticket; /* until it is in the table, and the image and the next are its own */
    struct endpoint *endpoint;
    const struct ticket *issued; /* when it is */
    bool counts;                 /* as one that is on its way */
};

static void
ticket_done(struct call *call)
{
    struct ticket_state *state = call->state;

    if (state->counts)
        ticket_opened(call->context);
    state->counts = false;
    endpoint_close(TAKE(state->endpoint));
    free(TAKE(state->ticket));
    image_state_done(call);
}

static bool
read_ops(char *const *ops, struct ticket *ticket, struct error **err)
{
    for (; *ops; ops++) {
        bool read = strcmp(*ops, "read") == 0, write = strcmp(*ops, "write") == 0;

        if (!read && !write)
            return error_param(err, "ops", "must hold 'read', 'write' or both");
        ticket->reads |= read;
        ticket->writes |= write;
    }
    return ticket->reads || ticket->writes ||
           error_param(err, "ops", "must hold 'read', 'write' or both");
}

static enum outcome
ticket_find_repository(struct call *call)
{
    const struct ticket_args *args = call->args;
    struct ticket_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    state->ticket = xalloc(sizeof(*state->ticket));
    state->ticket->timeout_s = (unsigned)args->timeout_s;
    if (!read_ops(args->ops, state->ticket, &error) || !ticket_begin_opening(call->context, &error))
        return call_fail(call, TAKE(error));
    state->counts = true;
    return image_find_repository(call);
}

/* An upload that has not finished may go on; nothing else that is broken may be read or written. */
static bool
may_be_opened(const struct image *image, bool writes, struct error **err)
{
    if (writes && !image->record.mutable)
        return error_set(err, ERROR_IMAGE_IMMUTABLE,
                         "image '%s' is a snapshot: copy it, and write to the copy", image->id);
    if (writes && (!image_require_finished(image, err) ||
                   !image_require_unused(image, NULL, "undefine that first (vm.undefine)", err)))
        return false;
    return writes && image->record.upload && !image->record.damage
               ? image_require_data(image, err) && image_require_settled(image, err)
               : image_require_usable(image, err);
}

static bool
open_image(struct call *call, struct error **err)
{
    const struct ticket_args *args = call->args;
    struct ticket_state *state = call->state;
    bool writes = state->ticket->writes;
    _cleanup_free_ char *holder = image_holder(call);
    const struct image *image;

    if (!image_open_locked(state->common.repository, args->image,
                           writes ? IMAGE_LOCK_EXCLUSIVE : IMAGE_LOCK_SHARED, holder,
                           &state->common.image, err))
        return false;
    image = state->common.image;
    return image_require_generation(image, args->has_generation, (uint64_t)args->if_generation,
                                    err) &&
           may_be_opened(image, writes, err) &&
           image_open_data(image, writes ? ENDPOINT_WRITE : ENDPOINT_READ, &state->ticket->abort,
                           &state->endpoint, err);
}

static enum outcome
ticket_open(struct call *call)
{
    struct ticket_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!open_image(call, &error))
        return call_fail(call, TAKE(error));
    if (state->common.image->record.upload)
        image_tell(call, state->common.image, NULL); /* it goes on */
    return call_complete(call, "%s, %llu bytes",
                         image_format_name(state->common.image->record.format),
                         (unsigned long long)state->common.image->record.size);
}

static void
write_issued(struct call *call, const struct ticket *ticket, bool with_text)
{
    struct writer *writer = call_result(call);

    writer_object(writer);
    if (with_text) {
        writer_member_string(writer, "ticket", ticket->text);
        writer_key(writer, "path");
        writer_printf(writer, "/images/%s", ticket->text);
        writer_key(writer, "urls");
        writer_array(writer);
        for (char *const *url = resource_urls(call->agent); url && *url; url++)
            writer_printf(writer, "%s/images/%s", *url, ticket->text);
        writer_end_array(writer);
    }
    ticket_write(ticket, writer);
    writer_end_object(writer);
}

static enum outcome
ticket_answer(struct call *call)
{
    struct ticket_state *state = call->state;
    struct image_state *common = &state->common;

    state->issued = ticket_issue(call->context, TAKE(common->repository), TAKE(common->image),
                                 TAKE(state->endpoint), TAKE(state->ticket));
    write_issued(call, state->issued, true);
    return call_complete(call, "ticket %s", state->issued->id);
}

static bool
is_issued(const struct call *call)
{
    return ((const struct ticket_state *)call->state)->issued != NULL;
}

/* Right behind, so that nobody has seen the other. */
static enum outcome
ticket_conceal(struct call *call)
{
    write_issued(call, ((const struct ticket_state *)call->state)->issued, false);
    return call_complete(call, NULL);
}

/* ---- closeTicket ---- */

struct close_state {
    struct ticket *ticket;
};

static bool
has_ticket(const struct call *call)
{
    return ((const struct close_state *)call->state)->ticket != NULL;
}

static bool
find_to_close(struct call *call, struct ticket **ret_ticket, struct error **err)
{
    const struct close_args *args = call->args;
    struct ticket *ticket = ticket_find(call->context, args->ticket, true);

    if (!ticket) {
        error_set(err, ERROR_NOT_FOUND, "there is no such ticket: it may be closed, or have faded");
        error_data_text(err, "kind", "ticket");
        return error_data_text(err, "id", "%.*s", TICKET_ID_LENGTH, args->ticket);
    }
    if (ticket->closing || (args->complete && ticket_is_written_through(ticket))) {
        error_set(err, ERROR_WRONG_STATE,
                  ticket->closing
                      ? "ticket %s is being closed"
                      : "an upload through ticket %s is under way: wait for its answer, "
                        "or close it as not complete",
                  ticket->id);
        error_data_text(err, "state", "%s", ticket->closing ? "closing" : "uploading");
        return error_data_text(err, "needs", "open");
    }
    *ret_ticket = ticket;
    return true;
}

static enum outcome
close_find(struct call *call)
{
    struct close_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;
    struct writer *writer;

    if (!find_to_close(call, &state->ticket, &error))
        return call_fail(call, TAKE(error));
    call_set_lane(call, POOL_COPY, &state->ticket->repository->tickets);
    ticket_stop(state->ticket, !((const struct close_args *)call->args)->complete);
    writer = call_result(call);
    writer_object(writer);
    writer_member_string(writer, "id", state->ticket->id);
    writer_member_string(writer, "repository", state->ticket->repository->name);
    writer_member_string(writer, "image", state->ticket->image_id);
    writer_end_object(writer);
    return call_complete(call, "ticket %s", state->ticket->id);
}

static enum outcome
close_wait(struct call *call)
{
    const struct close_state *state = call->state;
    _cleanup_free_ char *key = ticket_key(state->ticket);

    if (!ticket_is_busy(state->ticket))
        return call_complete(call, NULL);
    return call_wait(call, key, 0, "what was begun through it");
}

static bool
is_complete(const struct call *call)
{
    return ((const struct close_args *)call->args)->complete;
}

static enum outcome
close_complete(struct call *call)
{
    const struct close_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;
    bool uploaded = state->ticket->image->record.upload;

    if (!ticket_complete(state->ticket, &error))
        return call_fail(call, TAKE(error));
    if (!uploaded)
        return call_complete(call, "nothing was written");
    image_settle(call, state->ticket->image, NULL);
    return call_complete(call, "generation %llu",
                         (unsigned long long)state->ticket->image->record.generation);
}

static enum outcome
close_release(struct call *call)
{
    const struct close_state *state = call->state;
    struct image *image = state->ticket->image;
    bool torn = image->record.upload;

    if (torn)
        image_settle(call, image, NULL);
    ticket_close(state->ticket);
    return torn ? call_complete(call, "the upload has not finished, and can go on")
                : call_complete(call, NULL);
}

static enum outcome
close_forget(struct call *call)
{
    struct close_state *state = call->state;

    ticket_remove(TAKE(state->ticket));
    return call_complete(call, NULL);
}

/* ---- tickets ---- */

static enum outcome
tickets_list(struct call *call)
{
    const struct storage *storage = call->context;
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_key(writer, "tickets");
    writer_array(writer);
    for (const struct ticket *ticket = storage->tickets->first; ticket; ticket = ticket->next) {
        writer_object(writer);
        ticket_write(ticket, writer);
        writer_end_object(writer);
    }
    writer_end_array(writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

const struct verb ticket_verbs[] = {
    {
        .name = "image.ticket",
        .summary = "Give leave to read or write an image by HTTP, to whoever knows the ticket.",
        .description =
            "GET, HEAD, PUT, PATCH and OPTIONS are then served under 'path' by every listener, and "
            "GET under 'path'/extents, as ovirt-imageio does, over what the image shows whatever its format.  "
            "From the first write on, until image.closeTicket, the image is 'broken': an upload that has not "
            "finished, which a new ticket may continue.  The ticket is told in this answer only: the same call again (once) is answered without it.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct ticket_args),
        .params = PARAMS(
            IMAGE_PARAMS(ticket_args),
            PARAM(ticket_args, ops, "ops", .type = PARAM_TEXTS, .required = true,
                  .about = "What it is for: read, write or both.  Who may write may read."),
            PARAM(
                ticket_args, timeout_s, "timeout", .type = PARAM_INTEGER, .minimum = 1,
                .maximum = TIMEOUT_MAX, .fallback = "300",
                .about =
                    "Seconds with no request under way after which it is closed, as not complete."),
            GENERATION_PARAM(ticket_args)),
        .result = &issued_shape,
        .errors =
            ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND,
                   ERROR_IMAGE_IN_USE, ERROR_IMAGE_IMMUTABLE, ERROR_IMAGE_BROKEN, ERROR_WRONG_STATE,
                   ERROR_CONFLICT, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps = STEPS(
            { "find repository", ticket_find_repository, .pool = POOL_LOOP },
            { "open image", ticket_open, .pool = POOL_REPOSITORY },
            { "answer", ticket_answer, .pool = POOL_LOOP, .responds = true },
            { "conceal", ticket_conceal, .pool = POOL_LOOP, .when = ALWAYS, .only_if = is_issued }),
        .state_size = sizeof(struct ticket_state),
        .state_done = ticket_done,
        .object = image_name_object,
    },
    {
        .name = TICKET_CLOSE_VERB,
        .summary = "End a ticket, and with it the upload that was made through it.",
        .description =
            "What was written is flushed, and the image is then complete, at its next "
            "generation.  Not so with 'complete' false, which leaves the upload to a new "
            "ticket, as does the end of the ticket's time.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct close_args),
        .params =
            PARAMS(PARAM(close_args, ticket, "ticket", .type = PARAM_NAME, .required = true,
                         .about = "The ticket, or its id."),
                   PARAM(close_args, complete, "complete", .type = PARAM_BOOL, .fallback = "true",
                         .about = "Whether all is there that was to be written.")),
        .result = &closed_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_NO_SPACE, ERROR_BACKEND_FAILED,
                         ERROR_REPOSITORY_UNAVAILABLE),
        .steps = STEPS(
            { "stop", close_find, .pool = POOL_LOOP }, { "wait", close_wait, .pool = POOL_LOOP },
            { "complete", close_complete, .pool = POOL_COPY, .only_if = is_complete },
            { "wait for the last", close_wait, .pool = POOL_LOOP, .when = ALWAYS,
              .only_if = has_ticket },
            { "close", close_release, .pool = POOL_COPY, .when = ALWAYS, .only_if = has_ticket },
            { "forget", close_forget, .pool = POOL_LOOP, .when = ALWAYS, .only_if = has_ticket }),
        .state_size = sizeof(struct close_state),
    },
    {
        .name = "image.tickets",
        .summary = "List the tickets of this agent, newest first.",
        .description = "By their ids, which give no leave to use them.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .result = &ticket_list_shape,
        .steps = STEPS({ "list", tickets_list, .pool = POOL_LOOP }),
    },
    { 0 },
};
