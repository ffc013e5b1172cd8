/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/offer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "agent/base/json-writer.h"
#include "agent/base/xml.h"

/* As libvirt 9.0 with QEMU 7.2 tells, cut. */
static char capabilities[] =
    "<capabilities><host><cpu><arch>x86_64</arch></cpu></host>"
    "<guest><os_type>xen</os_type><arch name='i686'/></guest>"
    "<guest><os_type>hvm</os_type><arch name='x86_64'><wordsize>64</wordsize>"
    "<emulator>/usr/bin/qemu-system-x86_64</emulator>"
    "<machine maxCpus='255'>pc-i440fx-7.2</machine>"
    "<machine canonical='pc-i440fx-7.2' maxCpus='255'>pc</machine>"
    "<machine deprecated='yes'>pc-i440fx-1.5</machine>"
    "<domain type='qemu'/><domain type='kvm'/></arch></guest></capabilities>";
static char domain_capabilities[] =
    "<domainCapabilities><path>/usr/bin/qemu-system-x86_64</path><domain>kvm</domain>"
    "<machine>pc-i440fx-7.2</machine><arch>x86_64</arch><vcpu max='255'/>"
    "<os supported='yes'><enum name='firmware'><value>efi</value></enum></os>"
    "<cpu><mode name='host-passthrough' supported='no'/><mode name='maximum' supported='yes'/>"
    "<mode name='host-model' supported='yes'><model fallback='forbid'>EPYC</model>"
    "<vendor>AMD</vendor></mode><mode name='custom' supported='yes'>"
    "<model usable='yes' vendor='unknown'>qemu64</model>"
    "<model usable='no' vendor='AMD'>phenom</model></mode></cpu>"
    "<devices><disk supported='yes'><enum name='diskDevice'><value>disk</value></enum>"
    "<enum name='bus'><value>virtio</value><value>scsi</value></enum></disk>"
    "<graphics supported='yes'><enum name='type'><value>vnc</value></enum></graphics>"
    "</devices></domainCapabilities>";
static char hypervisor[] = "QEMU", version[] = "7.2.18", refusal[] = "no such device";

static void
what_libvirt_offers_is_told(void **state)
{
    const struct offer_texts texts = { .capabilities = capabilities,
                                       .domain_capabilities = domain_capabilities,
                                       .hypervisor = hypervisor,
                                       .version = version };
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    struct error *error = NULL;

    (void)state;
    assert_true(offer_write(&texts, &writer, &error));
    assert_string_equal(
        writer.text.bytes,
        "{\"pending\":false,\"hypervisor\":\"QEMU\",\"hypervisorVersion\":\"7.2.18\","
        "\"kvm\":{\"usable\":true,\"reason\":null},\"guests\":[{\"architecture\":\"x86_64\","
        "\"virtualization\":[\"qemu\",\"kvm\"],\"emulator\":\"/usr/bin/qemu-system-x86_64\","
        "\"machines\":[{\"machine\":\"pc-i440fx-7.2\",\"canonical\":null,\"maxCpus\":255,"
        "\"deprecated\":false},{\"machine\":\"pc\",\"canonical\":\"pc-i440fx-7.2\","
        "\"maxCpus\":255,\"deprecated\":false},{\"machine\":\"pc-i440fx-1.5\",\"canonical\":null,"
        "\"maxCpus\":null,\"deprecated\":true}]}],\"defaults\":{\"virtualization\":\"kvm\","
        "\"architecture\":\"x86_64\",\"machine\":\"pc-i440fx-7.2\",\"maxCpus\":255,"
        "\"cpu\":{\"passthrough\":false,\"maximum\":true,\"hostModel\":\"EPYC\","
        "\"hostVendor\":\"AMD\",\"models\":[{\"model\":\"qemu64\",\"usable\":true},"
        "{\"model\":\"phenom\",\"usable\":false}]},\"firmware\":[\"efi\"],"
        "\"diskBuses\":[\"virtio\",\"scsi\"],\"consoles\":[\"vnc\"],\"videos\":[],\"tpms\":[],"
        "\"rngs\":[]}}");
}

static void
kvm_that_is_refused_is_told_with_the_reason(void **state)
{
    const struct offer_texts texts = { .capabilities = capabilities,
                                       .kvm_refusal = refusal,
                                       .hypervisor = hypervisor };
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    struct error *error = NULL;

    (void)state;
    assert_true(offer_write(&texts, &writer, &error));
    assert_non_null(
        strstr(writer.text.bytes, "\"kvm\":{\"usable\":false,\"reason\":\"no such device\"}"));
    assert_non_null(strstr(writer.text.bytes, "\"defaults\":null}"));
}

static void
what_is_no_answer_is_an_error(void **state)
{
    static char cut[] = "<capabilities><host>";
    const struct offer_texts texts = { .capabilities = cut };
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    _cleanup_(error_freep) struct error *error = NULL;

    (void)state;
    assert_false(offer_write(&texts, &writer, &error));
    assert_int_equal(error->code, ERROR_BACKEND_FAILED);
}

static int
prepare(void **state)
{
    (void)state;
    xml_prepare();
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_libvirt_offers_is_told),
        cmocka_unit_test(kvm_that_is_refused_is_told_with_the_reason),
        cmocka_unit_test(what_is_no_answer_is_an_error),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
