/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/auth.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#define ADMIN_TOKEN "aaaaaaaaaaaaaaaaaaaaaaaa"
#define VIEWER_TOKEN "vvvvvvvvvvvvvvvv"

static char folder[] = "/tmp/test-auth-XXXXXX";

static int
make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
    _cleanup_free_ char *file = xprintf("%s/tokens", folder);
    _cleanup_free_ char *token = xprintf("%s/token", folder);

    (void)state;
    (void)unlink(file);
    (void)unlink(token);
    return rmdir(folder);
}

static char *
write_file(const char *text, size_t size, unsigned mode)
{
    char *path = xprintf("%s/tokens", folder);
    int fd;

    (void)unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
    return path;
}

static struct tokens *
tokens_of(const char *text)
{
    _cleanup_free_ char *path = write_file(text, strlen(text), 0600);
    struct error *error = NULL;
    struct tokens *tokens = NULL;

    if (!tokens_read(path, &tokens, &error))
        fail_msg("%s", error->message);
    return tokens;
}

/* The error must say 'words'. */
static void
assert_refused(const char *text, size_t size, unsigned mode, const char *words)
{
    _cleanup_free_ char *path = write_file(text, size, mode);
    _cleanup_(error_freep) struct error *error = NULL;
    struct tokens *tokens = NULL;

    assert_false(tokens_read(path, &tokens, &error));
    assert_null(tokens);
    assert_int_equal(error->code, ERROR_INVALID_PARAMS);
    if (!strstr(error->message, words) || !strstr(error->message, path))
        fail_msg("'%s' does not say '%s' and '%s'", error->message, words, path);
}

static void
a_token_gives_its_role_and_names_its_line(void **state)
{
    _cleanup_(tokens_freep) struct tokens *tokens =
        tokens_of("# who may come in\n\n  admin\t" ADMIN_TOKEN " \r\nviewer " VIEWER_TOKEN);
    _cleanup_(identity_done) struct identity admin = { 0 }, viewer = { 0 };

    (void)state;
    assert_true(tokens_identify(tokens, ADMIN_TOKEN, &admin));
    assert_int_equal(admin.role, ROLE_ADMIN);
    assert_string_equal(admin.caller, "token:admin:3");
    assert_true(tokens_identify(tokens, VIEWER_TOKEN, &viewer));
    assert_int_equal(viewer.role, ROLE_VIEWER);
    assert_string_equal(viewer.caller, "token:viewer:4");
}

static void
what_is_almost_a_token_is_none(void **state)
{
    _cleanup_(tokens_freep) struct tokens *tokens = tokens_of("admin " ADMIN_TOKEN "\n");
    const char *const wrong[] = { "",
                                  "a",
                                  ADMIN_TOKEN "a",
                                  ADMIN_TOKEN " ",
                                  "admin",
                                  "admin " ADMIN_TOKEN,
                                  VIEWER_TOKEN,
                                  "aaaaaaaaaaaaaaaaaaaaaaaA" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        _cleanup_(identity_done) struct identity identity = { 0 };

        assert_false(tokens_identify(tokens, wrong[i], &identity));
        assert_null(identity.caller);
    }
}

static void
without_tokens_nobody_is_known(void **state)
{
    struct identity identity = { 0 };

    (void)state;
    assert_false(tokens_identify(NULL, ADMIN_TOKEN, &identity));
}

static void
a_file_that_others_may_use_is_refused(void **state)
{
    static const char good[] = "admin " ADMIN_TOKEN "\n";
    const unsigned modes[] = { 0640, 0604, 0620, 0602, 0610, 0601, 0644, 0666 };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(modes); i++)
        assert_refused(good, strlen(good), modes[i], "must be 0600");
    tokens_free(tokens_of(good));
}

