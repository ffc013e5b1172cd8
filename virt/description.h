/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The typed description of a virtual machine: what vm.define and vm.create take in place of XML.
 *
 * The structs are filled by the tables here, as all arguments are, and never changed.  What follows from
 * them, and from what the host can do, is virt/device.h's (which disk is vda); virt/domain-xml.h writes it.
 * Hot plug uses the tables of disks and networks too.
 */
#ifndef VIRT_DESCRIPTION_H
#define VIRT_DESCRIPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/verb.h"

#define VM_DISKS_MAX 64
#define VM_NETWORKS_MAX 32

/* Bounds a second; 0: none. */
struct disk_tuning {
    uint64_t bytes, read_bytes, write_bytes;
    int64_t iops, read_iops, write_iops;
};

struct disk_description {
    char *repository, *image; /* both NULL: a cdrom drive without a medium */
    const char *device;       /* disk, cdrom */
    const char *bus;          /* virtio, scsi, sata, usb; NULL: by its device */
    char *target;             /* "vda"; NULL: the first that is free */
    bool read_only, shareable;
    int64_t boot_order;               /* 0: not given */
    const char *cache, *io, *discard; /* NULL: by what its storage can do */
    char *serial;
    struct disk_tuning *tuning; /* or NULL */
};

struct network_description {
    const char *kind; /* network, bridge, user */
    char *source;     /* name of libvirt's network or of the bridge; NULL with 'user' */
    char *port_group, *filter;
    const char *model; /* virtio, e1000e, e1000, rtl8139 */
    char *mac;         /* NULL: made of the VM's UUID and its place among its networks */
    int64_t boot_order;
    int64_t mtu, queues; /* 0: not given */
    bool connected;      /* the cable is plugged in */
};

struct console_description {
    const char *kind; /* vnc, spice, none */
    char *listen;     /* an IP address; NULL: 127.0.0.1 */
    int64_t port;     /* 0: one that is free */
    bool open;        /* no ticket is needed */
    char *keymap;
};

struct serial_description {
    const char *kind; /* pty, file, none */
    char *path;       /* of 'file'; admin */
};

struct boot_description {
    char *kernel, *initrd, *command_line; /* admin */
};

struct topology_description {
    int64_t sockets, dies, cores, threads;
};

/* 0: not given. */
struct vm_tuning {
    int64_t cpu_shares, cpu_period, cpu_quota; /* period and quota: microseconds */
    int64_t io_threads;
};

struct vm_description {
    char *name, *uuid;
    char *title, *description, *user_data; /* user_data: a JSON object */
    uint64_t memory, max_memory;           /* bytes */
    int64_t cpus, max_cpus;
    char *cpu_model; /* host-passthrough, host-model, maximum, or QEMU's name of one */
    struct topology_description *topology;
    const char *virtualization; /* kvm, qemu; NULL: the best there is */
    char *machine;
    const char *firmware; /* bios, efi */
    bool secure_boot, tpm;
    const char *guest;                   /* linux, windows */
    struct records disks;                /* struct disk_description */
    struct records networks;             /* struct network_description */
    struct console_description *console; /* NULL: VNC, if the host has it */
    struct serial_description *serial;   /* NULL: pty */
    bool guest_agent, random, balloon;
    struct boot_description *boot;
    struct vm_tuning *tuning;
};

extern const struct param disk_members[], network_members[], console_members[], serial_members[],
    boot_members[], topology_members[], vm_tuning_members[];

