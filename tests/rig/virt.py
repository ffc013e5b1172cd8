# SPDX-License-Identifier: Apache-2.0
"""Real libvirtds with real QEMU, each a host of its own: network, processes, name, and its own of /etc/libvirt,
/var/lib/libvirt, /var/log/libvirt, /var/cache/libvirt, /run; it sees no libvirtd of this machine, and none sees it.
It ends, virtual machines and all, with the test.  Guests are the tiny one (rig/tiny.py), emulated: /dev/kvm is hidden.

    with VirtHost() as host:
        host.start_guest("web1", beat="/dev/vda")        # of its own XML; defined, started, its agent answers
        host.kill_libvirtd()                             # virtual machines live on
        host.start_libvirtd()
        host.kill_qemu("web1")

    with VirtPair() as pair:                             # two that see each other
        pair.hosts[0].start_guest("web1", folder=pair.shared)
        pair.hosts[0].virsh("migrate", "--live", "--p2p", "web1", pair.hosts[1].migration_uri)

Files of this machine are seen by all at the same paths.  Of a pair, 'shared' is for disks that both use; and at the
path 'own' each sees a folder of its own, which path() tells this machine's path of.  There is a bridge in each, br0 (a
pair's two are one network), and a network of libvirt's, "bridged", upon it."""
import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
import xml.etree.ElementTree as ElementTree
from base64 import b64decode
from xml.sax.saxutils import escape

from .agent import Agent
from .gluster import Cell, wait_for
from .tiny import TinyGuest

AROUND = r"""
mount --make-rprivate /
mount -t tmpfs tmpfs /run
ip link set lo up
ip link add bridge0 type bridge
ip addr add "$1/24" dev bridge0
ip link set bridge0 up
"""
AROUND_ADDRESS = "10.77.3.1"

# Gluster as it is below glusterd: a brick's server and its client.
BRICK = """volume posix
  type storage/posix
  option directory {folder}
end-volume
volume shared
  type features/locks
  subvolumes posix
end-volume
volume server
  type protocol/server
  option transport-type tcp
  option auth.addr.shared.allow *
  option transport.socket.listen-port 24007
  subvolumes shared
end-volume
"""
CLIENT = """volume shared
  type protocol/client
  option transport-type tcp
  option remote-host {address}
  option remote-port 24007
  option remote-subvolume shared
end-volume
"""

# libvirt must see neither this machine's control groups (it would use them, and they are nobody's here), nor KVM
# (which may be there and not work), nor the network devices of another network in /sys.
HOST = r"""
state=$1 own=$2 address=$3 name=$4
mount --make-rprivate /
umount -R -l /sys
mount -t sysfs sysfs /sys
if [ -e /dev/kvm ]; then
    # Not by /dev/null: while libvirt 9.0 finds /dev/kvm accessible and QEMU says that it has no KVM, libvirt takes what
    # it knows of QEMU for outdated and asks anew, 0.4 s, at each use: a definition then takes five seconds.
    mount --bind /etc/hostname /dev/kvm
    mount -o remount,bind,ro /dev/kvm
fi
if [ "$name" ]; then
    mount -t tmpfs tmpfs /run
    hostname "$name"
    ip link set lo up
fi
mkdir -p /run/libvirt
mount -t tmpfs tmpfs /run/libvirt
for folder in /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
    mkdir -p "$folder" "$state$folder"
    mount --bind "$state$folder" "$folder"
done
# libvirt's plug-in for files on Gluster, which nobody needs, would make each start of a VM that has a disk there take
# 20 seconds (doc/vms.md).
plugins=$(echo /usr/lib/*/libvirt/storage-file)
if [ -e "$plugins/libvirt_storage_file_gluster.so" ]; then
    mkdir "$state/storage-file"
    cp "$plugins/libvirt_storage_file_fs.so" "$state/storage-file"
    mount --bind "$state/storage-file" "$plugins"
fi
# Nobody is to be asked for names: libvirtd would wait for the answer.  And libvirtd does not start without the user
# that package libvirt-daemon-system makes, which would start this machine's own libvirtd too.
for file in /etc/hosts /etc/resolv.conf /etc/passwd /etc/group; do
    mount --bind "$state$file" "$file"
done
[ ! -d "$state/own" ] || mount --bind "$state/own" "$own"
if [ ! -e /sys/class/net/br0 ]; then
    ip link add br0 type bridge
    ip addr add "$address/24" dev br0
    ip link set br0 up
    [ ! -e /sys/class/net/eth0 ] || ip link set eth0 master br0 up
fi
"""

