/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent/base/text.h"

#define TOKEN_FILE_SIZE_MAX (1024 * 1024)
#define TOKEN_RANDOM_SIZE 32
#define GROUPS_MAX 1024

struct token {
    enum role role;
    unsigned line; /* where it stands in the file: names it without telling it */
    char *text;    /* owned */
    struct token *next;
};

struct tokens {
    struct token *first;
};

void
identity_done(struct identity *identity)
{
    free(identity->caller);
    *identity = (struct identity){ 0 };
}

void
tokens_free(struct tokens *tokens)
{
    while (tokens && tokens->first) {
        struct token *token = tokens->first;

        tokens->first = token->next;
        OPENSSL_cleanse(token->text, strlen(token->text));
        free(token->text);
        free(token);
    }
    free(tokens);
}

static struct token *
find(const struct tokens *tokens, const char *text)
{
    struct token *found = NULL;
    size_t length = strlen(text);

    /* No early end: how long it takes tells nothing of the tokens but their lengths. */
    for (struct token *token = tokens->first; token; token = token->next)
        if (strlen(token->text) == length && CRYPTO_memcmp(token->text, text, length) == 0)
            found = token;
    return found;
}

static void
add(struct tokens *tokens, enum role role, const char *text, unsigned line)
{
    struct token *token = xalloc(sizeof(*token));

    token->role = role;
    token->line = line;
    token->text = xstrdup(text);
    token->next = tokens->first;
    tokens->first = token;
}

static bool
check_token(const struct tokens *tokens, const char *text, struct error **err)
{
    const struct token *same = find(tokens, text);
    size_t length = strlen(text);

    if (length < TOKEN_LENGTH_MIN || length > TOKEN_LENGTH_MAX)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "the token has %zu characters: it must have %d to %d", length,
                         TOKEN_LENGTH_MIN, TOKEN_LENGTH_MAX);
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return error_set(err, ERROR_INVALID_PARAMS,
                             "the token must be of visible ASCII characters");
    if (same)
        return error_set(err, ERROR_INVALID_PARAMS, "the token is that of line %u", same->line);
    return true;
}

static bool
parse_line(struct tokens *tokens, char *line, unsigned number, struct error **err)
{
    static const char blank[] = " \t\r";
    char *rest = NULL, *name = strtok_r(line, blank, &rest), *token;
    enum role role;

    if (!name || *name == '#')
        return true;
    /* What stands where the role should may be a token: it is not repeated in the message. */
    if (!role_parse(name, &role))
        return error_set(err, ERROR_INVALID_PARAMS,
                         "the first word is no role: it must be viewer, operator or admin");
    token = strtok_r(NULL, blank, &rest);
    if (!token || strtok_r(NULL, blank, &rest))
        return error_set(err, ERROR_INVALID_PARAMS, "it must be 'ROLE TOKEN'");
    if (!check_token(tokens, token, err))
        return false;
    add(tokens, role, token, number);
    return true;
}

static bool
parse(struct tokens *tokens, char *text, struct error **err)
{
    unsigned number = 0;

    for (char *line = text, *rest; line; line = rest) {
        rest = strchr(line, '\n');
        if (rest)
            *rest++ = '\0';
        number++;
        if (!parse_line(tokens, line, number, err))
            return error_wrap(err, "line %u", number);
    }
    return tokens->first || error_set(err, ERROR_INVALID_PARAMS, "there is no token in it");
}

static bool
check_file(int fd, struct error **err)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot look at it");
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERROR_INVALID_PARAMS, "it is not a regular file");
    if (status.st_uid != geteuid())
        return error_set(err, ERROR_INVALID_PARAMS,
                         "it belongs to uid %u: it must belong to the agent's user, uid %u",
                         (unsigned)status.st_uid, (unsigned)geteuid());
    if (status.st_mode & 077)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "others may use it: its mode is %04o and must be 0600 or less",
                         (unsigned)status.st_mode & 07777);
    return true;
}

static bool
read_file(int fd, struct text *text, struct error **err)
{
    ssize_t got;

    do {
        got = read(fd, text_reserve(text, 4096), 4096);
        if (got < 0 && errno != EINTR)
            return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot read it");
        text_grow(text, got > 0 ? (size_t)got : 0);
        if (text->length > TOKEN_FILE_SIZE_MAX)
            return error_set(err, ERROR_INVALID_PARAMS, "it is larger than %d bytes",
                             TOKEN_FILE_SIZE_MAX);
    } while (got != 0);
    if (text->length > 0 && memchr(text->bytes, '\0', text->length))
        return error_set(err, ERROR_INVALID_PARAMS, "it is no text: there is a NUL in it");
    return true;
}

