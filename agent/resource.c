/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/resource.h"

#include <assert.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/base/cleanup.h"
#include "agent/base/thread.h"

struct resources {
    struct resource *first;
    char **urls; /* NULL-terminated */
    size_t url_count;
    char *unix_path; /* owned, or NULL */
};

struct chunk *
chunk_new(size_t capacity)
{
    struct chunk *chunk = xalloc(sizeof(*chunk) + capacity);

    chunk->capacity = capacity;
    return chunk;
}

void
chunks_free(struct chunk *first)
{
    while (first) {
        struct chunk *next = first->next;

        free(first);
        first = next;
    }
}

const char *
resource_argument(const struct resource_request *request, const char *name)
{
    size_t length = strlen(name);

    for (char *const *argument = request->arguments; *argument; argument++)
        if (strncmp(*argument, name, length) == 0 && (*argument)[length] == '=')
            return *argument + length + 1;
    return NULL;
}

void
exchange_receive(struct exchange *exchange, struct chunk *chunk)
{
    LOOP_ONLY();
    chunk->next = NULL;
    chunk->size = 0;
    exchange->transport->receive(exchange, chunk);
}

void
exchange_answer(struct exchange *exchange, const struct resource_answer *answer)
{
    LOOP_ONLY();
    exchange->transport->answer(exchange, answer);
}

void
exchange_answer_text(struct exchange *exchange, const struct resource_answer *answer,
                     const char *text, size_t size)
{
    struct resource_answer whole = *answer;
    struct chunk *chunk;

    whole.size = size;
    exchange_answer(exchange, &whole);
    if (size == 0)
        return;
    chunk = chunk_new(size);
    memcpy(chunk->bytes, text, size);
    chunk->size = size;
    exchange_send(exchange, chunk);
}

void
exchange_send(struct exchange *exchange, struct chunk *chunk)
{
    LOOP_ONLY();
    assert(chunk->size > 0);
    chunk->next = NULL;
    exchange->transport->send(exchange, chunk);
}

void
exchange_end(struct exchange *exchange)
{
    LOOP_ONLY();
    exchange->transport->end(exchange);
}

void
exchange_break_off(struct exchange *exchange)
{
    LOOP_ONLY();
    exchange->transport->break_off(exchange);
}

/* ---- the register ---- */

static struct resources *
resources_of(struct agent *agent)
{
    if (!agent->resources)
        agent->resources = xalloc(sizeof(*agent->resources));
    return agent->resources;
}

void
resource_register(struct agent *agent, struct resource *resource)
{
    struct resources *resources = resources_of(agent);

    resource->next = resources->first;
    resources->first = resource;
}

const struct resource *
resource_find(const struct agent *agent, const char *path)
{
    const struct resource *resource = agent->resources ? agent->resources->first : NULL;

    while (resource && strncmp(path, resource->prefix, strlen(resource->prefix)) != 0)
        resource = resource->next;
    return resource;
}

void
resource_listen(struct agent *agent, char *url)
{
    struct resources *resources = resources_of(agent);

    resources->urls =
        xrealloc(resources->urls, (resources->url_count + 2) * sizeof(resources->urls[0]));
    resources->urls[resources->url_count++] = url;
    resources->urls[resources->url_count] = NULL;
}

char *const *
resource_urls(const struct agent *agent)
{
    return agent->resources ? agent->resources->urls : NULL;
}

void
resource_listen_unix(struct agent *agent, char *path)
{
    struct resources *resources = resources_of(agent);

    free(resources->unix_path);
    resources->unix_path = path;
}

const char *
resource_unix_path(const struct agent *agent)
{
    return agent->resources ? agent->resources->unix_path : NULL;
}

void
resources_free(struct resources *resources)
{
    if (!resources)
        return;
    for (size_t i = 0; i < resources->url_count; i++)
        free(resources->urls[i]);
    free(resources->urls);
    free(resources->unix_path);
    free(resources);
}