LIBVIRTD_CONF = """host_uuid = "{uuid}"
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
"""
QEMU_CONF = """user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
remember_owner = 0
namespaces = []
migration_host = "{address}"
"""
NETWORK = """<network>
  <name>bridged</name>
  <forward mode="bridge"/>
  <bridge name="br0"/>
</network>
"""

DOMAIN = """<domain type="qemu">
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit="MiB">{memory_mib}</memory>
  <vcpu>{cpus}</vcpu>
  {tuning}
  <os>
    <type arch="x86_64" machine="{machine}">hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>{command_line}</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <controller type="usb" model="none"/>
    {devices}
    <serial type="file"><source path="{console}" append="on"/></serial>
    <channel type="unix"><target type="virtio" name="org.qemu.guest_agent.0"/></channel>
  </devices>
</domain>
"""
# QEMU 7.2 that emulates loses a write of the guest's now and then when it migrates, if its processor's thread is
# preempted just between finding a page marked as written to and no more watching it, while the migration takes that
# mark away: the guest crashes some time later.  On a busy machine that was one migration in fifty.
STEADY = """<cputune><vcpusched vcpus="0-{last}" scheduler="fifo" priority="1"/></cputune>"""
# What such a guest says then.
SPOILT = ("Oops", "BUG:", "Kernel panic", "general protection", "corruption", "end trace", "rcu: INFO", "beat has ended")
DISK = """<disk type="file" device="disk">
      <driver name="qemu" type="{kind}" cache="none" discard="unmap"/>
      <source file="{path}"/>
      <target dev="{target}" bus="virtio"/>
    </disk>"""


def domain_xml(name, disks=(), *, memory_mib=128, cpus=1, machine="pc", devices="", domain_uuid=None, steady=False,
               **parameters):
    """Of a VM that boots the tiny guest.  'disks' are paths, of qcow2 images where they end so: vda, vdb and so on.
    'devices' is more XML of that kind, 'parameters' go to the kernel's command line: beat, address.  One that is
    'steady' is never preempted: for what migrates."""
    guest = TinyGuest()
    written = [DISK.format(kind="qcow2" if str(path).endswith(".qcow2") else "raw", path=escape(str(path)),
                           target=f"vd{letter}") for letter, path in zip("abcdefgh", disks)]
    return DOMAIN.format(name=escape(name), uuid=domain_uuid or uuid.uuid4(), memory_mib=memory_mib, cpus=cpus,
                         tuning=STEADY.format(last=cpus - 1) if steady else "", machine=machine,
                         kernel=guest.kernel, initrd=guest.initrd, console=console_path(name),
                         command_line=escape(guest.command_line(**parameters)),
                         devices="\n    ".join([*written, devices]))


def console_path(name):
    return f"/var/log/libvirt/console-{name}"


def host_name(index):
    return f"host{index + 1}"


def host_address(index):
    return f"10.77.3.{11 + index}"


