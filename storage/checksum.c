/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/checksum.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/thread.h"
#include "storage/reader.h"

#define DIGEST_SIZE 32

static const char zeros[READER_LEAF_SIZE];

static void
free_context(EVP_MD_CTX **context)
{
    EVP_MD_CTX_free(*context);
}

static bool
digest(const void *bytes, size_t size, unsigned char ret_digest[DIGEST_SIZE])
{
    return EVP_Digest(bytes, size, ret_digest, NULL, EVP_sha256(), NULL) == 1;
}

static bool
no_digest(struct error **err)
{
    return error_set(err, ERROR_INTERNAL, "SHA-256 is not available");
}

/*
 * Leaves that are digested by two threads, whichever comes first to each: hashing is what a checksum waits
 * for.  The helper's turn begins when 'turn' grows, and ends when it has set 'idle'.
 */
struct batch {
    struct leaf leaves[READER_LEAVES_MAX];
    unsigned char digests[READER_LEAVES_MAX][DIGEST_SIZE];
    unsigned char zero_leaf[DIGEST_SIZE]; /* of a whole leaf of zeros */
    size_t count;
    atomic_size_t next;
    atomic_bool failed;
    pthread_t helper;
    pthread_mutex_t mutex; /* of the three below */
    pthread_cond_t changed;
    unsigned turn;
    bool idle, ended;
};

static void
digest_leaf(struct batch *batch, size_t i)
{
    const struct leaf *leaf = &batch->leaves[i];

    if (!leaf->bytes && leaf->size == READER_LEAF_SIZE)
        memcpy(batch->digests[i], batch->zero_leaf, DIGEST_SIZE);
    else if (!digest(leaf->bytes ? leaf->bytes : zeros, leaf->size, batch->digests[i]))
        atomic_store(&batch->failed, true);
}

static void
digest_leaves(struct batch *batch)
{
    size_t i;

    while ((i = atomic_fetch_add(&batch->next, 1)) < batch->count)
        digest_leaf(batch, i);
}

static void *
help(void *context)
{
    struct batch *batch = context;
    unsigned seen = 0;

    thread_mark(THREAD_WORKER);
    pthread_mutex_lock(&batch->mutex);
    for (;;) {
        while (batch->turn == seen && !batch->ended)
            pthread_cond_wait(&batch->changed, &batch->mutex);
        if (batch->ended)
            break;
        seen = batch->turn;
        pthread_mutex_unlock(&batch->mutex);
        digest_leaves(batch);
        pthread_mutex_lock(&batch->mutex);
        batch->idle = true;
        pthread_cond_broadcast(&batch->changed);
    }
    pthread_mutex_unlock(&batch->mutex);
    return NULL;
}

static bool
batch_begin(struct batch *batch, struct error **err)
{
    int status;

    *batch = (struct batch){ .idle = true };
    if (!digest(zeros, READER_LEAF_SIZE, batch->zero_leaf))
        return no_digest(err);
    (void)pthread_mutex_init(&batch->mutex, NULL);
    (void)pthread_cond_init(&batch->changed, NULL);
    status = pthread_create(&batch->helper, NULL, help, batch);
    return status == 0 ||
           error_errno(err, ERROR_BACKEND_FAILED, status, "cannot start a thread to hash with");
}

static void
batch_end(struct batch *batch)
{
    pthread_mutex_lock(&batch->mutex);
    batch->ended = true;
    pthread_cond_broadcast(&batch->changed);
    pthread_mutex_unlock(&batch->mutex);
    (void)pthread_join(batch->helper, NULL);
    (void)pthread_cond_destroy(&batch->changed);
    (void)pthread_mutex_destroy(&batch->mutex);
}

/* Digests what is in it, on both threads, and adds that to the root in order. */
static bool
batch_run(struct batch *batch, EVP_MD_CTX *root)
{
    pthread_mutex_lock(&batch->mutex);
    atomic_store(&batch->next, 0);
    batch->idle = false;
    batch->turn++;
    pthread_cond_broadcast(&batch->changed);
    pthread_mutex_unlock(&batch->mutex);
    digest_leaves(batch);
    pthread_mutex_lock(&batch->mutex);
    while (!batch->idle)
        pthread_cond_wait(&batch->changed, &batch->mutex);
    pthread_mutex_unlock(&batch->mutex);
    return !atomic_load(&batch->failed) &&
           EVP_DigestUpdate(root, batch->digests, batch->count * DIGEST_SIZE) == 1;
}

static void
write_hex(const unsigned char bytes[DIGEST_SIZE], char ret_text[CHECKSUM_TEXT_SIZE])
{
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        (void)snprintf(ret_text + 2 * i, 3, "%02x", bytes[i]);
}

struct run {
    struct reader *reader;
    struct batch *batch;
    EVP_MD_CTX *root;
    uint64_t total;
    void (*progress)(void *context, uint64_t done, uint64_t total);
    bool (*aborted)(void *context);
    void *context;
};

static bool
add_all(const struct run *run, struct error **err)
{
    struct batch *batch = run->batch;

    for (;;) {
        const struct leaf *last;

        if (!reader_next(run->reader, batch->leaves, READER_LEAVES_MAX, &batch->count, err))
            return false;
        if (batch->count == 0)
            return true;
        last = &batch->leaves[batch->count - 1];
        if (run->aborted && run->aborted(run->context))
            return error_set(err, ERROR_TASK_ABORTED, "aborted at byte %llu",
                             (unsigned long long)batch->leaves[0].offset);
        if (!batch_run(batch, run->root))
            return no_digest(err);
        if (run->progress)
            run->progress(run->context, last->offset + last->size, run->total);
    }
}

static bool
finish(EVP_MD_CTX *root, uint64_t total, char ret_checksum[CHECKSUM_TEXT_SIZE], struct error **err)
{
    unsigned char result[DIGEST_SIZE], size_bytes[8];

    for (int i = 0; i < 8; i++)
        size_bytes[i] = (unsigned char)(total >> (56 - 8 * i));
    if (EVP_DigestUpdate(root, size_bytes, sizeof(size_bytes)) != 1 ||
        EVP_DigestFinal_ex(root, result, NULL) != 1)
        return no_digest(err);
    write_hex(result, ret_checksum);
    return true;
}

bool
checksum_run(struct endpoint *source,
             void (*progress)(void *context, uint64_t done, uint64_t total),
             bool (*aborted)(void *context), void *context, char ret_checksum[CHECKSUM_TEXT_SIZE],
             struct error **err)
{
    _cleanup_(free_context) EVP_MD_CTX *root = EVP_MD_CTX_new();
    _cleanup_(reader_freep) struct reader *reader = NULL;
    struct run run = {
        .total = endpoint_size(source), .progress = progress, .aborted = aborted, .context = context
    };
    struct batch batch;
    bool good;

    WORKER_ONLY();
    if (!root || EVP_DigestInit_ex(root, EVP_sha256(), NULL) != 1)
        return no_digest(err);
    if (!reader_new(source, &reader, err) || !batch_begin(&batch, err))
        return false;
    run.reader = reader;
    run.batch = &batch;
    run.root = root;
    good = add_all(&run, err);
    batch_end(&batch);
    return good && finish(root, run.total, ret_checksum, err);
}
