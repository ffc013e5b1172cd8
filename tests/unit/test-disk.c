/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/disk.h"

#include "tests/unit/repository-fixture.h"

#define WEB "aaaaaaaa-0000-4000-8000-000000000001"
#define DB "aaaaaaaa-0000-4000-8000-000000000002"
#define HERE "11111111-1111-4111-8111-111111111111"

static const struct disk_user web = { .vm = WEB, .name = "web", .host = HERE };
static const struct disk_user db = { .vm = DB, .name = "db", .host = HERE };

static int
begin_disks(void **state)
{
    struct image_record record = sample_record(4000);

    if (begin(state) < 0)
        return -1;
    image_use_open(HERE);
    record.mutable = false;
    image_close(make_with("base", &record, NULL));
    make_overlay("web1", "base");
    return 0;
}

static bool
try_claim(const char *image, const struct disk_user *user, enum use_access access,
          struct disk_claim **ret_claim, struct error **err)
{
    return disk_claim(repository, image, user, access, HOLDER, ret_claim, err);
}

static struct disk_claim *
claim(const char *image, const struct disk_user *user, enum use_access access)
{
    struct disk_claim *claim = NULL;
    struct error *error = NULL;

    succeed(try_claim(image, user, access, &claim, &error), error);
    return claim;
}

static void
each_layer_has_its_path_and_its_format(void **state)
{
    _cleanup_(disk_source_done) struct disk_source source = { 0 };
    struct error *error = NULL;
    char path[128];

    (void)state;
    succeed(disk_describe(repository, "web1", &source, &error), error);
    assert_int_equal(source.layer_count, 2);
    (void)snprintf(path, sizeof(path), "%s/images/web1/data", repository_path);
    assert_string_equal(source.layers[0].path, path);
    assert_string_equal(source.layers[0].image, "web1");
    assert_int_equal(source.layers[0].format, IMAGE_QCOW2);
    (void)snprintf(path, sizeof(path), "%s/images/base/data", repository_path);
    assert_string_equal(source.layers[1].path, path);
    assert_int_equal(source.layers[1].format, IMAGE_RAW);
    assert_int_equal(source.size, 4096);
    assert_false(source.immutable);
    assert_null(source.volume);
    disk_source_done(&source);
    succeed(disk_describe(repository, "base", &source, &error), error);
    assert_true(source.immutable);
    assert_int_equal(source.size, 4096); /* QEMU's are whole sectors */
}

static void
what_is_not_sound_is_no_disk(void **state)
{
    struct disk_source source;
    struct error *error = NULL;

    (void)state;
    make_incomplete("copy");
    refused(disk_describe(repository, "copy", &source, &error), &error, ERROR_IMAGE_BROKEN);
    drop_file("base/data");
    refused(disk_describe(repository, "web1", &source, &error), &error, ERROR_IMAGE_BROKEN);
    refused(disk_describe(repository, "none", &source, &error), &error, ERROR_IMAGE_NOT_FOUND);
}

static void
a_claim_that_is_kept_stays_without_its_lock(void **state)
{
    struct disk_claim *second;
    struct error *error = NULL;

    (void)state;
    disk_claim_keep(claim("web1", &web, USE_WRITABLE));
    assert_status_has("web1", "\"name\":\"web\"");
    refused(try_claim("web1", &db, USE_WRITABLE, &second, &error), &error, ERROR_IMAGE_IN_USE);
    refused(try_claim("web1", &db, USE_READ_ONLY, &second, &error), &error, ERROR_IMAGE_IN_USE);
    disk_claim_keep(claim("web1", &web, USE_WRITABLE));
    succeed(disk_release(repository, "web1", WEB, HERE, &error), error);
    assert_status_has("web1", "\"uses\":[]");
    succeed(disk_release(repository, "web1", WEB, HERE, &error), error);
    succeed(disk_release(repository, "none", WEB, HERE, &error), error);
}

static void
a_claim_that_is_dropped_leaves_nothing(void **state)
{
    (void)state;
    disk_claim_drop(claim("web1", &web, USE_WRITABLE));
    assert_status_has("web1", "\"uses\":[]");
    disk_claim_keep(claim("web1", &web, USE_WRITABLE));
    disk_claim_drop(claim("web1", &web, USE_WRITABLE));
    assert_status_has("web1", "\"name\":\"web\"");
    disk_claim_drop(NULL);
    disk_claim_keep(NULL);
}

static void
who_works_on_an_image_keeps_machines_away(void **state)
{
    struct image *image;
    struct disk_claim *refused_claim;
    struct error *error = NULL;

    (void)state;
    succeed(image_open_locked(repository, "web1", IMAGE_LOCK_SHARED, NULL, &image, &error), error);
    refused(try_claim("web1", &web, USE_WRITABLE, &refused_claim, &error), &error,
            ERROR_IMAGE_IN_USE);
    image_close(image);
    assert_status_has("web1", "\"uses\":[]");
}