static void
a_file_of_somebody_else_is_refused(void **state)
{
    static const char good[] = "admin " ADMIN_TOKEN "\n";
    _cleanup_free_ char *path = write_file(good, strlen(good), 0600);
    _cleanup_(error_freep) struct error *error = NULL;
    struct tokens *tokens = NULL;

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_false(tokens_read(path, &tokens, &error));
    assert_non_null(strstr(error->message, "belongs to uid 65534"));
}

static void
a_wrong_line_is_named_without_telling_what_is_in_it(void **state)
{
    const struct {
        const char *text, *words;
    } wrong[] = {
        { "root " ADMIN_TOKEN "\n", "line 1: the first word is no role" },
        { "\n" ADMIN_TOKEN "\n", "line 2: the first word is no role" },
        { "admin\n", "'ROLE TOKEN'" },
        { "admin " ADMIN_TOKEN " more\n", "'ROLE TOKEN'" },
        { "admin sixteen_letters_\nadmin short\n", "line 2: the token has 5 characters" },
        { "admin fifteen_letters\n", "15 characters" },
        { "admin aaaaaaaaaaaaaaa\xc3\xb6\n", "visible ASCII" },
        { "admin " ADMIN_TOKEN "\nviewer " ADMIN_TOKEN "\n",
          "line 2: the token is that of line 1" },
        { "", "no token" },
        { "# nothing\n\n", "no token" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        _cleanup_free_ char *path = write_file(wrong[i].text, strlen(wrong[i].text), 0600);
        _cleanup_(error_freep) struct error *error = NULL;
        struct tokens *tokens = NULL;

        if (tokens_read(path, &tokens, &error))
            fail_msg("'%s' was read", wrong[i].text);
        if (!strstr(error->message, wrong[i].words))
            fail_msg("'%s' does not say '%s'", error->message, wrong[i].words);
        assert_null(strstr(error->message, ADMIN_TOKEN));
    }
    assert_refused("admin aaaaaaaaaaaaaaaaaaaa\0b\n", 29, 0600, "NUL");
}

static void
only_a_readable_file_is_read(void **state)
{
    const char *const wrong[] = { "/nonexistent/tokens", "/dev/null", "/" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        _cleanup_(error_freep) struct error *error = NULL;
        struct tokens *tokens = NULL;

        assert_false(tokens_read(wrong[i], &tokens, &error));
        assert_non_null(strstr(error->message, wrong[i]));
    }
}

static void
a_fresh_token_is_left_for_the_owner_alone(void **state)
{
    char line[128] = "", first[128], role[8], token[80];
    _cleanup_free_ char *path = xprintf("%s/token", folder);
    mode_t mask = umask(0);

    (void)state;
    for (int i = 0; i < 2; i++) {
        _cleanup_(error_freep) struct error *error = NULL;
        _cleanup_(tokens_freep) struct tokens *tokens = NULL;
        _cleanup_(identity_done) struct identity identity = { 0 };
        _cleanup_close_ int fd = -1;
        struct stat status;

        memcpy(first, line, sizeof(first));
        assert_true(tokens_make(folder, &tokens, &error));
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0600);
        fd = open(path, O_RDONLY);
        memset(line, 0, sizeof(line));
        assert_int_equal(read(fd, line, sizeof(line) - 1), strlen("admin \n") + 64);
        assert_int_equal(sscanf(line, "%7s %79s", role, token), 2);
        assert_string_equal(role, "admin");
        assert_true(tokens_identify(tokens, token, &identity));
        assert_int_equal(identity.role, ROLE_ADMIN);
    }
    assert_string_not_equal(line, first);
    (void)umask(mask);
}

static void
a_fresh_token_needs_its_folder(void **state)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct tokens *tokens = NULL;

    (void)state;
    assert_false(tokens_make("/nonexistent", &tokens, &error));
    assert_non_null(strstr(error->message, "/nonexistent"));
}

/* Whom peer_identify() takes a process for that connects with these. */
static void
identify_as(uid_t uid, gid_t gid, const gid_t *groups, size_t group_count, unsigned admin_group,
            struct identity *ret_identity)
{
    int pair[2], status;
    pid_t child;