bool
tokens_read(const char *path, struct tokens **ret_tokens, struct error **err)
{
    _cleanup_(tokens_freep) struct tokens *tokens = xalloc(sizeof(*tokens));
    /* A link is followed: /etc may be full of them.  A pipe is not waited for. */
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    _cleanup_text_ struct text text = TEXT_INIT;
    bool done;

    if (fd < 0)
        return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot open token file '%s'", path);
    done = check_file(fd, err) && read_file(fd, &text, err) &&
           (text_append_char(&text, '\n'), parse(tokens, text.bytes, err));
    if (text.bytes)
        OPENSSL_cleanse(text.bytes, text.capacity);
    if (!done)
        return error_wrap(err, "token file '%s'", path);
    *ret_tokens = TAKE(tokens);
    return true;
}

/* Under another name and renamed: whoever opens it finds a whole token.  A file of its own, not
   durable_replace(), for that one's are for all to read. */
static bool
write_token(int dirfd, const char *text, struct error **err)
{
    static const char temporary[] = ".tmp-token";
    _cleanup_close_ int fd = -1;
    size_t size = strlen(text);

    if (unlinkat(dirfd, temporary, 0) < 0 && errno != ENOENT)
        return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot remove '%s'", temporary);
    fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot create '%s'", temporary);
    if (write(fd, text, size) != (ssize_t)size || fsync(fd) < 0 ||
        renameat(dirfd, temporary, dirfd, "token") < 0 || fsync(dirfd) < 0)
        return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot write 'token'");
    return true;
}

bool
tokens_make(const char *run_dir, struct tokens **ret_tokens, struct error **err)
{
    _cleanup_(tokens_freep) struct tokens *tokens = xalloc(sizeof(*tokens));
    _cleanup_close_ int dirfd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned char bytes[TOKEN_RANDOM_SIZE];
    char token[2 * TOKEN_RANDOM_SIZE + 1];
    _cleanup_text_ struct text line = TEXT_INIT;
    bool done;

    if (dirfd < 0)
        return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot open '%s'", run_dir);
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return error_errno(err, ERROR_INTERNAL, errno, "cannot get random bytes for a token");
    for (size_t i = 0; i < sizeof(bytes); i++)
        (void)snprintf(token + 2 * i, 3, "%02x", bytes[i]);
    add(tokens, ROLE_ADMIN, token, 1);
    text_printf(&line, "admin %s\n", token);
    done = write_token(dirfd, line.bytes, err);
    OPENSSL_cleanse(line.bytes, line.capacity);
    OPENSSL_cleanse(token, sizeof(token));
    OPENSSL_cleanse(bytes, sizeof(bytes));
    if (!done)
        return error_wrap(err, "run-time directory '%s'", run_dir);
    *ret_tokens = TAKE(tokens);
    return true;
}

bool
tokens_identify(const struct tokens *tokens, const char *token, struct identity *ret_identity)
{
    const struct token *found = tokens ? find(tokens, token) : NULL;

    if (!found)
        return false;
    ret_identity->role = found->role;
    ret_identity->caller = xprintf("token:%s:%u", role_name(found->role), found->line);
    return true;
}

/* The peer's own groups, not what the user data base has of its user: that may be a server far
   away, which the loop must not wait for, and it knows nothing of who the process has become. */
static bool
peer_is_member(int fd, unsigned group)
{
    gid_t groups[GROUPS_MAX];
    socklen_t size = sizeof(groups);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
        return false;
    for (size_t i = 0; i < size / sizeof(groups[0]); i++)
        if (groups[i] == group)
            return true;
    return false;
}

bool
peer_identify(int fd, unsigned admin_group, struct identity *ret_identity)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    bool admin;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || size != sizeof(peer))
        return false;
    admin = peer.uid == 0 || (admin_group != NO_GROUP &&
                              (peer.gid == admin_group || peer_is_member(fd, admin_group)));
    ret_identity->role = admin ? ROLE_ADMIN : ROLE_VIEWER;
    ret_identity->caller = xprintf("uid:%u", (unsigned)peer.uid);
    return true;
}

unsigned
peer_admin_group(void)
{
    const struct group *group = getgrnam("hostler");

    return group ? (unsigned)group->gr_gid : NO_GROUP;
}
