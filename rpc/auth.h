/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a caller is and which role that gives: peer credentials and bearer tokens.
 *
 * Client certificates are in rpc/tls.c.  No libwebsockets here.  Loop only.
 */
#ifndef RPC_AUTH_H
#define RPC_AUTH_H

#include "agent/base/error.h"
#include "agent/verb.h"

#define TOKEN_LENGTH_MIN 16
#define TOKEN_LENGTH_MAX 512

struct identity {
    enum role role;
    char *caller; /* owned: "uid:0", "token:admin:3", "cert:NAME" */
};

void identity_done(struct identity *identity);

struct tokens;
void tokens_free(struct tokens *tokens);
DEFINE_CLEANUP(struct tokens, tokens_free)

/*
 * Reads a file of lines 'ROLE TOKEN'; blank lines and those that begin with '#' count for nothing.
 * A file that is not the agent's own user's, or that others may read, is refused: whoever may read
 * a token is an admin.  Errors: InvalidParams, naming file and line.  Before the loop runs.
 */
bool tokens_read(const char *path, struct tokens **ret_tokens, struct error **err) _must_check_;
/* Makes one fresh admin token and leaves it in RUN_DIR/token, mode 0600.  Before the loop runs. */
bool tokens_make(const char *run_dir, struct tokens **ret_tokens, struct error **err) _must_check_;
/* Takes as long whichever token it is, and whether it is one. */
bool tokens_identify(const struct tokens *tokens, const char *token, struct identity *ret_identity)
    _must_check_;

/*
 * Whoever is at the other end of unix socket 'fd', by what the kernel noted when it connected:
 * uid 0 and members of group 'admin_group' are admins, all others viewers.
 */
bool peer_identify(int fd, unsigned admin_group, struct identity *ret_identity) _must_check_;
/* The group "hostler", or NO_GROUP where there is none. */
#define NO_GROUP ((unsigned)-1)
unsigned peer_admin_group(void);

#endif
