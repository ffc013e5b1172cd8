/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/uring.h"

#ifdef HAVE_LIBURING

#include <assert.h>
#include <errno.h>
#include <liburing.h>

#define ENTRIES 256 /* a copy has at most so many under way: 16 chunks of 16 blocks */

struct uring {
    struct io_uring ring;
    unsigned under_way;
};

struct uring *
uring_new(void)
{
    struct uring *uring = xalloc(sizeof(*uring));

    if (io_uring_queue_init(ENTRIES, &uring->ring, 0) < 0) {
        free(uring);
        return NULL;
    }
    return uring;
}

bool
uring_wait(struct uring *uring)
{
    struct io_uring_cqe *completion;
    int status;

    if (uring->under_way == 0)
        return false;
    (void)io_uring_submit(&uring->ring);
    do
        status = io_uring_wait_cqe(&uring->ring, &completion);
    while (status == -EINTR);
    /* There is no other way to learn when the kernel lets the caller's memory go. */
    assert(status == 0);
    return true;
}

void
uring_free(struct uring *uring)
{
    int result;

    if (!uring)
        return;
    while (uring_wait(uring))
        while (uring_next(uring, &result))
            ;
    io_uring_queue_exit(&uring->ring);
    free(uring);
}

bool
uring_begin(struct uring *uring, int fd, struct endpoint_request *request)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&uring->ring);

    if (!entry && io_uring_submit(&uring->ring) >= 0)
        entry = io_uring_get_sqe(&uring->ring);
    if (!entry)
        return false;
    switch (request->act) {
    case ENDPOINT_DO_READ:
        io_uring_prep_read(entry, fd, request->bytes, (unsigned)request->size, request->offset);
        break;
    case ENDPOINT_DO_WRITE:
        io_uring_prep_write(entry, fd, request->bytes, (unsigned)request->size, request->offset);
        break;
    case ENDPOINT_DO_FLUSH: io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC); break;
    }
    io_uring_sqe_set_data(entry, request);
    uring->under_way++;
    return true;
}

int
uring_poll(struct uring *uring)
{
    if (uring->under_way == 0)
        return -1;
    /* What could not be sent for want of memory is sent with the next. */
    (void)io_uring_submit(&uring->ring);
    return uring->ring.ring_fd;
}

struct endpoint_request *
uring_next(struct uring *uring, int *ret_result)
{
    struct io_uring_cqe *completion = NULL;
    struct endpoint_request *request;

    if (io_uring_peek_cqe(&uring->ring, &completion) < 0 || !completion)
        return NULL;
    request = io_uring_cqe_get_data(completion);
    *ret_result = completion->res;
    io_uring_cqe_seen(&uring->ring, completion);
    uring->under_way--;
    return request;
}

#else

struct uring *
uring_new(void)
{
    return NULL;
}

void
uring_free(struct uring *uring)
{
    (void)uring;
}

bool
uring_begin(struct uring *uring, int fd, struct endpoint_request *request)
{
    (void)uring;
    (void)fd;
    (void)request;
    return false;
}

int
uring_poll(struct uring *uring)
{
    (void)uring;
    return -1;
}

struct endpoint_request *
uring_next(struct uring *uring, int *ret_result)
{
    (void)uring;
    (void)ret_result;
    return NULL;
}

bool
uring_wait(struct uring *uring)
{
    (void)uring;
    return false;
}

#endif
