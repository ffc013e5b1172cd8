/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/dispatch.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/base/log.h"
#include "agent/config.h"
#include "rpc/args.h"
#include "rpc/rate.h"
#include "rpc/rpc.h"

#define METHOD_SHOWN_MAX 128 /* bytes of an unknown method that the error shows */

static bool
find_verb(const struct agent *agent, struct slice method, struct task_request *request,
          struct error **err)
{
    _cleanup_free_ char *owned = NULL;
    const char *name;
    size_t size;

    slice_string(method, &name, &size, &owned);
    request->verb = verb_find(agent->verbs, name, size, &request->context);
    if (request->verb)
        return true;
    return error_set(err, ERROR_METHOD_NOT_FOUND,
                     "there is no method '%.*s': rpc.discover lists them all",
                     (int)(size < METHOD_SHOWN_MAX ? size : METHOD_SHOWN_MAX), name);
}

static bool
check_role(const struct connection *connection, const struct verb *verb, struct error **err)
{
    if (connection->role >= verb->role)
        return true;
    error_set(err, ERROR_FORBIDDEN, "'%s' needs the role '%s': '%s' has '%s'", verb->name,
              role_name(verb->role), connection->caller, role_name(connection->role));
    error_data_text(err, "role", "%s", role_name(connection->role));
    return error_data_text(err, "needs", "%s", role_name(verb->role));
}

static bool
check_limits(struct connection *connection, const struct verb *verb, struct error **err)
{
    uint64_t max = connection->rpc->agent->config->limits.connection_tasks;

    if (connection->tasks >= max) {
        error_set(err, ERROR_LIMIT_EXCEEDED,
                  "%zu calls of this connection are in flight: wait until some have ended",
                  connection->tasks);
        error_data_text(err, "limit", "connectionTasks");
        return error_data_number(err, "max", (int64_t)max);
    }
    if (verb->kind == VERB_CHANGES || verb->kind == VERB_ANSWERS_EARLY)
        return rate_take(connection->rpc, connection->caller, err);
    return true;
}

/* The task's name: what 'taskId' says; else a string id's content, which is host-wide, or a number
   id's own characters, for this connection alone; else nothing, and it gets a fresh UUID. */
static void
make_key(const struct connection *connection, struct slice id, char **task_id,
         struct dispatched *dispatched)
{
    struct task_key *key = &dispatched->request.key;

    if (*task_id) {
        dispatched->owned_key = TAKE(*task_id);
        *key = (struct task_key){ 0, dispatched->owned_key, strlen(dispatched->owned_key) };
    } else if (id.text && *id.text == '"') {
        slice_string(id, &key->text, &key->length, &dispatched->owned_key);
    } else if (id.text && *id.text != 'n') {
        *key = (struct task_key){ connection->number, id.text, id.size };
    }
}

static bool
check_instance(const struct agent *agent, const struct common_args *common, struct error **err)
{
    if (!common->if_instance || strcmp(common->if_instance, agent->instance) == 0)
        return true;
    error_set(err, ERROR_WRONG_INSTANCE,
              "the agent was started since: it is instance '%s' now, and has run nothing of this "
              "call",
              agent->instance);
    return error_data_text(err, "instance", "%s", agent->instance);
}

static void
log_received(const struct task_request *request)
{
    _cleanup_free_ char *task = NULL;

    if (!log_enabled(LOG_LEVEL_DEBUG))
        return;
    task = request->key.text ? xstrndup(request->key.text, request->key.length) : NULL;
    log_debug(task, "%s asks for %s", request->caller, request->verb->name);
}

bool
dispatch_prepare(struct connection *connection, const struct envelope *envelope,
                 struct dispatched *ret_dispatched, struct error **err)
{
    const struct agent *agent = connection->rpc->agent;
    struct dispatched dispatched = { .request = { .caller = connection->caller,
                                                  .role = connection->role,
                                                  .connection = connection->number } };
    _cleanup_(common_args_done) struct common_args common = { 0 };
    struct task_request *request = &dispatched.request;

    if (!find_verb(agent, envelope->method, request, err) ||
        !check_role(connection, request->verb, err) ||
        !check_limits(connection, request->verb, err) ||
        !args_fill(request->verb, envelope->params, &request->args, &common, err))
        return false;
    if (!check_instance(agent, &common, err)) {
        verb_args_free(request->verb, request->args);
        return false;
    }
    make_key(connection, envelope->id, &common.task_id, &dispatched);
    request->once = common.once;
    log_received(request);
    *ret_dispatched = dispatched;
    return true;
}

void
dispatch_done(struct dispatched *dispatched)
{
    free(dispatched->owned_key);
    dispatched->owned_key = NULL;
}
