/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a description may say, which of it goes together, and what follows from it.
 */
#include <config.h>

#include "tests/unit/description-fixture.h"
#include "virt/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#define BASICS "\"name\":\"web1\",\"memory\":1073741824,\"cpus\":2"
#define DISK(members) BASICS ",\"disks\":[{\"repository\":\"fast\",\"image\":\"a\"" members "}]"
#define NETWORK(members) BASICS ",\"networks\":[{" members "}]"

static void
assert_taken(const char *members)
{
    _cleanup_(described_freep) struct described *described = NULL;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!describe(members, &described, &error))
        fail_msg("%s: %s", members, error->message);
}

static void
assert_refused(const char *members, const char *param, const char *reason)
{
    _cleanup_(described_freep) struct described *described = NULL;
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_free_ char *expected = xprintf("\"param\":\"%s\",\"reason\":\"%s", param, reason);

    if (describe(members, &described, &error))
        fail_msg("%s was taken", members);
    assert_int_equal(error->code, ERROR_INVALID_PARAMS);
    if (strncmp(error->data, expected, strlen(expected)) != 0)
        fail_msg("%s: %s, not %s", members, error->data, expected);
}

static void
a_name_memory_and_cpus_suffice(void **state)
{
    (void)state;
    assert_taken(BASICS);
    assert_refused("\"memory\":1073741824,\"cpus\":2", "name", "is missing");
    assert_refused("\"name\":\"a\",\"cpus\":2", "memory", "is missing");
    assert_refused("\"name\":\"a\",\"memory\":1073741824", "cpus", "is missing");
    assert_refused("\"name\":\"a/b\",\"memory\":1073741824,\"cpus\":1", "name", "must be 1 to 128");
    assert_refused(BASICS ",\"uuid\":\"x\"", "uuid", "must be a UUID");
    assert_refused(BASICS ",\"maxMemory\":1048576", "maxMemory", "must be at least 'memory'");
    assert_refused(BASICS ",\"maxCpus\":1", "maxCpus", "must be at least 'cpus', 2");
}

static void
members_that_do_not_go_together_are_refused(void **state)
{
    (void)state;
    assert_refused(BASICS ",\"topology\":{\"cores\":3}", "topology", "must make 2 CPUs");
    assert_taken(BASICS ",\"maxCpus\":8,\"topology\":{\"sockets\":2,\"cores\":2,\"threads\":2}");
    assert_refused(BASICS ",\"secureBoot\":true", "secureBoot", "needs the firmware 'efi'");
    assert_refused(BASICS ",\"cpuModel\":\"host-passthrough\",\"virtualization\":\"qemu\"",
                   "cpuModel", "can be 'host-passthrough' only with KVM");
    assert_refused(BASICS ",\"cpuModel\":\"a b\"", "cpuModel", "must hold letters");
    assert_refused(BASICS ",\"machine\":\"<q35>\"", "machine", "must hold letters");
    assert_refused(BASICS ",\"console\":{\"listen\":\"example.org\"}", "console.listen",
                   "must be an IP address");
    assert_taken(BASICS ",\"console\":{\"listen\":\"::1\",\"port\":5901}");
    assert_taken(BASICS ",\"console\":{\"keymap\":\"en-us\"}");
    assert_refused(BASICS ",\"console\":{\"keymap\":\"/etc/passwd\"}", "console.keymap",
                   "must hold letters");
    assert_refused(BASICS ",\"console\":{\"keymap\":\"'><x/>\"}", "console.keymap",
                   "must hold letters");
    assert_refused(BASICS ",\"serial\":{\"kind\":\"file\"}", "serial.path", "is missing");
    assert_refused(BASICS ",\"serial\":{\"path\":\"/x\"}", "serial.path", "is for the kind");
    assert_refused(BASICS ",\"tuning\":{\"cpuPeriod\":1000}", "tuning.cpuPeriod", "means nothing");
    assert_refused(BASICS ",\"boot\":{}", "boot.kernel", "is missing");
}

