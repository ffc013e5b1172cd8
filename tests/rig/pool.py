# SPDX-License-Identifier: Apache-2.0
"""A pool of real glusterds on one machine.  Each is a host of its own: network, processes, name and root
folder, in which /bricks, /run, /var/lib/glusterd, /var/log/glusterfs, /var/lib/misc and /root/.ssh are
its own and all else is this machine's.  They meet on a bridge that exists only inside, and so do all
their files (a tmpfs): nothing is left behind, however the test ends.

    with Pool() as pool:
        pool.make_volume("gv0", [pool.brick(i, "gv0", 0) for i in range(3)], "replica", "3")
        pool.hosts[1].kill()                  # as by pulling its plug
        pool.hosts[1].boot()
        pool.wait_healed("gv0")

A brick is named as gluster does: ADDRESS:/bricks/VOLUME-NUMBER."""
import concurrent.futures
import contextlib
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess

from .agent import Agent
from .gluster import Cell, Commands, gluster_command, wait_for

AROUND = r"""
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
ip link add bridge0 type bridge
ip link set bridge0 up
"""

# A root of its own, so that it can have folders that this machine has not.
HOST = r"""
state=$1 address=$2
mirror() {  # mirror FROM TO: shows in TO all that FROM holds, and leaves TO open for more
    for entry in "$1"/* "$1"/.[!.]*; do
        name=${entry##*/}
        if [ -L "$entry" ]; then
            cp -P "$entry" "$2/$name"
        elif [ "$entry" = /mnt ] || [ "$entry" = /run ] || [ "$entry" = /root ] || [ "$name" = .ssh ]; then
            mkdir "$2/$name"
        elif [ -d "$entry" ]; then
            mkdir "$2/$name"
            mount --rbind "$entry" "$2/$name"
        elif [ -e "$entry" ]; then
            touch "$2/$name"
            mount --bind "$entry" "$2/$name"
        fi
    done
}
mount --make-rprivate /
if [ ! -d "$state" ]; then
    mkdir -p "$state/root" "$state/bricks" "$state/glusterd" "$state/log" "$state/misc" "$state/ssh"
    chmod 700 "$state/ssh"
    # What the package puts there: groups of options, and programs run at some commands.
    cp -a /var/lib/glusterd/groups /var/lib/glusterd/hooks "$state/glusterd"
fi
root=$state/root
mount -t tmpfs tmpfs "$root"
mirror "" "$root"
mirror /root "$root/root"
mkdir -p "$root/bricks" "$root/root/.ssh"
mount -t tmpfs tmpfs "$root/run"
mkdir "$root/run/gluster"
mount --bind "$state/bricks" "$root/bricks"
mount --bind "$state/glusterd" "$root/var/lib/glusterd"
mount --bind "$state/log" "$root/var/log/glusterfs"
mount --bind "$state/misc" "$root/var/lib/misc"
mount --bind "$state/ssh" "$root/root/.ssh"
# A silent peer is found out in 3 seconds, not in 11 and more.
sed -e 's/keepalive-time.*/keepalive-time 2/' -e 's/keepalive-interval.*/keepalive-interval 1/' \
    -e 's/^end-volume/    option transport.tcp-user-timeout 3\nend-volume/' \
    /etc/glusterfs/glusterd.vol > "$root/run/glusterd.vol"
cd "$root"
mkdir .old
pivot_root . .old
umount -l /.old
rmdir /.old
hostname "$3"
ip link set lo up
ip addr add "$address/24" dev eth0
ip link set eth0 up
"""
GLUSTERD = ("glusterd", "--volfile", "/run/glusterd.vol", "--pid-file", "/run/glusterd.pid")

# What systemd does for glusterd.service, as Debian has it: bricks and all end with glusterd (KillMode=control-group).
# Clients, as mounts are, are not of that unit.
SYSTEMCTL = r"""#!/bin/bash
unit() { pgrep -x 'glusterd|glusterfsd'; pgrep -f 'process-name glustershd'; }
case "$*" in
"is-active --quiet glusterd.service") pgrep -x glusterd > /dev/null || exit 3 ;;
"restart glusterd.service")
    kill $(unit)
    while [ "$(unit)" ]; do sleep 0.05; done
    exec GLUSTERD ;;
*) echo "not known here: systemctl $*" >&2; exit 1 ;;
esac
"""


