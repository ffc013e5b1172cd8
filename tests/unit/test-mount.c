/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/mount.h"

static char folder[] = "/tmp/hostler-mount-XXXXXX";

static struct repository_place
place_with(const char *server, const char *export, const char *options)
{
    return (struct repository_place){ .kind = "nfs",
                                      .server = (char *)(uintptr_t)server,
                                      .export = (char *)(uintptr_t) export,
                                      .options = (char *)(uintptr_t)options };
}

static void
pass(const char *server, const char *export, const char *options)
{
    struct repository_place place = place_with(server, export, options);
    struct error *error = NULL;

    if (!mount_check(&place, &error))
        fail_msg("%s:%s %s: %s", server, export, options ? options : "", error->message);
}

static void
refuse(const char *server, const char *export, const char *options, const char *part)
{
    struct repository_place place = place_with(server, export, options);
    struct error *error = NULL;

    if (mount_check(&place, &error))
        fail_msg("%s:%s %s passed", server, export, options ? options : "");
    if (error->code != ERROR_INVALID_PARAMS || !strstr(error->message, part))
        fail_msg("%s, not '%s'", error->message, part);
    error_free(error);
}

static void
servers_are_names_or_addresses(void **state)
{
    (void)state;
    pass("nas1", "/export", NULL);
    pass("nas-1.example.org", "/export", NULL);
    pass("192.0.2.7", "/export", NULL);
    pass("2001:db8::7", "/export", NULL);
    pass("::1", "/export", NULL);
    refuse("", "/export", NULL, "'server' is ''");
    refuse("-o", "/export", NULL, "'server' is '-o'");
    refuse("nas1,evil", "/export", NULL, "host name or an address");
    refuse("nas1 -o exec", "/export", NULL, "host name or an address");
    refuse("nas1:/x", "/export", NULL, "host name or an address");
    refuse("[::1]", "/export", NULL, "host name or an address");
    refuse("../nas1", "/export", NULL, "host name or an address");
}

static void
exports_are_absolute_and_have_nothing_that_a_list_of_mounts_escapes(void **state)
{
    (void)state;
    pass("nas1", "/", NULL);
    pass("nas1", "/srv/images@2/a_b-c.d", NULL);
    pass("nas1", "/srv/d\xc3\xa4ten", NULL);
    refuse("nas1", "export", NULL, "must be an absolute path");
    refuse("nas1", "-o", NULL, "must be an absolute path");
    refuse("nas1", "/a b", NULL, "no blanks");
    refuse("nas1", "/a\nb", NULL, "no blanks");
    refuse("nas1", "/a,b", NULL, "no blanks, commas");
    refuse("nas1", "/a\\040b", NULL, "backslashes");
}

static void
what_the_agent_relies_on_cannot_be_taken_away_by_an_option(void **state)
{
    const char *const taken[] = { "exec",
                                  "suid",
                                  "dev",
                                  "hard",
                                  "nolock",
                                  "local_lock=all",
                                  "softreval",
                                  "noac",
                                  "lookupcache=all",
                                  "acdirmin=60",
                                  "actimeo=60",
                                  "softerr",
                                  "bg",
                                  "vers=3",
                                  "vers=4.3",
                                  "nosuid",
                                  "addr=192.0.2.1",
                                  "context=x",
                                  "-o",
                                  "ro exec",
                                  "retry=10000",
                                  "mountproto=udp",
                                  "remount" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(taken); i++) {
        _cleanup_free_ char *behind = xprintf("ro,%s", taken[i]);

        refuse("nas1", "/export", taken[i], "'options' has '");
        refuse("nas1", "/export", behind, "'options' has '");
    }
}

static void
options_are_checked_for_their_values(void **state)
{
    (void)state;
    pass("nas1", "/export", "");
    pass("nas1", "/export", "ro");
    pass("nas1", "/export", "vers=4.2,proto=tcp6,port=20049,sec=krb5p,rsize=65536,wsize=1048576");
    pass("nas1", "/export", "nconnect=4,noresvport,nosharecache,noatime,timeo=600,retrans=0");
    refuse("nas1", "/export", "ro=1", "'ro' takes no value");
    refuse("nas1", "/export", "timeo", "a number from 1 to 600");
    refuse("nas1", "/export", "timeo=0", "a number from 1 to 600");
    refuse("nas1", "/export", "timeo=+5", "a number from 1 to 600");
    refuse("nas1", "/export", "timeo=5x", "a number from 1 to 600");
    refuse("nas1", "/export", "sec=none", "must be one of sys,krb5,krb5i,krb5p");
    refuse("nas1", "/export", "sec=sys,sec=krb5", "has 'sec' twice");
    refuse("nas1", "/export", "proto=tcp,", "ends with a comma");
    refuse("nas1", "/export", "ro,,noatime", "has ''");
    /* However they are put together, a dead server is waited for a minute at most. */
    pass("nas1", "/export", "timeo=200");
    refuse("nas1", "/export", "timeo=201", "must be at most 600");
    pass("nas1", "/export", "timeo=60,retrans=9");
    refuse("nas1", "/export", "timeo=60,retrans=10", "must be at most 600");
    refuse("nas1", "/export", "retrans=10,timeo=55", "must be at most 600");
}