static void
a_disk_says_which_image_it_is_and_where_it_is_plugged_in(void **state)
{
    (void)state;
    assert_taken(DISK(""));
    assert_taken(BASICS ",\"disks\":[{\"device\":\"cdrom\"}]");
    assert_refused(BASICS ",\"disks\":[{}]", "disks[0].image", "is missing: only a cdrom");
    assert_refused(BASICS ",\"disks\":[{\"image\":\"a\"}]", "disks[0].repository", "is missing");
    assert_refused(BASICS ",\"disks\":[{\"device\":\"cdrom\",\"repository\":\"a\"}]",
                   "disks[0].image", "is missing");
    assert_refused(DISK(",\"device\":\"cdrom\",\"bus\":\"virtio\""), "disks[0].bus",
                   "must be 'scsi', 'sata' or 'usb'");
    assert_refused(DISK(",\"target\":\"sda\""), "disks[0].target", "must be vd and one");
    assert_refused(DISK(",\"target\":\"vda\",\"bus\":\"scsi\""), "disks[0].target",
                   "must be sd and");
    assert_refused(DISK(",\"target\":\"vd1\""), "disks[0].target", "must be vd and one");
    assert_taken(DISK(",\"target\":\"vdaa\""));
    assert_refused(DISK(",\"io\":\"native\",\"cache\":\"writeback\""), "disks[0].io",
                   "can be 'native' only");
    assert_refused(DISK(",\"serial\":\"a b\""), "disks[0].serial", "must hold letters");
    assert_refused(DISK(",\"shareable\":true,\"readonly\":true"), "disks[0].shareable", "is for");
    assert_refused(DISK(",\"tuning\":{\"iops\":1,\"readIops\":1}"), "disks[0].tuning.iops",
                   "bounds both together");
    assert_refused(DISK(",\"tuning\":{\"bytesPerSecond\":1,\"writeBytesPerSecond\":1}"),
                   "disks[0].tuning.bytesPerSecond", "bounds both together");
    assert_refused(BASICS ",\"disks\":[{\"repository\":\"a\",\"image\":\"b\"},"
                          "{\"repository\":\"a\",\"image\":\"b\",\"readonly\":true}]",
                   "disks[1].image", "is another disk's already");
    assert_refused(BASICS ",\"disks\":[{\"repository\":\"a\",\"image\":\"b\",\"target\":\"vdb\"},"
                          "{\"repository\":\"a\",\"image\":\"c\",\"target\":\"vdb\"}]",
                   "disks[1].target", "is another disk's already");
}

static void
a_network_card_has_a_source_and_an_address(void **state)
{
    (void)state;
    assert_taken(NETWORK("\"source\":\"default\""));
    assert_taken(NETWORK("\"kind\":\"user\""));
    assert_refused(NETWORK(""), "networks[0].source", "is missing");
    assert_refused(NETWORK("\"kind\":\"user\",\"source\":\"x\""), "networks[0].source",
                   "does not go");
    assert_refused(NETWORK("\"kind\":\"bridge\",\"source\":\"br0\",\"portGroup\":\"x\""),
                   "networks[0].portGroup", "is for the kind");
    assert_refused(NETWORK("\"source\":\"d\",\"model\":\"e1000\",\"queues\":2"),
                   "networks[0].queues", "are for virtio cards");
    assert_taken(NETWORK("\"source\":\"d\",\"mac\":\"52:54:00:AB:cd:ef\""));
    assert_refused(NETWORK("\"source\":\"d\",\"mac\":\"53:54:00:ab:cd:ef\""), "networks[0].mac",
                   "must be six bytes");
    assert_refused(NETWORK("\"source\":\"d\",\"mac\":\"52-54-00-ab-cd-ef\""), "networks[0].mac",
                   "must be six bytes");
    assert_refused(NETWORK("\"source\":\"d\",\"mac\":\"52:54:00:ab:cd: f\""), "networks[0].mac",
                   "must be six bytes");
    assert_refused(NETWORK("\"source\":\"d\",\"mac\":\"00:00:00:00:00:00\""), "networks[0].mac",
                   "must be six bytes");
    assert_refused(BASICS ",\"networks\":[{\"source\":\"d\",\"mac\":\"52:54:00:ab:cd:ef\"},"
                          "{\"source\":\"d\",\"mac\":\"52:54:00:AB:CD:EF\"}]",
                   "networks[1].mac", "is another card's already");
}

