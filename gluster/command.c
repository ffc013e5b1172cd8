/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/command.h"

#include <string.h>

#include "agent/base/child.h"
#include "agent/base/name.h"
#include "agent/base/thread.h"

#define OUTPUT_SIZE_MAX (64U * 1024 * 1024)
#define MEMORY_SIZE_MAX (2ULL * 1024 * 1024 * 1024)
#define TIMEOUT_S 120
#define GRACE_S 10 /* gluster ends by itself first, and says why */
#define ARGUMENTS_MAX 4096
#define RETRY_FIRST_MS 100
#define RETRY_LONGEST_MS 2000
#define RETRY_ALTOGETHER_MS 30000

/* The first that fits.  Numbers are of glusterfs-errno.h; most refusals come with a number that says
   nothing (-1, 30800, EINVAL), so their words decide. */
static const struct gluster_failure failures[] = {
    { 30802, NULL, ERROR_BUSY, NULL, NULL },
    { 0, "another transaction", ERROR_BUSY, NULL, NULL },
    { 0, "locking failed", ERROR_BUSY, NULL, NULL },
    { 0, "cluster lock not held", ERROR_BUSY, NULL, NULL },
    { 0, "request timed out", ERROR_TIMEOUT, NULL, NULL },
    { 0, "check if gluster daemon is operational", ERROR_BACKEND_UNAVAILABLE, NULL, NULL },
    { 0, "connection to glusterd", ERROR_BACKEND_UNAVAILABLE, NULL, NULL },
    { 0, "self-heal daemon is not running", ERROR_WRONG_STATE, "no self-heal daemon",
      "the self-heal daemon of each host running" },
    { 0, "self-heal-daemon is disabled", ERROR_WRONG_STATE, "self-heal daemon switched off",
      "cluster.self-heal-daemon on" },
    { 0, "file not in split-brain", ERROR_WRONG_STATE, "not in split-brain", "in split-brain" },
    { 0, "lookup failed on", ERROR_NOT_FOUND, NULL, NULL },
    { 0, "not able to fetch volfile", ERROR_WRONG_STATE, "stopped", "started" },
    { 0, "is not part of cluster", ERROR_NOT_FOUND, NULL, NULL },
    { 0, "part of another cluster", ERROR_WRONG_STATE, "in another pool, or with volumes",
      "in no pool, and without volumes" },
    { 0, "one of the peers is probably down", ERROR_WRONG_STATE, "a peer is down",
      "all peers connected, or force" },
    { 0, "hosts one or more bricks", ERROR_WRONG_STATE, "with bricks", "without bricks" },
    { 0, "probe returned with transport endpoint is not connected", ERROR_WRONG_STATE,
      "unreachable", "a glusterd that answers there" },
    { 1, " is localhost", ERROR_WRONG_STATE, "the host that was asked",
      "another host of the pool, or to be asked there" },
    { 0, "did you mean", ERROR_INVALID_PARAMS, NULL,
      NULL }, /* before: "option : x does not exist" */
    { 0, "option : ", ERROR_INVALID_PARAMS, NULL, NULL },
    { 0, "' in 'option ", ERROR_INVALID_PARAMS, NULL,
      NULL }, /* "... is out of range" and the like */
    { 0, " in option \"", ERROR_INVALID_PARAMS, NULL, NULL }, /* "invalid number format ..." */
    { 0, " in \"option\"", ERROR_INVALID_PARAMS, NULL, NULL },
    { 0, "is not valid (possible", ERROR_INVALID_PARAMS, NULL, NULL },
    { 0, "is not a valid ", ERROR_INVALID_PARAMS, NULL, NULL },
    { 0, "not a valid option", ERROR_INVALID_PARAMS, NULL, NULL },
    { 0, "error, validation failed", ERROR_INVALID_PARAMS, NULL,
      "a value is none that its option takes" },
    { 0, "cannot be set along with other options", ERROR_INVALID_PARAMS, NULL, NULL },
    { 0, "is deprecated. use 'gluster", ERROR_INVALID_PARAMS, NULL, NULL },
    { 0, "is invalid command. use 'gluster", ERROR_INVALID_PARAMS, NULL, NULL },
    { 0, "unable to open file '/var/lib/glusterd/groups", ERROR_INVALID_PARAMS, NULL, NULL },
    { 0, "multiple bricks of a", ERROR_INVALID_PARAMS, NULL, NULL },
    { 0, "is not in 'peer in cluster' state", ERROR_INVALID_PARAMS, NULL,
      "each host must be one that peer.list shows, by that name or address" },
    { 0, "please provide a valid hostname", ERROR_INVALID_PARAMS, NULL, NULL },
    { 0, "failed to create brick directory", ERROR_INVALID_PARAMS, NULL,
      "a brick is made in a folder that is there already" },
    { 0, "is already part of a volume", ERROR_WRONG_STATE, "part of a volume",
      "a folder that has been no brick before, nor lies in one, or force" },
    { 0, "may be containing or be contained", ERROR_WRONG_STATE, "used by a volume",
      "a folder that is no brick, lies in none and holds none" },
    { 0, "source brick must be stopped", ERROR_WRONG_STATE, "online", "the reset's start" },
    { 0, "is not permitted on distribute only", ERROR_WRONG_STATE, "without copies",
      "a replicated or dispersed volume" },
    { 0, "some of the peers are down", ERROR_WRONG_STATE, "peers down", "all peers connected" },
    { 0, "needs all the bricks to be up", ERROR_WRONG_STATE, "bricks down", "all bricks online" },
    { 0, "is not connected", ERROR_BACKEND_FAILED, NULL, NULL },
    { 0, " not connected", ERROR_WRONG_STATE, "a peer is down", "the bricks' hosts connected" },
    { 0, "unable to get volinfo for volume", ERROR_NOT_FOUND, NULL, NULL },
    { 0, "is already created", ERROR_ALREADY_EXISTS, NULL, NULL },
    { 0, "already paused", ERROR_WRONG_STATE, "paused", "not paused" },
    { 0, "is not paused", ERROR_WRONG_STATE, "not paused", "paused" },
    { 0, "is still active. please stop the session", ERROR_WRONG_STATE, "started", "stopped" },
    { 0, "geo-replication sessions are active", ERROR_WRONG_STATE, "replicated",
      "no session that is started" },
    { 0, "is down. please bring up the peer", ERROR_WRONG_STATE, "a peer is down",
      "all peers of the volume connected, or force" },
    { 0, " not reachable.", ERROR_WRONG_STATE, "target unreachable", "an ssh server there" },
    { 0, "passwordless ssh login has not been setup", ERROR_WRONG_STATE, "no login at the target",
      "ssh without a password, as the target's user" },
    { 0, "unable to mount and fetch secondary volume", ERROR_WRONG_STATE,
      "target volume missing or stopped", "a started volume there" },
    { 0, "unable to mount and fetch primary volume", ERROR_WRONG_STATE, "stopped", "started" },
    { 0, "is not empty. please delete existing files", ERROR_WRONG_STATE, "target not empty",
      "an empty target volume, or force" },
    { 0, "size of primary is greater", ERROR_WRONG_STATE, "target too small",
      "a target as large as the volume, or force" },
    { 0, "invalid option", ERROR_INVALID_PARAMS, NULL, NULL },
    { 0, "config-set failed", ERROR_INVALID_PARAMS, NULL, "a value is none that its option takes" },
    { 0, "quota is disabled", ERROR_WRONG_STATE, "quota disabled", "quota enabled" },
    { 0, "quota is already enabled", ERROR_WRONG_STATE, "quota enabled", "quota disabled" },
    { 0, "volume is stopped, start volume", ERROR_WRONG_STATE, "stopped", "started" },
    { 30806, NULL, ERROR_NOT_FOUND, NULL, NULL },
    { 30807, NULL, ERROR_NOT_FOUND, NULL, NULL },
    { 0, "does not exist", ERROR_NOT_FOUND, NULL, NULL },
    { 0, "failed to find :", ERROR_NOT_FOUND, NULL, NULL }, /* a snapshot to be cloned */
    { 30811, NULL, ERROR_ALREADY_EXISTS, NULL, NULL },
    { 30812, NULL, ERROR_ALREADY_EXISTS, NULL, NULL },
    { 0, "already exists", ERROR_ALREADY_EXISTS, NULL, NULL },
    { 30803, NULL, ERROR_WRONG_STATE, "bricks down", "all bricks online" },
    { 30805, NULL, ERROR_LIMIT_EXCEEDED, "snapshots of a volume", NULL },
    { 30808, NULL, ERROR_WRONG_STATE, "rebalancing", "no rebalance" },
    { 0, "an earlier remove-brick task exists", ERROR_WRONG_STATE, "removing bricks",
      "no operation on the volume" },
    { 0, "remove-brick task on volume", ERROR_WRONG_STATE, "removing bricks",
      "no operation on the volume" },
    { 0, "profile on*is already started", ERROR_WRONG_STATE, "started", "stopped" },
    { 0, "is already started", ERROR_WRONG_STATE, "rebalancing", "no operation on the volume" },
    { 0, "rebalance is in progress", ERROR_WRONG_STATE, "rebalancing",
      "no operation on the volume" },
    { 0, "not started for volume", ERROR_WRONG_STATE, "idle", "an operation on the volume" },
    { 0, "is not decommissioned", ERROR_WRONG_STATE, "idle", "a removal of these bricks" },
    { 0, "migration is in progress", ERROR_WRONG_STATE, "running", "waitingForCommit" },
    { 0, "migration has failed", ERROR_WRONG_STATE, "failed", "waitingForCommit" },
    { 0, "needs to be started", ERROR_WRONG_STATE, "stopped", "started" },
    { 0, "contains only 1 brick", ERROR_WRONG_STATE, "one set of bricks",
      "several sets of bricks" },
    { 0, "deleting all the bricks", ERROR_WRONG_STATE, "one set of bricks",
      "several sets of bricks" },
    { 0, "host node of the brick", ERROR_WRONG_STATE, "host down",
      "every host of these bricks up" },
    { 0, "incorrect brick count", ERROR_INVALID_PARAMS, NULL, "whole sets of copies" },
    { 0, "bricks not from same subvol", ERROR_INVALID_PARAMS, NULL, "whole sets of copies" },
    { 0, "incorrect brick ", ERROR_NOT_FOUND, NULL, NULL },
    { 0, "is already activated", ERROR_WRONG_STATE, "active", "inactive" },
    { 0, "is already deactivated", ERROR_WRONG_STATE, "inactive", "active" },
    { 0, "is not activated", ERROR_WRONG_STATE, "inactive", "active" },
    { 0, "first delete all the snapshots", ERROR_WRONG_STATE, "has snapshots", "no snapshots" },
    { 0, "already started", ERROR_WRONG_STATE, "started", "stopped" },
    { 0, "is not started", ERROR_WRONG_STATE, "stopped", "started" },
    { 0, "not in started state", ERROR_WRONG_STATE, "stopped", "started" },
    { 0, "is not in the started state", ERROR_WRONG_STATE, "stopped", "started" },
    { 0, "has been started", ERROR_WRONG_STATE, "started", "stopped" },
};

