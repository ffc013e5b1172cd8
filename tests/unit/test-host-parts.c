/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/host-parts.h"

#include "tests/unit/host-fixture.h"

#define X86                                                                                        \
    "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\n"                  \
    "model name\t: AMD EPYC 7763 64-Core Processor\nstepping\t: 1\nmicrocode\t: 0xa0011d5\n"       \
    "cpu MHz\t\t: 2445.404\nflags\t\t: fpu vme svm\nbugs\t\t: sysret_ss_attrs\n\n"

static void
add_cpu(unsigned cpu, unsigned socket, unsigned core)
{
    _cleanup_free_ char *package =
        xprintf("/sys/devices/system/cpu/cpu%u/topology/physical_package_id", cpu);
    _cleanup_free_ char *id = xprintf("/sys/devices/system/cpu/cpu%u/topology/core_id", cpu);
    _cleanup_free_ char *socket_text = xprintf("%u\n", socket), *core_text = xprintf("%u\n", core);

    host_file(package, socket_text);
    host_file(id, core_text);
}

static void
two_sockets_with_hyperthreads_are_counted(void **state)
{
    (void)state;
    host_file("/proc/cpuinfo", X86);
    host_file("/sys/devices/system/cpu/online", "0-7\n");
    /* As the kernel numbers them: threads of one core are apart, core numbers have holes. */
    for (unsigned cpu = 0; cpu < 8; cpu++)
        add_cpu(cpu, cpu / 2 % 2, cpu % 2 * 4);
    host_file("/sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected\n");
    assert_part_has(host_cpu_write,
                    "{\"vendor\":\"AuthenticAMD\",\"model\":\"AMD EPYC 7763 64-Core Processor\","
                    "\"family\":25,\"modelNumber\":1,\"stepping\":1,\"microcode\":\"0xa0011d5\","
                    "\"mhz\":2445.404,\"maximumMhz\":null,\"online\":\"0-7\",\"isolated\":null,"
                    "\"topology\":[{\"cpu\":0,\"socket\":0,\"die\":0,\"core\":0},"
                    "{\"cpu\":1,\"socket\":0,\"die\":0,\"core\":4},"
                    "{\"cpu\":2,\"socket\":1,\"die\":0,\"core\":0}");
    assert_part_has(host_cpu_write,
                    "],\"sockets\":2,\"cores\":4,\"threads\":8,\"flags\":[\"fpu\",\"vme\",\"svm\"],"
                    "\"vulnerabilities\":{\"meltdown\":\"Not affected\"}}");
}

static void
hundreds_of_cpus_are_told_and_offline_ones_are_not(void **state)
{
    (void)state;
    host_file("/proc/cpuinfo", X86);
    host_file("/sys/devices/system/cpu/online", "0-127,129-256\n");
    for (unsigned cpu = 0; cpu <= 256; cpu++)
        add_cpu(cpu, cpu / 129, cpu);
    assert_part_has(host_cpu_write, "\"sockets\":2,\"cores\":256,\"threads\":256");
    assert_part_has(host_cpu_write, "{\"cpu\":127,\"socket\":0,\"die\":0,\"core\":127},"
                                    "{\"cpu\":129,\"socket\":1,\"die\":0,\"core\":129}");
}

static void
what_another_kind_of_cpu_does_not_tell_is_null(void **state)
{
    (void)state;
    host_file("/proc/cpuinfo", "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n"
                               "CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\n");
    host_file("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3000000\n");
    assert_part_is(host_cpu_write,
                   "{\"vendor\":\"0x41\",\"model\":null,\"family\":null,\"modelNumber\":null,"
                   "\"stepping\":null,\"microcode\":null,\"mhz\":null,\"maximumMhz\":3000,"
                   "\"online\":null,\"isolated\":null,\"topology\":[],\"sockets\":null,"
                   "\"cores\":null,\"threads\":0,\"flags\":[\"fp\",\"asimd\"],"
                   "\"vulnerabilities\":{}}");
}

static void
nodes_have_cpus_memory_and_distances(void **state)
{
    (void)state;
    host_file("/sys/devices/system/node/online", "0,2\n");
    host_file("/sys/devices/system/node/node0/cpulist", "0-3\n");
    host_file("/sys/devices/system/node/node0/meminfo", "\nNode 0 MemTotal:       16 kB\n");
    host_file("/sys/devices/system/node/node0/distance", "10 21\n");
    host_file("/sys/devices/system/node/node2/cpulist", "\n"); /* memory only */
    host_file("/sys/devices/system/node/node2/meminfo", "Node 2 MemTotal:       32 kB\n");
    host_file("/sys/devices/system/node/node2/distance", "21 10\n");
    assert_part_is(host_numa_write,
                   "[{\"node\":0,\"cpus\":\"0-3\",\"memory\":16384,\"distances\":[10,21]},"
                   "{\"node\":2,\"cpus\":null,\"memory\":32768,\"distances\":[21,10]}]");
}

