/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <unistd.h>

#include "agent/agent.h"
#include "agent/backend.h"
#include "agent/config.h"
#include "agent/task.h"
#include "agent/verb.h"

static const struct shape host_info_shape = {
    .name = "HostInfo",
    .schema =
        "{\"type\":\"object\",\"required\":[\"name\",\"hostId\",\"instance\",\"version\",\"started\",\"process\","
        "\"backends\",\"limits\",\"tasks\"],\"properties\":{\"name\":{\"type\":\"string\"},"
        "\"hostId\":{\"type\":\"string\"},\"instance\":{\"type\":\"string\"},\"version\":{\"type\":\"string\"},"
        "\"started\":{\"type\":\"string\"},\"process\":{\"type\":\"integer\"},"
        "\"backends\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"backend\",\"state\","
        "\"version\",\"reason\",\"since\"]}},\"limits\":{\"type\":\"object\",\"additionalProperties\":{\"type\":"
        "\"integer\"}},\"tasks\":{\"type\":\"object\",\"required\":[\"active\",\"remembered\",\"started\"]}}}",
};

static enum outcome
answer_ping(struct call *call)
{
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

static void
write_limits(const struct config *config, struct writer *writer)
{
    writer_object(writer);
    for (unsigned i = 0; config_limit_at(i); i++)
        writer_member_unsigned(writer, config_limit_at(i)->wire_name,
                               config_limit_value(config, i));
    writer_member_unsigned(writer, "workers", config->workers);
    writer_member_unsigned(writer, "taskRetention", config->task_retention_s);
    writer_member_unsigned(writer, "taskHistory", config->task_history);
    writer_member_unsigned(writer, "eventRing", config->event_ring);
    writer_end_object(writer);
}

static enum outcome
answer_info(struct call *call)
{
    const struct agent *agent = call->agent;
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_string(writer, "name", agent->config->name);
    writer_member_string(writer, "hostId", agent->host_id);
    writer_member_string(writer, "instance", agent->instance);
    writer_member_string(writer, "version", PACKAGE_VERSION);
    writer_member_time(writer, "started", agent->started_ns);
    writer_member_integer(writer, "process", getpid());
    writer_key(writer, "backends");
    backends_write(agent, writer);
    writer_key(writer, "limits");
    write_limits(agent->config, writer);
    writer_key(writer, "tasks");
    writer_object(writer);
    writer_member_unsigned(writer, "active", task_count_active(agent));
    writer_member_unsigned(writer, "remembered", task_count_remembered(agent));
    writer_member_unsigned(writer, "started", task_count_started(agent));
    writer_end_object(writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

const struct verb host_verbs[] = {
    {
        .name = "host.ping",
        .summary = "Answer an empty object, to show that the agent is there.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .result = &empty_shape,
        .steps = STEPS({ "answer", answer_ping, .pool = POOL_LOOP }),
    },
    {
        .name = "host.info",
        .summary = "Show the agent: its names, instance, version, backends and limits.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .result = &host_info_shape,
        .steps = STEPS({ "look", answer_info, .pool = POOL_LOOP }),
    },
    { 0 },
};