/* Each part between the '*' of 'pattern', one behind the other. */
static bool
contains(const char *text, const char *pattern)
{
    for (;;) {
        size_t length = strcspn(pattern, "*");
        _cleanup_free_ char *part = xstrndup(pattern, length);

        text = strcasestr(text, part);
        if (!text || !pattern[length])
            return text != NULL;
        text += length;
        pattern += length + 1;
    }
}

static bool
fits(const struct gluster_failure *failure, int number, const char *text)
{
    return (!failure->number || failure->number == number) &&
           (!failure->text || contains(text, failure->text));
}

const struct gluster_failure *
gluster_failure_find(int number, const char *text)
{
    for (size_t i = 0; i < ARRAY_COUNT(failures); i++)
        if (fits(&failures[i], number, text))
            return &failures[i];
    return NULL;
}

/* glusterd 10.3 forgets the blank in "option : x does not existDid you mean y?". */
static void
separate(struct text *text, const char *words)
{
    const char *found = text->length ? strstr(text->bytes, words) : NULL;
    _cleanup_free_ char *rest = NULL;

    if (!found || found == text->bytes)
        return;
    rest = xstrdup(found);
    text->length = (size_t)(found - text->bytes);
    while (text->length && strchr(" .", text->bytes[text->length - 1]))
        text->length--;
    text_printf(text, ": %s", rest);
}