static void
the_machine_and_its_system_are_told(void **state)
{
    (void)state;
    assert_part_has(host_machine_write, "{\"uuid\":null,\"vendor\":null,\"product\":null,");
    assert_part_is(host_system_write, "{\"id\":null,\"version\":null,\"name\":null}");
    host_file("/sys/class/dmi/id/product_uuid", "4c4c4544-0042-4a10-8051-b4c04f4d3132\n");
    host_file("/sys/class/dmi/id/sys_vendor", "Dell Inc.\n");
    host_file("/sys/class/dmi/id/product_name", "PowerEdge R650 \n");
    host_file("/etc/os-release", "PRETTY_NAME=\"Odd \\\"name\\\" 1\"\nID=debian\n"
                                 "VERSION_ID='12'\nVERSION=\"12 (x)\"\n");
    assert_part_has(host_machine_write,
                    "{\"uuid\":\"4c4c4544-0042-4a10-8051-b4c04f4d3132\",\"vendor\":\"Dell Inc.\","
                    "\"product\":\"PowerEdge R650\",");
    assert_part_is(host_system_write,
                   "{\"id\":\"debian\",\"version\":\"12\",\"name\":\"Odd \\\"name\\\" 1\"}");
}

static void
security_modules_are_told_as_they_stand(void **state)
{
    (void)state;
    assert_part_is(host_security_write,
                   "{\"selinux\":\"disabled\",\"apparmor\":false,\"fips\":false}");
    host_file("/sys/fs/selinux/enforce", "1");
    host_file("/sys/module/apparmor/parameters/enabled", "Y\n");
    host_file("/proc/sys/crypto/fips_enabled", "1\n");
    assert_part_is(host_security_write,
                   "{\"selinux\":\"enforcing\",\"apparmor\":true,\"fips\":true}");
    host_file("/sys/fs/selinux/enforce", "0");
    assert_part_has(host_security_write, "\"selinux\":\"permissive\"");
}

static void
interfaces_are_told_by_kind_with_what_belongs_to_them(void **state)
{
    (void)state;
    host_file("/sys/class/net/bonding_masters", "bond0\n");
    host_file("/sys/class/net/bond0/type", "1\n");
    host_file("/sys/class/net/bond0/bonding/mode", "active-backup 1\n");
    host_file("/sys/class/net/bond0/bonding/slaves", "eth0 eth1\n");
    host_file("/sys/class/net/bond0/bonding/active_slave", "eth1\n");
    host_file("/sys/class/net/br0/type", "1\n");
    host_file("/sys/class/net/br0/bridge/stp_state", "0\n");
    host_file("/sys/class/net/br0/brif/bond0.5/state", "3\n");
    host_file("/sys/class/net/br0/brif/tap0/state", "3\n");
    host_file("/sys/class/net/bond0.5/type", "1\n");
    host_file("/sys/class/net/bond0.5/uevent", "DEVTYPE=vlan\nINTERFACE=bond0.5\n");
    host_link("/sys/class/net/bond0.5/master", "../br0");
    host_file("/proc/net/vlan/config", "VLAN Dev name\t | VLAN ID\nName-Type: X\n"
                                       "bond0.5        | 5  | bond0\n");
    host_file("/sys/class/net/eth0/type", "1\n");
    host_file("/sys/class/net/eth0/address", "52:54:00:00:00:01\n");
    host_file("/sys/class/net/eth0/mtu", "9000\n");
    host_file("/sys/class/net/eth0/speed", "25000\n");
    host_file("/sys/class/net/eth0/operstate", "up\n");
    host_link("/sys/class/net/eth0/device/driver", "../../../bus/pci/drivers/mlx5_core");
    host_link("/sys/class/net/eth0/master", "../bond0");
    host_file("/sys/class/net/lo/type", "772\n");
    host_file("/sys/class/net/tap0/type", "1\n");
    host_file("/sys/class/net/tap0/tun_flags", "0x1002\n");
    host_file("/sys/class/net/tap0/speed", "-1\n");
    assert_part_has(host_interfaces_write,
                    "[{\"name\":\"bond0\",\"kind\":\"bond\",\"mac\":null,\"mtu\":null,"
                    "\"speedMbps\":null,\"state\":null,\"driver\":null,\"master\":null,"
                    "\"addresses\":[],\"bond\":{\"mode\":\"active-backup\",\"active\":\"eth1\","
                    "\"interfaces\":[\"eth0\",\"eth1\"]}},");
    assert_part_has(host_interfaces_write, "\"kind\":\"vlan\",\"mac\":null,\"mtu\":null,"
                                           "\"speedMbps\":null,\"state\":null,\"driver\":null,"
                                           "\"master\":\"br0\",\"addresses\":[],\"vlan\":{\"id\":5,"
                                           "\"interface\":\"bond0\"}}");
    assert_part_has(host_interfaces_write,
                    "\"bridge\":{\"stp\":false,\"interfaces\":[\"bond0.5\",\"tap0\"]}}");
    assert_part_has(host_interfaces_write,
                    "{\"name\":\"eth0\",\"kind\":\"ethernet\",\"mac\":\"52:54:00:00:00:01\","
                    "\"mtu\":9000,\"speedMbps\":25000,\"state\":\"up\",\"driver\":\"mlx5_core\","
                    "\"master\":\"bond0\",\"addresses\":[]}");
    assert_part_has(host_interfaces_write, "{\"name\":\"lo\",\"kind\":\"loopback\",");
    assert_part_has(host_interfaces_write, "{\"name\":\"tap0\",\"kind\":\"tap\",\"mac\":null,"
                                           "\"mtu\":null,\"speedMbps\":null,");
}

