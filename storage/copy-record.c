/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/copy-record.h"

#include <assert.h>
#include <pthread.h>

#include "agent/base/thread.h"

struct recorder {
    bool (*record)(void *context, uint64_t done, struct error **err);
    void *context;
    pthread_t thread;
    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t changed;
    bool busy, ended;
    uint64_t done;
    struct error *error; /* owned */
};

static void *
write_records(void *context)
{
    struct recorder *recorder = context;

    thread_mark(THREAD_WORKER);
    pthread_mutex_lock(&recorder->mutex);
    for (;;) {
        struct error *error = NULL;
        uint64_t done;

        while (!recorder->busy && !recorder->ended)
            pthread_cond_wait(&recorder->changed, &recorder->mutex);
        if (!recorder->busy)
            break;
        done = recorder->done;
        pthread_mutex_unlock(&recorder->mutex);
        (void)!recorder->record(recorder->context, done, &error);
        pthread_mutex_lock(&recorder->mutex);
        recorder->error = error;
        recorder->busy = false;
        pthread_cond_broadcast(&recorder->changed);
    }
    pthread_mutex_unlock(&recorder->mutex);
    return NULL;
}

bool
recorder_new(bool (*record)(void *context, uint64_t done, struct error **err), void *context,
             struct recorder **ret_recorder, struct error **err)
{
    struct recorder *recorder = xalloc(sizeof(*recorder));
    int status;

    recorder->record = record;
    recorder->context = context;
    (void)pthread_mutex_init(&recorder->mutex, NULL);
    (void)pthread_cond_init(&recorder->changed, NULL);
    status = pthread_create(&recorder->thread, NULL, write_records, recorder);
    if (status != 0) {
        free(recorder);
        return error_errno(err, ERROR_BACKEND_FAILED, status,
                           "cannot start a thread for the copy's records");
    }
    *ret_recorder = recorder;
    return true;
}

void
recorder_free(struct recorder *recorder)
{
    if (!recorder)
        return;
    pthread_mutex_lock(&recorder->mutex);
    recorder->ended = true;
    pthread_cond_broadcast(&recorder->changed);
    pthread_mutex_unlock(&recorder->mutex);
    (void)pthread_join(recorder->thread, NULL);
    (void)pthread_cond_destroy(&recorder->changed);
    (void)pthread_mutex_destroy(&recorder->mutex);
    error_free(recorder->error);
    free(recorder);
}

void
recorder_begin(struct recorder *recorder, uint64_t done)
{
    pthread_mutex_lock(&recorder->mutex);
    assert(!recorder->busy && !recorder->error);
    recorder->done = done;
    recorder->busy = true;
    pthread_cond_broadcast(&recorder->changed);
    pthread_mutex_unlock(&recorder->mutex);
}

bool
recorder_is_idle(struct recorder *recorder)
{
    bool idle;

    pthread_mutex_lock(&recorder->mutex);
    idle = !recorder->busy;
    pthread_mutex_unlock(&recorder->mutex);
    return idle;
}

bool
recorder_finish(struct recorder *recorder, struct error **err)
{
    pthread_mutex_lock(&recorder->mutex);
    while (recorder->busy)
        pthread_cond_wait(&recorder->changed, &recorder->mutex);
    if (recorder->error)
        *err = TAKE(recorder->error);
    pthread_mutex_unlock(&recorder->mutex);
    return !*err;
}
