/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/vm.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <libvirt/virterror.h>

#include "virt/failure.h"

#define UUID "3ae3e2d4-2b7a-4d5c-9b8e-000000000001"

static void
a_description_is_read(void **unused)
{
    static const char xml[] =
        "<domain type='kvm' id='7'><name>web&amp;1</name><uuid>" UUID "</uuid><title>Web</title>"
        "<metadata><hostler:vm xmlns:hostler='" VM_METADATA_URI
        "'><hostler:userData>{\"a\":1}</hostler:userData></hostler:vm></metadata>"
        "<memory unit='KiB'>2048</memory><currentMemory unit='KiB'>1024</currentMemory>"
        "<vcpu placement='static' current='2'>4</vcpu>"
        "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><boot dev='hd'/></os>"
        "<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>"
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/r/a'/>"
        "<backingStore type='file'><format type='raw'/><source file='/r/base'/></backingStore>"
        "<target dev='vda' bus='virtio'/><serial>s1</serial><alias name='virtio-disk0'/></disk>"
        "<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
        "<source protocol='gluster' name='gv0/x'><host name='h'/></source><target dev='vdb' bus='virtio'/></disk>"
        "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>"
        "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/>"
        "<target dev='vnet0'/><model type='virtio'/><link state='down'/></interface>"
        "<graphics type='vnc' port='5900' listen='127.0.0.1'/>"
        "<console type='pty'><source path='/dev/pts/3'/></console>"
        "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>"
        "</devices></domain>";
    _cleanup_(vm_freep) struct vm *vm = NULL;
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    const struct vm_change change = { .event = "started", .reason = "booted" };

    (void)unused;
    assert_true(vm_parse(xml, &vm, &err));
    assert_string_equal(vm->name, "web&1");
    assert_string_equal(vm->user_data, "{\"a\":1}");
    assert_true(vm->id == 7 && vm->memory == 1 << 20 && vm->memory_max == 2 << 20);
    assert_true(vm->cpus == 2 && vm->cpus_max == 4);
    assert_string_equal(vm->firmware, "bios");
    assert_int_equal(vm->disk_count, 3);
    assert_string_equal(vm->disks[0].source, "/r/a");
    assert_string_equal(vm->disks[0].format, "qcow2");
    assert_string_equal(vm->disks[1].source, "gv0/x");
    assert_string_equal(vm->disks[1].protocol, "gluster");
    assert_null(vm->disks[2].source);
    assert_true(vm->disks[2].readonly);
    assert_ptr_equal(vm_disk_find(vm, "virtio-disk0"), &vm->disks[0]);
    assert_ptr_equal(vm_disk_find(vm, "s1"), &vm->disks[0]);
    assert_null(vm_disk_find(vm, "vdz"));
    assert_ptr_equal(vm_network_find(vm, "52:54:00:00:00:01"), &vm->networks[0]);
    assert_ptr_equal(vm_network_find(vm, "vnet0"), &vm->networks[0]);
    assert_null(vm_network_find(vm, "vnet1"));
    assert_false(vm->networks[0].linked);
    assert_string_equal(vm->networks[0].source, "br0");
    assert_true(vm->graphics[0].port == 5900 && vm->graphics[0].tls_port == -1);
    assert_string_equal(vm->console, "/dev/pts/3");
    assert_string_equal(vm->agent_channel, "connected");
    vm_write(vm, &change, &writer);
    assert_non_null(
        strstr(writer.text.bytes, "\"change\":{\"event\":\"started\",\"reason\":\"booted\","));
    assert_non_null(strstr(writer.text.bytes, "\"userData\":{\"a\":1}"));
}

static char *
user_data_with(const char *metadata)
{
    _cleanup_free_ char *xml =
        xprintf("<domain xmlns:o='urn:other' xmlns:h='" VM_METADATA_URI
                "'><name>a</name><uuid>" UUID "</uuid><metadata>%s</metadata></domain>",
                metadata);
    _cleanup_(vm_freep) struct vm *vm = NULL;
    _cleanup_(error_freep) struct error *err = NULL;

    assert_true(vm_parse(xml, &vm, &err));
    return TAKE(vm->user_data);
}

static void
user_data_that_others_have_spoilt_are_no_part_of_answers(void **unused)
{
    static const char *const spoilt[] = {
        "",
        "<h:vm/>",
        "<h:vm><h:userData/></h:vm>",
        "<h:vm><h:userData>{\"a\":1</h:userData></h:vm>",
        "<h:vm><h:userData>{},\"state\":1</h:userData></h:vm>",
        "<h:vm><h:userData>[1]</h:userData></h:vm>",
    };
    _cleanup_free_ char *found = user_data_with(
        "<o:vm><o:minor>4</o:minor></o:vm><h:vm><h:userData> {\"a\": 1}</h:userData></h:vm>");

    (void)unused;
    assert_string_equal(found, " {\"a\": 1}");
    for (size_t i = 0; i < ARRAY_COUNT(spoilt); i++)
        assert_null(user_data_with(spoilt[i]));
}

