/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A qemu-nbd outlives who has started it, and so a test that has failed: what serves is ended here.
 */
#ifndef TESTS_SERVE_FIXTURE_H
#define TESTS_SERVE_FIXTURE_H

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/base/child.h"
#include "storage/image-serve.h"

static inline void
need_qemu_nbd(void)
{
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0U); /* valgrind has none */

    if (!child_exists("qemu-nbd") || pidfd < 0)
        skip();
    (void)close(pidfd);
}

/* All whose records are in the folder of serve_open_folder(). */
static inline void
end_what_serves(void)
{
    struct serve_record *records;
    struct error *error = NULL;
    size_t count;

    if (!serve_record_list(&records, &count, &error)) {
        error_free(error);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        int pidfd;

        if (serve_adopt(&records[i], &pidfd)) {
            (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0U);
            (void)close(pidfd);
        }
        serve_record_done(&records[i]);
    }
    free(records);
}

#endif
