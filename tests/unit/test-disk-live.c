/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is true after a crash in the middle of what QEMU does to a running machine's disk.  QEMU's part
 * is done by its own programs on the same files.
 */
#include <config.h>

#include "storage/disk-live.h"

#include <sys/wait.h>
#include <unistd.h>

#include "storage/endpoint.h"
#include "storage/image-data.h"
#include "tests/unit/repository-fixture.h"

#define WEB "aaaaaaaa-0000-4000-8000-000000000001"
#define DB "aaaaaaaa-0000-4000-8000-000000000002"
#define HERE "11111111-1111-4111-8111-111111111111"
#define SIZE (1 << 20)

static const struct disk_user web = { .vm = WEB, .name = "web", .host = HERE };
static const struct image_wish running = { .holder = HOLDER, .vm = WEB, .running = true };
static const struct image_wish shut_off = { .holder = HOLDER, .vm = WEB };
static const struct image_wish nobodys = { .holder = HOLDER };

static void
run_program(const char *const argv[])
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        (void)freopen("/dev/null", "w", stdout);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        fail_msg("%s %s: status %d", argv[0], argv[1], status);
}

/* The guest fills the first 64 KiB of what its QEMU has open. */
static void
guest_writes(const char *path, const char *format, int byte)
{
    char command[64];

    (void)snprintf(command, sizeof(command), "write -P %d 0 65536", byte);
    run_program((const char *const[]){ "qemu-io", "-f", format, "-c", command, path, NULL });
}

static void
assert_shows(const char *id, int byte)
{
    struct error *error = NULL;
    struct image *image;
    struct endpoint *endpoint;
    char got[512];

    succeed(image_open(repository, id, &image, &error), error);
    succeed(image_open_data(image, ENDPOINT_READ, NULL, &endpoint, &error), error);
    succeed(endpoint_read(endpoint, 0, got, sizeof(got), &error), error);
    assert_int_equal(got[0], byte);
    assert_int_equal(got[511], byte);
    endpoint_close(endpoint);
    image_close(image);
}

static int
begin_live(void **state)
{
    struct image_record record = sample_record(SIZE);
    struct error *error = NULL;
    struct disk_claim *claim;

    if (begin(state) < 0)
        return -1;
    image_use_open(HERE);
    image_close(make_with("web1", &record, NULL));
    succeed(disk_claim(repository, "web1", &web, USE_WRITABLE, HOLDER, &claim, &error), error);
    guest_writes(claim->source.layers[0].path, "raw", 1);
    disk_claim_keep(claim);
    return 0;
}

/* Up to where QEMU goes over; the path of the layer. */
static char *
prepare_snapshot(const char *id, const struct image_wish *wish, struct image_snapshot *snapshot)
{
    struct error *error = NULL;

    succeed(image_snapshot_lock(repository, "web1", wish, snapshot, &error), error);
    succeed(image_snapshot_make(snapshot, id, wish, &error), error);
    succeed(image_snapshot_make_layer(snapshot, wish, &error), error);
    return image_snapshot_path(snapshot);
}

/* The whole of it, of a running machine. */
static char *
take_snapshot(const char *id)
{
    struct image_snapshot snapshot;
    struct error *error = NULL;
    char *path = prepare_snapshot(id, &running, &snapshot);

    succeed(image_snapshot_switch(&snapshot, &error), error);
    image_snapshot_done(&snapshot);
    return path;
}

static struct disk_source
describe(void)
{
    struct disk_source source;
    struct error *error = NULL;

    succeed(disk_describe(repository, "web1", &source, &error), error);
    return source;
}

static bool
try_settle(const struct image_wish *wish, const char *path, const char *const *kept,
           struct disk_settled *settled, struct error **err)
{
    return disk_settle(repository, "web1", wish, path, kept, settled, err);
}

static struct disk_settled
settle(const struct image_wish *wish, const char *path, const char *const *kept)
{
    struct disk_settled settled = { 0 };
    struct error *error = NULL;

    succeed(try_settle(wish, path, kept, &settled, &error), error);
    return settled;
}

