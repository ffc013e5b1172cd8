/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/host-parts.h"
#include "agent/host-read.h"

#define NET "/sys/class/net"
#define TYPE_LOOPBACK 772 /* ARPHRD_LOOPBACK */

/* ---- interfaces ---- */

static const char *
interface_kind(const char *root, const char *name)
{
    static const struct {
        const char *entry, *kind;
    } marks[] = {
        { "bridge", "bridge" },
        { "bonding", "bond" },
        { "tun_flags", "tap" },
        { "wireless", "wireless" },
    };
    static const char *const types[] = { "vlan", "vxlan", "gre", "geneve", "macvlan", "ipvlan" };
    _cleanup_free_ char *event = host_read(root, 4096, NET "/%s/uevent", name);
    const char *type = event ? text_after(event, "DEVTYPE=") : NULL;
    uint64_t number = 0;

    for (size_t i = 0; i < ARRAY_COUNT(marks); i++)
        if (host_exists(root, NET "/%s/%s", name, marks[i].entry))
            return marks[i].kind;
    for (size_t i = 0; type && i < ARRAY_COUNT(types); i++)
        if (strncmp(type, types[i], strlen(types[i])) == 0 && type[strlen(types[i])] == '\n')
            return types[i];
    if (host_read_number(root, &number, NET "/%s/type", name) && number == TYPE_LOOPBACK)
        return "loopback";
    return host_exists(root, NET "/%s/device", name) ? "ethernet" : "virtual";
}

/* "eth0.5          | 5  | eth0" */
static void
write_vlan(const char *name, const char *table, struct writer *writer)
{
    for (const char *line = table; line; line = text_next_line(line)) {
        char vlan[16], below[16];
        uint64_t id;
        _cleanup_free_ char *text = text_rest(line);

        if (sscanf(text, "%15s | %" SCNu64 " | %15s", vlan, &id, below) != 3 ||
            strcmp(vlan, name) != 0)
            continue;
        writer_key(writer, "vlan");
        writer_object(writer);
        writer_member_unsigned(writer, "id", id);
        writer_member_string(writer, "interface", below);
        writer_end_object(writer);
        return;
    }
}

static void
write_names(struct writer *writer, const char *member, char **names)
{
    writer_key(writer, member);
    writer_array(writer);
    for (char **name = names; *name; name++)
        writer_string(writer, *name);
    writer_end_array(writer);
}

static void
write_bond(const char *root, const char *name, struct writer *writer)
{
    _cleanup_free_ char *mode = host_read_line(root, NET "/%s/bonding/mode", name);
    _cleanup_free_ char *members = host_read_line(root, NET "/%s/bonding/slaves", name);

    if (mode)
        mode[strcspn(mode, " ")] = '\0'; /* "active-backup 1" */
    writer_key(writer, "bond");
    writer_object(writer);
    writer_member_string(writer, "mode", mode);
    host_write_line(writer, "active", root, NET "/%s/bonding/active_slave", name);
    writer_key(writer, "interfaces");
    writer_array(writer);
    for (const char *at = members ? members : ""; *(at += strspn(at, " "));) {
        writer_string_sized(writer, at, strcspn(at, " "));
        at += strcspn(at, " ");
    }
    writer_end_array(writer);
    writer_end_object(writer);
}

static void
write_bridge(const char *root, const char *name, struct writer *writer)
{
    _cleanup_(strings_freep) char **ports = host_list(root, NET "/%s/brif", name);
    uint64_t stp = 0;
    bool known = host_read_number(root, &stp, NET "/%s/bridge/stp_state", name);

    writer_key(writer, "bridge");
    writer_object(writer);
    writer_key(writer, "stp");
    if (known)
        writer_bool(writer, stp != 0);
    else
        writer_null(writer);
    write_names(writer, "interfaces", ports);
    writer_end_object(writer);
}

static unsigned
count_bits(const unsigned char *bytes, size_t size)
{
    unsigned count = 0;

    for (size_t i = 0; i < size; i++)
        count += (unsigned)__builtin_popcount(bytes[i]);
    return count;
}

/* "10.0.0.2/24".  What is no IP address (a MAC) is left out. */
static void
write_address(const struct ifaddrs *entry, struct writer *writer)
{
    const struct sockaddr *address = entry->ifa_addr, *mask = entry->ifa_netmask;
    char text[INET6_ADDRSTRLEN];
    struct in6_addr bytes = { 0 }, mask_bytes = { 0 };
    size_t size;

    if (!address || !mask)
        return;
    if (address->sa_family == AF_INET) {
        size = sizeof(struct in_addr);
        memcpy(&bytes, (const char *)address + offsetof(struct sockaddr_in, sin_addr), size);
        memcpy(&mask_bytes, (const char *)mask + offsetof(struct sockaddr_in, sin_addr), size);
    } else if (address->sa_family == AF_INET6) {
        size = sizeof(struct in6_addr);
        memcpy(&bytes, (const char *)address + offsetof(struct sockaddr_in6, sin6_addr), size);
        memcpy(&mask_bytes, (const char *)mask + offsetof(struct sockaddr_in6, sin6_addr), size);
    } else
        return;
    if (inet_ntop(address->sa_family, &bytes, text, sizeof(text)))
        writer_printf(writer, "%s/%u", text, count_bits(mask_bytes.s6_addr, size));
}

