/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/disk-chain.h"

#include <string.h>

#include "virt/device-xml.h"
#include "virt/disk-work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static const char domain[] =
    "<domain><metadata>"
    "<a:job xmlns:a='https://hostler.org/job/1/vda' kind='move' disk='vda' repository='slow' image='web'"
    " sourceRepository='fast' sourceImage='old' sourceCreated='17' keepSource='yes'/>"
    "<b:job xmlns:b='https://hostler.org/job/1/vdb' kind='merge' disk='vdb'/></metadata><devices>"
    "<disk type='file' device='disk' model='virtio' snapshot='external'>"
    "<driver name='qemu' type='qcow2' cache='none' discard='unmap'/>"
    "<source file='/r/images/web/data-1' index='3'/>"
    "<backingStore type='file' index='2'><format type='raw'/><source file='/r/images/web/data'/>"
    "<backingStore/></backingStore>"
    "<mirror type='file' job='active-commit' ready='yes'><format type='raw'/>"
    "<source file='/r/images/web/data'/></mirror>"
    "<target dev='vda' bus='virtio'/><iotune><total_iops_sec>7</total_iops_sec></iotune>"
    "<serial>s&amp;1</serial><alias name='virtio-disk0'/><address type='pci' slot='0x05'/></disk>"
    "<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
    "<source protocol='gluster' name='gv0/images/data/data' index='1'><host name='h'/></source>"
    "<target dev='vdb' bus='virtio'/></disk>"
    "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk></devices></domain>";

static struct xml_document *
parse(const char *text)
{
    struct xml_document *document;
    struct error *err = NULL;

    assert_true(xml_parse("libvirt", text, strlen(text), &document, &err));
    return document;
}

static void
a_target_is_meant_before_another_disks_serial(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *document =
        parse("<domain><devices><disk><target dev='vda'/><serial>vdb</serial></disk>"
              "<disk><target dev='vdc'/><serial>virtio-disk1</serial></disk>"
              "<disk><target dev='vdb'/><alias name='virtio-disk1'/></disk></devices></domain>");
    static const char *const names[] = { "vdb", "virtio-disk1" };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        assert_true(xml_attribute_is(
            xml_child(disk_node_find(xml_root(document), names[i]), "target"), "dev", "vdb"));
}

static void
a_chain_is_read_with_its_job(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *document = parse(domain);
    _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };
    _cleanup_(error_freep) struct error *err = NULL;

    (void)unused;
    assert_true(disk_chain_find(xml_root(document), "web", "s&1", &chain, &err));
    assert_string_equal(chain.target, "vda");
    assert_int_equal(chain.count, 2);
    assert_string_equal(chain.files[0].path, "/r/images/web/data-1");
    assert_string_equal(chain.files[0].format, "qcow2");
    assert_string_equal(chain.files[0].index, "3");
    assert_string_equal(chain.files[1].path, "/r/images/web/data");
    assert_string_equal(chain.files[1].format, "raw");
    assert_string_equal(chain.files[1].index, "2");
    assert_string_equal(chain.job, "active-commit");
    assert_string_equal(chain.other.path, "/r/images/web/data");
    assert_true(chain.ready && chain.writable);
}

static void
a_disk_in_a_volume_and_one_without_a_medium_are_told(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *document = parse(domain);
    _cleanup_(disk_chain_done) struct disk_chain volume = { 0 }, none = { 0 }, missing = { 0 };
    _cleanup_(error_freep) struct error *err = NULL;

    (void)unused;
    assert_true(disk_chain_find(xml_root(document), "web", "vdb", &volume, &err));
    assert_string_equal(volume.files[0].volume, "gv0");
    assert_string_equal(volume.files[0].path, "images/data/data");
    assert_string_equal(volume.files[0].index, "1");
    assert_null(volume.job);
    assert_true(disk_chain_find(xml_root(document), "web", "sda", &none, &err));
    assert_true(none.count == 0 && !none.writable);
    assert_false(disk_chain_find(xml_root(document), "web", "vdz", &missing, &err));
    assert_int_equal(err->code, ERROR_NOT_FOUND);
}