static void
a_running_machine_keeps_the_names_that_it_knows(void **state)
{
    struct disk_source before = describe(), after;
    char *layer = take_snapshot("s1");
    const char *const kept[] = { layer, before.layers[0].path, NULL };
    struct disk_settled settled;

    (void)state;
    after = describe();
    assert_int_equal(after.layer_count, 2);
    assert_string_equal(after.layers[0].path, layer);
    assert_int_equal(after.layers[0].format, IMAGE_QCOW2);
    assert_string_equal(after.layers[1].path, before.layers[0].path);
    assert_string_equal(after.layers[1].image, "s1");
    settled = settle(&running, layer, kept);
    assert_int_equal(settled.found, DISK_AS_RECORDED);
    assert_true(there_is("web1/data"));
    guest_writes(layer, "qcow2", 2);
    assert_shows("web1", 2);
    assert_shows("s1", 1);
    assert_status_has("s1", "\"state\":\"optimized\"");
    assert_status_has("web1", "\"base\":\"s1\",\"checksum\":null");
    disk_source_done(&before);
    disk_source_done(&after);
    free(layer);
}

/* Killed after QEMU went over, before the record did. */
static void
a_snapshot_that_qemu_has_made_is_finished(void **state)
{
    struct image_snapshot snapshot;
    char *layer = prepare_snapshot("s1", &running, &snapshot);
    const char *const kept[] = { layer, NULL };
    struct disk_settled settled;

    (void)state;
    image_snapshot_done(&snapshot);
    guest_writes(layer, "qcow2", 2);
    assert_status_has("s1", "\"state\":\"broken\"");
    settled = settle(&running, layer, kept);
    assert_int_equal(settled.found, DISK_WENT_OVER);
    assert_string_equal(settled.snapshot, "s1");
    disk_settled_done(&settled);
    assert_shows("web1", 2);
    assert_shows("s1", 1);
    assert_status_has("web1", "\"generation\":2");
    settled = settle(&running, layer, kept);
    assert_int_equal(settled.found, DISK_AS_RECORDED);
    free(layer);
}

/* Killed before: QEMU still has the old data, and the layer is nobody's. */
static void
a_snapshot_that_qemu_has_not_made_leaves_nothing_in_the_image(void **state)
{
    struct disk_source source = describe();
    const char *path = source.layers[0].path, *const kept[] = { path, NULL };
    struct image_snapshot snapshot;
    struct disk_settled settled;
    char *layer = prepare_snapshot("s1", &running, &snapshot), name[128];

    (void)state;
    image_snapshot_done(&snapshot);
    (void)snprintf(name, sizeof(name), "web1/%s", strrchr(layer, '/') + 1);
    assert_true(there_is(name));
    settled = settle(&running, path, kept);
    assert_int_equal(settled.found, DISK_AS_RECORDED);
    assert_false(there_is(name));
    free(layer);
    free(take_snapshot("s1")); /* goes on with the unfinished one */
    assert_status_has("s1", "\"state\":\"optimized\"");
    disk_source_done(&source);
}

static void
what_nothing_explains_is_said_and_left_alone(void **state)
{
    struct disk_settled settled;
    struct error *error = NULL;
    char path[128];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/images/web1/data-" WEB, repository_path);
    refused(try_settle(&running, path, NULL, &settled, &error), &error, ERROR_CONFLICT);
    assert_int_equal(settle(&shut_off, path, NULL).found, DISK_OUTDATED);
    refused(try_settle(&running, "/elsewhere/data", NULL, &settled, &error), &error,
            ERROR_CONFLICT);
    run_program(
        (const char *const[]){ "qemu-img", "create", "-q", "-f", "qcow2", path, "1M", NULL });
    refused(try_settle(&running, path, NULL, &settled, &error), &error, ERROR_CONFLICT);
    assert_shows("web1", 1);
    refused(try_settle(&nobodys, path, NULL, &settled, &error), &error, ERROR_IMAGE_IN_USE);
}

static void
lock_merge(struct image_merge *merge)
{
    struct error *error = NULL;

    succeed(image_merge_lock(repository, "web1", &running, merge, &error), error);
    succeed(image_merge_mark(merge, &error), error);
    merge->written = true;
}

static void
commit_block_job(const char *layer)
{
    run_program(
        (const char *const[]){ "qemu-img", "commit", "-q", "-d", "-f", "qcow2", layer, NULL });
}