    /* The pair is made by the child, for the kernel notes who makes it; its end comes by message. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char control[CMSG_SPACE(sizeof(int))] = "", byte = 0;
        struct iovec piece = { &byte, 1 };
        struct msghdr message = { .msg_iov = &piece,
                                  .msg_iovlen = 1,
                                  .msg_control = control,
                                  .msg_controllen = sizeof(control) };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        int own[2];

        if (setgroups(group_count, groups) < 0 || setgid(gid) < 0 || setuid(uid) < 0 ||
            socketpair(AF_UNIX, SOCK_STREAM, 0, own) < 0)
            _exit(1);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &own[0], sizeof(int));
        _exit(sendmsg(pair[1], &message, 0) == 1 ? 0 : 1);
    } else {
        char control[CMSG_SPACE(sizeof(int))], byte;
        struct iovec piece = { &byte, 1 };
        struct msghdr message = { .msg_iov = &piece,
                                  .msg_iovlen = 1,
                                  .msg_control = control,
                                  .msg_controllen = sizeof(control) };
        int fd;

        assert_int_equal(close(pair[1]), 0);
        assert_int_equal(recvmsg(pair[0], &message, 0), 1);
        assert_non_null(CMSG_FIRSTHDR(&message));
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_true(peer_identify(fd, admin_group, ret_identity));
        assert_int_equal(close(fd), 0);
        assert_int_equal(close(pair[0]), 0);
    }
}

static void
a_peer_is_admin_as_root_or_as_member_of_the_group(void **state)
{
    static const gid_t others[] = { 7, 8, 9 }, with_ours[] = { 7, 4242, 9 };
    const struct {
        uid_t uid;
        gid_t gid;
        const gid_t *groups;
        size_t group_count;
        unsigned admin_group;
        enum role role;
        const char *caller;
    } peers[] = {
        { 0, 0, NULL, 0, NO_GROUP, ROLE_ADMIN, "uid:0" },
        { 1000, 1000, NULL, 0, 4242, ROLE_VIEWER, "uid:1000" },
        { 1000, 1000, others, 3, 4242, ROLE_VIEWER, "uid:1000" },
        { 1000, 1000, with_ours, 3, 4242, ROLE_ADMIN, "uid:1000" },
        { 1000, 4242, NULL, 0, 4242, ROLE_ADMIN, "uid:1000" },
        { 1000, 1000, with_ours, 3, NO_GROUP, ROLE_VIEWER, "uid:1000" },
    };

    (void)state;
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ARRAY_COUNT(peers); i++) {
        _cleanup_(identity_done) struct identity identity = { 0 };

        identify_as(peers[i].uid, peers[i].gid, peers[i].groups, peers[i].group_count,
                    peers[i].admin_group, &identity);
        assert_int_equal(identity.role, peers[i].role);
        assert_string_equal(identity.caller, peers[i].caller);
    }
}

static void
what_is_no_unix_socket_has_no_peer(void **state)
{
    _cleanup_close_ int fd = open("/dev/null", O_RDONLY);
    struct identity identity = { 0 };

    (void)state;
    assert_false(peer_identify(fd, NO_GROUP, &identity));
    assert_null(identity.caller);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_gives_its_role_and_names_its_line),
        cmocka_unit_test(what_is_almost_a_token_is_none),
        cmocka_unit_test(without_tokens_nobody_is_known),
        cmocka_unit_test(a_file_that_others_may_use_is_refused),
        cmocka_unit_test(a_file_of_somebody_else_is_refused),
        cmocka_unit_test(a_wrong_line_is_named_without_telling_what_is_in_it),
        cmocka_unit_test(only_a_readable_file_is_read),
        cmocka_unit_test(a_fresh_token_is_left_for_the_owner_alone),
        cmocka_unit_test(a_fresh_token_needs_its_folder),
        cmocka_unit_test(a_peer_is_admin_as_root_or_as_member_of_the_group),
        cmocka_unit_test(what_is_no_unix_socket_has_no_peer),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
