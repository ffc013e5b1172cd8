/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/georep.h"

#include <ctype.h>
#include <string.h>

#include "agent/base/name.h"
#include "gluster/arguments.h"
#include "gluster/brick.h"
#include "gluster/command.h"
#include "gluster/moment.h"
#include "gluster/volume.h"

#define CREATE_TIMEOUT_S 300 /* 29 s were seen: it mounts both volumes, and brings keys over */
#define TEXT_OR_NULL "{\"type\":[\"string\",\"null\"]}"
#define COUNT_OR_NULL "{\"type\":[\"integer\",\"null\"]}"

const struct shape georep_session_shape = {
    .name = "GeorepSession",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"volume\",\"target\","
        "\"state\",\"workers\"],\"properties\":{\"volume\":{\"type\":\"string\"},"
        "\"target\":{\"type\":\"string\"},\"state\":{\"type\":\"string\"},"
        "\"workers\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
        "\"additionalProperties\":false,\"required\":[\"brick\",\"peer\",\"status\",\"crawl\","
        "\"targetHost\",\"synced\",\"entries\",\"data\",\"metadata\",\"failures\",\"checkpoint\","
        "\"checkpointReached\"],\"properties\":{\"brick\":{\"type\":\"string\"},"
        "\"peer\":{\"type\":\"string\"},\"status\":{\"type\":\"string\"},"
        "\"crawl\":" TEXT_OR_NULL ",\"targetHost\":" TEXT_OR_NULL ",\"synced\":" TEXT_OR_NULL ","
        "\"entries\":" COUNT_OR_NULL ",\"data\":" COUNT_OR_NULL ",\"metadata\":" COUNT_OR_NULL ","
        "\"failures\":" COUNT_OR_NULL ",\"checkpoint\":" TEXT_OR_NULL ","
        "\"checkpointReached\":" TEXT_OR_NULL "}}}}}",
};

void
georep_sessions_done(struct georep_sessions *sessions)
{
    for (size_t i = 0; i < sessions->count; i++) {
        struct georep_session *session = &sessions->all[i];

        for (size_t n = 0; n < session->worker_count; n++) {
            free(session->workers[n].brick);
            free(session->workers[n].peer);
            free(session->workers[n].status);
            free(session->workers[n].crawl);
            free(session->workers[n].target_host);
        }
        free(session->workers);
        free(session->volume);
        free(session->target);
    }
    free(sessions->all);
    *sessions = (struct georep_sessions){ 0 };
}

