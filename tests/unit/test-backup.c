/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is noted of a backup, what libvirt is told, and what is shown: without libvirt.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "virt/backup.h"

#define ID "6f1c0000-0000-4000-8000-00000000000b"
#define HOST "6f1c0000-0000-4000-8000-00000000000c"

static struct backup *
make_backup(const char *checkpoint, const char *since)
{
    struct backup *backup = xalloc(sizeof(*backup));
    struct backup_disk *disk = backup_add_disk(backup, "vda");

    memcpy(backup->id, ID, sizeof(backup->id));
    memcpy(backup->host, HOST, sizeof(backup->host));
    memcpy(backup->repository_uuid, HOST, sizeof(backup->host));
    backup->state = BACKUP_RUNNING;
    backup->task = xstrdup("nightly <7> & \"more\"");
    backup->checkpoint = checkpoint ? xstrdup(checkpoint) : NULL;
    backup->since = since ? xstrdup(since) : NULL;
    backup->repository = xstrdup("fast");
    backup->folder = xstrdup("/var/tmp");
    backup->resume = true;
    backup->rate = 1234;
    backup->begun_ns = 1700000000123456789;
    disk->image = xstrdup("tue-vda");
    disk->base = xstrdup("mon-vda");
    disk->size = 1 << 20;
    return backup;
}

static struct backup *
must_parse(const char *xml)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct backup *backup = NULL;

    if (!backup_parse(xml, &backup, &err))
        fail_msg("%s", err->message);
    return backup;
}

static void
what_is_noted_is_read_again_as_it_was(void **state)
{
    _cleanup_(backup_freep) struct backup *backup = make_backup("tue", "mon"), *again = NULL;
    _cleanup_free_ char *xml = NULL, *second = NULL;

    (void)state;
    backup->error = xstrdup("a < b & c");
    backup->ended_ns = 1700000001000000000;
    xml = backup_describe(backup);
    again = must_parse(xml);
    second = backup_describe(again);
    assert_string_equal(xml, second);
    assert_string_equal(again->task, "nightly <7> & \"more\"");
    assert_string_equal(again->error, "a < b & c");
    assert_int_equal(again->begun_ns, 1700000000123456789);
    assert_int_equal(again->disks[0].size, 1 << 20);
    assert_true(again->resume);
    assert_false(again->frozen);
    assert_int_equal(again->state, BACKUP_RUNNING);
}

/* It becomes part of paths. */
static void
notes_that_no_agent_wrote_are_refused(void **state)
{
    static const char *const wrong[] = {
        "<backup/>",
        "<other id='" ID "' host='" HOST "' state='running' folder='/var/tmp'/>",
        "<backup id='../../etc/passwd-aaaaaaaaaaaaaaaaaaaaaaa' host='" HOST
        "' state='running' folder='/var/tmp'/>",
        "<backup id='" ID "' host='" HOST "' state='walking' folder='/var/tmp'/>",
        "<backup id='" ID "' host='" HOST "' state='running' folder='var'/>",
        "<backup id='" ID "' host='" HOST "' state='running'/>",
        "<backup id='" ID "' host='" HOST
        "' state='running' folder='/var/tmp'><disk target='../vda'/></backup>",
        "<backup id='" ID "' host='" HOST
        "' state='running' folder='/var/tmp'><disk target='vda' image='../x'/></backup>",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        _cleanup_(error_freep) struct error *err = NULL;
        struct backup *backup = NULL;

        if (backup_parse(wrong[i], &backup, &err))
            fail_msg("taken: %s", wrong[i]);
        assert_int_equal(err->code, ERROR_BACKEND_FAILED);
    }
}

static struct vm *
make_vm(void)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct vm *vm = NULL;

    if (!vm_parse("<domain><name>web1</name><uuid>" HOST "</uuid><devices>"
                  "<disk type='file' device='disk'><driver type='qcow2'/><source file='/a'/>"
                  "<target dev='vda' bus='virtio'/></disk>"
                  "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"
                  "</devices></domain>",
                  &vm, &err))
        fail_msg("%s", err->message);
    return vm;
}