static void
a_merge_leads_back_to_the_images_own_name(void **state)
{
    struct disk_source before = describe();
    char *layer = take_snapshot("s1"), *path;
    struct image_merge merge;
    struct error *error = NULL;

    (void)state;
    guest_writes(layer, "qcow2", 2);
    lock_merge(&merge);
    path = image_merge_path(&merge);
    assert_string_equal(path, before.layers[0].path);
    assert_status_has("s1", "\"state\":\"broken\"");
    commit_block_job(layer);
    guest_writes(path, "raw", 3); /* after the pivot */
    succeed(image_merge_switch(&merge, &error), error);
    succeed(image_merge_remove_base(&merge, (const char *const[]){ path, NULL }, &error), error);
    assert_true(image_merge_removed(&merge));
    image_merge_done(&merge);
    assert_false(there_is("s1"));
    assert_shows("web1", 3);
    assert_status_has("web1", "\"state\":\"optimized\"");
    assert_status_has("web1", "\"format\":\"raw\"");
    disk_source_done(&before);
    free(layer);
    free(path);
}

static void
a_merge_that_qemu_has_ended_is_finished(void **state)
{
    struct disk_settled settled;
    struct image_merge merge;
    char *layer = take_snapshot("s1"), *path;

    (void)state;
    guest_writes(layer, "qcow2", 2);
    lock_merge(&merge);
    path = image_merge_path(&merge);
    image_merge_done(&merge); /* killed */
    assert_int_equal(settle(&running, layer, (const char *const[]){ layer, path, NULL }).found,
                     DISK_AS_RECORDED); /* it goes on, or was interrupted */
    assert_status_has("web1", "\"state\":\"degraded\"");
    assert_true(there_is("web1/data"));
    commit_block_job(layer);
    guest_writes(path, "raw", 3);
    settled = settle(&running, path, (const char *const[]){ path, NULL });
    assert_int_equal(settled.found, DISK_WENT_OVER);
    assert_string_equal(settled.removed, "s1");
    disk_settled_done(&settled);
    assert_shows("web1", 3);
    assert_status_has("web1", "\"state\":\"optimized\"");
    free(layer);
    free(path);
}

/* A machine that was started on an overlay knows the base by the base's own name, and nothing can change that
   while it runs. */
static void
a_base_that_the_machine_has_by_its_name_goes_when_it_stops(void **state)
{
    struct image_record record = sample_record(SIZE);
    struct disk_settled settled;
    struct disk_source source;
    struct disk_claim *claim;
    struct image_merge merge;
    struct error *error = NULL;
    struct image *image;
    char *base_path, *own, *path;

    (void)state;
    record.mutable = false;
    image_close(make_with("base", &record, NULL));
    succeed(disk_release(repository, "web1", WEB, HERE, &error), error);
    succeed(image_open_locked(repository, "web1", IMAGE_LOCK_EXCLUSIVE, HOLDER, &image, &error),
            error);
    succeed(image_hide(image, &error), error);
    image_discard(image);
    record = sample_record(SIZE);
    record.format = IMAGE_QCOW2;
    record.base = (char *)(uintptr_t) "base";
    succeed(image_make(repository, "web1", &record, NULL, HOLDER, &image, &error), error);
    succeed(endpoint_create(image->folder, "data", IMAGE_QCOW2, SIZE, ENDPOINT_THIN, "../base/data",
                            IMAGE_RAW, NULL, &error),
            error);
    succeed(image_publish(image, &error), error);
    image_close(image);
    succeed(disk_claim(repository, "web1", &web, USE_WRITABLE, HOLDER, &claim, &error), error);
    base_path = xstrdup(claim->source.layers[1].path);
    path = xstrdup(claim->source.layers[0].path);
    disk_claim_keep(claim);
    guest_writes(path, "qcow2", 2);
    lock_merge(&merge);
    own = image_merge_path(&merge);
    commit_block_job(path);
    free(path);
    image_merge_done(&merge);
    settled = settle(&running, base_path, (const char *const[]){ base_path, NULL });
    assert_int_equal(settled.found, DISK_WENT_OVER);
    assert_null(settled.removed);
    assert_status_has("base", "\"state\":\"broken\"");
    assert_status_has("web1", "\"state\":\"degraded\"");
    assert_shows("web1", 2);
    settled = settle(&running, base_path, (const char *const[]){ base_path, own, NULL });
    assert_int_equal(settled.found, DISK_AS_RECORDED);
    source = describe();
    assert_string_equal(source.layers[0].path, own);
    disk_source_done(&source);
    settled = settle(&shut_off, own, (const char *const[]){ own, NULL });
    assert_string_equal(settled.removed, "base");
    disk_settled_done(&settled);
    assert_shows("web1", 2);
    assert_status_has("web1", "\"state\":\"optimized\"");
    free(base_path);
    free(own);
}