static void
assert_options(const char *given, const char *wanted)
{
    struct repository_place place = place_with("nas1", "/export", given);
    _cleanup_free_ char *options = mount_options(&place);

    assert_string_equal(options, wanted);
}

static void
the_operators_options_take_the_place_of_the_defaults(void **state)
{
    (void)state;
    assert_options(NULL, "nosuid,nodev,noexec,softerr,lookupcache=none,acdirmin=0,acdirmax=0,"
                         "retry=0,vers=4,timeo=50,retrans=2");
    assert_options("ro,timeo=20", "nosuid,nodev,noexec,softerr,lookupcache=none,acdirmin=0,"
                                  "acdirmax=0,retry=0,vers=4,retrans=2,ro,timeo=20");
}

static void
a_source_is_written_as_the_kernel_lists_it(void **state)
{
    struct repository_place name = place_with("nas1", "/srv/images//", NULL);
    struct repository_place address = place_with("2001:db8::7", "/", NULL);
    _cleanup_free_ char *one = mount_source(&name), *other = mount_source(&address);

    (void)state;
    assert_string_equal(one, "nas1:/srv/images");
    assert_string_equal(other, "[2001:db8::7]:/");
}

#define LISTED                                                                                     \
    "rw,vers=4.2,rsize=524288,wsize=524288,namlen=255,acdirmin=0,acdirmax=0,softerr,proto=tcp,"    \
    "timeo=50,retrans=2,sec=sys,clientaddr=192.0.2.1,lookupcache=none,local_lock=none,"            \
    "addr=192.0.2.7"

static const char list[] =
    "22 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/root rw,discard\n"
    "30 22 0:25 / /run rw,nosuid - tmpfs tmpfs rw,mode=755\n"
    "90 30 0:61 / /run/hostler/mnt/old rw,nosuid,nodev,noexec,relatime shared:7 - tmpfs none rw\n"
    "91 90 0:62 / /run/hostler/mnt/old rw,nosuid,nodev,noexec,relatime - nfs4 nas1:/export " LISTED
    "\n"
    "92 30 0:63 / /run/hostler/mnt/a\\040b\\134c\\ rw - nfs4 nas1:/x\\040y rw,vers=4.1\n"
    "93 30 0:64 / /run/hostler/mnt/old-2 rw - nfs nas1:/export rw,vers=3";

static void
a_mount_is_found_by_its_point_and_the_last_one_is_on_top(void **state)
{
    struct mount_entry entry = { 0 };

    (void)state;
    assert_true(mount_find(list, "/run/hostler/mnt/old", &entry));
    assert_string_equal(entry.type, "nfs4");
    assert_string_equal(entry.source, "nas1:/export");
    assert_string_equal(entry.options, "rw,nosuid,nodev,noexec,relatime," LISTED);
    mount_entry_done(&entry);
    assert_true(mount_find(list, "/run/hostler/mnt/a b\\c\\", &entry));
    assert_string_equal(entry.source, "nas1:/x y");
    mount_entry_done(&entry);
    assert_true(mount_find(list, "/run/hostler/mnt/old-2", &entry)); /* no newline behind it */
    assert_string_equal(entry.type, "nfs");
    mount_entry_done(&entry);
    assert_true(mount_find(list, "/", &entry));
    assert_string_equal(entry.source, "/dev/root");
    mount_entry_done(&entry);
    assert_false(mount_find(list, "/run/hostler/mnt", &entry));
    assert_false(mount_find(list, "/run/hostler/mnt/ol", &entry));
    assert_false(mount_find("", "/", &entry));
    assert_false(mount_find("garbage", "/", &entry));
}

static void
assert_wanted(bool wanted, const char *type, const char *source, const char *options,
              struct repository_place place)
{
    struct mount_entry entry = { .type = (char *)(uintptr_t)type,
                                 .source = (char *)(uintptr_t)source,
                                 .options = (char *)(uintptr_t)options };

    if (mount_is_as_wanted(&entry, &place) != wanted)
        fail_msg("%s %s %s was %s", type, source, options, wanted ? "refused" : "adopted");
}

