/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <ctype.h>
#include <string.h>
#include <sys/utsname.h>

#include "agent/host-parts.h"
#include "agent/host-read.h"
#include "agent/host-sample.h"

#define DMI "/sys/class/dmi/id"

/* Its uuid and serial number are for root only; some machines have no DMI at all. */
void
host_machine_write(const char *root, struct writer *writer)
{
    _cleanup_free_ char *product = host_read_line(root, "%s", DMI "/product_name");

    if (!product) /* of Arm, RISC-V and POWER; ends with a NUL */
        product = host_read_line(root, "/sys/firmware/devicetree/base/model");
    writer_object(writer);
    host_write_line(writer, "uuid", root, DMI "/product_uuid");
    host_write_line(writer, "vendor", root, DMI "/sys_vendor");
    writer_member_string(writer, "product", product);
    host_write_line(writer, "version", root, DMI "/product_version");
    host_write_line(writer, "family", root, DMI "/product_family");
    host_write_line(writer, "serial", root, DMI "/product_serial");
    host_write_line(writer, "firmwareVendor", root, DMI "/bios_vendor");
    host_write_line(writer, "firmwareVersion", root, DMI "/bios_version");
    writer_end_object(writer);
}

/* A value of os-release: shell's quotes, and backslashes before signs that the shell minds. */
static char *
release_value(const char *text, const char *name)
{
    const char *at = text_after(text, name);
    struct text value = TEXT_INIT;
    char quote = '\0';

    if (!at)
        return NULL;
    if (*at == '"' || *at == '\'')
        quote = *at++;
    for (; *at && *at != '\n' && (quote ? *at != quote : !isspace((unsigned char)*at)); at++) {
        if (*at == '\\' && quote != '\'' && at[1] && at[1] != '\n')
            at++;
        text_append_char(&value, *at);
    }
    return text_take(&value);
}

void
host_system_write(const char *root, struct writer *writer)
{
    static const struct {
        const char *member, *name;
    } fields[] = {
        { "id", "ID=" },
        { "version", "VERSION_ID=" },
        { "name", "PRETTY_NAME=" },
    };
    _cleanup_free_ char *text = host_read(root, 65536, "/etc/os-release");

    if (!text)
        text = host_read(root, 65536, "/usr/lib/os-release");
    writer_object(writer);
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        _cleanup_free_ char *value = text ? release_value(text, fields[i].name) : NULL;

        writer_member_string(writer, fields[i].member, value);
    }
    writer_end_object(writer);
}

void
host_kernel_write(const char *root, struct writer *writer)
{
    struct utsname name;
    bool known = uname(&name) == 0;

    writer_object(writer);
    host_write_line(writer, "release", root, "/proc/sys/kernel/osrelease");
    host_write_line(writer, "version", root, "/proc/sys/kernel/version");
    writer_member_string(writer, "architecture", known ? name.machine : NULL);
    host_write_line(writer, "commandLine", root, "/proc/cmdline");
    host_write_line(writer, "bootId", root, "/proc/sys/kernel/random/boot_id");
    host_write_number(writer, "numaBalancing", root, "/proc/sys/kernel/numa_balancing");
    writer_end_object(writer);
}

static const char *
selinux_state(const char *root)
{
    uint64_t enforce;

    if (!host_read_number(root, &enforce, "/sys/fs/selinux/enforce"))
        return "disabled";
    return enforce ? "enforcing" : "permissive";
}

void
host_security_write(const char *root, struct writer *writer)
{
    _cleanup_free_ char *apparmor = host_read_line(root, "/sys/module/apparmor/parameters/enabled");
    uint64_t fips = 0;

    (void)host_read_number(root, &fips, "/proc/sys/crypto/fips_enabled"); /* none: it is off */
    writer_object(writer);
    writer_member_string(writer, "selinux", selinux_state(root));
    writer_member_bool(writer, "apparmor", apparmor && *apparmor == 'Y');
    writer_member_bool(writer, "fips", fips != 0);
    writer_end_object(writer);
}

/* "always [madvise] never" */
static char *
chosen_word(const char *line)
{
    const char *open = line ? strchr(line, '[') : NULL;

    return open ? xstrndup(open + 1, strcspn(open + 1, "]")) : NULL;
}

void
host_memory_capabilities_write(const char *root, struct writer *writer)
{
    _cleanup_free_ char *text = host_read(root, 65536, "/proc/meminfo");
    _cleanup_free_ char *huge = host_read_line(root, "/sys/kernel/mm/transparent_hugepage/enabled");
    _cleanup_free_ char *chosen = chosen_word(huge);

    writer_object(writer);
    host_write_kib(writer, "size", text, "MemTotal:");
    host_write_kib(writer, "swap", text, "SwapTotal:");
    writer_member_string(writer, "transparentHugePages", chosen);
    writer_key(writer, "hugePages");
    host_huge_pages_write(root, writer);
    writer_end_object(writer);
}
