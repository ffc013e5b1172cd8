/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/host-figures.h"

#include <math.h>

#include "agent/agent.h"
#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "agent/config.h"
#include "agent/facts.h"
#include "agent/host-parts.h"
#include "agent/host-sample.h"
#include "agent/sampling.h"
#include "agent/task.h"
#include "events/ring.h"

#define ROOT "" /* of the files of /proc and /sys; tests of the parts have another */

struct host_figures {
    struct agent *agent;
    struct lane lane;
    struct sampling sampling;
    struct host_packages packages; /* as they were read last */
};

/* ---- host.capabilities ---- */

#define OBJECT "{\"type\":\"object\"}"
#define OBJECTS "{\"type\":\"array\",\"items\":" OBJECT "}"

static const struct shape capabilities_shape = {
    .name = "HostCapabilities",
    .schema =
        "{\"type\":\"object\",\"required\":[\"name\",\"hostId\",\"version\",\"machine\",\"os\",\"kernel\","
        "\"cpu\",\"numa\",\"memory\",\"kvm\",\"iommu\",\"security\",\"interfaces\",\"disks\","
        "\"packages\"],\"properties\":{\"name\":{\"type\":\"string\"},\"hostId\":{\"type\":\"string\"},"
        "\"version\":{\"type\":\"string\"},\"machine\":" OBJECT ",\"os\":" OBJECT
        ",\"kernel\":" OBJECT
        ",\"cpu\":{\"type\":\"object\",\"required\":[\"vendor\",\"model\",\"mhz\",\"online\","
        "\"topology\",\"sockets\",\"cores\",\"threads\",\"flags\"],\"properties\":{"
        "\"vendor\":{\"type\":[\"string\",\"null\"]},\"model\":{\"type\":[\"string\",\"null\"]},"
        "\"mhz\":{\"type\":[\"number\",\"null\"]},\"online\":{\"type\":[\"string\",\"null\"]},"
        "\"sockets\":{\"type\":[\"integer\",\"null\"]},\"cores\":{\"type\":[\"integer\",\"null\"]},"
        "\"threads\":{\"type\":\"integer\"},\"topology\":" OBJECTS
        ",\"flags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}},\"numa\":" OBJECTS
        ",\"memory\":{\"type\":\"object\",\"required\":[\"size\",\"swap\",\"hugePages\"]},"
        "\"kvm\":{\"type\":\"object\",\"required\":[\"device\",\"createsVms\",\"reason\",\"nested\"]},"
        "\"iommu\":" OBJECT ",\"security\":" OBJECT ",\"interfaces\":" OBJECTS ",\"disks\":" OBJECTS
        ",\"packages\":{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"object\",\"required\":["
        "\"name\",\"version\"]}}}}",
};

struct capabilities_state {
    struct host_packages packages; /* owned: the worker's while it looks */
    struct writer writer;          /* an object that is not closed yet */
};

static void
capabilities_done(struct call *call)
{
    struct capabilities_state *state = call->state;

    free(TAKE(state->packages.json));
    writer_done(&state->writer);
}

static enum outcome
capabilities_begin(struct call *call)
{
    struct host_figures *figures = call->context;
    struct capabilities_state *state = call->state;

    if (figures->packages.json)
        state->packages = (struct host_packages){ .json = xstrdup(figures->packages.json),
                                                  .changed_ns = figures->packages.changed_ns };
    call_set_lane(call, POOL_REPOSITORY, &figures->lane);
    return call_complete(call, NULL);
}

static enum outcome
capabilities_look(struct call *call)
{
    static const struct {
        const char *name;
        void (*write)(const char *root, struct writer *writer);
    } parts[] = {
        { "machine", host_machine_write },   { "os", host_system_write },
        { "kernel", host_kernel_write },     { "cpu", host_cpu_write },
        { "numa", host_numa_write },         { "memory", host_memory_capabilities_write },
        { "kvm", host_kvm_write },           { "iommu", host_iommu_write },
        { "security", host_security_write }, { "interfaces", host_interfaces_write },
        { "disks", host_disks_write },
    };
    struct capabilities_state *state = call->state;
    struct writer *writer = &state->writer;

    host_packages_look(&state->packages);
    writer_object(writer);
    writer_member_string(writer, "name", call->agent->config->name);
    writer_member_string(writer, "hostId", call->agent->host_id);
    writer_member_string(writer, "version", PACKAGE_VERSION);
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        writer_key(writer, parts[i].name);
        parts[i].write(ROOT, writer);
    }
    writer_member_json(writer, "packages", state->packages.json);
    return call_complete(call, NULL);
}