static void
disks_without_a_medium_are_left_out(void **state)
{
    (void)state;
    host_file("/sys/block/loop0/size", "0\n");
    host_file("/sys/block/cciss!c0d0/size", "2048\n");
    host_file("/sys/block/cciss!c0d0/ro", "1\n");
    host_file("/sys/block/cciss!c0d0/queue/rotational", "1\n");
    host_file("/sys/block/cciss!c0d0/queue/logical_block_size", "512\n");
    host_file("/sys/block/cciss!c0d0/device/model", "LOGICAL VOLUME  \n");
    assert_part_is(host_disks_write,
                   "[{\"name\":\"cciss/c0d0\",\"size\":1048576,\"vendor\":null,"
                   "\"model\":\"LOGICAL VOLUME\",\"rotational\":true,\"readOnly\":true,"
                   "\"logicalBlock\":512,\"physicalBlock\":null}]");
}

static void
kvm_is_told_to_work_only_when_it_does(void **state)
{
    (void)state;
    assert_part_is(host_kvm_write, "{\"device\":false,\"createsVms\":false,"
                                   "\"reason\":\"there is no /dev/kvm\",\"nested\":null}");
    host_file("/dev/kvm", ""); /* there, but no KVM */
    host_file("/sys/module/kvm_amd/parameters/nested", "1\n");
    assert_part_is(host_kvm_write,
                   "{\"device\":true,\"createsVms\":false,"
                   "\"reason\":\"/dev/kvm speaks another version, or is none\",\"nested\":true}");
}

static void
iommu_groups_are_counted(void **state)
{
    (void)state;
    assert_part_is(host_iommu_write, "{\"enabled\":false,\"groups\":0}");
    host_file("/sys/kernel/iommu_groups/0/type", "DMA\n");
    host_file("/sys/kernel/iommu_groups/1/type", "DMA\n");
    assert_part_is(host_iommu_write, "{\"enabled\":true,\"groups\":2}");
}

static void
packages_are_those_that_are_installed(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)state;
    host_packages_parse("libvirt0\t9.0.0-4\tinstalled\nqemu-system-arm\t\tnot-installed\n"
                        "half\t1.0\thalf-installed\nqemu-utils\t1:7.2+dfsg-7\tinstalled\ncut",
                        &writer);
    assert_string_equal(writer.text.bytes,
                        "[{\"name\":\"libvirt0\",\"version\":\"9.0.0-4\"},"
                        "{\"name\":\"qemu-utils\",\"version\":\"1:7.2+dfsg-7\"}]");
}

#define HOST_TEST(test) cmocka_unit_test_setup_teardown(test, host_begin, host_end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        HOST_TEST(two_sockets_with_hyperthreads_are_counted),
        HOST_TEST(hundreds_of_cpus_are_told_and_offline_ones_are_not),
        HOST_TEST(what_another_kind_of_cpu_does_not_tell_is_null),
        HOST_TEST(nodes_have_cpus_memory_and_distances),
        HOST_TEST(the_machine_and_its_system_are_told),
        HOST_TEST(security_modules_are_told_as_they_stand),
        HOST_TEST(interfaces_are_told_by_kind_with_what_belongs_to_them),
        HOST_TEST(disks_without_a_medium_are_left_out),
        HOST_TEST(kvm_is_told_to_work_only_when_it_does),
        HOST_TEST(iommu_groups_are_counted),
        HOST_TEST(packages_are_those_that_are_installed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