static void
only_what_would_be_mounted_anew_is_adopted(void **state)
{
    const char *const listed = "rw,nosuid,nodev,noexec,relatime," LISTED;
    const struct repository_place place = place_with("nas1", "/export/", NULL);

    (void)state;
    assert_wanted(true, "nfs4", "nas1:/export", listed, place);
    assert_wanted(true, "nfs4", "nas1:/export", listed,
                  place_with("nas1", "/export", "timeo=50,rsize=4096,vers=4.2"));
    assert_wanted(false, "nfs", "nas1:/export", listed, place);
    assert_wanted(false, "nfs4", "nas2:/export", listed, place);
    assert_wanted(false, "nfs4", "nas1:/exports", listed, place);
    assert_wanted(false, "nfs4", "nas1:/export", "rw,nosuid,nodev,relatime," LISTED, place);
    assert_wanted(false, "nfs4", "nas1:/export", "ro,nosuid,nodev,noexec,relatime," LISTED, place);
    assert_wanted(false, "nfs4", "nas1:/export", listed, place_with("nas1", "/export", "ro"));
    assert_wanted(false, "nfs4", "nas1:/export", listed, place_with("nas1", "/export", "timeo=10"));
    assert_wanted(true, "nfs4", "nas1:/export", "ro,nosuid,nodev,noexec,relatime," LISTED,
                  place_with("nas1", "/export", "ro"));
}

/* From here on with the kernel; root only.  A tmpfs stands for what somebody else has mounted there. */
static int
begin(void **state)
{
    (void)state;
    memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
    if (!mkdtemp(folder))
        return -1;
    mount_use_folder(folder);
    return 0;
}

static int
end(void **state)
{
    _cleanup_free_ char *point = mount_point("a");

    (void)state;
    while (umount2(point, MNT_DETACH) == 0)
        ;
    (void)rmdir(point);
    return rmdir(folder);
}

static void
put_mount(const char *point)
{
    if (mkdir(point, 0755) < 0 || mount("none", point, "tmpfs", MS_NOSUID, "size=64k") < 0)
        skip(); /* not root, or nobody may mount here */
}

static void
what_is_mounted_is_listed_and_taken_away_with_its_point(void **state)
{
    _cleanup_free_ char *point = mount_point("a");
    struct error *error = NULL;
    struct stat status;
    char **names;

    (void)state;
    put_mount(point);
    assert_int_equal(mount("none", point, "tmpfs", MS_NOSUID, "size=64k"), 0); /* two of them */
    assert_true(mount_list(&names, &error));
    assert_string_equal(names[0], "a");
    assert_string_equal(names[1], "a");
    assert_null(names[2]);
    free(names[0]);
    free(names[1]);
    free(names);
    assert_true(mount_detach(point, false, &error));
    assert_int_equal(stat(point, &status), -1);
    assert_true(mount_detach(point, false, &error)); /* again is no error */
    assert_true(mount_list(&names, &error));
    assert_null(names[0]);
    free(names);
}

static void
what_somebody_else_mounted_there_is_no_repository_of_ours(void **state)
{
    /* A port where nobody listens: refused at once, and not there where the kernel has no NFS. */
    const struct repository_place place = place_with("127.0.0.1", "/export", "port=1");
    _cleanup_free_ char *point = mount_point("a");
    struct mount_entry entry = { 0 };
    struct error *error = NULL;
    char **names;

    (void)state;
    put_mount(point);
    assert_false(mount_is_as_wanted(&(struct mount_entry){ .type = (char *)(uintptr_t) "tmpfs",
                                                           .source = (char *)(uintptr_t) "none",
                                                           .options = (char *)(uintptr_t) "rw" },
                                    &place));
    assert_false(mount_attach(&place, point, &error));
    if (error->code != ERROR_BACKEND_UNAVAILABLE) { /* else mount.nfs is not installed */
        assert_int_equal(error->code, ERROR_REPOSITORY_UNAVAILABLE);
        assert_non_null(strstr(error->message, "cannot mount '127.0.0.1:/export': 'mount.nfs' "));
    }
    error_free(TAKE(error));
    mount_entry_done(&entry);
    assert_true(mount_list(&names, &error));
    assert_null(names[0]);
    free(names);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_are_names_or_addresses),
        cmocka_unit_test(exports_are_absolute_and_have_nothing_that_a_list_of_mounts_escapes),
        cmocka_unit_test(what_the_agent_relies_on_cannot_be_taken_away_by_an_option),
        cmocka_unit_test(options_are_checked_for_their_values),
        cmocka_unit_test(the_operators_options_take_the_place_of_the_defaults),
        cmocka_unit_test(a_source_is_written_as_the_kernel_lists_it),
        cmocka_unit_test(a_mount_is_found_by_its_point_and_the_last_one_is_on_top),
        cmocka_unit_test(only_what_would_be_mounted_anew_is_adopted),
        cmocka_unit_test_setup_teardown(what_is_mounted_is_listed_and_taken_away_with_its_point,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_somebody_else_mounted_there_is_no_repository_of_ours,
                                        begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