/* Two volumes hold the repositories of a pool in the same folders as a rule. */
static void
a_file_is_the_same_one_in_its_own_volume_only(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *document = parse(domain);
    _cleanup_(disk_chain_done) struct disk_chain volume = { 0 }, file = { 0 }, none = { 0 };
    static char here[] = "gv0", there[] = "gv1", path[] = "images/data/data",
                data[] = "/r/images/web/data-1";
    _cleanup_(error_freep) struct error *err = NULL;

    (void)unused;
    assert_true(disk_chain_find(xml_root(document), "web", "vda", &file, &err) &&
                disk_chain_find(xml_root(document), "web", "vdb", &volume, &err) &&
                disk_chain_find(xml_root(document), "web", "sda", &none, &err));
    assert_true(disk_chain_is_at(&volume, &(struct disk_file){ .path = path, .volume = here }));
    assert_false(disk_chain_is_at(&volume, &(struct disk_file){ .path = path, .volume = there }));
    assert_false(disk_chain_is_at(&volume, &(struct disk_file){ .path = path }));
    assert_true(disk_chain_is_at(&file, &(struct disk_file){ .path = data }));
    assert_false(disk_chain_is_at(&file, &(struct disk_file){ .path = data, .volume = here }));
    assert_false(disk_chain_is_at(&none, &(struct disk_file){ .path = data }));
}

static void
a_note_is_read_back_and_is_of_its_disk_alone(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *document = parse(domain);
    _cleanup_(disk_note_done) struct disk_note move = { 0 }, merge = { 0 }, none = { 0 };

    (void)unused;
    assert_true(disk_note_read(xml_root(document), "vda", &move));
    assert_string_equal(move.kind, "move");
    assert_string_equal(move.repository, "slow");
    assert_string_equal(move.image, "web");
    assert_string_equal(move.source_repository, "fast");
    assert_string_equal(move.source_image, "old");
    assert_true(move.keep_source);
    assert_int_equal(move.source_created, 17);
    assert_true(disk_note_read(xml_root(document), "vdb", &merge));
    assert_string_equal(merge.kind, "merge");
    assert_false(merge.keep_source);
    assert_int_equal(merge.source_created, 0);
    assert_false(disk_note_read(xml_root(document), "sda", &none));
}

/* Whatever else the disk is stays; only the files are others. */
static void
a_disk_is_put_over_other_files(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *document = parse(domain), *written = NULL;
    struct disk_layer layers[] = { { "web", "/r/images/web/data-2 & 'x'", IMAGE_RAW } };
    const struct disk_source source = { .layers = layers, .layer_count = 1 };
    _cleanup_free_ char *xml =
        device_xml_disk_over(disk_node_find(xml_root(document), "vda"), &source);
    _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };
    const struct xml_node *disk;

    (void)unused;
    written = parse(xml);
    disk = xml_root(written);
    disk_chain_read(disk, &chain);
    assert_int_equal(chain.count, 1);
    assert_string_equal(chain.files[0].path, layers[0].path);
    assert_string_equal(chain.files[0].format, "raw");
    assert_null(chain.job);
    assert_true(xml_attribute_is(disk, "model", "virtio"));
    assert_true(xml_attribute_is(xml_child(disk, "driver"), "cache", "none"));
    assert_true(xml_attribute_is(xml_child(disk, "driver"), "discard", "unmap"));
    assert_true(xml_attribute_is(xml_child(disk, "address"), "slot", "0x05"));
    assert_string_equal(xml_text(disk, "serial"), "s&1");
    assert_string_equal(xml_text(xml_child(disk, "iotune"), "total_iops_sec"), "7");
    assert_null(xml_child(disk, "mirror"));
    assert_int_equal(xml_children(disk, "source"), 1);
    assert_int_equal(xml_children(disk, "backingStore"), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_meant_before_another_disks_serial),
        cmocka_unit_test(a_chain_is_read_with_its_job),
        cmocka_unit_test(a_disk_in_a_volume_and_one_without_a_medium_are_told),
        cmocka_unit_test(a_file_is_the_same_one_in_its_own_volume_only),
        cmocka_unit_test(a_note_is_read_back_and_is_of_its_disk_alone),
        cmocka_unit_test(a_disk_is_put_over_other_files),
    };

    xml_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