static void
assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in %s", part, text);
}

static void
libvirt_is_told_of_each_disk_and_takes_only_ours(void **state)
{
    _cleanup_(backup_freep) struct backup *backup = make_backup("tue", "mon");
    _cleanup_(vm_freep) struct vm *vm = make_vm();
    _cleanup_free_ char *job = backup_job_xml(backup, vm),
                        *checkpoint = backup_checkpoint_xml(backup, vm);

    (void)state;
    assert_has(job, "<domainbackup mode=\"pull\"><incremental>mon</incremental>");
    assert_has(job, "<server transport=\"unix\" socket=\"/var/tmp/hostler-backup-" ID ".sock\"/>");
    assert_has(job, "<disk name=\"vda\" backup=\"yes\" type=\"file\" exportname=\"vda\" "
                    "exportbitmap=\"backup-vda\"><scratch file=\"/var/tmp/hostler-backup-" ID
                    "-vda\"/></disk>");
    assert_has(job, "<disk name=\"sda\" backup=\"no\"/>");
    assert_has(checkpoint, "<name>tue</name>");
    assert_has(checkpoint, "<disk name=\"vda\" checkpoint=\"bitmap\"/>"
                           "<disk name=\"sda\" checkpoint=\"no\"/>");
}

static void
a_full_one_has_no_bitmap(void **state)
{
    _cleanup_(backup_freep) struct backup *backup = make_backup("mon", NULL);
    _cleanup_(vm_freep) struct vm *vm = make_vm();
    _cleanup_free_ char *job = backup_job_xml(backup, vm);

    (void)state;
    assert_null(strstr(job, "incremental"));
    assert_null(strstr(job, "exportbitmap"));
}

static void
assert_shown(const struct backup_view *view, const char *part, const char *other)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    backup_write(view, &writer);
    assert_has(writer.text.bytes, part);
    assert_has(writer.text.bytes, other);
}

static void
only_a_complete_one_moves_the_next_increment_on(void **state)
{
    _cleanup_(backup_freep) struct backup *backup = make_backup("tue", "mon");
    const struct backup_view view = { .vm = "web1", .uuid = HOST, .backup = backup };

    (void)state;
    assert_shown(&view, "\"nextSince\":\"mon\"", "\"state\":\"running\"");
    backup->state = BACKUP_FAILED;
    assert_shown(&view, "\"nextSince\":\"mon\"", "\"state\":\"failed\"");
    backup->state = BACKUP_DONE;
    assert_shown(&view, "\"nextSince\":\"tue\"", "\"state\":\"done\"");
}

static void
a_job_of_somebody_else_and_one_that_is_gone_are_told_apart(void **state)
{
    _cleanup_(backup_freep) struct backup *backup = make_backup("tue", "mon");
    struct backup_job job = { .running = true };
    struct backup_view view = { .vm = "web1", .uuid = HOST, .backup = backup, .job = &job };

    (void)state;
    assert_shown(&view, "\"owner\":\"other\"", "\"state\":\"running\"");
    job = (struct backup_job){ .running = true, .ours = true };
    assert_shown(&view, "\"owner\":\"agent\"", "\"active\":false");
    job = (struct backup_job){ 0 };
    assert_shown(&view, "\"state\":\"failed\"", "its job has ended before it was complete");
    view.task = "still at it";
    assert_shown(&view, "\"state\":\"running\"", "\"task\":\"still at it\"");
    view = (struct backup_view){ .vm = "web1", .uuid = HOST, .job = &job };
    assert_shown(&view, "\"state\":\"none\"", "\"owner\":null");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_noted_is_read_again_as_it_was),
        cmocka_unit_test(notes_that_no_agent_wrote_are_refused),
        cmocka_unit_test(libvirt_is_told_of_each_disk_and_takes_only_ours),
        cmocka_unit_test(a_full_one_has_no_bitmap),
        cmocka_unit_test(only_a_complete_one_moves_the_next_increment_on),
        cmocka_unit_test(a_job_of_somebody_else_and_one_that_is_gone_are_told_apart),
    };

    xml_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