static void
a_machine_that_runs_grows_its_disk(void **state)
{
    struct image_resize resize;
    struct error *error = NULL;

    (void)state;
    refused(image_resize_lock(repository, "web1", 2 * SIZE, false, &nobodys, &resize, &error),
            &error, ERROR_IMAGE_IN_USE);
    refused(image_resize_lock(repository, "web1", SIZE / 2, true, &running, &resize, &error),
            &error, ERROR_INVALID_PARAMS);
    succeed(image_resize_lock(repository, "web1", 2 * SIZE, false, &running, &resize, &error),
            error);
    succeed(image_resize_mark(&resize, &error), error);
    assert_true(folder_set_size(resize.image->folder, "data", 2 * SIZE)); /* QEMU */
    succeed(image_resize_record(&resize, &error), error);
    image_resize_done(&resize);
    assert_status_has("web1", "\"state\":\"optimized\"");
    assert_status_has("web1", "\"size\":2097152");
    succeed(image_resize_lock(repository, "web1", 3 * SIZE, false, &running, &resize, &error),
            error);
    succeed(image_resize_mark(&resize, &error), error);
    assert_status_has("web1", "\"state\":\"degraded\"");
    succeed(image_resize_undo(&resize, &error), error);
    image_resize_done(&resize);
    assert_status_has("web1", "\"size\":2097152");
    assert_status_has("web1", "\"state\":\"optimized\"");
}

static struct disk_claim *
begin_move(void)
{
    const struct disk_target target = { .format = IMAGE_QCOW2,
                                        .size = SIZE,
                                        .user_data = "{\"a\":1}" };
    struct disk_claim *claim = NULL;
    struct error *error = NULL;

    succeed(disk_move_begin(repository, "moved", &target, &web, &running, &claim, &error), error);
    return claim;
}

static void
a_move_is_broken_until_qemu_has_gone_over(void **state)
{
    struct disk_claim *claim = begin_move(), *other = NULL;
    struct disk_user db = web;
    struct error *error = NULL;

    (void)state;
    assert_int_equal(claim->source.layer_count, 1);
    guest_writes(claim->source.layers[0].path, "qcow2", 7);
    disk_claim_keep(claim);
    assert_status_has("moved", "\"state\":\"broken\",\"reason\":\"the disk of a VM is being moved");
    assert_status_has("moved", "\"name\":\"web\"");
    db.vm = DB;
    refused(disk_move_open(repository, "moved", &db, &running, &other, &error), &error,
            ERROR_IMAGE_IN_USE);
    refused(disk_move_open(repository, "web1", &web, &running, &other, &error), &error,
            ERROR_WRONG_STATE);
    succeed(disk_move_open(repository, "moved", &web, &running, &claim, &error), error);
    succeed(disk_move_finish(claim, &error), error);
    disk_claim_keep(claim);
    assert_status_has("moved", "\"state\":\"optimized\"");
    assert_status_has("moved", "\"generation\":1,\"userData\":{\"a\":1}");
    assert_shows("moved", 7);
}

static void
a_move_that_was_cancelled_leaves_nothing(void **state)
{
    struct disk_claim *claim = begin_move();
    struct error *error = NULL;

    (void)state;
    succeed(disk_move_cancel(claim, &error), error);
    assert_false(there_is("moved"));
    assert_status_has("web1", "\"state\":\"optimized\"");
}

int
main(void)
{
#define LIVE_TEST(f) cmocka_unit_test_setup_teardown(f, begin_live, end)
    const struct CMUnitTest tests[] = {
        LIVE_TEST(a_running_machine_keeps_the_names_that_it_knows),
        LIVE_TEST(a_snapshot_that_qemu_has_made_is_finished),
        LIVE_TEST(a_snapshot_that_qemu_has_not_made_leaves_nothing_in_the_image),
        LIVE_TEST(what_nothing_explains_is_said_and_left_alone),
        LIVE_TEST(a_merge_leads_back_to_the_images_own_name),
        LIVE_TEST(a_merge_that_qemu_has_ended_is_finished),
        LIVE_TEST(a_base_that_the_machine_has_by_its_name_goes_when_it_stops),
        LIVE_TEST(a_machine_that_runs_grows_its_disk),
        LIVE_TEST(a_move_is_broken_until_qemu_has_gone_over),
        LIVE_TEST(a_move_that_was_cancelled_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
