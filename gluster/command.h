/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way to glusterd: its command line with --mode=script --xml, as no library offers more.
 *
 * A command is an argv array, bounded in time and output, run on POOL_GLUSTER, whose few threads
 * bound how many there are at once.  glusterd refuses a second transaction on a volume, and answers
 * Busy until the first is through: gluster_command_fail() makes the step runner try again.
 * Idea: VDSM's gluster/cli.py, with glusterd's numbers and texts turned into names of our own.
 */
#ifndef GLUSTER_COMMAND_H
#define GLUSTER_COMMAND_H

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/call.h"
#include "agent/base/xml.h"

struct gluster_command {
    const char *const *arguments; /* behind "gluster --mode=script --xml", NULL-terminated */
    const char *kind, *id;        /* what it is about: for NotFound and AlreadyExists; or NULL */
    const char *made_kind,
        *made_id;             /* what it makes, where that is something else: for AlreadyExists */
    const char *param;        /* whose value glusterd may refuse: for InvalidParams; or NULL */
    unsigned timeout_s;       /* 0: 120, which is gluster's own */
    const atomic_bool *abort; /* or NULL; call_abort_flag() of a step */
    bool plain;               /* without --xml, which leaves some things out */
};

/* { .arguments = GLUSTER_ARGUMENTS("volume", "info", name) } */
#define GLUSTER_ARGUMENTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/*
 * Asks, and reads the answer.  '*ret_document' is the caller's; its root is <cliOutput>, and its opRet
 * is 0.  NULL: nobody needs it.
 * Errors: BackendUnavailable {backend, reason} (no glusterd, no gluster), Timeout, TaskAborted,
 * Busy {backend, retryAfterMs} (another transaction), NotFound and AlreadyExists {kind, id}, WrongState
 * {state, needs}, LimitExceeded, InvalidParams {param, reason} (of 'param', or a word that gluster would
 * take for an option of its own), and BackendFailed for all else.  Those of glusterd's have {backend, code,
 * text} too: its own number and words.  Worker.
 */
bool gluster_command_run(const struct gluster_command *command, struct xml_document **ret_document,
                         struct error **err) _must_check_;

/* The same for the commands that print no XML despite --xml: their status tells how it went.  '*ret_words' is
   what they printed.  NULL: nobody needs it. */
bool gluster_command_run_words(const struct gluster_command *command, struct text *ret_words,
                               struct error **err) _must_check_;

/* Before any command: each is BackendUnavailable for this reason (static text). */
void gluster_command_refuse(const char *reason);

/*
 * call_fail() for what gluster_command_run() says; while it is Busy, call_retry() with growing delays, for half
 * a minute.  Takes ownership: return gluster_command_fail(call, TAKE(error)).
 */
enum outcome gluster_command_fail(struct call *call, struct error *error);

/* Which error glusterd's number and words are; and what the table says of the state.  For tests. */
struct gluster_failure {
    int number;           /* opErrno; 0: any */
    const char *text;     /* part of its words, in any case, with "*" for any others; NULL: any */
    enum error_code code; /* ours */
    const char *state, *needs; /* of a WrongState; 'state': what a LimitExceeded is about;
                                  'needs': what an InvalidParams adds to its reason */
};
const struct gluster_failure *gluster_failure_find(int number, const char *text);

/* The errors that every verb of this folder may answer. */
#define GLUSTER_ERRORS ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED, ERROR_BUSY, ERROR_TIMEOUT

#endif