/* gluster's own words, in one line of UTF-8: it says some things in several, with trailing blanks. */
static char *
tidy(const char *text)
{
    struct text tidied = TEXT_INIT;

    for (const char *at = text; *at;) {
        size_t size = utf8_character_size(at, strlen(at));

        if (size > 1 || (unsigned char)*at > ' ')
            text_append(&tidied, size ? at : "?", size ? size : 1);
        else if (tidied.length && tidied.bytes[tidied.length - 1] != ' ')
            text_append_char(&tidied, ' ');
        at += size ? size : 1;
    }
    separate(&tidied, "Did you mean");
    while (tidied.length && strchr(" .", tidied.bytes[tidied.length - 1]))
        tidied.bytes[--tidied.length] = '\0';
    return text_take(&tidied);
}

/* What the limit is on, and how high, which the words tell: "... maximum limit of 256, for the volume". */
static void
tell_limit(const struct gluster_failure *failure, const char *words, struct error **err)
{
    const char *limit = strstr(words, "limit of ");

    error_data_text(err, "limit", "%s", failure->state);
    if (limit)
        error_data_number(err, "max", strtol(limit + strlen("limit of "), NULL, 10));
}

/* Which parameter glusterd does not like, and why. */
static void
tell_param(const struct gluster_command *command, const struct gluster_failure *failure,
           const char *text, struct error **err)
{
    error_data_text(err, "param", "%s", command->param);
    error_data_text(err, "reason", "%s%s%s", text, failure->needs ? ": " : "",
                    failure->needs ? failure->needs : "");
}

