/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The XML that descriptions become: right by libvirt's own schema, with every option, and with what
 * somebody may put into their texts to break out of them.
 */
#include <config.h>

#include "virt/domain-xml.h"

#include <libxml/relaxng.h>

#include "tests/unit/description-fixture.h"
#include "virt/device-xml.h"
#include "virt/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#define SCHEMA "/usr/share/libvirt/schemas/domain.rng"
#define UUID "3ae3e2d4-2b7a-4d5c-9b8e-000000000001"
#define BASICS "\"name\":\"web1\",\"memory\":1073741824,\"cpus\":2"
#define DEVICES_MAX 8

#define GUEST(arch, domains)                                                                       \
    "<guest><os_type>hvm</os_type><arch name='" arch "'><emulator>/usr/bin/qemu-" arch             \
    "</emulator><machine canonical='pc-i440fx-7.2'>pc</machine>"                                   \
    "<machine canonical='pc-q35-7.2'>q35</machine><machine>pc-q35-6.2</machine>" domains           \
    "</arch></guest>"
#define HOST "<host><cpu><arch>x86_64</arch></cpu></host>"
#define QEMU "<domain type='qemu'/>"
#define KVM QEMU "<domain type='kvm'/>"

static const char with_kvm[] =
    "<capabilities>" HOST GUEST("i686", KVM) GUEST("x86_64", KVM) "</capabilities>";
static const char without_kvm[] = "<capabilities>" HOST GUEST("x86_64", QEMU) "</capabilities>";
static const char of_test_driver[] =
    "<capabilities><host><cpu><arch>i686</arch></cpu></host><guest><os_type>hvm</os_type><arch "
    "name='i686'><emulator>/usr/bin/test-hv</emulator><domain type='test'/></arch></guest>"
    "</capabilities>";

static const char all_abilities[] =
    "<domainCapabilities><os supported='yes'><enum name='firmware'><value>efi</value></enum>"
    "<loader supported='yes'><enum name='secure'><value>no</value><value>yes</value></enum>"
    "</loader></os><cpu><mode name='maximum' supported='yes'/></cpu><devices>"
    "<graphics supported='yes'><enum name='type'><value>vnc</value><value>spice</value></enum>"
    "</graphics><video><enum name='modelType'><value>vga</value><value>virtio</value></enum>"
    "</video><tpm><enum name='backendModel'><value>emulator</value></enum></tpm></devices>"
    "</domainCapabilities>";
static const char no_abilities[] = "<domainCapabilities/>";

/* One description, all that follows from it, and the XML. */
struct made {
    struct described *described;
    struct platform platform;
    struct disk_device disks[DEVICES_MAX];
    struct network_device networks[DEVICES_MAX];
    char *xml;
};

static char *no_servers[] = { "gl1", "::1", NULL };
static struct disk_layer file_layers[] = {
    { "a", "/r/images/a/data", IMAGE_QCOW2 },
    { "b", "/r/images/b/data-1", IMAGE_QCOW2 },
    { "c", "/r/images/c/data", IMAGE_RAW },
};
static struct disk_layer volume_layers[] = { { "a", "r/images/a/data", IMAGE_RAW } };
static const struct disk_source chain = { .layers = file_layers, .layer_count = 3 };
static const struct disk_source in_volume = {
    .layers = volume_layers, .layer_count = 1, .volume = "gv0", .servers = no_servers
};

static bool
choose(struct made *made, const char *capabilities, const char *abilities, struct error **err)
{
    const struct vm_description *all = &made->described->all;

    return platform_choose(capabilities, all, &made->platform, err) &&
           platform_judge(&made->platform, abilities, all, err);
}

static void
made_done(struct made *made)
{
    described_free(made->described);
    platform_done(&made->platform);
    free(made->xml);
}

