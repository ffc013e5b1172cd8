# SPDX-License-Identifier: Apache-2.0
"""A virtual machine that sees this machine's files, with Debian's full kernel: for what the kernel here
has not (an NFS server and client, mounts of one's own, a network to cut).

Its root is this machine's, read-only over 9p, with a layer of memory on top, so nothing is installed
in it and nothing it does is left.  No init system runs in it: it runs one command, and is gone.  It is
emulated, for /dev/kvm may be there and not work: a boot takes ten seconds, a program several times as long.
"""
import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import tempfile

from .agent import ROOT, build_dir, die_with_parent

# Loaded by the initrd, in this order but for what they need themselves.
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /lower /layer /root /share
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox echo 1 >/proc/sys/kernel/printk
fail() { /bin/busybox echo "guest: $*"; /bin/busybox poweroff -f; }
for module in %(modules)s; do /bin/busybox modprobe $module || fail "no module $module"; done
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000 root /lower || fail "no root"
/bin/busybox mount -t tmpfs -o mode=755 layer /layer
/bin/busybox mkdir /layer/upper /layer/work
/bin/busybox mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work root /root || fail "no overlay"
for folder in proc sys dev; do /bin/busybox mount --move /$folder /root/$folder; done
/bin/busybox mount -t tmpfs run /root/run
/bin/busybox mkdir -p /root/run/share /root/dev/pts /root/dev/shm
/bin/busybox mount -t devpts devpts /root/dev/pts
/bin/busybox mount -t tmpfs shm /root/dev/shm
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 share /root/run/share || fail "no share"
modules=/root/lib/modules/$(/bin/busybox uname -r)
/bin/busybox mkdir -p $modules
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000 modules $modules || fail "no modules"
/bin/busybox ln -sf /proc/self/fd /root/dev/fd
exec /bin/busybox chroot /root /bin/sh /run/share/start
"""

START = """export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
# For the kernel too, which asks for what it needs.  That of kmod would want more indexes than busybox makes.
ln -sf /bin/busybox /sbin/modprobe
ip link set lo up
cd /run/share
/bin/sh /run/share/command >/run/share/output 2>&1
echo $? >/run/share/status
sync
/bin/busybox poweroff -f
"""


class GuestFailed(Exception):
    pass


def kernel_folder(flavour="amd64"):
    """Debian's kernel of that flavour and its modules, unpacked once into a folder of its own in guest_folder()."""
    folder = guest_folder() / flavour
    with locked(folder):
        if not (folder / "done").exists():
            unpack_kernel(folder, f"linux-image-{flavour}")
    return folder


def guest_folder():
    """What guests are made of: build/guest, or the folder that HOSTLER_GUEST names."""
    return pathlib.Path(os.environ.get("HOSTLER_GUEST", ROOT / "build/guest"))


@contextlib.contextmanager
def locked(folder):
    """Makes the folder, and lets one process at a time work on it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kernel_package(package):
    """The name of the newest kernel's package, which that one stands for; None: apt knows none."""
    depends = subprocess.run(["apt-cache", "depends", package], capture_output=True, text=True)
    return next((line.split()[-1] for line in depends.stdout.splitlines() if "Depends: linux-image-" in line), None)


def unpack_package(name, work):
    """Fetches it with apt, and answers the folder in 'work' that holds its files; nothing is installed."""
    os.chmod(work, 0o755)  # apt's own user writes there
    subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", name], cwd=work, check=True)
    archive = next(work.glob("*.deb"))
    subprocess.run(["dpkg-deb", "-x", str(archive), str(work / "package")], check=True)
    archive.unlink()
    return work / "package"


def unpack_kernel(folder, newest):
    package = kernel_package(newest)
    if package is None:
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        package = kernel_package(newest)
    if package is None:
        raise GuestFailed(f"apt knows no package {newest}: the guest's kernel comes from there")
    with tempfile.TemporaryDirectory(dir=folder) as work:
        root = unpack_package(package, pathlib.Path(work))
        version = next((root / "lib/modules").iterdir()).name
        subprocess.run(["busybox", "depmod", "-b", str(root), version], check=True)
        for old in ("modules", "vmlinuz", "version"):
            shutil.rmtree(folder / old, ignore_errors=True)
        (root / "lib/modules" / version).rename(folder / "modules")
        (root / f"boot/vmlinuz-{version}").rename(folder / "vmlinuz")
        (folder / "version").write_text(version)
    (folder / "done").touch()


