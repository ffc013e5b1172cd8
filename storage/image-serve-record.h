/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent remembers of an image that it serves: RUN-DIR/serve/REPOSITORY-IMAGE.json.
 *
 * Written before the qemu-nbd is started, and again when it serves, so that whatever is killed in
 * between, the next agent finds either nothing or all that there is to adopt or to end.  A reboot
 * leaves none of it, for the run-time directory is gone then.
 */
#ifndef STORAGE_IMAGE_SERVE_RECORD_H
#define STORAGE_IMAGE_SERVE_RECORD_H

#include <sys/types.h>

#include "agent/base/error.h"
#include "agent/base/name.h"

#define SERVE_FOLDER "serve"
#define SERVE_TOKEN_SIZE 14 /* with the NUL */

struct serve_record {
    char repository[UUID_TEXT_SIZE]; /* its uuid: names are transient */
    char *image;                     /* owned, as the next */
    char *uri;
    char token[SERVE_TOKEN_SIZE]; /* in its files' names and on its command line: nobody else's */
    bool writable, tls;
    pid_t pid;        /* of its qemu-nbd; 0: it has not come so far as to be answered */
    uint64_t started; /* when that was started, in clock ticks since the boot: a pid comes again */
};

void serve_record_done(struct serve_record *record);

/* Makes RUN-DIR/serve; at the start only.  Without it nothing can be served. */
bool serve_open_folder(const char *run_dir, struct error **err) _must_check_;
/* RUN-DIR/serve/TOKEN.SUFFIX, or the folder itself for NULL; to be freed.
   Error: BackendUnavailable (there is no folder). */
bool serve_path(const char *token, const char *suffix, char **ret_path, struct error **err)
    _must_check_;

/* Durably.  Worker thread, as the next; both errors: BackendFailed, NoSpace. */
bool serve_record_write(const struct serve_record *record, struct error **err) _must_check_;
/* Removes it, and first the other files of its server. */
bool serve_record_remove(const struct serve_record *record, struct error **err) _must_check_;
/* All that are there; what cannot be read is removed, with a warning.  '*ret_records' is to be freed, each
   of them done.  At the start, before the loop runs. */
bool serve_record_list(struct serve_record **ret_records, size_t *ret_count, struct error **err)
    _must_check_;
/* For its status: "served for writing at URI", to be freed; NULL when it is not served.  Worker thread. */
char *serve_reason(const char *repository, const char *image);

#endif