/* 'sources' of the disks that have an image, in turn. */
static void
make(const char *members, const char *capabilities, const char *abilities, struct made *made)
{
    static const struct disk_source *const sources[] = { &chain, &in_volume };
    struct error *error = NULL;
    const struct vm_description *all;
    struct domain_plan plan;
    size_t n = 0;

    memset(made, 0, sizeof(*made));
    if (!describe(members, &made->described, &error) ||
        !choose(made, capabilities, abilities, &error))
        fail_msg("%s: %s", members, error->message);
    all = &made->described->all;
    plan = (struct domain_plan){ .description = all,
                                 .platform = &made->platform,
                                 .uuid = UUID,
                                 .disks = made->disks,
                                 .networks = made->networks,
                                 .disk_count = all->disks.count,
                                 .network_count = all->networks.count,
                                 .console_password = "x" };
    for (size_t i = 0; i < plan.disk_count; i++) {
        disk_device_init(&made->disks[i], &((struct disk_description *)all->disks.all)[i]);
        made->disks[i].source = made->disks[i].description->image ? sources[n++ % 2] : NULL;
        made->disks[i].direct = n % 2 == 1;
    }
    for (size_t i = 0; i < plan.network_count; i++)
        network_device_init(&made->networks[i],
                            &((struct network_description *)all->networks.all)[i]);
    assert_true(disk_devices_choose_targets(made->disks, plan.disk_count, &error));
    network_devices_choose_macs(made->networks, plan.network_count, UUID);
    devices_choose_boot_orders(made->disks, plan.disk_count, made->networks, plan.network_count);
    disk_devices_spread(made->disks, plan.disk_count, all->tuning ? all->tuning->io_threads : 0);
    made->xml = domain_xml(&plan);
}

/* ---- libvirt's schema ---- */

static xmlRelaxNGPtr schema;

static int
load_schema(void **state)
{
    xmlRelaxNGParserCtxtPtr parser = xmlRelaxNGNewParserCtxt(SCHEMA);

    (void)state;
    schema = xmlRelaxNGParse(parser);
    xmlRelaxNGFreeParserCtxt(parser);
    return schema ? 0 : -1;
}

static int
free_schema(void **state)
{
    (void)state;
    xmlRelaxNGFree(schema);
    xmlRelaxNGCleanupTypes();
    return 0;
}

static void
assert_valid(const char *xml)
{
    xmlRelaxNGValidCtxtPtr context = xmlRelaxNGNewValidCtxt(schema);
    xmlDocPtr document = xmlReadMemory(xml, (int)strlen(xml), NULL, NULL, 0);

    if (!document || xmlRelaxNGValidateDoc(context, document) != 0)
        fail_msg("libvirt's schema refuses %s", xml);
    xmlFreeDoc(document);
    xmlRelaxNGFreeValidCtxt(context);
}

static void
assert_has(const struct made *made, const char *part)
{
    if (!strstr(made->xml, part))
        fail_msg("%s is not in %s", part, made->xml);
}

static void
assert_lacks(const struct made *made, const char *part)
{
    if (strstr(made->xml, part))
        fail_msg("%s is in %s", part, made->xml);
}

/* ---- the whole ---- */

static void
defaults_suit_the_host(void **state)
{
    _cleanup_(made_done) struct made kvm, tcg, other;

    (void)state;
    make(BASICS, with_kvm, all_abilities, &kvm);
    assert_valid(kvm.xml);
    assert_has(&kvm, "<domain type=\"kvm\"><name>web1</name><uuid>" UUID "</uuid>"
                     "<memory unit=\"b\">1073741824</memory>"
                     "<currentMemory unit=\"b\">1073741824</currentMemory><vcpu>2</vcpu>"
                     "<os><type arch=\"x86_64\" machine=\"q35\">hvm</type></os>");
    assert_has(&kvm, "<emulator>/usr/bin/qemu-x86_64</emulator>");
    assert_has(&kvm, "<cpu mode=\"host-model\"/>");
    assert_has(&kvm, "org.qemu.guest_agent.0");
    assert_has(&kvm, "<graphics type=\"vnc\" autoport=\"yes\" passwd=\"x\" "
                     "passwdValidTo=\"1970-01-01T00:00:01\"><listen type=\"address\" "
                     "address=\"127.0.0.1\"/></graphics><video><model type=\"virtio\"/></video>");
    assert_has(&kvm, "<serial type=\"pty\">");
    assert_has(&kvm, "<rng model=\"virtio\">");
    assert_has(&kvm, "<memballoon model=\"virtio\">");
    make(BASICS, without_kvm, no_abilities, &tcg);
    assert_valid(tcg.xml);
    assert_has(&tcg, "<domain type=\"qemu\">");
    assert_lacks(&tcg, "<cpu");
    assert_lacks(&tcg, "<graphics");
    assert_has(&tcg, "<video><model type=\"none\"/></video>");
    make(BASICS, of_test_driver, NULL, &other);
    assert_valid(other.xml);
    assert_has(&other, "<domain type=\"test\">");
    assert_has(&other, "<type arch=\"i686\">hvm</type>");
    assert_lacks(&other, "pcie-root");
}

