/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources: trees of HTTP paths that a backend serves itself, bytes in and bytes out.
 *
 * Here rpc/ and backends meet for what is no verb, as they do for verbs in agent/verb.h: rpc/ knows
 * sockets and HTTP, the backend knows what the bytes are.  An exchange is one request and its
 * answer.  Bytes travel in chunks that change owner and are never shared, and each side goes on
 * only when it is given the next one, so a chunk on its way is all the memory an exchange takes:
 *
 *     begin ──► exchange_receive(empty) ──► received(full) ──► exchange_receive(it again) …
 *     exchange_answer(head) ──► exchange_send(full) ──► sent(it again) ──► exchange_send … ──► ended
 *
 * What the backend calls only queues: it is never called back from within.  Loop only, all of it.
 */
#ifndef AGENT_RESOURCE_H
#define AGENT_RESOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct agent;
struct resources;

struct chunk {
    struct chunk *next; /* whoever owns it may keep it in a list */
    size_t size;        /* bytes that are there */
    size_t capacity;
    char bytes[];
};

struct chunk *chunk_new(size_t capacity);
void chunks_free(struct chunk *first); /* and all behind it; NULL is fine */

enum resource_method {
    RESOURCE_GET,
    RESOURCE_HEAD,
    RESOURCE_PUT,
    RESOURCE_PATCH,
    RESOURCE_OPTIONS,
    RESOURCE_POST,
    RESOURCE_DELETE
};

#define RESOURCE_ARGUMENTS_MAX 8
#define RESOURCE_LENGTH_UNKNOWN UINT64_MAX

/* Bytes 'first' to 'last' of a whole, both counted in; or, with 'suffix', its last 'first' bytes. */
struct resource_range {
    bool given;
    bool suffix;
    uint64_t first;
    uint64_t last; /* UINT64_MAX: to the end */
};

/* What is asked for: borrowed, gone when begin() returns. */
struct resource_request {
    enum resource_method method;
    const char *path; /* behind the prefix */
    char
        *arguments[RESOURCE_ARGUMENTS_MAX + 1]; /* "flush=n", ...; NULL-terminated; owned by rpc/ */
    uint64_t body_size;                         /* 0: there is none */
    struct resource_range range;                /* of an answer */
    struct resource_range content_range;        /* of the body: as many bytes as it has */
};

/* The value behind "NAME=", or NULL. */
const char *resource_argument(const struct resource_request *request, const char *name);

/* The head of an answer.  Borrowed. */
struct resource_answer {
    unsigned status;     /* of HTTP */
    const char *type;    /* of the body, or NULL */
    uint64_t size;       /* of the body; RESOURCE_LENGTH_UNKNOWN: exchange_end() tells its end */
    const char *headers; /* whole lines with their CR LF, or NULL */
    bool close;          /* the socket carries no further request */
};

struct exchange;

/* What a backend implements. */
struct resource {
    const char *prefix; /* "/images/" */
    void *context;      /* the backend's */
    void (*begin)(void *context, struct exchange *exchange, const struct resource_request *request);
    /* A chunk is full, or the body has ended with it ('last').  Takes ownership. */
    void (*received)(struct exchange *exchange, struct chunk *chunk, bool last);
    /* A chunk is sent, and more is to come: it may be used again.  Takes ownership. */
    void (*sent)(struct exchange *exchange, struct chunk *chunk);
    /* The answer is sent, or the client is gone: 'exchange' must not be used any more. */
    void (*ended)(struct exchange *exchange);
    struct resource *next; /* private */
};

/* What rpc/ implements. */
struct exchange_transport {
    void (*receive)(struct exchange *exchange, struct chunk *chunk); /* each as told below */
    void (*answer)(struct exchange *exchange, const struct resource_answer *answer);
    void (*send)(struct exchange *exchange, struct chunk *chunk);
    void (*end)(struct exchange *exchange);
    void (*break_off)(struct exchange *exchange);
};

struct exchange {
    const struct exchange_transport *transport;
    const struct resource *resource;
    void *user; /* the backend's own */
};

/* Lends a chunk to be filled with the body, behind those lent before.  Takes ownership.  The body is
   asked for (100 Continue) when the first one is lent, and not read while none is. */
void exchange_receive(struct exchange *exchange, struct chunk *chunk);
/* Once, and before the whole body has come only to refuse it: the rest of it is then dropped. */
void exchange_answer(struct exchange *exchange, const struct resource_answer *answer);
/* The same with a short body. */
void exchange_answer_text(struct exchange *exchange, const struct resource_answer *answer,
                          const char *text, size_t size);
/* Takes ownership.  As many bytes as the answer has told, and no more. */
void exchange_send(struct exchange *exchange, struct chunk *chunk);
/* For an answer of unknown length: that was all. */
void exchange_end(struct exchange *exchange);
/* The answer cannot be completed, and must not look complete. */
void exchange_break_off(struct exchange *exchange);

/* Borrowed; for ever. */
void resource_register(struct agent *agent, struct resource *resource);
/* The one that serves 'path', or NULL. */
const struct resource *resource_find(const struct agent *agent, const char *path);
/* rpc/ tells of each TCP listener: "http://127.0.0.1:54321".  Takes ownership. */
void resource_listen(struct agent *agent, char *url);
/* NULL-terminated, or NULL: where resources are served. */
char *const *resource_urls(const struct agent *agent);
/* Likewise of the unix socket; the last one that is told counts.  Takes ownership. */
void resource_listen_unix(struct agent *agent, char *path);
/* Or NULL. */
const char *resource_unix_path(const struct agent *agent);
/* For tests: the agent itself never ends. */
void resources_free(struct resources *resources);

#endif