static void
write_addresses(const struct ifaddrs *all, const char *name, struct writer *writer)
{
    writer_key(writer, "addresses");
    writer_array(writer);
    for (const struct ifaddrs *entry = all; entry; entry = entry->ifa_next)
        if (strcmp(entry->ifa_name, name) == 0)
            write_address(entry, writer);
    writer_end_array(writer);
}

static void
write_interface(const char *root, const char *name, const char *vlans,
                const struct ifaddrs *addresses, struct writer *writer)
{
    _cleanup_free_ char *driver = host_read_link(root, NET "/%s/device/driver", name);
    _cleanup_free_ char *master = host_read_link(root, NET "/%s/master", name);
    const char *kind = interface_kind(root, name);

    writer_object(writer);
    writer_member_string(writer, "name", name);
    writer_member_string(writer, "kind", kind);
    host_write_line(writer, "mac", root, NET "/%s/address", name);
    host_write_number(writer, "mtu", root, NET "/%s/mtu", name);
    /* -1, or no answer, where there is no cable, or no such thing. */
    host_write_number(writer, "speedMbps", root, NET "/%s/speed", name);
    host_write_line(writer, "state", root, NET "/%s/operstate", name);
    writer_member_string(writer, "driver", driver);
    writer_member_string(writer, "master", master);
    write_addresses(addresses, name, writer);
    if (strcmp(kind, "vlan") == 0)
        write_vlan(name, vlans, writer);
    else if (strcmp(kind, "bond") == 0)
        write_bond(root, name, writer);
    else if (strcmp(kind, "bridge") == 0)
        write_bridge(root, name, writer);
    writer_end_object(writer);
}

void
host_interfaces_write(const char *root, struct writer *writer)
{
    _cleanup_(strings_freep) char **names = host_list(root, "%s", NET);
    _cleanup_free_ char *vlans = host_read(root, 1024 * 1024, "/proc/net/vlan/config");
    struct ifaddrs *addresses = NULL;
    size_t count = 0;

    /* No file tells of them: the kernel is asked, and of a recorded host there are none. */
    if (!*root && getifaddrs(&addresses) < 0)
        addresses = NULL;
    writer_array(writer);
    for (char **name = names; *name && count < HOST_LINKS_MAX; name++)
        /* "bonding_masters" is a file. */
        if (host_exists(root, NET "/%s/type", *name)) {
            write_interface(root, *name, vlans, addresses, writer);
            count++;
        }
    writer_end_array(writer);
    if (addresses)
        freeifaddrs(addresses);
}

/* ---- disks ---- */

static void
write_disk(const char *root, const char *name, uint64_t sectors, struct writer *writer)
{
    _cleanup_free_ char *shown = xstrdup(name);
    uint64_t rotational = 0, read_only = 0;

    for (char *at = shown; (at = strchr(at, '!'));) /* as /dev has it */
        *at = '/';
    (void)host_read_number(root, &rotational, "/sys/block/%s/queue/rotational", name);
    (void)host_read_number(root, &read_only, "/sys/block/%s/ro", name);
    writer_object(writer);
    writer_member_string(writer, "name", shown);
    writer_member_unsigned(writer, "size", sectors * 512);
    host_write_line(writer, "vendor", root, "/sys/block/%s/device/vendor", name);
    host_write_line(writer, "model", root, "/sys/block/%s/device/model", name);
    writer_member_bool(writer, "rotational", rotational != 0);
    writer_member_bool(writer, "readOnly", read_only != 0);
    host_write_number(writer, "logicalBlock", root, "/sys/block/%s/queue/logical_block_size", name);
    host_write_number(writer, "physicalBlock", root, "/sys/block/%s/queue/physical_block_size",
                      name);
    writer_end_object(writer);
}

/* Those of size 0 are drives without a medium, and loop devices that nothing uses. */
void
host_disks_write(const char *root, struct writer *writer)
{
    _cleanup_(strings_freep) char **names = host_list(root, "/sys/block");
    size_t count = 0;

    writer_array(writer);
    for (char **name = names; *name && count < HOST_LINKS_MAX; name++) {
        uint64_t sectors;

        if (!host_read_number(root, &sectors, "/sys/block/%s/size", *name) || sectors == 0)
            continue;
        write_disk(root, *name, sectors, writer);
        count++;
    }
    writer_end_array(writer);
}

void
host_iommu_write(const char *root, struct writer *writer)
{
    _cleanup_(strings_freep) char **groups = host_list(root, "/sys/kernel/iommu_groups");
    uint64_t count = 0;

    while (groups[count])
        count++;
    writer_object(writer);
    writer_member_bool(writer, "enabled", count > 0);
    writer_member_unsigned(writer, "groups", count);
    writer_end_object(writer);
}