#define ALL_BUT_DEVICES                                                                            \
    BASICS                                                                                         \
    ",\"uuid\":\"" UUID "\",\"title\":\"t\",\"description\":\"two\\nlines\","                      \
    "\"userData\":{\"a\":[1,\"<&>\"]},\"maxMemory\":2147483648,\"maxCpus\":8,"                     \
    "\"cpuModel\":\"EPYC\",\"topology\":{\"sockets\":2,\"dies\":1,\"cores\":2,"                    \
    "\"threads\":2},\"virtualization\":\"kvm\",\"machine\":\"pc-q35-6.2\","                        \
    "\"firmware\":\"efi\",\"secureBoot\":true,\"tpm\":true,\"guest\":\"windows\","                 \
    "\"guestAgent\":true,\"random\":true,\"balloon\":true,"                                        \
    "\"boot\":{\"kernel\":\"/boot/k\",\"initrd\":\"/boot/i\",\"commandLine\":\"a=b\"},"            \
    "\"serial\":{\"kind\":\"file\",\"path\":\"/var/log/web1\"},"                                   \
    "\"tuning\":{\"cpuShares\":512,\"cpuPeriod\":100000,\"cpuQuota\":50000,\"ioThreads\":2}"
#define ALL_DEVICES                                                                                \
    ",\"disks\":[{\"repository\":\"r\",\"image\":\"a\",\"bus\":\"scsi\",\"shareable\":true,"       \
    "\"cache\":\"directsync\",\"io\":\"io_uring\",\"discard\":\"ignore\",\"serial\":\"S-1\","      \
    "\"target\":\"sdd\",\"tuning\":{\"readBytesPerSecond\":1,\"writeBytesPerSecond\":2,"           \
    "\"readIops\":3,\"writeIops\":4}},{\"repository\":\"r\",\"image\":\"b\",\"readonly\":true,"    \
    "\"tuning\":{\"bytesPerSecond\":5,\"iops\":6}},{\"repository\":\"r\",\"image\":\"c\","         \
    "\"device\":\"cdrom\",\"bootOrder\":1},{\"device\":\"cdrom\",\"bus\":\"usb\"}],"               \
    "\"networks\":[{\"source\":\"default\",\"portGroup\":\"p\",\"filter\":\"clean-traffic\","      \
    "\"mtu\":9000,\"queues\":4,\"connected\":false,\"bootOrder\":2},{\"kind\":\"bridge\","         \
    "\"source\":\"br0\",\"model\":\"e1000e\",\"mac\":\"52:54:00:AA:00:01\"},{\"kind\":\"user\","   \
    "\"model\":\"rtl8139\"}]"