static enum outcome
capabilities_answer(struct call *call)
{
    struct host_figures *figures = call->context;
    struct capabilities_state *state = call->state;
    struct writer *writer = call_result(call);

    free(figures->packages.json);
    figures->packages = state->packages;
    state->packages = (struct host_packages){ 0 };
    facts_write(call->agent, FACTS_CAPABILITIES, &state->writer);
    writer_end_object(&state->writer);
    writer_json(writer, state->writer.text.bytes, state->writer.text.length);
    return call_complete(call, NULL);
}

/* ---- host.stats ---- */

#define SHARE "{\"type\":[\"number\",\"null\"],\"minimum\":0,\"maximum\":1}"

static const struct shape stats_shape = {
    .name = "HostStats",
    .schema =
        "{\"type\":\"object\",\"required\":[\"sampled\",\"intervalMs\",\"uptimeMs\",\"booted\",\"cpu\","
        "\"load\",\"memory\",\"numa\",\"pressure\",\"network\",\"disks\",\"agent\"],"
        "\"properties\":{" SAMPLING_SCHEMA ",\"uptimeMs\":{\"type\":[\"integer\",\"null\"]},"
        "\"booted\":{\"type\":[\"string\",\"null\"]},\"cpu\":{\"type\":\"object\",\"required\":["
        "\"online\",\"user\",\"system\",\"guest\",\"idle\",\"ioWait\",\"steal\",\"busyMs\","
        "\"totalMs\"],\"properties\":{\"user\":" SHARE ",\"system\":" SHARE ",\"guest\":" SHARE
        ",\"idle\":" SHARE ",\"ioWait\":" SHARE ",\"steal\":" SHARE "}},\"cpus\":" OBJECTS
        ",\"load\":{\"type\":[\"object\",\"null\"]},"
        "\"memory\":{\"type\":\"object\",\"required\":[\"total\",\"free\",\"available\",\"buffers\","
        "\"cached\",\"hugePages\",\"swap\",\"ksm\"]},\"numa\":" OBJECTS ",\"pressure\":" OBJECT
        ",\"network\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"name\","
        "\"state\",\"received\",\"sent\"]}},\"disks\":{\"type\":\"array\",\"items\":{"
        "\"type\":\"object\",\"required\":[\"name\",\"reads\",\"writes\",\"readBytes\","
        "\"writeBytes\",\"busy\",\"readLatencyMs\",\"writeLatencyMs\"]}},\"agent\":{"
        "\"type\":\"object\",\"required\":[\"resident\",\"cpuMs\",\"cpu\",\"threads\","
        "\"descriptors\",\"tasks\",\"tasksStarted\",\"events\"]}}}",
};

struct stats_args {
    bool fresh, cpus;
};

static void *
take_sample(void *context, void *prepared, const void *before, int64_t interval_ns,
            struct error **err)
{
    struct host_sample *sample;

    (void)context;
    (void)prepared;
    if (!host_sample_take(ROOT, before, interval_ns, &sample, err))
        return NULL;
    return sample;
}

static void
free_sample(void *data)
{
    host_sample_free(data);
}

static void
write_agent(const struct agent *agent, const struct host_sample *sample, struct writer *writer)
{
    writer_object(writer);
    writer_member_unsigned(writer, "resident", sample->agent.resident);
    writer_member_unsigned(writer, "cpuMs", sample->agent.cpu_ms);
    share_write(writer, "cpu", !isnan(sample->agent_cpu_share), sample->agent_cpu_share);
    writer_member_unsigned(writer, "threads", sample->agent.threads);
    writer_member_unsigned(writer, "descriptors", sample->agent.descriptors);
    writer_member_unsigned(writer, "tasks", task_count_active(agent));
    writer_member_unsigned(writer, "tasksStarted", task_count_started(agent));
    writer_member_unsigned(writer, "events", ring_newest(agent->ring));
    writer_end_object(writer);
}

