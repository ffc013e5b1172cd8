# SPDX-License-Identifier: Apache-2.0
"""What the virtual machines of the tests run: Debian's cloud kernel and a root in memory with busybox and
qemu-guest-agent, which is up in two or three seconds, emulated.

It says "guest ready" on its serial console, answers libvirt's guest agent channel, takes hot plug of disks, networks,
memory and processors, follows the power button, and shows "freeze" and "thaw" on the console when it is told to.  A
file system with the label "data" on any disk is mounted at /data.  On the kernel's command line (boot()):

    beat=/dev/vda[,INTERVAL-MS[,BLOCKS[,OFFSET]]]   tests/rig/beat.c writes to that disk; each beat is on the console
    address=10.77.3.50/24                           of its first network

Whatever a disk's copy was taken from, by backup, migration or snapshot, check_beats() tells whether it is what that
disk held at one moment, and how many beats there were by then."""
import hashlib
import pathlib
import shutil
import struct
import subprocess
import tempfile

from .guest import copy_modules, guest_folder, kernel_folder, locked, pack_initrd, unpack_package

MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "sr_mod", "virtio_net", "virtio_console",
           "virtio_balloon", "virtio_rng", "button", "evdev")

# norandmaps as in rig/guest.py; the tests of its ciphers take the kernel a tenth of its boot.
COMMAND_LINE = ("console=ttyS0 quiet panic=-1 mitigations=off nokaslr norandmaps cryptomgr.notests "
                "memhp_default_state=online")

INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
modprobe -a %(modules)s || echo "guest: a module is missing"
ip link set lo up
[ -z "$address" ] || { ip addr add "$address" dev eth0; ip link set eth0 up; }
disk=$(findfs LABEL=data) && mount "$disk" /data
(
    until grep -q "Power Button" /proc/bus/input/devices; do sleep 0.1; done  # found at leisure
    exec acpid -f -c /etc/acpi -l /run/acpid.log
) &
uevent /bin/hotplug &
if [ "$beat" ]; then
    IFS=,
    { beat $beat; echo "guest: beat has ended"; } >/dev/console &
    unset IFS
fi
(
    until port=$(grep -l '^org.qemu.guest_agent.0$' /sys/class/virtio-ports/*/name 2>/dev/null); do sleep 0.1; done
    port=${port%%/name}
    exec qemu-ga -m virtio-serial -p "/dev/${port##*/}" -F/bin/freeze-hook -f /run/qemu-ga.pid -t /run \\
        >/run/qemu-ga.log 2>&1
) &
echo "guest ready"
while :; do sleep 86400; done  # a shell buries the dead
"""

FILES = {
    "init": INIT % {"modules": " ".join(MODULES)},
    "bin/hotplug": """#!/bin/sh
[ "$ACTION $SUBSYSTEM" != "add cpu" ] || echo 1 >"/sys$DEVPATH/online"
""",
    "bin/freeze-hook": '#!/bin/sh\necho "$1" >/dev/console\n',
    # What the guest agent calls: -P to power off, -H to halt, -r to reboot.
    "sbin/shutdown": """#!/bin/sh