static void
every_option_is_right_by_libvirts_schema(void **state)
{
    static const char *const consoles[] = {
        ",\"console\":{\"kind\":\"spice\",\"listen\":\"::1\",\"port\":5901,\"keymap\":\"de\"}",
        ",\"console\":{\"kind\":\"vnc\",\"open\":true}",
        ",\"console\":{\"kind\":\"none\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(consoles); i++) {
        _cleanup_free_ char *members = xprintf("%s%s%s", ALL_BUT_DEVICES, ALL_DEVICES, consoles[i]);
        _cleanup_(made_done) struct made made;

        make(members, with_kvm, all_abilities, &made);
        assert_valid(made.xml);
        assert_has(&made, "<memory unit=\"b\">2147483648</memory><currentMemory unit=\"b\">");
        assert_has(&made, "<vcpu current=\"2\">8</vcpu><iothreads>2</iothreads><cputune>");
        assert_has(&made, "<os firmware=\"efi\"><type arch=\"x86_64\" machine=\"pc-q35-6.2\">");
        assert_has(&made, "<smm state=\"on\"/>");
        assert_has(&made, "<feature enabled=\"yes\" name=\"secure-boot\"/>"
                          "<feature enabled=\"yes\" name=\"enrolled-keys\"/>");
        assert_has(&made, "<hyperv mode=\"custom\">");
        assert_has(&made, "<clock offset=\"localtime\">");
        assert_has(&made, "<model fallback=\"forbid\">EPYC</model><topology sockets=\"2\"");
        assert_has(&made, "<controller type=\"scsi\" model=\"virtio-scsi\"/>");
        assert_true((i == 0) == (strstr(made.xml, "spicevmc") != NULL));
        assert_true((i == 1) == (strstr(made.xml, "passwd") == NULL && i != 2));
    }
}

static void
what_it_says_is_read_again(void **state)
{
    _cleanup_(made_done) struct made made;
    _cleanup_(vm_freep) struct vm *vm = NULL;
    struct error *error = NULL;

    (void)state;
    make(ALL_BUT_DEVICES ALL_DEVICES, with_kvm, all_abilities, &made);
    assert_true(vm_parse(made.xml, &vm, &error));
    assert_string_equal(vm->uuid, UUID);
    assert_string_equal(vm->user_data, "{\"a\":[1,\"<&>\"]}");
    assert_string_equal(vm->description, "two\nlines");
    assert_int_equal(vm->cpus, 2);
    assert_int_equal(vm->cpus_max, 8);
    assert_string_equal(vm->firmware, "efi");
    assert_int_equal(vm->disk_count, 4);
    assert_string_equal(vm->disks[0].source, "/r/images/a/data");
    assert_string_equal(vm->disks[1].protocol, "gluster");
    assert_null(vm->disks[3].source);
    assert_int_equal(vm->network_count, 3);
    assert_false(vm->networks[0].linked);
}

/* ---- devices ---- */

static void
assert_disk(const char *members, const struct disk_source *source, bool direct,
            const char *expected)
{
    _cleanup_free_ char *whole = xprintf(BASICS ",\"disks\":[{%s}]", members);
    _cleanup_(described_freep) struct described *described = NULL;
    _cleanup_free_ char *xml = NULL;
    struct error *error = NULL;
    struct disk_device disk;

    if (!describe(whole, &described, &error))
        fail_msg("%s", error->message);
    disk_device_init(&disk, described->all.disks.all);
    disk.source = source;
    disk.direct = direct;
    assert_true(disk_devices_choose_targets(&disk, 1, &error));
    xml = device_xml_disk_text(&disk);
    assert_string_equal(xml, expected);
}

static void
a_disk_names_each_layer_and_its_format(void **state)
{
    (void)state;
    assert_disk(
        "\"repository\":\"r\",\"image\":\"a\"", &chain, true,
        "<disk type=\"file\" device=\"disk\"><driver name=\"qemu\" type=\"qcow2\" cache=\"none\" "
        "io=\"native\" discard=\"unmap\" error_policy=\"stop\"/><source file=\"/r/images/a/data\"/>"
        "<backingStore type=\"file\"><format type=\"qcow2\"/><source file=\"/r/images/b/data-1\"/>"
        "<backingStore type=\"file\"><format type=\"raw\"/><source file=\"/r/images/c/data\"/>"
        "<backingStore/></backingStore></backingStore><target dev=\"vda\" bus=\"virtio\"/></disk>");
    assert_disk("\"repository\":\"r\",\"image\":\"a\",\"bus\":\"sata\",\"readonly\":true",
                &in_volume, false,
                "<disk type=\"network\" device=\"disk\"><driver name=\"qemu\" type=\"raw\" "
                "cache=\"writeback\" discard=\"unmap\" error_policy=\"stop\"/>"
                "<source protocol=\"gluster\" name=\"gv0/r/images/a/data\"><host name=\"gl1\"/>"
                "<host name=\"::1\"/></source><backingStore/><target dev=\"sda\" bus=\"sata\"/>"
                "<readonly/></disk>");
    assert_disk("\"device\":\"cdrom\"", NULL, false,
                "<disk type=\"file\" device=\"cdrom\"><driver name=\"qemu\" type=\"raw\"/>"
                "<target dev=\"sda\" bus=\"sata\"/><readonly/></disk>");
}

