/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes: an argv array, never a shell; bounded in time, memory, file size and output.
 *
 * A child dies with the agent (PR_SET_PDEATHSIG), runs in its own process group, with an empty
 * signal mask, a fixed environment (PATH, LC_ALL=C, HOME=/) and no descriptors but 0-2.
 * Worker threads (which live as long as the agent: the death signal follows the thread).
 */
#ifndef AGENT_BASE_CHILD_H
#define AGENT_BASE_CHILD_H

#include <stdatomic.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/text.h"

struct child_limits {
    unsigned timeout_ms;      /* then it is killed and the error is Timeout; 0: none */
    uint64_t memory_size;     /* address space, bytes; 0: none */
    uint64_t file_size;       /* largest file it may write, bytes; 0: none */
    unsigned cpu_s;           /* CPU seconds; 0: none */
    size_t output_size;       /* bytes of standard output kept; more is LimitExceeded */
    const char *variable;     /* one more of its environment, "NAME=VALUE", or NULL */
    const atomic_bool *abort; /* or NULL; set: killed within 100 ms, and the error is TaskAborted */
};

/*
 * Runs argv[0] (searched in PATH) and waits.  'dirfd' is its working directory, or -1.
 * '*ret_output' gets standard output ("" when there was none).  What it left running in its
 * process group is killed when it has ended.
 * A status other than 0 is BackendFailed with data {backend: argv[0], code, text: the last of
 * standard error, 4 KiB at most}; 'code' is negative when a signal ended it.
 * A program that is not installed is BackendUnavailable with {backend, reason}.
 */
bool child_run(const char *const argv[], int dirfd, const struct child_limits *limits,
               struct text *ret_output, struct error **err) _must_check_;
/*
 * The same for a program that tells in its output how it went: any status is an answer, only a signal
 * that ended it is a failure.  '*ret_errors' gets the last of standard error, 4 KiB at most.
 */
bool child_ask(const char *const argv[], int dirfd, const struct child_limits *limits,
               struct text *ret_output, struct text *ret_errors, int *ret_status,
               struct error **err) _must_check_;
/* Whether 'program' can be run, by PATH; any thread, one access(2) a PATH element. */
bool child_exists(const char *program);

/*
 * A server that runs on until it is ended: 'listener', a listening socket, becomes its descriptor 3,
 * as systemd's socket activation has it (LISTEN_FDS, LISTEN_PID); the caller keeps its own.  What it
 * prints on standard error is kept, up to what a pipe holds.  '*ret_server' is the caller's.
 * Errors: BackendUnavailable (not installed), BackendFailed.
 */
struct child_server;
bool child_serve(const char *const argv[], int listener, struct child_server **ret_server,
                 struct error **err) _must_check_;
/*
 * Runs a program that leaves a daemon behind and ends with status 0 when that serves; a daemon leads a
 * session of its own and does not die with the agent.  'listener' is its descriptor 3 as above.  'held'
 * stays open in it as descriptor 4 without its knowing, and with it whatever lock is on it.
 * Errors as child_run(): then it may have got as far as to leave a daemon, which is the caller's to find.
 */
#define CHILD_HELD_FD 4
bool child_leave_daemon(const char *const argv[], int listener, int held,
                        const struct child_limits *limits, struct error **err) _must_check_;
/* Whether of all files and block devices it has open only the one that 'fd' is (-1: none), as far as can be
   told by /proc.  Ours to ask once it has opened what it was told to. */
bool child_server_holds_only(const struct child_server *server, int fd);
/* Gives it 'patience_ms' to end by itself, then kills it, and frees 'server'.  '*ret_errors' (may
   be NULL) gets the last of its standard error, 4 KiB at most. */
void child_server_end(struct child_server *server, unsigned patience_ms, struct text *ret_errors);

#endif