static void
boot_orders_are_told_once(void **state)
{
    (void)state;
    assert_refused(BASICS ",\"disks\":[{\"device\":\"cdrom\",\"bootOrder\":2}],"
                          "\"networks\":[{\"kind\":\"user\",\"bootOrder\":2}]",
                   "networks[0].bootOrder", "is another device's already");
    assert_refused(BASICS ",\"disks\":[{\"device\":\"cdrom\",\"bootOrder\":2},"
                          "{\"device\":\"cdrom\",\"bootOrder\":2}]",
                   "disks[1].bootOrder", "is another device's already");
}

static void
texts_that_xml_cannot_say_are_refused_wherever_they_stand(void **state)
{
    (void)state;
    assert_refused(BASICS ",\"description\":\"a\\u0001b\"", "description", "must hold no control");
    assert_refused(BASICS ",\"description\":\"a\\uffffb\"", "description", "must hold no control");
    assert_taken(BASICS ",\"description\":\"two\\nlines\\t\\r\\ufffd\\u2028 &<>'\\\"\"");
    assert_refused(BASICS ",\"title\":\"a\\nb\"", "title", "must hold no control");
    assert_refused(BASICS ",\"userData\":{\"a\":\"\xef\xbf\xbe\"}", "userData",
                   "must hold no control");
    assert_taken(BASICS ",\"userData\":{\"a\":\"\\ufffe\\u0001\"}");
    assert_refused(BASICS ",\"boot\":{\"kernel\":\"/a\\u0002\"}", "boot.kernel",
                   "must hold no control");
    assert_refused(NETWORK("\"source\":\"a\\ufffe\""), "networks[0].source",
                   "must hold no control");
}