static void
a_card_says_what_it_is_plugged_into(void **state)
{
    const struct network_description description = {
        .kind = "bridge", .source = "br0", .model = "virtio", .connected = true, .mtu = 1400
    };
    struct network_device network;
    _cleanup_free_ char *xml = NULL;

    (void)state;
    network_device_init(&network, &description);
    network_devices_choose_macs(&network, 1, UUID);
    memcpy(network.mac, "52:54:00:01:02:03", MAC_SIZE);
    xml = device_xml_network_text(&network);
    assert_string_equal(xml, "<interface type=\"bridge\"><mac address=\"52:54:00:01:02:03\"/>"
                             "<source bridge=\"br0\"/><model type=\"virtio\"/>"
                             "<mtu size=\"1400\"/><link state=\"up\"/></interface>");
}

/* ---- hostile texts ---- */

/* Each text member of the tables in turn is an attempt to break out of its element or attribute. */
static const char hostile[] = "a'\\\"></x><disk type='file'/>]]>&amp;<!--<?x?>&#0;&lol;\\u00e9%s";
static const char hostile_plain[] =
    "a'\"></x><disk type='file'/>]]>&amp;<!--<?x?>&#0;&lol;\xc3\xa9%s";

static size_t
count_of(const char *text, const char *part)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, part)); at++)
        count++;
    return count;
}

static void
hostile_texts_stay_texts(void **state)
{
    static const char *const members[] = {
        ",\"title\":\"%s\"",
        ",\"description\":\"%s\"",
        ",\"userData\":{\"%s\":\"%s\"}",
        ",\"boot\":{\"kernel\":\"/%s\",\"initrd\":\"/%s\",\"commandLine\":\"%s\"}",
        ",\"serial\":{\"kind\":\"file\",\"path\":\"/%s\"}",
        ",\"networks\":[{\"source\":\"%s\",\"portGroup\":\"%s\",\"filter\":\"%s\"}]",
        ",\"networks\":[{\"kind\":\"bridge\",\"source\":\"%s\"}]",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        _cleanup_text_ struct text text = TEXT_INIT;
        _cleanup_(made_done) struct made made;
        _cleanup_(xml_freep) struct xml_document *document = NULL;
        struct error *error = NULL;

        text_append_string(&text, BASICS);
        for (const char *at = members[i]; *at; at++)
            if (strncmp(at, "%s", 2) == 0) {
                text_append_string(&text, hostile);
                at++;
            } else {
                text_append_char(&text, *at);
            }
        make(text.bytes, with_kvm, all_abilities, &made);
        assert_true(xml_parse("test", made.xml, strlen(made.xml), &document, &error));
        assert_int_equal(count_of(made.xml, "<disk"), 0);
        assert_int_equal(count_of(made.xml, "<x/>"), 0);
        assert_int_equal(count_of(made.xml, "<!--"), 0);
        if (i == 1)
            assert_string_equal(xml_text(xml_root(document), "description"), hostile_plain);
    }
}