static bool
fail(const struct gluster_command *command, int number, const char *words, struct error **err)
{
    const struct gluster_failure *failure = gluster_failure_find(number, words);
    enum error_code code = failure ? failure->code : ERROR_BACKEND_FAILED;
    bool made = code == ERROR_ALREADY_EXISTS && command->made_id;
    const char *kind = made ? command->made_kind : command->kind;
    const char *id = made ? command->made_id : command->id;
    _cleanup_free_ char *text = tidy(*words ? words : "it does not say why");

    if (((code == ERROR_NOT_FOUND || code == ERROR_ALREADY_EXISTS) && !id) ||
        (code == ERROR_INVALID_PARAMS && !command->param))
        code = ERROR_BACKEND_FAILED;
    error_set(err, code, "%s: %s",
              code == ERROR_BACKEND_UNAVAILABLE ? "glusterd does not answer" : "glusterd refused",
              text);
    error_data_text(err, "backend", "gluster");
    error_data_number(err, "code", number);
    error_data_text(err, "text", "%s", text);
    if (code == ERROR_NOT_FOUND || code == ERROR_ALREADY_EXISTS) {
        error_data_text(err, "kind", "%s", kind);
        error_data_text(err, "id", "%s", id);
    }
    if (code == ERROR_WRONG_STATE) {
        error_data_text(err, "state", "%s", failure->state);
        error_data_text(err, "needs", "%s", failure->needs);
    }
    if (code == ERROR_INVALID_PARAMS)
        tell_param(command, failure, text, err);
    if (code == ERROR_LIMIT_EXCEEDED)
        tell_limit(failure, words, err);
    if (code == ERROR_BACKEND_UNAVAILABLE)
        error_data_text(err, "reason", "%s", text);
    if (code == ERROR_BUSY)
        error_data_number(err, "retryAfterMs", RETRY_LONGEST_MS);
    return false;
}

static const char *refusal; /* set before threads */

void
gluster_command_refuse(const char *reason)
{
    refusal = reason;
}

/* What stands on standard error says more than usage printed instead of XML, if anything stands there;
   and so does what stands before usage. */
static bool
judge_text(const struct gluster_command *command, const struct text *output,
           const struct text *errors, int status, struct error **err)
{
    _cleanup_free_ char *words = xstrdup(errors->length   ? errors->bytes
                                         : output->length ? output->bytes
                                                          : "it printed nothing");
    char *usage = strstr(words, "\nUsage:");

    if (usage && usage != words)
        *usage = '\0';
    return fail(command, status, words, err);
}

static bool
judge(const struct gluster_command *command, const struct xml_document *document,
      struct error **err)
{
    const struct xml_node *root = xml_root(document);
    const char *result = xml_text(root, "opRet");

    if (strcmp(xml_name(root), "options") == 0) /* "volume set help-xml" (10.3) */
        return true;
    if (!*result)
        return fail(command, 0, "its answer has no opRet", err);
    if (strcmp(result, "0") == 0)
        return true;
    return fail(command, (int)xml_count(root, "opErrno"), xml_text(root, "opErrstr"), err);
}

/* Wherever it stands, gluster takes a word with two dashes for an option of its own, so that a description of
   "--remote-host=far" would send the command to another glusterd (10.3). */