static void
a_snapshot_is_only_read(void **state)
{
    struct disk_claim *refused_claim;
    struct error *error = NULL;

    (void)state;
    refused(try_claim("base", &web, USE_WRITABLE, &refused_claim, &error), &error,
            ERROR_IMAGE_IMMUTABLE);
    disk_claim_keep(claim("base", &web, USE_READ_ONLY));
    disk_claim_keep(claim("base", &db, USE_READ_ONLY));
    assert_status_has("base", "\"name\":\"web\"");
    assert_status_has("base", "\"name\":\"db\"");
}

static void
assert_found(struct disk_places *places, const char *path, const char *wanted)
{
    struct repository *found = NULL;
    _cleanup_free_ char *image = NULL;

    if (!disk_find(places, NULL, NULL, path, &found, &image))
        assert_null(wanted);
    else if (!wanted)
        fail_msg("'%s' is of '%s'", path, image);
    else
        assert_string_equal(image, wanted);
}

static void
a_path_leads_back_to_its_image(void **state)
{
    struct repository *repositories[] = { repository };
    struct disk_places places = { repositories, 1 };
    char path[256], link[160];

    (void)state;
#define BELOW(below) ((void)snprintf(path, sizeof(path), "%s/%s", repository_path, below), path)
    assert_found(&places, BELOW("images/web1/data"), "web1");
    assert_found(&places, BELOW("images/web1/data-" WEB), "web1");
    assert_found(&places, BELOW("images/web1/image.json"), NULL);
    assert_found(&places, BELOW("images/web1"), NULL);
    assert_found(&places, BELOW("images/../hostler.json"), NULL);
    assert_found(&places, BELOW("images/../data"), NULL);
    assert_found(&places, BELOW("images/.gone-x/data"), NULL);
    assert_found(&places, "/dev/sda", NULL);
    assert_found(&places, "data", NULL);
    assert_found(&places, "", NULL);
    (void)snprintf(link, sizeof(link), "%s/link", folder);
    assert_int_equal(symlink(repository_path, link), 0);
    (void)snprintf(path, sizeof(path), "%s/images/web1/data", link);
    assert_found(&places, path, "web1");
}

static void
a_volumes_file_leads_back_too(void **state)
{
    char *servers[] = { (char *)(uintptr_t) "g1", (char *)(uintptr_t) "g2", NULL };
    char *others[] = { (char *)(uintptr_t) "h1", (char *)(uintptr_t) "g2", NULL };
    char *strangers[] = { (char *)(uintptr_t) "h1", NULL };
    struct repository volume = { .place = { .kind = "gluster",
                                            .volume = (char *)(uintptr_t) "v1",
                                            .path = (char *)(uintptr_t) "/a",
                                            .servers = servers } };
    struct repository *repositories[] = { &volume }, *found;
    struct disk_places places = { repositories, 1 };
    char *image;

    (void)state;
    volume.path = (char *)(uintptr_t) "g1:v1/a";
    assert_true(disk_find(&places, "v1", others, "a/images/web1/data", &found, &image));
    assert_string_equal(image, "web1");
    free(image);
    assert_true(disk_find(&places, "v1", NULL, "/a/images/web1/data", &found, &image));
    free(image);
    assert_false(disk_find(&places, "v1", strangers, "a/images/web1/data", &found, &image));
    assert_false(disk_find(&places, "v2", NULL, "a/images/web1/data", &found, &image));
    assert_false(disk_find(&places, "v1", NULL, "images/web1/data", &found, &image));
    assert_false(disk_find(&places, NULL, NULL, "/a/images/web1/data", &found, &image));
    volume.place.path = NULL;
    assert_true(disk_find(&places, "v1", NULL, "images/web1/data", &found, &image));
    free(image);
}

int
main(void)
{
#define DISK_TEST(f) cmocka_unit_test_setup_teardown(f, begin_disks, end)
    const struct CMUnitTest tests[] = {
        DISK_TEST(each_layer_has_its_path_and_its_format),
        DISK_TEST(what_is_not_sound_is_no_disk),
        DISK_TEST(a_claim_that_is_kept_stays_without_its_lock),
        DISK_TEST(a_claim_that_is_dropped_leaves_nothing),
        DISK_TEST(who_works_on_an_image_keeps_machines_away),
        DISK_TEST(a_snapshot_is_only_read),
        DISK_TEST(a_path_leads_back_to_its_image),
        DISK_TEST(a_volumes_file_leads_back_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