static void
a_target_is_meant_before_another_disks_serial(void **unused)
{
    static const char xml[] =
        "<domain type='kvm'><name>a</name><uuid>" UUID "</uuid><devices>"
        "<disk type='file'><target dev='vda'/><serial>vdb</serial></disk>"
        "<disk type='file'><target dev='vdc'/><serial>virtio-disk1</serial></disk>"
        "<disk type='file'><target dev='vdb'/><alias name='virtio-disk1'/></disk></devices></domain>";
    _cleanup_(vm_freep) struct vm *vm = NULL;
    _cleanup_(error_freep) struct error *err = NULL;

    (void)unused;
    assert_true(vm_parse(xml, &vm, &err));
    assert_ptr_equal(vm_disk_find(vm, "vdb"), &vm->disks[2]);
    assert_ptr_equal(vm_disk_find(vm, "virtio-disk1"), &vm->disks[2]);
}

static void
what_is_no_domain_is_refused(void **unused)
{
    static const char *const texts[] = {
        "",
        "<domain/>",
        "<domain><name>a</name><uuid>short</uuid></domain>",
        "<domain><uuid>" UUID "</uuid></domain>",
        "<network><name>a</name><uuid>" UUID "</uuid></network>",
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        _cleanup_(error_freep) struct error *err = NULL;
        struct vm *vm = NULL;

        assert_false(vm_parse(texts[i], &vm, &err));
        assert_int_equal(err->code, ERROR_BACKEND_FAILED);
        assert_non_null(strstr(err->data, "\"backend\":\"libvirt\""));
    }
}

static void
only_flash_is_a_firmware_of_efi(void **unused)
{
    static const struct {
        const char *os, *firmware;
    } known[] = {
        { "<os/>", "bios" },
        { "<os><loader>/bios.bin</loader></os>", "bios" },
        { "<os><loader type='rom'>/bios.bin</loader></os>", "bios" },
        { "<os><loader readonly='yes' type='pflash'>/OVMF_CODE.fd</loader></os>", "efi" },
        { "<os firmware='efi'><loader type='rom'>/x</loader></os>", "efi" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        _cleanup_free_ char *xml = xprintf(
            "<domain type='kvm'><name>a</name><uuid>" UUID "</uuid>%s</domain>", known[i].os);
        _cleanup_(vm_freep) struct vm *vm = NULL;
        _cleanup_(error_freep) struct error *err = NULL;

        assert_true(vm_parse(xml, &vm, &err));
        assert_string_equal(vm->firmware, known[i].firmware);
    }
}

static void
states_and_reasons_are_words(void **unused)
{
    (void)unused;
    assert_int_equal(vm_state_of(VIR_DOMAIN_BLOCKED), VM_RUNNING);
    assert_int_equal(vm_state_of(99), VM_UNKNOWN);
    assert_int_equal(vm_state_of(-1), VM_UNKNOWN);
    assert_string_equal(vm_reason_of(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR), "io-error");
    assert_null(vm_reason_of(VIR_DOMAIN_PAUSED, 99));
    assert_null(vm_reason_of(99, 0));
    for (size_t i = 0; vm_state_choices[i]; i++)
        assert_string_equal(vm_state_choices[i], vm_state_name((enum vm_state)i));
}

/* Each of libvirt's calls forgets the failure before it, and the name is asked for while it is told. */
static void
a_failure_is_told_with_what_is_asked_meanwhile(void **unused)
{
    virConnectPtr connect = virConnectOpen("test:///default");
    virDomainPtr domain = virDomainLookupByName(connect, "test");
    _cleanup_(error_freep) struct error *err = NULL, *none = NULL, *within = NULL;

    (void)unused;
    assert_non_null(domain);
    assert_int_equal(virDomainResume(domain), -1);
    assert_false(virt_fail(&err, domain, "cannot resume '%s'", virDomainGetName(domain)));
    assert_int_equal(virGetLastErrorCode(), VIR_ERR_OK);
    assert_non_null(strstr(err->message, "cannot resume 'test': "));
    assert_non_null(strstr(err->message, "not paused"));
    assert_null(virDomainSnapshotLookupByName(domain, "s1", 0));
    assert_false(virt_fail(&within, domain, "cannot find snapshot 's1'"));
    assert_non_null(strstr(within->data, "\"kind\":\"snapshot\",\"vm\":\"test\","));
    assert_null(strstr(within->data, "\"id\""));
    virDomainFree(domain);
    assert_null(virDomainLookupByName(connect, "nobody"));
    assert_false(virt_fail_connect(&none, connect, "cannot find '%s'", "nobody"));
    assert_int_equal(none->code, ERROR_NOT_FOUND);
    virConnectClose(connect);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_description_is_read),
        cmocka_unit_test(a_target_is_meant_before_another_disks_serial),
        cmocka_unit_test(user_data_that_others_have_spoilt_are_no_part_of_answers),
        cmocka_unit_test(what_is_no_domain_is_refused),
        cmocka_unit_test(only_flash_is_a_firmware_of_efi),
        cmocka_unit_test(states_and_reasons_are_words),
        cmocka_unit_test(a_failure_is_told_with_what_is_asked_meanwhile),
    };

    xml_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