/* "Initializing..." as we write it; NULL for "N/A" and nothing. */
static char *
word(const struct xml_node *node, const char *name)
{
    const char *text = xml_text(node, name);
    char *copy;

    if (!*text || strcmp(text, "N/A") == 0)
        return NULL;
    copy = xstrdup(text);
    for (char *at = copy; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    copy[strcspn(copy, ".")] = '\0';
    return copy;
}

static char *
name_of(const struct xml_node *node, const char *name)
{
    const char *text = xml_text(node, name);

    return *text && strcmp(text, "N/A") != 0 ? xstrdup(text) : NULL;
}

static void
read_worker(const struct xml_node *node, struct georep_worker *worker)
{
    char *status = word(node, "status");
    uint64_t entries = 0;
    bool counts = xml_number(node, "entry", &entries);

    *worker = (struct georep_worker){
        .brick = xprintf("%s:%s", xml_text(node, "primary_node"), xml_text(node, "primary_brick")),
        .peer = xstrdup(xml_text(node, "primary_node_uuid")),
        .status = status ? status : xstrdup("unknown"),
        .crawl = word(node, "crawl_status"),
        .target_host = name_of(node, "secondary_node"),
        .counts = counts,
        .entries = entries,
        .data = xml_count(node, "data"),
        .metadata = xml_count(node, "meta"),
        .failures = xml_count(node, "failures"),
        .synced_ns = moment_read(xml_text(node, "last_synced")),
        .checkpoint_ns = moment_read(xml_text(node, "checkpoint_time")),
        .checkpoint_done_ns = moment_read(xml_text(node, "checkpoint_completion_time")),
    };
}

/* Of all sessions it is "ssh://HOST::VOLUME", of one of them "HOST::VOLUME"; either may name the user. */
static char *
read_target(const struct xml_node *pair)
{
    const char *target = xml_text(pair, "secondary");

    if (strncmp(target, "ssh://", 6) == 0)
        target += 6;
    return strchr(target, '@') ? xstrdup(target)
                               : xprintf("%s@%s", xml_text(pair, "secondary_user"), target);
}

/* NULL: any. */
static bool
is_of(const struct georep_session *session, const char *volume, const char *target)
{
    return (!volume || strcmp(session->volume, volume) == 0) &&
           (!target || strcmp(session->target, target) == 0);
}

static struct georep_session *
find_or_add(struct georep_sessions *sessions, const char *volume, const char *target)
{
    struct georep_session *session;

    for (size_t i = 0; i < sessions->count; i++)
        if (is_of(&sessions->all[i], volume, target))
            return &sessions->all[i];
    sessions->all = xrealloc(sessions->all, (sessions->count + 1) * sizeof(sessions->all[0]));
    session = &sessions->all[sessions->count++];
    *session = (struct georep_session){ .volume = xstrdup(volume), .target = xstrdup(target) };
    return session;
}

/* glusterd 10.3 tells one session as several, of some of its workers each, where the pool has more than
   one: so its workers are put together by what they say themselves. */
static void
read_pair(const struct xml_node *pair, const char *volume, struct georep_sessions *sessions)
{
    _cleanup_free_ char *target = read_target(pair);
    struct georep_session *session = find_or_add(sessions, volume, georep_target_plain(target));

    session->workers =
        xrealloc(session->workers, (session->worker_count + 1) * sizeof(session->workers[0]));
    read_worker(pair, &session->workers[session->worker_count++]);
}

bool
georep_read(const struct xml_document *document, struct georep_sessions *ret_sessions,
            struct error **err)
{
    const struct xml_node *parent = xml_child(xml_root(document), "geoRep");
    struct georep_sessions sessions = { 0 };

    if (!parent)
        return error_set(err, ERROR_BACKEND_FAILED, "gluster's answer has no sessions");
    for (XML_EACH(volume, parent, "volume"))
        for (XML_EACH(session, xml_child(volume, "sessions"), "session"))
            for (XML_EACH(pair, session, "pair"))
                read_pair(pair, xml_text(volume, "name"), &sessions);
    *ret_sessions = sessions;
    return true;
}

const char *
georep_state(const struct georep_session *session)
{
    const char *state = "unknown";

    for (size_t i = 0; i < session->worker_count; i++) {
        const char *status = session->workers[i].status;

        if (strcmp(status, "faulty") == 0)
            return status;
        if (i == 0 || strcmp(status, "active") == 0 || strcmp(state, "passive") == 0)
            state = strcmp(state, "active") == 0 ? state : status;
    }
    return state;
}

static void
write_count(struct writer *writer, const char *key, bool known, uint64_t value)
{
    if (known)
        writer_member_unsigned(writer, key, value);
    else
        writer_member_null(writer, key);
}

static void
write_worker(const struct georep_worker *worker, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "brick", worker->brick);
    writer_member_string(writer, "status", worker->status);
    writer_member_string(writer, "crawl", worker->crawl);
    writer_member_time(writer, "synced", worker->synced_ns);
    write_count(writer, "entries", worker->counts, worker->entries);
    write_count(writer, "data", worker->counts, worker->data);
    write_count(writer, "metadata", worker->counts, worker->metadata);
    write_count(writer, "failures", worker->counts, worker->failures);
    writer_member_time(writer, "checkpoint", worker->checkpoint_ns);
    writer_member_time(writer, "checkpointReached", worker->checkpoint_done_ns);
    writer_member_string(writer, "targetHost", worker->target_host);
    writer_member_string(writer, "peer", worker->peer);
    writer_end_object(writer);
}

void
georep_session_write(const struct georep_session *session, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "volume", session->volume);
    writer_member_string(writer, "target", session->target);
    writer_member_string(writer, "state", georep_state(session));
    writer_key(writer, "workers");
    writer_array(writer);
    for (size_t i = 0; i < session->worker_count; i++)
        write_worker(&session->workers[i], writer);
    writer_end_array(writer);
    writer_end_object(writer);
}

/* ---- targets ---- */

static bool
is_user(const char *user, size_t length)
{
    if (length == 0 || length > 64 || user[0] == '-')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)user[i]) && !strchr("-_.", user[i]))
            return false;
    return true;
}

/* An IPv6 address may have one too. */
static const char *
last_separator(const char *target)
{
    const char *found = NULL;

    for (const char *at = strstr(target, "::"); at; at = strstr(at + 1, "::"))
        found = at;
    return found;
}

bool
georep_target_check(const char *param, const char *target, struct error **err)
{
    const char *at = strchr(target, '@'), *host = at ? at + 1 : target;
    const char *separator = last_separator(host);
    _cleanup_free_ char *host_name = separator ? xstrndup(host, (size_t)(separator - host)) : NULL;

    if ((at && !is_user(target, (size_t)(at - target))) || !separator || !name_valid(separator + 2))
        return error_param(err, param, "must be [USER@]HOST::VOLUME, not '%s'", target);
    return host_check(param, host_name, err);
}