static void
hostile_paths_and_servers_stay_values(void **state)
{
    static char *servers[] = { "h'\"><x/>", NULL };
    static struct disk_layer layers[] = { { "a", "/r'\"><source file='/etc/shadow'/>&", IMAGE_RAW },
                                          { "b", "<b>&amp;", IMAGE_QCOW2 } };
    const struct disk_source file = { .layers = layers, .layer_count = 2 };
    const struct disk_source volume = {
        .layers = layers, .layer_count = 2, .volume = "v'\"/>", .servers = servers
    };
    const struct disk_source *const sources[] = { &file, &volume };
    const struct disk_description description = { .device = "disk", .discard = "unmap" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(sources); i++) {
        _cleanup_(xml_freep) struct xml_document *document = NULL;
        _cleanup_free_ char *xml = NULL, *value = NULL;
        struct error *error = NULL;
        struct disk_device disk;
        const struct xml_node *source;

        disk_device_init(&disk, &description);
        disk.source = sources[i];
        assert_true(disk_devices_choose_targets(&disk, 1, &error));
        xml = device_xml_disk_text(&disk);
        assert_true(xml_parse("test", xml, strlen(xml), &document, &error));
        source = xml_child(xml_root(document), "source");
        assert_int_equal(xml_children(xml_root(document), "source"), 1);
        value = xml_attribute(source, i == 0 ? "file" : "name");
        assert_string_equal(value,
                            i == 0 ? layers[0].path : "v'\"/>//r'\"><source file='/etc/shadow'/>&");
    }
}

/* ---- the host ---- */

static void
assert_host_lacks(const char *members, const char *capabilities, const char *abilities,
                  const char *param)
{
    _cleanup_(made_done) struct made made = { 0 };
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_free_ char *expected = xprintf("\"param\":\"%s\"", param);

    assert_true(describe(members, &made.described, &error));
    if (choose(&made, capabilities, abilities, &error))
        fail_msg("%s was taken", members);
    assert_int_equal(error->code, ERROR_INVALID_PARAMS);
    assert_non_null(strstr(error->data, expected));
}

static void
what_the_host_lacks_is_refused(void **state)
{
    (void)state;
    assert_host_lacks(BASICS ",\"virtualization\":\"kvm\"", without_kvm, no_abilities,
                      "virtualization");
    assert_host_lacks(BASICS ",\"machine\":\"pc-q35-9.9\"", with_kvm, all_abilities, "machine");
    assert_host_lacks(BASICS ",\"firmware\":\"efi\"", with_kvm, no_abilities, "firmware");
    assert_host_lacks(BASICS ",\"tpm\":true", with_kvm, no_abilities, "tpm");
    assert_host_lacks(BASICS ",\"console\":{\"kind\":\"spice\"}", with_kvm, no_abilities,
                      "console.kind");
    assert_host_lacks(BASICS ",\"console\":{}", with_kvm, no_abilities, "console.kind");
}

static void
a_host_without_an_emulator_is_no_crash(void **state)
{
    static const char *const texts[] = { "<capabilities/>", "<capabilities>" HOST "</capabilities>",
                                         "<capabilities><guest><os_type>hvm</os_type><arch "
                                         "name='x86_64'/></guest></capabilities>",
                                         "x" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        _cleanup_(made_done) struct made made = { 0 };
        _cleanup_(error_freep) struct error *error = NULL;

        assert_true(describe(BASICS, &made.described, &error));
        assert_false(choose(&made, texts[i], NULL, &error));
        assert_int_equal(error->code, ERROR_BACKEND_FAILED);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_suit_the_host),
        cmocka_unit_test(every_option_is_right_by_libvirts_schema),
        cmocka_unit_test(what_it_says_is_read_again),
        cmocka_unit_test(a_disk_names_each_layer_and_its_format),
        cmocka_unit_test(a_card_says_what_it_is_plugged_into),
        cmocka_unit_test(hostile_texts_stay_texts),
        cmocka_unit_test(hostile_paths_and_servers_stay_values),
        cmocka_unit_test(what_the_host_lacks_is_refused),
        cmocka_unit_test(a_host_without_an_emulator_is_no_crash),
    };

    return cmocka_run_group_tests(tests, load_schema, free_schema);
}