# Files of 0 to 8 KiB, a hundred in a folder, by 8 threads; prints what it wrote, or found, by name.
FILES = r"""
import concurrent.futures, hashlib, json, os, random, sys
action, top, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]

def write(number):
    name = f"{seed}/{number // 100}/{number}"
    chance = random.Random(f"{seed}/{number}")
    data = chance.randbytes(chance.randrange(8192))
    with open(os.path.join(top, name), "xb") as file:
        file.write(data)
    return name, hashlib.sha256(data).hexdigest()

def read(name):
    with open(os.path.join(top, name), "rb") as file:
        return name, hashlib.sha256(file.read()).hexdigest()

if action == "write":
    for folder in range(0, count, 100):
        os.makedirs(f"{top}/{seed}/{folder // 100}", exist_ok=True)
    work, items = write, range(count)
else:
    work, items = read, [os.path.relpath(os.path.join(folder, name), top)
                         for folder, _, names in os.walk(top) for name in names if "/.glusterfs" not in folder]
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    json.dump(dict(pool.map(work, items)), sys.stdout)
"""
FILES_TIMEOUT = 300  # of thousands, with bricks that are killed meanwhile

# Without PAM and with its own keys: nothing of this machine's sshd is used but the program.
SSHD = r"""
mkdir -p /run/sshd
cat > /run/sshd_config <<END
HostKey /root/.ssh/host_key
PidFile /run/sshd.pid
AuthorizedKeysFile /root/.ssh/authorized_keys
PermitRootLogin yes
PasswordAuthentication no
UsePAM no
Subsystem sftp internal-sftp
END
[ -e /root/.ssh/host_key ] || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/host_key
[ -e /root/.ssh/id_ed25519 ] || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
[ -e /run/sshd.pid ] || /usr/sbin/sshd -f /run/sshd_config
until [ -e /run/sshd.pid ]; do sleep 0.05; done  # it is written once it listens
cat /root/.ssh/id_ed25519.pub
"""


class Host:
    """One of them.  It runs from boot() until kill()."""

    ports = itertools.count(1)

    def __init__(self, pool, index):
        self.pool = pool
        self.name = f"host{index}"
        self.address = f"10.77.2.{11 + index}"
        self.mac = f"02:00:00:77:02:{11 + index:02x}"  # the same after each boot: its peers remember it
        self.state = f"/mnt/{index}"
        self.cell = None
        self.boot()

    def boot(self):
        """Its glusterd answers by the end, and starts its bricks by and by."""
        self.close()
        self.cell = Cell(HOST, self.state, self.address, self.name, around=self.pool.around)
        self.port = f"port{next(self.ports)}"  # a new one: that of a dead host goes away in its own time
        self.switch("add", self.port, "type", "veth", "peer", "name", "eth0", "address", self.mac,
                    "netns", str(self.cell.init))
        self.switch("set", self.port, "up", "master", "bridge0")
        self.cell.go()
        self.start_glusterd()

    def switch(self, *arguments):
        """At the other end of its cable.  The cell is not entered whole: 'netns' is this machine's number."""
        subprocess.run(["nsenter", f"--net={self.pool.around.network}", "ip", "link", *arguments], check=True)

    def kill(self):
        """As by pulling its plug, but that connections end at once."""
        os.kill(self.cell.init, signal.SIGKILL)
        self.cell.process.wait()

    def alive(self):
        return self.cell is not None and self.cell.process.poll() is None

    def cut(self, cut=True):
        """Pulls its network cable, or puts it in again: to the others it is silent, and they to it."""
        self.switch("set", self.port, *(("nomaster",) if cut else ("master", "bridge0")))

    @property
    def enter(self):
        """What a command line begins with that is to run in it: the 'wrapper' of an Agent, another after each
        boot (agent.wrapper = host.enter; agent.restart())."""
        return self.cell.enter

    def inside(self, *command, **options):
        return self.cell.inside(*command, **options)

    def run(self, *arguments, check=True):
        """The gluster command line."""
        return gluster_command(self.cell, arguments, check)

    def path(self, path):
        """Where this machine sees its file."""
        return pathlib.Path(f"/proc/{self.cell.init}/root{path}")

    def start_glusterd(self):
        self.inside(*GLUSTERD, check=True)
        wait_for(lambda: self.run("pool", "list", check=False).returncode == 0, f"glusterd of {self.name}")

    def install_systemd(self):
        """As much of it as glusterd.service needs, until the next boot; answers the folder for PATH."""
        program = self.path("/run/init/systemctl")
        program.parent.mkdir()
        program.write_text(SYSTEMCTL.replace("GLUSTERD", " ".join(GLUSTERD)))
        program.chmod(0o755)
        return "/run/init"

    def signal_glusterd(self, number):
        """Bricks and what else it has started live on."""
        for pid, _ in self.cell.processes("glusterd"):
            os.kill(pid, number)

    def kill_glusterd(self, number=signal.SIGKILL):
        self.signal_glusterd(number)
        wait_for(lambda: not list(self.cell.processes("glusterd")), f"the end of glusterd of {self.name}")

    def moves_files(self, volume):
        """Whether a process of a rebalance or removal lives here."""
        return any(f"rebalance/{volume}" in command for _, command in self.cell.processes("glusterfs"))

    def stop_glusterd(self):
        self.kill_glusterd(signal.SIGTERM)

    def pause_glusterd(self, paused=True):
        """Connections are accepted, by the kernel, and nothing is answered."""
        self.signal_glusterd(signal.SIGSTOP if paused else signal.SIGCONT)

    def mount(self, volume):
        """By FUSE; answers where."""
        folder = f"/mnt/{volume}"
        self.inside("mkdir", "-p", folder, check=True)
        self.inside("glusterfs", "--volfile-server", self.address, "--volfile-id", volume, folder, check=True)
        wait_for(lambda: self.inside("mountpoint", "-q", folder).returncode == 0, f"the mount of {volume}")
        return folder

    def unmount(self, volume):
        self.inside("umount", f"/mnt/{volume}", check=True)

    def fill(self, folder, count, seed="files"):
        """Writes files into a mounted volume; answers their checksums by name."""
        return self.files("write", folder, count, seed)

    def checksums(self, folder):
        """Those of every file in a mounted volume, or of a brick."""
        return self.files("read", folder, 0, "")

    def files(self, action, folder, count, seed):
        done = self.inside("/usr/bin/python3", "-c", FILES, action, folder, str(count), seed,
                           timeout=FILES_TIMEOUT)
        assert done.returncode == 0, f"{action} {folder}: {done.stderr}"
        return json.loads(done.stdout)

    def close(self):
        if self.cell is not None:
            self.cell.close()