class VirtHost:
    """One of them.  libvirtd runs from the start, virtual machines when they are started."""

    ports = itertools.count(1)

    def __init__(self, index=0, pair=None, beside=None):
        """'beside' is the Cell of another rig, as Gluster's: it is then in that one's network and beside its files."""
        self.name = host_name(index)
        self.address = host_address(index)
        self.pair = pair
        self.base = pair.base if pair else pathlib.Path(tempfile.mkdtemp(prefix="hostler-vm-"))
        self.state = self.base / self.name
        self.own = self.base / "own"
        self.own.mkdir(exist_ok=True)
        if pair:
            (self.state / "own").mkdir(parents=True)
        self.configure()
        self.cell = Cell(HOST, str(self.state), str(self.own), self.address,
                         "" if beside else self.name, around=pair.around if pair else beside, own_network=not beside)
        if pair:
            self.port = f"port{next(self.ports)}"
            self.switch("add", self.port, "type", "veth", "peer", "name", "eth0", "netns", str(self.cell.init))
            self.switch("set", self.port, "up", "master", "bridge0")
        self.cell.go()
        self.enter = [*self.cell.enter, "setpriv", "--pdeathsig", "KILL"]
        self.inside = self.cell.inside
        if pair:
            self.mount_shared()
        self.start_libvirtd()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def configure(self):
        networks = self.state / "etc/libvirt/qemu/networks"
        (networks / "autostart").mkdir(parents=True)
        (networks / "bridged.xml").write_text(NETWORK)
        (networks / "autostart/bridged.xml").symlink_to("../bridged.xml")
        names = "".join(f"{host_address(i)} {host_name(i)}\n" for i in range(4))
        (self.state / "etc/hosts").write_text(pathlib.Path("/etc/hosts").read_text() + names)
        for file, line in (("passwd", "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin\n"),
                           ("group", "libvirt-qemu:x:64055:\n"), ("group", "kvm:x:64056:\n")):
            path = self.state / "etc" / file
            text = (path if path.exists() else pathlib.Path("/etc", file)).read_text()
            path.write_text(text if re.search(f"^{line.split(':')[0]}:", text, re.MULTILINE) else text + line)
        (self.state / "etc/resolv.conf").write_text("options timeout:1 attempts:1\n")
        (self.state / "etc/libvirt/libvirtd.conf").write_text(LIBVIRTD_CONF.format(uuid=uuid.uuid4()))
        (self.state / "etc/libvirt/qemu.conf").write_text(QEMU_CONF.format(address=self.address))

    def mount_shared(self):
        self.inside("glusterfs", "-f", str(self.pair.base / "client.vol"), "-l", str(self.state / "shared.log"),
                    str(self.pair.shared), check=True)
        wait_for(lambda: self.inside("mountpoint", "-q", str(self.pair.shared)).returncode == 0, "the shared folder")

    def switch(self, *arguments):
        """At the other end of its cable, if it is one of a pair."""
        subprocess.run(["nsenter", f"--net={self.pair.around.network}", "ip", "link", *arguments], check=True)

    def cut(self, cut=True):
        """Pulls its network cable, or puts it in again: to the other it is silent, and that to it."""
        self.switch("set", self.port, *(("nomaster",) if cut else ("master", "bridge0")))

    def kill(self):
        """As by pulling its plug: libvirtd, virtual machines, agents in it."""
        os.kill(self.cell.init, signal.SIGKILL)
        self.cell.process.wait()

    def close(self):
        self.cell.close()
        if not self.pair:
            shutil.rmtree(self.base, ignore_errors=True)

    # Agents and other clients.

    def agent_options(self, arguments=(), **options):
        """For make_agent(): an agent in it."""
        return {"wrapper": self.enter, "name": self.name, **options,
                "arguments": ["--libvirt", "qemu:///system", "--gluster", "none", *arguments]}

    def agent(self, folder, **options):
        return Agent(folder, **self.agent_options(**options))

    @property
    def uri(self):
        """Of its libvirtd, for clients outside."""
        return f"qemu+unix:///system?socket=/proc/{self.cell.init}/root/run/libvirt/libvirt-sock"

    @property
    def migration_uri(self):
        """Of its libvirtd, for the other of the pair."""
        return f"qemu+tcp://{self.address}/system"

    @contextlib.contextmanager
    def slow_migration_uri(self, other, seconds):
        """The other's, on a way on which each part of what this one's libvirtd says is held up so long."""
        slow = [*self.enter, "python3", str(pathlib.Path(__file__).with_name("slow.py")), other.address, "16509",
                str(seconds)]
        with subprocess.Popen(slow, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield f"qemu+tcp://{self.address}:{int(process.stdout.readline())}/system"
            finally:
                process.kill()

    def virsh(self, *arguments, check=True, **options):
        """Inside; answers what subprocess.run() does."""
        done = self.inside("virsh", "-q", "-c", "qemu:///system", *map(str, arguments), **options)
        assert not check or done.returncode == 0, f"virsh {arguments}: {done.stdout}{done.stderr}"
        return done

    # libvirtd.

    def start_libvirtd(self):
        """It answers by the end."""
        self.inside("libvirtd", "--daemon", "--listen", check=True)
        wait_for(lambda: self.virsh("list", check=False).returncode == 0, f"libvirtd of {self.name}")

    def signal_libvirtd(self, number):
        for pid, _ in self.cell.processes("libvirtd"):
            os.kill(pid, number)

    def kill_libvirtd(self, number=signal.SIGKILL):
        """Virtual machines live on."""
        self.signal_libvirtd(number)
        wait_for(lambda: not list(self.cell.processes("libvirtd")), f"the end of libvirtd of {self.name}")

    def stop_libvirtd(self):
        self.kill_libvirtd(signal.SIGTERM)

    def restart_libvirtd(self):
        self.kill_libvirtd()
        self.start_libvirtd()

    def pause_libvirtd(self, paused=True):
        """Connections are accepted, by the kernel, and nothing is answered."""
        self.signal_libvirtd(signal.SIGSTOP if paused else signal.SIGCONT)

    # Virtual machines, however they were made.

    def qemu_pids(self):
        """This machine's numbers, by the name of the virtual machine."""
        return {re.match(r"guest=([^,]*)", command[command.index("-name") + 1]).group(1): pid
                for pid, command in self.cell.processes("qemu-system-x86_64") if "-name" in command}

    def signal_qemu(self, name, number):
        os.kill(self.qemu_pids()[name], number)

    def kill_qemu(self, name):
        self.signal_qemu(name, signal.SIGKILL)
        wait_for(lambda: name not in self.qemu_pids(), f"the end of QEMU of {name}")

    def pause_qemu(self, name, paused=True):
        """It is silent, and not gone: neither the guest nor the monitor goes on."""
        self.signal_qemu(name, signal.SIGSTOP if paused else signal.SIGCONT)

    def domain_state(self, name):
        """In virsh's words; None: there is no such domain."""
        done = self.virsh("domstate", name, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def wait_state(self, name, state):
        wait_for(lambda: self.domain_state(name) == state, f"{name} to be {state}")

    def console(self, name):
        """What its serial console has shown so far, if that goes to a file or is logged to one."""
        path = self.path(console_path(name))
        if not path.exists():
            serial = ElementTree.fromstring(self.virsh("dumpxml", name).stdout).find("devices/serial")
            log = serial.find("log")
            path = self.path(log.get("file") if log is not None else serial.find("source").get("path"))
        return path.read_text(errors="replace").replace("\r", "")

    def path(self, path):
        """Where this machine sees its file."""
        return pathlib.Path(f"/proc/{self.cell.init}/root{path}")

    def wait_console(self, name, text):
        wait_for(lambda: text in self.console(name), f"'{text}' on the console of {name}")

    def beats(self, name):
        """How many the console has told of."""
        lines = re.findall(r"^beat (\d+)\n", self.console(name), re.MULTILINE)
        return int(lines[-1]) if lines else 0

    def wait_beats(self, name, more=1):
        """That many more than now; answers how many there are."""
        goal = self.beats(name) + more
        wait_for(lambda: self.beats(name) >= goal, f"beat {goal} of {name}")
        return self.beats(name)

    def guest_agent(self, name, command, check=True, **arguments):
        """What the guest's agent returns; None, unless 'check', if it does not answer or refuses."""
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        done = self.virsh("qemu-agent-command", name, json.dumps(request), check=check)
        return json.loads(done.stdout)["return"] if done.returncode == 0 else None

    def wait_guest(self, name):
        """Until its agent answers."""
        wait_for(lambda: self.guest_agent(name, "guest-ping", check=False) is not None, f"the agent of {name}")

    def wait_power_button(self, name):
        """Until somebody in the guest listens to it: what is pressed before is lost."""
        self.run_in_guest(name, "until ls -l /proc/$(pidof acpid)/fd 2>/dev/null | grep -q /dev/input/\ndo sleep 0.1; done")

    def run_in_guest(self, name, text):
        """Lines for the guest's shell; answers what they print.  What they start in the background does not hold it
        up if it prints elsewhere."""
        pid = self.guest_agent(name, "guest-exec", path="/bin/sh", arg=["-ec", text], **{"capture-output": True})["pid"]
        found = {}

        def ended():
            found.update(self.guest_agent(name, "guest-exec-status", pid=pid))
            return found["exited"]
        wait_for(ended, f"'{text}' in {name}")
        output = b64decode(found.get("out-data", "")).decode()
        errors = b64decode(found.get("err-data", "")).decode()
        assert found.get("exitcode") == 0, f"'{text}' in {name}: {output}{errors}"
        return output

    # Virtual machines of the rig's own.

    def make_disk(self, name, size=32 << 20, folder=None, kind="raw"):
        """An empty one, which this host sees in 'folder', else in 'own'; answers its path."""
        path = pathlib.Path(folder or self.own) / f"{name}.{kind}"
        self.inside("qemu-img", "create", "-q", "-f", kind, str(path), str(size), check=True)
        return path

    def start_guest(self, name="guest", *, folder=None, kind="raw", define=True, **options):
        """A running virtual machine whose agent answers: vda is empty (NAME.raw or NAME.qcow2 in 'folder', else in
        'own'), vdb has a file system (NAME-data.raw).  'options' are domain_xml()'s."""
        disk = self.make_disk(name, folder=folder, kind=kind)
        data = self.make_disk(f"{name}-data", 16 << 20, disk.parent)
        self.inside("mkfs.ext4", "-q", "-L", "data", str(data), check=True)
        self.start_domain(domain_xml(name, [disk, data], **{"steady": self.pair is not None, **options}), define=define)
        self.wait_console(name, "guest ready")
        self.wait_guest(name)
        return disk

    def start_domain(self, xml, define=True):
        """Transient unless 'define'."""
        if define:
            self.virsh("define", "/dev/stdin", input=xml)
            self.virsh("start", ElementTree.fromstring(xml).findtext("name"))
        else:
            self.virsh("create", "/dev/stdin", input=xml)

    def remove_guest(self, name):
        """Whatever it is doing; its disks stay."""
        self.virsh("destroy", name, check=False)
        self.virsh("undefine", name, "--nvram", "--managed-save", "--snapshots-metadata", "--checkpoints-metadata",
                   check=False)


def consoles(hosts):
    return [path for host in hosts for path in host.path(console_path("")).parent.glob("console-*")]


def are_spoilt(hosts):
    """Whether the emulator has spoilt a guest of theirs while it moved, which proves nothing: do it again."""
    return any(word in path.read_text(errors="replace") for path in consoles(hosts) for word in SPOILT)


class VirtPair:
    """Two of them (or up to four), with a Gluster file system that each has mounted at 'shared': libvirt moves disks
    between hosts as they are only on what it knows for a shared one.  Its brick, too, is 'shared', as all see it that
    are not in one of the hosts; it is only to be read there."""

    def __init__(self, hosts=2):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="hostler-vm-"))
        self.own = self.base / "own"
        self.shared = self.base / "shared"
        self.shared.mkdir()
        (self.base / "brick.vol").write_text(BRICK.format(folder=self.shared))
        (self.base / "client.vol").write_text(CLIENT.format(address=AROUND_ADDRESS))
        self.around = Cell(AROUND, AROUND_ADDRESS).go()
        self.around.inside("glusterfsd", "-f", str(self.base / "brick.vol"), "-l", str(self.base / "brick.log"),
                           "-p", "/run/brick.pid", check=True)
        self.hosts = [VirtHost(index, pair=self) for index in range(hosts)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for host in self.hosts:
            host.close()
        self.around.close()
        shutil.rmtree(self.base, ignore_errors=True)