const char *
georep_target_plain(const char *target)
{
    return strncmp(target, "root@", 5) == 0 ? target + 5 : target;
}

/* ---- asking ---- */

static void
tell_session(const char *volume, const char *target, struct error **error)
{
    _cleanup_free_ char *message = xstrdup((*error)->message);
    enum error_code code = (*error)->code;

    error_free(TAKE(*error));
    error_set(error, code, "%s", message);
    error_data_text(error, "kind", "georep");
    error_data_text(error, "id", "%s %s", volume, georep_target_plain(target));
}

bool
georep_command(const char *volume, const char *target, const char *const *words,
               const atomic_bool *abort, struct xml_document **ret_document, struct error **err)
{
    _cleanup_arguments_ struct arguments arguments = { 0 };
    struct gluster_command command = {
        .kind = "volume",
        .id = volume,
        .param = strcmp(words[0], "config") == 0 ? "options" : NULL,
        .timeout_s = strcmp(words[0], "create") == 0 ? CREATE_TIMEOUT_S : 0,
        .abort = abort,
    };
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    arguments_add_all(&arguments, GLUSTER_ARGUMENTS("volume", "geo-replication", volume, target));
    arguments_add_all(&arguments, words);
    command.arguments = arguments_list(&arguments);
    if (!gluster_command_run(&command, &document, err)) {
        if (strcasestr((*err)->message, "session between") &&
            ((*err)->code == ERROR_NOT_FOUND || (*err)->code == ERROR_ALREADY_EXISTS))
            tell_session(volume, target, err);
        return false;
    }
    /* gsyncd does not run: glusterd 10.3 says so, and that all went well. */
    if (strstr(xml_text(xml_root(document), "opErrstr"), "is not set up")) {
        error_set(err, ERROR_WRONG_STATE, "the session of volume '%s' with '%s' does not run",
                  volume, target);
        error_data_text(err, "state", "not running");
        return error_data_text(err, "needs", "started");
    }
    if (ret_document)
        *ret_document = TAKE(document);
    return true;
}

/* There are none, or there is no such volume: gluster 10.3 says with --xml only that it failed. */
static bool
is_none(const struct error *error)
{
    return error->code == ERROR_BACKEND_FAILED &&
           strstr(error->message, "geo-replication command failed");
}

static bool
ask_all(struct georep_sessions *ret_sessions, struct error **err)
{
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("volume", "geo-replication", "status"),
    };
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    if (gluster_command_run(&command, &document, err))
        return georep_read(document, ret_sessions, err);
    if (!is_none(*err))
        return false;
    error_free(TAKE(*err));
    return true;
}

static bool
check_found(const char *volume, const char *target, struct error **err)
{
    _cleanup_volumes_ struct volumes volumes = { 0 };

    if (!volume)
        return true;
    if (!volumes_ask(volume, NULL, &volumes, err))
        return false;
    if (!target)
        return true;
    error_set(err, ERROR_NOT_FOUND, "volume '%s' has no session with '%s'", volume, target);
    error_data_text(err, "kind", "georep");
    return error_data_text(err, "id", "%s %s", volume, target);
}

static bool
ask_sessions(const char *subject, struct gluster_items *ret_items, struct error **err)
{
    size_t length = subject ? strcspn(subject, " ") : 0;
    _cleanup_free_ char *volume = subject ? xstrndup(subject, length) : NULL;
    const char *target = subject && subject[length] ? subject + length + 1 : NULL;
    _cleanup_georep_sessions_ struct georep_sessions sessions = { 0 };

    if (!ask_all(&sessions, err))
        return false;
    for (size_t i = 0; i < sessions.count; i++) {
        const struct georep_session *session = &sessions.all[i];
        _cleanup_writer_ struct writer writer = WRITER_INIT;
        struct gluster_item *item;

        if (!is_of(session, volume, target))
            continue;
        georep_session_write(session, &writer);
        item = gluster_items_add(ret_items);
        item->id = xprintf("%s %s", session->volume, session->target);
        item->volume = xstrdup(session->volume);
        item->json = text_take(&writer.text);
    }
    return ret_items->count > 0 || check_found(volume, target, err);
}

const struct gluster_question georep_question = {
    .name = "georep",
    .member = "sessions",
    .ask = ask_sessions,
    .slow = true, /* each host starts a Python program for it: seconds */
};
