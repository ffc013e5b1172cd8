/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/metrics.h"

#include <stdio.h>
#include <sys/resource.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "agent/gauge.h"
#include "agent/task.h"
#include "events/ring.h"
#include "rpc/rpc.h"

static void
metric(struct text *text, const char *name, const char *type, double value, const char *help)
{
    text_printf(text, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type, name,
                value);
}

static double
resident_size(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    if (!file)
        return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    (void)fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double
cpu_seconds(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) < 0)
        return 0;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void
metrics_write(const struct rpc *rpc, struct text *text)
{
    const struct agent *agent = rpc->agent;

    metric(text, "hostler_tasks_active", "gauge", (double)task_count_active(agent),
           "Tasks that are pending or run.");
    metric(text, "hostler_tasks_remembered", "gauge", (double)task_count_remembered(agent),
           "Ended tasks that are remembered.");
    metric(text, "hostler_tasks_started_total", "counter", (double)task_count_started(agent),
           "Tasks started, reads among them.");
    metric(text, "hostler_connections", "gauge", (double)rpc->connection_count,
           "WebSockets, and POSTs under way.");
    metric(text, "hostler_connections_total", "counter", (double)rpc->last_number,
           "WebSockets and POSTs since the start.");
    metric(text, "hostler_requests_total", "counter", (double)rpc->request_count,
           "Requests received, each of a batch.");
    metric(text, "hostler_errors_total", "counter", (double)rpc->error_count,
           "Requests answered with an error.");
    metric(text, "hostler_events_total", "counter", (double)ring_newest(agent->ring),
           "Events published.");
    metric(text, "hostler_events_delivered_total", "counter", (double)rpc->event_count,
           "Events handed to subscribers.");
    metric(text, "hostler_event_ring_bytes", "gauge", (double)ring_size(agent->ring),
           "Bytes of the events that are remembered.");
    metric(text, "process_resident_memory_bytes", "gauge", resident_size(), "Resident memory.");
    metric(text, "process_cpu_seconds_total", "counter", cpu_seconds(), "CPU time used.");
    metric(text, "process_start_time_seconds", "gauge",
           (double)agent->started_ns / (double)NS_PER_S, "When the agent started.");
    gauges_write(agent, text);
}

/* "connections" of host.stats: the same counters. */
static void
write_facts(void *context, struct writer *writer)
{
    const struct rpc *rpc = context;

    LOOP_ONLY();
    writer_object(writer);
    writer_member_unsigned(writer, "open", rpc->connection_count);
    writer_member_unsigned(writer, "accepted", rpc->last_number);
    writer_member_unsigned(writer, "requests", rpc->request_count);
    writer_member_unsigned(writer, "errors", rpc->error_count);
    writer_member_unsigned(writer, "eventsDelivered", rpc->event_count);
    writer_end_object(writer);
}

void
metrics_open(struct rpc *rpc)
{
    rpc->facts = (struct facts){
        .of = FACTS_STATS, .name = "connections", .write = write_facts, .context = rpc
    };
    facts_register(rpc->agent, &rpc->facts);
}