static void
what_names_files_of_the_host_is_for_admins(void **state)
{
    static const char *const members[][2] = {
        { BASICS, NULL },
        { BASICS ",\"boot\":{\"kernel\":\"/boot/vmlinuz\"}", "boot" },
        { BASICS ",\"serial\":{\"kind\":\"file\",\"path\":\"/var/log/x\"}", "serial.path" },
        { BASICS ",\"serial\":{\"kind\":\"none\"}", NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        _cleanup_(described_freep) struct described *described = NULL;
        struct error *error = NULL;
        const char *needs;

        assert_true(describe(members[i][0], &described, &error));
        needs = description_needs_admin(&described->all);
        assert_true((needs == NULL) == (members[i][1] == NULL));
        if (needs)
            assert_string_equal(needs, members[i][1]);
    }
}

/* ---- devices ---- */

#define EMPTY "{\"device\":\"cdrom\"}"
#define PLAIN(n) "{\"repository\":\"r\",\"image\":\"i" n "\"}"

static void
targets_are_the_first_that_are_free(void **state)
{
    _cleanup_(described_freep) struct described *described = NULL;
    static const char *const expected[] = { "vda", "vdc", "vdb", "sda", "sdc", "sdb" };
    struct disk_device disks[ARRAY_COUNT(expected)];
    struct error *error = NULL;

    (void)state;
    assert_true(
        describe(BASICS ",\"disks\":[" PLAIN("1") "," PLAIN(
                     "2") ","
                          "{\"repository\":\"r\",\"image\":\"i3\",\"target\":\"vdb\"}," EMPTY ","
                          "{\"repository\":\"r\",\"image\":\"i4\",\"bus\":\"scsi\"},"
                          "{\"device\":\"cdrom\",\"target\":\"sdb\"}]",
                 &described, &error));
    for (size_t i = 0; i < ARRAY_COUNT(disks); i++)
        disk_device_init(&disks[i], &((struct disk_description *)described->all.disks.all)[i]);
    assert_true(disk_devices_choose_targets(disks, ARRAY_COUNT(disks), &error));
    for (size_t i = 0; i < ARRAY_COUNT(disks); i++)
        assert_string_equal(disks[i].target, expected[i]);
    devices_choose_boot_orders(disks, ARRAY_COUNT(disks), NULL, 0);
    assert_int_equal(disks[0].boot_order, 1);
    assert_int_equal(disks[3].boot_order, 5);
    assert_int_equal(disks[4].boot_order, 4);
    assert_int_equal(disks[5].boot_order, 6);
    disk_devices_spread(disks, ARRAY_COUNT(disks), 2);
    assert_int_equal(disks[0].io_thread, 1);
    assert_int_equal(disks[1].io_thread, 2);
    assert_int_equal(disks[2].io_thread, 1);
    assert_int_equal(disks[3].io_thread, 0);
}

static bool
is_below(const void *context, const char *name)
{
    return strlen(name) < 4 || strcmp(name, context) < 0;
}

static bool
is_any(const void *context, const char *name)
{
    (void)context;
    (void)name;
    return true;
}

static void
targets_have_two_letters_when_one_does_not_do(void **state)
{
    const struct disk_description description = { .device = "disk" };
    struct disk_device disk;

    (void)state;
    disk_device_init(&disk, &description);
    assert_true(disk_device_choose_target(&disk, is_below, "vdbc"));
    assert_string_equal(disk.target, "vdbc");
    disk_device_init(&disk, &description);
    assert_true(disk_device_choose_target(&disk, is_below, "vdzz"));
    assert_string_equal(disk.target, "vdzz");
    disk_device_init(&disk, &description);
    assert_false(disk_device_choose_target(&disk, is_any, NULL));
}

static void
boot_orders_that_were_given_are_all_there_are(void **state)
{
    struct disk_description empty = { .device = "cdrom" };
    struct network_description card = { .kind = "user", .boot_order = 3 };
    struct disk_device disk;
    struct network_device network;

    (void)state;
    disk_device_init(&disk, &empty);
    network_device_init(&network, &card);
    devices_choose_boot_orders(&disk, 1, &network, 1);
    assert_int_equal(disk.boot_order, 0);
    assert_int_equal(network.boot_order, 3);
    card.boot_order = 0;
    network_device_init(&network, &card);
    devices_choose_boot_orders(&disk, 1, &network, 1);
    assert_int_equal(disk.boot_order, 1);
    assert_int_equal(network.boot_order, 2);
}

static bool
is_same(const void *context, const char *name)
{
    return strcmp(name, context) == 0;
}

static void
addresses_follow_from_the_uuid_and_differ(void **state)
{
    static const char uuid[] = "3ae3e2d4-2b7a-4d5c-9b8e-000000000001";
    struct network_description plain = { .kind = "user" },
                               given = { .kind = "user", .mac = "52:54:00:AA:BB:CC" };
    struct network_device first[3], again[3], other[1];
    char mac[MAC_SIZE];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        network_device_init(&first[i], i == 1 ? &given : &plain);
        network_device_init(&again[i], i == 1 ? &given : &plain);
    }
    network_device_init(&other[0], &plain);
    network_devices_choose_macs(first, 3, uuid);
    network_devices_choose_macs(again, 3, uuid);
    network_devices_choose_macs(other, 1, "3ae3e2d4-2b7a-4d5c-9b8e-000000000002");
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(first[i].mac, again[i].mac);
        assert_true(mac_parse(first[i].mac, mac));
        assert_string_equal(first[i].mac, mac);
    }
    assert_string_equal(first[1].mac, "52:54:00:aa:bb:cc");
    assert_memory_equal(first[0].mac, "52:54:00:", 9);
    assert_string_not_equal(first[0].mac, first[2].mac);
    assert_string_not_equal(first[0].mac, other[0].mac);
    /* Where another card has the address already, the next number's is taken. */
    network_device_init(&other[0], &plain);
    network_device_choose_mac(&other[0], uuid, 0, is_same, first[0].mac);
    network_device_init(&again[0], &plain);
    network_device_choose_mac(&again[0], uuid, 1, is_same, "");
    assert_string_equal(other[0].mac, again[0].mac);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_memory_and_cpus_suffice),
        cmocka_unit_test(members_that_do_not_go_together_are_refused),
        cmocka_unit_test(a_disk_says_which_image_it_is_and_where_it_is_plugged_in),
        cmocka_unit_test(a_network_card_has_a_source_and_an_address),
        cmocka_unit_test(boot_orders_are_told_once),
        cmocka_unit_test(texts_that_xml_cannot_say_are_refused_wherever_they_stand),
        cmocka_unit_test(what_names_files_of_the_host_is_for_admins),
        cmocka_unit_test(targets_are_the_first_that_are_free),
        cmocka_unit_test(targets_have_two_letters_when_one_does_not_do),
        cmocka_unit_test(boot_orders_that_were_given_are_all_there_are),
        cmocka_unit_test(addresses_follow_from_the_uuid_and_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