class Pool(Commands):
    def __init__(self, hosts=3, members=None):
        """'members' of the hosts, all if None, are made one pool; the others know nobody."""
        self.around = Cell(AROUND).go()
        with concurrent.futures.ThreadPoolExecutor(hosts) as starters:
            self.hosts = list(starters.map(lambda index: Host(self, index), range(hosts)))
        for host in self.hosts[1:members]:
            self.run("peer", "probe", host.address)
        self.wait_connected(self.hosts[:members])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for host in self.hosts:
            host.close()
        self.around.close()

    def run(self, *arguments, check=True):
        """By the first host that lives."""
        return next(host for host in self.hosts if host.alive()).run(*arguments, check=check)

    def wait_connected(self, hosts=None):
        """Each host that lives sees each other."""
        living = [host for host in hosts or self.hosts if host.alive()]

        def connected():
            return all(host.run("peer", "status", check=False).stdout.count("(Connected)") >= len(living) - 1
                       for host in living)
        wait_for(connected, "the peers")

    def agent(self, index, folder, **options):
        """A hostlerd on that host, whose files this machine sees too."""
        return Agent(folder, wrapper=self.hosts[index].enter, **{"name": self.hosts[index].name, **options})

    def enable_ssh(self):
        """Lets root of each host into each other, as geo-replication needs it.  To be called again after boot()."""
        keys = [host.inside("sh", "-ec", SSHD, check=True).stdout for host in self.hosts]
        for host in self.hosts:
            authorized = host.path("/root/.ssh/authorized_keys")
            known = authorized.read_text() if authorized.exists() else ""
            authorized.write_text(known + "".join(key for key in keys if key not in known))

    def brick(self, index, volume, number):
        return f"{self.hosts[index].address}:/bricks/{volume}-{number}"

    def make_volume(self, name, bricks, *kind, options=()):
        """A started volume of pool.brick()s; 'kind' is "replica", "3" and the like."""
        self.create_volume(name, bricks, kind, options)

    def remove_volume(self, name):
        """Bricks and all."""
        self.run("volume", "stop", name, "force", check=False)
        self.run("volume", "delete", name)
        for host in self.hosts:
            host.inside("sh", "-c", f"rm -rf /bricks/{name}-*", check=True)

    def brick_pids(self, volume):
        """This machine's numbers of the brick processes, by brick."""
        return {f"{host.address}:{folder}": pid for host in self.hosts if host.alive()
                for folder, pid in host.cell.bricks().items() if re.fullmatch(rf"/bricks/{volume}-\d+", folder)}

    def kill_brick(self, brick):
        volume = re.fullmatch(r".*/(.*)-\d+", brick).group(1)
        os.kill(self.brick_pids(volume)[brick], signal.SIGKILL)

    @contextlib.contextmanager
    def paused_bricks(self, *bricks):
        """They are silent, and not gone: whatever writes to them waits, unless the volume's network.ping-timeout
        gives them up."""
        pids = [self.brick_pids(re.fullmatch(r".*/(.*)-\d+", brick).group(1))[brick] for brick in bricks]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