/* The description as parameters of a verb, whose args struct has it as 'member'. */
#define VM_DESCRIPTION_PARAMS(args, member)                                                           \
    PARAM(args, member.name, "name", .type = PARAM_NAME,                                              \
          .about = "Name of the VM; needed, but for 'xml'."),                                         \
        PARAM(args, member.memory, "memory", .type = PARAM_SIZE, .minimum = 1048576,                  \
              .maximum = INT64_C(1) << 50, .about = "Memory in bytes; needed, but for 'xml'."),       \
        PARAM(args, member.cpus, "cpus", .type = PARAM_INTEGER, .minimum = 1, .maximum = 4096,        \
              .about = "Virtual CPUs; needed, but for 'xml'."),                                       \
        PARAM(args, member.disks, "disks", .type = PARAM_RECORDS, .members = disk_members,            \
              .member_size = sizeof(struct disk_description), .maximum = VM_DISKS_MAX,                \
              .about = "Images that are its disks, in this order."),                                  \
        PARAM(args, member.networks, "networks", .type = PARAM_RECORDS,                               \
              .members = network_members, .member_size = sizeof(struct network_description),          \
              .maximum = VM_NETWORKS_MAX, .about = "Its network cards, in this order."),              \
        PARAM(args, member.console, "console", .type = PARAM_RECORD, .members = console_members,      \
              .member_size = sizeof(struct console_description),                                      \
              .about = "Its screen; without this, VNC on 127.0.0.1 where the host has it."),          \
        PARAM(args, member.serial, "serial", .type = PARAM_RECORD, .members = serial_members,         \
              .member_size = sizeof(struct serial_description),                                       \
              .about = "Its first serial port; without this, a pty."),                                \
        PARAM(args, member.guest, "guest", .type = PARAM_CHOICE,                                      \
              .choices = CHOICES("linux", "windows"), .fallback = "\"linux\"",                        \
              .about = "What runs in it: windows has its clock in local time, Hyper-V's "             \
                       "interfaces, and a screen that needs no driver."),                             \
        PARAM(args, member.guest_agent, "guestAgent", .type = PARAM_BOOL, .fallback = "true",         \
              .about = "A channel for QEMU's guest agent."),                                          \
        PARAM(args, member.firmware, "firmware", .type = PARAM_CHOICE,                                \
              .choices = CHOICES("bios", "efi"), .fallback = "\"bios\"",                              \
              .about = "What starts the guest; efi where the host has it installed."),                \
        PARAM(args, member.secure_boot, "secureBoot", .type = PARAM_BOOL,                             \
              .about =                                                                                \
                  "EFI that runs only what is signed by the keys that its firmware comes with."),     \
        PARAM(args, member.tpm, "tpm", .type = PARAM_BOOL, .about = "An emulated TPM 2.0."),          \
        PARAM(args, member.uuid, "uuid", .type = PARAM_TEXT, .maximum = 36, .one_line = true,         \
              .about = "Its UUID; without this, a fresh one, or that of the VM it replaces."),        \
        PARAM(args, member.title, "title", .type = PARAM_TEXT, .maximum = 256, .one_line = true,      \
              .about = "A short line for people."),                                                   \
        PARAM(args, member.description, "description", .type = PARAM_TEXT,                            \
              .about = "A longer text for people."),                                                  \
        PARAM(args, member.user_data, "userData", .type = PARAM_OBJECT,                               \
              .about = "What the caller wants to keep with it; not looked at."),                      \
        PARAM(                                                                                        \
            args, member.max_memory, "maxMemory", .type = PARAM_SIZE, .minimum = 1048576,             \
            .maximum = INT64_C(1) << 50,                                                              \
            .about =                                                                                  \
                "Memory in bytes up to which vm.setMemory can let it grow; without this, 'memory'."), \
        PARAM(args, member.max_cpus, "maxCpus", .type = PARAM_INTEGER, .minimum = 1,                  \
              .maximum = 4096,                                                                        \
              .about = "CPUs up to which vm.setCpus can let it grow; without this, 'cpus'."),         \
        PARAM(args, member.cpu_model, "cpuModel", .type = PARAM_TEXT, .minimum = 1, .maximum = 64,    \
              .one_line = true,                                                                       \
              .about = "host-model, host-passthrough, maximum, or a name that "                       \
                       "host.capabilities tells; without this, host-model with KVM, maximum "         \
                       "without."),                                                                   \
        PARAM(args, member.topology, "topology", .type = PARAM_RECORD,                                \
              .members = topology_members, .member_size = sizeof(struct topology_description),        \
              .about = "How its CPUs are spread; without this, a socket each."),                      \
        PARAM(args, member.virtualization, "virtualization", .type = PARAM_CHOICE,                    \
              .choices = CHOICES("kvm", "qemu"),                                                      \
              .about = "kvm, or qemu, which emulates CPUs in software; without this, kvm where "      \
                       "the host has it."),                                                           \
        PARAM(args, member.machine, "machine", .type = PARAM_TEXT, .minimum = 1, .maximum = 64,       \
              .one_line = true,                                                                       \
              .about = "Machine type, as host.capabilities tells them; without this, q35 on x86, "    \
                       "virt on others."),                                                            \
        PARAM(args, member.random, "random", .type = PARAM_BOOL, .fallback = "true",                  \
              .about = "A source of random numbers."),                                                \
        PARAM(args, member.balloon, "balloon", .type = PARAM_BOOL, .fallback = "true",                \
              .about = "A balloon, by which memory can be taken and given back, and that tells "      \
                       "how the guest uses it."),                                                     \
        PARAM(args, member.boot, "boot", .type = PARAM_RECORD, .members = boot_members,               \
              .member_size = sizeof(struct boot_description),                                         \
              .about = "A kernel of the host's to start right away (admin)."),                        \
        PARAM(args, member.tuning, "tuning", .type = PARAM_RECORD, .members = vm_tuning_members,      \
              .member_size = sizeof(struct vm_tuning), .about = "Its share of the host.")

/*
 * What the tables cannot tell: members that do not go together, texts that XML has no way to say.  'place' names
 * the record in errors: "disks[1]".  InvalidParams.
 */
bool description_check(const struct vm_description *description, struct error **err) _must_check_;
bool disk_description_check(const struct disk_description *disk, const char *place,
                            struct error **err) _must_check_;
bool network_description_check(const struct network_description *network, const char *place,
                               struct error **err) _must_check_;
/* InvalidParams unless all texts that 'params' has put into 'args' can stand in XML. */
bool description_check_texts(const struct param *params, const void *args, const char *place,
                             struct error **err) _must_check_;

/* The first of its members that was given, as far as that can be told: not of those that have a default; or NULL. */
const char *description_first_given(const struct vm_description *description);
/* Which of its members only an admin may give, for Forbidden; NULL: none is given. */
const char *description_needs_admin(const struct vm_description *description);

/* "52:54:00:12:34:56", lower case; false: it is none that a network card can have. */
bool mac_parse(const char *text, char ret_mac[18]) _must_check_;

#endif