sync
case "$*" in
*-r*) exec reboot -f ;;
*) exec poweroff -f ;;
esac
""",
    "etc/acpi/PWRF/00000080": "#!/bin/sh\necho power button >/dev/console\nexec shutdown -P\n",
    # Whose password the guest agent sets can be read there: "NAME:PASSWORD".
    "sbin/chpasswd": "#!/bin/sh\ncat >/run/passwords\n",
    "etc/passwd": "root:x:0:0:root:/:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/os-release": 'NAME="Tiny guest"\nID=tiny\nVERSION_ID=1\nPRETTY_NAME="Tiny guest 1"\n',
}


class TinyGuest:
    """The files that start one: kernel, initrd."""

    def __init__(self):
        """Made at the first use, which takes seconds, and kept in guest_folder()."""
        kernel = kernel_folder("cloud-amd64")
        self.kernel = kernel / "vmlinuz"
        sources = [pathlib.Path(__file__), pathlib.Path(__file__).with_name("beat.c"), kernel / "version"]
        mark = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
        self.initrd = guest_folder() / "tiny" / f"initrd-{mark}"
        with locked(self.initrd.parent):
            if not self.initrd.exists():
                make_initrd(kernel, self.initrd)

    @staticmethod
    def command_line(**parameters):
        return " ".join([COMMAND_LINE, *(f"{name}={value}" for name, value in parameters.items())])


def make_initrd(kernel, target):
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        work = pathlib.Path(work)
        root = work / "root"
        for folder in ("bin", "dev", "proc", "sys", "run", "tmp", "data", "var"):
            (root / folder).mkdir(parents=True)
        (root / "sbin").symlink_to("bin")
        (root / "var/run").symlink_to("/run")
        copy_modules(kernel, root, MODULES)
        busybox = shutil.which("busybox")
        for name in subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split():
            (root / "bin" / name).symlink_to("busybox")
        (root / "bin/busybox").unlink()  # it lists itself
        shutil.copy(busybox, root / "bin")
        subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-o", str(root / "bin/beat"),
                        str(pathlib.Path(__file__).with_name("beat.c"))], check=True)
        shutil.copy(unpack_package("qemu-guest-agent", work) / "usr/sbin/qemu-ga", root / "bin")
        for program in ("beat", "qemu-ga"):
            copy_libraries(root, root / "bin" / program)
        for name, text in FILES.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # busybox has some of that name
            path.write_text(text)
            path.chmod(0o755)
        pack_initrd(root, work / "initrd")
        (work / "initrd").rename(target)


def copy_libraries(root, program):
    """Those of this machine that it needs, and the loader."""
    for word in subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True).stdout.split():
        if word.startswith("/"):
            target = root / word.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, target)


# The layout that beat.c writes.
BLOCK = 4096
WORDS = BLOCK // 8
MASK = (1 << 64) - 1
GOLDEN = 0x9e3779b97f4a7c15


def mix(n):
    n = (n + GOLDEN) & MASK
    n = ((n ^ (n >> 30)) * 0xbf58476d1ce4e5b9) & MASK
    n = ((n ^ (n >> 27)) * 0x94d049bb133111eb) & MASK
    return n ^ (n >> 31)


def beat_block(n):
    """What beat n writes."""
    start = mix(n)
    return struct.pack(f"<{WORDS}Q", *((start + i * GOLDEN) & MASK for i in range(WORDS)))


def beat_place(n, blocks):
    return mix(~n & MASK) % blocks


def read_beats(file, offset=0):
    """(how many beats this file's contents, raw ones, tell of, how many blocks they are spread over)"""
    file.seek(offset)
    magic, count, blocks = struct.unpack("<8sQQ", file.read(24))
    assert magic == b"tinybeat", f"no beats here, but {magic}"
    return count, blocks


def count_beats(path, offset=0):
    with open(path, "rb") as file:
        return read_beats(file, offset)[0]


def check_beats(path, offset=0):
    """Asserts that this file, a raw copy of a disk that was empty before, holds what the disk did at one moment;
    answers the number of beats by then."""
    with open(path, "rb") as file:
        count, blocks = read_beats(file, offset)
        last = {beat_place(n, blocks): n for n in range(1, count + 1)}
        underway = beat_place(count + 1, blocks)
        for place in range(blocks):
            file.seek(offset + BLOCK * (1 + place))
            found = file.read(BLOCK)
            allowed = [beat_block(last[place]) if place in last else bytes(BLOCK)]
            if place == underway:
                allowed.append(beat_block(count + 1))
            assert found.ljust(BLOCK, b"\0") in allowed, \
                f"after {count} beats block {place} is {tell_block(found, count, place, blocks)}, " \
                f"not of beat {last.get(place)}"
    return count


def tell_block(found, count, place, blocks):
    for n in range(1, count + 1000):
        if beat_place(n, blocks) == place and beat_block(n) == found:
            return f"of beat {n}"
    return f"unknown: {found[:16].hex()}…"