static bool
check_word(const char *word, struct error **err)
{
    if (strncmp(word, "--", 2) != 0)
        return true;
    error_set(err, ERROR_INVALID_PARAMS,
              "'%s' begins with two dashes: gluster would take it for an option of its own", word);
    return error_data_text(err, "reason", "'%s' must not begin with two dashes", word);
}

static bool
is_xml(const struct text *output)
{
    return output->length && output->bytes[0] == '<';
}

/*
 * gluster (10.3) begins each command by asking gsyncd's version, which starts a Python: 52 ms of the 61 ms
 * of CPU time that a question costs.  Only the commands of geo-replication need the answer.
 */
static const char *
spare_python(const struct gluster_command *command)
{
    for (size_t i = 0; command->arguments[i]; i++)
        if (strcmp(command->arguments[i], "geo-replication") == 0)
            return NULL;
    return "PYTHON=/bin/true";
}

static bool
ask(const struct gluster_command *command, struct text *ret_output, struct text *ret_errors,
    int *ret_status, struct error **err)
{
    unsigned timeout_s = command->timeout_s ? command->timeout_s : TIMEOUT_S;
    const struct child_limits limits = { .timeout_ms = (timeout_s + GRACE_S) * 1000,
                                         .memory_size = MEMORY_SIZE_MAX,
                                         .output_size = OUTPUT_SIZE_MAX,
                                         .variable = spare_python(command),
                                         .abort = command->abort };
    _cleanup_free_ char *timeout = xprintf("--timeout=%u", timeout_s);
    _cleanup_free_ const char **argv = xalloc((ARGUMENTS_MAX + 5) * sizeof(*argv));
    size_t count = 0;

    argv[count++] = "gluster";
    argv[count++] = "--mode=script";
    if (!command->plain)
        argv[count++] = "--xml";
    argv[count++] = timeout;
    for (size_t i = 0; command->arguments[i]; i++) {
        if (i == ARGUMENTS_MAX) {
            error_set(err, ERROR_LIMIT_EXCEEDED, "a command of gluster takes %d words at most",
                      ARGUMENTS_MAX);
            error_data_text(err, "limit", "words");
            return error_data_number(err, "max", ARGUMENTS_MAX);
        }
        if (!check_word(command->arguments[i], err))
            return false;
        argv[count++] = command->arguments[i];
    }
    if (child_ask(argv, -1, &limits, ret_output, ret_errors, ret_status, err))
        return true;
    return error_wrap(err, "cannot ask glusterd");
}

static bool
check_refusal(struct error **err)
{
    if (!refusal)
        return true;
    error_set(err, ERROR_BACKEND_UNAVAILABLE, "glusterd is not asked: %s", refusal);
    error_data_text(err, "backend", "gluster");
    return error_data_text(err, "reason", "%s", refusal);
}

bool
gluster_command_run(const struct gluster_command *command, struct xml_document **ret_document,
                    struct error **err)
{
    _cleanup_text_ struct text output = TEXT_INIT, errors = TEXT_INIT;
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    int status;

    WORKER_ONLY();
    if (!check_refusal(err) || !ask(command, &output, &errors, &status, err))
        return false;
    if (!is_xml(&output))
        return judge_text(command, &output, &errors, status, err);
    if (!xml_parse("gluster", output.bytes, output.length, &document, err) ||
        !judge(command, document, err))
        return false;
    if (ret_document)
        *ret_document = TAKE(document);
    return true;
}

bool
gluster_command_run_words(const struct gluster_command *command, struct text *ret_words,
                          struct error **err)
{
    _cleanup_text_ struct text output = TEXT_INIT, errors = TEXT_INIT;
    int status;

    WORKER_ONLY();
    if (!check_refusal(err) || !ask(command, &output, &errors, &status, err))
        return false;
    if (status != 0)
        return judge_text(command, &output, &errors, status, err);
    if (ret_words) {
        *ret_words = output;
        output = TEXT_INIT;
    }
    return true;
}

enum outcome
gluster_command_fail(struct call *call, struct error *error)
{
    unsigned doublings = call_attempts(call) - 1;
    uint64_t delay_ms = doublings < 5 ? RETRY_FIRST_MS << doublings : RETRY_LONGEST_MS;
    enum outcome outcome;

    if (error->code != ERROR_BUSY || call_elapsed_ms(call) >= RETRY_ALTOGETHER_MS)
        return call_fail(call, error);
    outcome = call_retry(call, delay_ms, "%s", error->message);
    error_free(error);
    return outcome;
}