def copy_modules(kernel, root, names):
    """Those of 'names' and all that they need, for modprobe in 'root'."""
    version = (kernel / "version").read_text()
    target = root / "lib/modules" / version
    target.mkdir(parents=True)
    needs = {}
    for line in (kernel / "modules/modules.dep").read_text().splitlines():
        paths = [path.split(f"lib/modules/{version}/")[-1] for path in line.replace(":", " ").split()]
        needs[pathlib.PurePath(paths[0]).name.partition(".")[0].replace("-", "_")] = paths, line
    for path in {path for name in names for path in needs[name.replace("-", "_")][0]}:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kernel / "modules" / path, target / path)
    (target / "modules.dep").write_text("".join(line + "\n" for paths, line in needs.values()
                                                if (target / paths[0]).exists()))


def pack_initrd(root, target):
    names = subprocess.run(["find", "."], cwd=root, check=True, capture_output=True).stdout
    archive = subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=root, input=names, check=True,
                             capture_output=True).stdout
    target.write_bytes(archive)


def make_initrd(kernel, work):
    root = work / "initrd"
    (root / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    copy_modules(kernel, root, MODULES)
    (root / "init").write_text(INIT % {"modules": " ".join(MODULES)})
    (root / "init").chmod(0o755)
    pack_initrd(root, work / "initrd.img")
    shutil.rmtree(root)
    return work / "initrd.img"


def run(command, *, share, memory_mib=1024, timeout=600):
    """Boots one, runs 'command' (text for sh) in it, and returns its status and its output.

    'share' is a folder that the guest sees as /run/share, and writes to."""
    kernel = kernel_folder()
    share = pathlib.Path(share)
    share.mkdir(parents=True, exist_ok=True)
    for name, text in (("command", command), ("start", START)):
        (share / name).write_text(text)
    for name in ("output", "status"):
        (share / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        console = work / "console"
        with open(console, "wb") as log:
            machine = subprocess.Popen(qemu(kernel, make_initrd(kernel, work), share, memory_mib), stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, preexec_fn=die_with_parent)
            try:
                machine.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
            finally:
                machine.kill()
                machine.wait()
        output = (share / "output").read_text(errors="replace") if (share / "output").exists() else ""
        if not (share / "status").exists():
            raise GuestFailed(f"the guest did not get to its end within {timeout} s:\n{output[-6000:]}\n"
                              + console.read_text(errors="replace")[-4000:])
        return int((share / "status").read_text()), output


def run_tests(name, share, **options):
    """Runs tests/guest/NAME in one, and prints what pytest prints; what its clients record is recorded here."""
    share = pathlib.Path(share)
    (share / "record").mkdir(parents=True)
    status, output = run(f"""
        export HOSTLER_BUILD='{build_dir()}' HOSTLER_RECORD=/run/share/record PYTHONDONTWRITEBYTECODE=1
        export HOSTLER_SOAK='{os.environ.get("HOSTLER_SOAK", "")}'
        hostname guest
        mkdir /run/tests && cd '{ROOT}/tests'
        exec /usr/bin/python3 -m pytest -q -rf --tb short -p no:cacheprovider --basetemp /run/tests/tmp --durations 0 guest/{name}
    """, share=share, **options)
    print(output)
    if os.environ.get("HOSTLER_RECORD"):
        for path in (share / "record").iterdir():
            target = pathlib.Path(os.environ["HOSTLER_RECORD"]) / f"guest-{name}-{path.name}"
            shutil.copy(path, target)
    assert status == 0, output[-8000:]
    assert " passed" in output


def qemu(kernel, initrd, share, memory_mib):
    return ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2",
            # An old one: what "max" can do beyond it (wider registers to save, five levels of pages) is slow to
            # emulate; with these two a glusterd answers five times as fast.
            "-cpu", "Westmere",
            "-m", str(memory_mib), "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
            "-no-reboot", "-kernel", str(kernel / "vmlinuz"), "-initrd", str(initrd),
            # norandmaps: programs lie at the same addresses each time, so what was translated of one is used for
            # the next.
            "-append", "console=ttyS0 panic=-1 mitigations=off norandmaps",
            "-device", "virtio-rng-pci",
            "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=root,mount_tag=root",
            "-fsdev", f"local,id=modules,path={kernel}/modules,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=modules,mount_tag=modules",
            "-fsdev", f"local,id=share,path={share},security_model=none,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]