static enum outcome
stats_write(struct call *call, const struct sample *now)
{
    const struct stats_args *args = call->args;
    const struct host_sample *sample = now->data;
    struct writer *writer = call_result(call);

    writer_object(writer);
    sampling_write(now, writer);
    writer_member_if_known(writer, "uptimeMs", sample->uptime_ms > 0, sample->uptime_ms);
    writer_member_time(writer, "booted", (int64_t)sample->cpus.boot_s * NS_PER_S);
    for (enum host_part part = 0; part < HOST_PARTS; part++) {
        if (part == HOST_CPUS && !args->cpus)
            continue;
        writer_key(writer, host_part_name(part));
        writer_json(writer, sample->parts[part].bytes, sample->parts[part].length);
    }
    if (sample->interfaces_left_out)
        writer_member_unsigned(writer, "interfacesLeftOut", sample->interfaces_left_out);
    if (sample->disks_left_out)
        writer_member_unsigned(writer, "disksLeftOut", sample->disks_left_out);
    writer_key(writer, "agent");
    write_agent(call->agent, sample, writer);
    facts_write(call->agent, FACTS_STATS, writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

static enum outcome
stats_answer(struct call *call)
{
    const struct stats_args *args = call->args;
    struct host_figures *figures = call->context;

    return sampling_answer(call, &figures->sampling, call->state, args->fresh, stats_write);
}

const struct verb host_figure_verbs[] = {
    {
        .name = "host.capabilities",
        .summary = "Show what this host is: machine, system, CPU, NUMA, memory, devices, packages.",
        .description =
            "What cannot be read is null, never made up: a uuid that only root may read, a frequency that "
            "the kernel does not tell. 'kvm' was tried: whether a VM could be made through /dev/kvm. Backends "
            "add what they know: 'virt' what guests can be given, once libvirt has told.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .result = &capabilities_shape,
        .steps = STEPS({ "begin", capabilities_begin, .pool = POOL_LOOP },
                       { "look", capabilities_look, .pool = POOL_REPOSITORY },
                       { "answer", capabilities_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct capabilities_state),
        .state_done = capabilities_done,
    },
    {
        .name = "host.stats",
        .summary = "Show what this host does: CPUs, memory, load, pressure, networks, disks.",
        .description =
            "Totals are since the host's start; rates and shares are those between the last two samples, "
            "'intervalMs' apart, and null while there is but one. A sample is taken every 5 s while "
            "somebody asks, and for a minute after. Backends add what they know: 'repositories' "
            "their space and latency, 'virt' how many VMs there are.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct stats_args),
        .params = PARAMS(PARAM(stats_args, cpus, "cpus", .type = PARAM_BOOL,
                               .about = "Also the shares of each CPU, as 'cpus'."),
                         PARAM(stats_args, fresh, "fresh", .type = PARAM_BOOL,
                               .about = "From a sample that is taken now.")),
        .result = &stats_shape,
        .errors = ERRORS(ERROR_BUSY, ERROR_BACKEND_FAILED, ERROR_TIMEOUT),
        .steps = STEPS({ "answer", stats_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct sampling_wish),
    },
    { 0 },
};

struct host_figures *
host_figures_new(void)
{
    return xalloc(sizeof(struct host_figures));
}

void
host_figures_open(struct host_figures *figures, struct agent *agent)
{
    LOOP_ONLY();
    figures->agent = agent;
    figures->lane = (struct lane){ .name = "host", .limit = 1 };
    figures->sampling = (struct sampling){ .name = "host",
                                           .lane = &figures->lane,
                                           .pool = POOL_REPOSITORY,
                                           .take = take_sample,
                                           .free = free_sample,
                                           .context = figures };
    sampling_register(agent, &figures->sampling);
}
