/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/backend.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "events/ring.h"

struct backend {
    const char *name;
    bool available;
    char *version, *reason; /* owned, or NULL */
    int64_t since_ns;
    struct backend *next;
};

struct backends {
    struct backend *first;
};

struct backends *
backends_new(struct agent *agent)
{
    (void)agent;
    return xalloc(sizeof(struct backends));
}

void
backends_free(struct backends *backends)
{
    while (backends && backends->first) {
        struct backend *backend = backends->first;

        backends->first = backend->next;
        free(backend->version);
        free(backend->reason);
        free(backend);
    }
    free(backends);
}

static void
write_one(const struct backend *backend, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "backend", backend->name);
    writer_member_string(writer, "state", backend->available ? "available" : "unavailable");
    writer_member_string(writer, "version", backend->version);
    writer_member_string(writer, "reason", backend->reason);
    writer_member_time(writer, "since", backend->since_ns);
    writer_end_object(writer);
}

static struct backend *
find_or_add(struct backends *backends, const char *name)
{
    struct backend **place = &backends->first;

    while (*place && strcmp((*place)->name, name) != 0)
        place = &(*place)->next;
    if (!*place) {
        *place = xalloc(sizeof(**place));
        (*place)->name = name;
    }
    return *place;
}

static bool
differs(const char *one, const char *other)
{
    return !one != !other || (one && strcmp(one, other) != 0);
}

void
backend_set(struct agent *agent, const char *name, bool available, const char *version,
            const char *reason)
{
    struct backend *backend = find_or_add(agent->backends, name);
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    LOOP_ONLY();
    if (backend->since_ns && backend->available == available &&
        !differs(backend->version, version) && !differs(backend->reason, reason))
        return;
    free(backend->version);
    free(backend->reason);
    backend->version = version ? xstrdup(version) : NULL;
    backend->reason = reason ? xstrdup(reason) : NULL;
    backend->available = available;
    backend->since_ns = clock_wall_ns();
    write_one(backend, &writer);
    (void)ring_publish(agent->ring, "host.backend", name, writer.text.bytes, writer.text.length);
}

void
backend_set_version(struct agent *agent, const char *name, const char *version)
{
    const struct backend *backend = find_or_add(agent->backends, name);
    _cleanup_free_ char *reason = backend->reason ? xstrdup(backend->reason) : NULL;

    backend_set(agent, name, backend->available, version, reason);
}

void
backends_write(const struct agent *agent, struct writer *writer)
{
    writer_array(writer);
    for (const struct backend *backend = agent->backends->first; backend; backend = backend->next)
        write_one(backend, writer);
    writer_end_array(writer);
}
